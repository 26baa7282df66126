// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one error of this crate: which structure, which field, where on the volume, what is wrong.

use crate::guid::Guid;
use core::fmt;

/// A structure of the format, as named in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Structure {
    /// The 512 bytes at 0x1e00.
    VolumeHeader,
    /// A catalog block.
    Catalog,
    /// One entry of a catalog block.
    CatalogEntry,
    /// A block of a block list (diff area table).
    BlockList,
    /// One block descriptor.
    Descriptor,
    /// The first block of a store.
    StoreHeader,
    /// The information behind a store header.
    StoreInfo,
    /// A block of a range list.
    RangeList,
    /// One range.
    Range,
    /// A bitmap block, of the current or of the previous bitmap.
    Bitmap,
}

impl Structure {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Structure::VolumeHeader => "volume header",
            Structure::Catalog => "catalog",
            Structure::CatalogEntry => "catalog entry",
            Structure::BlockList => "block list",
            Structure::Descriptor => "block descriptor",
            Structure::StoreHeader => "store header",
            Structure::StoreInfo => "store information",
            Structure::RangeList => "range list",
            Structure::Range => "range",
            Structure::Bitmap => "bitmap",
        }
    }
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a field, with the offending values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The buffer ends before the structure does; lengths in bytes.
    TooShort {
        /// Bytes given.
        have: u64,
        /// Bytes needed.
        need: u64,
    },
    /// The identifier is not the one of the format.
    WrongIdentifier(Guid),
    /// The field must hold another value.
    Unexpected {
        /// What is there.
        found: u64,
        /// What must be there.
        expected: u64,
    },
    /// The value is not a multiple of `unit`.
    NotAligned {
        /// What is there.
        value: u64,
        /// What it must be a multiple of.
        unit: u64,
    },
    /// The value is above `limit`.
    TooLarge {
        /// What is there.
        value: u64,
        /// The largest accepted value.
        limit: u64,
    },
    /// The value must not be zero.
    Zero,
    /// These flags exclude each other.
    ExclusiveFlags(u32),
    /// The chain comes back to a block that it has been at.
    Loop,
    /// The chain has more blocks than the caller allows.
    ChainTooLong {
        /// The most blocks allowed.
        limit: u64,
    },
    /// Memory for the value could not be had; nothing is wrong with the bytes.
    OutOfMemory,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Problem::TooShort { have, need } => write!(f, "cut off: {have} of {need} bytes"),
            Problem::WrongIdentifier(found) => {
                write!(f, "not the identifier of shadow copies ({found})")
            }
            Problem::Unexpected { found, expected } => {
                write!(f, "must be {expected:#x} ({found:#x})")
            }
            Problem::NotAligned { value, unit } => {
                write!(f, "not a multiple of {unit} ({value:#x})")
            }
            Problem::TooLarge { value, limit } => {
                write!(f, "above the limit of {limit:#x} ({value:#x})")
            }
            Problem::Zero => f.write_str("must not be zero"),
            Problem::ExclusiveFlags(flags) => {
                write!(f, "flags that exclude each other ({flags:#x})")
            }
            Problem::Loop => f.write_str("the chain loops"),
            Problem::ChainTooLong { limit } => write!(f, "the chain has more than {limit} blocks"),
            Problem::OutOfMemory => f.write_str("out of memory"),
        }
    }
}

/// Bytes that are not what the format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatError {
    /// The structure that was read.
    pub structure: Structure,
    /// The field within it.
    pub field: &'static str,
    /// Byte offset of the field on the volume that holds the structure.
    pub offset: u64,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: offset {:#x}: {}", self.structure, self.field, self.offset, self.problem)
    }
}

impl core::error::Error for FormatError {}
