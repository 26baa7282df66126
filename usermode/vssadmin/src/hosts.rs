// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hosts that run, the volumes they serve, and which one somebody means.

use std::path::{Path, PathBuf};

use vsshost::control::messages::{Call, ListVolumes, Progress, Volume};
use vsshost::control::{Client, Code, Error, found_hosts, runtime};

/// A host with its volumes.
pub(crate) struct Host {
    client: Client,
    pub volumes: Vec<Volume>,
}

impl Host {
    /// Asks it something that is answered at once.
    pub(crate) fn ask<C: Call>(&mut self, call: C) -> Result<C::Answer, Error> {
        self.client.call(call, &mut |_| {})
    }

    /// Asks it something that takes its time.
    pub(crate) fn work<C: Call>(&mut self, call: C, progress: &mut dyn FnMut(Progress)) -> Result<C::Answer, Error> {
        self.client.call(call, progress)
    }
}

/// All hosts of this user that answer, and what is wrong with the others.
pub(crate) struct Hosts {
    pub hosts: Vec<Host>,
    pub errors: Vec<Error>,
}

impl Hosts {
    pub(crate) fn find() -> Self {
        let mut found = Self { hosts: Vec::new(), errors: Vec::new() };
        let clients = match found_hosts() {
            Ok(clients) => clients,
            Err(why) => {
                let place = runtime::folder().display().to_string();
                found.errors.push(Error::new(Code::Io, why.to_string(), "runtime folder", place));
                return found;
            }
        };
        for client in clients {
            let asked = client.and_then(|mut client| {
                let volumes = client.call(ListVolumes {}, &mut |_| {})?.volumes;
                Ok(Host { client, volumes })
            });
            match asked {
                Ok(host) => found.hosts.push(host),
                Err(why) => found.errors.push(why),
            }
        }
        found
    }

    /// Why there may be nothing to find.
    pub(crate) fn explanation(&self) -> String {
        if self.hosts.is_empty() {
            format!("No vsshost is running: there is no socket in {}.\n", runtime::folder().display())
        } else {
            String::new()
        }
    }

    /// The host and the name of the volume that `spec` means: a name, a mount point, an image, `\\?\Volume{guid}\`.
    pub(crate) fn volume(mut self, spec: &str) -> Result<(Host, String), Error> {
        let at = self.position(spec)?;
        let host = self.hosts.swap_remove(at.host);
        let name = host.volumes[at.volume].name.clone();
        Ok((host, name))
    }

    /// What to tell a host about the volume after `/on=`: the name of a served one, else an absolute path.
    pub(crate) fn storage(&self, spec: &str) -> Result<String, Error> {
        if let Ok(at) = self.position(spec) {
            return Ok(self.hosts[at.host].volumes[at.volume].name.clone());
        }
        // An image that no host serves can hold a diff area, too.
        let path = absolute(spec).ok_or_else(|| self.not_found(spec))?;
        Ok(path.display().to_string())
    }

    fn position(&self, spec: &str) -> Result<Position, Error> {
        let all = || {
            let hosts = self.hosts.iter().enumerate();
            hosts.flat_map(|(host, entry)| (0..entry.volumes.len()).map(move |volume| Position { host, volume }))
        };
        let path = absolute(spec);
        let by_name: Vec<Position> = all().filter(|at| is_called(self.at(*at), spec)).collect();
        // A name is exact; only if nothing is called so, it may be a path.
        let fitting = if by_name.is_empty() {
            all().filter(|at| is_at(self.at(*at), path.as_deref())).collect()
        } else {
            by_name
        };
        match fitting.as_slice() {
            [one] => Ok(*one),
            [] => Err(self.not_found(spec)),
            several => {
                let names: Vec<&str> = several.iter().map(|at| self.at(*at).name.as_str()).collect();
                let message = format!("several served volumes fit: {}; give a name", names.join(", "));
                Err(Error::new(Code::InvalidArgument, message, format!("volume '{spec}'"), ""))
            }
        }
    }

    fn at(&self, at: Position) -> &Volume {
        &self.hosts[at.host].volumes[at.volume]
    }

    fn not_found(&self, spec: &str) -> Error {
        // The volume may be that of a host that does not answer; that is then the thing to say.
        if let [only, ..] = self.errors.as_slice() {
            return only.clone();
        }
        let names: Vec<&str> =
            self.hosts.iter().flat_map(|host| &host.volumes).map(|volume| volume.name.as_str()).collect();
        let message = if names.is_empty() {
            "no volume is served now: start vsshost first".to_owned()
        } else {
            format!("served volumes are {}", names.join(", "))
        };
        Error::new(Code::NotFound, message, format!("volume '{spec}'"), runtime::folder().display().to_string())
    }
}

#[derive(Clone, Copy)]
struct Position {
    host: usize,
    volume: usize,
}

/// By its name, with or without what Windows puts after a drive letter, or by its Windows volume name.
fn is_called(volume: &Volume, spec: &str) -> bool {
    let short = spec.strip_suffix('\\').unwrap_or(spec);
    let short = short.strip_suffix(':').unwrap_or(short);
    let windows = format!(r"\\?\Volume{}", volume.guid);
    volume.name.eq_ignore_ascii_case(short) || windows.eq_ignore_ascii_case(spec.trim_end_matches('\\'))
}

fn is_at(volume: &Volume, path: Option<&Path>) -> bool {
    let same = |place: &str| path.is_some() && absolute(place).as_deref() == path;
    same(&volume.image) || volume.mount_point.as_deref().is_some_and(same)
}

/// The path without links and dots, if there is such a file.
fn absolute(path: &str) -> Option<PathBuf> {
    Path::new(path).canonicalize().ok()
}
