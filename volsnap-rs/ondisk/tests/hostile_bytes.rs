// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes that are not what the format says: every parser returns, and says where it stopped.

mod support;

use ondisk::*;
use proptest::prelude::*;
use support::*;

/// Everything that can be read out of `bytes`, at any place, as anything.
fn read_as_everything(bytes: &[u8], at: u64) {
    use BlockType::*;
    for kind in [VolumeHeader, Catalog, BlockList, StoreHeader, RangeList, Bitmap] {
        let _ = BlockHeader::parse(bytes, at, kind);
    }
    let _ = ondisk::VolumeHeader::parse(bytes);
    let _ = CatalogEntry::parse(bytes, at);
    let _ = Descriptor::parse(bytes, at);
    let _ = Range::parse(bytes, at);
    let _ = CatalogBlock::parse(bytes, at).map(|block| block.entries().count());
    let _ = ondisk::BlockList::parse(bytes, at).map(|block| block.descriptors().count());
    let _ = ondisk::RangeList::parse(bytes, at).map(|block| block.ranges().count());
    let _ = BitmapBlock::parse(bytes, at).map(|block| block.payload().len());
    let _ = ondisk::StoreHeader::parse(bytes, at).map(|block| block.info.originating.to_string());
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600), at in any::<u64>()) {
        read_as_everything(&bytes, at);
    }

    /// A block with a right header and anything behind it gets past the header's checks.
    #[test]
    fn any_content(header in any_header(), content in prop::collection::vec(any::<u8>(), BLOCK_LEN - HEADER_LEN)) {
        let bytes = block(&header, [content]);
        read_as_everything(&bytes, header.current);
    }

    /// A value that comes out of any 32 bytes goes back to the same bytes, and stays in its bounds.
    #[test]
    fn any_descriptor(mut bytes in any::<[u8; 32]>(), small in any::<bool>(), at in any::<u64>()) {
        if small {
            // Clears what alignment and the limit on flags would refuse almost always.
            for field in [0, 8, 16] {
                bytes[field] = 0;
                bytes[field + 1] &= 0xc0;
                bytes[field + 7] &= 0x7f;
            }
            bytes[25..28].fill(0);
        }
        if let Ok(Some(descriptor)) = Descriptor::parse(&bytes, at) {
            prop_assert_eq!(descriptor.to_bytes(), bytes);
            if !descriptor.is_skipped() {
                prop_assert!(descriptor.original.is_multiple_of(BLOCK_SIZE) && descriptor.original <= MAX_OFFSET);
                prop_assert!(descriptor.relative <= MAX_OFFSET && descriptor.store <= MAX_OFFSET);
            }
        }
    }

    #[test]
    fn any_range(fields in any::<[u64; 3]>(), at in any::<u64>()) {
        let bytes: Vec<u8> = fields.iter().flat_map(|field| (field >> 2 & !0x3fff).to_le_bytes()).collect();
        if let Ok(Some(range)) = Range::parse(&bytes, at) {
            prop_assert_eq!(&range.to_bytes()[..], &bytes);
            prop_assert!(range.volume + range.length <= MAX_OFFSET);
            prop_assert!(range.relative + range.length <= MAX_OFFSET);
        }
    }

    /// What parses is canonical after one round: writing it and reading it again gives the same.
    #[test]
    fn damaged_store_header(store in store_header(), damage in prop::collection::vec((0..400usize, any::<u8>()), 0..8)) {
        let mut bytes = vec![0; BLOCK_LEN];
        store.to_block(&mut bytes).unwrap();
        for (place, value) in damage {
            bytes[place] = value;
        }
        if let Ok(first) = StoreHeader::parse(&bytes, store.header.current) {
            first.to_block(&mut bytes).unwrap();
            let second = StoreHeader::parse(&bytes, store.header.current).unwrap();
            prop_assert_eq!(second.info, first.info);
        }
    }
}

/// A block at 16 MiB whose fields the tests below break one by one.
const AT: u64 = 0x100_0000;

fn good(kind: BlockType) -> BlockHeader {
    BlockHeader { kind, relative: 0x4000, current: AT, next: AT + 0x4000, info_size: 0 }
}

#[test]
fn a_wrong_header_field_is_named_with_its_place_and_value() {
    let cases: [(usize, u8, &str); 6] = [
        (
            0,
            0xff,
            "block list: identifier: offset 0x1000000: not the identifier of shadow copies (380887ff-c176-4e48-b7ae-04046e6cc752)",
        ),
        (16, 2, "block list: version: offset 0x1000010: must be 0x1 (0x2)"),
        (20, 5, "block list: block type: offset 0x1000014: must be 0x3 (0x5)"),
        (33, 0x40, "block list: current: offset 0x1000020: must be 0x1000000 (0x1004000)"),
        (40, 0x17, "block list: next: offset 0x1000028: not a multiple of 16384 (0x1004017)"),
        (48, 1, "block list: info size: offset 0x1000030: must be 0x0 (0x1)"),
    ];
    for (place, value, message) in cases {
        let mut bytes = good(BlockType::BlockList).to_bytes();
        bytes[place] = value;
        let error = BlockHeader::parse(&bytes, AT, BlockType::BlockList).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let cut = BlockList::parse(&[0; 100], AT).map(|_| ()).unwrap_err();
    assert_eq!(cut.to_string(), "block list: length: offset 0x1000000: cut off: 100 of 16384 bytes");
}

#[test]
fn a_relative_offset_is_a_block_where_files_begin_and_a_sector_elsewhere() {
    let parse = |kind, relative| {
        let header = BlockHeader { relative, ..good(kind) };
        BlockHeader::parse(&header.to_bytes(), AT, kind).map(|read| read.relative)
    };
    assert_eq!(parse(BlockType::BlockList, 0x4200), Ok(0x4200));
    assert!(parse(BlockType::BlockList, 0x4201).is_err());
    assert!(parse(BlockType::Catalog, 0x4200).is_err());
    assert!(parse(BlockType::StoreHeader, 0x4200).is_err());
}

#[test]
fn offsets_past_the_signed_range_are_refused() {
    let beyond = MAX_OFFSET + 1;
    let header = BlockHeader { next: beyond, ..good(BlockType::Bitmap) };
    let error = BlockHeader::parse(&header.to_bytes(), AT, BlockType::Bitmap).unwrap_err();
    assert_eq!(error.problem, Problem::TooLarge { value: beyond, limit: MAX_OFFSET });

    let plain = Descriptor { original: beyond, relative: 0, store: 0, flags: 0, sectors: 0 };
    assert_eq!(Descriptor::parse(&plain.to_bytes(), AT).unwrap_err().field, "original");
    let last = MAX_OFFSET & !(BLOCK_SIZE - 1);
    let range = Range { volume: last, relative: 0, length: 2 * BLOCK_SIZE };
    assert_eq!(Range::parse(&range.to_bytes(), AT).unwrap_err().field, "length");
    let deep = Range { volume: 0, relative: last, length: 2 * BLOCK_SIZE };
    assert_eq!(Range::parse(&deep.to_bytes(), AT).unwrap_err().field, "length");
}

#[test]
fn a_snapshot_without_size_and_a_store_at_an_odd_place_are_refused() {
    let mut snapshot = [0; CATALOG_ENTRY_LEN];
    snapshot[0] = 2;
    let error = CatalogEntry::parse(&snapshot, AT).unwrap_err();
    assert_eq!(error.to_string(), "catalog entry: volume size: offset 0x1000008: must not be zero");
    for (place, field) in
        [(8, "block list"), (32, "store header"), (40, "range list"), (48, "bitmap"), (72, "previous bitmap")]
    {
        let mut store = [0; CATALOG_ENTRY_LEN];
        store[0] = 3;
        assert!(CatalogEntry::parse(&store, AT).is_ok());
        store[place] = 1;
        let error = CatalogEntry::parse(&store, AT).unwrap_err();
        assert_eq!((error.field, error.offset), (field, AT + place as u64));
    }
}

#[test]
fn descriptor_flags_that_exclude_each_other_are_refused() {
    let with = |flags| {
        let descriptor = Descriptor { original: 0x4000, relative: 0x8000, store: 0xc000, flags, sectors: 0 };
        Descriptor::parse(&descriptor.to_bytes(), AT)
    };
    let mut refused = Vec::new();
    for flags in 0..=0xff {
        match with(flags) {
            Ok(_) => (),
            Err(error) => {
                assert_eq!(error.problem, Problem::ExclusiveFlags(flags));
                refused.push(flags);
            }
        }
    }
    // Forwarder with overlay, 0x8 or 0x10; overlay with 0x8 or 0x10; never when skipped.
    let expected: Vec<u32> = (0..=0xff)
        .filter(|flags| {
            flags & 4 == 0 && ((flags & 1 != 0 && flags & 0x1a != 0) || (flags & 2 != 0 && flags & 0x19 != 0))
        })
        .collect();
    assert_eq!(refused, expected);
    assert!(matches!(with(0x100).unwrap_err().problem, Problem::TooLarge { value: 0x100, limit: 0xff }));
}

#[test]
fn strings_stay_within_the_stated_information() {
    let info = || StoreInfo {
        application: APP_PERSISTENT,
        snapshot: Guid::NIL,
        set: Guid::NIL,
        context: context::APP_ROLLBACK,
        set_count: 1,
        attributes: attributes::PERSISTENT,
        originating: WideString::try_from_str("FIRST").unwrap(),
        service: WideString::try_from_str("SECOND").unwrap(),
    };
    let header = BlockHeader { relative: 0, next: 0, ..good(BlockType::StoreHeader) };
    let mut bytes = vec![0; BLOCK_LEN];
    StoreHeader { header, info: info() }.to_block(&mut bytes).unwrap();
    assert_eq!(bytes[48], 68 + 10 + 12);

    let mut short = bytes.clone();
    short[48] -= 1;
    let error = StoreHeader::parse(&short, AT).unwrap_err();
    assert_eq!((error.structure, error.field), (Structure::StoreInfo, "service machine"));
    let mut odd = bytes.clone();
    odd[128 + 64] = 9;
    assert_eq!(StoreHeader::parse(&odd, AT).unwrap_err().field, "originating machine");
    let mut long = bytes.clone();
    long[49] = 0x40;
    assert_eq!(StoreHeader::parse(&long, AT).unwrap_err().field, "info size");

    let too_long = "x".repeat(9000);
    let too_long = StoreInfo { service: WideString::try_from_str(&too_long).unwrap(), ..info() };
    let error = StoreHeader { header, info: too_long }.to_block(&mut bytes).unwrap_err();
    assert_eq!(error.field, "service machine");
    assert!(StoreHeader { header, info: info() }.to_block(&mut bytes[..BLOCK_LEN - 1]).is_err());
}

/// Hearsay of a Server 2012 R2 volume: something stands between the attributes and the machine names.
#[test]
fn exposed_names_are_passed_over() {
    let header =
        BlockHeader { relative: 0, next: 0, info_size: 60 + 2 + 4 + 2 + 2 + 2 + 2, ..good(BlockType::StoreHeader) };
    let strings = [4, 0, b'a', 0, b'b', 0, 0, 0, 2, 0, b'M', 0, 0, 0];
    let bytes = block(&header, [&[0; 60][..], &strings[..]]);
    let read = StoreHeader::parse(&bytes, AT).unwrap();
    assert_eq!(read.info.originating.to_string(), "M");
    assert!(read.info.service.is_empty());
}

#[test]
fn text_that_is_no_guid_is_refused() {
    let good = "3808876b-c176-4e48-b7ae-04046e6cc752";
    assert_eq!(good.parse(), Ok(IDENTIFIER));
    for bad in [
        "",
        "{",
        &good[1..],
        &format!("{{{good}"),
        &format!("{good}0"),
        &good.replace('-', "0"),
        &good.replace('8', "é"),
    ] {
        assert_eq!(bad.parse::<Guid>(), Err(ParseGuidError), "{bad}");
    }
}

#[test]
fn times_outside_the_format_are_refused() {
    assert_eq!(FileTime::from_unix(0, 1_000_000_000), None);
    assert_eq!(FileTime::from_unix(-11_644_473_601, 0), None);
    assert_eq!(FileTime::from_unix(-11_644_473_600, 0), Some(FileTime(0)));
    assert_eq!(FileTime::from_unix(i64::MAX, 0), None);
    assert_eq!(FileTime::from_unix(1_844_674_407_370 - 11_644_473_600, 955_161_500), Some(FileTime(u64::MAX)));
}
