// SPDX-License-Identifier: MIT OR Apache-2.0
//! One pass of fio over a target's NBD export.

use std::{fmt, process::Command};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{target::Place, volume::Volume};
use crate::process;

/// The block that snapshots are made of: each is overwritten once in a pass.
const BLOCK: u64 = 16 << 10;

/// How the volume is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    /// Bytes of a write, at the start of each block.
    pub(super) size: u64,
    /// Writes in flight at once.
    pub(super) depth: u32,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB, depth {}", self.size >> 10, self.depth)
    }
}

/// Which of the two passes over the same blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Every block for the first time since the snapshot.
    First,
    /// Every block once more.
    Rewrite,
}

/// What fio did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// Writes.
    pub(super) operations: u64,
    /// Bytes written.
    pub(super) bytes: u64,
    /// Writes a second.
    pub(super) rate: f64,
}

#[derive(Deserialize)]
struct Output {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    error: i64,
    write: Writes,
}

#[derive(Deserialize)]
struct Writes {
    io_bytes: u64,
    total_ios: u64,
    iops: f64,
}

/// Overwrites each block of the volume's region once, always in the same random order.
pub(super) fn run(place: &Place, uri: &str, volume: &Volume, workload: Workload) -> Result<Done> {
    let blocks = volume.length / BLOCK;
    let mut command = Command::new("fio");
    // fio leaves a file in the folder that it runs in.
    command.current_dir(&place.run);
    command.args(["--name=overwrite", "--ioengine=nbd", "--rw=randwrite", "--output-format=json"]);
    // One seed: the same order in both passes, for every target.
    command.args(["--randseed=7", "--allrandrepeat=1"]);
    command.arg(format!("--uri={uri}"));
    command.arg(format!("--bs={}", workload.size)).arg(format!("--blockalign={BLOCK}"));
    command.arg(format!("--offset={}", volume.start)).arg(format!("--size={}", volume.length));
    command.arg(format!("--io_size={}", blocks * workload.size)).arg(format!("--iodepth={}", workload.depth));
    let text = process::output(&mut command)?;
    // fio may print notices before the JSON.
    let json = text.find('{').and_then(|start| text.get(start..)).context("fio printed no JSON")?;
    let output: Output = serde_json::from_str(json).context("read what fio printed")?;
    let [job] = output.jobs.as_slice() else { bail!("fio ran {} jobs instead of one", output.jobs.len()) };
    ensure!(job.error == 0, "fio failed with error {}", job.error);
    ensure!(job.write.total_ios == blocks, "fio made {} writes instead of {blocks}", job.write.total_ios);
    Ok(Done { operations: job.write.total_ios, bytes: job.write.io_bytes, rate: job.write.iops })
}
