// SPDX-License-Identifier: MIT OR Apache-2.0
//! A range: one run of a store file that the driver may allocate saved blocks from.

use crate::error::{FormatError, Structure};
use crate::geometry::{BLOCK_SIZE, MAX_OFFSET, RANGE_LEN, SECTOR_LEN};
use crate::place::Place;
use core::mem::offset_of;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

/// A run of a store file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Byte offset on the storage volume, a multiple of 16 KiB.
    pub volume: u64,
    /// Byte offset in the store file, a multiple of 512.
    pub relative: u64,
    /// Bytes, a multiple of 16 KiB and not 0.
    pub length: u64,
}

/// Layout of the 24 bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawRange {
    volume: U64,
    relative: U64,
    length: U64,
}

const _: () = assert!(size_of::<RawRange>() == RANGE_LEN);

impl Range {
    /// Reads the range at the start of `bytes`, which lies at volume offset `at`. `Ok(None)`: all zero, the end.
    ///
    /// Both ends of the range stay within [`MAX_OFFSET`].
    pub fn parse(bytes: &[u8], at: u64) -> Result<Option<Range>, FormatError> {
        Place::new(Structure::Range, at).view::<RawRange>(bytes)?.parse(at)
    }

    /// The 24 bytes.
    pub fn to_bytes(&self) -> [u8; RANGE_LEN] {
        transmute!(RawRange {
            volume: U64::new(self.volume),
            relative: U64::new(self.relative),
            length: U64::new(self.length),
        })
    }
}

impl RawRange {
    pub(crate) fn parse(&self, at: u64) -> Result<Option<Range>, FormatError> {
        let range = Range { volume: self.volume.get(), relative: self.relative.get(), length: self.length.get() };
        if range == (Range { volume: 0, relative: 0, length: 0 }) {
            return Ok(None);
        }
        let place = Place::new(Structure::Range, at);
        place.offset::<BLOCK_SIZE>("volume offset", offset_of!(RawRange, volume), range.volume)?;
        place.offset::<{ SECTOR_LEN as u64 }>("relative", offset_of!(RawRange, relative), range.relative)?;
        let length = offset_of!(RawRange, length);
        place.not_zero("length", length, range.length)?;
        place.offset::<BLOCK_SIZE>("length", length, range.length)?;
        let furthest = range.volume.max(range.relative);
        place.at_most("length", length, range.length, MAX_OFFSET.saturating_sub(furthest))?;
        Ok(Some(range))
    }
}
