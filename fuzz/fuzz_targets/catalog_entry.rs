// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a catalog entry; what parses is the same after writing and reading it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{CATALOG_ENTRY_LEN, CatalogEntry};
use volsnap_fuzz::at;

fuzz_target!(|data: &[u8]| {
    let (at, rest) = at(data);
    let _ = CatalogEntry::parse(rest, at);
    let mut bytes = rest.to_vec();
    bytes.resize(CATALOG_ENTRY_LEN, 0);
    if let Ok(entry) = CatalogEntry::parse(&bytes, at) {
        assert_eq!(CatalogEntry::parse(&entry.to_bytes(), at), Ok(entry));
    }
});
