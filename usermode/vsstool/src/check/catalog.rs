// SPDX-License-Identifier: MIT OR Apache-2.0
//! The chain of catalog blocks, and each entry by itself.

use super::report::Report;
use crate::catalog::MAX_CATALOG_BLOCKS;
use crate::read::{Block, Reader};
use crate::source::Role;
use ondisk::{
    BLOCK_SIZE, BlockType, CATALOG_BLOCKS, CATALOG_ENTRY_LEN, CatalogBlock, CatalogEntry, HEADER_LEN, SnapshotEntry,
    StoreEntry, Structure, VolumeHeader, snapshot_flags,
};

/// Windows' limit of snapshots a volume, all kinds together.
const MAX_SNAPSHOTS: u64 = 512;

/// An entry, and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed<T> {
    /// Number of the entry in the whole catalog.
    pub(super) index: usize,
    /// Bytes on the volume.
    pub(super) at: u64,
    /// The entry.
    pub(super) entry: T,
}

/// Entries of a catalog, in its order.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Snapshots of this volume.
    pub(super) snapshots: Vec<Placed<SnapshotEntry>>,
    /// Stores on this volume.
    pub(super) stores: Vec<Placed<StoreEntry>>,
}

/// Reads the whole catalog and checks what concerns one block or entry only.
pub(super) fn check(reader: &mut Reader<'_>, header: &VolumeHeader, report: &Report) -> Entries {
    let (role, size) = (reader.role, reader.size());
    let mut entries = Entries::default();
    let mut count = 0;
    let mut expected_at = header.catalog;
    for block in reader.chain(header.catalog, BlockType::Catalog) {
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                report.unreadable(role, &error);
                break;
            }
        };
        if count == MAX_CATALOG_BLOCKS {
            let text = format!("next: more than {MAX_CATALOG_BLOCKS} blocks of catalog; the rest was not checked");
            report.at(role, Structure::Catalog, block.at).error(40, text);
            break;
        }
        check_block(role, &block, count, expected_at, report);
        check_entries(role, size, &block, count, &mut entries, report);
        expected_at = block.at.saturating_add(BLOCK_SIZE);
        count += 1;
    }
    report.count(|counts| counts.catalog_blocks += count as u64);
    if header.catalog != 0 && count as u64 != CATALOG_BLOCKS {
        let text = format!("the catalog has {count} blocks, expected {CATALOG_BLOCKS}");
        report.at(role, Structure::Catalog, header.catalog).error(40, text);
    }
    entries
}

fn check_block(role: Role, block: &Block, number: usize, expected_at: u64, report: &Report) {
    let place = report.at(role, Structure::Catalog, block.at);
    if block.at != expected_at {
        let text =
            format!("the block does not follow the one before it, which ends at {expected_at:#x}; DFIR-ORC fails");
        place.error(32, text);
    }
    let relative = number as u64 * BLOCK_SIZE;
    if block.header.relative != relative {
        place.warning(24, format!("relative: {:#x}, expected {relative:#x}", block.header.relative));
    }
    place.compare(&block.bytes[..HEADER_LEN], &block.header.to_bytes());
}

fn check_entries(role: Role, size: u64, block: &Block, number: usize, entries: &mut Entries, report: &Report) {
    // The header was checked when the block was read.
    let Ok(catalog) = CatalogBlock::parse(&block.bytes, block.at) else { return };
    let mut unused = None;
    for (within, at, entry) in catalog.entries() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                report.unreadable(role, &error.into());
                continue;
            }
        };
        let place = report.at(role, Structure::CatalogEntry, at);
        let stored = &block.bytes[HEADER_LEN + within * CATALOG_ENTRY_LEN..][..CATALOG_ENTRY_LEN];
        if !matches!(entry, CatalogEntry::Unknown(_)) {
            place.compare(stored, &entry.to_bytes());
        }
        match (entry, unused) {
            (CatalogEntry::Unused, _) => {
                unused.get_or_insert(within);
            }
            (CatalogEntry::Free, _) => (),
            (_, Some(unused)) => place.error(0, format!("stands behind unused entry {unused}, where dfir_ntfs stops")),
            _ => (),
        }
        let index = number * ondisk::CATALOG_ENTRIES + within;
        match entry {
            CatalogEntry::Snapshot(entry) => {
                check_snapshot(role, size, at, &entry, report);
                entries.snapshots.push(Placed { index, at, entry });
                report.count(|counts| counts.snapshots += 1);
            }
            CatalogEntry::Store(entry) => {
                check_store(role, size, at, &entry, report);
                entries.stores.push(Placed { index, at, entry });
                report.count(|counts| counts.stores += 1);
            }
            CatalogEntry::Unknown(kind) => place.error(0, format!("type {kind} is not known")),
            CatalogEntry::Unused | CatalogEntry::Free => (),
        }
    }
}

fn check_snapshot(role: Role, size: u64, at: u64, entry: &SnapshotEntry, report: &Report) {
    use snapshot_flags::*;
    const KNOWN: u64 = REVERT_IN_PROGRESS
        | UNKNOWN_20
        | ALWAYS
        | COW_CACHE
        | OFFLINE
        | UNKNOWN_200
        | ZERO_MARKED
        | DELETION_IN_PROGRESS;
    let place = report.at(role, Structure::CatalogEntry, at);
    if !entry.volume_size.is_multiple_of(ondisk::SECTOR_LEN as u64) {
        place.error(8, format!("volume size: {} is no number of sectors", entry.volume_size));
    }
    if entry.volume_size > size {
        let text = format!("volume size: {} bytes, the volume has {size}: cut off or shrunk", entry.volume_size);
        place.warning(8, text);
    }
    if entry.flags & ALWAYS == 0 {
        place.error(40, format!("flags: {:#x} without {ALWAYS:#x}, which every committed snapshot has", entry.flags));
    }
    if entry.flags & !KNOWN != 0 {
        place.warning(40, format!("flags: {:#x} are not known", entry.flags & !KNOWN));
    }
    if entry.flags & (REVERT_IN_PROGRESS | DELETION_IN_PROGRESS) != 0 {
        place.warning(40, "flags: a revert or a deletion is under way");
    }
    if entry.unknown_56 != 0 && entry.unknown_56 != 3 {
        place.warning(56, format!("the unknown field at 56 is {:#x}; only 0 and 3 were seen", entry.unknown_56));
    }
}

fn check_store(role: Role, size: u64, at: u64, entry: &StoreEntry, report: &Report) {
    let required =
        [("block list", 8, entry.block_list), ("store header", 32, entry.header), ("range list", 40, entry.ranges)];
    for (field, delta, offset) in required {
        if offset == 0 {
            report.at(role, Structure::CatalogEntry, at).error(delta, format!("{field}: must not be zero"));
        }
    }
    if entry.bitmap == 0 {
        report.at(role, Structure::CatalogEntry, at).error(48, "bitmap: a store always has one");
    }
    if entry.allocated > size {
        let text = format!("allocated: {} bytes, the volume has {size}", entry.allocated);
        report.at(role, Structure::CatalogEntry, at).warning(64, text);
    }
    if entry.older_online > MAX_SNAPSHOTS {
        let text = format!("older online: {}, a volume has at most {MAX_SNAPSHOTS} snapshots", entry.older_online);
        report.at(role, Structure::CatalogEntry, at).warning(80, text);
    }
}
