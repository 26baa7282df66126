// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any bytes and any text as a UTF-16 string of the format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ondisk::WideString;

fuzz_target!(|data: &[u8]| {
    if let Ok(wide) = WideString::try_from_bytes(data) {
        assert_eq!(wide.as_bytes(), data);
        // Lone surrogates become U+FFFD, after which the text is stable.
        let shown = wide.to_string();
        assert_eq!(WideString::try_from_str(&shown).expect("memory").to_string(), shown);
    }
    let text = String::from_utf8_lossy(data);
    assert_eq!(WideString::try_from_str(&text).expect("memory").to_string(), text);
});
