// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way in: from sector 0 to the right kind of table.

use crate::error::{Error, Finding, FindingKind};
use crate::partition::{DiskId, Kind, Layout, Partition, types};
use crate::{gpt, mbr, vecs};
use alloc::vec::Vec;
use gpt_disk_types::MasterBootRecord;

/// Bytes of the largest sector that is supported.
const LARGEST_SECTOR: usize = 4096;

/// Where sectors come from.
pub trait Reader {
    /// Why a sector could not be read.
    type Error;

    /// Fills `buf`, which is one sector long, from sector `lba`, which is below the disk's number of sectors.
    ///
    /// # Errors
    /// Whatever the caller wants back in [`Error::Read`].
    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error>;
}

impl<R: Reader + ?Sized> Reader for &mut R {
    type Error = R::Error;

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read(lba, buf)
    }
}

/// Reads the layout of a disk of `sectors` sectors of `sector_size` bytes (512 or 4096).
///
/// # Errors
/// See [`Error`]. A disk without a table is no error but [`Kind::None`].
pub fn read_layout<R: Reader>(reader: R, sector_size: u32, sectors: u64) -> Result<Layout, Error<R::Error>> {
    let mut disk = Disk::new(reader, sector_size, sectors)?;
    disk.read(0)?;
    let Some(record) = disk.master_boot_record() else {
        return Ok(disk.unpartitioned());
    };
    match mbr::classify(&record) {
        mbr::Class::NoTable => Ok(disk.unpartitioned()),
        mbr::Class::Protective => gpt::read(&mut disk),
        mbr::Class::Table => mbr::read(&mut disk, &record),
    }
}

/// The disk while it is being read: one sector buffer, and the bounds that every access is checked against.
pub(crate) struct Disk<R> {
    reader: R,
    pub(crate) sector_size: u32,
    pub(crate) sectors: u64,
    /// One buffer for the largest sector: on the heap, for a driver's stack is small.
    buffer: Vec<[u8; LARGEST_SECTOR]>,
}

impl<R: Reader> Disk<R> {
    fn new(reader: R, sector_size: u32, sectors: u64) -> Result<Self, Error<R::Error>> {
        if sector_size != 512 && sector_size != 4096 {
            return Err(Error::SectorSize { bytes: sector_size });
        }
        // Every byte offset below is a product of a sector below `sectors`: checked once, here.
        let bytes = sectors.checked_mul(u64::from(sector_size)).filter(|bytes| *bytes <= 1 << 63);
        if sectors == 0 || bytes.is_none() {
            return Err(Error::DiskSize { sectors });
        }
        let mut buffer = Vec::new();
        vecs::push(&mut buffer, [0; LARGEST_SECTOR]).map_err(|_| Error::OutOfMemory { lba: 0 })?;
        Ok(Self { reader, sector_size, sectors, buffer })
    }

    /// Reads sector `lba`, which must be on the disk, for [`Self::sector`].
    pub(crate) fn read(&mut self, lba: u64) -> Result<(), Error<R::Error>> {
        let length = self.sector_length();
        let sector = self.buffer.as_flattened_mut().get_mut(..length).unwrap_or_default();
        self.reader.read(lba, sector).map_err(|source| Error::Read { lba, source })
    }

    /// The sector just read.
    pub(crate) fn sector(&self) -> &[u8] {
        self.buffer.as_flattened().get(..self.sector_length()).unwrap_or_default()
    }

    fn sector_length(&self) -> usize {
        usize::try_from(self.sector_size).unwrap_or(LARGEST_SECTOR)
    }

    /// The sector just read as a master boot record, if it ends in 0x55AA.
    pub(crate) fn master_boot_record(&self) -> Option<MasterBootRecord> {
        let bytes = self.sector().get(..size_of::<MasterBootRecord>())?;
        let record: MasterBootRecord = bytemuck::try_pod_read_unaligned(bytes).ok()?;
        (record.signature == [0x55, 0xaa]).then_some(record)
    }

    /// Sectors that hold `bytes`.
    pub(crate) fn sectors_for(&self, bytes: u64) -> u64 {
        let size = u64::from(self.sector_size);
        // The size is a power of two: a shift instead of a division, which would be one that could fail.
        bytes.saturating_add(size.saturating_sub(1)) >> size.trailing_zeros()
    }

    pub(crate) fn unpartitioned(&self) -> Layout {
        self.layout(Kind::None, DiskId::None)
    }

    pub(crate) fn layout(&self, kind: Kind, disk: DiskId) -> Layout {
        Layout { kind, sector_size: self.sector_size, disk, partitions: Vec::new(), findings: Vec::new() }
    }
}

/// An entry as the table has it, in sectors.
pub(crate) struct Entry {
    /// Sector that holds the entry, for findings.
    pub(crate) lba: u64,
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Everything but number, offset and length, which [`Layout::add`] works out.
    pub(crate) partition: Partition,
}

impl Layout {
    /// Adds an entry, clipped to the disk, under the next Windows number.
    pub(crate) fn add<E>(&mut self, sectors: u64, entry: Entry) -> Result<(), Error<E>> {
        let slot = entry.partition.slot;
        let Some(room) = sectors.checked_sub(entry.first).filter(|room| *room > 0 && entry.count > 0) else {
            return self.find(entry.lba, FindingKind::OutsideDisk { slot });
        };
        if entry.count > room {
            self.find(entry.lba, FindingKind::Truncated { slot })?;
        }
        let size = u64::from(self.sector_size);
        let (Some(offset), Some(length)) = (entry.first.checked_mul(size), entry.count.min(room).checked_mul(size))
        else {
            return self.find(entry.lba, FindingKind::OutsideDisk { slot });
        };
        let used = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let number = used.saturating_add(1);
        let partition = Partition { number, offset, length, ..entry.partition };
        vecs::push(&mut self.partitions, partition).map_err(|_| Error::OutOfMemory { lba: entry.lba })
    }

    pub(crate) fn find<E>(&mut self, lba: u64, kind: FindingKind) -> Result<(), Error<E>> {
        vecs::push(&mut self.findings, Finding::new(lba, kind)).map_err(|_| Error::OutOfMemory { lba })
    }
}

/// MBR types that the table itself uses and that are no partitions.
pub(crate) fn is_extended(kind: u8) -> bool {
    kind == types::MBR_EXTENDED || kind == types::MBR_EXTENDED_LBA
}
