// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directory that a tree is mounted on: what can be wrong with it, and getting the mount off it again.

use super::tree::OpenFile;
use rustix::fs::{AtFlags, CWD, FsWord, StatxFlags, statfs, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Magic number of FUSE file systems (linux/magic.h).
const FUSE_SUPER_MAGIC: FsWord = 0x6573_5546;

/// What the kernel reads ahead at most, in KiB; also the largest single request.
const READ_AHEAD_KIB: &str = "1024";

/// Errors of mounting and unmounting. Every message starts with the mount point.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// A server died and left its mount behind.
    #[error(
        "{path}: is still mounted by a server that has died ('Transport endpoint is not connected'); \
         remove that mount with: fusermount3 -u -z '{path}'  (as root: umount -l '{path}')",
        path = path.display()
    )]
    Stale {
        /// The mount point.
        path: PathBuf,
    },
    /// Another FUSE server is mounted here, and alive.
    #[error("{path}: another FUSE file system is mounted here; unmount it or choose another directory", path = path.display())]
    AlreadyMounted {
        /// The mount point.
        path: PathBuf,
    },
    /// The mount point is no directory.
    #[error("{path}: is not a directory", path = path.display())]
    NotADirectory {
        /// The mount point.
        path: PathBuf,
    },
    /// /dev/fuse does not exist.
    #[error("{path}: this system has no /dev/fuse; load the module (modprobe fuse), or give the container the device", path = path.display())]
    NoFuse {
        /// The mount point.
        path: PathBuf,
    },
    /// Files are open, or somebody's working directory is here.
    #[error("{path}: cannot be unmounted, in use by {users}", path = path.display(), users = Users(open))]
    Busy {
        /// The mount point.
        path: PathBuf,
        /// The open files; empty when it is a working directory that keeps it busy.
        open: Vec<OpenFile>,
    },
    /// The system refused.
    #[error("{path}: cannot {doing}: {source}", path = path.display())]
    Io {
        /// The mount point.
        path: PathBuf,
        /// What was tried, as in 'cannot ...'.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

struct Users<'a>(&'a [OpenFile]);

impl fmt::Display for Users<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(f, "a process whose working directory it is");
        }
        for (index, file) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let name = fs::read_to_string(format!("/proc/{}/comm", file.pid)).unwrap_or_default();
            write!(f, "{comma}{} (process {}, file {})", name.trim_end(), file.pid, file.name)?;
        }
        Ok(())
    }
}

/// Looks whether a tree can be mounted here, and answers with the path without links.
pub(super) fn check(path: &Path) -> Result<PathBuf, MountError> {
    let failed = |doing| move |source| MountError::Io { path: path.to_owned(), doing, source };
    // The kernel may remember the attributes of a dead server's root for a while; a statfs is asked of the server.
    if matches!(statfs(path), Err(Errno::NOTCONN)) {
        return Err(MountError::Stale { path: path.to_owned() });
    }
    let metadata = match path.metadata() {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => {
            return Err(MountError::Stale { path: path.to_owned() });
        }
        other => other.map_err(failed("use it as a mount point"))?,
    };
    if !metadata.is_dir() {
        return Err(MountError::NotADirectory { path: path.to_owned() });
    }
    if !Path::new("/dev/fuse").exists() {
        return Err(MountError::NoFuse { path: path.to_owned() });
    }
    let real = path.canonicalize().map_err(failed("use it as a mount point"))?;
    let is_fuse = statfs(&real).is_ok_and(|found| found.f_type == FUSE_SUPER_MAGIC);
    if is_fuse && is_mount_root(&real) {
        return Err(MountError::AlreadyMounted { path: real });
    }
    Ok(real)
}

fn is_mount_root(path: &Path) -> bool {
    let parent = path.parent().and_then(|parent| Mounted::at(parent).ok());
    Mounted::at(path).ok().map(|mounted| mounted.id) != parent.map(|mounted| mounted.id)
}

/// Removes the mount of a server that died. False where there is none: `path` is left alone then.
///
/// # Errors
/// [`MountError::Io`] when the system refuses.
pub fn clear_stale(path: &Path) -> Result<bool, MountError> {
    match check(path) {
        Err(MountError::Stale { .. }) => {
            let failed = |source| MountError::Io { path: path.to_owned(), doing: "remove a dead mount", source };
            unmount_path(path, true).map_err(failed)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Removes mounts of files in `folder` by others: when nothing is served there, they lost their device with the server
/// that died. Their mount points are removed, too, where they are empty.
///
/// # Errors
/// The list of mounts cannot be read, or a mount cannot be removed.
pub fn clear_mounts_of(folder: &Path) -> io::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    for line in mounts.lines() {
        let mut fields = line.split(' ').map(Path::new);
        let (Some(source), Some(place)) = (fields.next(), fields.next()) else { continue };
        if source.parent() == Some(folder) {
            unmount_path(place, true)?;
            // It was made for this mount alone; if it has anything else in it, it stays.
            let _ = std::fs::remove_dir(place);
        }
    }
    Ok(())
}

/// One particular mount, so that no other that came later at the same place is unmounted in its stead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mounted {
    id: u64,
    device: (u32, u32),
}

impl Mounted {
    /// What is mounted at `path` now. Answered from the kernel's memory: a FUSE server is not asked.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let found = statx(CWD, path, flags, StatxFlags::MNT_ID)?;
        Ok(Self { id: found.stx_mnt_id, device: (found.stx_dev_major, found.stx_dev_minor) })
    }

    /// Still what `path` leads to.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        Self::at(path).is_ok_and(|now| now == *self)
    }

    /// Lets the kernel read ahead as far as one request goes. Only root may, and nothing but speed depends on it.
    pub(super) fn raise_read_ahead(&self) {
        let (major, minor) = self.device;
        let _ = fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), READ_AHEAD_KIB);
    }
}

/// Unmounts what is at `path`: at once with `lazy`, even when files are open; else only when nobody uses it (EBUSY).
pub(super) fn unmount_path(path: &Path, lazy: bool) -> io::Result<()> {
    let flags = if lazy { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    match unmount(path, flags | UnmountFlags::NOFOLLOW) {
        // Only root may; for others there is a program with that right.
        Err(Errno::PERM) => fusermount(path, lazy),
        other => Ok(other?),
    }
}

fn fusermount(path: &Path, lazy: bool) -> io::Result<()> {
    let mut command = Command::new("fusermount3");
    command.arg("-u").args(lazy.then_some("-z")).arg("--").arg(path);
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    match text.contains("busy") {
        true => Err(io::Error::from_raw_os_error(libc::EBUSY)),
        false => Err(io::Error::other(format!("fusermount3: {}", text.trim()))),
    }
}
