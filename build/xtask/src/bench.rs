// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: what a snapshot costs, measured beside other programs in one run.
//!
//! Two questions, measured apart:
//!
//! * How much is read, written and flushed for one write of a user? Counted by a file system of our own
//!   ([`counting`]) under the program; the figures repeat on any machine.
//! * How fast is it? Timed on plain files. Every round measures all programs one after the other, and the table has
//!   ratios against the program without snapshots of the same round, because seconds of one machine mean nothing on another.
//!
//! Every program serves a copy of the same NTFS volume over NBD, and [`load`] overwrites every block of the same file in it,
//! in the same random order: once (the first writes, which must save what was there) and once again (the rewrites). A program is
//! a [`target::Target`]; a new one is one more file and one more line in [`targets`].

mod counting;
mod load;
mod peers;
mod report;
mod snapshot_read;
mod target;
mod volume;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;

use self::{
    counting::CountingFolder,
    load::{Pass, Workload},
    report::{Report, WriteResult},
    target::{Place, Target},
    volume::Volume,
};
use crate::{
    process,
    setup::{self, Purpose},
    workspace,
};

/// Sizes of a write, in bytes.
const WRITE_SIZES: [u32; 2] = [4 << 10, 16 << 10];

/// Writes in flight at once.
const DEPTHS: [u32; 2] = [1, 16];

/// Arguments of `cargo xtask bench`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Print the figures as JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Megabytes of the volume that are overwritten
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(4..=65536))]
    size: u64,
    /// How often each time is taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Where to put the volumes (about five times the size; on a disk, not in memory)
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Volume with snapshots that Windows made, to be read (raw or qcow2)
    #[arg(long, value_name = "IMAGE")]
    windows_image: Option<PathBuf>,
}

/// Everything that is measured. The first one makes no snapshot: the others are compared with it.
fn targets() -> Vec<Box<dyn Target>> {
    vec![Box::new(peers::NbdkitFile), Box::new(peers::NbdkitCow), Box::new(peers::QemuCopyBeforeWrite)]
}

/// `cargo xtask bench`.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Bench)?;
    let parent = args.folder.clone().unwrap_or_else(|| workspace::root().join("target/bench"));
    fs::create_dir_all(&parent).with_context(|| format!("make the folder {}", parent.display()))?;
    let _lock = lock(&parent)?;
    sweep(&parent)?;
    let scratch = tempfile::Builder::new()
        .prefix(RUN)
        .tempdir_in(&parent)
        .with_context(|| format!("make a folder in {}", parent.display()))?;

    eprintln!("making an NTFS volume with a file of {} MiB", args.size);
    let volume = Volume::make(&scratch.path().join("volume.img"), args.size << 20)?;
    let bench = Bench { volume, scratch: scratch.path().to_owned() };
    let mut report = Report::new(args.size << 20, args.rounds);
    bench.count(&mut report)?;
    bench.time(args.rounds, &mut report)?;
    report.reads = snapshot_read::measure(args.windows_image.as_deref(), args.rounds, &bench.scratch)?;

    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).context("write JSON")?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// What the folder of a run starts with.
const RUN: &str = "run-";

/// Folders of a run that something may be mounted on.
const MOUNTS: [&str; 2] = ["mount", snapshot_read::MOUNT];

/// One run at a time: two would measure each other, and [`sweep`] must not meet a live one. Held until dropped.
fn lock(parent: &Path) -> Result<File> {
    let path = parent.join("lock");
    let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    file.try_lock().with_context(|| format!("another benchmark runs in {}", parent.display()))?;
    Ok(file)
}

/// Removes what an interrupted run left behind.
fn sweep(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent).with_context(|| format!("read the folder {}", parent.display()))? {
        let path = entry.with_context(|| format!("read the folder {}", parent.display()))?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(RUN)) {
            continue;
        }
        for mount in MOUNTS {
            // Fails where nothing is mounted, which is the usual case; if it fails for another reason, so does removing.
            let _ = process::quiet_output(Command::new("fusermount3").args(["-u", "-z"]).arg(path.join(mount)));
        }
        fs::remove_dir_all(&path).with_context(|| format!("remove what an earlier run left in {}", path.display()))?;
    }
    Ok(())
}

struct Bench {
    volume: Volume,
    scratch: PathBuf,
}

impl Bench {
    /// First pass: what reaches the disk.
    fn count(&self, report: &mut Report) -> Result<()> {
        for target in targets() {
            for workload in workloads() {
                eprintln!("counting: {}, {workload}", target.name());
                let backing = self.folder("counted")?;
                self.volume.copy_to(&backing.join("volume.img"))?;
                let counted = CountingFolder::mount(&backing, &self.folder(MOUNTS[0])?)?;
                let place = self.place(counted.path())?;
                let served = target.start(&place)?;
                let mut result = WriteResult::new(target.as_ref(), workload);
                for pass in [Pass::First, Pass::Rewrite] {
                    let before = counted.counters();
                    let done = load::run(&served.export(), &self.volume, workload)?;
                    result.counted(pass, counted.counters().since(before), &done);
                }
                served.stop()?;
                counted.unmount()?;
                report.writes.push(result);
            }
        }
        Ok(())
    }

    /// Second pass: how long it takes, without anything of ours underneath.
    fn time(&self, rounds: u32, report: &mut Report) -> Result<()> {
        for round in 1..=rounds {
            for workload in workloads() {
                // Whoever comes first meets the disk in another state than the others, so each round begins with another.
                let mut targets = targets();
                let first = round as usize % targets.len();
                targets.rotate_left(first);
                for target in targets {
                    eprintln!("timing, round {round} of {rounds}: {}, {workload}", target.name());
                    let place = self.place(&self.folder("timed")?)?;
                    self.volume.copy_to(&place.image())?;
                    let served = target.start(&place)?;
                    let result = report.find(target.as_ref(), workload).context("a target was not counted")?;
                    for pass in [Pass::First, Pass::Rewrite] {
                        result.timed(pass, &load::run(&served.export(), &self.volume, workload)?);
                    }
                    served.stop()?;
                }
            }
        }
        report.compare();
        Ok(())
    }

    /// An empty folder.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("empty the folder {}", path.display()))?;
        }
        fs::create_dir(&path).with_context(|| format!("make the folder {}", path.display()))?;
        Ok(path)
    }

    fn place(&self, files: &Path) -> Result<Place> {
        let place = Place { files: files.to_owned(), run: self.folder("run")? };
        // A Unix socket's name may have 107 bytes; what comes of a longer one is hard to read from a peer's message.
        ensure!(place.socket().as_os_str().len() < 108, "{} is too long: use --folder", place.socket().display());
        Ok(place)
    }
}

fn workloads() -> impl Iterator<Item = Workload> {
    WRITE_SIZES.into_iter().flat_map(|size| DEPTHS.into_iter().map(move |depth| Workload { size, depth }))
}
