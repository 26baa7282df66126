// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by the tests: strategies for every structure, with only values that the format allows.
#![allow(dead_code, reason = "every test file is a crate of its own and uses a part")]

use ondisk::*;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Cases that failed once are kept beside the test file, to be run again by everybody.
pub(crate) fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::WithSource("regressions");
    ProptestConfig { failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

/// An offset or length: a multiple of `unit` up to `MAX_OFFSET`, small ones and the largest included.
pub(crate) fn offset(unit: u64) -> impl Strategy<Value = u64> {
    let most = MAX_OFFSET / unit;
    prop_oneof![Just(0), Just(most), 0..64u64, 0..=most].prop_map(move |n| n * unit)
}

pub(crate) fn guid() -> impl Strategy<Value = Guid> {
    any::<[u8; 16]>().prop_map(Guid::from_bytes)
}

pub(crate) fn header(kind: BlockType) -> impl Strategy<Value = BlockHeader> {
    let unit = match kind {
        BlockType::Catalog | BlockType::StoreHeader => BLOCK_SIZE,
        _ => SECTOR_LEN as u64,
    };
    let info_size = match kind {
        BlockType::StoreHeader => (BLOCK_LEN - HEADER_LEN) as u64,
        _ => 0,
    };
    (offset(unit), offset(BLOCK_SIZE), offset(BLOCK_SIZE), 0..=info_size)
        .prop_map(move |(relative, current, next, info_size)| BlockHeader { kind, relative, current, next, info_size })
}

pub(crate) fn any_header() -> impl Strategy<Value = BlockHeader> {
    use BlockType::*;
    prop_oneof![header(Catalog), header(BlockList), header(StoreHeader), header(RangeList), header(Bitmap)]
}

pub(crate) fn volume_header() -> impl Strategy<Value = VolumeHeader> {
    let places = (1..=2u32, offset(BLOCK_SIZE), any::<u64>(), guid(), guid());
    let tuning = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>());
    (places, tuning).prop_map(|((version, catalog, maximum, volume, storage), tuning)| VolumeHeader {
        version,
        catalog,
        maximum,
        volume,
        storage,
        application_flags: tuning.0,
        free_space_precopy: tuning.1,
        hot_blocks_precopy: tuning.2,
        hot_blocks_days: tuning.3,
        protection: tuning.4,
    })
}

pub(crate) fn snapshot_entry() -> impl Strategy<Value = SnapshotEntry> {
    (1..=MAX_OFFSET, guid(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u16>()).prop_map(
        |(volume_size, store, sequence, flags, created, unknown_56)| SnapshotEntry {
            volume_size,
            store,
            sequence,
            flags,
            created: FileTime(created),
            unknown_56,
        },
    )
}

pub(crate) fn store_entry() -> impl Strategy<Value = StoreEntry> {
    (guid(), prop::array::uniform5(offset(BLOCK_SIZE)), any::<[u64; 3]>()).prop_map(
        |(store, [block_list, header, ranges, bitmap, previous_bitmap], [file_reference, allocated, older_online])| {
            StoreEntry {
                block_list,
                store,
                header,
                ranges,
                bitmap,
                file_reference,
                allocated,
                previous_bitmap,
                older_online,
            }
        },
    )
}

pub(crate) fn catalog_entry() -> impl Strategy<Value = CatalogEntry> {
    prop_oneof![
        Just(CatalogEntry::Unused),
        Just(CatalogEntry::Free),
        snapshot_entry().prop_map(CatalogEntry::Snapshot),
        store_entry().prop_map(CatalogEntry::Store),
        (4..=u32::MAX).prop_map(CatalogEntry::Unknown),
    ]
}

/// Never the all-zero descriptor, which stands for none.
pub(crate) fn descriptor() -> impl Strategy<Value = Descriptor> {
    use descriptor_flags::*;
    let block = || offset(BLOCK_SIZE);
    let plain_flags = prop::sample::select(vec![0, 0x08, 0x10, 0x20, 0x40, 0x80, PRECOPIED, 0xf8]);
    let plain = (block(), offset(SECTOR_LEN as u64), block(), plain_flags)
        .prop_map(|(original, relative, store, flags)| Descriptor { original, relative, store, flags, sectors: 0 });
    let forwarder = (block(), block()).prop_map(|(original, relative)| Descriptor {
        original,
        relative,
        store: 0,
        flags: FORWARDER,
        sectors: 0,
    });
    let overlay = (block(), prop_oneof![Just(1), offset(SECTOR_LEN as u64)], block(), any::<u32>()).prop_map(
        |(original, relative, store, sectors)| Descriptor { original, relative, store, flags: OVERLAY, sectors },
    );
    let skipped =
        (any::<[u64; 3]>(), 0..=ALL, any::<u32>()).prop_map(|([original, relative, store], flags, sectors)| {
            Descriptor { original, relative, store, flags: flags | SKIP, sectors }
        });
    prop_oneof![plain, forwarder, overlay, skipped].prop_filter("all zero", |d| d.to_bytes() != [0; DESCRIPTOR_LEN])
}

pub(crate) fn range() -> impl Strategy<Value = Range> {
    let half = MAX_OFFSET / 2 / BLOCK_SIZE;
    let sectors = MAX_OFFSET / 2 / SECTOR_LEN as u64;
    (0..=half, 0..=sectors, 1..=half).prop_map(|(volume, relative, length)| Range {
        volume: volume * BLOCK_SIZE,
        relative: relative * SECTOR_LEN as u64,
        length: length * BLOCK_SIZE,
    })
}

pub(crate) fn store_header() -> impl Strategy<Value = StoreHeader> {
    let text = "\\PC{0,64}";
    (header(BlockType::StoreHeader), prop::array::uniform3(guid()), any::<[u32; 3]>(), text, text).prop_map(
        |(header, [application, snapshot, set], [context, set_count, attributes], originating, service)| {
            let info = StoreInfo {
                application,
                snapshot,
                set,
                context,
                set_count,
                attributes,
                originating: WideString::try_from_str(&originating).unwrap(),
                service: WideString::try_from_str(&service).unwrap(),
            };
            StoreHeader { header, info }
        },
    )
}

/// A whole block: `header` and behind it `parts`, padded with zeros.
pub(crate) fn block(header: &BlockHeader, parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut bytes = header.to_bytes().to_vec();
    for part in parts {
        bytes.extend_from_slice(part.as_ref());
    }
    assert!(bytes.len() <= BLOCK_LEN);
    bytes.resize(BLOCK_LEN, 0);
    bytes
}
