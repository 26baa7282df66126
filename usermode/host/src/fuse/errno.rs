// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device's errors as the numbers that the kernel hands to the client.

use fuser::Errno;
use std::io::{Error, ErrorKind};

/// The error's own number where it has one, else the one that fits its kind.
pub(super) fn errno(error: &Error) -> Errno {
    let number = error.raw_os_error().unwrap_or(match error.kind() {
        ErrorKind::PermissionDenied => libc::EACCES,
        ErrorKind::ReadOnlyFilesystem => libc::EROFS,
        ErrorKind::InvalidInput => libc::EINVAL,
        ErrorKind::StorageFull => libc::ENOSPC,
        ErrorKind::QuotaExceeded => libc::EDQUOT,
        ErrorKind::Unsupported => libc::EOPNOTSUPP,
        ErrorKind::OutOfMemory => libc::ENOMEM,
        ErrorKind::ResourceBusy => libc::EBUSY,
        ErrorKind::NotFound => libc::ENOENT,
        // Among them UnexpectedEof and WriteZero: the image became shorter underneath.
        _ => libc::EIO,
    });
    Errno::from_i32(number)
}
