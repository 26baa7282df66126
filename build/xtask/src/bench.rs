// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: what a snapshot costs, measured beside other programs in one run.
//!
//! Two questions about writes, measured apart:
//!
//! * How much is read, written and flushed for one write of a user? Counted by a file system of our own
//!   ([`counting`]) under the program; the figures repeat on any machine.
//! * How fast is it? Timed on plain files. Every round measures all programs one after the other, and the table has
//!   ratios against the program without snapshots of the same round, because seconds of one machine mean nothing on another.
//!
//! Beside these: how long writes wait for a snapshot ([`commit`]), what a host takes to start and to keep ([`start`]), and
//! reading what Windows made ([`snapshot_read`]).
//!
//! Every program serves a copy of the same NTFS volume over NBD, and [`load`] overwrites every block of the same file in it,
//! in the same random order: once (the first writes, which must save what was there) and once again (the rewrites). A program is
//! a [`target::Target`]; a new one is one more file and one more line in [`targets`]. Ours is [`ours::Vsshost`], without
//! and with snapshots.

mod attributes;
mod commit;
mod control;
mod counters;
mod counting;
mod load;
mod ours;
mod peers;
mod report;
mod snapshot_read;
mod start;
mod target;
mod volume;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use rustix::fs::syncfs;
use tempfile::TempDir;

use self::{
    counting::CountingFolder,
    load::{Pass, Workload},
    ours::Vsshost,
    report::{Report, WriteResult},
    target::{Place, Target},
    volume::Volume,
};
use crate::{
    process,
    programs::{Profile, Programs},
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
    /// A few minutes' worth: a smaller volume, and each time taken once
    #[arg(long)]
    quick: bool,
    /// Megabytes of the volume that are overwritten [default: 64, or 16 if quick]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(4..=65536))]
    size: Option<u64>,
    /// How often each time is taken [default: 3, or 1 if quick]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Where to put the volumes (about twelve times the size; on a disk, not in memory)
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Volume with snapshots that Windows made, to be read (raw or qcow2)
    #[arg(long, value_name = "IMAGE")]
    windows_image: Option<PathBuf>,
}

/// How many snapshots ours keeps.
const SNAPSHOTS: [u32; 4] = [0, 1, 8, 64];

/// The workload under which writes into free space are counted, too.
const FREE: Workload = Workload { size: 16 << 10, depth: 16 };

/// Rewrites can be repeated: a time shorter than this says little.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// Snapshots that are made while the volume is written.
const COMMITS: u32 = 20;

/// Everything that writes are measured with. The first one makes no snapshot: the others are compared with it.
fn targets(vsshost: &Path) -> Vec<Box<dyn Target>> {
    let mut targets: Vec<Box<dyn Target>> =
        vec![Box::new(peers::NbdkitFile), Box::new(peers::NbdkitCow), Box::new(peers::QemuCopyBeforeWrite)];
    targets.extend(ours(vsshost).map(|target| Box::new(target) as Box<dyn Target>));
    targets.push(Box::new(Vsshost { program: vsshost.to_owned(), snapshots: 1, sparse: false }));
    targets
}

fn ours(vsshost: &Path) -> impl Iterator<Item = Vsshost> {
    SNAPSHOTS.into_iter().map(|snapshots| Vsshost { program: vsshost.to_owned(), snapshots, sparse: true })
}

impl Args {
    /// Bytes that are overwritten, and how often times are taken.
    fn extent(&self) -> (u64, u32) {
        let (size, rounds) = if self.quick { (16, 1) } else { (64, 3) };
        (self.size.unwrap_or(size) << 20, self.rounds.unwrap_or(rounds))
    }
}

/// `cargo xtask bench`.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure(Purpose::Bench)?;
    let parent = args.folder.clone().unwrap_or_else(|| workspace::root().join("target/bench"));
    fs::create_dir_all(&parent).with_context(|| format!("make the folder {}", parent.display()))?;
    let _lock = lock(&parent)?;
    sweep(&parent)?;
    let scratch = tempfile::Builder::new().prefix(RUN).tempdir_in(&parent);
    let scratch = Scratch(scratch.with_context(|| format!("make a folder in {}", parent.display()))?);
    let folder = scratch.0.path();

    eprintln!("$ {}", Programs::command(Profile::Release));
    let programs = Programs::build(Profile::Release)?;
    let (size, rounds) = args.extent();
    eprintln!("making an NTFS volume with a file of {} MiB", size >> 20);
    let volume = Volume::make(&folder.join("volume.img"), size)?;
    let bench = Bench::prepare(targets(&programs.vsshost), &volume, folder)?;
    let mut report = Report::new(size, rounds);
    bench.count(&mut report)?;
    bench.time(rounds, &mut report)?;
    eprintln!("making {COMMITS} snapshots while fio writes");
    report.commits = Some(commit::measure(&programs.vsshost, &volume, &bench.timed_place()?, COMMITS)?);
    for target in ours(&programs.vsshost) {
        eprintln!("starting vsshost with {} snapshots", target.snapshots);
        let volume = bench.volume_of(&target).context("a target was not prepared")?;
        report.starts.push(start::measure(&target, volume, &bench.timed_place()?, rounds)?);
    }
    let image = args.windows_image.as_deref();
    report.reads = snapshot_read::measure(image, &programs.vsstool, rounds, &bench.scratch)?;

    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).context("write JSON")?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// What the folder of a run starts with.
const RUN: &str = "run-";

/// Where the counting file system is, in the folder of a run.
const COUNTED: &str = "mount";

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
        detach(&path);
        fs::remove_dir_all(&path).with_context(|| format!("remove what an earlier run left in {}", path.display()))?;
    }
    Ok(())
}

/// A target and the volume that it begins with.
struct Subject {
    target: Box<dyn Target>,
    volume: Volume,
}

/// Ends what is mounted in the folder of a run, by us or by a host that was killed.
fn detach(run: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    // Each line is a device, a place with octal escapes, and more; the newest is the last.
    let places =
        mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).map(|place| place.replace("\\040", " "));
    for place in places.filter(|place| Path::new(place).starts_with(run)) {
        // If it fails, so does removing the folder, which is not silent.
        let _ = process::quiet_output(Command::new("fusermount3").args(["-u", "-z"]).arg(place));
    }
}

/// The folder of a run, removed when dropped: with the mount of a host that was killed, which would keep it there.
struct Scratch(TempDir);

impl Drop for Scratch {
    fn drop(&mut self) {
        detach(self.0.path());
    }
}

struct Bench {
    subjects: Vec<Subject>,
    scratch: PathBuf,
}

impl Bench {
    fn prepare(targets: Vec<Box<dyn Target>>, plain: &Volume, scratch: &Path) -> Result<Self> {
        let mut bench = Self { subjects: Vec::new(), scratch: scratch.to_owned() };
        for target in targets {
            eprintln!("preparing: {}, {} snapshots", target.name(), target.snapshots());
            let place = bench.place(&bench.folder("prepared")?)?;
            let volume = target.prepare(plain, &place)?;
            bench.subjects.push(Subject { target, volume });
        }
        Ok(bench)
    }

    /// First pass: what reaches the disk.
    fn count(&self, report: &mut Report) -> Result<()> {
        for Subject { target, volume } in &self.subjects {
            for workload in workloads() {
                eprintln!("counting: {}, {} snapshots, {workload}", target.name(), target.snapshots());
                let backing = self.folder("counted")?;
                volume.copy_to(&backing.join("volume.img"))?;
                let counted = CountingFolder::mount(&backing, &self.folder(COUNTED)?)?;
                let place = self.place(counted.path())?;
                let served = target.start(&place)?;
                let mut result = WriteResult::new(target.as_ref(), workload);
                for pass in [Pass::First, Pass::Rewrite] {
                    let before = counted.counters();
                    let done = load::run(&served.export(), volume, workload)?;
                    result.counted(pass, counted.counters().since(before), &done);
                }
                if workload == FREE {
                    let before = counted.counters();
                    let done = load::run(&served.export(), &volume.free_space()?, workload)?;
                    result.counted(Pass::Free, counted.counters().since(before), &done);
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
                let first = round as usize % self.subjects.len();
                let (before, from) = self.subjects.split_at(first);
                for Subject { target, volume } in from.iter().chain(before) {
                    let (name, snapshots) = (target.name(), target.snapshots());
                    eprintln!("timing, round {round} of {rounds}: {name}, {snapshots} snapshots, {workload}");
                    let place = self.timed_place()?;
                    volume.copy_to(&place.image())?;
                    let served = target.start(&place)?;
                    let result = report.find(target.as_ref(), workload).context("a target was not counted")?;
                    for pass in [Pass::First, Pass::Rewrite] {
                        let mut done = load::run(&served.export(), volume, workload)?;
                        while pass == Pass::Rewrite && done.took < LONG_ENOUGH {
                            done = done.and(load::run(&served.export(), volume, workload)?);
                        }
                        result.timed(pass, &done);
                        // Nobody's next pass is to meet what the system still has to write of this one.
                        syncfs(File::open(&place.files)?).context("write everything back")?;
                    }
                    served.stop()?;
                }
            }
        }
        report.compare();
        Ok(())
    }

    /// The volume that was prepared for a target.
    fn volume_of(&self, wanted: &dyn Target) -> Option<&Volume> {
        let key = |target: &dyn Target| (target.name(), target.snapshots());
        self.subjects.iter().find(|subject| key(subject.target.as_ref()) == key(wanted)).map(|found| &found.volume)
    }

    /// An empty place on the disk, with nothing of ours underneath.
    fn timed_place(&self) -> Result<Place> {
        self.place(&self.folder("timed")?)
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
