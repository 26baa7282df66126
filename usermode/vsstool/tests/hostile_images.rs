// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images made up to cost time or memory. They need nothing but this crate.

mod support;

use ondisk::*;
use support::Image;

const CATALOG: u64 = 0x4000;

fn put(image: &Image, header: BlockHeader, content: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut bytes = header.to_bytes().to_vec();
    for part in content {
        bytes.extend_from_slice(part.as_ref());
    }
    bytes.resize(BLOCK_LEN, 0);
    image.write(header.current, &bytes);
}

fn header(kind: BlockType, current: u64, next: u64) -> BlockHeader {
    BlockHeader { kind, relative: 0, current, next, info_size: 0 }
}

/// A volume header, and a catalog of `entries` in as many blocks as they take.
fn volume(image: &Image, entries: &[CatalogEntry]) {
    let guid = Guid::from_bytes([1; 16]);
    let volume = VolumeHeader {
        version: 1,
        catalog: CATALOG,
        maximum: 0,
        volume: guid,
        storage: guid,
        application_flags: 0,
        free_space_precopy: 0,
        hot_blocks_precopy: 0,
        hot_blocks_days: 0,
        protection: 0,
    };
    image.write(VOLUME_HEADER_OFFSET, &volume.to_bytes());
    let blocks: Vec<_> = entries.chunks(CATALOG_ENTRIES).collect();
    for (number, entries) in blocks.iter().enumerate() {
        let at = CATALOG + number as u64 * BLOCK_SIZE;
        let next = if number + 1 == blocks.len() { 0 } else { at + BLOCK_SIZE };
        put(image, header(BlockType::Catalog, at, next), entries.iter().map(CatalogEntry::to_bytes));
    }
}

fn guid(number: usize) -> Guid {
    Guid::from_fields(number as u32, 7, 7, [7; 8])
}

fn snapshot(number: usize, volume_size: u64) -> CatalogEntry {
    CatalogEntry::Snapshot(SnapshotEntry {
        volume_size,
        store: guid(number),
        sequence: number as u64,
        flags: snapshot_flags::ALWAYS,
        created: FileTime(1 + number as u64),
        unknown_56: 0,
    })
}

fn store(number: usize, block_list: u64, bitmap: u64) -> CatalogEntry {
    CatalogEntry::Store(StoreEntry {
        block_list,
        store: guid(number),
        header: 0,
        ranges: 0,
        bitmap,
        file_reference: 0,
        allocated: 0,
        previous_bitmap: bitmap,
        older_online: 0,
    })
}

/// Runs all verbs; what `check` said.
fn all_verbs(image: &Image) -> String {
    for verb in ["info", "dump"] {
        for options in [&[][..], &["--json"]] {
            let run = image.run(verb, options);
            if options == ["--json"] {
                serde_json::from_str::<serde_json::Value>(&run.out).expect("valid JSON");
            }
        }
    }
    let run = image.run("check", &["--json"]);
    serde_json::from_str::<serde_json::Value>(&run.out).expect("valid JSON");
    image.run("check", &[]).out
}

/// Every entry of a full catalog names one long block list: the work is that of one list, not of eight thousand.
#[test]
fn all_stores_name_one_long_list() {
    const LIST: u64 = 0x100_0000;
    const BLOCKS: u64 = 500;
    let image = Image::empty(1 << 30);
    let entries: Vec<_> = (0..CATALOG_ENTRIES * 64 / 2)
        .flat_map(|number| {
            // Each enters the chain at another block.
            let entry_point = LIST + (number as u64 * 7 % BLOCKS) * BLOCK_SIZE;
            [snapshot(number + 1, 1 << 30), store(number + 1, entry_point, 0)]
        })
        .collect();
    volume(&image, &entries);
    for number in 0..BLOCKS {
        let at = LIST + number * BLOCK_SIZE;
        let descriptors = (0..DESCRIPTORS_PER_BLOCK as u64).map(|n| {
            let block = (number * 508 + n) % 60_000 * BLOCK_SIZE;
            Descriptor { original: block, relative: block, store: block, flags: 0, sectors: 0 }.to_bytes()
        });
        let next = LIST + (number + 1) % BLOCKS * BLOCK_SIZE;
        put(&image, header(BlockType::BlockList, at, next), descriptors);
    }
    let said = all_verbs(&image);
    assert!(said.contains("two structures share it"), "{said}");
    assert!(said.contains("more\n"), "thousands of problems are not all printed");
    assert!(said.lines().count() < 1100);
}

/// Sizes at the limit of the format on an image that is small on disk: nothing is allocated or walked by size alone.
#[test]
fn the_largest_sizes() {
    let image = Image::empty(1 << 40);
    let bitmap = 0x10_0000;
    let list = 0x20_0000;
    volume(&image, &[snapshot(1, MAX_OFFSET), store(1, list, bitmap), snapshot(2, MAX_OFFSET), store(2, 0, 0)]);
    let last = MAX_OFFSET & !(BLOCK_SIZE - 1);
    let far = Descriptor { original: last, relative: last, store: last, flags: 0, sectors: 0 };
    put(&image, header(BlockType::BlockList, list, 0), [far.to_bytes()]);
    put(&image, header(BlockType::Bitmap, bitmap, 0), [[0xff; BITMAP_PAYLOAD_LEN]]);
    let ranges = 0x30_0000;
    let range = Range { volume: 0, relative: 0, length: last };
    put(&image, header(BlockType::RangeList, ranges, 0), [range.to_bytes()]);
    image.write_u64(CATALOG + 128 * 2 + 40, ranges);
    let said = all_verbs(&image);
    assert!(said.contains("the bitmap ends after 130048 bits, 562949953421312 are needed"), "{said}");
    assert!(said.contains("store: 0x7fffffffffffc000: past the end of the volume"), "{said}");
    assert!(said.contains("past the end of the volume"), "{said}");
}

/// A range over all of a large volume, in the store that receives copies.
#[test]
fn a_range_over_a_whole_volume() {
    let size = 1 << 43;
    let image = Image::empty(size);
    let ranges = 0x30_0000;
    volume(&image, &[snapshot(1, size), store(1, 0, 0)]);
    let range = Range { volume: 0, relative: 0, length: size };
    put(&image, header(BlockType::RangeList, ranges, 0), [range.to_bytes()]);
    image.write_u64(CATALOG + 128 * 2 + 40, ranges);
    let said = all_verbs(&image);
    assert!(said.contains("range: offset 0x300080: block 0x4000 belongs to something else"), "{said}");
}

/// Saved blocks as far apart as can be, so that keeping track of them costs most.
#[test]
fn blocks_scattered_over_a_large_volume() {
    let size = 15 << 40;
    let image = Image::empty(size);
    let list = 0x100_0000;
    let blocks = 500;
    volume(&image, &[snapshot(1, size), store(1, list, 0)]);
    for number in 0..blocks {
        let at = list + number * BLOCK_SIZE;
        let descriptors = (0..508_u64).map(|n| {
            let place = (1 << 30) + (number * 508 + n) * (64 << 20);
            Descriptor { original: place % size, relative: place, store: place % size, flags: 0, sectors: 0 }.to_bytes()
        });
        let next = if number + 1 == blocks { 0 } else { at + BLOCK_SIZE };
        put(&image, header(BlockType::BlockList, at, next), descriptors);
    }
    let said = all_verbs(&image);
    assert!(said.contains("254000 block descriptors"), "{said}");
}

#[test]
fn text_from_the_image_does_not_reach_the_terminal_raw() {
    let image = Image::empty(1 << 24);
    let at = 0x10_0000;
    let info =
        StoreInfo { originating: WideString::try_from_str("\u{1b}[31mred\r\n").unwrap(), ..StoreInfo::default() };
    let mut block = vec![0; BLOCK_LEN];
    StoreHeader { header: header(BlockType::StoreHeader, at, 0), info }.to_block(&mut block).unwrap();
    image.write(at, &block);
    volume(&image, &[snapshot(1, 1 << 24), store(1, 0, 0)]);
    image.write_u64(CATALOG + 128 * 2 + 32, at);
    for verb in ["info", "dump", "check"] {
        for options in [&[][..], &["--json"]] {
            let run = image.run(verb, options);
            assert!(!run.out.contains('\u{1b}') && !run.out.contains('\r'), "{verb}: {}", run.out);
        }
    }
}
