// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hosts in a runtime folder of the test's own, and the program run with it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use vsshost::control::{Limits, Server};

use crate::service::Host;

pub(crate) const BANNER: &str =
    "vssadmin 1.1 - Volume Shadow Copy Service administrative command-line tool\n(volsnap-rs 0.1.0)\n\n";

pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    servers: Vec<Server>,
}

impl Fixture {
    /// No host at all.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), servers: Vec::new() }
    }

    /// The host `data`, whose image exists.
    pub(crate) fn with_host() -> (Self, Host) {
        let mut fixture = Self::empty();
        let host = fixture.add("data");
        (fixture, host)
    }

    pub(crate) fn add(&mut self, name: &str) -> Host {
        let image = self.path(&format!("{name}.img"));
        std::fs::write(&image, "").unwrap();
        let host = Host::new(name, image.to_str().unwrap());
        let socket = self.path(&format!("{name}.sock"));
        self.servers.push(Server::start(&socket, Arc::new(host.clone()), Limits::default()).unwrap());
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program with words that have no spaces in them.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_with(line, "")
    }

    /// The same, with something on standard input.
    pub(crate) fn run_with(&self, line: &str, input: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vssadmin"))
            .args(line.split_whitespace())
            .env("VSSHOST_RUNTIME_DIR", self.folder.path())
            .env("TZ", "EST5")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        Ran {
            line: line.into(),
            code: output.status.code().unwrap(),
            body: text.strip_prefix(BANNER).unwrap_or(&text).to_owned(),
            has_banner: text.starts_with(BANNER),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) line: String,
    pub(crate) code: i32,
    /// Standard output after the banner.
    pub(crate) body: String,
    pub(crate) has_banner: bool,
    pub(crate) errors: String,
}

impl Ran {
    /// It succeeded, and said so.
    #[track_caller]
    pub(crate) fn says(&self, body: &str) {
        assert_eq!(self.body, body, "{self:?}");
        assert_eq!((self.code, self.errors.as_str()), (0, ""), "{self:?}");
        assert!(self.has_banner);
    }

    /// It found nothing.
    #[track_caller]
    pub(crate) fn finds_nothing(&self) {
        assert!(self.body.starts_with("No items found that satisfy the query.\n"), "{self:?}");
        assert_eq!((self.code, self.errors.as_str()), (1, ""), "{self:?}");
    }

    /// It failed with a text that has all of these in it.
    #[track_caller]
    pub(crate) fn fails(&self, parts: &[&str]) {
        assert_eq!(self.code, 1, "{self:?}");
        for part in parts {
            assert!(self.errors.contains(part), "'{part}' is not in {self:?}");
        }
    }

    /// The object it printed.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!(!self.has_banner && !self.line.is_empty());
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}
