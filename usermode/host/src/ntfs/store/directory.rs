// SPDX-License-Identifier: MIT OR Apache-2.0
//! File operations in `System Volume Information` of an ntfs-3g mount, private or not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Filling;
use super::mounted::write_filling;
use super::security::{Kind, protect};
use crate::ntfs::diff_area::DIRECTORY;
use crate::ntfs::error::{Error, Result};

/// Names of files that exist only while a call lasts; what a crash left is removed by the next call.
pub(super) const TEMPORARY: &str = "vsshost-";

/// The directory under a mount.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    path: PathBuf,
}

/// Wraps a system error with what was done to which path.
fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

impl Directory {
    /// The directory under `mount`; made, protected, if missing. ntfs-3g minds case, NTFS does not, so it is searched
    /// for in any case.
    pub(super) fn open(mount: &Path) -> Result<Self> {
        let listing = fs::read_dir(mount).map_err(file_error("cannot list", mount))?;
        for entry in listing {
            let entry = entry.map_err(file_error("cannot list", mount))?;
            if entry.file_name().to_string_lossy().eq_ignore_ascii_case(DIRECTORY) {
                return Ok(Self { path: entry.path() });
            }
        }
        let path = mount.join(DIRECTORY);
        fs::create_dir(&path).map_err(file_error("cannot make directory", &path))?;
        File::open(&path)
            .and_then(|directory| protect(directory, Kind::Directory))
            .map_err(file_error("cannot protect", &path))?;
        Ok(Self { path })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes an empty file, protected as a store is.
    pub(super) fn create(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::Exists(name.into()),
            _ => file_error("cannot make", &path)(error),
        })?;
        let done = protect(&file, Kind::File).and_then(|()| file.sync_all());
        done.map_err(file_error("cannot protect", &path))
    }

    /// Makes a file of `bytes` without protecting it or waiting until it is durable: one that may be thrown away at once.
    pub(super) fn scatter(&self, name: &str, bytes: u64, filling: Filling) -> Result<()> {
        let path = self.file(name);
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        made.and_then(|file| write_filling(&file, 0, bytes, filling)).map_err(file_error("cannot make", &path))
    }

    /// Gives a file the protection of a store.
    pub(super) fn protect(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        let file = File::open(&path).map_err(file_error("cannot open", &path))?;
        protect(&file, Kind::File).map_err(file_error("cannot protect", &path))
    }

    /// Cuts the file; ntfs-3g frees the clusters past the end and touches no other.
    pub(super) fn cut(&self, name: &str, bytes: u64) -> Result<()> {
        let path = self.file(name);
        let file = OpenOptions::new().write(true).open(&path).map_err(file_error("cannot open", &path))?;
        file.set_len(bytes).and_then(|()| file.sync_all()).map_err(file_error("cannot truncate", &path))
    }

    /// Renames inside the directory.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.file(from), self.file(to));
        fs::rename(&from, &to).map_err(file_error("cannot rename", &from))
    }

    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        fs::remove_file(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NotFound(name.into()),
            _ => file_error("cannot remove", &path)(error),
        })
    }

    /// Removes temporary files, also those of a call that was cut off.
    pub(super) fn sweep(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path).map_err(file_error("cannot list", &self.path))? {
            let entry = entry.map_err(file_error("cannot list", &self.path))?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
                fs::remove_file(entry.path()).map_err(file_error("cannot remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// Makes what was done durable and visible on the device below.
    pub(super) fn sync(&self) -> Result<()> {
        let directory = File::open(&self.path).map_err(file_error("cannot open", &self.path))?;
        rustix::fs::syncfs(directory).map_err(io::Error::from).map_err(file_error("cannot sync", &self.path))
    }
}
