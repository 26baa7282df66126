// SPDX-License-Identifier: MIT OR Apache-2.0
//! Invariants between structures of a Windows-made volume, broken one at a time: `check` says which.

mod support;

use support::{Image, expect_error, expect_warning, windows_7};

/// Second store of the volume.
const CATALOG: u64 = 0x6e3_0000;
const ENTRY: u64 = 128;
const HEADER: u64 = 0x6e4_0000;
const BLOCK_LIST: u64 = 0x6e4_4000;
const RANGES: u64 = 0x6e4_8000;
const CURRENT: u64 = 0x6e5_0000;
const PREVIOUS: u64 = 0x6e5_4000;
const FIRST: u64 = 128;
const DESCRIPTOR: u64 = 32;
const NEXT: u64 = 40;
/// First store's block list.
const OLDER_BLOCK_LIST: u64 = 0x3156_4000;

fn entry(image: &Image, index: u64) -> Vec<u8> {
    image.read(CATALOG + index * ENTRY, 128)
}

#[test]
fn the_stack_of_snapshots() {
    let Some(image) = windows_7() else { return };
    let (first, second) = (CATALOG + ENTRY, CATALOG + 3 * ENTRY);
    let time = image.read(first + 48, 8);
    image.with(second + 48, &time, || expect_error(&image, "created: not later than snapshot 1"));
    image.with(second + 32, &1_u64.to_le_bytes(), || expect_error(&image, "sequence: 1, expected 2"));
    image.with(second + 32, &3_u64.to_le_bytes(), || expect_error(&image, "sequence: 3, expected 2"));
    let guid = image.read(first + 16, 16);
    image.with(second + 16, &guid, || expect_error(&image, "is no GUID of its own"));

    // Order 2A 2B 3A 3B instead of 2A 3A 2B 3B.
    let swapped = [entry(&image, 3), entry(&image, 2)].concat();
    image.with(CATALOG + 2 * ENTRY, &swapped, || expect_warning(&image, "libvshadow takes this store for that of"));
    let gap = [vec![0; 128], entry(&image, 3)].concat();
    image.with(CATALOG + 2 * ENTRY, &gap, || {
        expect_error(&image, "no entry says where store");
        expect_error(&image, "where dfir_ntfs stops");
        expect_warning_or_error(&image, "exists, but no entry for store");
    });
}

fn expect_warning_or_error(image: &Image, message: &str) {
    let run = image.run("check", &[]);
    assert!(run.out.contains(message), "{}", run.out);
}

#[test]
fn saved_blocks_and_descriptors() {
    let Some(image) = windows_7() else { return };
    let first = BLOCK_LIST + FIRST;
    let (one, two) = (image.read(first, 32), image.read(first + DESCRIPTOR, 32));

    let mut same_place = two.clone();
    same_place[8..24].copy_from_slice(&one[8..24]);
    image.with(first + DESCRIPTOR, &same_place, || expect_error(&image, "store: 0x"));
    image.with(first + DESCRIPTOR, &[0; 32], || expect_error(&image, "stands behind an unused descriptor"));

    let past_the_end = 0x4000_0000_u64.to_le_bytes();
    image.with(first, &past_the_end, || expect_error(&image, "is past the end of the snapshot"));
    image.with(first + 16, &past_the_end, || expect_error(&image, "past the end of the volume"));
    // A block of some file: free for NTFS to overwrite as it likes.
    image.with(first + 16, &0x3fff_8000_u64.to_le_bytes(), || expect_error(&image, "is not in the store's file"));
    image.with(first + 8, &0x4_0000_u64.to_le_bytes(), || expect_warning(&image, "in the file the block lies at"));

    // Two plain copies of one block in one store: readers take the later, which is newer than the snapshot.
    let mut again = two.clone();
    again[..8].copy_from_slice(&one[..8]);
    let plain = 0_u32.to_le_bytes();
    image.with(first + 24, &plain, || {
        again[24..28].copy_from_slice(&plain);
        image.with(first + DESCRIPTOR, &again, || expect_error(&image, "was saved before"));
    });

    let overlay = |relative: u64, flags: u32| {
        let mut bytes = one.clone();
        bytes[8..16].copy_from_slice(&relative.to_le_bytes());
        bytes[24..28].copy_from_slice(&flags.to_le_bytes());
        bytes
    };
    image.with(first, &overlay(1, 2), || expect_error(&image, "means the earlier overlay of the block"));
    image.with(first, &overlay(0x8000, 1), || expect_error(&image, "a forwarder has none"));
    image.with(first, &overlay(1 << 40, 1), || expect_error(&image, "forwards to 0x10000000000"));
    image.with(first, &overlay(0x8000, 3), || expect_error(&image, "flags that exclude each other (0x3)"));
    // Skipped descriptors count for nothing, whatever they hold.
    image.with(first, &overlay(0x17, 4), || assert_eq!(image.run("check", &[]).code, 0));
}

#[test]
fn ranges_of_the_store_that_receives_copies() {
    let Some(image) = windows_7() else { return };
    let first = RANGES + FIRST;
    let volume = image.read_u64(first);
    let range = |volume: u64, relative: u64, length: u64| {
        [volume, relative, length].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()
    };
    // Over the list itself is the file's own; over the other store is not.
    image.with(first, &range(OLDER_BLOCK_LIST, 0xc000, 0x4000), || {
        expect_error(&image, "belongs to something else, and the next copies may go there");
        expect_error(&image, "are not in the store's file");
    });
    image
        .with(first, &range(volume, 0x1_0000, 0x4000), || expect_error(&image, "in the file the range lies at 0xc000"));
    image.with(first, &range(volume, 0xc000, 1 << 40), || expect_error(&image, "past the end of the volume"));
    let twice = [range(volume, 0xc000, 0x8000), range(volume + 0x4000, 0x1_0000, 0x4000)].concat();
    image.with(first, &twice, || expect_error(&image, "on the volume, within another range"));
}

#[test]
fn bitmaps() {
    let Some(image) = windows_7() else { return };
    // Block 0 is the boot sector: every snapshot needs it, and the older store has not saved it.
    let bits = image.read(PREVIOUS + FIRST, 1)[0];
    assert_eq!(bits & 1, 0);
    image.with(PREVIOUS + FIRST, &[bits | 1], || {
        expect_error(&image, "previous bitmap: 1 blocks are marked that the older snapshots still need");
        expect_error(&image, "(0x0)");
    });
    // 65536 blocks of the volume: the bit behind the last one.
    image.with(CURRENT + FIRST + 8192, &[1], || expect_warning(&image, "bit 65536 is set past the end of the volume"));

    // Without a previous bitmap, as Server 2003 has it.
    let previous = CATALOG + 4 * ENTRY + 72;
    image.with(previous, &[0; 8], || {
        expect_warning(&image, "previous bitmap: none, although there are older snapshots")
    });
    // The older store's list without its first descriptors: blocks that only it had saved are not saved any more.
    let cut = vec![0; 32 * 508];
    image.with(OLDER_BLOCK_LIST + NEXT, &[0; 8], || {
        image.with(OLDER_BLOCK_LIST + FIRST, &cut, || {
            expect_error(&image, "blocks are marked that the older snapshots still need");
        });
    });
    // A volume twice the size needs one bitmap block all the same, four times 128 GiB do not fit.
    image.with(CATALOG + 3 * ENTRY + 8, &(1_u64 << 40).to_le_bytes(), || {
        expect_error(&image, "the bitmap ends after 130048 bits");
    });
}

#[test]
fn the_store_header() {
    let Some(image) = windows_7() else { return };
    let other = image.read(0x3156_0080 + 16, 16);
    image.with(HEADER + 128 + 16, &other, || expect_error(&image, "is no GUID of its own"));
    image.with(HEADER + NEXT, &CURRENT.to_le_bytes(), || expect_error(&image, "next: a store has one header block"));
    image.with(HEADER + 48, &104_u64.to_le_bytes(), || expect_warning(&image, "info size: 104, expected 100"));
}

#[test]
fn the_files_and_the_volume_header() {
    let Some(image) = windows_7() else { return };
    let header = 0x1e00;
    image.with(header + 48, &[0; 8], || expect_error(&image, "catalog: none, but there are store files"));
    image.with(header, &[0; 512], || expect_error(&image, "exists, but no volume header that can be used"));
    image.with(header + 56, &0x4000_u64.to_le_bytes(), || expect_warning(&image, "are allowed"));
    let second_catalog_block = (CATALOG + 0x4000).to_le_bytes();
    image.with(header + 48, &second_catalog_block, || expect_error(&image, "its file starts at 0x6e30000"));
    image.with(0x3fff_fe00, &[0; 512], || expect_warning(&image, "no copy of the boot sector"));
    image.with(header + 80, &[7; 16], || expect_error(&image, "is another volume, but the stores are here"));
}

#[test]
fn a_volume_that_is_cut_off() {
    let Some(image) = windows_7() else { return };
    image.cut(0x3000_0000);
    expect_error(&image, "past the end of the volume");
    for verb in ["info", "dump"] {
        let run = image.run(verb, &[]);
        assert_eq!(run.code, 1);
        assert!(run.out.contains("past the end of the volume"), "{}", run.out);
    }
    image.cut(0x1e00 + 100);
    for verb in ["info", "dump", "check"] {
        let run = image.run(verb, &[]);
        assert!(run.code != 0, "{verb}");
    }
}
