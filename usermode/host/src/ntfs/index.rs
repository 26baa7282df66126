// SPDX-License-Identifier: MIT OR Apache-2.0
//! Directories: walking the `$I30` index of names.
//!
//! The index reader of the `ntfs` crate (0.4) is not used: it takes the number of an index block for a cluster number
//! where clusters are larger than index blocks (it then counts sectors of 512 bytes), allocates whatever block size
//! the image names, and loses the tail of an index with an attribute list. This walk visits every block at most once.
//!
//! Layouts (published): `$INDEX_ROOT` is +8 u32 block size, +0x10 node; a block is `INDX`, +0x10 u64 its own number,
//! +0x18 node; a node is +0 u32 offset of the first entry, +4 u32 end of entries, both from the node; an entry is
//! +0 u64 file reference, +8 u16 length, +0xa u16 key length, +0xc u16 flags (1: the last 8 bytes number a child
//! block, 2: last entry, no key), +0x10 key; a name key is +0x40 u8 length in UTF-16 units, +0x41 u8 namespace,
//! +0x42 the name.

use std::collections::BTreeSet;

use ntfs::NtfsAttributeType;

use super::error::{Error, Result, damaged};
use super::extent::Extent;
use super::file::{FileInfo, FileKey, Stream, stream};
use super::fixup::{apply_fixup, le16, le32, le64};
use super::volume::Volume;
use crate::device::BlockDevice;

/// Record number of the root directory.
pub(super) const ROOT: u64 = 5;

const MAX_BLOCK: u64 = 0x1_0000;
/// Bytes of index blocks that one directory may have: about two million names.
const MAX_INDEX: u64 = 256 << 20;
const HAS_CHILD: u16 = 1;
const LAST: u16 = 2;
const NAMESPACE_DOS: u8 = 2;

/// One name in a directory. DOS aliases are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DirectoryEntry {
    pub(super) file_reference: u64,
    pub(super) name: String,
}

/// Finds a file by the names on its way from the root, in any case (the exact spelling wins), and describes it.
pub fn find(device: &dyn BlockDevice, path: &[&str]) -> Result<FileInfo> {
    let volume = Volume::open(device)?;
    let mut reference = ROOT;
    for (depth, component) in path.iter().enumerate() {
        let entry =
            find_entry(&volume, reference, component)?.ok_or_else(|| Error::NotFound(path[..=depth].join("\\")))?;
        reference = entry.file_reference;
    }
    volume.file(FileKey::Reference(reference))
}

/// The entry of this name in a directory.
pub(super) fn find_entry(volume: &Volume<'_>, directory: u64, name: &str) -> Result<Option<DirectoryEntry>> {
    let entries = entries(volume, directory, |candidate| same_name(candidate, name))?;
    let exact = entries.iter().position(|entry| entry.name == name).unwrap_or(0);
    Ok(entries.into_iter().nth(exact))
}

/// Equal but for case. NTFS compares by the volume's `$UpCase`; the names looked for here are plain ASCII.
fn same_name(left: &str, right: &str) -> bool {
    left.chars().flat_map(char::to_uppercase).eq(right.chars().flat_map(char::to_uppercase))
}

/// All names in a directory that `wanted` picks, in no particular order.
pub(super) fn entries(
    volume: &Volume<'_>,
    directory: u64,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<DirectoryEntry>> {
    // Not an existing directory: the caller gets `NotFound`, not an error about its missing index.
    let info = volume.file(FileKey::Reference(directory))?;
    if !info.directory {
        return Err(Error::NotFound(format!("directory with file reference {directory:#x}")));
    }
    let number = directory & ((1 << 48) - 1);
    let what = format!("index of directory {number}");
    let root = stream(volume, number, NtfsAttributeType::IndexRoot, "$I30")?
        .and_then(|stream| stream.resident)
        .ok_or_else(|| damaged(&what, "has no root"))?;
    let mut found = Vec::new();
    let mut waiting = node_entries(&root, 0x10, &wanted, &mut found).map_err(|detail| damaged(&what, detail))?;
    if waiting.is_empty() {
        return Ok(found);
    }
    let blocks = IndexBlocks::open(volume, number, &root, &what)?;
    let mut seen = BTreeSet::new();
    while let Some(block) = waiting.pop() {
        if !seen.insert(block) {
            return Err(damaged(&what, format!("block {block} is reached twice")));
        }
        let bytes = blocks.read(volume, block, &what)?;
        waiting.extend(node_entries(&bytes, 0x18, &wanted, &mut found).map_err(|detail| damaged(&what, detail))?);
    }
    Ok(found)
}

/// Reads the entries of a node that starts at `node`; returns the children. Errors say what is wrong.
fn node_entries(
    bytes: &[u8],
    node: usize,
    wanted: &impl Fn(&str) -> bool,
    found: &mut Vec<DirectoryEntry>,
) -> std::result::Result<Vec<u64>, String> {
    let cut = || "node is cut off".to_owned();
    let first = le32(bytes, node).ok_or_else(cut)? as usize;
    let end = le32(bytes, node + 4).ok_or_else(cut)? as usize;
    let mut rest = bytes.get(node..).and_then(|node| node.get(first..end)).ok_or_else(cut)?;
    let mut children = Vec::new();
    loop {
        let length = usize::from(le16(rest, 8).ok_or_else(cut)?);
        let entry = rest.get(..length).filter(|entry| entry.len() >= 0x10).ok_or_else(cut)?;
        let flags = le16(entry, 0xc).ok_or_else(cut)?;
        if flags & HAS_CHILD != 0 {
            children.push(le64(entry, length.saturating_sub(8)).ok_or_else(cut)?);
        }
        if flags & LAST != 0 {
            return Ok(children);
        }
        let key = entry.get(0x10..).unwrap_or_default();
        let (units, namespace) = key.get(0x40).zip(key.get(0x41)).ok_or("name is cut off")?;
        let name = key.get(0x42..0x42 + 2 * usize::from(*units)).ok_or("name is cut off")?;
        let units: Vec<u16> = name.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        let name = String::from_utf16_lossy(&units);
        if *namespace != NAMESPACE_DOS && wanted(&name) {
            found.push(DirectoryEntry { file_reference: le64(entry, 0).ok_or_else(cut)?, name });
        }
        rest = &rest[length..];
    }
}

/// The blocks of a large index: `$INDEX_ALLOCATION`.
struct IndexBlocks {
    stream: Stream,
    block_size: u64,
    /// Bytes that a step of the block number means.
    unit: u64,
}

impl IndexBlocks {
    fn open(volume: &Volume<'_>, number: u64, root: &[u8], what: &str) -> Result<Self> {
        let block_size = u64::from(le32(root, 8).unwrap_or(0));
        if !(512..=MAX_BLOCK).contains(&block_size) || !block_size.is_power_of_two() {
            return Err(damaged(what, format!("blocks of {block_size} bytes")));
        }
        let stream = stream(volume, number, NtfsAttributeType::IndexAllocation, "$I30")?
            .ok_or_else(|| damaged(what, "blocks are named, but it has none"))?;
        if stream.data_size > MAX_INDEX {
            return Err(Error::Unsupported { what: what.into(), detail: format!("{} bytes", stream.data_size) });
        }
        let cluster_size = volume.geometry().cluster_size;
        let unit = if cluster_size <= block_size { cluster_size } else { 512 };
        Ok(Self { stream, block_size, unit })
    }

    fn read(&self, volume: &Volume<'_>, block: u64, what: &str) -> Result<Vec<u8>> {
        let offset = block
            .checked_mul(self.unit)
            .filter(|offset| offset.checked_add(self.block_size).is_some_and(|end| end <= self.stream.data_size))
            .ok_or_else(|| damaged(what, format!("block {block} lies outside")))?;
        let mut bytes = vec![0; self.block_size as usize];
        read_stream(volume, "directory index", &self.stream.extents, offset, &mut bytes)?;
        apply_fixup(&mut bytes, b"INDX").map_err(|detail| damaged(what, format!("block {block}: {detail}")))?;
        if le64(&bytes, 0x10) != Some(block) {
            return Err(damaged(what, format!("block {block} carries another number")));
        }
        Ok(bytes)
    }
}

/// Reads `buf` from `offset` of a stream of these runs; a hole is damage, as no caller's stream may have one.
pub(super) fn read_stream(
    volume: &Volume<'_>,
    what: &'static str,
    extents: &[Extent],
    offset: u64,
    buf: &mut [u8],
) -> Result<()> {
    let mut done = 0;
    while done < buf.len() {
        let at = offset + done as u64;
        let index = extents.partition_point(|extent| extent.file_end() <= at);
        let extent = extents.get(index).filter(|extent| extent.file_offset <= at);
        let extent = extent.ok_or_else(|| damaged(what, format!("nothing allocated at byte {at}")))?;
        let skipped = at - extent.file_offset;
        let count = usize::try_from(extent.length - skipped).unwrap_or(usize::MAX).min(buf.len() - done);
        volume.read(what, &mut buf[done..done + count], extent.volume_offset + skipped)?;
        done += count;
    }
    Ok(())
}
