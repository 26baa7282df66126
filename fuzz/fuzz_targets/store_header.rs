// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a store header; what parses is the same after writing and reading it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{BLOCK_LEN, BlockType, StoreHeader};
use volsnap_fuzz::block;

fuzz_target!(|data: &[u8]| {
    let (at, bytes) = block(data, BlockType::StoreHeader);
    let Ok(first) = StoreHeader::parse(&bytes, at) else { return };
    let mut written = vec![0xff; BLOCK_LEN];
    first.to_block(&mut written).expect("what came out of a block fits one");
    let second = StoreHeader::parse(&written, at).expect("our own block");
    assert_eq!(second.info, first.info);
    assert_eq!((second.header.relative, second.header.next), (first.header.relative, first.header.next));
    let mut again = vec![0; BLOCK_LEN];
    second.to_block(&mut again).expect("what came out of a block fits one");
    assert_eq!(again, written);
});
