// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long writes wait for a snapshot: many snapshots made one after the other, while fio writes without pause.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::{
    ours::{Vsshost, store_size, with_parent},
    target::{Export, Place, Served},
    volume::Volume,
};
use crate::process;

/// Bytes that fio writes to. Each snapshot saves them again.
const REGION: u64 = 16 << 20;

/// Between two snapshots: fio writes, and so there is something in flight and something to save.
const PAUSE: Duration = Duration::from_millis(250);

/// fio ends by itself after so long, whatever has become of us.
const RUNTIME: &str = "300";

/// How long fio may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// All commits of one run.
#[derive(Serialize)]
pub(super) struct Commits {
    /// From the moment when writes were held until the snapshot was durable, in microseconds.
    pub(super) held_us: Vec<u64>,
    /// The whole request, store file included, in milliseconds.
    pub(super) request_ms: Vec<f64>,
    /// Writes a second that fio did meanwhile.
    pub(super) writes_per_second: f64,
    /// The longest that one of fio's writes took, in milliseconds.
    pub(super) longest_write_ms: f64,
}

/// Makes `count` snapshots of the volume while it is written.
pub(super) fn measure(program: &Path, volume: &Volume, place: &Place, count: u32) -> Result<Commits> {
    let image = volume.copy_to(&place.image())?;
    let host = Vsshost { program: program.to_owned(), snapshots: count, sparse: true }.serve(place)?;
    let fio = Fio::start(&host.export(), &image, place)?;
    let (mut held_us, mut request_ms) = (Vec::new(), Vec::new());
    for _ in 0..count {
        thread::sleep(PAUSE);
        let start = Instant::now();
        held_us.push(host.control.create(store_size(REGION))?.held_us);
        request_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let job = fio.end()?;
    Box::new(host).stop()?;
    Ok(Commits { held_us, request_ms, writes_per_second: job.iops, longest_write_ms: job.lat_ns.max / 1e6 })
}

/// A running fio, killed when dropped.
struct Fio {
    child: Child,
    output: PathBuf,
    messages: PathBuf,
}

/// The part of fio's report that is used here.
#[derive(Deserialize)]
struct Told {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    error: i32,
    write: Writes,
}

#[derive(Deserialize)]
struct Writes {
    total_ios: u64,
    iops: f64,
    lat_ns: Latency,
}

#[derive(Deserialize)]
struct Latency {
    max: f64,
}

impl Fio {
    fn start(export: &Export, volume: &Volume, place: &Place) -> Result<Self> {
        let (output, messages) = (place.run.join("fio.json"), place.run.join("fio.log"));
        let log = File::create(&messages).with_context(|| format!("make {}", messages.display()))?;
        let length = volume.length.min(REGION);
        let mut command = with_parent(&process::find("fio").unwrap_or_else(|| "fio".into()));
        // One process (`--thread`): no worker of it outlives it.
        command.args(["--name=commits", "--ioengine=nbd", "--rw=randwrite", "--bs=16k", "--iodepth=16", "--thread"]);
        command.args(["--time_based", "--norandommap", "--randrepeat=0", "--output-format=json"]);
        command.arg(format!("--runtime={RUNTIME}")).arg(format!("--output={}", output.display()));
        command.arg(format!("--uri=nbd+unix:///{}?socket={}", export.name, export.socket.display()));
        command.arg(format!("--offset={}", volume.start)).arg(format!("--size={length}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().with_context(|| format!("start `{}`", process::shown(&command)))?;
        Ok(Self { child, output, messages })
    }

    /// Ends it and reads what it did.
    fn end(mut self) -> Result<Writes> {
        // One that ended early had an error: then the commits met no writes.
        let early = self.child.try_wait().context("look at fio")?;
        ensure!(early.is_none(), "fio ended early\n{}", self.said());
        kill_process(Pid::from_child(&self.child), Signal::INT).context("ask fio to end")?;
        let start = Instant::now();
        while self.child.try_wait().context("wait for fio")?.is_none() {
            ensure!(start.elapsed() < PATIENCE, "fio does not end\n{}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
        let text = fs::read_to_string(&self.output).with_context(|| format!("read {}", self.output.display()))?;
        // A note that it was interrupted may come first.
        let json = text.find('{').and_then(|start| text.get(start..)).unwrap_or_default();
        let told: Told = serde_json::from_str(json).with_context(|| format!("what fio said: {text}"))?;
        match told.jobs.into_iter().next() {
            Some(Job { error: 0, write }) if write.total_ios > 0 => Ok(write),
            _ => bail!("fio wrote nothing, or failed\n{}", self.said()),
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.messages).unwrap_or_default()
    }
}

impl Drop for Fio {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() {
            // The status of a killed process says nothing new.
            let _ = self.child.wait();
        }
    }
}
