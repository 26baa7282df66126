// SPDX-License-Identifier: MIT OR Apache-2.0
//! A snapshot and its store, as the engine keeps them in memory.

use crate::catalog::Position;
use crate::list::ListTail;
use crate::space::{Space, StoreBlock};
use crate::types::{DeleteReason, Extent, SnapshotView};
use alloc::vec::Vec;
use ondisk::{SnapshotEntry, StoreEntry, StoreInfo, snapshot_flags};

/// What the index says about a saved block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saved {
    /// The content is at this offset of the storage volume.
    At(u64),
    /// The content has moved to this block of the volume (a forwarder).
    MovedTo(u64),
}

/// Sectors written into a snapshot after it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// Offset on the storage volume of the 16 KiB that hold them.
    pub(crate) at: u64,
    /// Bit i = sector i.
    pub(crate) sectors: u32,
}

/// How far the removal of a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Not being removed.
    Alive,
    /// To be marked on disk as being removed.
    Condemned(DeleteReason),
    /// Marked, durably: nobody sees it, older snapshots still read through it.
    Doomed,
    /// Nothing older needs it any more: its catalog entries are to be removed.
    Unneeded,
}

/// Growth of the store file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Growth {
    /// None under way.
    Idle,
    /// The shell is to be asked.
    Wanted(u64),
    /// The shell was asked.
    Asked,
    /// The file has grown; the range list is to be written.
    Given(Vec<Extent>),
    /// The shell said no when this many blocks were free.
    Refused(u64),
}

#[derive(Debug)]
pub(crate) struct Store {
    /// Age order among the stores of this engine's life; never changes, never used again.
    pub(crate) order: u32,
    pub(crate) snapshot: SnapshotEntry,
    pub(crate) entry: StoreEntry,
    pub(crate) snapshot_at: Position,
    pub(crate) entry_at: Position,
    pub(crate) info: StoreInfo,
    pub(crate) space: Space,
    /// `None` in an engine that only reads.
    pub(crate) list: Option<ListTail>,
    /// Last block of the range list and its first sector, which holds `next`.
    pub(crate) range_tail: StoreBlock,
    pub(crate) range_sector: Vec<u8>,
    /// The same of the block that is being added to it.
    pub(crate) range_next: Option<(StoreBlock, Vec<u8>)>,
    pub(crate) life: Life,
    /// Its removal was tried and failed: what its catalog entries are on disk is not known until they are rewritten.
    pub(crate) unsure: bool,
    pub(crate) growth: Growth,
    /// Bytes of the file, as far as told; counts against the maximum.
    pub(crate) file_size: u64,
    /// It has forwarders: its blocks cannot be moved into an older store one by one.
    pub(crate) forwarders: bool,
}

impl Store {
    /// A growth is wanted, asked for, or being taken into use.
    pub(crate) fn grows(&self) -> bool {
        matches!(self.growth, Growth::Wanted(_) | Growth::Asked | Growth::Given(_))
    }

    /// Shown to nobody: being removed, or taken offline by another implementation.
    pub(crate) fn hidden(&self) -> bool {
        matches!(self.life, Life::Doomed | Life::Unneeded) || self.snapshot.flags & snapshot_flags::OFFLINE != 0
    }

    /// Somebody may still want to read it, so that what it needs must be preserved.
    pub(crate) fn wanted(&self) -> bool {
        matches!(self.life, Life::Alive | Life::Condemned(_))
    }

    pub(crate) fn view(&self) -> SnapshotView<'_> {
        SnapshotView {
            store: self.snapshot.store,
            sequence: self.snapshot.sequence,
            created: self.snapshot.created,
            volume_size: self.snapshot.volume_size,
            flags: self.snapshot.flags,
            info: &self.info,
            file_reference: self.entry.file_reference,
            hidden: self.hidden(),
            used: self.space.used(),
            allocated: self.file_size,
        }
    }
}
