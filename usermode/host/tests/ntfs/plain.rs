// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stores in a storage image without a file system.

use vsshost::ntfs::{BLOCK_SIZE, Error, Extent, PlainStore, StoreAllocator, StoreFile};

const SIZE: u64 = 4 << 20;
const FIRST: u64 = 0x2_0000;

fn store(guid: u8, runs: &[(u64, u64)]) -> StoreFile {
    let mut extents = Vec::new();
    let mut file_offset = 0;
    for &(volume_offset, length) in runs {
        extents.push(Extent { volume_offset, file_offset, length });
        file_offset += length;
    }
    StoreFile { guid: [guid; 16], file_reference: 0, size: file_offset, extents }
}

#[test]
fn space_is_given_once_and_comes_back() {
    let plain = PlainStore::new(SIZE + 5, Vec::new()).unwrap();
    assert_eq!(
        plain.catalog().unwrap().extents,
        [Extent { volume_offset: 0x1_0000, file_offset: 0, length: 0x1_0000 }]
    );
    let first = plain.create(&[1; 16], 1 << 20).unwrap();
    let second = plain.create(&[2; 16], 100).unwrap();
    assert_eq!(first, store(1, &[(FIRST, 1 << 20)]));
    assert_eq!(second, store(2, &[(FIRST + (1 << 20), 4 * BLOCK_SIZE)]), "at least four blocks");
    assert!(matches!(plain.create(&[2; 16], 100), Err(Error::Exists(_))));

    let cut = plain.truncate(&[1; 16], 0x4_0001).unwrap();
    assert_eq!(cut, store(1, &[(FIRST, 0x4_4000)]));
    let grown = plain.grow(&[2; 16], 0x5_0000).unwrap();
    assert_eq!(
        grown.extents[0],
        Extent { volume_offset: FIRST + (1 << 20), file_offset: 0, length: 0x5_0000 },
        "in place where the space behind is free"
    );
    let third = plain.create(&[3; 16], 2 << 20).unwrap();
    assert_eq!(third.extents.len(), 2, "a gap, then the rest: {third:x?}");
    assert_eq!(third.usable(), 2 << 20);
    assert_eq!(plain.lookup(&[3; 16]).unwrap(), third);

    plain.delete(&[2; 16]).unwrap();
    assert!(matches!(plain.delete(&[2; 16]), Err(Error::NotFound(_))));
    assert!(matches!(plain.lookup(&[2; 16]), Err(Error::NotFound(_))));
    let all = [plain.lookup(&[1; 16]).unwrap(), third];
    assert!(PlainStore::new(SIZE, all.to_vec()).is_ok(), "nothing overlaps");
}

#[test]
fn a_full_image_says_so_and_changes_nothing() {
    let plain = PlainStore::new(SIZE, Vec::new()).unwrap();
    let all = SIZE - FIRST;
    let before = plain.create(&[1; 16], all - 0x8000).unwrap();
    assert!(matches!(plain.create(&[2; 16], 0), Err(Error::NoSpace { needed: 0x1_0000, free: 0x8000, .. })));
    assert!(matches!(plain.grow(&[1; 16], all + 1), Err(Error::NoSpace { .. })));
    assert_eq!(plain.lookup(&[1; 16]).unwrap(), before);
    assert_eq!(plain.grow(&[1; 16], all).unwrap(), store(1, &[(FIRST, all)]));
    assert!(matches!(PlainStore::new(0x1_8000, Vec::new()).unwrap().catalog(), Err(Error::NoSpace { .. })));
}

#[test]
fn a_new_store_starts_in_one_run_of_four_blocks() {
    let hole = 0xc000;
    let taken = vec![store(1, &[(FIRST, 0x1_0000), (FIRST + 0x1_0000 + hole, 0x1_0000)])];
    let plain = PlainStore::new(SIZE, taken).unwrap();
    let new = plain.create(&[2; 16], 0x2_0000).unwrap();
    assert_eq!(new.extents[0].volume_offset, FIRST + 0x2_0000 + hole);
}

#[test]
fn stores_that_contradict_each_other_are_refused() {
    for bad in [
        vec![store(1, &[(FIRST, 0x4000)]), store(2, &[(FIRST, 0x4000)])],
        vec![store(1, &[(0x1_0000, 0x4000)])],
        vec![store(1, &[(FIRST + 512, 0x4000)])],
        vec![store(1, &[(SIZE - 0x4000, 0x8000)])],
        vec![store(1, &[(u64::MAX - 0x3fff, 0x4000)])],
    ] {
        assert!(matches!(PlainStore::new(SIZE, bad), Err(Error::Damaged { .. })));
    }
}
