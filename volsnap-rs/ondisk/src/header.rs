// SPDX-License-Identifier: MIT OR Apache-2.0
//! The 128 bytes that every metadata block starts with.

use crate::error::{FormatError, Problem, Structure};
use crate::geometry::{BLOCK_LEN, BLOCK_SIZE, HEADER_LEN, SECTOR_LEN};
use crate::guid::Guid;
use crate::place::Place;
use core::mem::offset_of;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

/// Marks every structure of the format: `{3808876b-c176-4e48-b7ae-04046e6cc752}`.
pub const IDENTIFIER: Guid =
    Guid::from_fields(0x3808_876b, 0xc176, 0x4e48, [0xb7, 0xae, 0x04, 0x04, 0x6e, 0x6c, 0xc7, 0x52]);

/// The version of every block of every Windows seen, from Server 2003 to Windows 11.
pub(crate) const VERSION: u32 = 1;

/// The kind of a metadata block; the values are those on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum BlockType {
    /// The volume header, which shares only the first 48 bytes of the block header.
    VolumeHeader = 1,
    /// A block of the catalog.
    Catalog = 2,
    /// A block of a store's block list (diff area table).
    BlockList = 3,
    /// The first block of a store.
    StoreHeader = 4,
    /// A block of a store's range list (diff area location).
    RangeList = 5,
    /// A block of a store's current or previous bitmap.
    Bitmap = 6,
}

impl BlockType {
    /// The structure that errors name.
    pub const fn structure(self) -> Structure {
        match self {
            BlockType::VolumeHeader => Structure::VolumeHeader,
            BlockType::Catalog => Structure::Catalog,
            BlockType::BlockList => Structure::BlockList,
            BlockType::StoreHeader => Structure::StoreHeader,
            BlockType::RangeList => Structure::RangeList,
            BlockType::Bitmap => Structure::Bitmap,
        }
    }
}

/// The header of a metadata block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the block holds.
    pub kind: BlockType,
    /// Byte offset of the block in its file.
    pub relative: u64,
    /// Byte offset of the block on its volume.
    pub current: u64,
    /// Byte offset on the volume of the next block of the chain, 0 for the last. A multiple of 16 KiB.
    pub next: u64,
    /// Bytes of store information behind the header; 0 in every block but a store header.
    pub info_size: u64,
}

/// Layout of the 128 bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawHeader {
    identifier: Guid,
    version: U32,
    kind: U32,
    relative: U64,
    current: U64,
    next: U64,
    info_size: U64,
    zero: [u8; 72],
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_LEN);

impl BlockHeader {
    /// Reads the header at the start of `bytes`, a block that lies at volume offset `at`.
    ///
    /// Checked: identifier, version, that the type is `expect`, that the block says it lies at `at`, that `next` is a
    /// block, that `relative` is a multiple of 16 KiB in a catalog and a store header and of 512 elsewhere (the runs
    /// of a store file begin at clusters, which may be smaller than a block), and that the store information fits.
    /// The volume header has a layout of its own: use [`crate::VolumeHeader::parse`] for it.
    pub fn parse(bytes: &[u8], at: u64, expect: BlockType) -> Result<BlockHeader, FormatError> {
        let place = Place::new(expect.structure(), at);
        let raw: &RawHeader = place.view(bytes)?;
        raw.check(place, at, expect)?;
        Ok(BlockHeader {
            kind: expect,
            relative: raw.relative.get(),
            current: raw.current.get(),
            next: raw.next.get(),
            info_size: raw.info_size.get(),
        })
    }

    /// The 128 bytes, as Windows writes them.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        transmute!(RawHeader::from(*self))
    }
}

impl From<BlockHeader> for RawHeader {
    fn from(header: BlockHeader) -> RawHeader {
        RawHeader {
            identifier: IDENTIFIER,
            version: U32::new(VERSION),
            kind: U32::new(header.kind as u32),
            relative: U64::new(header.relative),
            current: U64::new(header.current),
            next: U64::new(header.next),
            info_size: U64::new(header.info_size),
            zero: [0; 72],
        }
    }
}

impl RawHeader {
    fn check(&self, place: Place, at: u64, expect: BlockType) -> Result<(), FormatError> {
        if self.identifier != IDENTIFIER {
            return Err(place.error("identifier", 0, Problem::WrongIdentifier(self.identifier)));
        }
        let version = offset_of!(RawHeader, version);
        place.equal("version", version, self.version.get().into(), VERSION.into())?;
        let kind = offset_of!(RawHeader, kind);
        place.equal("block type", kind, self.kind.get().into(), (expect as u32).into())?;
        place.equal("current", offset_of!(RawHeader, current), self.current.get(), at)?;
        place.offset::<BLOCK_SIZE>("next", offset_of!(RawHeader, next), self.next.get())?;
        let relative = (offset_of!(RawHeader, relative), self.relative.get());
        match expect {
            BlockType::Catalog | BlockType::StoreHeader => {
                place.offset::<BLOCK_SIZE>("relative", relative.0, relative.1)?;
            }
            _ => place.offset::<{ SECTOR_LEN as u64 }>("relative", relative.0, relative.1)?,
        }
        let info_size = offset_of!(RawHeader, info_size);
        match expect {
            BlockType::StoreHeader => {
                place.at_most("info size", info_size, self.info_size.get(), const { (BLOCK_LEN - HEADER_LEN) as u64 })
            }
            _ => place.equal("info size", info_size, self.info_size.get(), 0),
        }
    }
}
