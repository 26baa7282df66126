// SPDX-License-Identifier: MIT OR Apache-2.0
//! A block of the catalog: header and 127 entries.

use crate::catalog_entry::CatalogEntry;
use crate::error::{FormatError, Structure};
use crate::geometry::{BLOCK_LEN, CATALOG_ENTRIES, CATALOG_ENTRY_LEN, HEADER_LEN};
use crate::header::{BlockHeader, BlockType, RawHeader};
use crate::place::Place;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Layout of the block.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawCatalog {
    header: RawHeader,
    entries: [[u8; CATALOG_ENTRY_LEN]; CATALOG_ENTRIES],
}

const _: () = assert!(size_of::<RawCatalog>() == BLOCK_LEN);

/// A catalog block whose header has been checked; entries are read on the way.
#[derive(Clone, Copy)]
pub struct CatalogBlock<'a> {
    header: BlockHeader,
    entries: &'a [[u8; CATALOG_ENTRY_LEN]; CATALOG_ENTRIES],
}

impl<'a> CatalogBlock<'a> {
    /// Reads the 16 KiB block `bytes`, which lies at volume offset `at`.
    pub fn parse(bytes: &'a [u8], at: u64) -> Result<Self, FormatError> {
        let raw: &RawCatalog = Place::new(Structure::Catalog, at).view(bytes)?;
        Ok(CatalogBlock { header: BlockHeader::parse(bytes, at, BlockType::Catalog)?, entries: &raw.entries })
    }

    /// The block's header.
    pub fn header(&self) -> BlockHeader {
        self.header
    }

    /// All 127 entries with their index and volume offset; an entry that cannot be read does not hide the next.
    pub fn entries(&self) -> impl Iterator<Item = (usize, u64, Result<CatalogEntry, FormatError>)> + use<'a> {
        let first = self.header.current.saturating_add(HEADER_LEN as u64);
        self.entries.iter().enumerate().map(move |(index, bytes)| {
            let at = first.saturating_add(index.saturating_mul(CATALOG_ENTRY_LEN) as u64);
            (index, at, CatalogEntry::parse(bytes, at))
        })
    }
}
