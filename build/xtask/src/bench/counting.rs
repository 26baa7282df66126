// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file system that counts: one folder of files, each backed by a real one, every read, write and flush noted.
//!
//! Why not something that exists: `/proc/PID/io` counts `write` calls together with sockets and misses io_uring, or counts
//! pages once however often they are written; a statistics filter of nbdkit sees only what goes through nbdkit, not a
//! target's second file. This sees all files of any target, ours included, in the same way.
//!
//! Reads and writes bypass the page cache (`FOPEN_DIRECT_IO`), so that each call of the target arrives as it was made, and
//! flushes reach the real disk, so that a target that waits for them waits here too. A write that asks for its own
//! durability by a flag of the call (`RWF_DSYNC`) is durable here, too, and counted as such: the disk sees a flush.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry, ReplyLseek,
    ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::{
    fs::{FallocateFlags, OFlags, SeekFrom, fallocate, seek},
    io::{ReadWriteFlags, pwritev2},
};

use super::{
    attributes::{attributes, folder_attributes},
    counters::{Counters, Counting},
};

/// How long the kernel may remember a name or an attribute: nobody else changes them.
const REMEMBER: Duration = Duration::from_secs(3600);

/// Requests served at once. A target with sixteen writes in flight must not find them in a queue of one.
const THREADS: usize = 8;

/// A mounted counting file system over a folder. Unmounted when dropped.
pub(super) struct CountingFolder {
    path: PathBuf,
    counting: Arc<Counting>,
    session: BackgroundSession,
}

impl CountingFolder {
    /// Shows the files of `backing` at `path`.
    pub(super) fn mount(backing: &Path, path: &Path) -> Result<Self> {
        let counting = Arc::new(Counting::default());
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("xtask-bench".to_owned()), MountOption::NoAtime];
        config.n_threads = Some(THREADS);
        let folder = Folder {
            backing: backing.to_owned(),
            counting: Arc::clone(&counting),
            files: Mutex::new(Files { numbers: HashMap::new(), open: HashMap::new(), next: INodeNo::ROOT.0 + 1 }),
        };
        let session = fuser::spawn_mount(folder, path, &config)
            .with_context(|| format!("mount the counting file system on {}", path.display()))?;
        Ok(Self { path: path.to_owned(), counting, session })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn counters(&self) -> Counters {
        self.counting.now()
    }

    pub(super) fn unmount(self) -> Result<()> {
        self.session.umount_and_join().with_context(|| format!("unmount {}", self.path.display()))
    }
}

/// The files by name and by number. A number is never used again, and its file stays open until the end: a target may
/// remove the name of a file that it goes on using.
struct Files {
    numbers: HashMap<OsString, INodeNo>,
    open: HashMap<INodeNo, Arc<File>>,
    next: u64,
}

struct Folder {
    backing: PathBuf,
    counting: Arc<Counting>,
    files: Mutex<Files>,
}

impl Folder {
    fn files(&self) -> MutexGuard<'_, Files> {
        // Nothing in here is left half done by a panic elsewhere.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, number: INodeNo) -> Result<Arc<File>, Errno> {
        self.files().open.get(&number).cloned().ok_or(Errno::ENOENT)
    }

    /// Number and attributes of a file, which is opened when it is asked for the first time.
    fn enter(&self, name: &OsStr, create: bool) -> Result<FileAttr, Errno> {
        let mut files = self.files();
        if let Some(number) = files.numbers.get(name).copied() {
            let file = files.open.get(&number).cloned().ok_or(Errno::ENOENT)?;
            return Ok(attributes(number, &file)?);
        }
        let file =
            OpenOptions::new().read(true).write(true).create(create).truncate(false).open(self.backing.join(name))?;
        let number = INodeNo(files.next);
        files.next += 1;
        let attributes = attributes(number, &file)?;
        files.numbers.insert(name.to_owned(), number);
        files.open.insert(number, Arc::new(file));
        Ok(attributes)
    }

    fn remove(&self, name: &OsStr) -> Result<(), Errno> {
        std::fs::remove_file(self.backing.join(name))?;
        self.files().numbers.remove(name);
        Ok(())
    }

    fn read_file(&self, number: INodeNo, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let file = self.file(number)?;
        let mut buffer = vec![0; size as usize];
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        buffer.truncate(filled);
        self.counting.read(filled as u64);
        Ok(buffer)
    }

    fn write_file(&self, number: INodeNo, offset: u64, data: &[u8], flags: OpenFlags) -> Result<u32, Errno> {
        let file = self.file(number)?;
        let durable = OFlags::from_bits_retain(flags.0.cast_unsigned()).intersects(OFlags::DSYNC);
        if durable {
            write_durably(&file, data, offset)?;
        } else {
            file.write_all_at(data, offset)?;
        }
        self.counting.write(data.len() as u64, durable);
        u32::try_from(data.len()).map_err(|_| Errno::EINVAL)
    }

    fn sync_file(&self, number: INodeNo, data_only: bool) -> Result<(), Errno> {
        let file = self.file(number)?;
        self.counting.flush();
        if data_only { file.sync_data() } else { file.sync_all() }.map_err(Errno::from)
    }

    fn resize(&self, number: INodeNo, size: Option<u64>) -> Result<FileAttr, Errno> {
        let file = self.file(number)?;
        if let Some(size) = size {
            file.set_len(size)?;
        }
        Ok(attributes(number, &file)?)
    }

    fn attributes_of(&self, number: INodeNo) -> Result<FileAttr, Errno> {
        if number == INodeNo::ROOT { Ok(folder_attributes()) } else { Ok(attributes(number, &*self.file(number)?)?) }
    }

    fn allocate(&self, number: INodeNo, offset: u64, length: u64, mode: i32) -> Result<(), Errno> {
        let file = self.file(number)?;
        self.counting.allocation();
        let flags = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        fallocate(&*file, flags, offset, length).map_err(|error| Errno::from(io::Error::from(error)))
    }

    fn find(&self, number: INodeNo, offset: i64, whence: i32) -> Result<i64, Errno> {
        let file = self.file(number)?;
        let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        // The kernel answers the other kinds itself.
        let from = match whence {
            SEEK_DATA => SeekFrom::Data(offset),
            SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::EINVAL),
        };
        let found = seek(&*file, from).map_err(|error| Errno::from(io::Error::from(error)))?;
        i64::try_from(found).map_err(|_| Errno::EOVERFLOW)
    }
}

/// Linux' numbers, `include/uapi/linux/fs.h`.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

impl Filesystem for Folder {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.enter(name, false) {
            Ok(attributes) => reply.entry(&REMEMBER, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes_of(number) {
            Ok(attributes) => reply.attr(&REMEMBER, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        match self.resize(number, size) {
            Ok(attributes) => reply.attr(&REMEMBER, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn create(&self, _: &Request, _: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.enter(name, true) {
            Ok(attributes) => reply.created(&REMEMBER, &attributes, Generation(0), FileHandle(0), open_flags()),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), open_flags());
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.remove(name), reply);
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.read_file(number, offset, size) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.write_file(number, offset, data, flags) {
            Ok(written) => reply.written(written),
            Err(error) => reply.error(error),
        }
    }

    /// A file was closed, which writes nothing.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, data_only: bool, reply: ReplyEmpty) {
        done(self.sync_file(number, data_only), reply);
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        done(self.allocate(number, offset, length, mode), reply);
    }

    fn lseek(&self, _: &Request, number: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        match self.find(number, offset, whence) {
            Ok(found) => reply.offset(found),
            Err(error) => reply.error(error),
        }
    }
}

/// As the target asked for it: this write, not all that the file has.
fn write_durably(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        let written = pwritev2(file, &[IoSlice::new(data)], offset, ReadWriteFlags::DSYNC)?;
        data = data.get(written..).filter(|_| written > 0).ok_or(io::ErrorKind::WriteZero)?;
        offset += written as u64;
    }
    Ok(())
}

fn done(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn open_flags() -> FopenFlags {
    FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt};

    use super::{super::counters::Counters, CountingFolder, write_durably};

    #[test]
    fn counts_each_call_once() {
        if !std::path::Path::new("/dev/fuse").exists() || crate::process::find("fusermount3").is_none() {
            println!("skipped: FUSE is not available");
            return;
        }
        let scratch = tempfile::tempdir().expect("a folder");
        let (backing, mount) = (scratch.path().join("backing"), scratch.path().join("mount"));
        fs::create_dir(&backing).expect("a folder");
        fs::create_dir(&mount).expect("a folder");
        fs::write(backing.join("old"), [7; 8192]).expect("a file");
        let folder = CountingFolder::mount(&backing, &mount).expect("mounted");

        let old = fs::OpenOptions::new().read(true).write(true).open(mount.join("old")).expect("opened");
        let mut buffer = [0; 4096];
        old.read_exact_at(&mut buffer, 4096).expect("read");
        assert_eq!(buffer, [7; 4096]);
        // Twice the same: neither is swallowed by a cache.
        old.write_all_at(&[8; 512], 512).expect("written");
        old.write_all_at(&[8; 512], 512).expect("written");
        old.sync_data().expect("flushed");
        let new = fs::File::create(mount.join("new")).expect("made");
        // Still usable without its name, as temporary files are.
        fs::remove_file(mount.join("new")).expect("removed");
        new.write_all_at(&[9; 100], 0).expect("written");
        // Durable by itself: neither taken for an ordinary write, nor for a flush of everything.
        write_durably(&old, &[8; 512], 512).expect("written");

        let expected = Counters {
            reads: 1,
            bytes_read: 4096,
            writes: 4,
            bytes_written: 1636,
            flushes: 1,
            durable_writes: 1,
            allocations: 0,
        };
        assert_eq!(folder.counters(), expected);
        drop((old, new));
        folder.unmount().expect("unmounted");
        assert_eq!(fs::read(backing.join("old")).expect("read").get(512..1024), Some(&[8; 512][..]));
        assert!(!backing.join("new").exists());
    }
}
