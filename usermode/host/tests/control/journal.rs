// SPDX-License-Identifier: MIT OR Apache-2.0
//! A service that writes down what it is asked.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use vsshost::control::messages::*;
use vsshost::control::types::{Attributes, Guid, Named, Selector, Time};
use vsshost::control::{Answer, Code, Error, Limits, ReportProgress, Server, Service};

#[derive(Default)]
pub(crate) struct Journal(Mutex<Vec<String>>);

impl Journal {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

pub(crate) const SET: &str = "{9f1d7ce0-90f8-4a1b-8f0e-a2f4f3c7d0aa}";

fn id(text: &str) -> Guid {
    text.parse().unwrap()
}

fn not_here<T>() -> Answer<T> {
    Err(Error::new(Code::NotSupported, "not in this test", "", ""))
}

fn created() -> CreatedShadow {
    let shadow = Shadow {
        id: id("{2e7a1e9c-6f3a-4c83-9d0e-1f8c1f0a9b11}"),
        set: id(SET),
        set_count: 1,
        store: id("{690b0f60-5bdf-11e3-9d6c-005056c00008}"),
        volume: "data".into(),
        volume_guid: id("{5e5f0b64-5bdf-11e3-9d6c-005056c00008}"),
        created: Time::now(),
        device_name: "HarddiskVolumeShadowCopy1".into(),
        fuse_path: None,
        nbd: None,
        originating_machine: "m".into(),
        service_machine: "m".into(),
        provider: "p".into(),
        context: Named::context(0x1d),
        attributes: Attributes::from_value(0x2001d),
        state: ShadowState::Created,
    };
    CreatedShadow { shadow, held_us: 1 }
}

impl Service for Journal {
    fn name(&self) -> String {
        "data".into()
    }

    fn status(&self) -> Answer<StatusAnswer> {
        not_here()
    }

    fn list_volumes(&self) -> Answer<Volumes> {
        self.note("list_volumes");
        Ok(Volumes { volumes: Vec::new() })
    }

    fn list_shadows(&self, filter: ListShadows) -> Answer<Shadows> {
        self.note(format!("list_shadows {:?}", filter.volume));
        Ok(Shadows { shadows: Vec::new() })
    }

    fn list_shadowstorage(&self, _: ListShadowstorage) -> Answer<Associations> {
        Ok(Associations { associations: Vec::new() })
    }

    fn list_providers(&self) -> Answer<Providers> {
        Ok(Providers { providers: Vec::new() })
    }

    /// Reports a thousand steps in about half a second.
    fn create_shadow(&self, _: CreateShadow, progress: ReportProgress<'_>) -> Answer<CreatedShadow> {
        for done in 0..1000 {
            progress(Progress { doing: "counting".into(), done, total: Some(1000) });
            std::thread::sleep(Duration::from_micros(500));
        }
        self.note("create_shadow done");
        Ok(created())
    }

    fn prepare_snapshot(&self, options: PrepareSnapshot, _: ReportProgress<'_>) -> Answer<PreparedSnapshot> {
        let set = options.set.unwrap_or(id(SET));
        self.note(format!("prepare {set}"));
        Ok(PreparedSnapshot { set, shadow: created().shadow.id })
    }

    fn hold_writes(&self, hold: HoldWrites) -> Answer<Nothing> {
        self.note(format!("hold {} for {}", hold.set, hold.limit_ms));
        Ok(Nothing {})
    }

    fn commit_snapshot(&self, commit: CommitSnapshot) -> Answer<CreatedShadow> {
        self.note(format!("commit {}", commit.set));
        Ok(created())
    }

    fn release_writes(&self, release: ReleaseWrites) -> Answer<Nothing> {
        self.note(format!("release {}", release.set));
        Ok(Nothing {})
    }

    fn abort_snapshot(&self, abort: AbortSnapshot) -> Answer<Nothing> {
        self.note(format!("abort {}", abort.set));
        Ok(Nothing {})
    }

    fn delete_shadows(&self, which: DeleteShadows, _: ReportProgress<'_>) -> Answer<DeletedShadows> {
        self.note(format!("delete {:?}", which.selector));
        match which.selector {
            Selector::Shadow(id) => {
                Err(Error::new(Code::NotFound, "no such shadow copy", format!("shadow copy {id}"), "/srv/data.img"))
            }
            _ => Ok(DeletedShadows { deleted: Vec::new() }),
        }
    }

    fn add_shadowstorage(&self, _: AddShadowstorage) -> Answer<Association> {
        not_here()
    }

    fn resize_shadowstorage(&self, _: ResizeShadowstorage, _: ReportProgress<'_>) -> Answer<Association> {
        not_here()
    }

    fn delete_shadowstorage(&self, _: DeleteShadowstorage) -> Answer<Nothing> {
        not_here()
    }

    fn set_mount_point(&self, _: SetMountPoint) -> Answer<Nothing> {
        not_here()
    }

    fn events(&self, _: Events) -> Answer<EventLog> {
        Ok(EventLog { events: Vec::new() })
    }

    fn shutdown(&self) -> Answer<Nothing> {
        self.note("shutdown");
        Ok(Nothing {})
    }
}

/// A server with its journal.
pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) journal: Arc<Journal>,
    pub(crate) socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("data.sock");
        let journal = Arc::new(Journal::default());
        let server = Server::start(&socket, journal.clone(), limits).unwrap();
        Self { server, journal, socket, _folder: folder }
    }

    pub(crate) fn connect(&self) -> Raw {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Raw(BufReader::new(stream))
    }

    /// Waits until the journal ends with these entries.
    #[track_caller]
    pub(crate) fn expect(&self, entries: &[&str]) {
        for _ in 0..500 {
            if self.journal.entries().ends_with(&entries.iter().map(ToString::to_string).collect::<Vec<_>>()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("expected {entries:?}, the journal has {:?}", self.journal.entries());
    }
}

/// A connection for lines that no decent client sends.
pub(crate) struct Raw(pub(crate) BufReader<UnixStream>);

impl Raw {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub(crate) fn reply(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line:?}"))
    }

    /// Sends a line and reads the reply to it.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        self.send(line.as_bytes());
        self.send(b"\n");
        self.reply()
    }

    pub(crate) fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_until(0, &mut rest) {
            Ok(_) => true,
            Err(why) => why.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
