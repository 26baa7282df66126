// SPDX-License-Identifier: MIT OR Apache-2.0
//! An opened image: the file or device as a whole, before a volume is looked for in it.

use super::{ImageError, container, lock};
use rustix::fs::{ioctl_blksszget, statfs};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How an image is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading, under a shared lock: refused while somebody writes to the image.
    ReadOnly,
    /// Reading without a lock, for those who know that what they see may change under them.
    ReadOnlyUnlocked,
    /// Reading and writing, under an exclusive lock: refused while anybody else has the image.
    ReadWrite,
}

/// An image file or a block device, opened and locked. Closing it releases the lock.
#[derive(Debug)]
pub struct Image {
    file: File,
    path: PathBuf,
    size: u64,
    access: Access,
    /// Bytes per logical sector when it is a device; a file does not say.
    device_sector: Option<u32>,
    identity: (u64, u64),
}

impl Image {
    /// Opens `path`.
    ///
    /// # Errors
    /// Not openable, neither a file nor a block device, a container format such as qcow2, or in use.
    pub fn open(path: &Path, access: Access) -> Result<Arc<Self>, ImageError> {
        let failed = |doing| move |source| ImageError::Io { path: path.to_owned(), doing, source };
        // Looked at before it is opened: opening a FIFO or a tape has effects of its own.
        let metadata = path.metadata().map_err(failed("open"))?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            let what = if kind.is_dir() { "a directory" } else { "a special file" };
            return Err(ImageError::NotAnImage { path: path.to_owned(), what });
        }
        let file = open_file(path, access, kind.is_block_device())?;
        let size = (&file).seek(SeekFrom::End(0)).map_err(failed("find the size"))?;

        let mut head = [0; container::HEAD];
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(head.len());
        file.read_exact_at(&mut head[..length], 0).map_err(failed("read the first sector"))?;
        container::refuse(path, &head[..length])?;
        lock::lock(&file, path, access)?;

        let device_sector = match kind.is_block_device() {
            true => Some(ioctl_blksszget(&file).map_err(|error| failed("find the sector size")(error.into()))?),
            false => None,
        };
        let identity = if kind.is_block_device() { (0, metadata.rdev()) } else { (metadata.dev(), metadata.ino()) };
        Ok(Arc::new(Self { file, path: path.to_owned(), size, access, device_sector, identity }))
    }

    /// Opens the same file or device once more, under the lock of this one, which must live as long. The system reports
    /// that written data was lost once to each open file: whoever must not miss that has one of his own.
    ///
    /// # Errors
    /// Not openable any more.
    pub fn again(&self) -> Result<Arc<Self>, ImageError> {
        // By descriptor: the path may name something else by now.
        let same = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let opened = OpenOptions::new().read(true).write(!self.read_only()).open(same);
        let file = opened.map_err(|source| ImageError::Io { path: self.path.clone(), doing: "open again", source })?;
        let Self { size, access, device_sector, identity, .. } = *self;
        Ok(Arc::new(Self { file, path: self.path.clone(), size, access, device_sector, identity }))
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the whole image. An image file that grows later is not followed.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Was not opened for writing.
    pub fn read_only(&self) -> bool {
        self.access != Access::ReadWrite
    }

    /// Is a block device rather than a file.
    pub fn is_block_device(&self) -> bool {
        self.device_sector.is_some()
    }

    /// Bytes per sector, where the image itself says so: a block device does.
    pub fn device_sector_size(&self) -> Option<u32> {
        self.device_sector
    }

    /// `path` names this very file or device, under whatever name: it must be shared, for its lock excludes everyone.
    pub fn is_same(&self, path: &Path) -> bool {
        let identity = |m: std::fs::Metadata| match m.file_type().is_block_device() {
            true => (0, m.rdev()),
            false => (m.dev(), m.ino()),
        };
        path.metadata().is_ok_and(|metadata| identity(metadata) == self.identity)
    }

    /// Bytes that can still be allocated where the image lies: none for a block device, the file system's free space
    /// for a sparse file. `None` where the system does not say.
    pub fn free_space_below(&self) -> Option<u64> {
        if self.is_block_device() {
            return Some(0);
        }
        let free = statfs(&self.path).ok()?;
        free.f_bavail.checked_mul(u64::try_from(free.f_bsize).ok()?)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}

fn open_file(path: &Path, access: Access, block_device: bool) -> Result<File, ImageError> {
    let writing = access == Access::ReadWrite;
    let mut options = OpenOptions::new();
    options.read(true).write(writing);
    if writing && block_device {
        // On a block device the kernel takes this for 'nobody else': a mounted one is refused.
        options.custom_flags(libc::O_EXCL);
    }
    options.open(path).map_err(|source| match source.raw_os_error() {
        Some(libc::EBUSY) => {
            let holder = "the kernel (mounted, or part of a volume group or an array)".to_owned();
            ImageError::InUse { path: path.to_owned(), holder, hint: "; unmount it first" }
        }
        _ => ImageError::Io { path: path.to_owned(), doing: "open", source },
    })
}
