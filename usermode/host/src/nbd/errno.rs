// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors as NBD numbers them: Linux values on the wire, whatever system either side runs.

use std::io;

/// An error number that the protocol knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Errno {
    /// The export is read-only, or the device refuses.
    NotPermitted = 1,
    Io = 5,
    NoMemory = 12,
    Invalid = 22,
    /// Also a write that reaches past the end, by the protocol.
    NoSpace = 28,
    NotSupported = 95,
    /// The export was withdrawn while the client used it.
    ShutDown = 108,
}

/// Why a request failed, for the client: the number, and words where it can take them.
#[derive(Debug)]
pub(super) struct Failure {
    pub errno: Errno,
    pub message: String,
}

impl Failure {
    pub(super) fn new(errno: Errno, message: impl Into<String>) -> Self {
        Self { errno, message: message.into() }
    }
}

impl From<io::Error> for Failure {
    fn from(why: io::Error) -> Self {
        Self { errno: Errno::from(why.kind()), message: why.to_string() }
    }
}

impl From<io::ErrorKind> for Errno {
    fn from(kind: io::ErrorKind) -> Self {
        use io::ErrorKind as Kind;
        match kind {
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Self::NotPermitted,
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::NoSpace,
            Kind::OutOfMemory => Self::NoMemory,
            Kind::InvalidInput => Self::Invalid,
            Kind::Unsupported => Self::NotSupported,
            _ => Self::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_become_their_protocol_numbers() {
        use rustix::io::Errno as System;
        let cases = [
            (System::PERM, 1),
            (System::ROFS, 1),
            (System::IO, 5),
            (System::NODEV, 5),
            (System::NOMEM, 12),
            (System::INVAL, 22),
            (System::NOSPC, 28),
            (System::DQUOT, 28),
            (System::OPNOTSUPP, 95),
        ];
        for (system, number) in cases {
            assert_eq!(Failure::from(io::Error::from(system)).errno as u32, number, "{system:?}");
        }
    }
}
