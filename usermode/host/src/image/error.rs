// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why an image could not be opened, or no volume was found in it. Every message starts with the path.

use std::io;
use std::path::PathBuf;

/// Errors of opening an image and finding the volume in it. Later I/O reports [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The system refused.
    #[error("{path}: cannot {doing}: {source}", path = path.display())]
    Io {
        /// The image.
        path: PathBuf,
        /// What was tried, as in 'cannot ...'.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Neither a regular file nor a block device.
    #[error("{path}: is {what}, not an image file or a block device", path = path.display())]
    NotAnImage {
        /// The path.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// A container format, not the disk's bytes.
    #[error(
        "{path}: is a {format} image, and only raw images can be used. Convert it: {convert}",
        path = path.display()
    )]
    Container {
        /// The image.
        path: PathBuf,
        /// Name of the format.
        format: &'static str,
        /// The command that makes a raw image of it.
        convert: String,
    },
    /// Somebody else has it.
    #[error("{path}: is in use by {holder}{hint}", path = path.display())]
    InUse {
        /// The image.
        path: PathBuf,
        /// Who, as far as it can be told.
        holder: String,
        /// What to do about it, starting with a separator; may be empty.
        hint: &'static str,
    },
    /// The partition table could not be read.
    #[error("{path}: {reason}", path = path.display())]
    Table {
        /// The image.
        path: PathBuf,
        /// The table's own error text, which names the sector.
        reason: String,
    },
    /// No NTFS volume that could be meant without being named.
    #[error("{path}: {reason}\n{places}", path = path.display())]
    Ambiguous {
        /// The image.
        path: PathBuf,
        /// No volume, or several.
        reason: &'static str,
        /// The partitions, one a line.
        places: String,
    },
    /// The partition that was asked for does not exist.
    #[error("{path}: has no partition {number}\n{places}", path = path.display())]
    NoSuchPartition {
        /// The image.
        path: PathBuf,
        /// The number that was asked for.
        number: u32,
        /// The partitions that exist, one a line.
        places: String,
    },
    /// The offset that was asked for is not in the image, or not on a sector boundary.
    #[error("{path}: offset {offset} {reason} (the image has {size} bytes)", path = path.display())]
    BadOffset {
        /// The image.
        path: PathBuf,
        /// Bytes that were asked for.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
        /// Bytes that the image has.
        size: u64,
    },
    /// The volume's own size does not fit where it lies: writing would be dangerous.
    #[error(
        "{path}: the NTFS volume at byte {offset} says it has {claimed} bytes, but only {present} are there; \
         a truncated volume is opened read-only or not at all",
        path = path.display()
    )]
    Truncated {
        /// The image.
        path: PathBuf,
        /// Where the volume starts, in bytes.
        offset: u64,
        /// Bytes by the boot sector.
        claimed: u64,
        /// Bytes that exist.
        present: u64,
    },
    /// A volume specification that cannot be read as one.
    #[error("'{text}': {reason}")]
    BadSpec {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}
