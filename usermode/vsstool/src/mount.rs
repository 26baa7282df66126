// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsstool mount`: all snapshots of an image as read-only files.

use crate::args::ImageArgs;
use crate::{Outcome, snapshots};
use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::Write;
use std::path::PathBuf;
use vsshost::fuse::{self, Options, Tree};

/// Arguments of `mount`.
#[derive(Debug, clap::Args)]
pub(crate) struct MountArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// An empty folder; the snapshots appear in it as snapshot1 (the oldest), snapshot2, ...
    mount_point: PathBuf,
}

pub(crate) fn run(args: &MountArgs, out: &mut dyn Write) -> Result<Outcome> {
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).context("catching signals")?;
    let devices = snapshots::open(&args.image)?;
    if devices.is_empty() {
        bail!("{}: there are no snapshots", args.image.volume().path.display());
    }
    let tree = Tree::new();
    let count = devices.len();
    for (number, device) in (1..).zip(devices) {
        tree.add(&format!("snapshot{number}"), device)?;
    }
    let session = fuse::mount(&args.mount_point, &tree, &Options::default())?;
    writeln!(out, "{count} snapshot(s) in {}; ends with Ctrl-C or when unmounted", session.mountpoint().display())?;
    out.flush()?;
    let unmounter = session.unmounter();
    std::thread::spawn(move || {
        // Busy: whoever reads a snapshot goes on, and the next signal tries again.
        for _ in signals.forever() {
            if let Err(error) = unmounter.unmount() {
                eprintln!("vsstool: {error}");
            }
        }
    });
    session.join()?;
    Ok(Outcome::Clean)
}
