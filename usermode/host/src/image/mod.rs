// SPDX-License-Identifier: MIT OR Apache-2.0
//! Image files and block devices, and the volume inside them.
//!
//! ```text
//! VolumeSpec ── path ──> Image (opened, locked, known to be raw) ── selector ──> Volume (offset, size, positioned I/O)
//! ```
//!
//! The host opens read-write with an exclusive lock, so that one host serves an image and no ntfs-3g, qemu or loop
//! mount is on it at the same time; the offline tools open read-only with a shared lock. Nothing is written into an
//! image to lock it.

mod boot_sector;
mod container;
mod error;
mod file;
mod locate;
mod lock;
mod spec;
mod volume;
mod zero;

pub use boot_sector::NtfsBootSector;
pub use error::ImageError;
pub use file::{Access, Image};
pub use locate::Place;
pub use spec::{Selector, SelectorArgs, VolumeSpec};
pub use volume::Volume;
