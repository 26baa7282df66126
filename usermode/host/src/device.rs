// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host serves: block devices, whatever stands behind them and in front of them.
//!
//! The FUSE tree and the NBD server know only this trait. The live volume, a snapshot and a plain image are its
//! implementations. Calls may block (a first write waits for its copy-on-write); servers bring their own threads.

use std::io;

/// A run of bytes with one answer to 'what is here', for NBD block status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusExtent {
    /// Length in bytes, never 0.
    pub length: u64,
    /// The bytes are not allocated underneath.
    pub hole: bool,
    /// The bytes read as zeros.
    pub zero: bool,
}

/// A block device that servers expose. Offsets and lengths are bytes and need no alignment.
///
/// The caller keeps `offset + length <= size()`; an implementation answers anything else with
/// [`io::ErrorKind::InvalidInput`] and does nothing.
pub trait BlockDevice: Send + Sync {
    /// Size in bytes; constant while the device is served.
    fn size(&self) -> u64;

    /// Writes, trims and zeroes are refused with [`io::ErrorKind::PermissionDenied`].
    fn read_only(&self) -> bool;

    /// Fills `buf` from `offset`.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes `buf` at `offset`. With `fua` it is durable on return.
    fn write_at(&self, buf: &[u8], offset: u64, fua: bool) -> io::Result<()>;

    /// Makes `length` bytes at `offset` read as zeros; `may_trim` allows a hole underneath.
    fn write_zeroes(&self, offset: u64, length: u64, may_trim: bool, fua: bool) -> io::Result<()>;

    /// Tells that the bytes are no longer used. What they read as afterwards is not defined.
    fn trim(&self, offset: u64, length: u64, fua: bool) -> io::Result<()>;

    /// Every write answered before this call is durable on return.
    fn flush(&self) -> io::Result<()>;

    /// Describes the range from `offset`, in order, without gaps. At least one extent for a `length` above 0; may
    /// stop short of `length`, and the last extent may reach past it (never past the end of the device).
    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<StatusExtent>>;
}
