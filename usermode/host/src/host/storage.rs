// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where store files are, and who makes them now.

use super::users::Ours;
use super::{Host, lock};
use crate::device::BlockDevice;
use crate::fuse::{self, Session, Tree};
use crate::image::Volume;
use crate::ntfs::{self, DiffAreaFile, Filling, NtfsStore, StoreAllocator, StoreFile, list_diff_area_files};
use crate::shell::Shell;
use anyhow::{Context as _, Result, bail};
use engine::{Extent, Priority};
use ondisk::Guid;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// Names of the two volumes in the private mount.
const VOLUME: &str = "volume";
const STORAGE: &str = "storage";

/// The volume that holds the diff area, and the host's own view of it.
pub(super) struct Storage {
    /// The served volume; it has the catalog of its snapshots.
    live: Arc<dyn BlockDevice>,
    /// The volume with the store files.
    device: Arc<dyn BlockDevice>,
    /// It is the served volume itself.
    pub(super) local: bool,
    /// It has a file system in which store files can be made.
    ntfs: bool,
    /// The same as a file, for programs that the host runs: a private mount that nobody else uses.
    private: Mutex<Option<Session>>,
    folder: PathBuf,
    /// One change of store files at a time, and none while writes are held: whoever looks at the file system then
    /// finds its records whole. Whoever has the turn may hold writes.
    pub(super) turn: Mutex<()>,
}

/// An allocator, and what keeps others away while it is used.
pub(super) struct Allocator<'a> {
    pub(super) files: Arc<dyn StoreAllocator>,
    /// Files are made through somebody's mount, whose writes pass the engine: clusters are reserved with this.
    filling: Option<Filling>,
    shell: &'a Shell,
    _ours: Option<Ours<'a>>,
    /// Given up last.
    _turn: MutexGuard<'a, ()>,
}

impl Allocator<'_> {
    /// As [`StoreAllocator::create`].
    pub(super) fn create(&self, store: Guid, bytes: u64) -> ntfs::Result<StoreFile> {
        self.shielded(|| self.files.create(store.as_bytes(), bytes))
    }

    /// As [`StoreAllocator::grow`], to `bytes` in all.
    pub(super) fn grow(&self, store: Guid, bytes: u64) -> ntfs::Result<StoreFile> {
        self.shielded(|| self.files.grow(store.as_bytes(), bytes))
    }

    fn shielded<T>(&self, what: impl FnOnce() -> T) -> T {
        self.shell.shield(self.filling);
        let result = what();
        self.shell.shield(None);
        result
    }
}

/// How often somebody looks whether a hold is over.
const HOLD_POLL: Duration = Duration::from_millis(5);

impl Storage {
    pub(super) fn new(shell: &Shell, other: Option<Arc<Volume>>, folder: PathBuf) -> Result<Self> {
        let local = other.is_none();
        // Growing a store must not wait for space in the store.
        let live: Arc<dyn BlockDevice> = shell.live(Priority::Reserve);
        let device = other.map_or_else(|| Arc::clone(&live), |other| other as Arc<dyn BlockDevice>);
        let ntfs = ntfs::is_ntfs(&*device)?;
        if !ntfs && !local {
            bail!("the storage volume holds no NTFS file system: store files are made through one");
        }
        Ok(Self { live, device, local, ntfs, private: Mutex::new(None), folder, turn: Mutex::new(()) })
    }

    /// Bytes of the volume with the store files.
    pub(super) fn size(&self) -> u64 {
        self.device.size()
    }

    /// Whether `bytes` more for a store leave users a thirty-second of the volume: a snapshot must not be what fills
    /// it up.
    pub(super) fn leaves_room(&self, bytes: u64) -> ntfs::Result<()> {
        let (_, free) = ntfs::free_clusters(&*self.device)?;
        let needed = bytes.saturating_add(self.device.size() / 32);
        if free >= needed {
            return Ok(());
        }
        Err(ntfs::Error::NoSpace { what: "a store, beside what is kept free for users".into(), needed, free })
    }

    /// A volume as a file for ntfs-3g and its tools.
    fn private_path(&self, name: &str) -> Result<PathBuf> {
        let mut private = lock(&self.private);
        if private.is_none() {
            // At a fixed place, so that what a killed host left behind is found and removed.
            fuse::clear_stale(&self.folder)?;
            fuse::clear_mounts_of(&self.folder).context("removing what a killed host left mounted")?;
            std::fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
            let tree = Tree::new();
            tree.add(VOLUME, Arc::clone(&self.live))?;
            tree.add(STORAGE, Arc::clone(&self.device))?;
            let session = fuse::mount(&self.folder, &tree, &fuse::Options::default())
                .context("mounting the volume privately, to make store files")?;
            *private = Some(session);
        }
        Ok(self.folder.join(name))
    }

    /// The turn, if it is free within `limit`.
    pub(super) fn turn_within(&self, limit: Duration) -> Option<MutexGuard<'_, ()>> {
        let end = Instant::now() + limit;
        loop {
            match self.turn.try_lock() {
                Ok(turn) => return Some(turn),
                Err(TryLockError::Poisoned(poison)) => return Some(poison.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() >= end => return None,
                Err(TryLockError::WouldBlock) => std::thread::sleep(HOLD_POLL),
            }
        }
    }

    /// Ends the private mount.
    pub(super) fn close(&self) {
        if let Some(mut session) = lock(&self.private).take() {
            let _ = session.unmount();
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

impl Host {
    /// The one who may make, change and delete store files at this moment.
    pub(super) fn allocator(&self) -> Result<Allocator<'_>> {
        if !self.storage.local {
            let turn = self.take_turn();
            let path = self.storage.private_path(STORAGE)?;
            let files = NtfsStore::unmounted(Arc::clone(&self.storage.device), path)?;
            return Ok(self.with_files(files, None, None, turn));
        }
        self.live_allocator()
    }

    /// Waits until nobody else changes store files and writes pass, which is soon: a hold has a limit.
    fn take_turn(&self) -> MutexGuard<'_, ()> {
        loop {
            let turn = lock(&self.storage.turn);
            if !self.shell.holding() {
                return turn;
            }
            drop(turn);
            std::thread::sleep(HOLD_POLL);
        }
    }

    /// The same for files on the served volume itself.
    pub(super) fn live_allocator(&self) -> Result<Allocator<'_>> {
        let storage = &self.storage;
        if !storage.ntfs {
            bail!(
                "{} holds no NTFS file system, so it has no place for a diff area",
                self.options.image.path.display()
            );
        }
        let turn = self.take_turn();
        let mount_point = lock(&self.mount_point).clone();
        if let Some(mount_point) = mount_point {
            let filling = *super::snapshots::random().as_bytes();
            let files = NtfsStore::mounted(Arc::clone(&storage.live), mount_point)?.shielded(filling);
            return Ok(self.with_files(files, Some(filling), None, turn));
        }
        let clients = self.exports_of_live();
        if clients > 0 && !self.options.nbd_clients_are_raw {
            bail!(
                "{clients} NBD connection(s) have the volume open, and may have its file system mounted; disconnect \
                 them, or serve with --nbd-clients-are-raw if they do not"
            );
        }
        let ours = self.users.take();
        if ours.is_none() {
            bail!(
                "somebody has the volume open for writing; if it is mounted with ntfs-3g, tell where: --mount-point, \
                 or set_mount_point on the control socket"
            );
        }
        let path = storage.private_path(VOLUME)?;
        let files = NtfsStore::unmounted(Arc::clone(&storage.live), path)?;
        Ok(self.with_files(files, None, ours, turn))
    }

    fn with_files<'a>(
        &'a self,
        files: NtfsStore,
        filling: Option<Filling>,
        ours: Option<Ours<'a>>,
        turn: MutexGuard<'a, ()>,
    ) -> Allocator<'a> {
        Allocator { files: Arc::new(files), filling, shell: &self.shell, _ours: ours, _turn: turn }
    }

    fn exports_of_live(&self) -> usize {
        let exports: &dyn crate::nbd::Exports = &*self.exports;
        exports.find(super::LIVE).map_or(0, |export| export.clients().connected)
    }

    /// After loading: tells the engine where the store files are, and deletes those that no snapshot has.
    pub(super) fn adopt_stores(&self) -> Result<()> {
        if !self.storage.ntfs {
            return Ok(());
        }
        let files = list_diff_area_files(&*self.storage.device).context("looking for store files")?;
        let known: HashSet<Guid> = self.known_stores().into_iter().collect();
        let mut orphans = Vec::new();
        for file in &files {
            let Some(guid) = file.guid.filter(|guid| *guid != ntfs::VSS_IDENTIFIER) else { continue };
            if known.contains(&Guid::from_bytes(guid)) {
                let runs = usable(file);
                if let Err(error) = self.shell.set_extents(Guid::from_bytes(guid), &runs) {
                    bail!("store {}: {error:?}", Guid::from_bytes(guid));
                }
            } else if self.storage.local {
                orphans.push(guid);
            }
        }
        // Without a header that names a catalog nobody knows whose the files are: it may only be damaged.
        if !orphans.is_empty() && self.shell.with(|engine, _| engine.has_area()) {
            self.delete_orphans(&orphans);
        }
        Ok(())
    }

    /// Store files that a crash left between their creation and their snapshot's commit, or behind its removal.
    fn delete_orphans(&self, orphans: &[[u8; 16]]) {
        let deleted = self.allocator().and_then(|allocator| {
            for guid in orphans {
                allocator.files.delete(guid)?;
            }
            Ok(())
        });
        if let Err(error) = deleted {
            eprintln!("vsshost: store files without a snapshot stay for now: {error:#}");
        }
    }

    fn known_stores(&self) -> Vec<Guid> {
        self.shell.with(|engine, _| engine.snapshots().map(|snapshot| snapshot.store).collect())
    }
}

/// The usable runs of a store file in the engine's terms.
pub(super) fn extents(file: &StoreFile) -> Vec<Extent> {
    file.extents.iter().map(convert).collect()
}

fn usable(file: &DiffAreaFile) -> Vec<Extent> {
    ntfs::usable_blocks(&file.file.data.extents, file.file.data.data_size).iter().map(convert).collect()
}

fn convert(extent: &ntfs::Extent) -> Extent {
    Extent { volume: extent.volume_offset, relative: extent.file_offset, length: extent.length }
}
