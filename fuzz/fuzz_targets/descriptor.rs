// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a block descriptor; what parses goes back to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{DESCRIPTOR_LEN, Descriptor};
use volsnap_fuzz::at;

fuzz_target!(|data: &[u8]| {
    let (at, bytes) = at(data);
    if let Ok(Some(descriptor)) = Descriptor::parse(bytes, at) {
        assert_eq!(descriptor.to_bytes(), bytes[..DESCRIPTOR_LEN]);
    }
});
