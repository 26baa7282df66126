// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first block of a store: header and store information.

use crate::error::{FormatError, Problem, Structure};
use crate::geometry::{BLOCK_LEN, HEADER_LEN};
use crate::header::{BlockHeader, BlockType};
use crate::place::Place;
use crate::store_info::StoreInfo;

/// A store header block.
#[derive(Debug, PartialEq, Eq)]
pub struct StoreHeader {
    /// The block's header. Its `info_size` is what was read; writing ignores it and sets the right one.
    pub header: BlockHeader,
    /// The store information.
    pub info: StoreInfo,
}

impl StoreHeader {
    /// Reads the 16 KiB block `bytes`, which lies at volume offset `at`.
    ///
    /// The information must lie within the `info_size` that the header states.
    pub fn parse(bytes: &[u8], at: u64) -> Result<StoreHeader, FormatError> {
        let place = Place::new(Structure::StoreHeader, at);
        let block: &[u8; BLOCK_LEN] = place.view(bytes)?;
        let header = BlockHeader::parse(block, at, BlockType::StoreHeader)?;
        let stated = usize::try_from(header.info_size).unwrap_or(usize::MAX);
        let (_, behind) = block.split_at(HEADER_LEN);
        let info = behind.get(..stated).unwrap_or(behind);
        let info_at = at.saturating_add(HEADER_LEN as u64);
        Ok(StoreHeader { header, info: StoreInfo::parse(info, info_at)? })
    }

    /// Fills the first 16 KiB of `out`, with the right info size.
    ///
    /// Fails when `out` is shorter or the strings do not fit; `out` is then not to be used.
    pub fn to_block(&self, out: &mut [u8]) -> Result<(), FormatError> {
        let at = self.header.current;
        let place = Place::new(Structure::StoreHeader, at);
        let have = out.len() as u64;
        let too_short = || place.error("length", 0, Problem::TooShort { have, need: BLOCK_LEN as u64 });
        let (head, behind) = out.split_first_chunk_mut::<HEADER_LEN>().ok_or_else(too_short)?;
        let space = behind.first_chunk_mut().ok_or_else(too_short)?;
        let info_size = self.info.write(space, at.saturating_add(HEADER_LEN as u64))?;
        *head = BlockHeader { kind: BlockType::StoreHeader, info_size, ..self.header }.to_bytes();
        Ok(())
    }
}
