// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running server with a few exports, and the means to run a client program against it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use vsshost::device::BlockDevice;
use vsshost::nbd::{Export, Limits, Registry, Server};
use vsshost::net::Address;

use crate::devices::{Image, Memory};

pub(crate) const MEMORY_SIZE: u64 = 32 << 20;
pub(crate) const IMAGE_SIZE: u64 = 48 << 20;

pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) registry: Arc<Registry>,
    pub(crate) folder: tempfile::TempDir,
}

impl Fixture {
    /// `memory` (the default export), `image`, and the read-only `snapshot 1`.
    pub(crate) fn new() -> Self {
        Self::with(Limits { negotiation: Duration::from_secs(5), ..Limits::default() }, "unix")
    }

    pub(crate) fn with(limits: Limits, transport: &str) -> Self {
        let registry = Arc::new(Registry::new());
        let folder = tempfile::tempdir().unwrap();
        let address = match transport {
            "unix" => Address::Unix(folder.path().join("nbd.sock")),
            tcp => tcp.parse().unwrap(),
        };
        let server = Server::start(&address, registry.clone(), limits).unwrap();
        let fixture = Self { server, registry, folder };
        fixture.add("memory", Memory::new(MEMORY_SIZE as usize / 4096));
        fixture.add("image", Image::sparse(IMAGE_SIZE));
        fixture.add("snapshot 1", Memory::read_only(256));
        fixture.registry.set_default("memory");
        fixture
    }

    pub(crate) fn add(&self, name: &str, device: impl BlockDevice + 'static) -> Arc<Export> {
        let export = Export::new(name, format!("the {name} of a test"), Arc::new(device));
        self.registry.add(export.clone());
        export
    }

    pub(crate) fn uri(&self, export: &str) -> String {
        self.server.uri(export)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        match self.server.address() {
            Address::Unix(path) => path.clone(),
            Address::Tcp(address) => panic!("the server listens on {address}"),
        }
    }

    /// A file with content that differs from block to block, with zeros in the middle.
    pub(crate) fn content(&self, name: &str, size: u64) -> PathBuf {
        let mut bytes = vec![0; size as usize];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for word in bytes.chunks_exact_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            word.copy_from_slice(&state.to_le_bytes());
        }
        bytes[size as usize / 4..size as usize / 2].fill(0);
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Runs a client; `None`, said loudly, if it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<Outcome> {
    match Command::new("timeout").arg("120").arg(program).args(arguments).output() {
        Ok(output) if output.status.code() != Some(127) => Some(Outcome {
            command: format!("{program} {}", arguments.join(" ")),
            success: output.status.success(),
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        _ => {
            eprintln!("\n!!! skipped: {program} is not installed !!!\n");
            None
        }
    }
}

pub(crate) struct Outcome {
    pub(crate) command: String,
    pub(crate) success: bool,
    pub(crate) text: String,
    pub(crate) errors: String,
}

impl Outcome {
    /// Its standard output, if it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.success, "{} failed:\n{}{}", self.command, self.text, self.errors);
        self.text
    }
}

pub(crate) fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

/// Waits until something becomes true; fails after ten seconds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("after ten seconds it is still not true that {what}");
}
