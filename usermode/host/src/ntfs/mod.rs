// SPDX-License-Identifier: MIT OR Apache-2.0
//! NTFS as the snapshot stack needs it: which blocks need no preserving, and where store files lie.
//!
//! Reading ([`Volume`], [`free_map`], [`find`], [`list_diff_area_files`]) works on the bytes of any
//! [`BlockDevice`](crate::device::BlockDevice) with the `ntfs` crate, never through a mount, so that a served live
//! volume and a snapshot are read alike. Images are hostile: every size read from one is bounded by the device before
//! it is used, and damage is an [`Error`], not a panic.
//!
//! Writing ([`StoreAllocator`]) is left to the file system's owner: store files are made by ntfs-3g, then found again
//! on the device below it and checked. Nothing here writes to the device itself.
//!
//! ```text
//!   $Bitmap ------+
//!   diff area ----+--> free_map --> 'need not preserve' bits --> engine (commit)
//!   page files ---+
//!   ntfs-3g  --> store file --> file record --> extents --> usable 16 KiB blocks --> engine (diff area)
//! ```

mod boot;
mod diff_area;
mod error;
mod extent;
mod file;
mod fixup;
mod free_map;
mod index;
mod store;
mod view;
mod volume;

pub use boot::{Geometry, is_ntfs};
pub use diff_area::{CATALOG_SIZE, DiffAreaFile, Guid, VSS_IDENTIFIER, list_diff_area_files, store_file_name};
pub use error::{Error, Result};
pub use extent::{BLOCK_SIZE, Extent, usable_blocks};
pub use file::{FileInfo, FileKey, Stream};
pub use free_map::{BlockBitmap, FreeMapBuilder, free_clusters, free_map};
pub use index::find;
pub use store::{Filling, NtfsStore, StoreAllocator, StoreFile};
pub use volume::{Volume, file_info};
