// SPDX-License-Identifier: MIT OR Apache-2.0
//! The catalog in memory: where its entries are and which are free.
//!
//! A snapshot's two entries are put into one 512-byte sector, so that one sector write commits a snapshot and one
//! removes it: no torn state is possible. (Windows uses every pair of neighbours; one entry per block stays unused
//! here. It is turned into a free entry, because some readers stop at the first entry that was never used.)

use crate::jobs::{Step, plain};
use crate::types::{NoMemory, Place, Target};
use crate::vecs;
use alloc::vec::Vec;
use ondisk::{
    BLOCK_LEN, BLOCK_SIZE, BlockHeader, BlockType, CATALOG_BLOCKS, CATALOG_ENTRIES, CATALOG_ENTRY_LEN, CatalogEntry,
    FormatError, HEADER_LEN,
};

/// An entry's place in the catalog of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) target: Target,
    pub(crate) block: usize,
    pub(crate) entry: usize,
}

#[derive(Debug)]
pub(crate) struct Catalog {
    target: Target,
    blocks: Vec<(u64, Vec<u8>)>,
}

/// A write of catalog bytes: place and content.
pub(crate) type CatalogWrite = (Place, Vec<u8>);

impl Catalog {
    pub(crate) const fn new(target: Target) -> Self {
        Self { target, blocks: Vec::new() }
    }

    /// The images of an empty catalog at `offset`, contiguous as every reader wants it.
    pub(crate) fn create(target: Target, offset: u64) -> Result<Self, NoMemory> {
        let mut catalog = Self::new(target);
        for i in 0..CATALOG_BLOCKS {
            let relative = i * BLOCK_SIZE;
            let current = offset.saturating_add(relative);
            let next = if i + 1 < CATALOG_BLOCKS { current.saturating_add(BLOCK_SIZE) } else { 0 };
            let header = BlockHeader { kind: BlockType::Catalog, relative, current, next, info_size: 0 };
            let mut image = vecs::filled(0, BLOCK_LEN)?;
            vecs::copy(&mut image, &header.to_bytes());
            catalog.add(current, image)?;
        }
        Ok(catalog)
    }

    pub(crate) fn add(&mut self, offset: u64, image: Vec<u8>) -> Result<(), NoMemory> {
        vecs::push(&mut self.blocks, (offset, image))
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, &[u8])> + '_ {
        self.blocks.iter().map(|(offset, image)| (*offset, image.as_slice()))
    }

    /// Adds the writes of the whole catalog to a step.
    pub(crate) fn write_all(&self, step: &mut Step) -> Result<(), NoMemory> {
        for (offset, image) in self.blocks() {
            let mut bytes = vecs::filled(0, image.len())?;
            vecs::copy(&mut bytes, image);
            vecs::push(step, plain(Place { target: self.target, offset }, bytes))?;
        }
        Ok(())
    }

    /// Whether the block at this volume offset belongs to the catalog.
    pub(crate) fn uses(&self, offset: u64) -> bool {
        self.blocks.iter().any(|(at, _)| *at == offset)
    }

    /// All entries in catalog order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Position, Result<CatalogEntry, FormatError>)> + '_ {
        self.blocks.iter().enumerate().flat_map(move |(block, (offset, image))| {
            (0..CATALOG_ENTRIES).filter_map(move |entry| {
                let from = entry_offset(entry);
                let bytes = image.get(from..from + CATALOG_ENTRY_LEN)?;
                let at = offset.saturating_add(from as u64);
                Some((Position { target: self.target, block, entry }, CatalogEntry::parse(bytes, at)))
            })
        })
    }

    /// Where an entry lies on its volume.
    pub(crate) fn offset_of(&self, at: Position) -> u64 {
        let block = self.blocks.get(at.block).map_or(0, |(offset, _)| *offset);
        block.saturating_add(entry_offset(at.entry) as u64)
    }

    pub(crate) fn put(&mut self, at: Position, entry: &CatalogEntry) {
        let from = entry_offset(at.entry);
        let image = self.blocks.get_mut(at.block).map(|(_, image)| image);
        if let Some(bytes) = image.and_then(|image| image.get_mut(from..from + CATALOG_ENTRY_LEN)) {
            vecs::copy(bytes, &entry.to_bytes());
        }
    }

    fn kind(&self, block: usize, entry: usize) -> Option<u8> {
        self.blocks.get(block)?.1.get(entry_offset(entry)).copied()
    }

    fn vacant(&self, block: usize, entry: usize) -> bool {
        matches!(self.kind(block, entry), Some(0 | 1))
    }

    /// Two free neighbours in one 512-byte sector.
    pub(crate) fn free_pair(&self) -> Option<(Position, Position)> {
        let target = self.target;
        (0..self.blocks.len()).find_map(|block| {
            (0..CATALOG_ENTRIES - 1)
                .find(|i| i % 4 != 2 && self.vacant(block, *i) && self.vacant(block, i + 1))
                .map(|entry| (Position { target, block, entry }, Position { target, block, entry: entry + 1 }))
        })
    }

    /// One free entry.
    pub(crate) fn free_entry(&self) -> Option<Position> {
        (0..self.blocks.len()).find_map(|block| {
            (0..CATALOG_ENTRIES).find(|entry| self.vacant(block, *entry)).map(|entry| Position {
                target: self.target,
                block,
                entry,
            })
        })
    }

    /// Turns never-used entries before `at` in its block into free ones; `true` if there were any.
    pub(crate) fn fill_before(&mut self, at: Position) -> bool {
        let mut any = false;
        for entry in 0..at.entry {
            if self.kind(at.block, entry) == Some(0) {
                self.put(Position { entry, ..at }, &CatalogEntry::Free);
                any = true;
            }
        }
        any
    }

    /// The write that brings the sector(s) of entries `from..=to` of a block to disk.
    pub(crate) fn write(&self, from: Position, to: Position, sector: usize) -> Result<CatalogWrite, NoMemory> {
        let sector = sector.max(1);
        let start = entry_offset(from.entry) / sector * sector;
        let end = (entry_offset(to.entry) + CATALOG_ENTRY_LEN).next_multiple_of(sector).min(BLOCK_LEN);
        let mut bytes = Vec::new();
        let mut offset = 0;
        if let Some((at, image)) = self.blocks.get(from.block) {
            offset = at.saturating_add(start as u64);
            if let Some(part) = image.get(start..end) {
                bytes = vecs::filled(0, part.len())?;
                vecs::copy(&mut bytes, part);
            }
        }
        Ok((Place { target: self.target, offset }, bytes))
    }
}

const fn entry_offset(entry: usize) -> usize {
    HEADER_LEN + entry * CATALOG_ENTRY_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_never_cross_a_sector_and_252_fit() {
        let mut catalog = Catalog::create(Target::Live, 0x10000).expect("memory");
        let entry = ondisk::CatalogEntry::Unknown(7);
        let mut pairs = 0;
        while let Some((two, three)) = catalog.free_pair() {
            assert_eq!((two.block, two.entry + 1), (three.block, three.entry));
            assert_eq!(entry_offset(two.entry) / 512, (entry_offset(three.entry) + 127) / 512);
            catalog.put(two, &entry);
            catalog.put(three, &entry);
            pairs += 1;
        }
        assert_eq!(pairs, 252);
    }
}
