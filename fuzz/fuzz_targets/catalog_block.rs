// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes as a catalog block; every entry that parses is the same after writing and reading it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{BlockType, CATALOG_ENTRIES, CatalogBlock, CatalogEntry};
use volsnap_fuzz::block;

fuzz_target!(|data: &[u8]| {
    let (at, bytes) = block(data, BlockType::Catalog);
    let Ok(catalog) = CatalogBlock::parse(&bytes, at) else { return };
    assert_eq!(catalog.entries().count(), CATALOG_ENTRIES);
    for (_, at, entry) in catalog.entries() {
        if let Ok(entry) = entry {
            assert_eq!(CatalogEntry::parse(&entry.to_bytes(), at), Ok(entry));
        }
    }
});
