// SPDX-License-Identifier: MIT OR Apache-2.0
//! A block of a store's block list (diff area table): header and 508 descriptors, in the order of the events.

use crate::descriptor::{Descriptor, RawDescriptor};
use crate::error::{FormatError, Structure};
use crate::geometry::{BLOCK_LEN, DESCRIPTOR_LEN, DESCRIPTORS_PER_BLOCK, HEADER_LEN};
use crate::header::{BlockHeader, BlockType, RawHeader};
use crate::place::Place;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Layout of the block.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawBlockList {
    header: RawHeader,
    descriptors: [RawDescriptor; DESCRIPTORS_PER_BLOCK],
}

const _: () = assert!(size_of::<RawBlockList>() == BLOCK_LEN);

/// A block of a block list whose header has been checked; descriptors are read on the way.
#[derive(Clone, Copy)]
pub struct BlockList<'a> {
    header: BlockHeader,
    descriptors: &'a [RawDescriptor; DESCRIPTORS_PER_BLOCK],
}

impl<'a> BlockList<'a> {
    /// Reads the 16 KiB block `bytes`, which lies at volume offset `at`.
    pub fn parse(bytes: &'a [u8], at: u64) -> Result<Self, FormatError> {
        let raw: &RawBlockList = Place::new(Structure::BlockList, at).view(bytes)?;
        Ok(BlockList { header: BlockHeader::parse(bytes, at, BlockType::BlockList)?, descriptors: &raw.descriptors })
    }

    /// The block's header.
    pub fn header(&self) -> BlockHeader {
        self.header
    }

    /// All 508 descriptors with their index, unused ones (`None`) too: a writer appends at the first of those.
    pub fn descriptors(&self) -> impl Iterator<Item = (usize, Result<Option<Descriptor>, FormatError>)> + use<'a> {
        let first = self.header.current.saturating_add(HEADER_LEN as u64);
        self.descriptors.iter().enumerate().map(move |(index, raw)| {
            let at = first.saturating_add(index.saturating_mul(DESCRIPTOR_LEN) as u64);
            (index, raw.parse(at))
        })
    }
}
