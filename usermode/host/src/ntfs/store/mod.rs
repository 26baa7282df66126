// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making store files where the file system's owner keeps them (DESIGN D3).
//!
//! | the volume is | made by | clusters reserved by |
//! |---|---|---|
//! | NTFS, mounted by nobody | ntfs-3g in a private mount, for as long as a call lasts | `ntfsfallocate`, initialized size 0 |
//! | NTFS, mounted by ntfs-3g at a known place | that mount | writing zeros, or a filling that the device drops |
//!
//! After each change the file is looked up on the device below and must be there as asked: allocated in full, plain
//! (not sparse, compressed or encrypted), with every run that it had before still in place.

mod command;
mod directory;
mod files;
mod mounted;
mod mounted_placement;
mod placement;
mod private_mount;
mod security;

use super::diff_area::Guid;
use super::error::Result;
use super::extent::{BLOCK_SIZE, Extent};

pub use files::NtfsStore;

/// What clusters are reserved with on a mounted volume, repeated from the start of the range.
pub type Filling = [u8; 16];

/// A store (or the catalogue) as the engine uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFile {
    /// Which store; [`VSS_IDENTIFIER`](super::VSS_IDENTIFIER) for the catalogue.
    pub guid: Guid,
    /// NTFS file reference for the catalogue's entry, 0 where there is no file system.
    pub file_reference: u64,
    /// Size of the file, bytes.
    pub size: u64,
    /// Blocks that may be used, in file order: whole 16 KiB blocks, aligned on the volume. The first extent starts at
    /// file offset 0 and holds at least the first four blocks of the file.
    pub extents: Vec<Extent>,
}

impl StoreFile {
    /// Bytes in usable blocks; less than `size` where runs are misaligned.
    pub fn usable(&self) -> u64 {
        self.extents.iter().map(|extent| extent.length).sum()
    }
}

/// Who makes, grows, cuts and deletes store files. Calls block, up to minutes; they are serialised inside.
///
/// Sizes are bytes and are rounded up to whole 16 KiB blocks, at least four.
pub trait StoreAllocator: Send + Sync {
    /// The catalogue file, made if missing: 64 KiB, contiguous, aligned.
    fn catalog(&self) -> Result<StoreFile>;

    /// Makes a store. Its clusters hold whatever they held before. Nothing remains after an error.
    fn create(&self, guid: &Guid, bytes: u64) -> Result<StoreFile>;

    /// Makes a store bigger; smaller or equal is no change. What it has stays where it is, also after an error.
    fn grow(&self, guid: &Guid, bytes: u64) -> Result<StoreFile>;

    /// Gives back what lies at or past `bytes`; larger or equal is no change.
    fn truncate(&self, guid: &Guid, bytes: u64) -> Result<StoreFile>;

    /// Deletes a store and frees its space. [`Error::NotFound`](super::Error::NotFound) if there is none.
    fn delete(&self, guid: &Guid) -> Result<()>;

    /// The store as it is on the volume now.
    fn lookup(&self, guid: &Guid) -> Result<StoreFile>;
}

/// Smallest store: header, block list, range list, and one block of data.
const MIN_STORE: u64 = 4 * BLOCK_SIZE;

/// A size as it is asked of the file system.
fn whole_blocks(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(BLOCK_SIZE).unwrap_or(u64::MAX / BLOCK_SIZE * BLOCK_SIZE).max(MIN_STORE)
}
