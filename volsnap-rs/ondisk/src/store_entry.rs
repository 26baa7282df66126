// SPDX-License-Identifier: MIT OR Apache-2.0
//! Catalog entry type 3: where a store lies, in the catalog of the volume that holds the diff area.

use crate::error::{FormatError, Structure};
use crate::geometry::{BLOCK_SIZE, CATALOG_ENTRY_LEN};
use crate::guid::Guid;
use crate::place::Place;
use core::mem::offset_of;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

/// The place of a store. Offsets are bytes on the storage volume and multiples of 16 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreEntry {
    /// First block of the block list.
    pub block_list: u64,
    /// The store; the snapshot entry with the same GUID is its snapshot.
    pub store: Guid,
    /// The store header.
    pub header: u64,
    /// First block of the range list.
    pub ranges: u64,
    /// First block of the current bitmap, 0 = none.
    pub bitmap: u64,
    /// NTFS file reference of the store file: 48 bits of record number, 16 bits of sequence number.
    pub file_reference: u64,
    /// Allocated size in bytes; 0 on most systems.
    pub allocated: u64,
    /// First block of the previous bitmap, 0 = none (the oldest snapshot, and all of a Server 2003).
    pub previous_bitmap: u64,
    /// Number of older snapshots that were online at creation, as far as samples tell.
    pub older_online: u64,
}

/// Layout of the 128 bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawStoreEntry {
    kind: U64,
    block_list: U64,
    store: Guid,
    header: U64,
    ranges: U64,
    bitmap: U64,
    file_reference: U64,
    allocated: U64,
    previous_bitmap: U64,
    older_online: U64,
    zero: [u8; 40],
}

const _: () = assert!(size_of::<RawStoreEntry>() == CATALOG_ENTRY_LEN);

impl StoreEntry {
    /// The value of the first field of the entry.
    pub(crate) const KIND: u32 = 3;

    pub(crate) fn parse(bytes: &[u8], at: u64) -> Result<StoreEntry, FormatError> {
        let place = Place::new(Structure::CatalogEntry, at);
        let raw: &RawStoreEntry = place.view(bytes)?;
        let offsets = [
            ("block list", offset_of!(RawStoreEntry, block_list), raw.block_list),
            ("store header", offset_of!(RawStoreEntry, header), raw.header),
            ("range list", offset_of!(RawStoreEntry, ranges), raw.ranges),
            ("bitmap", offset_of!(RawStoreEntry, bitmap), raw.bitmap),
            ("previous bitmap", offset_of!(RawStoreEntry, previous_bitmap), raw.previous_bitmap),
        ];
        for (field, delta, value) in offsets {
            place.offset::<BLOCK_SIZE>(field, delta, value.get())?;
        }
        Ok(StoreEntry {
            block_list: raw.block_list.get(),
            store: raw.store,
            header: raw.header.get(),
            ranges: raw.ranges.get(),
            bitmap: raw.bitmap.get(),
            file_reference: raw.file_reference.get(),
            allocated: raw.allocated.get(),
            previous_bitmap: raw.previous_bitmap.get(),
            older_online: raw.older_online.get(),
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; CATALOG_ENTRY_LEN] {
        transmute!(RawStoreEntry {
            kind: U64::new(Self::KIND.into()),
            block_list: U64::new(self.block_list),
            store: self.store,
            header: U64::new(self.header),
            ranges: U64::new(self.ranges),
            bitmap: U64::new(self.bitmap),
            file_reference: U64::new(self.file_reference),
            allocated: U64::new(self.allocated),
            previous_bitmap: U64::new(self.previous_bitmap),
            older_online: U64::new(self.older_online),
            zero: [0; 40],
        })
    }
}
