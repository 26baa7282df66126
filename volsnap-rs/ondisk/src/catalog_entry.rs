// SPDX-License-Identifier: MIT OR Apache-2.0
//! One of the 127 entries of a catalog block, of whatever type.

use crate::error::{FormatError, Structure};
use crate::geometry::CATALOG_ENTRY_LEN;
use crate::place::Place;
use crate::snapshot_entry::SnapshotEntry;
use crate::store_entry::StoreEntry;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

/// An entry of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogEntry {
    /// Type 0: never used. dfir_ntfs ends a block here.
    Unused,
    /// Type 1: was used once, may be used again.
    Free,
    /// Type 2: a snapshot of this volume.
    Snapshot(SnapshotEntry),
    /// Type 3: a store on this volume.
    Store(StoreEntry),
    /// Any other type, with its number. Only the number is kept.
    Unknown(u32),
}

/// Layout of what all types share.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    kind: U32,
    rest: [u8; 124],
}

const _: () = assert!(size_of::<RawEntry>() == CATALOG_ENTRY_LEN);

const KIND_UNUSED: u32 = 0;
const KIND_FREE: u32 = 1;

impl CatalogEntry {
    /// Reads the entry at the start of `bytes`, which lies at volume offset `at`.
    ///
    /// Offsets must be multiples of 16 KiB, the volume size not zero. The upper half of the type and the padding are
    /// not looked at.
    pub fn parse(bytes: &[u8], at: u64) -> Result<CatalogEntry, FormatError> {
        let raw: &RawEntry = Place::new(Structure::CatalogEntry, at).view(bytes)?;
        match raw.kind.get() {
            KIND_UNUSED => Ok(CatalogEntry::Unused),
            KIND_FREE => Ok(CatalogEntry::Free),
            SnapshotEntry::KIND => SnapshotEntry::parse(bytes, at).map(CatalogEntry::Snapshot),
            StoreEntry::KIND => StoreEntry::parse(bytes, at).map(CatalogEntry::Store),
            unknown => Ok(CatalogEntry::Unknown(unknown)),
        }
    }

    /// The 128 bytes, as Windows writes them.
    pub fn to_bytes(&self) -> [u8; CATALOG_ENTRY_LEN] {
        match *self {
            CatalogEntry::Unused => bare(KIND_UNUSED),
            CatalogEntry::Free => bare(KIND_FREE),
            CatalogEntry::Snapshot(entry) => entry.to_bytes(),
            CatalogEntry::Store(entry) => entry.to_bytes(),
            CatalogEntry::Unknown(kind) => bare(kind),
        }
    }
}

fn bare(kind: u32) -> [u8; CATALOG_ENTRY_LEN] {
    transmute!(RawEntry { kind: U32::new(kind), rest: [0; 124] })
}
