// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of the files in `\System Volume Information` that reserve the clusters of catalog and stores.

use crate::guid::Guid;
use core::fmt::{self, Write};

/// The catalog's file name: the identifier of the format in braces.
pub const CATALOG_FILE_NAME: &str = "{3808876b-c176-4e48-b7ae-04046e6cc752}";

/// Braces, 32 digits, 4 dashes.
const BRACED_GUID_LEN: usize = 38;

/// A store's file name in ASCII: `{store}{3808876b-c176-4e48-b7ae-04046e6cc752}`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StoreFileName {
    ascii: [u8; 2 * BRACED_GUID_LEN],
    used: usize,
}

/// The name of the file of `store`.
pub fn store_file_name(store: &Guid) -> StoreFileName {
    let mut name = StoreFileName { ascii: [0; 2 * BRACED_GUID_LEN], used: 0 };
    // The parts fill the buffer exactly: a Guid always shows as 36 characters.
    let written = write!(name, "{{{store}}}{CATALOG_FILE_NAME}");
    debug_assert!(written.is_ok() && name.used == name.ascii.len());
    name
}

impl StoreFileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.ascii).unwrap_or_default()
    }
}

impl Write for StoreFileName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self.ascii.get_mut(self.used..).and_then(|free| free.get_mut(..text.len())).ok_or(fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.used = self.used.saturating_add(text.len());
        Ok(())
    }
}

impl fmt::Display for StoreFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StoreFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
