// SPDX-License-Identifier: MIT OR Apache-2.0
//! UTF-16LE strings as they lie on disk, well-formed or not.

use crate::error::Problem;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// A string of UTF-16LE units, kept as its bytes so that a round trip changes nothing.
#[derive(PartialEq, Eq, Default)]
pub struct WideString {
    /// Always an even number.
    bytes: Vec<u8>,
}

impl WideString {
    /// The empty string.
    pub const fn new() -> WideString {
        WideString { bytes: Vec::new() }
    }

    /// From text. Fails with [`Problem::OutOfMemory`] only.
    pub fn try_from_str(text: &str) -> Result<WideString, Problem> {
        let len = text.encode_utf16().count().saturating_mul(2);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Problem::OutOfMemory)?;
        bytes.resize(len, 0);
        for (place, unit) in bytes.chunks_exact_mut(2).zip(text.encode_utf16()) {
            if let [low, high] = place {
                [*low, *high] = unit.to_le_bytes();
            }
        }
        Ok(WideString { bytes })
    }

    /// From UTF-16LE bytes. Fails with [`Problem::NotAligned`] for half a unit, or [`Problem::OutOfMemory`].
    pub fn try_from_bytes(stored: &[u8]) -> Result<WideString, Problem> {
        if !stored.len().is_multiple_of(2) {
            return Err(Problem::NotAligned { value: stored.len() as u64, unit: 2 });
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(stored.len()).map_err(|_| Problem::OutOfMemory)?;
        bytes.extend_from_slice(stored);
        Ok(WideString { bytes })
    }

    /// A copy, or [`Problem::OutOfMemory`]. There is no `Clone`, which could not fail.
    pub fn try_clone(&self) -> Result<WideString, Problem> {
        WideString::try_from_bytes(&self.bytes)
    }

    /// The UTF-16LE bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is not a single unit.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl fmt::Display for WideString {
    /// Lone surrogates are shown as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.bytes.chunks_exact(2).filter_map(|unit| match unit {
            [low, high] => Some(u16::from_le_bytes([*low, *high])),
            _ => None,
        });
        char::decode_utf16(units).try_for_each(|decoded| f.write_char(decoded.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

impl fmt::Debug for WideString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
