// SPDX-License-Identifier: MIT OR Apache-2.0
//! GUID partition table: the primary copy, and the backup at the end of the disk where the primary is damaged.
//!
//! A copy counts only when its header and its entries both have the right checksum (UEFI 2.10, 5.3.2): the two copies
//! are never mixed.

use crate::disk::{Disk, Entry, Reader};
use crate::error::{Error, Finding, FindingKind};
use crate::partition::{DiskId, Kind, Layout, Name, Partition, PartitionType};
use gpt_disk_types::{Crc32, GptHeader, GptPartitionEntry, GptPartitionEntrySize, crc};

/// Most bytes of partition entries that are read: 64 times what Windows writes (128 entries of 128 bytes).
pub const MAX_ENTRY_ARRAY_BYTES: u64 = 1 << 20;

/// Table at compile time, so that a checksum costs no kilobyte of stack.
static CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&Crc32::ALGORITHM);

/// Bytes of a header that UEFI defines; the smallest header size.
const HEADER_BYTES: usize = size_of::<GptHeader>();

/// Where the checksum lies in a header; it counts as zero in itself.
const CRC_FIELD: core::ops::Range<usize> = 16..20;

/// Why a copy does not count: damage (try the other one), or an end to everything.
enum Refusal<E> {
    Damaged(Finding),
    Fatal(Error<E>),
}

impl<E> Refusal<E> {
    fn at(lba: u64, kind: FindingKind) -> Self {
        Self::Damaged(Finding::new(lba, kind))
    }
}

pub(crate) fn read<R: Reader>(disk: &mut Disk<R>) -> Result<Layout, Error<R::Error>> {
    let primary = match read_copy(disk, 1) {
        Ok(layout) => return Ok(layout),
        Err(Refusal::Fatal(error)) => return Err(error),
        Err(Refusal::Damaged(finding)) => finding,
    };
    let backup_lba = backup_lba(disk);
    match read_copy(disk, backup_lba) {
        Ok(mut layout) => {
            layout.find(primary.lba, primary.kind)?;
            Ok(layout)
        }
        Err(Refusal::Fatal(error)) => Err(error),
        Err(Refusal::Damaged(backup)) => Err(Error::NoValidGpt { primary, backup }),
    }
}

/// Where the backup header is: where a primary header with a right checksum says (an image may have grown since), else
/// in the last sector, where it belongs.
fn backup_lba<R: Reader>(disk: &mut Disk<R>) -> u64 {
    let last = disk.sectors.saturating_sub(1);
    let named = read_header(disk, 1).ok().map(|header| header.alternate_lba.to_u64());
    named.filter(|lba| *lba > 1 && *lba <= last).unwrap_or(last)
}

fn read_copy<R: Reader>(disk: &mut Disk<R>, lba: u64) -> Result<Layout, Refusal<R::Error>> {
    let header = read_header(disk, lba)?;
    let entry_size = entry_size(disk, &header, lba)?;
    read_entries(disk, &header, entry_size, lba)
}

fn read_header<R: Reader>(disk: &mut Disk<R>, lba: u64) -> Result<GptHeader, Refusal<R::Error>> {
    read_sector(disk, lba)?;
    let damaged = |kind| Refusal::at(lba, kind);
    let header: GptHeader = disk
        .sector()
        .get(..HEADER_BYTES)
        .and_then(|bytes| bytemuck::try_pod_read_unaligned(bytes).ok())
        .ok_or(damaged(FindingKind::Unreadable))?;
    if !header.is_signature_valid() {
        return Err(damaged(FindingKind::GptSignature));
    }
    // Header size before checksum: it says how many bytes the checksum covers.
    let size = header.header_size.to_u32();
    let covered = usize::try_from(size).ok().filter(|size| *size >= HEADER_BYTES);
    let covered = covered
        .and_then(|size| disk.sector().get(..size))
        .ok_or(damaged(FindingKind::GptHeaderSize { value: size }))?;
    let computed = header_crc(covered);
    let stored = header.header_crc32.0.to_u32();
    if stored != computed {
        return Err(damaged(FindingKind::GptHeaderCrc { stored, computed }));
    }
    let revision = header.revision.0.to_u32();
    if revision >> 16 != 1 {
        return Err(damaged(FindingKind::GptRevision { value: revision }));
    }
    let my_lba = header.my_lba.to_u64();
    if my_lba != lba {
        return Err(damaged(FindingKind::GptMyLba { value: my_lba }));
    }
    Ok(header)
}

fn header_crc(header: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(header.get(..CRC_FIELD.start).unwrap_or_default());
    digest.update(&[0; 4]);
    digest.update(header.get(CRC_FIELD.end..).unwrap_or_default());
    digest.finalize()
}

/// The size of an entry in bytes, once the whole array is known to be on the disk and within the limit.
fn entry_size<R: Reader>(disk: &Disk<R>, header: &GptHeader, lba: u64) -> Result<u64, Refusal<R::Error>> {
    let first = header.partition_entry_lba.to_u64();
    let entries = header.number_of_partition_entries.to_u32();
    let entry_size = header.size_of_partition_entry.to_u32();
    let possible = || {
        let size = GptPartitionEntrySize::new(entry_size).ok()?.to_u64();
        let bytes = size.checked_mul(entries.into()).filter(|bytes| *bytes <= MAX_ENTRY_ARRAY_BYTES)?;
        let end = first.checked_add(disk.sectors_for(bytes))?;
        (first >= 1 && end <= disk.sectors).then_some(size)
    };
    possible().ok_or(Refusal::at(lba, FindingKind::GptEntryArray { first, entries, entry_size }))
}

/// Reads the array once, sector by sector, and believes what was collected only when the checksum is right.
fn read_entries<R: Reader>(
    disk: &mut Disk<R>,
    header: &GptHeader,
    entry_size: u64,
    header_lba: u64,
) -> Result<Layout, Refusal<R::Error>> {
    let mut layout = disk.layout(Kind::Gpt, DiskId::Gpt(header.disk_guid));
    let mut digest = CRC.digest();
    let first = header.partition_entry_lba.to_u64();
    let sector_size = u64::from(disk.sector_size);
    let entries = u64::from(header.number_of_partition_entries.to_u32());
    let total = entries.saturating_mul(entry_size);
    for index in 0..disk.sectors_for(total) {
        let lba = first.saturating_add(index);
        read_sector(disk, lba)?;
        let start = index.saturating_mul(sector_size);
        let used = usize::try_from(total.saturating_sub(start)).unwrap_or(usize::MAX).min(disk.sector().len());
        let bytes = disk.sector().get(..used).unwrap_or_default();
        digest.update(bytes);
        add_entries(&mut layout, disk.sectors, lba, start, entry_size, bytes).map_err(Refusal::Fatal)?;
    }
    let (stored, computed) = (header.partition_entry_array_crc32.0.to_u32(), digest.finalize());
    if stored != computed {
        return Err(Refusal::at(header_lba, FindingKind::GptArrayCrc { stored, computed }));
    }
    Ok(layout)
}

/// Adds the entries that begin in `bytes`, which are `start` bytes into the array. Entry sizes are powers of two from
/// 128, so an entry's defined part never straddles two sectors.
fn add_entries<E>(
    layout: &mut Layout,
    sectors: u64,
    lba: u64,
    start: u64,
    entry_size: u64,
    bytes: &[u8],
) -> Result<(), Error<E>> {
    let (pieces, _) = bytes.as_chunks::<{ size_of::<GptPartitionEntry>() }>();
    for (position, piece) in (start..).step_by(size_of::<GptPartitionEntry>()).zip(pieces) {
        if !position.is_multiple_of(entry_size) {
            continue;
        }
        let Ok(entry) = bytemuck::try_pod_read_unaligned::<GptPartitionEntry>(piece) else {
            continue;
        };
        if !entry.is_used() {
            continue;
        }
        let index = position.checked_div(entry_size).and_then(|index| u32::try_from(index).ok()).unwrap_or(u32::MAX);
        layout.add(sectors, partition(&entry, lba, index.saturating_add(1)))?;
    }
    Ok(())
}

fn partition(entry: &GptPartitionEntry, lba: u64, slot: u32) -> Entry {
    let (first, last) = (entry.starting_lba.to_u64(), entry.ending_lba.to_u64());
    // An end before the start gives 0, which is refused as lying outside the disk.
    let count = last.checked_sub(first).map_or(0, |difference| difference.saturating_add(1));
    let kind = entry.partition_type_guid;
    let attributes = entry.attributes;
    Entry {
        lba,
        first,
        count,
        partition: Partition {
            number: 0,
            slot,
            offset: 0,
            length: 0,
            kind: PartitionType::Gpt(kind.0),
            bootable: attributes.legacy_bios_bootable(),
            guid: entry.unique_partition_guid,
            attributes: attributes.0.to_u64(),
            name: Name::new(entry.name),
        },
    }
}

fn read_sector<R: Reader>(disk: &mut Disk<R>, lba: u64) -> Result<(), Refusal<R::Error>> {
    if lba == 0 || lba >= disk.sectors {
        return Err(Refusal::at(lba, FindingKind::Unreadable));
    }
    // A bad sector in one copy is what the other copy is for.
    disk.read(lba).map_err(|_| Refusal::at(lba, FindingKind::Unreadable))
}
