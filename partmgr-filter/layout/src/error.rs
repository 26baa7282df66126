// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be wrong with a partition table, fatal or not, with the sector where it was found.

use core::fmt;

/// Why a disk's layout could not be read at all. `E` is the reader's own error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The caller could not read a sector.
    Read {
        /// Sector that was asked for.
        lba: u64,
        /// The caller's reason.
        source: E,
    },
    /// Sector sizes other than 512 and 4096 bytes exist on no disk that Windows partitions.
    SectorSize {
        /// Bytes that the caller named.
        bytes: u32,
    },
    /// The disk has no sectors, or more bytes than 2^63.
    DiskSize {
        /// Sectors that the caller named.
        sectors: u64,
    },
    /// The protective MBR promises a GPT, and neither of its copies is valid.
    NoValidGpt {
        /// What is wrong with the primary copy, and where.
        primary: Finding,
        /// What is wrong with the backup copy, and where.
        backup: Finding,
    },
    /// An allocation failed.
    OutOfMemory {
        /// Sector whose content was to be kept.
        lba: u64,
    },
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { lba, source } => write!(f, "cannot read sector {lba} of the partition table: {source}"),
            Self::SectorSize { bytes } => write!(f, "sector size of {bytes} bytes: only 512 and 4096 are supported"),
            Self::DiskSize { sectors } => write!(f, "a disk of {sectors} sectors cannot hold a partition table"),
            Self::NoValidGpt { primary, backup } => {
                write!(f, "no valid GPT: primary: {primary}; backup: {backup}")
            }
            Self::OutOfMemory { lba } => write!(f, "out of memory while reading the partition table at sector {lba}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for Error<E> {}

/// Damage in a partition table that was worked around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Sector where it was found.
    pub lba: u64,
    /// What was found there.
    pub kind: FindingKind,
}

impl Finding {
    pub(crate) const fn new(lba: u64, kind: FindingKind) -> Self {
        Self { lba, kind }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sector {}: {}", self.lba, self.kind)
    }
}

/// The kinds of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindingKind {
    /// The sector lies outside the disk or could not be read.
    Unreadable,
    /// GPT header: no `EFI PART`.
    GptSignature,
    /// GPT header: revision with a major number other than 1.
    GptRevision {
        /// The field's value; 0x00010000 is 1.0.
        value: u32,
    },
    /// GPT header: size below 92 bytes or above a sector.
    GptHeaderSize {
        /// The field's value in bytes.
        value: u32,
    },
    /// GPT header: checksum.
    GptHeaderCrc {
        /// Checksum in the header.
        stored: u32,
        /// Checksum of what is there.
        computed: u32,
    },
    /// GPT header: it says that it lives at another sector.
    GptMyLba {
        /// The field's value.
        value: u64,
    },
    /// GPT header: entry size no power of two from 128, or more entries than the limit, or an array outside the disk.
    GptEntryArray {
        /// First sector of the array.
        first: u64,
        /// Number of entries.
        entries: u32,
        /// Bytes of each.
        entry_size: u32,
    },
    /// GPT entries: checksum.
    GptArrayCrc {
        /// Checksum in the header.
        stored: u32,
        /// Checksum of what is there.
        computed: u32,
    },
    /// The partition starts past the end of the disk, or ends before it starts, and was left out.
    OutsideDisk {
        /// Table slot, numbered as in [`crate::Partition::slot`].
        slot: u32,
    },
    /// The partition reaches past the end of the disk and was cut there.
    Truncated {
        /// Table slot, numbered as in [`crate::Partition::slot`].
        slot: u32,
    },
    /// More than one extended partition in the MBR; only the first is followed, as Windows does.
    SecondExtended {
        /// Table slot, 1 to 4.
        slot: u32,
    },
    /// Extended sector: no 0x55AA. The chain ends here.
    ExtendedSignature,
    /// Extended sector: it links outside the extended partition. The chain ends here.
    ExtendedLink {
        /// Sector that the link names.
        target: u64,
    },
    /// Extended sector: it links to one that was already visited. The chain ends here.
    ExtendedLoop {
        /// Sector that the link names.
        target: u64,
    },
    /// The chain of extended sectors is longer than [`crate::MAX_LOGICAL`]; the rest is ignored.
    ExtendedTooLong,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => write!(f, "outside the disk or unreadable"),
            Self::GptSignature => write!(f, "GPT header: signature is not 'EFI PART'"),
            Self::GptRevision { value } => write!(f, "GPT header: revision {value:#x} is not 1.x"),
            Self::GptHeaderSize { value } => write!(f, "GPT header: header size of {value} bytes"),
            Self::GptHeaderCrc { stored, computed } => {
                write!(f, "GPT header: checksum is {stored:#010x}, content gives {computed:#010x}")
            }
            Self::GptMyLba { value } => {
                write!(f, "GPT header: says that it lies at sector {value}")
            }
            Self::GptEntryArray { first, entries, entry_size } => {
                write!(f, "GPT header: {entries} entries of {entry_size} bytes from sector {first} are not possible")
            }
            Self::GptArrayCrc { stored, computed } => {
                write!(f, "GPT entries: checksum is {stored:#010x}, content gives {computed:#010x}")
            }
            Self::OutsideDisk { slot } => {
                write!(f, "slot {slot}: partition lies outside the disk, ignored")
            }
            Self::Truncated { slot } => write!(f, "slot {slot}: partition reaches past the end of the disk, cut"),
            Self::SecondExtended { slot } => {
                write!(f, "slot {slot}: second extended partition, ignored")
            }
            Self::ExtendedSignature => write!(f, "extended partition: no 0x55AA, chain ends here"),
            Self::ExtendedLink { target } => {
                write!(f, "extended partition: link to sector {target} leaves it, chain ends here")
            }
            Self::ExtendedLoop { target } => {
                write!(f, "extended partition: link to sector {target} makes a loop, chain ends here")
            }
            Self::ExtendedTooLong => write!(f, "extended partition: too many logical partitions, rest ignored"),
        }
    }
}
