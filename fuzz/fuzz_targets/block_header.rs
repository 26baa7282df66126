// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a block header of any type; what parses is the same after writing and reading it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{BlockHeader, BlockType};
use volsnap_fuzz::{at, block};

fuzz_target!(|data: &[u8]| {
    use BlockType::*;
    for kind in [VolumeHeader, Catalog, BlockList, StoreHeader, RangeList, Bitmap] {
        let (place, rest) = at(data);
        let _ = BlockHeader::parse(rest, place, kind);
        let (place, bytes) = block(data, kind);
        if let Ok(header) = BlockHeader::parse(&bytes, place, kind) {
            assert_eq!(BlockHeader::parse(&header.to_bytes(), place, kind), Ok(header));
        }
    }
});
