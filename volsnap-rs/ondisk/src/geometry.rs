// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fixed sizes and places of the format, so that no other module spells a number.
//!
//! Source: libvshadow's format document, measured again on Windows-made volumes.

/// Size of one block in bytes: the unit of copy-on-write and of all metadata, whatever the cluster size.
pub const BLOCK_SIZE: u64 = 0x4000;
/// [`BLOCK_SIZE`] for buffers.
pub const BLOCK_LEN: usize = 0x4000;
/// The unit of an overlay's sector map, in bytes, whatever the disk's sector size.
pub const SECTOR_LEN: usize = 512;
/// Byte offset of the volume header on its volume: the last 512 bytes of the 8 KiB boot area.
pub const VOLUME_HEADER_OFFSET: u64 = 0x1e00;
/// Size of the volume header in bytes.
pub const VOLUME_HEADER_LEN: usize = 512;
/// Size in bytes of the header that every metadata block starts with.
pub const HEADER_LEN: usize = 128;
/// Blocks of a catalog: Windows always makes this many, one behind the other.
pub const CATALOG_BLOCKS: u64 = 4;
/// Size of one catalog entry in bytes.
pub const CATALOG_ENTRY_LEN: usize = 128;
/// Entries in one catalog block.
pub const CATALOG_ENTRIES: usize = 127;
/// Size of one block descriptor in bytes.
pub const DESCRIPTOR_LEN: usize = 32;
/// Descriptors in one block of a block list.
pub const DESCRIPTORS_PER_BLOCK: usize = 508;
/// Size of one range in bytes.
pub const RANGE_LEN: usize = 24;
/// Ranges in one block of a range list; the last 8 bytes of the block are left over.
pub const RANGES_PER_BLOCK: usize = 677;
/// Bytes of bitmap in one bitmap block.
pub const BITMAP_PAYLOAD_LEN: usize = 16256;
/// Volume blocks that one bitmap block describes.
pub const BITS_PER_BITMAP_BLOCK: u64 = 130_048;
/// Largest volume offset or length that is accepted: the I/O stack under the format counts in signed 64 bits.
///
/// With it, adding any two accepted values cannot overflow a `u64`.
pub const MAX_OFFSET: u64 = i64::MAX.cast_unsigned();

const _: () = {
    assert!(BLOCK_LEN as u64 == BLOCK_SIZE);
    assert!(HEADER_LEN + CATALOG_ENTRIES * CATALOG_ENTRY_LEN == BLOCK_LEN);
    assert!(HEADER_LEN + DESCRIPTORS_PER_BLOCK * DESCRIPTOR_LEN == BLOCK_LEN);
    assert!(HEADER_LEN + RANGES_PER_BLOCK * RANGE_LEN + 8 == BLOCK_LEN);
    assert!(HEADER_LEN + BITMAP_PAYLOAD_LEN == BLOCK_LEN);
    assert!(BITMAP_PAYLOAD_LEN as u64 * 8 == BITS_PER_BITMAP_BLOCK);
};
