// SPDX-License-Identifier: MIT OR Apache-2.0
//! The boot sector: is it NTFS, and how big are its units.

use super::error::{Error, Result};
use super::view::View;
use crate::device::BlockDevice;

/// Larger file records do not occur (1024 bytes, or 4096 on disks with 4 KiB sectors).
const MAX_FILE_RECORD: u32 = 0x1_0000;

/// No device is larger; keeps every sum of an offset and a length in range.
const MAX_DEVICE: u64 = 1 << 56;

/// Bytes that may be read for the boot sector; the crate reads it field by field.
const BUDGET: u64 = 1 << 20;

/// Sizes of a volume, from its boot sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes a cluster: a power of two, 512 to 2 MiB.
    pub cluster_size: u64,
    /// Bytes a sector: a power of two, 512 to 4096.
    pub sector_size: u64,
    /// Sectors of the file system, without the backup boot sector that follows them.
    pub total_sectors: u64,
    /// Whole clusters of the file system.
    pub clusters: u64,
    /// Bytes of the volume as the snapshot catalogue counts them: (total sectors + 1) x sector size.
    pub volume_size: u64,
    /// Volume serial number.
    pub serial: u64,
    /// Bytes a file record.
    pub file_record_size: u64,
}

/// Whether the device starts with a sound NTFS boot sector. Only a failing device is an error.
pub fn is_ntfs(device: &dyn BlockDevice) -> Result<bool> {
    match Geometry::read(device) {
        Ok(_) => Ok(true),
        Err(Error::NotNtfs(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Geometry {
    /// Reads the boot sector. [`Error::NotNtfs`] where it is none or promises more than the device has.
    pub fn read(device: &dyn BlockDevice) -> Result<Self> {
        let size = device.size();
        if !(4096..=MAX_DEVICE).contains(&size) {
            return Err(Error::NotNtfs(format!("device of {size} bytes")));
        }
        let mut sector = [0; 512];
        device.read_at(&mut sector, 0).map_err(|source| Error::Device { what: "boot sector", offset: 0, source })?;
        // The crate does not look at the name: FAT and exFAT have the same signature bytes.
        if sector[3..11] != *b"NTFS    " {
            return Err(Error::NotNtfs("boot sector has another file system's name, or none".into()));
        }
        let ntfs =
            View::new(device, None, BUDGET).run("boot sector", ntfs::Ntfs::new).map_err(|error| match error {
                Error::Damaged { detail, .. } => Error::NotNtfs(detail),
                error => error,
            })?;
        let geometry = Self {
            cluster_size: ntfs.cluster_size().into(),
            sector_size: ntfs.sector_size().into(),
            total_sectors: ntfs.size() / u64::from(ntfs.sector_size()),
            clusters: ntfs.size() / u64::from(ntfs.cluster_size()),
            volume_size: ntfs.size().saturating_add(ntfs.sector_size().into()),
            serial: ntfs.serial_number(),
            file_record_size: ntfs.file_record_size().into(),
        };
        if ntfs.size() > size {
            return Err(Error::NotNtfs(format!("file system of {} bytes on a device of {size}", ntfs.size())));
        }
        if geometry.clusters == 0
            || ntfs.file_record_size() > MAX_FILE_RECORD
            || !geometry.file_record_size.is_multiple_of(512)
        {
            return Err(Error::NotNtfs(format!("boot sector with impossible sizes: {geometry:?}")));
        }
        Ok(geometry)
    }

    /// Bytes that clusters cover; the backup boot sector and any odd sectors lie past it.
    pub fn cluster_bytes(&self) -> u64 {
        self.clusters * self.cluster_size
    }
}
