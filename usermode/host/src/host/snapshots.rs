// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making and deleting snapshots: the steps of the engine with what each of them needs from the file system.

use super::storage::{Allocator, extents};
use super::{Host, lock};
use crate::control::types::Context;
use crate::control::{Code, Error};
use crate::device::BlockDevice;
use crate::ntfs::{self, FreeMapBuilder, StoreFile};
use crate::shell::now;
use engine::{Extent, NewSnapshot, Priority, RequestError};
use ondisk::{BITS_PER_BITMAP_BLOCK, BLOCK_SIZE, Guid, StoreInfo, VolumeHeader, WideString, attributes};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long writes in flight may take to end, for one attempt to hold all others.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
const HOLD_ATTEMPTS: u32 = 5;
/// How long a change of store files may take to end before writes are held.
const TURN_LIMIT: Duration = Duration::from_secs(30);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);

/// A snapshot set that is being made.
pub(super) struct OpenSet {
    pub(super) set: Guid,
    pub(super) store: Guid,
    stage: Stage,
    held_since: Option<Instant>,
    /// What could be read of the free space before writes are held.
    free: Option<FreeMapBuilder>,
    limit: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Prepared,
    Held,
    Committed,
}

/// What a new snapshot is to be.
pub(super) struct Wanted {
    pub(super) set: Option<Guid>,
    pub(super) set_count: u32,
    pub(super) context: Context,
    pub(super) size: Option<u64>,
}

impl Host {
    /// Store file, header, lists. Nothing is visible yet.
    pub(super) fn prepare_set(&self, wanted: &Wanted) -> Result<(Guid, Guid), Error> {
        let mut open = lock(&self.set);
        if open.is_some() {
            return Err(self.error(Code::InProgress, "another snapshot set is being made"));
        }
        let (set, shadow) = (wanted.set.unwrap_or_else(random), random());
        let store = time_based();
        self.ensure_area()?;

        let allocator = self.allocator().map_err(|why| self.error(Code::Busy, format!("{why:#}")))?;
        let bytes = self.store_size(wanted.size);
        self.storage.leaves_room(bytes).map_err(|why| self.ntfs_error(why))?;
        let file = allocator.create(store, bytes).map_err(|why| self.ntfs_error(why))?;
        let mut runs = extents(&file);
        let missing = bytes.saturating_sub(self.shell.with(|engine, gate| engine.gain(gate, None, &runs)));
        if missing > bytes / 4 {
            // Much of it lies where older snapshots still need what is there.
            let enough = |file: &StoreFile| {
                let usable = self.shell.with(|engine, gate| engine.gain(gate, None, &extents(file)));
                usable >= bytes / 4 * 3
            };
            let sizes = file.size..bytes.saturating_mul(2);
            runs = self.grow_until(&allocator, store, sizes, missing, enough).unwrap_or(runs);
        }
        if let Err(error) = self.prepare_store(wanted, (set, shadow), store, (file.file_reference, &runs)) {
            // What the engine had taken over it gives back itself.
            let _ = allocator.files.delete(store.as_bytes());
            return Err(error);
        }
        *open =
            Some(OpenSet { set, store, stage: Stage::Prepared, held_since: None, free: None, limit: Duration::ZERO });
        Ok((set, shadow))
    }

    /// Writes the structures of a store into its file.
    fn prepare_store(
        &self,
        wanted: &Wanted,
        (set, shadow): (Guid, Guid),
        store: Guid,
        (file_reference, runs): (u64, &[Extent]),
    ) -> Result<(), Error> {
        let prepare = || {
            let info = self.store_info(wanted, set, shadow)?;
            let snapshot = NewSnapshot { store, info, file_reference, extents: runs.to_vec() };
            Ok(self.shell.prepare(snapshot))
        };
        let mut prepared = prepare()?;
        if prepared == Err(RequestError::StoreTooSmall) && self.storage.local {
            // It lies where another file was whose content older snapshots still need: that is saved first.
            self.vacate(runs).map_err(|why| self.error(Code::Io, why.to_string()))?;
            prepared = prepare()?;
        }
        prepared.map_err(|why| self.engine_error("preparing the snapshot", why))
    }

    /// Tells the engine that the content of clusters is gone: what a snapshot needs of it is saved first.
    fn vacate(&self, extents: &[Extent]) -> std::io::Result<()> {
        let live = self.shell.live(Priority::Reserve);
        extents.iter().try_for_each(|extent| live.trim(extent.volume, extent.length, false))
    }

    /// Flushes what a mount has, then lets no write pass for `limit` at the most.
    pub(super) fn hold_set(&self, set: Guid, limit: Duration) -> Result<(), Error> {
        let mut open = lock(&self.set);
        let open = self.the_set(&mut open, set)?;
        if open.stage != Stage::Prepared {
            return Err(self.error(Code::BadState, "the set is not prepared"));
        }
        self.sync_mount();
        let mut attempts = 0;
        while let Err(why) = self.try_hold(open, limit)? {
            attempts += 1;
            if why != RequestError::Busy || attempts == HOLD_ATTEMPTS {
                return Err(self.engine_error("holding writes", why));
            }
            // Writes in flight may wait for a store that grows: that gets its turn now.
            std::thread::sleep(BETWEEN_ATTEMPTS);
        }
        open.stage = Stage::Held;
        open.held_since = Some(Instant::now());
        open.limit = limit;
        Ok(())
    }

    /// Holds writes between two changes of store files.
    fn try_hold(&self, open: &mut OpenSet, limit: Duration) -> Result<Result<(), RequestError>, Error> {
        let Some(_turn) = self.storage.turn_within(TURN_LIMIT) else {
            return Err(self.error(Code::Busy, "a store file is being made, grown or deleted for too long"));
        };
        let device = self.shell.live(Priority::User);
        if self.storage.local || ntfs::is_ntfs(&*device).unwrap_or(false) {
            let builder = FreeMapBuilder::prepare(&*device).map_err(|why| self.ntfs_error(why))?;
            open.free = Some(builder);
        }
        Ok(self.shell.hold_writes(limit, DRAIN_LIMIT))
    }

    /// Makes the snapshot of the held moment and shows it. Gives the time since writes were held.
    pub(super) fn commit_set(&self, set: Guid) -> Result<(Guid, Duration), Error> {
        let mut open = lock(&self.set);
        let open = self.the_set(&mut open, set)?;
        if open.stage != Stage::Held {
            return Err(self.error(Code::BadState, "writes are not held for this set"));
        }
        if !self.shell.holding() {
            return Err(self.error(Code::HoldExpired, "writes were held longer than the limit and have been released"));
        }
        let device = self.shell.live(Priority::User);
        let free = match open.free.take() {
            Some(builder) => builder.finish(&*device).map_err(|why| self.ntfs_error(why))?.into_bytes(),
            None => vec![0; usize::try_from(self.blocks().div_ceil(8)).unwrap_or(0)],
        };
        let result = self.shell.commit(open.store, now(), free);
        let held = open.held_since.map_or(Duration::ZERO, |since| since.elapsed());
        match result {
            Ok(()) => {
                open.stage = Stage::Committed;
                Ok((open.store, held))
            }
            Err(RequestError::Released) => Err(self.error(Code::HoldExpired, "writes were released before the commit")),
            Err(why) => Err(self.engine_error("committing the snapshot", why)),
        }
    }

    /// Lets writes pass. A committed set is done with that, any other one lost.
    pub(super) fn release_set(&self, set: Guid) -> Result<(), Error> {
        let mut slot = lock(&self.set);
        let open = self.the_set(&mut slot, set)?;
        let (stage, store) = (open.stage, open.store);
        // The time limit may have done it already.
        let _ = self.shell.release_writes();
        if stage == Stage::Committed {
            *slot = None;
            drop(slot);
            self.expose_all();
            self.seal_older(store);
        } else {
            self.drop_set(&mut slot);
        }
        Ok(())
    }

    /// Gives the set up.
    pub(super) fn abort_set(&self, set: Guid) -> Result<(), Error> {
        let mut slot = lock(&self.set);
        if self.the_set(&mut slot, set)?.stage == Stage::Committed {
            return Err(self.error(Code::BadState, "the set is committed"));
        }
        self.drop_set(&mut slot);
        Ok(())
    }

    /// Whoever was making a set is gone.
    pub(super) fn abandon_set(&self) {
        let mut slot = lock(&self.set);
        if slot.as_ref().is_some_and(|open| open.stage == Stage::Committed) {
            let _ = self.shell.release_writes();
            *slot = None;
        } else {
            self.drop_set(&mut slot);
        }
    }

    fn drop_set(&self, slot: &mut Option<OpenSet>) {
        if slot.take().is_some() {
            if self.shell.holding() {
                let _ = self.shell.release_writes();
            }
            // The engine answers with the wish to delete the file.
            let _ = self.shell.with(|engine, gate| engine.abort(gate));
        }
    }

    fn the_set<'a>(&self, slot: &'a mut Option<OpenSet>, set: Guid) -> Result<&'a mut OpenSet, Error> {
        match slot {
            Some(open) if open.set == set => Ok(open),
            _ => Err(self.error(Code::NotFound, format!("no snapshot set {{{set}}} is being made"))),
        }
    }

    /// All the steps at once.
    pub(super) fn create(&self, wanted: &Wanted) -> Result<(Guid, Duration), Error> {
        let (set, _) = self.prepare_set(wanted)?;
        let made = self.hold_set(set, Duration::from_secs(10)).and_then(|()| self.commit_set(set));
        let released = self.release_set(set);
        let made = made?;
        released?;
        Ok(made)
    }

    /// The catalog and the header, once.
    pub(super) fn ensure_area(&self) -> Result<(), Error> {
        if self.shell.with(|engine, _| engine.has_area()) {
            return Ok(());
        }
        let (header, storage_header) = self.shell.with(|e, _| (e.header().copied(), e.storage_header().copied()));
        let volume = header.map_or_else(time_based, |header| header.volume);
        let place = self.catalog_place(self.live_allocator())?;
        let (storage, storage_area) = match (self.storage.local, storage_header.filter(|h| h.catalog != 0)) {
            (true, _) => (volume, None),
            // It has a catalog already, of its own snapshots or of another volume's.
            (false, Some(there)) => (there.volume, None),
            (false, None) => {
                let guid = storage_header.map_or_else(time_based, |header| header.volume);
                (guid, Some((new_header(guid, guid), self.catalog_place(self.allocator())?)))
            }
        };
        self.shell
            .create_area(new_header(volume, storage), place, storage_area)
            .map_err(|why| self.engine_error("creating the diff area", why))
    }

    fn catalog_place(&self, allocator: anyhow::Result<Allocator<'_>>) -> Result<u64, Error> {
        let allocator = allocator.map_err(|why| self.error(Code::Busy, format!("{why:#}")))?;
        let file = allocator.files.catalog().map_err(|why| self.ntfs_error(why))?;
        let place = file.extents.first().map(|extent| extent.volume_offset);
        place.ok_or_else(|| self.error(Code::Io, "the catalog file has no usable place"))
    }

    /// Takes the catalog away again; there are no snapshots in it.
    pub(super) fn remove_area(&self) -> Result<(), Error> {
        let allocator = self.live_allocator().map_err(|why| self.error(Code::Busy, format!("{why:#}")))?;
        self.shell.remove_area().map_err(|why| self.engine_error("removing the diff area", why))?;
        allocator.files.delete(&ntfs::VSS_IDENTIFIER).map_err(|why| self.ntfs_error(why))
    }

    fn store_info(&self, wanted: &Wanted, set: Guid, shadow: Guid) -> Result<StoreInfo, Error> {
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = || WideString::try_from_str(&machine).map_err(|why| self.error(Code::Internal, why.to_string()));
        let (application, kind) = match wanted.context {
            Context::ClientAccessible => {
                (ondisk::APP_CLIENT_ACCESSIBLE, attributes::CLIENT_ACCESSIBLE | attributes::NO_WRITERS)
            }
            Context::AppRollback => (ondisk::APP_PERSISTENT, attributes::AUTORECOVER),
        };
        let always = attributes::PERSISTENT | attributes::NO_AUTO_RELEASE | attributes::DIFFERENTIAL;
        Ok(StoreInfo {
            application,
            snapshot: shadow,
            set,
            context: wanted.context.value(),
            set_count: wanted.set_count.max(1),
            attributes: always | kind,
            originating: name()?,
            service: name()?,
        })
    }

    fn blocks(&self) -> u64 {
        self.live.size().div_ceil(BLOCK_SIZE)
    }

    /// A sixteenth of the volume, between 8 and 320 MiB (what Windows takes), and never less than its own structures.
    fn store_size(&self, wanted: Option<u64>) -> u64 {
        let usual = (self.live.size() / 16).clamp(8 << 20, 320 << 20);
        let structures = (2 * self.blocks().div_ceil(BITS_PER_BITMAP_BLOCK) + 24) * BLOCK_SIZE;
        wanted.or(self.options.diff_area_size).unwrap_or(usual).max(structures)
    }

    /// The store before the newest takes no copies any more: what it does not use goes back to the file system.
    fn seal_older(&self, newest: Guid) {
        let sealed = self.shell.with(|engine, gate| {
            let older = engine.snapshots().map(|s| s.store).take_while(|store| *store != newest).last()?;
            engine.seal(gate, older).map(|used| (older, used))
        });
        let Some((store, used)) = sealed else { return };
        let cut = self.allocator().and_then(|allocator| Ok(allocator.files.truncate(store.as_bytes(), used)?));
        if let Err(error) = cut {
            eprintln!("vsshost: store {store} keeps its unused space: {error:#}");
        }
    }

    fn sync_mount(&self) {
        let mount_point = lock(&self.mount_point).clone();
        if let Some(folder) = mount_point.and_then(|path| std::fs::File::open(path).ok()) {
            let _ = rustix::fs::syncfs(folder);
        }
    }

    pub(super) fn error(&self, code: Code, message: impl Into<String>) -> Error {
        let place = self.options.image.path.display().to_string();
        Error::new(code, message, format!("volume '{}'", self.name), place)
    }

    pub(super) fn engine_error(&self, doing: &str, why: RequestError) -> Error {
        let (code, text) = match why {
            RequestError::Busy => (Code::InProgress, "another request of this kind is not finished"),
            RequestError::BadState => (Code::BadState, "not in this state"),
            RequestError::NotFound => (Code::NotFound, "no such snapshot"),
            RequestError::StoreTooSmall => (Code::NoSpace, "the store file is too small for its structures"),
            RequestError::TooMany => (Code::NoSpace, "the catalog is full"),
            RequestError::NoArea => (Code::NotFound, "there is no diff area"),
            RequestError::OutOfRange | RequestError::BadMap => (Code::Internal, "sizes do not fit"),
            RequestError::NoMemory => (Code::NoSpace, "not enough memory"),
            RequestError::Io => (Code::Io, "reading or writing the image failed"),
            RequestError::ReadOnly => (Code::Io, "the diff area cannot be written"),
            RequestError::Released => (Code::HoldExpired, "writes were released before it was durable"),
        };
        self.error(code, format!("{doing}: {text}"))
    }

    pub(super) fn ntfs_error(&self, why: ntfs::Error) -> Error {
        let code = match why {
            ntfs::Error::NoSpace { .. } | ntfs::Error::Alignment { .. } => Code::NoSpace,
            ntfs::Error::InUse(_) | ntfs::Error::NotClean { .. } | ntfs::Error::GrowWouldZero { .. } => Code::Busy,
            ntfs::Error::NotNtfs(_) | ntfs::Error::Unsupported { .. } => Code::NotSupported,
            ntfs::Error::OtherVolume { .. } => Code::InvalidArgument,
            _ => Code::Io,
        };
        self.error(code, why.to_string())
    }
}

/// A header without catalog yet, as Windows 11 writes it: no maximum, which `vssadmin resize shadowstorage` sets.
fn new_header(volume: Guid, storage: Guid) -> VolumeHeader {
    VolumeHeader {
        version: 1,
        catalog: 0,
        maximum: 0,
        volume,
        storage,
        application_flags: 0,
        free_space_precopy: 0,
        hot_blocks_precopy: 0,
        hot_blocks_days: 0,
        protection: 0,
    }
}

/// A random id.
pub(super) fn random() -> Guid {
    Guid::from_bytes(Uuid::new_v4().to_bytes_le())
}

/// A version-1 id, as Windows gives volumes and stores. The node is random (RFC 9562, 6.10): nobody's MAC address.
pub(super) fn time_based() -> Guid {
    static COUNTER: AtomicU16 = AtomicU16::new(0);
    let [a, b, c, d, e, f, ..] = *Uuid::new_v4().as_bytes();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let counter = uuid::ContextV1::new(COUNTER.fetch_add(1, Ordering::Relaxed));
    let time = uuid::Timestamp::from_unix(&counter, since.as_secs(), since.subsec_nanos());
    Guid::from_bytes(Uuid::new_v1(time, &[a | 1, b, c, d, e, f]).to_bytes_le())
}
