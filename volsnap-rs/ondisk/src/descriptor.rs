// SPDX-License-Identifier: MIT OR Apache-2.0
//! A block descriptor: one event of a store, most often 'this block was saved there'.

use crate::error::{FormatError, Problem, Structure};
use crate::geometry::{BLOCK_SIZE, DESCRIPTOR_LEN, MAX_OFFSET, SECTOR_LEN};
use crate::place::Place;
use core::mem::offset_of;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

/// Bits of [`Descriptor::flags`]. Meanings: libvshadow's document and dfir_ntfs; `PRECOPIED` was measured.
pub mod descriptor_flags {
    /// The block's old content is now found at volume offset `relative`: the file system moved it.
    pub const FORWARDER: u32 = 0x01;
    /// Sectors that were written into the snapshot itself. Count only when this snapshot is read.
    pub const OVERLAY: u32 = 0x02;
    /// Not used: skip.
    pub const SKIP: u32 = 0x04;
    /// Plain, with a further meaning that is not known.
    pub const UNKNOWN_08: u32 = 0x08;
    /// A pre-copied block that was needed in the end.
    pub const USED_PRECOPY: u32 = 0x10;
    /// Plain, with a further meaning that is not known.
    pub const UNKNOWN_20: u32 = 0x20;
    /// Plain, with a further meaning that is not known.
    pub const UNKNOWN_40: u32 = 0x40;
    /// Plain, with a further meaning that is not known.
    pub const UNKNOWN_80: u32 = 0x80;
    /// What Windows sets on blocks that it copies in advance (the log, and what the snapshot before had copied).
    pub const PRECOPIED: u32 = UNKNOWN_80 | UNKNOWN_08;
    /// All bits that readers accept.
    pub const ALL: u32 = 0xff;
}

use descriptor_flags::{FORWARDER, OVERLAY, SKIP, UNKNOWN_08, USED_PRECOPY};

/// A block descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The block's byte offset on the original volume, a multiple of 16 KiB.
    pub original: u64,
    /// Byte offset of the saved block in the store file; 1 = 'the store block of the earlier overlay'; of a forwarder
    /// the byte offset on the volume to which the block went.
    pub relative: u64,
    /// Byte offset of the saved block on the storage volume, a multiple of 16 KiB; 0 of a forwarder.
    pub store: u64,
    /// [`descriptor_flags`].
    pub flags: u32,
    /// Of an overlay: bit i = sector i (512 bytes) of the block is in the store block. Else 0.
    pub sectors: u32,
}

/// Layout of the 32 bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawDescriptor {
    original: U64,
    relative: U64,
    store: U64,
    flags: U32,
    sectors: U32,
}

const _: () = assert!(size_of::<RawDescriptor>() == DESCRIPTOR_LEN);

impl Descriptor {
    /// Reads the descriptor at the start of `bytes`, which lies at volume offset `at`. `Ok(None)`: all zero, unused.
    ///
    /// Of a skipped descriptor only the flags are checked, since its other fields count for nothing. A forwarder's
    /// `store` and the `sectors` of anything but an overlay are handed on as they are.
    pub fn parse(bytes: &[u8], at: u64) -> Result<Option<Descriptor>, FormatError> {
        Place::new(Structure::Descriptor, at).view::<RawDescriptor>(bytes)?.parse(at)
    }

    /// The 32 bytes.
    pub fn to_bytes(&self) -> [u8; DESCRIPTOR_LEN] {
        transmute!(RawDescriptor {
            original: U64::new(self.original),
            relative: U64::new(self.relative),
            store: U64::new(self.store),
            flags: U32::new(self.flags),
            sectors: U32::new(self.sectors),
        })
    }

    /// The block moved; see [`descriptor_flags::FORWARDER`].
    pub fn is_forwarder(&self) -> bool {
        self.flags & FORWARDER != 0
    }

    /// Sectors written into the snapshot; see [`descriptor_flags::OVERLAY`].
    pub fn is_overlay(&self) -> bool {
        self.flags & OVERLAY != 0
    }

    /// Counts for nothing; see [`descriptor_flags::SKIP`].
    pub fn is_skipped(&self) -> bool {
        self.flags & SKIP != 0
    }

    fn check(&self, place: Place) -> Result<(), FormatError> {
        let flags = offset_of!(RawDescriptor, flags);
        place.at_most("flags", flags, self.flags.into(), descriptor_flags::ALL.into())?;
        if self.is_skipped() {
            return Ok(());
        }
        if exclude_each_other(self.flags) {
            return Err(place.error("flags", flags, Problem::ExclusiveFlags(self.flags)));
        }
        place.offset::<BLOCK_SIZE>("original", offset_of!(RawDescriptor, original), self.original)?;
        let relative = offset_of!(RawDescriptor, relative);
        if self.is_forwarder() {
            place.offset::<BLOCK_SIZE>("relative", relative, self.relative)?;
            return place.at_most("store", offset_of!(RawDescriptor, store), self.store, MAX_OFFSET);
        }
        if !(self.is_overlay() && self.relative == 1) {
            // A store file's runs begin at clusters, so that a block of the volume may lie at any sector of the file.
            place.offset::<{ SECTOR_LEN as u64 }>("relative", relative, self.relative)?;
        }
        place.offset::<BLOCK_SIZE>("store", offset_of!(RawDescriptor, store), self.store)
    }
}

/// The combinations that libvshadow's document rules out.
fn exclude_each_other(flags: u32) -> bool {
    const WITH_FORWARDER: u32 = OVERLAY | UNKNOWN_08 | USED_PRECOPY;
    const WITH_OVERLAY: u32 = FORWARDER | UNKNOWN_08 | USED_PRECOPY;
    (flags & FORWARDER != 0 && flags & WITH_FORWARDER != 0) || (flags & OVERLAY != 0 && flags & WITH_OVERLAY != 0)
}

impl RawDescriptor {
    pub(crate) fn parse(&self, at: u64) -> Result<Option<Descriptor>, FormatError> {
        let descriptor = Descriptor {
            original: self.original.get(),
            relative: self.relative.get(),
            store: self.store.get(),
            flags: self.flags.get(),
            sectors: self.sectors.get(),
        };
        if descriptor == (Descriptor { original: 0, relative: 0, store: 0, flags: 0, sectors: 0 }) {
            return Ok(None);
        }
        descriptor.check(Place::new(Structure::Descriptor, at))?;
        Ok(Some(descriptor))
    }
}
