// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every structure, from value to bytes and back, and from bytes to value and back.

mod support;

use ondisk::*;
use proptest::prelude::*;
use support::*;

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn guid_text(guid in guid()) {
        let bare = guid.to_string();
        prop_assert_eq!(bare.parse(), Ok(guid));
        let braced = format!("{{{}}}", bare.to_uppercase());
        prop_assert_eq!(braced.parse(), Ok(guid));
        prop_assert_eq!(store_file_name(&guid).to_string(), format!("{{{bare}}}{CATALOG_FILE_NAME}"));
    }

    #[test]
    fn file_time(steps in any::<u64>()) {
        let (seconds, nanos) = FileTime(steps).to_unix();
        prop_assert_eq!(FileTime::from_unix(seconds, nanos), Some(FileTime(steps)));
    }

    #[test]
    fn block_header(header in any_header()) {
        let parsed = BlockHeader::parse(&header.to_bytes(), header.current, header.kind);
        prop_assert_eq!(parsed, Ok(header));
    }

    #[test]
    fn volume_header_both_ways(header in volume_header()) {
        let bytes = header.to_bytes();
        let parsed = VolumeHeader::parse(&bytes).unwrap().unwrap();
        prop_assert_eq!(parsed, header);
        prop_assert_eq!(parsed.to_bytes(), bytes);
    }

    #[test]
    fn catalog_block(header in header(BlockType::Catalog), entries in prop::collection::vec(catalog_entry(), 0..=127)) {
        let bytes = block(&header, entries.iter().map(CatalogEntry::to_bytes));
        let parsed = CatalogBlock::parse(&bytes, header.current).unwrap();
        prop_assert_eq!(parsed.header(), header);
        let read: Vec<_> = parsed.entries().collect();
        prop_assert_eq!(read.len(), CATALOG_ENTRIES);
        for (index, at, entry) in read {
            prop_assert_eq!(at, header.current + (HEADER_LEN + index * CATALOG_ENTRY_LEN) as u64);
            prop_assert_eq!(entry, Ok(entries.get(index).copied().unwrap_or(CatalogEntry::Unused)));
        }
    }

    #[test]
    fn block_list(header in header(BlockType::BlockList), descriptors in prop::collection::vec(descriptor(), 0..=508)) {
        let bytes = block(&header, descriptors.iter().map(Descriptor::to_bytes));
        let parsed = BlockList::parse(&bytes, header.current).unwrap();
        prop_assert_eq!(parsed.header(), header);
        let read: Vec<_> = parsed.descriptors().collect();
        prop_assert_eq!(read.len(), DESCRIPTORS_PER_BLOCK);
        for (index, descriptor) in read {
            prop_assert_eq!(descriptor, Ok(descriptors.get(index).copied()));
        }
    }

    #[test]
    fn range_list(header in header(BlockType::RangeList), ranges in prop::collection::vec(range(), 0..=677)) {
        let bytes = block(&header, ranges.iter().map(Range::to_bytes));
        let parsed = RangeList::parse(&bytes, header.current).unwrap();
        prop_assert_eq!(parsed.header(), header);
        let read: Result<Vec<_>, _> = parsed.ranges().map(|(_, range)| range).collect();
        prop_assert_eq!(read, Ok(ranges));
    }

    #[test]
    fn bitmap_block(
        header in header(BlockType::Bitmap),
        payload in prop::collection::vec(any::<u8>(), BITMAP_PAYLOAD_LEN),
        bit in 0..2 * BITS_PER_BITMAP_BLOCK,
    ) {
        let bytes = block(&header, [&payload]);
        let parsed = BitmapBlock::parse(&bytes, header.current).unwrap();
        prop_assert_eq!(parsed.header(), header);
        prop_assert_eq!(parsed.payload(), &payload);
        let expected = payload.get(bit as usize / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0);
        prop_assert_eq!(bitmap::get(parsed.payload(), bit), expected);
    }

    #[test]
    fn store_header_both_ways(mut store in store_header()) {
        let mut bytes = [0xee; BLOCK_LEN];
        store.to_block(&mut bytes).unwrap();
        let strings = store.info.originating.as_bytes().len() + store.info.service.as_bytes().len();
        store.header.info_size = 68 + strings as u64;
        let parsed = StoreHeader::parse(&bytes, store.header.current).unwrap();
        prop_assert_eq!(&parsed, &store);
        let mut again = [0x11; BLOCK_LEN];
        parsed.to_block(&mut again).unwrap();
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn wide_string(text in ".*", units in any::<Vec<u16>>()) {
        prop_assert_eq!(WideString::try_from_str(&text).unwrap().to_string(), text);
        let stored: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let wide = WideString::try_from_bytes(&stored).unwrap();
        prop_assert_eq!(wide.as_bytes(), &stored);
        prop_assert_eq!(wide.to_string(), String::from_utf16_lossy(&units));
    }
}
