// SPDX-License-Identifier: MIT OR Apache-2.0
//! What keeping snapshots costs a host beside writes: time to load them, and memory for what they have saved.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::{
    load::{self, Workload},
    ours::Vsshost,
    target::{Place, Served},
    volume::Volume,
};

/// One host.
#[derive(Serialize)]
pub(super) struct Started {
    pub(super) snapshots: u32,
    /// From the start of the process until it answers, in milliseconds; one per round.
    pub(super) ready_ms: Vec<f64>,
    /// Bytes of memory when it has answered, at most.
    pub(super) memory: u64,
    /// The same after every block of the region was overwritten.
    pub(super) memory_after: u64,
    /// Bytes of the region.
    pub(super) overwritten: u64,
}

/// Starts a host so many times, and overwrites everything the last time.
pub(super) fn measure(target: &Vsshost, volume: &Volume, place: &Place, rounds: u32) -> Result<Started> {
    let mut started = Started {
        snapshots: target.snapshots,
        ready_ms: vec![],
        memory: 0,
        memory_after: 0,
        overwritten: volume.length,
    };
    volume.copy_to(&place.image())?;
    for round in 1..=rounds {
        let start = Instant::now();
        let host = target.serve(place)?;
        started.ready_ms.push(start.elapsed().as_secs_f64() * 1e3);
        started.memory = started.memory.max(host.memory()?);
        if round == rounds {
            load::run(&host.export(), volume, Workload { size: 16 << 10, depth: 16 })?;
            started.memory_after = host.memory()?;
        }
        Box::new(host).stop()?;
    }
    Ok(started)
}
