// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes: no panic, no loop, bounded work, and partitions that lie on the disk.

mod common;

use common::of_bytes;
use layout::{FindingKind, Kind, Layout, MAX_ENTRY_ARRAY_BYTES, MAX_LOGICAL};
use proptest::prelude::*;

const SECTORS: usize = 600;

/// Work and results stay within what the crate promises.
fn check(bytes: &[u8], sector_size: u32) -> Option<Layout> {
    let (result, reads) = of_bytes(bytes, sector_size);
    let most = 2 * MAX_ENTRY_ARRAY_BYTES / u64::from(sector_size) + MAX_LOGICAL as u64 + 8;
    assert!(reads <= most, "{reads} sectors read");
    let layout = result.ok()?;
    for (number, partition) in (1..).zip(&layout.partitions) {
        assert_eq!(partition.number, number);
        assert!(partition.length > 0);
        assert!(partition.offset + partition.length <= bytes.len() as u64);
        assert_eq!((partition.offset | partition.length) % u64::from(sector_size), 0);
        let _ = format!("{partition:?} {} {}", partition.kind, partition.name);
    }
    layout.findings.iter().for_each(|finding| assert!(!finding.to_string().is_empty()));
    Some(layout)
}

fn slot(boot: u8, kind: u8, first: u32, count: u32) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[0] = boot;
    entry[4] = kind;
    entry[8..12].copy_from_slice(&first.to_le_bytes());
    entry[12..].copy_from_slice(&count.to_le_bytes());
    entry
}

fn put_table(disk: &mut [u8], lba: usize, slots: &[[u8; 16]]) {
    let sector = &mut disk[lba * 512..][..512];
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    for (index, entry) in slots.iter().enumerate() {
        sector[446 + 16 * index..][..16].copy_from_slice(entry);
    }
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)));
    }
    (!crc).to_le_bytes()
}

/// A protective MBR and a primary header with a right checksum and whatever `fields` say.
fn gpt_disk(fields: &[(usize, Vec<u8>)], sector_size: usize) -> Vec<u8> {
    let mut disk = vec![0; SECTORS * sector_size];
    put_table(&mut disk, 0, &[slot(0, 0xee, 1, u32::MAX)]);
    let mut header = [0; 92];
    header[..16].copy_from_slice(b"EFI PART\0\0\x01\0\x5c\0\0\0");
    header[24] = 1;
    header[72] = 2;
    header[80] = 128;
    header[84] = 128;
    for (offset, value) in fields {
        header[*offset..][..value.len()].copy_from_slice(value);
    }
    // Entries that are in use, so that a checksum that holds makes partitions.
    for index in 0..128 {
        let entry = &mut disk[2 * sector_size + 128 * index..][..128];
        entry[0] = 1;
        entry[32] = index as u8;
        entry[40] = 255;
    }
    let array = disk[2 * sector_size..][..128 * 128].to_vec();
    header[88..].copy_from_slice(&crc32(&array));
    let crc = crc32(&header);
    header[16..20].copy_from_slice(&crc);
    disk[sector_size..][..92].copy_from_slice(&header);
    disk
}

fn slot_strategy() -> impl Strategy<Value = [u8; 16]> {
    let kind = prop_oneof![Just(0), Just(5), Just(7), Just(0xf), Just(0xee), any::<u8>()];
    let sector = || prop_oneof![0..SECTORS as u32 + 10, any::<u32>()];
    (prop_oneof![8 => Just(0), 1 => Just(0x80), 1 => any::<u8>()], kind, sector(), sector())
        .prop_map(|(boot, kind, first, count)| slot(boot, kind, first, count))
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 512..20_000), mark in any::<bool>()) {
        let mut bytes = bytes;
        if mark {
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        }
        check(&bytes, 512);
        if bytes.len() >= 4096 {
            check(&bytes, 4096);
        }
    }

    #[test]
    fn any_chain_of_tables(
        tables in proptest::collection::vec((0..SECTORS, proptest::collection::vec(slot_strategy(), 0..=4)), 1..60),
        first in proptest::collection::vec(slot_strategy(), 1..=4),
    ) {
        let mut disk = vec![0; SECTORS * 512];
        tables.iter().for_each(|(lba, slots)| put_table(&mut disk, *lba, slots));
        put_table(&mut disk, 0, &first);
        check(&disk, 512);
    }

    #[test]
    fn any_header_with_a_right_checksum(
        fields in proptest::collection::vec((8_usize..84, proptest::collection::vec(any::<u8>(), 1..8)), 0..3),
        big in any::<bool>(),
    ) {
        let size = if big { 4096 } else { 512 };
        check(&gpt_disk(&fields, size), size as u32);
    }
}

/// The generator above does make tables that are believed, or it would prove nothing.
#[test]
fn the_hand_made_gpt_is_valid() {
    for size in [512, 4096] {
        let layout = check(&gpt_disk(&[], size), size as u32).expect("a valid table");
        assert_eq!((layout.kind, layout.partitions.len(), layout.findings.len()), (Kind::Gpt, 128, 0));
    }
}

#[test]
fn more_entries_than_the_limit_are_refused() {
    for entries in [MAX_ENTRY_ARRAY_BYTES as u32 / 128 + 1, u32::MAX] {
        assert!(check(&gpt_disk(&[(80, entries.to_le_bytes().to_vec())], 512), 512).is_none());
    }
}

#[test]
fn a_chain_that_runs_in_circles_ends() {
    let mut disk = vec![0; SECTORS * 512];
    put_table(&mut disk, 0, &[slot(0x80, 7, 10, 50), slot(0, 0xf, 100, 400)]);
    put_table(&mut disk, 100, &[slot(0, 7, 1, 20), slot(0, 5, 100, 50)]);
    put_table(&mut disk, 200, &[slot(0, 7, 1, 20), slot(0, 5, 0, 50)]);
    let layout = check(&disk, 512).expect("a usable table");
    let starts: Vec<_> = layout.partitions.iter().map(|p| (p.number, p.slot, p.offset / 512)).collect();
    assert_eq!(starts, [(1, 1, 10), (2, 5, 101), (3, 6, 201)]);
    assert_eq!(layout.findings[0].lba, 200);
    assert_eq!(layout.findings[0].kind, FindingKind::ExtendedLoop { target: 100 });
}

#[test]
fn a_chain_without_end_is_cut() {
    let mut disk = vec![0; 1000 * 512];
    put_table(&mut disk, 0, &[slot(0, 0xf, 1, 999)]);
    (1..999).for_each(|lba| put_table(&mut disk, lba, &[slot(0, 7, 1, 1), slot(0, 5, lba as u32, 2)]));
    let layout = check(&disk, 512).expect("a usable table");
    assert_eq!(layout.partitions.len(), MAX_LOGICAL);
    assert_eq!(layout.findings.last().map(|finding| finding.kind), Some(FindingKind::ExtendedTooLong));
}

#[test]
fn links_out_of_the_extended_partition_end_the_chain() {
    let mut disk = vec![0; SECTORS * 512];
    put_table(&mut disk, 0, &[slot(0, 5, 100, 50), slot(0, 0xf, 300, 50)]);
    put_table(&mut disk, 100, &[slot(0, 7, 1, 20), slot(0, 5, 60, 50)]);
    let layout = check(&disk, 512).expect("a usable table");
    let kinds: Vec<_> = layout.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::SecondExtended { slot: 2 }, FindingKind::ExtendedLink { target: 160 }]);
}

#[test]
fn boot_sectors_and_empty_disks_have_no_table() {
    let mut disk = vec![0; SECTORS * 512];
    assert_eq!(check(&disk, 512).map(|layout| layout.kind), Some(Kind::None));
    put_table(&mut disk, 0, &[slot(0, 7, 1, 20)]);
    assert_eq!(check(&disk, 512).map(|layout| layout.kind), Some(Kind::Mbr));
    disk[3..11].copy_from_slice(b"NTFS    ");
    assert_eq!(check(&disk, 512).map(|layout| layout.kind), Some(Kind::None));
    disk[3] = 0;
    disk[446] = 0x33;
    assert_eq!(check(&disk, 512).map(|layout| layout.kind), Some(Kind::None));
}

#[test]
fn impossible_disks_are_refused() {
    struct Never;
    impl layout::Reader for Never {
        type Error = &'static str;
        fn read(&mut self, _: u64, _: &mut [u8]) -> Result<(), &'static str> {
            Err("not readable")
        }
    }
    for (size, sectors) in [(512, 0), (512, u64::MAX), (4096, 1 << 52), (0, 1), (1024, 9)] {
        let error = layout::read_layout(Never, size, sectors).expect_err("no such disk");
        assert!(!matches!(error, layout::Error::Read { .. }), "{error}");
    }
    let error = layout::read_layout(Never, 512, 9).expect_err("nothing to read");
    assert_eq!(error.to_string(), "cannot read sector 0 of the partition table: not readable");
}
