// SPDX-License-Identifier: MIT OR Apache-2.0
//! Block devices as files under a FUSE mount.
//!
//! ```text
//! ntfs-3g, cp, fio ──> kernel ──> 16 event threads ── reads ────────────────────────> BlockDevice
//!                                       └── writes, zeroes, flushes: at most 8 here,
//!                                           the others on threads of their own ─────> BlockDevice
//! ```
//!
//! One flat directory. A [`Tree`] says which files are in it and may change while mounted: snapshots come and go.
//! [`mount()`] shows a tree at a mount point until the [`Session`] is unmounted or dropped.
//!
//! What a client can rely on:
//! - A writable file has no page cache: every write reaches the device before it is answered, in the client's order,
//!   and what other clients of the same device write is seen at once. Writes to one file run in parallel.
//! - A write with O_DSYNC, O_SYNC or RWF_DSYNC is a durable one; fsync and fdatasync flush the device.
//! - Punching a hole and zeroing a range are passed on. Both leave zeros, so neither becomes a trim, after which the
//!   content is undefined.
//! - A slow write (one that waits for its copy-on-write, or for a snapshot to be committed) never blocks a read.
//!   Other writes go on as well, until somebody calls fsync or fallocate: the kernel lets those wait for the writes of
//!   the same file that are under way, and later writes wait for them.
//! - A file's size never changes. A write behind the end says ENOSPC, as on a disk.
//! - A file that was removed while open answers as its device does.

mod attributes;
mod errno;
mod filesystem;
mod gate;
mod mountpoint;
mod overflow;
mod session;
mod sparse;
mod tree;

pub use mountpoint::{MountError, clear_mounts_of, clear_stale};
pub use session::{Options, Session, Unmounter, mount};
pub use tree::{OpenFile, OpenGuard, OpenHook, Tree, TreeError};
