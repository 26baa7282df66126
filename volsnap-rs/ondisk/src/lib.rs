// SPDX-License-Identifier: MIT OR Apache-2.0
//! The on-disk format of Windows volume shadow copies (volsnap): bytes to types and back. No I/O.
//!
//! A volume with shadow copies has a [`VolumeHeader`] at byte 0x1e00. It names the catalog, a chain of
//! [`CatalogBlock`]s. Each snapshot has two entries there: a [`SnapshotEntry`] in the catalog of the volume that it is
//! of, and a [`StoreEntry`] in the catalog of the volume with its diff area, most often the same. The store entry names
//! the store's blocks:
//!
//! ```text
//! 0x1e00 VolumeHeader ──► CatalogBlock ─► CatalogBlock ─► ...          (4 blocks, one behind the other)
//!                           │ SnapshotEntry   size, sequence, time, store GUID
//!                           │ StoreEntry      store GUID
//!                           │    ├─► StoreHeader                       who made it, when, for what
//!                           │    ├─► BlockList ─► BlockList ─► ...     508 Descriptors each: block -> saved block
//!                           │    ├─► RangeList ─► ...                  677 Ranges each: the store file's runs
//!                           │    ├─► BitmapBlock ─► ...                current bitmap: blocks not needed
//!                           │    └─► BitmapBlock ─► ...                previous bitmap: not needed by older ones
//! ```
//!
//! All of it is in blocks of [`BLOCK_SIZE`], and every block begins with a [`BlockHeader`]. Offsets are bytes from the
//! start of the volume, 'relative' ones from the start of the file that the block is in.
//!
//! How to read: hand each parser the bytes and the volume offset where they were read; follow `next` of the headers
//! with a [`ChainGuard`]. Whatever the bytes are, a parser returns: it does not panic, loop, or allocate (but for the
//! two strings of a store header, which fit a block). Values that come out are bounded by [`MAX_OFFSET`] and aligned
//! as documented, so that sums of two of them do not overflow. Every [`FormatError`] says structure, field and volume
//! offset.
//!
//! How strict: what a reader needs in order to read the right thing is checked. What it ignores (padding, statistics,
//! unknown flags) is not, so that a volume of some other Windows is not turned away for it. Bytes that are written are
//! those that Windows would write; a structure of a Windows-made volume that is parsed and written again is the same.
//!
//! This crate also runs in the kernel: no unsafe code, no path to a panic, allocations that may fail.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

extern crate alloc;

pub mod bitmap;
mod block_list;
mod catalog;
mod catalog_entry;
mod chain;
mod descriptor;
mod error;
mod file_name;
mod file_time;
mod geometry;
mod guid;
mod header;
mod names;
mod place;
mod range;
mod range_list;
mod snapshot_entry;
mod store_entry;
mod store_header;
mod store_info;
mod volume_header;
mod wide_string;

pub use bitmap::BitmapBlock;
pub use block_list::BlockList;
pub use catalog::CatalogBlock;
pub use catalog_entry::CatalogEntry;
pub use chain::ChainGuard;
pub use descriptor::{Descriptor, descriptor_flags};
pub use error::{FormatError, Problem, Structure};
pub use file_name::{CATALOG_FILE_NAME, StoreFileName, store_file_name};
pub use file_time::FileTime;
pub use geometry::*;
pub use guid::{Guid, ParseGuidError};
pub use header::{BlockHeader, BlockType, IDENTIFIER};
pub use names::{APP_CLIENT_ACCESSIBLE, APP_HIDDEN, APP_PERSISTENT, application_name, attributes, context};
pub use range::Range;
pub use range_list::RangeList;
pub use snapshot_entry::{SnapshotEntry, snapshot_flags};
pub use store_entry::StoreEntry;
pub use store_header::StoreHeader;
pub use store_info::StoreInfo;
pub use volume_header::VolumeHeader;
pub use wide_string::WideString;
