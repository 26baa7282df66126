// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any text as a GUID; what parses shows as the same text in lower case.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::{Guid, store_file_name};

fuzz_target!(|text: &str| {
    if let Ok(guid) = text.parse::<Guid>() {
        let bare = text.trim_matches(['{', '}']).to_lowercase();
        assert_eq!(guid.to_string(), bare);
        assert!(store_file_name(&guid).to_string().starts_with(&format!("{{{bare}}}")));
    }
});
