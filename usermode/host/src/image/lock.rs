// SPDX-License-Identifier: MIT OR Apache-2.0
//! One writer per image.
//!
//! Two locks, because nobody respects both: flock(2) is what udev honours on devices and what names a second host in
//! /proc/locks; the record lock is what ntfs-3g and qemu take, so it keeps them off and finds them. The record lock
//! belongs to the open file description: an ordinary one would vanish with any other descriptor of the same file. A
//! loop device takes no lock at all and is looked up in /sys.

use super::{Access, ImageError};
use nix::fcntl::{FcntlArg, fcntl};
use rustix::fs::{FlockOperation, flock, fstat, major, minor};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// udev probes a block device for a moment under a lock whenever its writer closes it: worth waiting for.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

const HINT: &str = "; stop it first";

/// Locks the image for as long as `file` is open.
pub(super) fn lock(file: &File, path: &Path, access: Access) -> Result<(), ImageError> {
    let (operation, kind) = match access {
        Access::ReadOnlyUnlocked => return Ok(()),
        Access::ReadOnly => (FlockOperation::NonBlockingLockShared, libc::F_RDLCK),
        Access::ReadWrite => (FlockOperation::NonBlockingLockExclusive, libc::F_WRLCK),
    };
    let failed = |source| ImageError::Io { path: path.to_owned(), doing: "lock", source };
    let in_use = |holder| ImageError::InUse { path: path.to_owned(), holder, hint: HINT };

    if access == Access::ReadWrite
        && let Some(device) = loop_device(file)
    {
        return Err(in_use(format!("the loop device {device}")));
    }
    for attempt in 1.. {
        match flock(file, operation) {
            Ok(()) => break,
            Err(error) if error != rustix::io::Errno::WOULDBLOCK => return Err(failed(error.into())),
            Err(_) if attempt == ATTEMPTS => return Err(in_use(flock_holder(file))),
            Err(_) => sleep(PAUSE),
        }
    }
    match fcntl(file, FcntlArg::F_OFD_SETLK(&record(kind))) {
        Ok(_) => Ok(()),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Err(in_use(record_holder(file, kind))),
        Err(error) => Err(failed(io::Error::from(error))),
    }
}

/// The whole file, however far it grows.
fn record(kind: libc::c_int) -> libc::flock {
    // The lock types are 0, 1 and 2; the structure's field is narrower than the constants.
    let l_type = kind as libc::c_short;
    libc::flock { l_type, l_whence: libc::SEEK_SET as libc::c_short, l_start: 0, l_len: 0, l_pid: 0 }
}

fn record_holder(file: &File, kind: libc::c_int) -> String {
    let mut conflict = record(kind);
    let asked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut conflict));
    // -1 stands for a lock like ours, which belongs to no process: qemu.
    match asked {
        Ok(_) if conflict.l_pid > 0 => process(conflict.l_pid.cast_unsigned()),
        _ => "another program that locked it (qemu, for example)".to_owned(),
    }
}

/// Finds the other flock in /proc/locks: `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`, device in hexadecimal.
fn flock_holder(file: &File) -> String {
    let unknown = || "another program that locked it".to_owned();
    let (Ok(stat), Ok(locks)) = (fstat(file), fs::read_to_string("/proc/locks")) else { return unknown() };
    let wanted = format!("{:02x}:{:02x}:{}", major(stat.st_dev), minor(stat.st_dev), stat.st_ino);
    let holder = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().filter(|field| *field != "->").collect();
        match fields.as_slice() {
            [_, "FLOCK", _, _, pid, place, ..] if *place == wanted => pid.parse().ok(),
            _ => None,
        }
    });
    holder.map_or_else(unknown, process)
}

fn process(pid: u32) -> String {
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (process {pid})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

/// The loop device that is set up on this file, if any. Nothing else would show it: loop devices take no locks.
fn loop_device(file: &File) -> Option<String> {
    let own = file.metadata().ok()?;
    fs::read_dir("/sys/block").ok()?.flatten().find_map(|entry| {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        let other = fs::metadata(backing.trim_end_matches('\n')).ok()?;
        let same = (other.dev(), other.ino()) == (own.dev(), own.ino());
        same.then(|| format!("/dev/{}", entry.file_name().to_string_lossy()))
    })
}
