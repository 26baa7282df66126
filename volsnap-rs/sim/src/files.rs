// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file system reduced to what the engine can notice of one: who owns which cluster.
//!
//! Its own metadata is taken to be journalled and is not on the simulated disk. File content is: that is what is
//! snapshotted.

use crate::device::PER_BLOCK;
use crate::rng::Rng;
use engine::Extent;
use std::collections::BTreeMap;

/// Names a file; also its 'MFT reference'.
pub(crate) type FileId = u32;

const FREE: FileId = 0;
/// Boot area, file system metadata: always there.
const SYSTEM: FileId = 1;
/// Files at or above belong to the diff area.
const FIRST_DIFF: FileId = 1 << 30;

/// Clusters `first..first + count`.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: usize,
    count: usize,
}

/// The owners of a volume's clusters.
#[derive(Debug)]
pub(crate) struct Files {
    /// Sectors of a cluster.
    cluster: usize,
    sectors: usize,
    owner: Vec<FileId>,
    files: BTreeMap<FileId, Vec<Run>>,
    next: FileId,
}

impl Files {
    /// A volume whose first blocks and last, perhaps partial, cluster belong to the system.
    pub(crate) fn new(sectors: usize, cluster: usize) -> Self {
        let clusters = sectors.div_ceil(cluster);
        let head = (2 * PER_BLOCK).div_ceil(cluster);
        let mut owner = vec![FREE; clusters];
        owner[..head].fill(SYSTEM);
        owner[clusters - 1] = SYSTEM;
        let runs = vec![Run { first: 0, count: head }, Run { first: clusters - 1, count: 1 }];
        Self { cluster, sectors, owner, files: BTreeMap::from([(SYSTEM, runs)]), next: 2 }
    }

    fn owner_of(&self, sector: usize) -> FileId {
        self.owner[sector / self.cluster]
    }

    /// Whether the sector belongs to the catalog or a store file.
    pub(crate) fn is_diff(&self, sector: usize) -> bool {
        self.owner_of(sector) >= FIRST_DIFF
    }

    fn block_sectors(&self, block: usize) -> std::ops::Range<usize> {
        block * PER_BLOCK..((block + 1) * PER_BLOCK).min(self.sectors)
    }

    /// Whether a snapshot made now needs the block.
    pub(crate) fn needed(&self, block: usize) -> bool {
        self.block_sectors(block).any(|sector| {
            let owner = self.owner_of(sector);
            owner != FREE && owner < FIRST_DIFF
        })
    }

    /// The free map for a commit: a set bit for every block that no file owns a part of.
    pub(crate) fn free_map(&self) -> Vec<u8> {
        let blocks = self.sectors.div_ceil(PER_BLOCK);
        let mut bits = vec![0u8; blocks.div_ceil(8)];
        for block in 0..blocks {
            if self.block_sectors(block).all(|sector| self.owner_of(sector) == FREE) {
                bits[block / 8] |= 1 << (block % 8);
            }
        }
        bits
    }

    /// Whether no part of these sectors is free.
    pub(crate) fn all_owned(&self, sectors: &std::ops::Range<usize>) -> bool {
        sectors.clone().step_by(self.cluster).chain(sectors.clone().last()).all(|sector| self.owner_of(sector) != FREE)
    }

    /// Free clusters in sectors.
    pub(crate) fn free(&self) -> usize {
        self.owner.iter().filter(|owner| **owner == FREE).count() * self.cluster
    }

    /// Makes a file of about `sectors` in a few runs; `None` when there is no space. A file of the diff area begins at a
    /// 16 KiB boundary.
    pub(crate) fn create(&mut self, sectors: usize, diff: bool, rng: &mut Rng) -> Option<FileId> {
        self.next += 1;
        let id = if diff { FIRST_DIFF + self.next } else { self.next };
        self.files.insert(id, Vec::new());
        if self.grow(id, sectors, rng) {
            return Some(id);
        }
        self.delete(id);
        None
    }

    /// Makes the catalog's file: contiguous and aligned. Gives its first sector.
    pub(crate) fn create_catalog(&mut self, rng: &mut Rng) -> Option<usize> {
        let sectors = 4 * PER_BLOCK;
        let count = sectors.div_ceil(self.cluster);
        let begin = rng.below(self.owner.len());
        let fits = |first: &usize| {
            (first * self.cluster).is_multiple_of(PER_BLOCK)
                && self.owner.get(*first..first + count).is_some_and(|run| run.iter().all(|owner| *owner == FREE))
        };
        let first = (begin..self.owner.len()).chain(0..begin).find(fits)?;
        self.next += 1;
        self.take(FIRST_DIFF + self.next, Run { first, count });
        Some(first * self.cluster)
    }

    fn take(&mut self, id: FileId, run: Run) {
        self.owner[run.first..run.first + run.count].fill(id);
        self.files.entry(id).or_default().push(run);
    }

    /// Adds about `sectors` to a file. `false`: not enough space, nothing changed.
    pub(crate) fn grow(&mut self, id: FileId, sectors: usize, rng: &mut Rng) -> bool {
        let mut left = sectors.div_ceil(self.cluster);
        if self.free() < left * self.cluster {
            return false;
        }
        let total = self.owner.len();
        let mut aligned = id >= FIRST_DIFF && self.files[&id].is_empty();
        // Smaller pieces make more runs. At the end anything will do.
        let mut piece = rng.pick(&[left, left, left.div_ceil(2), left.div_ceil(4)]).max(1);
        for attempt in 0..40 {
            if left == 0 {
                break;
            }
            let begin = rng.below(total);
            let start = (begin..total).chain(0..begin).find(|first| {
                self.owner[*first] == FREE && (!aligned || (first * self.cluster).is_multiple_of(PER_BLOCK))
            });
            let Some(first) = start else { break };
            let free = self.owner[first..].iter().take_while(|owner| **owner == FREE).count();
            if attempt > 30 {
                piece = left;
            }
            let count = free.min(left).min(piece);
            if aligned && count * self.cluster < PER_BLOCK {
                continue;
            }
            aligned = false;
            self.take(id, Run { first, count });
            left -= count;
        }
        !self.files[&id].is_empty()
    }

    /// Frees a file's clusters; gives their sectors.
    pub(crate) fn delete(&mut self, id: FileId) -> Vec<std::ops::Range<usize>> {
        let runs = self.files.remove(&id).unwrap_or_default();
        for run in &runs {
            self.owner[run.first..run.first + run.count].fill(FREE);
        }
        runs.iter().map(|run| self.range(*run)).collect()
    }

    /// Cuts a file to its first `bytes`, as Windows does with older store files; gives the sectors that became free.
    pub(crate) fn truncate(&mut self, id: FileId, bytes: u64) -> Vec<std::ops::Range<usize>> {
        let mut keep = (bytes as usize).div_ceil(512).div_ceil(self.cluster);
        let runs = self.files.remove(&id).unwrap_or_default();
        let mut freed = Vec::new();
        let mut kept = Vec::new();
        for run in runs {
            let count = run.count.min(keep);
            keep -= count;
            if count > 0 {
                kept.push(Run { count, ..run });
            }
            let rest = Run { first: run.first + count, count: run.count - count };
            if rest.count > 0 {
                self.owner[rest.first..rest.first + rest.count].fill(FREE);
                freed.push(self.range(rest));
            }
        }
        self.files.insert(id, kept);
        freed
    }

    fn range(&self, run: Run) -> std::ops::Range<usize> {
        run.first * self.cluster..((run.first + run.count) * self.cluster).min(self.sectors)
    }

    /// The sectors of a file, in file order.
    pub(crate) fn runs(&self, id: FileId) -> Vec<std::ops::Range<usize>> {
        self.files.get(&id).map_or_else(Vec::new, |runs| runs.iter().map(|run| self.range(*run)).collect())
    }

    /// A file's runs as the engine wants them.
    pub(crate) fn extents(&self, id: FileId) -> Vec<Extent> {
        let mut relative = 0;
        let mut extents = Vec::new();
        for range in self.runs(id) {
            let length = range.len() as u64 * 512;
            extents.push(Extent { volume: range.start as u64 * 512, relative, length });
            relative += length;
        }
        extents
    }

    /// A user's file, or the system's own area.
    pub(crate) fn pick_user(&self, rng: &mut Rng) -> FileId {
        let users = self.files.range(..FIRST_DIFF);
        let at = rng.below(users.clone().count());
        users.map(|(id, _)| *id).nth(at).unwrap_or(SYSTEM)
    }

    /// Whether it is the system's own, which is never deleted.
    pub(crate) fn is_system(id: FileId) -> bool {
        id == SYSTEM
    }

    /// Some free sectors in a row.
    pub(crate) fn pick_free(&self, rng: &mut Rng) -> Option<std::ops::Range<usize>> {
        let begin = rng.below(self.owner.len());
        let first = (begin..self.owner.len()).chain(0..begin).find(|cluster| self.owner[*cluster] == FREE)?;
        let count = self.owner[first..].iter().take_while(|owner| **owner == FREE).count();
        Some(self.range(Run { first, count }))
    }
}
