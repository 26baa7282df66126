// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk with a volatile cache.
//!
//! Content is one `u64` per 512-byte sector. User data is a tag that says which sector it was written to and which
//! version it is; metadata is an index into an [`Arena`] of real bytes; 0 is a sector of zeros. So a run of thousands of
//! writes costs next to nothing and still every sector that the engine moves is told from every other.
//!
//! What was written is visible at once and durable only after a flush (or at once, for durable writes). A crash keeps
//! any part of what was not durable, sector by sector, including sectors of writes that were still on their way.

use crate::rng::Rng;

/// Bytes of a sector, the unit of tearing.
pub(crate) const SECTOR: usize = 512;
/// Sectors of a 16 KiB block.
pub(crate) const PER_BLOCK: usize = 32;
/// No value: the sector of an operation is overwritten durably by a later one.
const NONE: u64 = u64::MAX;
const METADATA: u64 = 1 << 63;
const SECTOR_BITS: u32 = 24;

/// The tag of version `version` of a sector.
pub(crate) fn tag(sector: usize, version: u64) -> u64 {
    version << SECTOR_BITS | (sector as u64 + 1)
}

/// The sector and version of a tag; `None` for metadata and zeros.
pub(crate) fn tag_of(value: u64) -> Option<(usize, u64)> {
    let sector = value & ((1 << SECTOR_BITS) - 1);
    (value & METADATA == 0 && sector != 0).then(|| (sector as usize - 1, value >> SECTOR_BITS))
}

/// The value of a sector in words.
pub(crate) fn describe(value: u64) -> String {
    match tag_of(value) {
        Some((sector, version)) => format!("sector {sector} (block {}) version {version}", sector / PER_BLOCK),
        None if value == 0 => "zeros".to_owned(),
        None => format!("metadata #{}", value & !METADATA),
    }
}

/// The bytes behind metadata values.
#[derive(Debug, Default)]
pub(crate) struct Arena(Vec<[u8; SECTOR]>);

impl Arena {
    /// The values that stand for these bytes.
    pub(crate) fn encode(&mut self, bytes: &[u8]) -> Vec<u64> {
        bytes
            .chunks(SECTOR)
            .map(|chunk| {
                if chunk.iter().all(|byte| *byte == 0) {
                    return 0;
                }
                let mut sector = [0; SECTOR];
                sector[..chunk.len()].copy_from_slice(chunk);
                self.0.push(sector);
                METADATA | (self.0.len() as u64 - 1)
            })
            .collect()
    }

    /// The bytes of these values. A tag becomes bytes that are no metadata.
    pub(crate) fn decode(&self, values: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(values.len() * SECTOR);
        for value in values {
            if *value & METADATA != 0 {
                bytes.extend_from_slice(&self.0[(*value & !METADATA) as usize]);
            } else {
                for _ in 0..SECTOR / 8 {
                    bytes.extend_from_slice(&value.to_le_bytes());
                }
            }
        }
        bytes
    }
}

#[derive(Debug)]
struct Op {
    id: u64,
    start: usize,
    values: Vec<u64>,
    /// Sectors that readers see already.
    applied: usize,
    /// When it was reported done, in completions.
    done: Option<u64>,
    /// A flush behind it failed: a later one does not bring it to disk.
    lost: bool,
    /// Whether that can happen to it.
    fragile: bool,
}

/// A write that is not durable yet, or was not when it was named.
pub(crate) type OpId = u64;

/// A disk.
#[derive(Debug)]
pub(crate) struct Device {
    current: Vec<u64>,
    durable: Vec<u64>,
    ops: Vec<Op>,
    next: u64,
    completions: u64,
}

impl Device {
    /// A disk with version 0 of everything, durably.
    pub(crate) fn new(sectors: usize) -> Self {
        let content: Vec<u64> = (0..sectors).map(|sector| tag(sector, 0)).collect();
        Self { current: content.clone(), durable: content, ops: Vec::new(), next: 0, completions: 0 }
    }

    /// What a reader sees.
    pub(crate) fn content(&self) -> &[u64] {
        &self.current
    }

    /// Begins a write. When `fragile`, a failing flush may lose it for good; without (users' writes, whose loss would be
    /// nobody's fault but the device's) it stays for the next flush.
    pub(crate) fn submit(&mut self, start: usize, values: Vec<u64>, fragile: bool) -> OpId {
        self.next += 1;
        self.ops.push(Op { id: self.next, start, values, applied: 0, done: None, lost: false, fragile });
        self.next
    }

    /// Lets readers see up to `count` more sectors. `true`: they see all.
    pub(crate) fn apply(&mut self, id: OpId, count: usize) -> bool {
        let op = self.ops.iter_mut().find(|op| op.id == id).expect("a write under way");
        let to = op.values.len().min(op.applied + count);
        for (i, value) in op.values.iter().enumerate().take(to).skip(op.applied) {
            self.current[op.start + i] = *value;
        }
        op.applied = to;
        to == op.values.len()
    }

    /// Ends a write that readers see; gives what became durable.
    pub(crate) fn complete(&mut self, id: OpId, durable: bool) -> Vec<(usize, Vec<u64>)> {
        self.completions += 1;
        let at = self.ops.iter().position(|op| op.id == id).expect("a write under way");
        self.ops[at].done = Some(self.completions);
        if durable { vec![self.land(at)] } else { Vec::new() }
    }

    /// Ends a write with an error: some of its sectors were written.
    pub(crate) fn fail(&mut self, id: OpId, rng: &mut Rng) {
        let op = self.ops.iter_mut().find(|op| op.id == id).expect("a write under way");
        self.completions += 1;
        op.done = Some(self.completions);
        let keep = rng.pick(&[0, 500, 1000]);
        for i in 0..op.values.len() {
            if i < op.applied {
                continue;
            }
            if rng.chance(keep) {
                self.current[op.start + i] = op.values[i];
            } else {
                op.values[i] = NONE;
            }
        }
    }

    /// What a flush that begins now has to make durable.
    pub(crate) fn mark(&self) -> u64 {
        self.completions
    }

    /// Ends a flush; gives what became durable.
    pub(crate) fn flush(&mut self, mark: u64) -> Vec<(usize, Vec<u64>)> {
        let mut landed = Vec::new();
        let mut at = 0;
        while at < self.ops.len() {
            if self.ops[at].done.is_some_and(|done| done <= mark) && !self.ops[at].lost {
                landed.push(self.land(at));
            } else {
                at += 1;
            }
        }
        landed
    }

    /// Ends a flush with an error: what was to become durable may never do.
    pub(crate) fn flush_failed(&mut self, rng: &mut Rng) {
        let lost = rng.pick(&[0, 300, 1000]);
        for op in self.ops.iter_mut().filter(|op| op.fragile && op.done.is_some()) {
            op.lost |= rng.chance(lost);
        }
    }

    /// What lies in these sectors is no longer the engine's: from now on it is flushed like a user's data.
    pub(crate) fn release(&mut self, sectors: &std::ops::Range<usize>) {
        for op in &mut self.ops {
            if op.start < sectors.end && sectors.start < op.start + op.values.len() {
                (op.lost, op.fragile) = (false, false);
            }
        }
    }

    /// Makes an operation durable. Nothing older can come back over it.
    fn land(&mut self, at: usize) -> (usize, Vec<u64>) {
        let op = self.ops.remove(at);
        for (i, value) in op.values.iter().enumerate().filter(|(_, value)| **value != NONE) {
            self.durable[op.start + i] = *value;
        }
        let end = op.start + op.values.len();
        for earlier in &mut self.ops[..at] {
            let from = earlier.start.max(op.start);
            let to = end.min(earlier.start + earlier.values.len());
            for sector in from..to {
                earlier.values[sector - earlier.start] = NONE;
            }
        }
        (op.start, op.values)
    }

    /// The power goes: any part of what is not durable survives.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let whole = rng.chance(400);
        let keep = rng.pick(&[0, 100, 500, 900, 1000]);
        for op in std::mem::take(&mut self.ops) {
            let all = rng.chance(keep);
            for (i, value) in op.values.iter().enumerate() {
                if *value != NONE && if whole { all } else { rng.chance(keep) } {
                    self.durable[op.start + i] = *value;
                }
            }
        }
        self.current.copy_from_slice(&self.durable);
    }
}
