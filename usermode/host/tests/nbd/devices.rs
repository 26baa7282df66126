// SPDX-License-Identifier: MIT OR Apache-2.0
//! Devices to serve: memory and a file. Both keep holes, so that block status has something to say.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Condvar, Mutex, RwLock};
use std::time::Duration;

use rustix::fs::{FallocateFlags, SeekFrom};
use vsshost::device::{BlockDevice, StatusExtent};

const PAGE: usize = 4096;

/// Pages in memory; one that was never written, or was trimmed, is a hole.
pub(crate) struct Memory {
    pages: RwLock<Vec<Option<Box<[u8; PAGE]>>>>,
    read_only: bool,
}

impl Memory {
    pub(crate) fn new(pages: usize) -> Self {
        Self { pages: RwLock::new(vec![None; pages]), read_only: false }
    }

    /// The first page has content, the others are holes.
    pub(crate) fn read_only(pages: usize) -> Self {
        let memory = Self::new(pages);
        memory.write_at(&[0x5a; PAGE], 0, false).unwrap();
        Self { read_only: true, ..memory }
    }

    /// Calls `act` with each page that the range touches, and where in it and in the range.
    fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (usize, std::ops::Range<usize>, usize)> {
        let (start, end) = (offset as usize, offset as usize + length);
        (start / PAGE..end.div_ceil(PAGE)).map(move |page| {
            let from = start.max(page * PAGE);
            let to = end.min((page + 1) * PAGE);
            (page, from - page * PAGE..to - page * PAGE, from - start)
        })
    }
}

impl BlockDevice for Memory {
    fn size(&self) -> u64 {
        (self.pages.read().unwrap().len() * PAGE) as u64
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let pages = self.pages.read().unwrap();
        for (page, inside, at) in Self::pieces(offset, buf.len()) {
            let part = &mut buf[at..at + inside.len()];
            match &pages[page] {
                Some(bytes) => part.copy_from_slice(&bytes[inside]),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64, _fua: bool) -> io::Result<()> {
        let mut pages = self.pages.write().unwrap();
        for (page, inside, at) in Self::pieces(offset, buf.len()) {
            let length = inside.len();
            pages[page].get_or_insert_with(|| Box::new([0; PAGE]))[inside].copy_from_slice(&buf[at..at + length]);
        }
        Ok(())
    }

    fn write_zeroes(&self, offset: u64, length: u64, may_trim: bool, _fua: bool) -> io::Result<()> {
        let mut pages = self.pages.write().unwrap();
        for (page, inside, _) in Self::pieces(offset, length as usize) {
            if may_trim && inside.len() == PAGE {
                pages[page] = None;
            } else {
                pages[page].get_or_insert_with(|| Box::new([0; PAGE]))[inside].fill(0);
            }
        }
        Ok(())
    }

    fn trim(&self, offset: u64, length: u64, fua: bool) -> io::Result<()> {
        self.write_zeroes(offset, length, true, fua)
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        let pages = self.pages.read().unwrap();
        let described = Self::pieces(offset, length as usize).map(|(page, inside, _)| {
            let hole = pages[page].is_none();
            StatusExtent { length: inside.len() as u64, hole, zero: hole }
        });
        Ok(described.collect())
    }
}

/// A file; its holes come from the file system.
pub(crate) struct Image {
    pub(crate) file: File,
    pub(crate) size: u64,
}

impl Image {
    pub(crate) fn sparse(size: u64) -> Self {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        Self { file, size }
    }
}

impl BlockDevice for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64, fua: bool) -> io::Result<()> {
        self.file.write_all_at(buf, offset)?;
        if fua { self.file.sync_data() } else { Ok(()) }
    }

    fn write_zeroes(&self, offset: u64, length: u64, may_trim: bool, fua: bool) -> io::Result<()> {
        if may_trim {
            return self.trim(offset, length, fua);
        }
        let zeroes = vec![0; 1 << 20];
        let mut done = 0;
        while done < length {
            let part = (length - done).min(zeroes.len() as u64);
            self.file.write_all_at(&zeroes[..part as usize], offset + done)?;
            done += part;
        }
        if fua { self.file.sync_data() } else { Ok(()) }
    }

    fn trim(&self, offset: u64, length: u64, fua: bool) -> io::Result<()> {
        if length > 0 {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&self.file, hole, offset, length)?;
        }
        if fua { self.file.sync_data() } else { Ok(()) }
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => self.size,
            Err(why) => return Err(why.into()),
        };
        let hole = data > offset;
        let end = if hole { data } else { rustix::fs::seek(&self.file, SeekFrom::Hole(offset))? };
        let _may_stop_short = length;
        Ok(vec![StatusExtent { length: end.min(self.size) - offset, hole, zero: hole }])
    }
}

/// A device whose reads wait until the gate opens, as a held write or a copy-on-write would.
pub(crate) struct Gated {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: Mutex<usize>,
}

impl Gated {
    pub(crate) fn closed() -> Self {
        Self { open: Mutex::new(false), opened: Condvar::new(), waiting: Mutex::new(0) }
    }

    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub(crate) fn waiting(&self) -> usize {
        *self.waiting.lock().unwrap()
    }
}

impl BlockDevice for Gated {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read_at(&self, buf: &mut [u8], _offset: u64) -> io::Result<()> {
        *self.waiting.lock().unwrap() += 1;
        // A test that has failed does not open the gate any more, and must still end.
        let limit = Duration::from_secs(40);
        drop(self.opened.wait_timeout_while(self.open.lock().unwrap(), limit, |open| !*open).unwrap());
        buf.fill(7);
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn write_zeroes(&self, _: u64, _: u64, _: bool, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn trim(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn block_status(&self, _: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        Ok(vec![StatusExtent { length, hole: false, zero: false }])
    }
}

/// A device that fails every call, with the error it was made for; or panics on reads.
pub(crate) struct Broken(pub(crate) Option<io::ErrorKind>);

impl Broken {
    fn fail<T>(&self) -> io::Result<T> {
        Err(io::Error::new(self.0.expect("a device that panics"), "as the test wants"))
    }
}

impl BlockDevice for Broken {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        self.fail()
    }

    fn write_at(&self, _: &[u8], _: u64, _: bool) -> io::Result<()> {
        self.fail()
    }

    fn write_zeroes(&self, _: u64, _: u64, _: bool, _: bool) -> io::Result<()> {
        self.fail()
    }

    fn trim(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        self.fail()
    }

    fn flush(&self) -> io::Result<()> {
        self.fail()
    }

    fn block_status(&self, _: u64, _: u64) -> io::Result<Vec<StatusExtent>> {
        self.fail()
    }
}
