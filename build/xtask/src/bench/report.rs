// SPDX-License-Identifier: MIT OR Apache-2.0
//! The figures, as tables and as JSON.

use std::fmt;

use serde::Serialize;

use super::{
    counting::Counters,
    load::{Done, Pass, Workload},
    target::Target,
};

/// Everything that one run measured. This is also the form of `--json`; `format` changes when a field changes its meaning.
#[derive(Serialize)]
pub(super) struct Report {
    format: u32,
    /// Bytes of the volume that were overwritten.
    bytes: u64,
    rounds: u32,
    pub(super) writes: Vec<WriteResult>,
    pub(super) reads: Vec<ReadResult>,
}

/// One target under one workload.
#[derive(Serialize)]
pub(super) struct WriteResult {
    target: &'static str,
    snapshots: u32,
    write_size: u32,
    depth: u32,
    first: PassResult,
    rewrite: PassResult,
}

/// One pass over all blocks.
#[derive(Default, Serialize)]
struct PassResult {
    /// Writes of the user.
    operations: u64,
    /// Bytes of the user.
    bytes: u64,
    /// What they came to at the files.
    counters: Counters,
    /// Writes a second, one per round.
    rates: Vec<f64>,
    /// Median over the rounds of this rate against that of the target without snapshots.
    ratio: Option<f64>,
}

/// One program that reads a snapshot that Windows made.
#[derive(Serialize)]
pub(super) struct ReadResult {
    pub(super) reader: &'static str,
    pub(super) snapshot: u32,
    pub(super) bytes: u64,
    /// One per round.
    pub(super) seconds: Vec<f64>,
}

impl Report {
    pub(super) fn new(bytes: u64, rounds: u32) -> Self {
        Self { format: 1, bytes, rounds, writes: Vec::new(), reads: Vec::new() }
    }

    pub(super) fn find(&mut self, target: &dyn Target, workload: Workload) -> Option<&mut WriteResult> {
        self.writes.iter_mut().find(|result| {
            (result.target, result.snapshots) == (target.name(), target.snapshots()) && result.workload() == workload
        })
    }

    /// Sets every result in relation to the one without snapshots, round by round.
    pub(super) fn compare(&mut self) {
        let plain: Vec<(Workload, Vec<f64>, Vec<f64>)> = self
            .writes
            .iter()
            .filter(|result| result.snapshots == 0)
            .map(|result| (result.workload(), result.first.rates.clone(), result.rewrite.rates.clone()))
            .collect();
        for result in &mut self.writes {
            if let Some((_, first, rewrite)) = plain.iter().find(|(workload, ..)| *workload == result.workload()) {
                result.first.compare(first);
                result.rewrite.compare(rewrite);
            }
        }
    }
}

impl WriteResult {
    pub(super) fn new(target: &dyn Target, workload: Workload) -> Self {
        Self {
            target: target.name(),
            snapshots: target.snapshots(),
            write_size: workload.size,
            depth: workload.depth,
            first: PassResult::default(),
            rewrite: PassResult::default(),
        }
    }

    fn workload(&self) -> Workload {
        Workload { size: self.write_size, depth: self.depth }
    }

    fn pass(&mut self, pass: Pass) -> &mut PassResult {
        match pass {
            Pass::First => &mut self.first,
            Pass::Rewrite => &mut self.rewrite,
        }
    }

    pub(super) fn counted(&mut self, pass: Pass, counters: Counters, done: &Done) {
        let result = self.pass(pass);
        (result.operations, result.bytes, result.counters) = (done.operations, done.bytes, counters);
    }

    pub(super) fn timed(&mut self, pass: Pass, done: &Done) {
        self.pass(pass).rates.push(done.operations as f64 / done.took.as_secs_f64());
    }
}

impl PassResult {
    fn compare(&mut self, plain: &[f64]) {
        self.ratio = median(self.rates.iter().zip(plain).map(|(ours, plain)| ours / plain).collect());
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

/// `part` per `whole`, for people; the counts are far below what a float holds exactly.
fn per(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "every 16 KiB block of {} MiB overwritten, in random order", self.bytes >> 20)?;
        writeln!(
            f,
            "read x, write x: bytes at the files per byte of the user; per write: calls at the files per write of the user"
        )?;
        writeln!(f, "speed: writes a second against no snapshot, median of {} rounds\n", self.rounds)?;
        writeln!(
            f,
            "{:<23} {:>9} {:>6} {:>5} {:<8} {:>7} {:>8} {:>10} {:>11} {:>6}",
            "target", "snapshots", "write", "depth", "pass", "read x", "write x", "I/Os per", "flushes per", "speed"
        )?;
        for result in &self.writes {
            for (name, pass) in [("first", &result.first), ("rewrite", &result.rewrite)] {
                writeln!(
                    f,
                    "{:<23} {:>9} {:>5}K {:>5} {:<8} {:>7.2} {:>8.2} {:>10.2} {:>11.3} {:>6.2}",
                    result.target,
                    result.snapshots,
                    result.write_size >> 10,
                    result.depth,
                    name,
                    per(pass.counters.bytes_read, pass.bytes),
                    per(pass.counters.bytes_written, pass.bytes),
                    per(pass.counters.writes, pass.operations),
                    per(pass.counters.flushes, pass.operations),
                    pass.ratio.unwrap_or(f64::NAN),
                )?;
            }
        }
        if !self.reads.is_empty() {
            writeln!(f, "\nreading a snapshot that Windows made, whole, from the page cache")?;
            writeln!(f, "{:<23} {:>9} {:>8} {:>10}", "reader", "snapshot", "MiB", "MiB/s")?;
        }
        for read in &self.reads {
            let seconds = median(read.seconds.clone()).unwrap_or(f64::NAN);
            writeln!(
                f,
                "{:<23} {:>9} {:>8} {:>10.0}",
                read.reader,
                read.snapshot,
                read.bytes >> 20,
                per(read.bytes, 1 << 20) / seconds
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn takes_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![2.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }
}
