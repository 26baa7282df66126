// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other people's programs: one that keeps no snapshot, and two that do it in other ways.

use std::process::Command;

use anyhow::{Context, Result};

use super::target::{Place, Served, Server, Target};

/// nbdkit on the bare file: no snapshot, the measure of all others.
pub(super) struct NbdkitFile;

/// nbdkit with its copy-on-write filter: writes are redirected into an overlay and the volume stays as it is. That is
/// the other way to keep a snapshot, cheap for writes; the live volume is then spread over two files.
pub(super) struct NbdkitCow;

/// QEMU's copy-before-write filter: old data is copied to a second image first, as here.
pub(super) struct QemuCopyBeforeWrite;

impl Target for NbdkitFile {
    fn name(&self) -> &'static str {
        "nbdkit file"
    }

    fn snapshots(&self) -> u32 {
        0
    }

    fn start(&self, place: &Place) -> Result<Box<dyn Served>> {
        let mut command = nbdkit(place);
        command.arg("file").arg(place.image());
        Ok(Box::new(Server::start(&mut command, place)?))
    }
}

impl Target for NbdkitCow {
    fn name(&self) -> &'static str {
        "nbdkit cow 16K"
    }

    fn snapshots(&self) -> u32 {
        1
    }

    fn start(&self, place: &Place) -> Result<Box<dyn Served>> {
        let mut command = nbdkit(place);
        // The overlay is a temporary file; it has to be made where it is counted.
        command.env("TMPDIR", &place.files);
        command.arg("--filter=cow").arg("file").arg(place.image()).arg("cow-block-size=16K");
        Ok(Box::new(Server::start(&mut command, place)?))
    }
}

impl Target for QemuCopyBeforeWrite {
    fn name(&self) -> &'static str {
        "qemu copy-before-write"
    }

    fn snapshots(&self) -> u32 {
        1
    }

    fn start(&self, place: &Place) -> Result<Box<dyn Served>> {
        let copy = place.files.join("copy.img");
        let size = std::fs::metadata(place.image()).context("size of the volume")?.len();
        std::fs::File::create(&copy)
            .and_then(|file| file.set_len(size))
            .with_context(|| format!("make {}", copy.display()))?;
        let mut command = Command::new("qemu-storage-daemon");
        // No locking: there is nobody else, and the counting file system has no locks.
        let file = |name: &str, path: &std::path::Path| {
            format!("driver=file,node-name={name},filename={},locking=off,discard=unmap", path.display())
        };
        command
            .args(["--blockdev", &file("volume", &place.image())])
            .args(["--blockdev", &file("copy", &copy)])
            .args(["--blockdev", "driver=copy-before-write,node-name=live,file=volume,target=copy"])
            .arg("--nbd-server")
            .arg(format!("addr.type=unix,addr.path={}", place.socket().display()))
            .args(["--export", "type=nbd,id=live,node-name=live,name=,writable=on"]);
        Ok(Box::new(Server::start(&mut command, place)?))
    }
}

fn nbdkit(place: &Place) -> Command {
    let mut command = Command::new("nbdkit");
    command.args(["--foreground", "--exit-with-parent", "--unix"]).arg(place.socket());
    command
}
