// SPDX-License-Identifier: MIT OR Apache-2.0
//! GUIDs as they lie on disk: the first three fields little-endian, the last eight bytes in order.

use core::fmt;
use core::str::FromStr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A GUID in its stored (mixed-endian) form. The order is that of the stored bytes.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Guid([u8; 16]);

/// Where the bytes of the text stand in the stored form, in the order of the text.
const STORED_PLACE: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

impl Guid {
    /// All zero.
    pub const NIL: Guid = Guid([0; 16]);

    /// Takes the stored form.
    pub const fn from_bytes(bytes: [u8; 16]) -> Guid {
        Guid(bytes)
    }

    /// Takes the fields as the text shows them: `{first-second-third-last..}`.
    pub const fn from_fields(first: u32, second: u16, third: u16, last: [u8; 8]) -> Guid {
        let [a, b, c, d] = first.to_le_bytes();
        let [e, f] = second.to_le_bytes();
        let [g, h] = third.to_le_bytes();
        let [i, j, k, l, m, n, o, p] = last;
        Guid([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }

    /// The stored form.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Guid {
    /// Lower case, with dashes, without braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, place) in STORED_PLACE.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{:02x}", self.0.get(*place).copied().unwrap_or(0))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

/// The text is no GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseGuidError;

impl fmt::Display for ParseGuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a GUID: expected 8-4-4-4-12 hexadecimal digits, with or without braces")
    }
}

impl core::error::Error for ParseGuidError {}

impl FromStr for Guid {
    type Err = ParseGuidError;

    /// Accepts upper and lower case, with or without braces.
    fn from_str(text: &str) -> Result<Guid, ParseGuidError> {
        let bare = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}').ok_or(ParseGuidError)?,
            None => text,
        };
        let mut stored = [0u8; 16];
        let mut digits = bare.bytes();
        for (position, place) in STORED_PLACE.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) && digits.next() != Some(b'-') {
                return Err(ParseGuidError);
            }
            let high = hex_digit(digits.next())?;
            let low = hex_digit(digits.next())?;
            if let Some(byte) = stored.get_mut(*place) {
                *byte = high << 4 | low;
            }
        }
        if digits.next().is_some() {
            return Err(ParseGuidError);
        }
        Ok(Guid(stored))
    }
}

fn hex_digit(digit: Option<u8>) -> Result<u8, ParseGuidError> {
    let value = match digit {
        Some(d @ b'0'..=b'9') => d.wrapping_sub(b'0'),
        Some(d @ b'a'..=b'f') => d.wrapping_sub(b'a').wrapping_add(10),
        Some(d @ b'A'..=b'F') => d.wrapping_sub(b'A').wrapping_add(10),
        _ => return Err(ParseGuidError),
    };
    Ok(value)
}
