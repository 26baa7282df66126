// SPDX-License-Identifier: MIT OR Apache-2.0
//! The figures, as tables and as JSON.

use std::fmt;

use serde::Serialize;

use super::{
    commit::Commits,
    counters::Counters,
    load::{Done, Pass, Workload},
    start::Started,
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
    pub(super) commits: Option<Commits>,
    pub(super) starts: Vec<Started>,
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
    /// Counted under one workload only, and not timed.
    free: PassResult,
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
    /// Median over the rounds of this rate against that of the first target, which has no snapshot.
    ratio: Option<f64>,
    /// The same against the target's own program without snapshots, where that is measured.
    own_ratio: Option<f64>,
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
        Self { format: 2, bytes, rounds, writes: Vec::new(), commits: None, starts: Vec::new(), reads: Vec::new() }
    }

    pub(super) fn find(&mut self, target: &dyn Target, workload: Workload) -> Option<&mut WriteResult> {
        self.writes.iter_mut().find(|result| {
            (result.target, result.snapshots) == (target.name(), target.snapshots()) && result.workload() == workload
        })
    }

    /// Sets every result in relation to those without snapshots, round by round.
    pub(super) fn compare(&mut self) {
        let plain: Vec<Plain> = self.writes.iter().filter(|result| result.snapshots == 0).map(Plain::new).collect();
        for result in &mut self.writes {
            let (target, workload) = (result.target, result.workload());
            let same = || plain.iter().filter(|plain| plain.workload == workload);
            // The first target's results come first.
            if let Some(peer) = same().next() {
                result.first.ratio = ratio(&result.first.rates, &peer.first);
                result.rewrite.ratio = ratio(&result.rewrite.rates, &peer.rewrite);
            }
            if let Some(own) = same().find(|plain| plain.target == target) {
                result.first.own_ratio = ratio(&result.first.rates, &own.first);
                result.rewrite.own_ratio = ratio(&result.rewrite.rates, &own.rewrite);
            }
        }
    }
}

/// What others are compared with.
struct Plain {
    target: &'static str,
    workload: Workload,
    first: Vec<f64>,
    rewrite: Vec<f64>,
}

impl Plain {
    fn new(result: &WriteResult) -> Self {
        Self {
            target: result.target,
            workload: result.workload(),
            first: result.first.rates.clone(),
            rewrite: result.rewrite.rates.clone(),
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
            free: PassResult::default(),
        }
    }

    fn workload(&self) -> Workload {
        Workload { size: self.write_size, depth: self.depth }
    }

    fn pass(&mut self, pass: Pass) -> &mut PassResult {
        match pass {
            Pass::First => &mut self.first,
            Pass::Rewrite => &mut self.rewrite,
            Pass::Free => &mut self.free,
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

/// Median of the ratios of each round.
fn ratio(rates: &[f64], plain: &[f64]) -> Option<f64> {
    median(rates.iter().zip(plain).map(|(rate, plain)| rate / plain).collect())
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
        self.show_writes(f)?;
        if let Some(commits) = &self.commits {
            show_commits(f, commits)?;
        }
        self.show_starts(f)?;
        self.show_reads(f)
    }
}

impl Report {
    fn show_writes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.writes.first().map_or("", |result| result.target);
        writeln!(
            f,
            "every 16 KiB block of {} MiB overwritten, in random order; the diff area needs not grow",
            self.bytes >> 20
        )?;
        writeln!(f, "free: writes into space that was free when the snapshot was made")?;
        writeln!(f, "read x, write x: bytes at the files per byte of the user")?;
        writeln!(f, "I/Os, flushes: writes, flushes and durable writes at the files per write of the user")?;
        writeln!(f, "speed: writes a second against {first}, own: against the same program without snapshots;")?;
        writeln!(f, "medians of {} rounds\n", self.rounds)?;
        writeln!(
            f,
            "{:<23} {:>9} {:>5} {:>5} {:<7} {:>6} {:>7} {:>6} {:>7} {:>6} {:>6}",
            "target", "snapshots", "write", "depth", "pass", "read x", "write x", "I/Os", "flushes", "speed", "own"
        )?;
        let shown = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        for result in &self.writes {
            let passes = [("first", &result.first), ("rewrite", &result.rewrite), ("free", &result.free)];
            for (name, pass) in passes.into_iter().filter(|(_, pass)| pass.operations > 0) {
                writeln!(
                    f,
                    "{:<23} {:>9} {:>4}K {:>5} {:<7} {:>6.2} {:>7.2} {:>6.2} {:>7.3} {:>6} {:>6}",
                    result.target,
                    result.snapshots,
                    result.write_size >> 10,
                    result.depth,
                    name,
                    per(pass.counters.bytes_read, pass.bytes),
                    per(pass.counters.bytes_written, pass.bytes),
                    per(pass.counters.writes, pass.operations),
                    per(pass.counters.flushes + pass.counters.durable_writes, pass.operations),
                    shown(pass.ratio),
                    shown(pass.own_ratio),
                )?;
            }
        }
        Ok(())
    }

    fn show_starts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.starts.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nvsshost: start with snapshots, memory then and after all is overwritten")?;
        writeln!(
            f,
            "{:>9} {:>9} {:>11} {:>10} {:>24}",
            "snapshots", "ready ms", "memory MiB", "after MiB", "MiB per GiB overwritten"
        )?;
        for start in &self.starts {
            let ready = median(start.ready_ms.clone()).unwrap_or(f64::NAN);
            let more = start.memory_after.saturating_sub(start.memory);
            writeln!(
                f,
                "{:>9} {:>9.0} {:>11.1} {:>10.1} {:>24.1}",
                start.snapshots,
                ready,
                per(start.memory, 1 << 20),
                per(start.memory_after, 1 << 20),
                per(more, start.overwritten) * 1024.0
            )?;
        }
        Ok(())
    }

    fn show_reads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reads.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nreading a snapshot that Windows made, whole, from the page cache")?;
        writeln!(f, "{:<23} {:>9} {:>8} {:>10}", "reader", "snapshot", "MiB", "MiB/s")?;
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

fn show_commits(f: &mut fmt::Formatter<'_>, commits: &Commits) -> fmt::Result {
    let held: Vec<f64> = commits.held_us.iter().map(|held| *held as f64 / 1e3).collect();
    writeln!(f, "\n{} snapshots made while fio writes 16 KiB at random, depth 16, ms: min, median, max", held.len())?;
    for (name, values) in [("writes held", &held), ("whole request", &commits.request_ms)] {
        let (least, most) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
        let shown = [least, median(values.clone()), most].map(|value| value.unwrap_or(f64::NAN));
        writeln!(f, "{name:<15} {:>8.1} {:>8.1} {:>8.1}", shown[0], shown[1], shown[2])?;
    }
    let (rate, longest) = (commits.writes_per_second, commits.longest_write_ms);
    writeln!(f, "fio did {rate:.0} writes a second; the longest took {longest:.1} ms")
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
