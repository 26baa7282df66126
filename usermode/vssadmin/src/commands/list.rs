// SPDX-License-Identifier: MIT OR Apache-2.0
//! `list`: asks every host and puts the answers together. A host that fails does not hide the others.

use vsshost::control::Error;
use vsshost::control::messages::{
    Association, ListProviders, ListShadows, ListShadowstorage, Provider, Shadow, Volume,
};

use crate::arguments;
use crate::format;
use crate::hosts::{Host, Hosts};
use crate::outcome::Outcome;

pub(super) fn shadows(filter: arguments::ListShadows) -> Result<Outcome, Error> {
    let hosts = Hosts::find();
    let query = |volume| ListShadows { shadow: filter.shadow, set: filter.set, volume };
    if let Some(spec) = &filter.volume {
        let (mut host, name) = hosts.volume(spec)?;
        let found = host.ask(query(Some(name)))?.shadows;
        return Ok(Outcome::list("shadows", &found, format::shadows(&found)));
    }
    let explanation = hosts.explanation();
    let (mut found, errors): (Vec<Shadow>, _) = from_all(hosts, |host| Ok(host.ask(query(None))?.shadows));
    found.sort_by_key(|shadow| shadow.created.filetime);
    Ok(Outcome::list("shadows", &found, format::shadows(&found)).explained(&explanation).with(errors))
}

pub(super) fn shadowstorage(filter: arguments::Between) -> Result<Outcome, Error> {
    let hosts = Hosts::find();
    let on = filter.on.as_deref().map(|spec| hosts.storage(spec)).transpose()?;
    if let Some(spec) = &filter.volume {
        let (mut host, name) = hosts.volume(spec)?;
        let found = host.ask(ListShadowstorage { volume: Some(name), on })?.associations;
        return Ok(Outcome::list("associations", &found, format::associations(&found)));
    }
    let explanation = hosts.explanation();
    let ask = |host: &mut Host| Ok(host.ask(ListShadowstorage { volume: None, on: on.clone() })?.associations);
    let (found, errors): (Vec<Association>, _) = from_all(hosts, ask);
    Ok(Outcome::list("associations", &found, format::associations(&found)).explained(&explanation).with(errors))
}

pub(super) fn volumes() -> Outcome {
    let hosts = Hosts::find();
    let explanation = hosts.explanation();
    let found: Vec<Volume> = hosts.hosts.into_iter().flat_map(|host| host.volumes).collect();
    Outcome::list("volumes", &found, format::volumes(&found)).explained(&explanation).with(hosts.errors)
}

pub(super) fn providers() -> Outcome {
    let hosts = Hosts::find();
    let explanation = hosts.explanation();
    let (all, errors) = from_all(hosts, |host| Ok(host.ask(ListProviders {})?.providers));
    let mut found: Vec<Provider> = Vec::new();
    // Hosts of the same program have the same provider.
    for provider in all {
        if !found.contains(&provider) {
            found.push(provider);
        }
    }
    Outcome::list("providers", &found, format::providers(&found)).explained(&explanation).with(errors)
}

pub(super) fn writers() -> Outcome {
    let none: [(); 0] = [];
    Outcome::list("writers", &none, String::new())
        .explained("There are no writers on Linux yet: programs are not told before a shadow copy is made.\n")
}

fn from_all<T>(hosts: Hosts, ask: impl Fn(&mut Host) -> Result<Vec<T>, Error>) -> (Vec<T>, Vec<Error>) {
    let Hosts { hosts, mut errors } = hosts;
    let mut found = Vec::new();
    for mut host in hosts {
        match ask(&mut host) {
            Ok(items) => found.extend(items),
            Err(why) => errors.push(why),
        }
    }
    (found, errors)
}
