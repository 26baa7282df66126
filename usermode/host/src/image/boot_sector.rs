// SPDX-License-Identifier: MIT OR Apache-2.0
//! The few fields of an NTFS boot sector that tell that it is one, and how large the volume is.

use zerocopy::{FromBytes, Immutable, KnownLayout, LittleEndian, U16, U64};

/// Layout of the NTFS boot sector as published by Microsoft ('NTFS boot sector', BIOS parameter block).
#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Raw {
    jump: [u8; 3],
    oem_id: [u8; 8],
    bytes_per_sector: U16<LittleEndian>,
    sectors_per_cluster: u8,
    unused: [u8; 26],
    total_sectors: U64<LittleEndian>,
    rest: [u8; 462],
    signature: [u8; 2],
}

/// What the boot sector of an NTFS volume says about its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NtfsBootSector {
    /// Bytes per sector: 256 to 4096, a power of two.
    pub bytes_per_sector: u32,
    /// Sectors of the file system. The backup boot sector behind it is not counted.
    pub total_sectors: u64,
}

impl NtfsBootSector {
    /// Bytes of a sector that are looked at.
    pub const LENGTH: usize = size_of::<Raw>();

    /// Reads it from the first [`Self::LENGTH`] bytes of a volume; `None` where that is no NTFS boot sector.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (raw, _) = Raw::ref_from_prefix(bytes).ok()?;
        let bytes_per_sector = u32::from(raw.bytes_per_sector.get());
        let total_sectors = raw.total_sectors.get();
        let valid = raw.oem_id == *b"NTFS    "
            && raw.signature == [0x55, 0xaa]
            && bytes_per_sector.is_power_of_two()
            && (256..=4096).contains(&bytes_per_sector)
            && total_sectors > 0
            // The size below, with the backup sector, must be a number of bytes.
            && total_sectors < u64::MAX / 8192;
        valid.then_some(Self { bytes_per_sector, total_sectors })
    }

    /// Bytes of the volume device: the file system and its backup boot sector, as Windows counts it.
    pub fn volume_size(&self) -> u64 {
        (self.total_sectors + 1) * u64::from(self.bytes_per_sector)
    }

    /// Bytes of the file system alone, without the backup boot sector.
    pub fn file_system_size(&self) -> u64 {
        self.total_sectors * u64::from(self.bytes_per_sector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(bytes_per_sector: u16, total: u64) -> [u8; 512] {
        let mut sector = [0; 512];
        sector[3..11].copy_from_slice(b"NTFS    ");
        sector[11..13].copy_from_slice(&bytes_per_sector.to_le_bytes());
        sector[40..48].copy_from_slice(&total.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn size_counts_the_backup_sector() {
        let boot = NtfsBootSector::parse(&sector(512, 0x1f_ffff)).expect("a boot sector");
        assert_eq!(boot.volume_size(), 0x4000_0000);
        let boot = NtfsBootSector::parse(&sector(4096, 99)).expect("a boot sector");
        assert_eq!((boot.volume_size(), boot.file_system_size()), (409_600, 405_504));
    }

    #[test]
    fn others_are_none() {
        assert_eq!(NtfsBootSector::parse(&[]), None);
        assert_eq!(NtfsBootSector::parse(&[0; 4096]), None);
        for (size, total) in [(0, 9), (513, 9), (8192, 9), (512, 0), (512, u64::MAX), (4096, u64::MAX / 4096)] {
            assert_eq!(NtfsBootSector::parse(&sector(size, total)), None, "{size} {total}");
        }
        let mut unsigned = sector(512, 9);
        unsigned[511] = 0;
        assert_eq!(NtfsBootSector::parse(&unsigned), None);
    }
}
