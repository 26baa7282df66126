// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one error of this module: what went wrong, and where.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What reading a volume or making a store file can end with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device below failed.
    #[error("{what} at volume offset {offset:#x}: {source}")]
    Device {
        /// What was being read.
        what: &'static str,
        /// Bytes from the start of the volume.
        offset: u64,
        /// The device's own error.
        source: io::Error,
    },
    /// The boot sector is not one of an NTFS volume.
    #[error("not an NTFS volume: {0}")]
    NotNtfs(String),
    /// A structure of the file system contradicts itself or the device.
    #[error("damaged NTFS, {what}: {detail}")]
    Damaged {
        /// The structure, with its record number where it has one.
        what: String,
        /// The contradiction.
        detail: String,
    },
    /// Right NTFS, but more than this reader takes on.
    #[error("{what}: {detail}")]
    Unsupported {
        /// The structure or file.
        what: String,
        /// The limit.
        detail: String,
    },
    /// No file of that name or reference.
    #[error("no such file on the volume: {0}")]
    NotFound(String),
    /// A file of that name exists already.
    #[error("exists already on the volume: {0}")]
    Exists(String),
    /// The file system (or linear space) has too little room.
    #[error("no space on the volume for {what}: {needed} bytes needed, {free} bytes free")]
    NoSpace {
        /// The file to be made or grown.
        what: String,
        /// Bytes that had to be allocated.
        needed: u64,
        /// Bytes that were free.
        free: u64,
    },
    /// There is room, but no aligned run could be had.
    #[error(
        "{what}: no contiguous 64 KiB at a 16 KiB boundary of the volume after {attempts} attempts; free space is too fragmented"
    )]
    Alignment {
        /// The file that needed it.
        what: String,
        /// How many candidates were allocated and looked at.
        attempts: u32,
    },
    /// A store file cannot grow without its saved blocks being overwritten.
    #[error(
        "{name}: its valid data ends at {valid} of {size} bytes; growing it through the mount would overwrite the \
         saved blocks with zeros; unmount the volume, or serve it with its diff area shielded"
    )]
    GrowWouldZero {
        /// File name.
        name: String,
        /// Initialized size, bytes.
        valid: u64,
        /// Data size, bytes.
        size: u64,
    },
    /// The file system must first be repaired or cleanly shut down by its owner.
    #[error("{volume}: {state}; not touched. {advice}")]
    NotClean {
        /// Path of the volume.
        volume: PathBuf,
        /// What ntfs-3g found.
        state: &'static str,
        /// What a person can do.
        advice: &'static str,
    },
    /// Somebody else has the volume open or mounted.
    #[error("{0} is in use by another program or mount; give its mount point instead")]
    InUse(PathBuf),
    /// A mount point shows another file system than the device.
    #[error("{mount_point} is not a mount of this volume: {detail}")]
    OtherVolume {
        /// The mount point as given.
        mount_point: PathBuf,
        /// What did not match.
        detail: String,
    },
    /// A program that makes the files is not installed.
    #[error("{program} is not installed (Debian package {package})")]
    ProgramMissing {
        /// Program name.
        program: &'static str,
        /// Package that brings it.
        package: &'static str,
    },
    /// An external program failed.
    #[error("{command} failed ({status}): {output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// Its error output, shortened.
        output: String,
    },
    /// Something took longer than it may; it was killed or abandoned.
    #[error("{what} did not end within {limit:?}")]
    TimedOut {
        /// The command or the operation on the mount.
        what: String,
        /// The limit.
        limit: Duration,
    },
    /// A file operation on a mount point failed.
    #[error("{what} {path}: {source}")]
    File {
        /// The operation.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file was made, but the volume below the mount does not show what was asked for.
    #[error("{what}: {detail}")]
    NotAsAsked {
        /// The file.
        what: String,
        /// The difference.
        detail: String,
    },
}

/// Result with this module's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Shorthand for [`Error::Damaged`].
pub(super) fn damaged(what: impl Into<String>, detail: impl Into<String>) -> Error {
    Error::Damaged { what: what.into(), detail: detail.into() }
}
