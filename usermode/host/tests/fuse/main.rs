// SPDX-License-Identifier: MIT OR Apache-2.0
//! The FUSE files, mounted in the real kernel and used by real programs. Needs /dev/fuse and the right to mount.

mod concurrency;
mod devices;
mod fixture;
mod lifecycle;
mod ntfs;
mod semantics;
