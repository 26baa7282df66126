// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which blocks of a volume need no preserving (spec section 8, 'current bitmap').
//!
//! A block's bit is 1 if every cluster in it is free, or belongs to a catalogue, store or page file. A block that is
//! not made of clusters only has bit 0: the last one holds the backup boot sector, which lies after the clusters.

use std::time::Duration;

use super::boot::Geometry;
use super::diff_area::{DIRECTORY, list_in};
use super::error::{Error, Result, damaged};
use super::extent::{BLOCK_SIZE, Extent};
use super::file::{FileKey, Stream, stream};
use super::index::{ROOT, find_entry, read_stream};
use super::volume::Volume;
use crate::device::BlockDevice;

/// Files of the root that never need preserving.
const PAGE_FILES: [&str; 3] = ["pagefile.sys", "hiberfil.sys", "swapfile.sys"];

/// Record number of `$Bitmap`.
const BITMAP: u64 = 6;

/// `$Bitmap` is worked on in chunks of this many bytes: whole blocks whatever the cluster size, and each small enough
/// that a change redoes little.
const CHUNK: usize = 0x1_0000;

/// How often a volume in use is looked at before it counts as damaged, and the time in between.
const LOOKS: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// One bit per 16 KiB block of a volume, LSB first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockBitmap {
    blocks: u64,
    bytes: Vec<u8>,
}

impl BlockBitmap {
    /// All bits 0. An error where memory does not suffice.
    fn zeroed(blocks: u64) -> Result<Self> {
        Ok(Self { blocks, bytes: zeroed_bytes(blocks.div_ceil(8))? })
    }

    /// Number of blocks: the volume's size over 16 KiB, rounded up.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Whether the block of this number needs no preserving; `false` past the end.
    pub fn get(&self, block: u64) -> bool {
        usize::try_from(block / 8)
            .ok()
            .and_then(|byte| self.bytes.get(byte))
            .is_some_and(|byte| byte >> (block % 8) & 1 == 1)
    }

    /// The bits, `ceil(blocks / 8)` bytes, 0 past the end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bits, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The bitmap of a volume at rest, as it is now. See [`FreeMapBuilder`] for a volume in use.
pub fn free_map(device: &dyn BlockDevice) -> Result<BlockBitmap> {
    FreeMapBuilder::prepare_once(device).map(|builder| builder.map)
}

/// Free clusters of the volume, as (clusters, bytes).
pub fn free_clusters(device: &dyn BlockDevice) -> Result<(u64, u64)> {
    let volume = Volume::open(device)?;
    let geometry = volume.geometry();
    let bitmap = read_bitmap(&volume)?;
    let whole = (geometry.clusters / 8) as usize;
    let mut used: u64 = bitmap[..whole].iter().map(|byte| u64::from(byte.count_ones())).sum();
    for bit in 0..geometry.clusters % 8 {
        used += u64::from(bitmap[whole] >> bit & 1);
    }
    let free = geometry.clusters - used;
    Ok((free, free * geometry.cluster_size))
}

/// Makes the bitmap in two steps, so that writes are held for little more than reading `$Bitmap`.
///
/// [`prepare`](Self::prepare) does everything while the volume is in use; [`finish`](Self::finish), with writes held
/// and the file system flushed, reads `$Bitmap` and the runs of the excluded files once more and redoes only what
/// differs.
#[derive(Debug)]
pub struct FreeMapBuilder {
    geometry: Geometry,
    /// File reference of `System Volume Information`.
    directory: Option<u64>,
    /// File references of the page files.
    page_files: Vec<u64>,
    /// Clusters excluded, as (first, past the last), ascending, not touching.
    excluded: Vec<(u64, u64)>,
    /// `$Bitmap` as read.
    clusters: Vec<u8>,
    map: BlockBitmap,
}

impl FreeMapBuilder {
    /// Makes the bitmap of the volume as it is. The file system may be writing: a record that is caught half-written
    /// is looked at again.
    pub fn prepare(device: &dyn BlockDevice) -> Result<Self> {
        for _ in 1..LOOKS {
            match Self::prepare_once(device) {
                Err(Error::Damaged { .. }) => std::thread::sleep(BETWEEN_LOOKS),
                result => return result,
            }
        }
        Self::prepare_once(device)
    }

    fn prepare_once(device: &dyn BlockDevice) -> Result<Self> {
        let volume = Volume::open(device)?;
        let geometry = *volume.geometry();
        let page_files = page_files(&volume)?;
        let directory = find_entry(&volume, ROOT, DIRECTORY)?.map(|entry| entry.file_reference);
        let mut builder = Self {
            geometry,
            directory,
            page_files,
            excluded: Vec::new(),
            clusters: read_bitmap(&volume)?,
            map: BlockBitmap::zeroed(geometry.volume_size.div_ceil(BLOCK_SIZE))?,
        };
        builder.excluded = builder.excluded_clusters(&volume)?;
        for chunk in 0..builder.clusters.len().div_ceil(CHUNK) {
            builder.reduce_chunk(chunk);
        }
        Ok(builder)
    }

    /// The bitmap as it is now, with writes held. `device` is the one that was prepared. A volume without page
    /// files is not searched for new ones, which are then preserved like any file.
    pub fn finish(mut self, device: &dyn BlockDevice) -> Result<BlockBitmap> {
        let volume = Volume::open(device)?;
        if *volume.geometry() != self.geometry {
            // Resized in between: nothing prepared holds.
            return free_map(device);
        }
        if !self.page_files.is_empty() {
            // By name, not by reference: one that was renamed is a user's file now.
            self.page_files = page_files(&volume)?;
        }
        let excluded = self.excluded_clusters(&volume)?;
        let clusters = read_bitmap(&volume)?;
        let old_excluded = std::mem::replace(&mut self.excluded, excluded);
        let old_clusters = std::mem::replace(&mut self.clusters, clusters);
        for chunk in 0..self.clusters.len().div_ceil(CHUNK) {
            let span = chunk_span(chunk);
            let bytes = chunk * CHUNK..self.clusters.len().min((chunk + 1) * CHUNK);
            let same = old_clusters[bytes.clone()] == self.clusters[bytes]
                && ranges_in(&old_excluded, span).eq(ranges_in(&self.excluded, span));
            if !same {
                self.reduce_chunk(chunk);
            }
        }
        Ok(self.map)
    }

    /// Clusters of the diff area and page files, as they are now.
    fn excluded_clusters(&self, volume: &Volume<'_>) -> Result<Vec<(u64, u64)>> {
        let mut extents: Vec<Extent> = Vec::new();
        if let Some(directory) = self.directory {
            match list_in(volume, directory) {
                Ok(files) => extents.extend(files.into_iter().flat_map(|file| file.file.data.extents)),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for &reference in &self.page_files {
            match volume.file(FileKey::Reference(reference)) {
                Ok(file) => extents.extend(file.data.extents),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(merged_clusters(&extents, self.geometry.cluster_size))
    }

    /// Computes the block bits of one chunk of `$Bitmap`.
    fn reduce_chunk(&mut self, chunk: usize) {
        let span = chunk_span(chunk);
        let start = chunk * CHUNK;
        let end = self.clusters.len().min(start + CHUNK);
        let mut used = self.clusters[start..end].to_vec();
        // The last chunk is filled up to a whole block (32 clusters of 512 bytes at most) before it is cut at `valid`.
        used.resize(used.len().next_multiple_of(4), 0xff);
        for (first, last) in ranges_in(&self.excluded, span) {
            clear_bits(&mut used, (first - span.0) as usize, (last - span.0) as usize);
        }
        // Clusters past the end do not exist; a block that reaches there holds other sectors, so it counts as used.
        let valid = self.geometry.clusters.saturating_sub(span.0).min(span.1 - span.0);
        set_bits(&mut used, valid as usize);
        let first_block = span.0 as u128 * u128::from(self.geometry.cluster_size) / u128::from(BLOCK_SIZE);
        let bits = reduce(&used, self.geometry.cluster_size);
        let byte = (first_block / 8) as usize;
        let room = self.map.bytes.len().saturating_sub(byte);
        let count = bits.len().min(room);
        self.map.bytes[byte..byte + count].copy_from_slice(&bits[..count]);
    }
}

/// File references of the page files in the root.
fn page_files(volume: &Volume<'_>) -> Result<Vec<u64>> {
    let mut references = Vec::new();
    for name in PAGE_FILES {
        references.extend(find_entry(volume, ROOT, name)?.map(|entry| entry.file_reference));
    }
    Ok(references)
}

/// Clusters of a chunk: (first, past the last).
fn chunk_span(chunk: usize) -> (u64, u64) {
    let clusters = CHUNK as u64 * 8;
    (chunk as u64 * clusters, (chunk as u64 + 1) * clusters)
}

/// The parts of ascending `ranges` inside `span`.
fn ranges_in(ranges: &[(u64, u64)], span: (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
    let first = ranges.partition_point(|range| range.1 <= span.0);
    ranges[first..]
        .iter()
        .take_while(move |range| range.0 < span.1)
        .map(move |range| (range.0.max(span.0), range.1.min(span.1)))
}

/// Extents as ascending cluster ranges, merged.
fn merged_clusters(extents: &[Extent], cluster_size: u64) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = extents
        .iter()
        .map(|extent| (extent.volume_offset / cluster_size, extent.volume_end() / cluster_size))
        .collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
            _ => merged.push(range),
        }
    }
    merged
}

/// Clears bits `first..end` (LSB first); bits past the slice are ignored.
fn clear_bits(bytes: &mut [u8], first: usize, end: usize) {
    let end = end.min(bytes.len() * 8);
    let mut bit = first;
    while bit < end {
        if bit.is_multiple_of(8) && end - bit >= 8 {
            let whole = end / 8;
            bytes[bit / 8..whole].fill(0);
            bit = whole * 8;
        } else {
            bytes[bit / 8] &= !(1 << (bit % 8));
            bit += 1;
        }
    }
}

/// Sets all bits from `first` on.
fn set_bits(bytes: &mut [u8], first: usize) {
    if let Some(byte) = bytes.get_mut(first / 8) {
        *byte |= 0xff << (first % 8);
    }
    if let Some(rest) = bytes.get_mut(first / 8 + 1..) {
        rest.fill(0xff);
    }
}

/// Cluster bits (1 used) to block bits (1 all clusters unused), for a chunk that starts with a block.
fn reduce(used: &[u8], cluster_size: u64) -> Vec<u8> {
    if cluster_size > BLOCK_SIZE {
        return spread(used, (cluster_size / BLOCK_SIZE) as usize);
    }
    match BLOCK_SIZE / cluster_size {
        1 => used.iter().map(|byte| !byte).collect(),
        2 => pack(used.iter().map(|&byte| (0..4).fold(0, |bits, at| bits | free(byte >> (2 * at) & 3) << at)), 4),
        4 => pack(used.iter().map(|&byte| free(byte & 0xf) | free(byte >> 4) << 1), 2),
        clusters => {
            pack(used.chunks(clusters as usize / 8).map(|block| free(block.iter().fold(0, |all, byte| all | byte))), 1)
        }
    }
}

/// 1 if no bit is set.
fn free(bits: u8) -> u8 {
    u8::from(bits == 0)
}

/// Joins values of `width` bits to bytes, LSB first.
fn pack(values: impl Iterator<Item = u8>, width: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut filled = 8;
    for value in values {
        if filled == 8 {
            bytes.push(0);
            filled = 0;
        }
        if let Some(byte) = bytes.last_mut() {
            *byte |= value << filled;
        }
        filled += width;
    }
    bytes
}

/// Repeats each bit, inverted, `times` times.
fn spread(used: &[u8], times: usize) -> Vec<u8> {
    let mut bytes = vec![0; used.len() * times];
    for cluster in (0..used.len() * 8).filter(|cluster| used[cluster / 8] >> (cluster % 8) & 1 == 0) {
        for block in cluster * times..(cluster + 1) * times {
            bytes[block / 8] |= 1 << (block % 8);
        }
    }
    bytes
}

/// All of `$Bitmap` that describes clusters.
fn read_bitmap(volume: &Volume<'_>) -> Result<Vec<u8>> {
    let what = "$Bitmap";
    let length = volume.geometry().clusters.div_ceil(8);
    let stream: Stream = stream(volume, BITMAP, ntfs::NtfsAttributeType::Data, "")?
        .filter(|stream| stream.data_size >= length && !stream.transformed)
        .ok_or_else(|| damaged(what, format!("no plain stream of {length} bytes")))?;
    let mut bytes = zeroed_bytes(length)?;
    match &stream.resident {
        // A file system of a few dozen clusters.
        Some(resident) => bytes.copy_from_slice(&resident[..length as usize]),
        None => read_stream(volume, what, &stream.extents, 0, &mut bytes)?,
    }
    Ok(bytes)
}

/// Zeroed memory for a size that an image names; an error, not an abort, where there is too little.
fn zeroed_bytes(length: u64) -> Result<Vec<u8>> {
    let too_much =
        || Error::Unsupported { what: "bitmap of the volume".into(), detail: format!("{length} bytes of memory") };
    let length = usize::try_from(length).map_err(|_| too_much())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| too_much())?;
    bytes.resize(length, 0);
    Ok(bytes)
}
