// SPDX-License-Identifier: MIT OR Apache-2.0
//! The back end for a volume that somebody has mounted with ntfs-3g.
//!
//! A mounted ntfs-3g has no `fallocate` (EOPNOTSUPP); what reserves clusters there is writing. It also fills
//! everything between a file's valid data and a write with zeros, so a file with less valid data than size (made
//! unmounted, or by Windows) must not be appended to: that would overwrite the saved blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::Filling;
use super::command::with_limit;
use super::directory::Directory;
use crate::ntfs::boot::Geometry;
use crate::ntfs::error::{Error, Result};

const LIMIT: Duration = Duration::from_secs(120);
/// The slowest mount that is still waited for, bytes a second.
const SLOWEST: u64 = 4 << 20;
const CHUNK: u64 = 1 << 20;
/// Offset of the volume serial number in the boot sector, u64.
const BOOT_SERIAL: usize = 0x48;

/// Runs `body` in the directory of the store files under `mount_point`.
pub(super) fn with_directory<T: Send + 'static>(
    mount_point: &Path,
    body: impl FnOnce(&Directory) -> Result<T> + Send + 'static,
) -> Result<T> {
    let mount_point = mount_point.to_owned();
    with_limit("making files in the mounted volume", LIMIT, move || {
        let directory = Directory::open(&mount_point)?;
        let value = body(&directory)?;
        directory.sync()?;
        Ok(value)
    })
}

/// Allocates `from..to` of a file by writing `filling`. After an error the file has its old size.
pub(super) fn allocate(mount_point: &Path, name: &str, from: u64, to: u64, filling: Filling) -> Result<()> {
    let (mount_point, name) = (mount_point.to_owned(), name.to_owned());
    let limit = LIMIT + Duration::from_secs(to.saturating_sub(from) / SLOWEST);
    with_limit("writing to reserve a store", limit, move || {
        let path = Directory::open(&mount_point)?.file(&name);
        let failed = |source: io::Error| match source.kind() {
            ErrorKind::StorageFull => Error::NoSpace { what: name.clone(), needed: to.saturating_sub(from), free: 0 },
            _ => Error::File { what: "cannot reserve", path: path.clone(), source },
        };
        let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        let written = write_filling(&file, from, to, filling).and_then(|()| file.sync_all());
        if written.is_err() {
            // The error that counts is the one of writing.
            let _ = file.set_len(from);
        }
        written.map_err(failed)
    })
}

/// Writes `from..to` of a file with `filling`.
pub(super) fn write_filling(file: &File, from: u64, to: u64, filling: Filling) -> io::Result<()> {
    let bytes = filling.repeat(CHUNK as usize / filling.len());
    let mut at = from;
    while at < to {
        let count = (to - at).min(CHUNK);
        file.write_all_at(&bytes[..count as usize], at)?;
        at += count;
    }
    Ok(())
}

/// Compares the serial numbers of the mounted volume and the device. Clones share one: see the probe file.
pub(super) fn check_serial(mount_point: &Path, geometry: &Geometry) -> Result<()> {
    let other = |detail: String| Error::OtherVolume { mount_point: mount_point.into(), detail };
    // ntfs-3g hides system files in listings, but opens them by name.
    let boot = mount_point.join("$Boot");
    let sector = with_limit("reading $Boot of the mounted volume", LIMIT, move || {
        let mut sector = [0; 512];
        File::open(&boot)
            .and_then(|mut file| file.read_exact(&mut sector))
            .map(|()| sector)
            .map_err(|source| Error::File { what: "cannot read", path: boot, source })
    })
    .map_err(|error| other(error.to_string()))?;
    let mut serial = [0; 8];
    serial.copy_from_slice(&sector[BOOT_SERIAL..BOOT_SERIAL + 8]);
    let serial = u64::from_le_bytes(serial);
    if serial == geometry.serial {
        return Ok(());
    }
    Err(other(format!("serial number {serial:016X} there, {:016X} on the device", geometry.serial)))
}
