// SPDX-License-Identifier: MIT OR Apache-2.0
//! Master boot record: four slots, and the chain of extended sectors.
//!
//! An extended sector has the same layout. Its first slot is a logical partition, relative to that sector; its second
//! slot links to the next extended sector, relative to the start of the whole extended partition.

use crate::disk::{Disk, Entry, Reader, is_extended};
use crate::error::{Error, FindingKind};
use crate::partition::{DiskId, Kind, Layout, Name, Partition, PartitionType, types};
use crate::vecs;
use alloc::vec::Vec;
use gpt_disk_types::{Guid, MasterBootRecord, MbrPartitionRecord};

/// Longest chain of extended sectors that is followed. Windows creates no more than 128 partitions on a disk.
pub const MAX_LOGICAL: usize = 256;

/// What a sector 0 that ends in 0x55AA is.
pub(crate) enum Class {
    /// A file system's boot sector, or code where the table would be.
    NoTable,
    /// Guards a GPT.
    Protective,
    /// A real table, empty perhaps.
    Table,
}

pub(crate) fn classify(record: &MasterBootRecord) -> Class {
    if is_file_system(record) || record.partitions.iter().any(|entry| entry.boot_indicator & 0x7f != 0) {
        return Class::NoTable;
    }
    // UEFI 2.10, 5.2.3: one entry of type 0xEE, the others unused. A 'hybrid' MBR, which has more, is an MBR to
    // Windows, and so it is here.
    let mut used = record.partitions.iter().filter(|entry| is_used(entry));
    match (used.next(), used.next()) {
        (Some(only), None) if only.os_indicator == types::MBR_PROTECTIVE => Class::Protective,
        _ => Class::Table,
    }
}

/// Boot sectors of file systems end in 0x55AA too, and have code where the table would be.
fn is_file_system(record: &MasterBootRecord) -> bool {
    let code = &record.boot_strap_code;
    let at = |offset: usize, text: &[u8]| code.get(offset..).is_some_and(|rest| rest.starts_with(text));
    at(3, b"NTFS    ") || at(3, b"EXFAT   ") || at(3, b"-FVE-FS-") || at(54, b"FAT") || at(82, b"FAT32")
}

fn is_used(entry: &MbrPartitionRecord) -> bool {
    entry.os_indicator != 0 && entry.size_in_lba.to_u32() != 0
}

pub(crate) fn read<R: Reader>(disk: &mut Disk<R>, record: &MasterBootRecord) -> Result<Layout, Error<R::Error>> {
    let signature = u32::from_le_bytes(record.unique_mbr_disk_signature);
    let mut layout = disk.layout(Kind::Mbr, DiskId::Mbr(signature));
    let mut extended = None;
    for (slot, entry) in (1..).zip(&record.partitions) {
        if !is_used(entry) || entry.os_indicator == types::MBR_PROTECTIVE {
            continue;
        }
        if !is_extended(entry.os_indicator) {
            layout.add(disk.sectors, partition(entry, 0, 0, slot))?;
        } else if extended.is_none() {
            extended = Some(Extended::new(entry));
        } else {
            layout.find(0, FindingKind::SecondExtended { slot })?;
        }
    }
    if let Some(extended) = extended {
        extended.follow(disk, &mut layout)?;
    }
    Ok(layout)
}

/// The extended partition, in sectors.
struct Extended {
    first: u64,
    count: u64,
}

impl Extended {
    fn new(entry: &MbrPartitionRecord) -> Self {
        Self { first: entry.starting_lba.to_u32().into(), count: entry.size_in_lba.to_u32().into() }
    }

    /// Adds the logical partitions. Whatever is wrong ends the chain, with a finding: the primary partitions and what
    /// was found so far stay usable.
    fn follow<R: Reader>(&self, disk: &mut Disk<R>, layout: &mut Layout) -> Result<(), Error<R::Error>> {
        let mut visited: Vec<u64> = Vec::new();
        let mut slot = 5_u32;
        let mut next = Some(self.first);
        let mut linked_from = 0;
        while let Some(at) = next {
            if at >= disk.sectors {
                return layout.find(linked_from, FindingKind::ExtendedLink { target: at });
            }
            if visited.contains(&at) {
                return layout.find(linked_from, FindingKind::ExtendedLoop { target: at });
            }
            if visited.len() >= MAX_LOGICAL {
                return layout.find(linked_from, FindingKind::ExtendedTooLong);
            }
            vecs::push(&mut visited, at).map_err(|_| Error::OutOfMemory { lba: at })?;

            disk.read(at)?;
            let Some(record) = disk.master_boot_record() else {
                return layout.find(at, FindingKind::ExtendedSignature);
            };
            // The order of the two slots is a habit, not a rule; slots three and four are unused.
            let mut link = None;
            for entry in record.partitions.iter().take(2).filter(|entry| is_used(entry)) {
                if is_extended(entry.os_indicator) {
                    link = link.or(Some(u64::from(entry.starting_lba.to_u32())));
                } else {
                    layout.add(disk.sectors, partition(entry, at, at, slot))?;
                    slot = slot.saturating_add(1);
                }
            }
            if let Some(relative) = link.filter(|relative| *relative >= self.count) {
                let target = self.first.saturating_add(relative);
                return layout.find(at, FindingKind::ExtendedLink { target });
            }
            linked_from = at;
            next = link.map(|relative| self.first.saturating_add(relative));
        }
        Ok(())
    }
}

/// An entry of the sector `lba` whose start counts from `base`.
fn partition(entry: &MbrPartitionRecord, lba: u64, base: u64, slot: u32) -> Entry {
    Entry {
        lba,
        first: base.saturating_add(entry.starting_lba.to_u32().into()),
        count: entry.size_in_lba.to_u32().into(),
        partition: Partition {
            number: 0,
            slot,
            offset: 0,
            length: 0,
            kind: PartitionType::Mbr(entry.os_indicator),
            bootable: entry.boot_indicator == 0x80,
            guid: Guid::ZERO,
            attributes: 0,
            name: Name::EMPTY,
        },
    }
}
