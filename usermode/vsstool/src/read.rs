// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading structures from a volume: bounded, each block once, and with errors that say where.

use crate::block_set::{BlockSet, SetFull};
use crate::source::Role;
use ondisk::{BLOCK_LEN, BLOCK_SIZE, BlockHeader, BlockType, FormatError, Structure};
use ondisk::{VOLUME_HEADER_LEN, VOLUME_HEADER_OFFSET, VolumeHeader};
use std::io;
use vsshost::device::BlockDevice;
use vsshost::image::Volume;

/// Why a structure could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The bytes are not what the format says.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The structure would lie past the end of the volume.
    #[error("{structure}: offset {offset:#x}: {}", self.reason())]
    PastEnd {
        /// What was to be read.
        structure: Structure,
        /// Where, in bytes on the volume.
        offset: u64,
        /// Bytes that the volume has.
        size: u64,
    },
    /// The block is part of something that was read before.
    #[error("{structure}: offset {offset:#x}: {}", self.reason())]
    SeenBefore {
        /// What was to be read.
        structure: Structure,
        /// Where, in bytes on the volume.
        offset: u64,
    },
    /// The image failed.
    #[error("{structure}: offset {offset:#x}: {source}")]
    Device {
        /// What was to be read.
        structure: Structure,
        /// Where, in bytes on the volume.
        offset: u64,
        /// The system's reason.
        source: io::Error,
    },
    /// More blocks than are kept track of.
    #[error("{structure}: offset {offset:#x}: {source}")]
    TooMany {
        /// What was to be read.
        structure: Structure,
        /// Where, in bytes on the volume.
        offset: u64,
        /// The set's reason.
        source: SetFull,
    },
}

impl ReadError {
    /// What is wrong, without structure and offset.
    pub(crate) fn reason(&self) -> String {
        match self {
            ReadError::Format(error) => format!("{}: {}", error.field, error.problem),
            ReadError::PastEnd { size, .. } => format!("past the end of the volume ({size:#x})"),
            ReadError::SeenBefore { .. } => {
                "the block is in use already: a chain loops, or two structures share it".to_owned()
            }
            ReadError::Device { source, .. } => source.to_string(),
            ReadError::TooMany { source, .. } => source.to_string(),
        }
    }

    /// What was to be read.
    pub(crate) fn structure(&self) -> Structure {
        match self {
            ReadError::Format(error) => error.structure,
            ReadError::PastEnd { structure, .. }
            | ReadError::SeenBefore { structure, .. }
            | ReadError::Device { structure, .. }
            | ReadError::TooMany { structure, .. } => *structure,
        }
    }

    /// Where, in bytes on the volume.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            ReadError::Format(error) => error.offset,
            ReadError::PastEnd { offset, .. }
            | ReadError::SeenBefore { offset, .. }
            | ReadError::Device { offset, .. }
            | ReadError::TooMany { offset, .. } => *offset,
        }
    }
}

/// A metadata block with its bytes.
pub(crate) struct Block {
    /// Where it lies, in bytes on the volume.
    pub(crate) at: u64,
    /// Its header.
    pub(crate) header: BlockHeader,
    /// All 16 KiB.
    pub(crate) bytes: Vec<u8>,
}

/// Reads structures of one volume, and remembers which blocks they took.
pub(crate) struct Reader<'v> {
    /// The volume.
    pub(crate) volume: &'v Volume,
    /// Which of the two it is.
    pub(crate) role: Role,
    /// Blocks that a structure has taken. No block belongs to two structures, which also ends every loop, and keeps
    /// the work within the size of the image however many entries point into one chain.
    pub(crate) used: BlockSet,
}

impl<'v> Reader<'v> {
    /// A reader that has read nothing yet.
    pub(crate) fn new(volume: &'v Volume, role: Role) -> Self {
        Reader { volume, role, used: BlockSet::default() }
    }

    /// Bytes of the volume.
    pub(crate) fn size(&self) -> u64 {
        self.volume.size()
    }

    /// The bytes of the volume header.
    pub(crate) fn volume_header_bytes(&self) -> Result<[u8; VOLUME_HEADER_LEN], ReadError> {
        let mut bytes = [0; VOLUME_HEADER_LEN];
        self.read(&mut bytes, VOLUME_HEADER_OFFSET, Structure::VolumeHeader)?;
        Ok(bytes)
    }

    /// The volume header, `None` where there is none.
    pub(crate) fn volume_header(&self) -> Result<Option<VolumeHeader>, ReadError> {
        Ok(VolumeHeader::parse(&self.volume_header_bytes()?)?)
    }

    /// Takes the block at `at` for `structure`.
    pub(crate) fn take(&mut self, at: u64, structure: Structure) -> Result<(), ReadError> {
        let size = self.size();
        if at.checked_add(BLOCK_SIZE).is_none_or(|end| end > size) {
            return Err(ReadError::PastEnd { structure, offset: at, size });
        }
        match self.used.insert(at / BLOCK_SIZE) {
            Ok(true) => Ok(()),
            Ok(false) => Err(ReadError::SeenBefore { structure, offset: at }),
            Err(source) => Err(ReadError::TooMany { structure, offset: at, source }),
        }
    }

    /// Reads the block of type `kind` at `at`, and takes it.
    pub(crate) fn block(&mut self, at: u64, kind: BlockType) -> Result<Block, ReadError> {
        let structure = kind.structure();
        self.take(at, structure)?;
        let mut bytes = vec![0; BLOCK_LEN];
        self.read(&mut bytes, at, structure)?;
        let header = BlockHeader::parse(&bytes, at, kind)?;
        Ok(Block { at, header, bytes })
    }

    /// The blocks of the chain that starts at `first`; none where that is 0. Ends after the first error.
    pub(crate) fn chain(&mut self, first: u64, kind: BlockType) -> Chain<'_, 'v> {
        Chain { reader: self, kind, next: first }
    }

    fn read(&self, bytes: &mut [u8], offset: u64, structure: Structure) -> Result<(), ReadError> {
        let size = self.size();
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > size) {
            return Err(ReadError::PastEnd { structure, offset, size });
        }
        self.volume.read_at(bytes, offset).map_err(|source| ReadError::Device { structure, offset, source })
    }
}

/// Walks a chain of blocks.
pub(crate) struct Chain<'r, 'v> {
    reader: &'r mut Reader<'v>,
    kind: BlockType,
    next: u64,
}

impl Iterator for Chain<'_, '_> {
    type Item = Result<Block, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == 0 {
            return None;
        }
        let block = self.reader.block(self.next, self.kind);
        self.next = block.as_ref().map_or(0, |block| block.header.next);
        Some(block)
    }
}
