// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a store's block list: where the next descriptors go.
//!
//! Order on disk: a new list block is written empty and flushed before the old one's `next` names it; descriptors are
//! written whole sectors at a time, 16 to a sector, so that a torn write leaves descriptors whole. What a crash can
//! leave is a sector of zeros among written ones; loading fills such holes with descriptors that say 'skip'.

use crate::space::StoreBlock;
use crate::types::NoMemory;
use crate::vecs;
use alloc::vec::Vec;
use ondisk::{BLOCK_LEN, BlockHeader, BlockType, DESCRIPTOR_LEN, DESCRIPTORS_PER_BLOCK, Descriptor, HEADER_LEN};

/// A list block in memory, with the part that is not on disk yet.
#[derive(Debug)]
pub(crate) struct ListBlock {
    pub(crate) place: StoreBlock,
    image: Vec<u8>,
    /// Bytes `dirty.0..dirty.1` are to be written.
    dirty: (usize, usize),
}

impl ListBlock {
    pub(crate) fn from_image(place: StoreBlock, image: Vec<u8>) -> Self {
        Self { place, image, dirty: (BLOCK_LEN, 0) }
    }

    fn touch(&mut self, from: usize, to: usize) {
        self.dirty = (self.dirty.0.min(from), self.dirty.1.max(to));
    }

    /// The range to write, widened to whole sectors.
    pub(crate) fn dirty(&self, sector: usize) -> Option<(usize, usize)> {
        let sector = sector.max(1);
        let (from, to) = self.dirty;
        (from < to).then(|| (from - from % sector, to.next_multiple_of(sector).min(BLOCK_LEN)))
    }

    pub(crate) fn clean(&mut self) {
        self.dirty = (BLOCK_LEN, 0);
    }

    pub(crate) fn bytes(&self, from: usize, to: usize) -> &[u8] {
        self.image.get(from..to).unwrap_or(&[])
    }
}

/// A list block that is written ahead of its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spare {
    None,
    /// Allocated; its write is to be asked for.
    Wanted(StoreBlock),
    /// Being written.
    Writing(StoreBlock),
    /// Written, not known to be durable.
    Written(StoreBlock),
    /// Written before the flush that is under way.
    Flushing(StoreBlock),
    /// Ready for use.
    Durable(StoreBlock),
}

#[derive(Debug)]
pub(crate) struct ListTail {
    pub(crate) current: ListBlock,
    /// Used slots of the current block.
    count: usize,
    /// The block before the current one, while its link and last descriptors are being written.
    pub(crate) previous: Option<ListBlock>,
    pub(crate) spare: Spare,
    /// The image of an empty list block, for the spare.
    blank: Vec<u8>,
}

/// The current block is full and no spare is durable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl ListTail {
    /// The tail of a new store: an empty list block at `place`. Nothing is dirty; the caller writes [`empty`].
    pub(crate) fn new(place: StoreBlock) -> Result<Self, NoMemory> {
        Self::at(place, empty(place)?, 0)
    }

    /// A tail read from disk: the last block of the chain, `count` of its slots used.
    pub(crate) fn at(place: StoreBlock, image: Vec<u8>, count: usize) -> Result<Self, NoMemory> {
        Ok(Self {
            current: ListBlock::from_image(place, image),
            count,
            previous: None,
            spare: Spare::None,
            blank: Vec::new(),
        })
    }

    /// Free slots in the current block.
    pub(crate) fn room(&self) -> usize {
        DESCRIPTORS_PER_BLOCK.saturating_sub(self.count)
    }

    /// Makes the image for a spare at `place`; its write is to be asked for.
    pub(crate) fn want_spare(&mut self, place: StoreBlock) -> Result<(), NoMemory> {
        self.blank = empty(place)?;
        self.spare = Spare::Wanted(place);
        Ok(())
    }

    /// A flush failed: the spare may not have come to disk.
    pub(crate) fn distrust_spare(&mut self) {
        if let Spare::Flushing(place) | Spare::Written(place) = self.spare {
            self.spare = Spare::Wanted(place);
        }
    }

    pub(crate) fn blank(&self) -> &[u8] {
        &self.blank
    }

    /// Puts a descriptor into the next slot. Goes over to the spare when the current block is full.
    pub(crate) fn append(&mut self, descriptor: &Descriptor) -> Result<(), Full> {
        if self.count >= DESCRIPTORS_PER_BLOCK {
            self.advance()?;
        }
        let from = HEADER_LEN + self.count * DESCRIPTOR_LEN;
        let to = from + DESCRIPTOR_LEN;
        let Some(slot) = self.current.image.get_mut(from..to) else { return Err(Full) };
        vecs::copy(slot, &descriptor.to_bytes());
        self.current.touch(from, to);
        self.count += 1;
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Full> {
        let Spare::Durable(place) = self.spare else { return Err(Full) };
        if self.previous.is_some() {
            return Err(Full);
        }
        let next = ListBlock::from_image(place, core::mem::take(&mut self.blank));
        let mut old = core::mem::replace(&mut self.current, next);
        // `next` is at byte 40 of the common header (format specification, section 2).
        if let Some(link) = old.image.get_mut(40..48) {
            vecs::copy(link, &place.volume.to_le_bytes());
        }
        old.touch(40, 48);
        self.previous = Some(old);
        self.count = 0;
        self.spare = Spare::None;
        Ok(())
    }
}

/// An empty list block at `place`.
pub(crate) fn empty(place: StoreBlock) -> Result<Vec<u8>, NoMemory> {
    let mut image = vecs::filled(0u8, BLOCK_LEN)?;
    vecs::copy(&mut image, &header(BlockType::BlockList, place, 0).to_bytes());
    Ok(image)
}

pub(crate) const fn header(kind: BlockType, place: StoreBlock, next: u64) -> BlockHeader {
    BlockHeader { kind, relative: place.relative, current: place.volume, next, info_size: 0 }
}
