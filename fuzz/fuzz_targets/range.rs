// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a range; what parses goes back to the same bytes and ends within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{MAX_OFFSET, RANGE_LEN, Range};
use volsnap_fuzz::at;

fuzz_target!(|data: &[u8]| {
    let (at, bytes) = at(data);
    if let Ok(Some(range)) = Range::parse(bytes, at) {
        assert_eq!(range.to_bytes(), bytes[..RANGE_LEN]);
        assert!(range.volume + range.length <= MAX_OFFSET && range.relative + range.length <= MAX_OFFSET);
    }
});
