// SPDX-License-Identifier: MIT OR Apache-2.0
//! `add`, `resize` and `delete shadowstorage`.

use vsshost::control::Error;
use vsshost::control::messages::{AddShadowstorage, DeleteShadowstorage, Nothing, ResizeShadowstorage};

use crate::arguments;
use crate::hosts::{Host, Hosts};
use crate::outcome::Outcome;
use crate::progress::Ticker;

pub(super) fn add(wanted: &arguments::StorageSize) -> Result<Outcome, Error> {
    let (mut host, volume, on) = resolve(&wanted.volume, wanted.on.as_deref())?;
    let association = host.ask(AddShadowstorage { volume, on, maximum: wanted.maxsize })?;
    let text = "Successfully added the shadow copy storage association\n";
    Ok(Outcome::done("association", &association, text.into()))
}

pub(super) fn resize(wanted: &arguments::StorageSize) -> Result<Outcome, Error> {
    let (mut host, volume, on) = resolve(&wanted.volume, wanted.on.as_deref())?;
    let ticker = Ticker::new("resizing the shadow copy storage");
    let call = ResizeShadowstorage { volume, on, maximum: wanted.maxsize };
    let association = host.work(call, &mut |progress| ticker.report(progress))?;
    drop(ticker);
    let text = "Successfully resized the shadow copy storage association\n";
    Ok(Outcome::done("association", &association, text.into()))
}

pub(super) fn delete(which: &arguments::Association) -> Result<Outcome, Error> {
    let (mut host, volume, on) = resolve(&which.volume, which.on.as_deref())?;
    let Nothing {} = host.ask(DeleteShadowstorage { volume, on })?;
    let text = "Successfully deleted the shadow copy storage association(s)\n";
    Ok(Outcome::done("deleted", &true, text.into()))
}

fn resolve(volume: &str, on: Option<&str>) -> Result<(Host, Option<String>, Option<String>), Error> {
    let hosts = Hosts::find();
    let on = on.map(|spec| hosts.storage(spec)).transpose()?;
    let (host, name) = hosts.volume(volume)?;
    Ok((host, Some(name), on))
}
