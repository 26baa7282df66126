// SPDX-License-Identifier: MIT OR Apache-2.0
//! MBR and GPT partition tables -> partitions.
//!
//! The partition manager driver and the host both need to know where a volume lies on a disk, and both meet disks that
//! are damaged or hostile. This crate answers without doing I/O of its own: the caller hands in a [`Reader`] and the
//! crate asks it for sectors.
//!
//! ```text
//! sector 0 ── no signature, or a file system's boot sector ─────────────> Kind::None   (the disk is one volume)
//!          ├─ exactly one entry, type 0xEE ── header at 1, else last ───> Kind::Gpt    (UEFI 2.10, chapter 5)
//!          └─ anything else ── four slots, chain of extended sectors ───> Kind::Mbr
//! ```
//!
//! Limits, so that no table costs unbounded time or memory: [`MAX_LOGICAL`] logical partitions,
//! [`MAX_ENTRY_ARRAY_BYTES`] of GPT entries. Every allocation is fallible, nothing panics.
//!
//! Damage that leaves something usable (a broken primary header, an entry past the end of the disk, a chain that runs
//! in circles) is listed in [`Layout::findings`]; only what leaves nothing usable is an [`Error`].
//!
//! Sources: UEFI Specification 2.10, chapter 5 (GPT, protective MBR), and the published MBR layout. The structures
//! themselves come from the `gpt_disk_types` crate.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod disk;
mod error;
mod gpt;
mod mbr;
mod partition;
mod vecs;

pub use disk::{Reader, read_layout};
pub use error::{Error, Finding, FindingKind};
pub use gpt::MAX_ENTRY_ARRAY_BYTES;
pub use gpt_disk_types::{Guid, guid};
pub use mbr::MAX_LOGICAL;
pub use partition::{DiskId, Kind, Layout, Name, Partition, PartitionType, types};
