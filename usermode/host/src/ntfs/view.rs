// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume as the `ntfs` crate reads it: bounded, and with the MFT in one piece.
//!
//! The crate (0.4) reads a file record as contiguous bytes at its start and follows only the first `$DATA` attribute
//! of the MFT. Both are wrong on fragmented volumes: with 512-byte clusters a 1024-byte record may straddle two runs,
//! and an MFT of many runs has an attribute list. So the view shows the crate an MFT that is contiguous: past the end
//! of the volume lies one made-up record 0 that describes it, followed by the real records in file order. The boot
//! sector is shown with the MFT at that place.
//!
//! Every byte read is taken from a budget, which ends whatever loop a hostile image might put the crate into. A read
//! that fails gives zeros and is remembered: the crate panics when a read fails inside one of its structures, and its
//! error would not say where.

use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::{Error, Result, damaged};
use super::extent::Extent;
use crate::device::BlockDevice;

/// Offset of the MFT's first cluster number in the boot sector, u64.
const BOOT_MFT_LCN: u64 = 0x30;

/// Taken from the budget for each read besides its bytes, so that many tiny reads end as well.
const READ_COST: u64 = 512;

/// Where the contiguous MFT is shown and where it really is.
#[derive(Debug, Clone)]
pub(super) struct LinearMft {
    /// First byte after the volume, a multiple of the cluster size: place of the made-up record.
    base: u64,
    cluster_size: u64,
    record_size: u64,
    /// Runs of the real MFT, gapless from file offset 0.
    runs: Vec<Extent>,
}

impl LinearMft {
    /// `volume_end` is where nothing real lies any more. `None` where the numbers cannot be represented.
    pub(super) fn new(volume_end: u64, cluster_size: u64, record_size: u64, runs: Vec<Extent>) -> Option<Self> {
        let base = volume_end.checked_next_multiple_of(cluster_size)?;
        base.checked_mul(2)?;
        Some(Self { base, cluster_size, record_size, runs })
    }

    /// Bytes of MFT that the runs hold.
    pub(super) fn length(&self) -> u64 {
        self.runs.last().map_or(0, Extent::file_end)
    }

    /// Adds the next run; it must continue the file.
    pub(super) fn push(&mut self, run: Extent) {
        self.runs.push(run);
    }

    /// Where the first real record is shown.
    fn records(&self) -> u64 {
        self.base + self.record_size.next_multiple_of(self.cluster_size)
    }

    /// The made-up record 0: nothing but an unnamed, non-resident `$DATA` of one run (published NTFS layouts).
    fn made_up_record(&self) -> Vec<u8> {
        let mut record = vec![0; self.record_size as usize];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        let count = self.record_size / 512 + 1;
        let attribute = (0x30 + 2 * count as usize).next_multiple_of(8);
        let (runs, length) = (0x40, 0x58_usize);
        put(0, b"FILE");
        put(4, &0x30_u16.to_le_bytes()); // update sequence: offset and count; number 0 fits the zero bytes it protects
        put(6, &(count as u16).to_le_bytes());
        put(0x14, &(attribute as u16).to_le_bytes());
        put(0x16, &1_u16.to_le_bytes()); // in use
        put(0x18, &(attribute as u32 + length as u32 + 8).to_le_bytes());
        put(0x1c, &(self.record_size as u32).to_le_bytes());
        put(attribute, &0x80_u32.to_le_bytes());
        put(attribute + 4, &(length as u32).to_le_bytes());
        put(attribute + 8, &[1]); // non-resident
        let clusters = self.length().div_ceil(self.cluster_size);
        put(attribute + 0x18, &clusters.saturating_sub(1).to_le_bytes());
        put(attribute + 0x20, &(runs as u16).to_le_bytes());
        for size in [0x28, 0x30, 0x38] {
            put(attribute + size, &self.length().to_le_bytes());
        }
        put(attribute + runs, &[0x88]); // 8 bytes of length, 8 of position
        put(attribute + runs + 1, &clusters.to_le_bytes());
        put(attribute + runs + 9, &(self.records() / self.cluster_size).to_le_bytes());
        put(attribute + length, &u32::MAX.to_le_bytes());
        record
    }

    /// Where the byte shown at `position` is on the device, and how many follow it there.
    fn locate(&self, position: u64) -> Option<(u64, u64)> {
        let offset = position.checked_sub(self.records())?;
        let index = self.runs.partition_point(|run| run.file_end() <= offset);
        let run = self.runs.get(index)?;
        let skipped = offset.checked_sub(run.file_offset)?;
        Some((run.volume_offset + skipped, run.length - skipped))
    }
}

/// Runs a piece of the `ntfs` crate that reads nothing. The crate slices records by lengths that it found in them and
/// does panic on damaged ones (an attribute cut off by the end of its record, for one), so a panic means damage here.
pub(super) fn guarded<T>(what: &str, body: impl FnOnce() -> std::result::Result<T, ntfs::NtfsError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result.map_err(|error| damaged(what, error.to_string())),
        Err(_) => Err(damaged(what, "lengths that contradict each other")),
    }
}

/// `Read + Seek` over the device, for the `ntfs` crate.
pub(super) struct View<'d> {
    device: &'d dyn BlockDevice,
    position: u64,
    budget: u64,
    /// The contiguous MFT; `None` only while its runs are first looked up.
    pub(super) mft: Option<LinearMft>,
    /// The first read that failed; from then on everything reads as zeros.
    failure: Option<Error>,
}

impl<'d> View<'d> {
    /// A view that gives out at most `budget` bytes.
    pub(super) fn new(device: &'d dyn BlockDevice, mft: Option<LinearMft>, budget: u64) -> Self {
        Self { device, position: 0, budget, mft, failure: None }
    }

    /// Runs a piece of the `ntfs` crate that reads through this view. A failed read is the error, whatever the crate
    /// made of the zeros.
    pub(super) fn run<T>(
        &mut self,
        what: &str,
        body: impl FnOnce(&mut Self) -> std::result::Result<T, ntfs::NtfsError>,
    ) -> Result<T> {
        let result = guarded(what, || body(self));
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => result,
        }
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let what = "file system metadata";
        self.device.read_at(buf, offset).map_err(|source| Error::Device { what, offset, source })
    }

    fn read_device(&self, buf: &mut [u8]) -> Result<usize> {
        let left = self.device.size().saturating_sub(self.position);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..count];
        if count > 0 {
            self.read_at(buf, self.position)?;
        }
        if let Some(mft) = &self.mft {
            let lcn = (mft.base / mft.cluster_size).to_le_bytes();
            for (at, byte) in (BOOT_MFT_LCN..).zip(lcn) {
                if let Some(shown) = at.checked_sub(self.position).and_then(|index| buf.get_mut(index as usize)) {
                    *shown = byte;
                }
            }
        }
        Ok(count)
    }

    fn read_mft(&self, mft: &LinearMft, buf: &mut [u8]) -> Result<usize> {
        let in_record = self.position - mft.base;
        if in_record < mft.record_size {
            let record = mft.made_up_record();
            let bytes = &record[in_record as usize..];
            let count = bytes.len().min(buf.len());
            buf[..count].copy_from_slice(&bytes[..count]);
            return Ok(count);
        }
        let Some((offset, length)) = mft.locate(self.position) else { return Ok(0) };
        let count = usize::try_from(length).unwrap_or(usize::MAX).min(buf.len());
        self.read_at(&mut buf[..count], offset)?;
        Ok(count)
    }
}

impl Read for View<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = match self.budget.checked_sub(READ_COST.saturating_add(buf.len() as u64)) {
            None => Err(damaged("file system metadata", "leads to more reading than any sound volume needs")),
            Some(_) if self.failure.is_some() => Ok(0),
            Some(left) => {
                self.budget = left;
                match &self.mft {
                    Some(mft) if self.position >= mft.base => self.read_mft(mft, buf),
                    _ => self.read_device(buf),
                }
            }
        };
        let count = match result {
            Ok(count) if self.failure.is_none() => count,
            failed => {
                buf.fill(0);
                self.failure = self.failure.take().or(failed.err());
                buf.len()
            }
        };
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

impl Seek for View<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => self.device.size().checked_add_signed(delta),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
