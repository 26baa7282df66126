// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a volume header; what parses is the same after writing and reading it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{VOLUME_HEADER_LEN, VolumeHeader};

fuzz_target!(|data: &[u8]| {
    let _ = VolumeHeader::parse(data);
    let mut bytes = data.to_vec();
    bytes.resize(VOLUME_HEADER_LEN, 0);
    if let Ok(Some(header)) = VolumeHeader::parse(&bytes) {
        assert_eq!(VolumeHeader::parse(&header.to_bytes()), Ok(Some(header)));
    }
});
