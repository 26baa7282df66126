// SPDX-License-Identifier: MIT OR Apache-2.0
//! Store files on an NTFS volume: what is common to the mounted and the unmounted volume.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::directory::{Directory, TEMPORARY};
use super::placement::{Effort, is_placed, make_placed};
use super::private_mount::Allocated;
use super::{Filling, MIN_STORE, StoreAllocator, StoreFile, mounted, private_mount, whole_blocks};
use crate::device::BlockDevice;
use crate::ntfs::boot::Geometry;
use crate::ntfs::diff_area::{
    CATALOG_SIZE, DIRECTORY, DiffAreaFile, Guid, VSS_IDENTIFIER, directory_name, list_diff_area_files, store_file_name,
};
use crate::ntfs::error::{Error, Result};
use crate::ntfs::extent::{BLOCK_SIZE, Extent, usable_blocks};
use crate::ntfs::file::FileInfo;
use crate::ntfs::free_map::free_clusters;
use crate::ntfs::index::find;
use crate::ntfs::volume::Volume;

/// A mounted file system may write its metadata a moment after `syncfs`.
const SETTLE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

/// Makes store files on the NTFS volume itself. See the module for the two back ends.
pub struct NtfsStore {
    files: Files,
    /// One change at a time: temporary names and the private mount are shared.
    gate: Mutex<()>,
}

enum Backend {
    Private { volume: PathBuf },
    Mounted { mount_point: PathBuf, shield: Option<Filling> },
}

/// The primitive operations, each checked on the device.
pub(super) struct Files {
    device: Arc<dyn BlockDevice>,
    backend: Backend,
}

impl NtfsStore {
    /// For a volume that nobody has mounted. `volume` is a file or block device with the same bytes as `device`, through
    /// which ntfs-3g may write. Nothing is touched yet; a volume in use, hibernated or unclean is refused at each call.
    pub fn unmounted(device: Arc<dyn BlockDevice>, volume: PathBuf) -> Result<Self> {
        Geometry::read(&*device)?;
        Ok(Self::new(device, Backend::Private { volume }))
    }

    /// For a volume that ntfs-3g serves at `mount_point`. Makes and removes a small file to be sure that the mount is
    /// of this device: [`Error::OtherVolume`] if not.
    pub fn mounted(device: Arc<dyn BlockDevice>, mount_point: PathBuf) -> Result<Self> {
        mounted::check_serial(&mount_point, &Geometry::read(&*device)?)?;
        let store = Self::new(device, Backend::Mounted { mount_point: mount_point.clone(), shield: None });
        let probe = format!("{TEMPORARY}{}", uuid::Uuid::new_v4());
        let make = probe.clone();
        store.files.with_directory(move |directory| directory.create(&make))?;
        let seen = store.files.observe(&probe, |_| true);
        let removed = store.files.with_directory(move |directory| directory.remove(&probe));
        match seen {
            Ok(_) => removed.map(|()| store),
            Err(error) => Err(Error::OtherVolume { mount_point, detail: format!("a file made there: {error}") }),
        }
    }

    /// States that the device drops writes which the file system makes to blocks of existing stores, and those that
    /// consist of `filling` alone. A mounted volume can then also grow stores that were made unmounted or by Windows:
    /// the zeros that ntfs-3g writes over their old part ([`Error::GrowWouldZero`]) never arrive. And clusters keep what
    /// they held when they are reserved: nothing needs to be saved for snapshots, in a store that is perhaps full.
    pub fn shielded(mut self, filling: Filling) -> Self {
        if let Backend::Mounted { shield, .. } = &mut self.files.backend {
            *shield = Some(filling);
        }
        self
    }

    fn new(device: Arc<dyn BlockDevice>, backend: Backend) -> Self {
        Self { files: Files { device, backend }, gate: Mutex::new(()) }
    }

    fn enter(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data that a panic could have left half-changed.
        self.gate.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn existing(&self, guid: &Guid) -> Result<DiffAreaFile> {
        let files = list_diff_area_files(&*self.files.device)?;
        let found = files.into_iter().find(|file| file.guid.as_ref() == Some(guid));
        found.ok_or_else(|| Error::NotFound(store_file_name(guid)))
    }

    /// Makes a placed file of `bytes`; removes it again if that fails.
    fn make(&self, guid: &Guid, bytes: u64) -> Result<StoreFile> {
        let name = store_file_name(guid);
        self.files.require_space(&name, bytes)?;
        let effort = if *guid == VSS_IDENTIFIER { Effort::All } else { Effort::Some };
        make_placed(&self.files, &name, effort)?;
        let made = if bytes > MIN_STORE {
            self.files.reserve(&name, MIN_STORE, bytes)
        } else {
            self.files.observe(&name, |file| file.data.data_size == bytes)
        };
        match made.and_then(|file| store_file(guid, &name, file)) {
            Ok(store) => Ok(store),
            Err(error) => {
                // What went wrong first is what the caller must know.
                let _ = self.files.with_directory(move |directory| directory.remove(&name));
                Err(error)
            }
        }
    }
}

impl StoreAllocator for NtfsStore {
    fn catalog(&self) -> Result<StoreFile> {
        let _gate = self.enter();
        let store = match self.existing(&VSS_IDENTIFIER) {
            Ok(file) => store_file(&VSS_IDENTIFIER, &file.name, file.file)?,
            Err(Error::NotFound(_)) => self.make(&VSS_IDENTIFIER, CATALOG_SIZE)?,
            Err(error) => return Err(error),
        };
        if store.size != CATALOG_SIZE {
            let detail = format!("{} bytes instead of {CATALOG_SIZE}", store.size);
            return Err(Error::NotAsAsked { what: "catalogue file".into(), detail });
        }
        Ok(store)
    }

    fn create(&self, guid: &Guid, bytes: u64) -> Result<StoreFile> {
        let _gate = self.enter();
        match self.existing(guid) {
            Ok(file) => Err(Error::Exists(file.name)),
            Err(Error::NotFound(_)) => self.make(guid, whole_blocks(bytes)),
            Err(error) => Err(error),
        }
    }

    fn grow(&self, guid: &Guid, bytes: u64) -> Result<StoreFile> {
        let _gate = self.enter();
        let DiffAreaFile { name, file, .. } = self.existing(guid)?;
        let (size, bytes) = (file.data.data_size, whole_blocks(bytes));
        if bytes <= size {
            return store_file(guid, &name, file);
        }
        let valid = file.data.initialized_size;
        if valid < size && matches!(self.files.backend, Backend::Mounted { shield: None, .. }) {
            return Err(Error::GrowWouldZero { name, valid, size });
        }
        self.files.require_space(&name, bytes - file.data.allocated_size.min(bytes))?;
        let grown = self.files.reserve(&name, size, bytes)?;
        require_same_start(&name, &file.data.extents, &grown.data.extents, file.data.allocated_size)?;
        store_file(guid, &name, grown)
    }

    fn truncate(&self, guid: &Guid, bytes: u64) -> Result<StoreFile> {
        let _gate = self.enter();
        let DiffAreaFile { name, file, .. } = self.existing(guid)?;
        let bytes = whole_blocks(bytes);
        if bytes >= file.data.data_size {
            return store_file(guid, &name, file);
        }
        let cut = name.clone();
        self.files.with_directory(move |directory| directory.cut(&cut, bytes))?;
        let left = self.files.observe(&name, |file| file.data.data_size == bytes)?;
        require_same_start(&name, &file.data.extents, &left.data.extents, bytes)?;
        store_file(guid, &name, left)
    }

    fn delete(&self, guid: &Guid) -> Result<()> {
        let _gate = self.enter();
        let name = self.existing(guid)?.name;
        let remove = name.clone();
        self.files.with_directory(move |directory| directory.remove(&remove))?;
        self.files.settled(|| match self.existing(guid) {
            Err(Error::NotFound(_)) => Ok(()),
            Ok(_) => Err(not_as_asked(&name, "still on the device after it was deleted")),
            Err(error) => Err(error),
        })
    }

    fn lookup(&self, guid: &Guid) -> Result<StoreFile> {
        let _gate = self.enter();
        let file = self.files.settled(|| self.existing(guid))?;
        store_file(guid, &file.name, file.file)
    }
}

impl Files {
    /// What reserves clusters, where files are made through somebody's mount.
    pub(super) fn mounted_filling(&self) -> Option<Filling> {
        match &self.backend {
            Backend::Mounted { shield, .. } => Some(shield.unwrap_or_default()),
            Backend::Private { .. } => None,
        }
    }

    pub(super) fn device(&self) -> &dyn BlockDevice {
        &*self.device
    }

    /// Runs file operations in the directory of the store files and makes them durable.
    pub(super) fn with_directory<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Directory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.backend {
            Backend::Private { volume } => {
                self.require_clean(volume)?;
                private_mount::with_directory(volume, body)
            }
            Backend::Mounted { mount_point, .. } => mounted::with_directory(mount_point, body),
        }
    }

    /// Allocates an existing file from `from` (its size) up to `to` bytes, and looks at the result on the device. After
    /// an error the file has its old size.
    pub(super) fn allocate(&self, name: &str, from: u64, to: u64) -> Result<FileInfo> {
        self.allocate_with(name, from, to, Filling::default())
    }

    /// The same, and the clusters keep what they held where the device can see to that. Not for what fits into a file
    /// record: there the filling would be content.
    pub(super) fn reserve(&self, name: &str, from: u64, to: u64) -> Result<FileInfo> {
        self.allocate_with(name, from, to, self.mounted_filling().unwrap_or_default())
    }

    fn allocate_with(&self, name: &str, from: u64, to: u64, filling: Filling) -> Result<FileInfo> {
        match &self.backend {
            Backend::Private { volume } => self.allocate_private(volume, name, from, to),
            Backend::Mounted { mount_point, .. } => {
                mounted::allocate(mount_point, name, from, to, filling).map_err(|error| self.with_free(error))?;
                self.observe_size(name, to)
            }
        }
    }

    /// In one step if possible, else in as small ones as are needed.
    fn allocate_private(&self, volume: &Path, name: &str, from: u64, to: u64) -> Result<FileInfo> {
        let directory = directory_name(&*self.device)?.ok_or_else(|| Error::NotFound(DIRECTORY.into()))?;
        let (mut reached, mut step) = (from, to - from);
        loop {
            let next = reached.saturating_add(step).min(to);
            let result = private_mount::allocate(volume, &directory, name, next);
            match result.map(|allocated| (allocated, self.observe_size(name, next))) {
                Ok((Allocated::Done, Ok(file))) if next == to => return Ok(file),
                Ok((Allocated::Done, Ok(_))) => {
                    reached = next;
                    step = step.saturating_mul(2);
                }
                Ok((Allocated::NoClusters, _)) if step > MIN_STORE => step = (step / 2).next_multiple_of(BLOCK_SIZE),
                Ok((Allocated::NoClusters, _)) => {
                    self.give_back(name, from, reached)?;
                    return Err(self.with_free(Error::NoSpace { what: name.into(), needed: to - from, free: 0 }));
                }
                Ok((Allocated::Done, Err(error))) | Err(error) => {
                    self.give_back(name, from, reached)?;
                    return Err(error);
                }
            }
        }
    }

    /// Cuts a file that was to grow further than the `reached` bytes that it has now.
    fn give_back(&self, name: &str, from: u64, reached: u64) -> Result<()> {
        if reached == from {
            return Ok(());
        }
        let name = name.to_owned();
        self.with_directory(move |directory| directory.cut(&name, from))
    }

    fn observe_size(&self, name: &str, size: u64) -> Result<FileInfo> {
        self.observe(name, |file| file.data.data_size == size && file.data.allocated_size >= size)
    }

    /// A file by name, once `accept` likes what the device shows.
    pub(super) fn observe(&self, name: &str, accept: impl Fn(&FileInfo) -> bool) -> Result<FileInfo> {
        self.settled(|| {
            let file = find(&*self.device, &[DIRECTORY, name])?;
            if accept(&file) {
                return Ok(file);
            }
            let (size, allocated) = (file.data.data_size, file.data.allocated_size);
            Err(not_as_asked(name, &format!("{size} bytes, {allocated} allocated on the device")))
        })
    }

    /// Repeats a look at the device while a mount may still be writing: what is missing or torn may be there next time.
    fn settled<T>(&self, look: impl Fn() -> Result<T>) -> Result<T> {
        let patience = match self.backend {
            Backend::Private { .. } => Duration::ZERO,
            Backend::Mounted { .. } => SETTLE,
        };
        let started = Instant::now();
        loop {
            match look() {
                Err(Error::NotFound(_) | Error::NotAsAsked { .. } | Error::Damaged { .. })
                    if started.elapsed() < patience =>
                {
                    std::thread::sleep(POLL);
                }
                result => return result,
            }
        }
    }

    /// Asks before, so that a hopeless request does not fill the volume first.
    fn require_space(&self, name: &str, needed: u64) -> Result<()> {
        let volume = Volume::open(&*self.device)?;
        let needed = needed.next_multiple_of(volume.geometry().cluster_size);
        let (_, free) = free_clusters(&*self.device)?;
        if needed <= free { Ok(()) } else { Err(Error::NoSpace { what: name.into(), needed, free }) }
    }

    /// ntfs-3g mounts a volume that asks for a check; we do not.
    fn require_clean(&self, volume: &Path) -> Result<()> {
        if !Volume::open(&*self.device)?.is_dirty()? {
            return Ok(());
        }
        Err(Error::NotClean {
            volume: volume.into(),
            state: "it is marked dirty",
            advice: "Run chkdsk /f in Windows, or ntfsfix -d",
        })
    }

    /// Puts the free space into a [`Error::NoSpace`].
    fn with_free(&self, error: Error) -> Error {
        match error {
            Error::NoSpace { what, needed, .. } => {
                let free = free_clusters(&*self.device).map_or(0, |(_, bytes)| bytes);
                Error::NoSpace { what, needed, free }
            }
            error => error,
        }
    }
}

fn not_as_asked(name: &str, detail: &str) -> Error {
    Error::NotAsAsked { what: name.into(), detail: detail.into() }
}

/// Turns a file into what the engine uses; refuses one whose bytes do not lie plainly in its runs, or that does not
/// start at a block.
fn store_file(guid: &Guid, name: &str, file: FileInfo) -> Result<StoreFile> {
    if file.data.transformed || file.data.resident.is_some() {
        return Err(not_as_asked(name, "is resident, sparse, compressed or encrypted"));
    }
    if !is_placed(&file.data.extents) {
        let start = file.data.extents.first().map(|first| (first.volume_offset, first.length));
        return Err(not_as_asked(
            name,
            &format!("first run (offset, length) {start:?} is not 64 KiB at a 16 KiB boundary"),
        ));
    }
    let size = file.data.data_size;
    let extents = usable_blocks(&file.data.extents, size);
    Ok(StoreFile { guid: *guid, file_reference: file.file_reference, size, extents })
}

/// Nothing below `end` in the file may have moved.
fn require_same_start(name: &str, before: &[Extent], after: &[Extent], end: u64) -> Result<()> {
    let cut = |extents: &[Extent]| extents.iter().filter_map(|extent| extent.cut_at(end)).collect::<Vec<_>>();
    if cut(before) == cut(after) { Ok(()) } else { Err(not_as_asked(name, "its blocks were moved")) }
}
