// SPDX-License-Identifier: MIT OR Apache-2.0
//! A bitmap block, and the order of bits in its payload.
//!
//! Bit b of the concatenated payloads, least significant bit first, is volume block b. In the current bitmap it is set
//! where the snapshot does not need the block; in the previous bitmap where the older snapshots did not need it any
//! more when this one was committed. Bits past the end of the volume are 0.

use crate::error::{FormatError, Structure};
use crate::geometry::{BITMAP_PAYLOAD_LEN, BLOCK_LEN};
use crate::header::{BlockHeader, BlockType, RawHeader};
use crate::place::Place;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Bit `n` of `bits`; `false` past its end.
pub fn get(bits: &[u8], n: u64) -> bool {
    usize::try_from(n / 8).ok().and_then(|byte| bits.get(byte)).is_some_and(|byte| byte >> (n % 8) & 1 != 0)
}

/// Layout of the block.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawBitmap {
    header: RawHeader,
    payload: [u8; BITMAP_PAYLOAD_LEN],
}

const _: () = assert!(size_of::<RawBitmap>() == BLOCK_LEN);

/// A bitmap block whose header has been checked.
#[derive(Clone, Copy)]
pub struct BitmapBlock<'a> {
    header: BlockHeader,
    payload: &'a [u8; BITMAP_PAYLOAD_LEN],
}

impl<'a> BitmapBlock<'a> {
    /// Reads the 16 KiB block `bytes`, which lies at volume offset `at`.
    pub fn parse(bytes: &'a [u8], at: u64) -> Result<Self, FormatError> {
        let raw: &RawBitmap = Place::new(Structure::Bitmap, at).view(bytes)?;
        Ok(BitmapBlock { header: BlockHeader::parse(bytes, at, BlockType::Bitmap)?, payload: &raw.payload })
    }

    /// The block's header.
    pub fn header(&self) -> BlockHeader {
        self.header
    }

    /// The 16256 bytes of bits.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}
