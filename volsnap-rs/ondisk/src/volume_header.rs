// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume header at 0x1e00: where everything else of a volume's shadow copies begins.
//!
//! Names of the fields from +96 on are dfir_ntfs's.

use crate::error::FormatError;
use crate::geometry::{BLOCK_SIZE, VOLUME_HEADER_LEN, VOLUME_HEADER_OFFSET};
use crate::guid::Guid;
use crate::header::{BlockType, IDENTIFIER};
use crate::place::Place;
use core::mem::offset_of;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

/// The header of a volume that has shadow copies, or holds the diff area of one that has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeHeader {
    /// 1; 2 is known by hearsay (Windows 8) and accepted.
    pub version: u32,
    /// Volume offset of the first catalog block, a multiple of 16 KiB; 0 = no snapshots and no diff area here.
    pub catalog: u64,
    /// Most bytes that the diff area may take; 0 = unbounded.
    pub maximum: u64,
    /// This volume.
    pub volume: Guid,
    /// The volume with the diff area; equal to `volume` when that is this one.
    pub storage: Guid,
    /// 0 or 1. Probably 1 = `maximum` was set by a person.
    pub application_flags: u64,
    /// Percentage for pre-copying free space; 0 on every volume seen.
    pub free_space_precopy: u64,
    /// Percentage for pre-copying hot blocks; 0 on every volume seen.
    pub hot_blocks_precopy: u64,
    /// Days that a block stays hot; 0 on every volume seen.
    pub hot_blocks_days: u32,
    /// Protection flags; bit 0 = snapshot protection mode.
    pub protection: u32,
}

/// Layout of the 512 bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawVolumeHeader {
    identifier: Guid,
    version: U32,
    kind: U32,
    relative: U64,
    current: U64,
    next: U64,
    catalog: U64,
    maximum: U64,
    volume: Guid,
    storage: Guid,
    application_flags: U64,
    free_space_precopy: U64,
    hot_blocks_precopy: U64,
    hot_blocks_days: U32,
    protection: U32,
    zero: [u8; 384],
}

const _: () = assert!(size_of::<RawVolumeHeader>() == VOLUME_HEADER_LEN);

impl VolumeHeader {
    /// Reads the header from the 512 bytes at [`VOLUME_HEADER_OFFSET`].
    ///
    /// `Ok(None)` when the identifier is not there: the volume never had shadow copies.
    pub fn parse(bytes: &[u8]) -> Result<Option<VolumeHeader>, FormatError> {
        let place = Place::new(BlockType::VolumeHeader.structure(), VOLUME_HEADER_OFFSET);
        let raw: &RawVolumeHeader = place.view(bytes)?;
        if raw.identifier != IDENTIFIER {
            return Ok(None);
        }
        raw.check(place)?;
        Ok(Some(VolumeHeader {
            version: raw.version.get(),
            catalog: raw.catalog.get(),
            maximum: raw.maximum.get(),
            volume: raw.volume,
            storage: raw.storage,
            application_flags: raw.application_flags.get(),
            free_space_precopy: raw.free_space_precopy.get(),
            hot_blocks_precopy: raw.hot_blocks_precopy.get(),
            hot_blocks_days: raw.hot_blocks_days.get(),
            protection: raw.protection.get(),
        }))
    }

    /// The 512 bytes, as Windows writes them.
    pub fn to_bytes(&self) -> [u8; VOLUME_HEADER_LEN] {
        transmute!(RawVolumeHeader {
            identifier: IDENTIFIER,
            version: U32::new(self.version),
            kind: U32::new(BlockType::VolumeHeader as u32),
            relative: U64::new(VOLUME_HEADER_OFFSET),
            current: U64::new(VOLUME_HEADER_OFFSET),
            next: U64::new(0),
            catalog: U64::new(self.catalog),
            maximum: U64::new(self.maximum),
            volume: self.volume,
            storage: self.storage,
            application_flags: U64::new(self.application_flags),
            free_space_precopy: U64::new(self.free_space_precopy),
            hot_blocks_precopy: U64::new(self.hot_blocks_precopy),
            hot_blocks_days: U32::new(self.hot_blocks_days),
            protection: U32::new(self.protection),
            zero: [0; 384],
        })
    }
}

impl RawVolumeHeader {
    fn check(&self, place: Place) -> Result<(), FormatError> {
        let version = offset_of!(RawVolumeHeader, version);
        place.not_zero("version", version, self.version.get().into())?;
        place.at_most("version", version, self.version.get().into(), 2)?;
        let kind = offset_of!(RawVolumeHeader, kind);
        place.equal("block type", kind, self.kind.get().into(), (BlockType::VolumeHeader as u32).into())?;
        place.equal("relative", offset_of!(RawVolumeHeader, relative), self.relative.get(), VOLUME_HEADER_OFFSET)?;
        place.equal("current", offset_of!(RawVolumeHeader, current), self.current.get(), VOLUME_HEADER_OFFSET)?;
        place.equal("next", offset_of!(RawVolumeHeader, next), self.next.get(), 0)?;
        place.offset::<BLOCK_SIZE>("catalog", offset_of!(RawVolumeHeader, catalog), self.catalog.get())
    }
}
