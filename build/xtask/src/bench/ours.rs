// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsshost`, with any number of snapshots.
//!
//! The snapshots are made once, in a copy of the volume that each measurement then begins with: what is measured is a host
//! that has loaded them, as after each start. Between two of them a part of the region is overwritten, so that the older
//! ones have something in their stores. The newest store is large enough for the whole region: growth is not measured
//! here, and a host that let a snapshot go fails the run.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    control::{Control, ensure_snapshots},
    load::{self, Workload},
    target::{Export, Place, Served, Server, Target},
    volume::Volume,
};
use crate::process;

/// What the host calls the volume.
const NAME: &str = "v";

/// The folder of control sockets, in [`Place::run`].
const RUNTIME: &str = "host";

/// What a store needs beside the blocks that it saves: its structures, and the room below which it grows.
const STORE_SPARE: u64 = 64 << 20;

/// How long a host may take to answer, once it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// Our own host.
pub(super) struct Vsshost {
    pub(super) program: PathBuf,
    pub(super) snapshots: u32,
    /// The image's free space, where the stores are, is a hole in the file that holds it. Then each flush also has to write
    /// down what that file's file system allocated; on a block device there is no such thing.
    pub(super) sparse: bool,
}

/// A running one.
pub(super) struct Host {
    server: Box<Server>,
    pub(super) control: Control,
    snapshots: u32,
}

/// Bytes of a store that can save `bytes` without growing.
pub(super) fn store_size(bytes: u64) -> u64 {
    bytes + bytes / 16 + STORE_SPARE
}

impl Vsshost {
    /// Serves [`Place::image`].
    pub(super) fn serve(&self, place: &Place) -> Result<Host> {
        let mut command = with_parent(&self.program);
        command.arg("serve").arg(place.image()).args(["--name", NAME, "--nbd"]).arg(place.socket());
        command.arg("--nbd-clients-are-raw").env("VSSHOST_RUNTIME_DIR", place.run.join(RUNTIME));
        // It mounts the volume for a moment to make a store, and should not leave that elsewhere when it is killed.
        command.env("TMPDIR", &place.run);
        let server = Box::new(Server::start(&mut command, place)?);
        let control = Control::new(place.run.join(RUNTIME).join(NAME).with_extension("sock"));
        // The last thing that it does before it is ready.
        let start = Instant::now();
        while UnixStream::connect(control.socket()).is_err() {
            ensure!(start.elapsed() < PATIENCE, "vsshost does not listen on {}", control.socket().display());
            thread::sleep(Duration::from_millis(1));
        }
        Ok(Host { server, control, snapshots: self.snapshots })
    }

    /// Makes the snapshots, and a history of overwrites between them.
    fn make_snapshots(&self, host: &Host, volume: &Volume) -> Result<()> {
        let workload = Workload { size: 16 << 10, depth: 16 };
        let parts = volume.split(self.snapshots);
        for (number, part) in (1..=self.snapshots).zip(&parts) {
            let newest = number == self.snapshots;
            let saved = if newest { volume.length } else { part.length };
            host.control.create(store_size(saved))?;
            if !newest {
                load::run(&host.export(), part, workload)?;
            }
        }
        ensure_snapshots(&host.control, self.snapshots)
    }
}

impl Target for Vsshost {
    fn name(&self) -> &'static str {
        if self.sparse { "vsshost" } else { "vsshost, no holes" }
    }

    fn snapshots(&self) -> u32 {
        self.snapshots
    }

    fn prepare(&self, plain: &Volume, place: &Place) -> Result<Volume> {
        if self.snapshots == 0 {
            return Ok(plain.clone());
        }
        let volume = plain.copy_to(&place.image())?;
        let host = self.serve(place)?;
        self.make_snapshots(&host, &volume)?;
        Box::new(host).stop()?;
        let kept = place.files.with_extension(format!("{}.{}.img", self.snapshots, self.sparse));
        fs::rename(place.image(), &kept).with_context(|| format!("make {}", kept.display()))?;
        let volume = volume.at(kept);
        Ok(if self.sparse { volume } else { volume.without_holes() })
    }

    fn start(&self, place: &Place) -> Result<Box<dyn Served>> {
        Ok(Box::new(self.serve(place)?))
    }
}

impl Host {
    /// Bytes of memory that it has, in all.
    pub(super) fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.server.id());
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmRSS: {line}"))?;
        Ok(kib << 10)
    }
}

impl Served for Host {
    fn export(&self) -> Export {
        self.server.export()
    }

    fn stop(self: Box<Self>) -> Result<()> {
        ensure_snapshots(&self.control, self.snapshots)?;
        self.server.stop()
    }
}

/// A program that ends when we do, however we end.
pub(super) fn with_parent(program: &Path) -> Command {
    let mut command = Command::new(process::find("setpriv").unwrap_or_else(|| "setpriv".into()));
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}
