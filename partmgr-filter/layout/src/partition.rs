// SPDX-License-Identifier: MIT OR Apache-2.0
//! The answer: a disk's layout and its partitions.

use crate::error::Finding;
use alloc::vec::Vec;
use core::fmt;
use gpt_disk_types::{GptPartitionName, Guid};

/// How a disk is partitioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not at all: the disk is empty, or one volume from sector 0 ('superfloppy').
    None,
    /// Master boot record, with extended partitions.
    Mbr,
    /// GUID partition table.
    Gpt,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Mbr => "MBR",
            Self::Gpt => "GPT",
        })
    }
}

/// What identifies the disk itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskId {
    /// A disk without a table has none.
    None,
    /// MBR disk signature (bytes 440 to 443 of sector 0).
    Mbr(u32),
    /// GPT disk GUID.
    Gpt(Guid),
}

/// A disk's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Kind of table.
    pub kind: Kind,
    /// Bytes per sector, 512 or 4096.
    pub sector_size: u32,
    /// Identity of the disk.
    pub disk: DiskId,
    /// The partitions, in the order of their numbers. Those that overlap each other are all listed.
    pub partitions: Vec<Partition>,
    /// Damage that was worked around.
    pub findings: Vec<Finding>,
}

/// A partition. `offset + length` never exceeds the disk and both are multiples of the sector size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// 1-based number as Windows gives it (`\Device\HarddiskX\PartitionN`): used entries in table order, logical
    /// partitions after the primary ones, no number for the extended partition.
    pub number: u32,
    /// Table slot, as Linux numbers partitions: 1 to 4 for primary, from 5 for logical ones; on GPT entry index + 1.
    pub slot: u32,
    /// First byte on the disk.
    pub offset: u64,
    /// Bytes; never 0.
    pub length: u64,
    /// What the table says that it holds.
    pub kind: PartitionType,
    /// MBR: active flag. GPT: attribute 'legacy BIOS bootable'.
    pub bootable: bool,
    /// GPT: unique GUID; zero for MBR.
    pub guid: Guid,
    /// GPT: attribute bits (UEFI 2.10 table 5-8; Windows: 60 read-only, 61 shadow copy, 62 hidden, 63 no drive letter);
    /// 0 for MBR.
    pub attributes: u64,
    /// GPT: name; empty for MBR.
    pub name: Name,
}

/// A partition's name, up to 36 UTF-16 units, shown up to the first zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name(pub(crate) [u8; 72]);

impl Name {
    pub(crate) const EMPTY: Self = Self([0; 72]);

    pub(crate) const fn new(name: GptPartitionName) -> Self {
        Self(name.0)
    }

    /// The UTF-16 units before the first zero.
    pub fn units(&self) -> impl Iterator<Item = u16> + '_ {
        let (pairs, _) = self.0.as_chunks::<2>();
        pairs.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|unit| *unit != 0)
    }

    /// Has no characters.
    pub fn is_empty(&self) -> bool {
        self.units().next().is_none()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in char::decode_utf16(self.units()) {
            fmt::Write::write_char(f, c.unwrap_or(char::REPLACEMENT_CHARACTER))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What a table says that a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionType {
    /// MBR type byte.
    Mbr(u8),
    /// GPT type GUID.
    Gpt(Guid),
}

impl PartitionType {
    /// May hold an NTFS volume, by the table's word alone: Windows uses these types for exFAT and others as well, and
    /// tools on other systems are careless with them. The boot sector decides.
    pub fn may_be_ntfs(self) -> bool {
        match self {
            Self::Mbr(byte) => matches!(byte, types::MBR_NTFS | types::MBR_HIDDEN_NTFS | types::MBR_WINDOWS_RECOVERY),
            Self::Gpt(guid) => guid == types::GPT_BASIC_DATA || guid == types::GPT_WINDOWS_RECOVERY,
        }
    }

    /// The name people know it by, where there is one.
    pub fn description(self) -> Option<&'static str> {
        Some(match self {
            Self::Mbr(types::MBR_NTFS) => "NTFS/exFAT",
            Self::Mbr(types::MBR_HIDDEN_NTFS) => "hidden NTFS",
            Self::Mbr(types::MBR_WINDOWS_RECOVERY) => "Windows recovery",
            Self::Mbr(0x01 | 0x04 | 0x06 | 0x0e) => "FAT",
            Self::Mbr(0x0b | 0x0c) => "FAT32",
            Self::Mbr(types::MBR_LDM) => "Windows dynamic disk",
            Self::Mbr(0x82) => "Linux swap",
            Self::Mbr(0x83) => "Linux",
            Self::Mbr(0x8e) => "Linux LVM",
            Self::Mbr(0xef) => "EFI system",
            Self::Gpt(types::GPT_BASIC_DATA) => "Microsoft basic data",
            Self::Gpt(types::GPT_WINDOWS_RECOVERY) => "Windows recovery",
            Self::Gpt(types::GPT_MICROSOFT_RESERVED) => "Microsoft reserved",
            Self::Gpt(types::GPT_EFI_SYSTEM) => "EFI system",
            Self::Gpt(types::GPT_LDM_DATA | types::GPT_LDM_METADATA) => "Windows dynamic disk",
            Self::Gpt(types::GPT_STORAGE_SPACES) => "Windows storage spaces",
            Self::Gpt(types::GPT_LINUX) => "Linux",
            _ => return None,
        })
    }
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr(byte) => write!(f, "{byte:#04x}")?,
            Self::Gpt(guid) => write!(f, "{guid}")?,
        }
        match self.description() {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

/// Partition types that matter to Windows volumes. Sources: Microsoft's PARTITION_INFORMATION_MBR and
/// PARTITION_INFORMATION_GPT pages.
pub mod types {
    use gpt_disk_types::{Guid, guid};

    /// NTFS, exFAT or HPFS.
    pub const MBR_NTFS: u8 = 0x07;
    /// NTFS that a boot manager hid.
    pub const MBR_HIDDEN_NTFS: u8 = 0x17;
    /// Windows recovery environment, NTFS.
    pub const MBR_WINDOWS_RECOVERY: u8 = 0x27;
    /// A dynamic disk's logical disk manager.
    pub const MBR_LDM: u8 = 0x42;
    /// Extended partition, CHS addressed.
    pub const MBR_EXTENDED: u8 = 0x05;
    /// Extended partition, LBA addressed.
    pub const MBR_EXTENDED_LBA: u8 = 0x0f;
    /// The entry that guards a GPT.
    pub const MBR_PROTECTIVE: u8 = 0xee;
    /// Windows volumes.
    pub const GPT_BASIC_DATA: Guid = guid!("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7");
    /// Windows recovery environment, NTFS.
    pub const GPT_WINDOWS_RECOVERY: Guid = guid!("de94bba4-06d1-4d40-a16a-bfd50179d6ac");
    /// Room that Windows keeps for itself; holds no volume.
    pub const GPT_MICROSOFT_RESERVED: Guid = guid!("e3c9e316-0b5c-4db8-817d-f92df00215ae");
    /// EFI system partition, FAT.
    pub const GPT_EFI_SYSTEM: Guid = guid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
    /// Data of dynamic disks.
    pub const GPT_LDM_DATA: Guid = guid!("af9b60a0-1431-4f62-bc68-3311714a69ad");
    /// Database of dynamic disks.
    pub const GPT_LDM_METADATA: Guid = guid!("5808c8aa-7e8f-42e0-85d2-e1e90434cfb3");
    /// Storage spaces.
    pub const GPT_STORAGE_SPACES: Guid = guid!("e75caf8f-f680-4cee-afa3-b001e56efc2d");
    /// Linux file system.
    pub const GPT_LINUX: Guid = guid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
}
