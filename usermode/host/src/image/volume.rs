// SPDX-License-Identifier: MIT OR Apache-2.0
//! A volume in an image: positioned I/O within its bounds, durable when asked.

use super::{Access, Image, ImageError, NtfsBootSector, Selector, VolumeSpec, locate, zero};
use crate::device::{BlockDevice, StatusExtent};
use rustix::fs::{SeekFrom, fdatasync, seek};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Most extents that one call of [`BlockDevice::block_status`] returns: callers ask again for the rest.
const MAX_EXTENTS: usize = 512;

/// A volume. All offsets are bytes from its start. Clones share the image and its lock.
#[derive(Debug, Clone)]
pub struct Volume {
    image: Arc<Image>,
    offset: u64,
    size: u64,
    ntfs: Option<NtfsBootSector>,
}

impl Volume {
    /// Opens the image and finds the volume in it.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn open(spec: &VolumeSpec, access: Access) -> Result<Self, ImageError> {
        Self::in_image(&Image::open(&spec.path, access)?, spec.selector)
    }

    /// Opens a second volume, such as the one that holds the diff area. When it lies in the same image as this one,
    /// the image is shared: opened a second time, it would find itself locked.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn open_beside(&self, spec: &VolumeSpec, access: Access) -> Result<Self, ImageError> {
        match self.image.is_same(&spec.path) {
            true => Self::in_image(&self.image, spec.selector),
            false => Self::open(spec, access),
        }
    }

    /// Finds a volume in an image that is open already.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn in_image(image: &Arc<Image>, selector: Selector) -> Result<Self, ImageError> {
        let place = locate::locate(image, selector)?;
        // The backup boot sector alone may be missing: images cropped to the file system exist.
        if let Some(ntfs) = place.ntfs.filter(|ntfs| !image.read_only() && ntfs.file_system_size() > place.size) {
            return Err(ImageError::Truncated {
                path: image.path().to_owned(),
                offset: place.offset,
                claimed: ntfs.volume_size(),
                present: place.size,
            });
        }
        Ok(Self { image: Arc::clone(image), offset: place.offset, size: place.size, ntfs: place.ntfs })
    }

    /// The same volume through an image opened [again](Image::again).
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn again(&self) -> Result<Self, ImageError> {
        Ok(Self { image: self.image.again()?, ..*self })
    }

    /// The image that it lies in.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// First byte of the volume in the image.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The boot sector as it was on opening, where the volume is NTFS.
    pub fn ntfs(&self) -> Option<NtfsBootSector> {
        self.ntfs
    }

    /// Is the same volume, or shares bytes with it.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.image.is_same(other.image.path())
            && self.offset < other.offset + other.size
            && other.offset < self.offset + self.size
    }

    /// First byte at or after `offset` that is not in a hole, `None` if only holes follow.
    ///
    /// # Errors
    /// The system's, and [`io::ErrorKind::Unsupported`] where holes cannot be told.
    pub fn seek_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.seek(SeekFrom::Data, offset)
    }

    /// First byte at or after `offset` that is in a hole, `None` if only data follows.
    ///
    /// # Errors
    /// The system's, and [`io::ErrorKind::Unsupported`] where holes cannot be told.
    pub fn seek_hole(&self, offset: u64) -> io::Result<Option<u64>> {
        self.seek(SeekFrom::Hole, offset)
    }

    fn seek(&self, whence: fn(u64) -> SeekFrom, offset: u64) -> io::Result<Option<u64>> {
        self.check(offset, 0)?;
        // A device has no holes to tell; the file's position moves, which nobody uses.
        if self.image.is_block_device() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        match seek(self.image.file(), whence(self.offset + offset)) {
            Ok(found) => Ok(Some(found - self.offset).filter(|found| *found < self.size)),
            Err(Errno::NXIO) => Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Where `offset` lies in the image, once the range is known to lie in the volume.
    fn check(&self, offset: u64, length: u64) -> io::Result<u64> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        end.map(|_| self.offset + offset).ok_or_else(|| {
            let path = self.image.path().display();
            let text = format!("{path}: {length} bytes at {offset} are not within the volume's {} bytes", self.size);
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }

    fn check_write(&self, offset: u64, length: u64) -> io::Result<u64> {
        if self.image.read_only() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.check(offset, length)
    }

    /// Says what failed where, and keeps the kind of the error.
    fn explain(&self, doing: &str, offset: u64, length: u64, error: io::Error) -> io::Error {
        let path = self.image.path().display();
        let place = self.offset + offset;
        let text = format!("{path}: cannot {doing} {length} bytes at {offset} of the volume (byte {place}): {error}");
        io::Error::new(error.kind(), text)
    }

    fn sync(&self) -> io::Result<()> {
        fdatasync(self.image.file()).map_err(|error| self.explain("flush", 0, self.size, error.into()))
    }

    /// Writes durably in one call where the kernel can, which is cheaper than a flush of everything.
    fn write_durably(&self, mut buf: &[u8], mut place: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match pwritev2(self.image.file(), &[IoSlice::new(buf)], place, ReadWriteFlags::DSYNC) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    buf = &buf[written..];
                    place += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.image.file().write_all_at(buf, place)?;
                    return Ok(fdatasync(self.image.file())?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The plain volume, without an engine above it.
impl BlockDevice for Volume {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        self.image.read_only()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let length = buf.len() as u64;
        let place = self.check(offset, length)?;
        self.image.read_exact_at(buf, place).map_err(|error| self.explain("read", offset, length, error))
    }

    fn write_at(&self, buf: &[u8], offset: u64, fua: bool) -> io::Result<()> {
        let length = buf.len() as u64;
        let place = self.check_write(offset, length)?;
        let written = match fua {
            true => self.write_durably(buf, place),
            false => self.image.file().write_all_at(buf, place),
        };
        written.map_err(|error| self.explain("write", offset, length, error))
    }

    fn write_zeroes(&self, offset: u64, length: u64, may_trim: bool, fua: bool) -> io::Result<()> {
        let place = self.check_write(offset, length)?;
        if length == 0 {
            return Ok(());
        }
        zero::zero(self.image.file(), place, length, may_trim)
            .map_err(|error| self.explain("zero", offset, length, error))?;
        if fua { self.sync() } else { Ok(()) }
    }

    fn trim(&self, offset: u64, length: u64, fua: bool) -> io::Result<()> {
        let place = self.check_write(offset, length)?;
        if length == 0 {
            return Ok(());
        }
        zero::discard(self.image.file(), place, length)
            .map_err(|error| self.explain("discard", offset, length, error))?;
        if fua { self.sync() } else { Ok(()) }
    }

    fn flush(&self) -> io::Result<()> {
        if self.image.read_only() { Ok(()) } else { self.sync() }
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        self.check(offset, length)?;
        let end = offset + length;
        let mut extents = Vec::new();
        let mut at = offset;
        while at < end && extents.len() < MAX_EXTENTS {
            let Some(data) = unless_unsupported(self.seek_data(at))? else {
                extents.push(StatusExtent { length: end - at, hole: false, zero: false });
                break;
            };
            let data = data.unwrap_or(end).min(end);
            if data > at {
                extents.push(StatusExtent { length: data - at, hole: true, zero: true });
                at = data;
                continue;
            }
            let hole = unless_unsupported(self.seek_hole(at))?.flatten().unwrap_or(end).min(end);
            // Data and a hole at the same byte: somebody punched between the two questions. It is data for now.
            let hole = if hole > at { hole } else { end };
            extents.push(StatusExtent { length: hole - at, hole: false, zero: false });
            at = hole;
        }
        Ok(extents)
    }
}

fn unless_unsupported<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        other => other.map(Some),
    }
}
