// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which blocks of a store file are still free.
//!
//! Blocks are given out in file order and never come back while the store lives: `highest used relative offset` is the
//! only state, exactly what can be found again on disk after a crash (spec of the format, 'used size').

use crate::types::{Extent, NoMemory};
use crate::vecs;
use alloc::vec::Vec;
use ondisk::BLOCK_SIZE;

/// A block of a store file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreBlock {
    /// Offset in the store file.
    pub(crate) relative: u64,
    /// Offset on the storage volume.
    pub(crate) volume: u64,
}

#[derive(Debug)]
pub(crate) struct Space {
    /// Usable parts of the file's runs: aligned on the volume, whole blocks, ascending in the file.
    runs: Vec<Extent>,
    /// Everything below is used.
    next: u64,
    /// Free blocks, kept because it is asked before every copy.
    free: u64,
    /// No run before this one has a free block.
    at: usize,
}

impl Space {
    pub(crate) const fn empty() -> Self {
        Self { runs: Vec::new(), next: 0, free: 0, at: 0 }
    }

    /// The space of a file with these runs, in which everything below `used` is taken.
    pub(crate) fn new(extents: &[Extent], used: u64) -> Result<Self, NoMemory> {
        let mut runs = vecs::with_capacity(extents.len())?;
        for extent in extents {
            if let Some(run) = usable(extent) {
                // File order, whatever order they come in: few runs, so insertion is cheap enough.
                let at = runs.partition_point(|r: &Extent| r.relative < run.relative);
                vecs::insert(&mut runs, at, run)?;
            }
        }
        let mut space = Self { runs, next: used, free: 0, at: 0 };
        space.count();
        Ok(space)
    }

    /// Used bytes of the file.
    pub(crate) fn used(&self) -> u64 {
        self.next
    }

    /// Marks everything up to and with the block at `relative` as used.
    pub(crate) fn mark_used(&mut self, relative: u64) {
        self.next = self.next.max(relative.saturating_add(BLOCK_SIZE));
        self.count();
    }

    fn count(&mut self) {
        self.free = self.free_runs().map(|run| run.length / BLOCK_SIZE).sum();
        self.at = 0;
    }

    /// Bytes in usable blocks.
    pub(crate) fn total(&self) -> u64 {
        self.runs.iter().map(|run| run.length).sum()
    }

    /// Free blocks.
    pub(crate) fn free_blocks(&self) -> u64 {
        self.free
    }

    /// The runs as far as they are free, in file order.
    pub(crate) fn free_runs(&self) -> impl Iterator<Item = Extent> + '_ {
        self.runs.iter().filter_map(|run| self.tail_of(run))
    }

    /// The usable runs, in file order.
    pub(crate) fn runs(&self) -> &[Extent] {
        &self.runs
    }

    /// Takes the next free block.
    pub(crate) fn take(&mut self) -> Option<StoreBlock> {
        let run = loop {
            match self.tail_of(self.runs.get(self.at)?) {
                Some(run) => break run,
                None => self.at += 1,
            }
        };
        self.next = run.relative.saturating_add(BLOCK_SIZE);
        self.free = self.free.saturating_sub(1);
        Some(StoreBlock { relative: run.relative, volume: run.volume })
    }

    /// Whether the 16 KiB at this volume offset are in use by the store.
    pub(crate) fn uses(&self, volume: u64) -> bool {
        self.runs.iter().any(|run| {
            volume
                .checked_sub(run.volume)
                .is_some_and(|into| into < run.length && run.relative.saturating_add(into) < self.next)
        })
    }

    /// The part of a run above the used mark. Keeps the run's own alignment.
    fn tail_of(&self, run: &Extent) -> Option<Extent> {
        let skip = self.next.saturating_sub(run.relative).div_ceil(BLOCK_SIZE).saturating_mul(BLOCK_SIZE);
        let length = run.length.checked_sub(skip).filter(|length| *length > 0)?;
        Some(Extent { volume: run.volume.saturating_add(skip), relative: run.relative.saturating_add(skip), length })
    }
}

/// The whole blocks of a run that are aligned on the volume.
fn usable(extent: &Extent) -> Option<Extent> {
    let start = extent.volume.checked_next_multiple_of(BLOCK_SIZE)?;
    let skip = start - extent.volume;
    let length = extent.length.checked_sub(skip)? / BLOCK_SIZE * BLOCK_SIZE;
    let relative = extent.relative.checked_add(skip)?;
    relative.checked_add(length)?;
    start.checked_add(length)?;
    (length > 0).then_some(Extent { volume: start, relative, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_every_aligned_block_once_in_file_order() {
        let extents = [
            Extent { volume: 0x20000, relative: 0xa000, length: 0x9000 },
            Extent { volume: 0x11000, relative: 0, length: 0xa000 },
        ];
        let mut space = Space::new(&extents, 0).expect("memory");
        assert_eq!((space.total(), space.free_blocks()), (0xc000, 3));
        let mut got = alloc::vec::Vec::new();
        while let Some(block) = space.take() {
            got.push((block.relative, block.volume));
        }
        assert_eq!(got, [(0x3000, 0x14000), (0xa000, 0x20000), (0xe000, 0x24000)]);
        assert_eq!(space.free_blocks(), 0);
        assert!(space.uses(0x14000) && space.uses(0x24000) && !space.uses(0x18000) && !space.uses(0x28000));
    }

    #[test]
    fn starts_behind_what_is_used() {
        let extents = [Extent { volume: 0x100000, relative: 0, length: 0x10000 }];
        let mut space = Space::new(&extents, 0).expect("memory");
        space.mark_used(0x4000);
        assert_eq!(space.take(), Some(StoreBlock { relative: 0x8000, volume: 0x108000 }));
        assert_eq!((space.used(), space.free_blocks()), (0xc000, 1));
        assert_eq!(Space::new(&extents, u64::MAX).expect("memory").take(), None);
    }
}
