// SPDX-License-Identifier: MIT OR Apache-2.0
//! One pass of fio over a target's NBD export.

use std::{
    fmt::{self, Write as _},
    fs,
    process::Command,
};

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
///
/// The order is handed to fio as a log to replay. Its own random order knows no writes that are smaller than the block
/// that they lie in: with `blockalign` it hits some blocks twice and others never.
pub(super) fn run(place: &Place, uri: &str, volume: &Volume, workload: Workload) -> Result<Done> {
    let log = place.run.join("order.log");
    let blocks = volume.length / BLOCK;
    fs::write(&log, replay(volume, workload)).with_context(|| format!("write {}", log.display()))?;
    let mut command = Command::new("fio");
    // fio leaves a file in the folder that it runs in.
    command.current_dir(&place.run);
    command.args(["--name=overwrite", "--ioengine=nbd", "--rw=randrw", "--output-format=json"]);
    command.arg(format!("--uri={uri}")).arg(format!("--read_iolog={}", log.display()));
    command.arg(format!("--bs={}", workload.size)).arg(format!("--iodepth={}", workload.depth));
    let text = process::quiet_output(&mut command)?;
    // fio may print notices before the JSON.
    let json = text.find('{').and_then(|start| text.get(start..)).context("fio printed no JSON")?;
    let output: Output = serde_json::from_str(json).context("read what fio printed")?;
    let [job] = output.jobs.as_slice() else { bail!("fio ran {} jobs instead of one", output.jobs.len()) };
    ensure!(job.error == 0, "fio failed with error {}", job.error);
    let (done, wanted) = (job.write.io_bytes, blocks * workload.size);
    ensure!(done == wanted, "fio finished {done} of {wanted} bytes");
    Ok(Done { operations: job.write.total_ios, bytes: done, rate: job.write.iops })
}

/// fio's log, version 2: a write to each block, shuffled.
fn replay(volume: &Volume, workload: Workload) -> String {
    let mut offsets: Vec<u64> = (0..volume.length / BLOCK).map(|block| volume.start + block * BLOCK).collect();
    shuffle(&mut offsets);
    let mut log = String::from("fio version 2 iolog\nvolume add\nvolume open\n");
    for offset in offsets {
        // Writing to a string cannot fail.
        let _ = writeln!(log, "volume write {offset} {}", workload.size);
    }
    // At the end of a log fio leaves without the last answers. So the last requests are ones that nobody measures: small
    // reads outside of the region.
    for _ in 0..4 * workload.depth {
        log.push_str("volume read 0 512\n");
    }
    log
}

/// An order that is the same for every target, on every machine, in every version of this program.
fn shuffle(items: &mut [u64]) {
    // SplitMix64 (Steele, Lea, Flood 2014) feeding a Fisher-Yates shuffle.
    let mut state: u64 = 7;
    for last in (1..items.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut random = state;
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        random ^= random >> 31;
        items.swap(last, (random % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::shuffle;

    #[test]
    fn shuffling_keeps_every_item_once() {
        let ordered: Vec<u64> = (0..1000).collect();
        let mut shuffled = ordered.clone();
        shuffle(&mut shuffled);
        assert_ne!(shuffled, ordered);
        shuffled.sort_unstable();
        assert_eq!(shuffled, ordered);
    }
}
