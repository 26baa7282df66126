// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a block of a block list; every descriptor that parses goes back to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{BlockList, BlockType, DESCRIPTOR_LEN, DESCRIPTORS_PER_BLOCK, HEADER_LEN};
use volsnap_fuzz::block;

fuzz_target!(|data: &[u8]| {
    let (at, bytes) = block(data, BlockType::BlockList);
    let Ok(list) = BlockList::parse(&bytes, at) else { return };
    assert_eq!(list.descriptors().count(), DESCRIPTORS_PER_BLOCK);
    for (index, descriptor) in list.descriptors() {
        let stored = &bytes[HEADER_LEN + index * DESCRIPTOR_LEN..][..DESCRIPTOR_LEN];
        if let Ok(descriptor) = descriptor {
            assert_eq!(descriptor.map_or([0; DESCRIPTOR_LEN], |some| some.to_bytes()), stored);
        }
    }
});
