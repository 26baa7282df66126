// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask demo`: the story of this repository on real parts, to be watched.
//!
//! ```text
//! image ─► vsshost ─► ntfs-3g ─► files and a writer
//!             ▲ vssadmin: snapshots, one of them deleted
//!             └─► snapshots as files ─► ntfs-3g (read-only) ─► old content, restored files
//! image, with the host stopped ─► libvshadow, vsstool: the same bytes
//! ```
//!
//! Nothing in it is played: each line of the table at the end is a comparison that was made in this run, by programs
//! that are not ours where there is one (`diff`, ntfs-3g's tools, libvshadow). One that fails makes the command fail.

mod content;
mod folder;
mod hash;
mod host;
mod image;
mod interrupt;
mod mount;
mod ntfs;
mod proofs;
mod readers;
mod story;
mod tool;
mod writer;

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args as ClapArgs;

use self::{folder::Folder, proofs::Proofs};
use crate::{
    programs::{self, Profile, Programs},
    setup::{self, Purpose},
};

/// A demo on a volume of its own that takes longer hangs; somebody's image may be large.
const LIMIT: Duration = Duration::from_secs(10 * 60);
const LIMIT_OF_IMAGE: Duration = Duration::from_secs(4 * 60 * 60);

/// How long something may take that the host does after it has answered.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `cargo xtask demo`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Work on a copy of this image or device, instead of a new volume
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Which partition of it, if several hold NTFS
    #[arg(long, value_name = "N", requires = "image")]
    partition: Option<u32>,
    /// Keep the image, and print what to do with it
    #[arg(long)]
    keep: bool,
}

/// `cargo xtask demo`.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the demo mounts file systems, which takes root: sudo env \"PATH=$PATH\" cargo xtask demo\n\
             (it then installs what is missing, too; `cargo xtask setup --for demo` only says what that is)"
        );
    }
    setup::ensure(Purpose::Demo)?;
    println!("Building");
    println!("   $ {}", Programs::command(Profile::Dev));
    let programs = Programs::build(Profile::Dev)?;

    let start = Instant::now();
    interrupt::catch(if args.image.is_some() { LIMIT_OF_IMAGE } else { LIMIT })?;
    let mut proofs = Proofs::default();
    let folder = Folder::make(args.keep)?;
    let told = story::tell(args, &folder, &programs, &mut proofs);
    drop(folder);
    // What a program says that died of the same signal is beside the point.
    interrupt::check()?;

    proofs.print();
    let count = proofs.count();
    println!("\n{} passed, {} failed, in {:.0} s", count.passed, count.failed, start.elapsed().as_secs_f64());
    told.context("the demo broke off")?;
    ensure!(count.failed == 0, "{} of the checks failed", count.failed);
    ensure!(count.passed > 0, "nothing was checked");
    Ok(())
}

/// Waits for something that happens by itself.
fn wait_until(what: &str, happened: impl Fn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !happened()? {
        interrupt::check()?;
        ensure!(start.elapsed() < PATIENCE, "waited {} s in vain until {what}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
