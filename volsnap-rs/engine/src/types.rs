// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words that a shell and the engine speak: places, tokens, commands, answers, errors.

use alloc::vec::Vec;
use ondisk::{BLOCK_SIZE, FileTime, FormatError, Guid, Problem};

/// Memory could not be had. The shell answers with 'fail the snapshot, never the user's write'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMemory;

/// An I/O failed. Why is the shell's to log; the engine only needs to know that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoError;

/// Which device an offset belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The live volume, below the filter.
    Live,
    /// The volume that holds the diff area. The same device as the live volume unless storage is redirected.
    Storage,
}

/// A byte offset on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The device.
    pub target: Target,
    /// Bytes from the start of the volume.
    pub offset: u64,
}

impl Place {
    pub(crate) const fn live(offset: u64) -> Self {
        Self { target: Target::Live, offset }
    }

    pub(crate) const fn storage(offset: u64) -> Self {
        Self { target: Target::Storage, offset }
    }
}

/// A run of a file on its volume: `length` bytes at file offset `relative` lie at volume offset `volume`.
/// The engine uses those 16 KiB blocks of it that are aligned on the volume and lie in it whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes from the start of the storage volume.
    pub volume: u64,
    /// Bytes from the start of the file.
    pub relative: u64,
    /// Bytes.
    pub length: u64,
}

/// Names a write of a user while the engine knows it. The shell chooses it; unique among the writes that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// Names an I/O that the engine asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub(crate) TokenKind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// The copy of the block in this slot.
    Copy(u16),
    /// The write of an empty block list ahead of its use.
    Spare,
    /// The flush behind a group's copies.
    GroupFlush,
    /// One of the descriptor writes of a group.
    Listing(u16),
    /// An item of the running job's current step.
    Job(u32),
}

/// Who writes: decides who may use the last blocks of a diff area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Everybody.
    User,
    /// The shell's own work that makes room (growing or deleting store files through the file system): it may use the
    /// reserve, since everybody else may be waiting for it.
    Reserve,
    /// A file system through which the shell works too: when one of its writes waits for space, the work that would
    /// give space may be waiting behind it. It may use the reserve while such work is under way.
    FileSystem,
}

/// What becomes of a write that reached the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Write now, then call [`crate::Engine::write_done`].
    Pass,
    /// The engine keeps it. [`Command::Release`] will name it: then as for `Pass`.
    Wait,
    /// The engine cannot take it now (writes are held, or its tables are full). The shell keeps it and asks again
    /// after [`Command::Resubmit`].
    Later,
}

/// What the engine wants done. The order in which commands are taken from [`crate::Engine::next_command`] is no promise of
/// any kind; the engine itself waits for whatever has to come first. All may run at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Copy `length` bytes (at most 16 KiB), then [`crate::Engine::io_done`].
    Copy {
        /// Names it.
        token: Token,
        /// Where from.
        from: Place,
        /// Where to.
        to: Place,
        /// Bytes.
        length: u32,
    },
    /// Write the bytes of [`crate::Engine::payload`], then [`crate::Engine::io_done`].
    Write {
        /// Names it.
        token: Token,
        /// Where to.
        to: Place,
        /// Bytes.
        length: u32,
        /// `io_done` may only be called when the bytes are durable. What earlier writes need, their own flush ensured.
        durable: bool,
    },
    /// Make everything durable whose `io_done` came before this command, then [`crate::Engine::io_done`].
    Flush {
        /// Names it.
        token: Token,
        /// The device.
        target: Target,
    },
    /// Do this user's write, then [`crate::Engine::write_done`].
    Release(WriteId),
    /// Offer the writes again that were answered [`Decision::Later`].
    Resubmit,
    /// Make the file of this store larger by about `bytes`, then [`crate::Engine::grown`]. Never asked twice at once
    /// for one store.
    Grow {
        /// The store.
        store: Guid,
        /// Bytes to add, a multiple of 16 KiB.
        bytes: u64,
    },
    /// Nothing refers to this store any more: delete its file, then [`crate::Engine::store_freed`].
    Free {
        /// The store.
        store: Guid,
    },
    /// Something to tell the shell's own callers.
    Notify(Event),
}

/// News. Losing one loses no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The store is written and can be committed.
    Prepared {
        /// The store.
        store: Guid,
    },
    /// Writes are held and none is in flight.
    Held,
    /// The snapshot exists, durably. Writes are still held.
    Committed {
        /// The store.
        store: Guid,
    },
    /// Preparing or committing failed; nothing is left of it.
    PrepareFailed {
        /// The store.
        store: Guid,
        /// Why.
        error: RequestError,
    },
    /// The snapshot is no longer shown to anyone, durably.
    Deleted {
        /// The store.
        store: Guid,
        /// Why.
        reason: DeleteReason,
    },
    /// Deleting failed: the snapshot is still there.
    DeleteFailed {
        /// The store.
        store: Guid,
    },
    /// The diff area's catalog and header are written.
    AreaReady,
    /// They could not be written.
    AreaFailed,
    /// The header names no catalog any more.
    AreaRemoved,
    /// The maximum is stored.
    MaximumSet,
    /// The maximum could not be stored.
    MaximumFailed,
    /// The diff area cannot be written at all, not even to say that its snapshots are no longer true. They are gone
    /// from view; the engine keeps trying to say it on disk.
    StorageLost,
}

/// Why a snapshot went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteReason {
    /// Somebody asked.
    Requested,
    /// The diff area was full and could not grow: the oldest snapshot goes first.
    AreaFull,
    /// Memory for a write's bookkeeping could not be had, or the index reached its limit.
    Memory,
    /// A block that it needs could not be saved: reading the volume or writing the store failed, repeatedly.
    CopyFailed,
    /// Somebody wrote over its store.
    StoreOverwritten,
    /// It had been asked for before the last stop.
    Resumed,
}

/// Why a request was not taken or did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// Another request of this kind is not finished.
    Busy,
    /// The request does not fit the state: commit without prepare or hold, release without hold, and so on.
    BadState,
    /// No such snapshot or store.
    NotFound,
    /// The store's usable blocks do not suffice for the header, the lists and the bitmaps.
    StoreTooSmall,
    /// 512 snapshots are there, or the catalog has no two neighbouring free entries.
    TooMany,
    /// There is no diff area: call [`crate::Engine::create_area`] first.
    NoArea,
    /// The range is not inside the volume or snapshot.
    OutOfRange,
    /// The free map's length does not fit the volume.
    BadMap,
    /// Memory could not be had.
    NoMemory,
    /// An I/O failed.
    Io,
    /// The engine was loaded without the right to write.
    ReadOnly,
    /// Writes were released before the commit was durable.
    Released,
}

impl From<NoMemory> for RequestError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Why a volume's snapshots could not be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadError {
    /// A structure is damaged: which one, where.
    Format(FormatError),
    /// The diff area is on another volume (its GUID), and that one was not given.
    StorageElsewhere(Guid),
    /// The storage volume given is not the one that the header names: (wanted, found).
    WrongStorage(Guid, Guid),
    /// A snapshot's store is not described in the catalog.
    NoStore(Guid),
    /// The catalog has an entry of a type that is not known: (the type, its place on the volume).
    UnknownEntry(u32, u64),
    /// Two snapshots share a store, or a store is described twice.
    Twice(Guid),
    /// Memory could not be had.
    NoMemory,
    /// More entries than the index may hold.
    IndexLimit,
    /// Reading failed at this place.
    Io(Place),
}

impl From<FormatError> for LoadError {
    fn from(error: FormatError) -> Self {
        // Nothing is wrong with the disk then, and trying again may help.
        if error.problem == Problem::OutOfMemory { Self::NoMemory } else { Self::Format(error) }
    }
}

impl From<NoMemory> for LoadError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// A part of a snapshot's content and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Bytes, never 0.
    pub length: u64,
    /// Where they are.
    pub source: Source,
}

/// Where a part of a snapshot's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// On a device.
    At(Place),
    /// It reads as zeros.
    Zero,
}

/// What a shell gives with a snapshot to be prepared.
#[derive(Debug)]
pub struct NewSnapshot {
    /// A version-1 UUID, also in the store file's name.
    pub store: Guid,
    /// What the store header says about it.
    pub info: ondisk::StoreInfo,
    /// MFT file reference of the store file.
    pub file_reference: u64,
    /// The store file's runs in file order.
    pub extents: Vec<Extent>,
}

/// A snapshot as the engine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotView<'a> {
    /// Its store.
    pub store: Guid,
    /// Position in the stack, 1 = oldest.
    pub sequence: u64,
    /// When it was committed.
    pub created: FileTime,
    /// Size of the volume then, in bytes.
    pub volume_size: u64,
    /// Flags of the catalog entry.
    pub flags: u64,
    /// What the store header says.
    pub info: &'a ondisk::StoreInfo,
    /// MFT file reference of the store file.
    pub file_reference: u64,
    /// Not shown to anyone: it is being removed, or was made so by another implementation.
    pub hidden: bool,
    /// Bytes of its store in use.
    pub used: u64,
    /// Bytes of its store file, as far as the engine was told.
    pub allocated: u64,
}

/// Number of 16 KiB blocks of a volume, the last one perhaps partly there.
pub(crate) const fn blocks_of(volume_size: u64) -> u64 {
    volume_size.div_ceil(BLOCK_SIZE)
}

/// The blocks that a range touches.
pub(crate) fn block_range(offset: u64, length: u64) -> core::ops::Range<u64> {
    if length == 0 {
        return 0..0;
    }
    let last = offset.saturating_add(length - 1) / BLOCK_SIZE;
    offset / BLOCK_SIZE..last.saturating_add(1)
}
