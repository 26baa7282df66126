// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must be true: the content of the live volume and of every snapshot, kept without the engine's help.

use crate::device::{describe, tag_of};
use crate::files::Files;
use ondisk::{Guid, VOLUME_HEADER_OFFSET};

/// The sector with the volume header. It is the engine's, on the live volume as in snapshots.
pub(crate) const HEADER_SECTOR: usize = VOLUME_HEADER_OFFSET as usize / 512;

/// What is known of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Commit was asked for and is not answered.
    Committing,
    /// It must be there.
    Alive,
    /// Deletion was asked for and is not answered.
    Going,
    /// It must not be seen again.
    Gone,
    /// The engine said that it could not be kept nor removed: anything goes.
    Lost,
}

/// A snapshot as it has to be.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Its store.
    pub(crate) store: Guid,
    /// Every sector of the volume at the moment of the commit.
    pub(crate) content: Vec<u64>,
    /// Blocks that somebody may want to read.
    pub(crate) needed: Vec<bool>,
    /// What is known of it.
    pub(crate) state: State,
}

/// Everything that must be true.
#[derive(Debug)]
pub(crate) struct Truth {
    /// What each sector of the live volume must hold.
    pub(crate) live: Vec<u64>,
    /// The oldest version that a crash may leave; `None`: the sector may hold anything.
    floor: Vec<Option<u64>>,
    /// The newest version when the sector was last in the diff area: what came before counts for nothing.
    barrier: Vec<u64>,
    /// In the order of their commits.
    pub(crate) snapshots: Vec<Snapshot>,
}

impl Truth {
    /// A fresh volume with this content.
    pub(crate) fn new(content: &[u64]) -> Self {
        Self {
            live: content.to_vec(),
            floor: vec![Some(0); content.len()],
            barrier: vec![0; content.len()],
            snapshots: Vec::new(),
        }
    }

    /// The snapshot with that store.
    pub(crate) fn find(&mut self, store: Guid) -> Option<&mut Snapshot> {
        self.snapshots.iter_mut().find(|snapshot| snapshot.store == store)
    }

    /// A user's write is done.
    pub(crate) fn written(&mut self, start: usize, values: &[u64]) {
        self.live[start..start + values.len()].copy_from_slice(values);
    }

    /// A user's write failed in the device: what is there now is what counts.
    pub(crate) fn write_failed(&mut self, start: usize, length: usize, content: &[u64]) {
        self.live[start..start + length].copy_from_slice(&content[start..start + length]);
    }

    /// These sectors became durable.
    pub(crate) fn durable(&mut self, landed: &[(usize, Vec<u64>)]) {
        for (start, values) in landed {
            for (i, value) in values.iter().enumerate() {
                // Saved copies and metadata are no writes of a user.
                if let Some((sector, version)) = tag_of(*value)
                    && sector == start + i
                    && version > self.barrier[sector]
                {
                    self.floor[sector] = Some(version);
                }
            }
        }
    }

    /// The sectors now belong to the diff area, or did a moment ago: nobody says what they hold.
    pub(crate) fn forget(&mut self, sectors: std::ops::Range<usize>, version: u64) {
        self.floor[sectors.clone()].fill(None);
        self.barrier[sectors].fill(version);
    }

    /// Compares the live volume. After a crash (`crashed`) older versions may be back, down to the durable one.
    pub(crate) fn check_live(&mut self, content: &[u64], files: &Files, crashed: bool) -> Result<(), String> {
        for (sector, value) in content.iter().copied().enumerate() {
            if sector == HEADER_SECTOR || files.is_diff(sector) {
                self.live[sector] = value;
                continue;
            }
            if crashed {
                if let Some(floor) = self.floor[sector] {
                    let newest = tag_of(self.live[sector]).map_or(u64::MAX, |(_, version)| version);
                    let fine = tag_of(value).is_some_and(|(s, version)| s == sector && version >= floor);
                    if !fine {
                        return Err(format!(
                            "live sector {sector} (block {}) holds {} after the crash, durable was version {floor}, \
                             newest {newest}",
                            sector / 32,
                            describe(value)
                        ));
                    }
                    // What survived is on the disk for good.
                    self.floor[sector] = tag_of(value).map(|(_, version)| version);
                }
                self.live[sector] = value;
            } else if value != self.live[sector] {
                return Err(format!(
                    "live sector {sector} (block {}) holds {}, must hold {}",
                    sector / 32,
                    describe(value),
                    describe(self.live[sector])
                ));
            }
        }
        Ok(())
    }
}

impl Snapshot {
    /// Compares what was read of sectors `start..`, where somebody may want them.
    pub(crate) fn compare(&self, start: usize, values: &[u64]) -> Result<(), String> {
        for (i, value) in values.iter().enumerate() {
            let sector = start + i;
            if sector != HEADER_SECTOR && self.needed[sector / 32] && self.content[sector] != *value {
                return Err(format!(
                    "snapshot {} sector {sector} (block {}) reads {}, must read {}",
                    self.store,
                    sector / 32,
                    describe(*value),
                    describe(self.content[sector])
                ));
            }
        }
        Ok(())
    }
}
