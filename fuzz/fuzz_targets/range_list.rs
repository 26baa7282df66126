// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a block of a range list; every range that parses goes back to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{BlockType, HEADER_LEN, RANGE_LEN, RANGES_PER_BLOCK, RangeList};
use volsnap_fuzz::block;

fuzz_target!(|data: &[u8]| {
    let (at, bytes) = block(data, BlockType::RangeList);
    let Ok(list) = RangeList::parse(&bytes, at) else { return };
    assert!(list.ranges().count() <= RANGES_PER_BLOCK);
    for (index, range) in list.ranges() {
        if let Ok(range) = range {
            assert_eq!(range.to_bytes(), bytes[HEADER_LEN + index * RANGE_LEN..][..RANGE_LEN]);
        }
    }
});
