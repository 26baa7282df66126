// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is measured: a program that serves a volume over NBD and keeps a snapshot of it, or not.

use std::{
    fs::{self, File},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::volume::Volume;
use crate::process;

/// How long a server may take until it listens, or until it ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a target works.
pub(super) struct Place {
    /// A folder that holds the volume and whatever else the target writes. May count what is done to it.
    pub(super) files: PathBuf,
    /// A folder for sockets.
    pub(super) run: PathBuf,
}

impl Place {
    /// The volume, a copy of the target's own.
    pub(super) fn image(&self) -> PathBuf {
        self.files.join("volume.img")
    }

    /// Where an NBD server of this place listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.run.join("nbd.sock")
    }
}

/// One program, set up one way.
pub(super) trait Target {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// How many snapshots there are when the writes begin.
    fn snapshots(&self) -> u32;

    /// Makes the volume that [`Target::start`] is to find, where that is not the plain one: with snapshots in it.
    fn prepare(&self, plain: &Volume, _place: &Place) -> Result<Volume> {
        Ok(plain.clone())
    }

    /// Begins to serve [`Place::image`], a copy of what was prepared, with the snapshots made.
    fn start(&self, place: &Place) -> Result<Box<dyn Served>>;
}

/// Where a target serves the live volume.
pub(super) struct Export {
    /// The Unix socket of the NBD server.
    pub(super) socket: PathBuf,
    /// The name of the export; the default one has an empty name.
    pub(super) name: String,
}

/// A running target.
pub(super) trait Served {
    /// The NBD export that is the live volume.
    fn export(&self) -> Export;

    /// Ends it in an orderly way: everything it holds in memory is written.
    fn stop(self: Box<Self>) -> Result<()>;
}

/// A server that is one process and listens on [`Place::socket`]. Ends with this value.
pub(super) struct Server {
    child: Child,
    command: String,
    socket: PathBuf,
    messages: PathBuf,
}

impl Server {
    /// Starts the process and waits until it listens.
    pub(super) fn start(command: &mut Command, place: &Place) -> Result<Self> {
        let shown = process::shown(command);
        // Servers complain about clients that only look whether they are there, as the loop below does.
        let messages = place.run.join("server.log");
        let log = File::create(&messages).with_context(|| format!("make {}", messages.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start `{shown}`"))?;
        let mut server = Self { child, command: shown, socket: place.socket(), messages };
        let start = Instant::now();
        while UnixStream::connect(&server.socket).is_err() {
            if let Some(status) = server.child.try_wait().context("look at a server")? {
                bail!("`{}` ended before it listened: {status}\n{}", server.command, server.said());
            }
            if start.elapsed() > PATIENCE {
                bail!("`{}` does not listen on {}\n{}", server.command, server.socket.display(), server.said());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(server)
    }

    /// The process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.messages).unwrap_or_default()
    }
}

impl Served for Server {
    fn export(&self) -> Export {
        Export { socket: self.socket.clone(), name: String::new() }
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .with_context(|| format!("ask `{}` to end", self.command))?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().with_context(|| format!("wait for `{}`", self.command))? {
                // A server that crashed while it was measured was not measured.
                ensure!(status.success(), "`{}` failed: {status}\n{}", self.command, self.said());
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("`{}` does not end", self.command)
    }
}

impl Drop for Server {
    /// After `stop` there is nothing left to end; after an error this is the last chance.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() {
            // The status of a killed process says nothing new.
            let _ = self.child.wait();
        }
    }
}
