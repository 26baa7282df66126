// SPDX-License-Identifier: MIT OR Apache-2.0
//! A block of a store's range list: header and up to 677 ranges.
//!
//! Windows cuts the file of an older store short without rewriting its range list: what a range names may belong to
//! another file by now. A range list is never proof of ownership.

use crate::error::{FormatError, Structure};
use crate::geometry::{BLOCK_LEN, HEADER_LEN, RANGE_LEN, RANGES_PER_BLOCK};
use crate::header::{BlockHeader, BlockType, RawHeader};
use crate::place::Place;
use crate::range::{Range, RawRange};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Layout of the block.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRangeList {
    header: RawHeader,
    ranges: [RawRange; RANGES_PER_BLOCK],
    left_over: [u8; 8],
}

const _: () = assert!(size_of::<RawRangeList>() == BLOCK_LEN);

/// A block of a range list whose header has been checked; ranges are read on the way.
#[derive(Clone, Copy)]
pub struct RangeList<'a> {
    header: BlockHeader,
    ranges: &'a [RawRange; RANGES_PER_BLOCK],
}

impl<'a> RangeList<'a> {
    /// Reads the 16 KiB block `bytes`, which lies at volume offset `at`.
    pub fn parse(bytes: &'a [u8], at: u64) -> Result<Self, FormatError> {
        let raw: &RawRangeList = Place::new(Structure::RangeList, at).view(bytes)?;
        Ok(RangeList { header: BlockHeader::parse(bytes, at, BlockType::RangeList)?, ranges: &raw.ranges })
    }

    /// The block's header.
    pub fn header(&self) -> BlockHeader {
        self.header
    }

    /// The ranges with their index, up to the first all-zero one.
    pub fn ranges(&self) -> impl Iterator<Item = (usize, Result<Range, FormatError>)> + use<'a> {
        let first = self.header.current.saturating_add(HEADER_LEN as u64);
        self.ranges.iter().enumerate().map_while(move |(index, raw)| {
            let at = first.saturating_add(index.saturating_mul(RANGE_LEN) as u64);
            raw.parse(at).transpose().map(|range| (index, range))
        })
    }
}
