// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a bitmap block, and any bit of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{BITMAP_PAYLOAD_LEN, BitmapBlock, BlockType, HEADER_LEN, bitmap};
use volsnap_fuzz::{at, block};

fuzz_target!(|data: &[u8]| {
    let (bit, rest) = at(data);
    let expected =
        usize::try_from(bit / 8).ok().and_then(|byte| rest.get(byte)).is_some_and(|byte| byte & (1 << (bit % 8)) != 0);
    assert_eq!(bitmap::get(rest, bit), expected);
    let (at, bytes) = block(data, BlockType::Bitmap);
    if let Ok(block) = BitmapBlock::parse(&bytes, at) {
        assert_eq!(block.payload().len(), BITMAP_PAYLOAD_LEN);
        assert_eq!(
            [&block.header().to_bytes()[..48], block.payload()].concat(),
            [&bytes[..48], &bytes[HEADER_LEN..]].concat()
        );
    }
});
