// SPDX-License-Identifier: MIT OR Apache-2.0
//! Catalog entry type 2: a snapshot, in the catalog of the volume that it is of.

use crate::error::{FormatError, Structure};
use crate::file_time::FileTime;
use crate::geometry::{CATALOG_ENTRY_LEN, MAX_OFFSET};
use crate::guid::Guid;
use crate::place::Place;
use core::mem::offset_of;
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

/// Bits of [`SnapshotEntry::flags`]. Names by dfir_ntfs, except where said.
pub mod snapshot_flags {
    /// The volume is being reverted to this snapshot.
    pub const REVERT_IN_PROGRESS: u64 = 0x1;
    /// Meaning not known; seen where a snapshot that is not the oldest has no previous bitmap.
    pub const UNKNOWN_20: u64 = 0x20;
    /// Set in every committed snapshot.
    pub const ALWAYS: u64 = 0x40;
    /// A cache for copy-on-write is on.
    pub const COW_CACHE: u64 = 0x80;
    /// The snapshot is offline: hidden, or about to be deleted.
    pub const OFFLINE: u64 = 0x100;
    /// Meaning not known; seen together with [`OFFLINE`].
    pub const UNKNOWN_200: u64 = 0x200;
    /// Restore points of Windows 8 and later: blocks marked in the bitmap must read as zeros.
    pub const ZERO_MARKED: u64 = 0x400;
    /// Our own extension, in bits that Windows leaves zero: this implementation is removing the snapshot; resume the
    /// removal after a crash.
    pub const DELETION_IN_PROGRESS: u64 = 1 << 32;
}

/// A snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Size in bytes of the volume when the snapshot was made: never 0, need not be a multiple of 16 KiB.
    pub volume_size: u64,
    /// The store that holds the snapshot's diff area.
    pub store: Guid,
    /// Place in the stack: 1 is the oldest, dense.
    pub sequence: u64,
    /// [`snapshot_flags`].
    pub flags: u64,
    /// When the snapshot was committed. libvshadow needs these to differ and orders by them.
    pub created: FileTime,
    /// Not known: 0, or 3 in two entries of a Server 2003.
    pub unknown_56: u16,
}

/// Layout of the 128 bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSnapshotEntry {
    kind: U64,
    volume_size: U64,
    store: Guid,
    sequence: U64,
    flags: U64,
    created: U64,
    unknown_56: U16,
    zero: [u8; 70],
}

const _: () = assert!(size_of::<RawSnapshotEntry>() == CATALOG_ENTRY_LEN);

impl SnapshotEntry {
    /// The value of the first field of the entry.
    pub(crate) const KIND: u32 = 2;

    pub(crate) fn parse(bytes: &[u8], at: u64) -> Result<SnapshotEntry, FormatError> {
        let place = Place::new(Structure::CatalogEntry, at);
        let raw: &RawSnapshotEntry = place.view(bytes)?;
        let (field, size) = (offset_of!(RawSnapshotEntry, volume_size), raw.volume_size.get());
        place.not_zero("volume size", field, size)?;
        place.at_most("volume size", field, size, MAX_OFFSET)?;
        Ok(SnapshotEntry {
            volume_size: size,
            store: raw.store,
            sequence: raw.sequence.get(),
            flags: raw.flags.get(),
            created: FileTime(raw.created.get()),
            unknown_56: raw.unknown_56.get(),
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; CATALOG_ENTRY_LEN] {
        transmute!(RawSnapshotEntry {
            kind: U64::new(Self::KIND.into()),
            volume_size: U64::new(self.volume_size),
            store: self.store,
            sequence: U64::new(self.sequence),
            flags: U64::new(self.flags),
            created: U64::new(self.created.0),
            unknown_56: U16::new(self.unknown_56),
            zero: [0; 70],
        })
    }
}
