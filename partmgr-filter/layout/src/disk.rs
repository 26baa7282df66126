// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way in: from sector 0 to the right kind of table.

use crate::error::{Error, Finding, FindingKind};
use crate::partition::{DiskId, Kind, Layout, Partition, types};
use crate::{gpt, mbr};
use alloc::vec::Vec;
use gpt_disk_types::MasterBootRecord;

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
    pub(crate) sector: Vec<u8>,
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
        let mut sector = Vec::new();
        let length = usize::try_from(sector_size).map_err(|_| Error::SectorSize { bytes: sector_size })?;
        sector.try_reserve_exact(length).map_err(|_| Error::OutOfMemory { lba: 0 })?;
        sector.resize(length, 0);
        Ok(Self { reader, sector_size, sectors, sector })
    }

    /// Reads sector `lba`, which must be on the disk, into `self.sector`.
    pub(crate) fn read(&mut self, lba: u64) -> Result<(), Error<R::Error>> {
        self.reader.read(lba, &mut self.sector).map_err(|source| Error::Read { lba, source })
    }

    /// The sector just read as a master boot record, if it ends in 0x55AA.
    pub(crate) fn master_boot_record(&self) -> Option<MasterBootRecord> {
        let bytes = self.sector.get(..size_of::<MasterBootRecord>())?;
        let record: MasterBootRecord = bytemuck::try_pod_read_unaligned(bytes).ok()?;
        (record.signature == [0x55, 0xaa]).then_some(record)
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
        self.partitions.try_reserve(1).map_err(|_| Error::OutOfMemory { lba: entry.lba })?;
        self.partitions.push(Partition { number, offset, length, ..entry.partition });
        Ok(())
    }

    pub(crate) fn find<E>(&mut self, lba: u64, kind: FindingKind) -> Result<(), Error<E>> {
        self.findings.try_reserve(1).map_err(|_| Error::OutOfMemory { lba })?;
        self.findings.push(Finding::new(lba, kind));
        Ok(())
    }
}

/// MBR types that the table itself uses and that are no partitions.
pub(crate) fn is_extended(kind: u8) -> bool {
    kind == types::MBR_EXTENDED || kind == types::MBR_EXTENDED_LBA
}
