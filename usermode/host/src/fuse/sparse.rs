// SPDX-License-Identifier: MIT OR Apache-2.0
//! SEEK_DATA and SEEK_HOLE from a device's block status, so that copies of a snapshot skip what is zero.

use crate::device::BlockDevice;
use std::io;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Data,
    /// Bytes that read as zeros. The end of the device is one, as lseek has it.
    Hole,
}

/// First byte at or after `offset` that is what is wanted.
///
/// # Errors
/// ENXIO where there is none, or `offset` is not within the device; the device's own errors.
pub(super) fn seek(device: &dyn BlockDevice, offset: u64, wanted: Wanted) -> io::Result<u64> {
    let none = || io::Error::from_raw_os_error(libc::ENXIO);
    let size = device.size();
    if offset >= size {
        return Err(none());
    }
    let mut at = offset;
    while at < size {
        let start = at;
        for extent in device.block_status(at, size - at)? {
            if extent.zero == (wanted == Wanted::Hole) {
                return Ok(at);
            }
            at = at.saturating_add(extent.length);
        }
        if at == start {
            // Contrary to the trait, but no reason to spin.
            return Err(io::Error::other(format!("no block status at {at}")));
        }
    }
    match wanted {
        Wanted::Data => Err(none()),
        Wanted::Hole => Ok(size),
    }
}
