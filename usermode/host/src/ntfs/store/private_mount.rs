// SPDX-License-Identifier: MIT OR Apache-2.0
//! The back end for a volume that nobody has mounted: ntfs-3g for the length of a call, and `ntfsfallocate`.
//!
//! ntfs-3g runs as our child in the foreground, because a detached one lives on after `umount` returns and still
//! writes; `ntfsfallocate` must not start before it has ended.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::command::{Outcome, Running, run, start, with_limit};
use super::directory::Directory;
use crate::ntfs::error::{Error, Result};

/// Mounting reads a few MiB; allocation of a large store writes its part of `$Bitmap`.
const LIMIT: Duration = Duration::from_secs(120);
/// How long a busy mount is tried to be unmounted.
const BUSY: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// No recovery (an unclean log is the owner's to replay, ntfs-3g would throw it away), no compression of new files in
/// a compressed directory.
const OPTIONS: &str = "no_detach,norecover,nocompression,noatime,big_writes";

/// Exit codes of `ntfs-3g` and `ntfs-3g.probe` (ntfs-3g.probe(8), 'EXIT CODES').
mod code {
    pub(super) const CORRUPT: i32 = 13;
    pub(super) const HIBERNATED: i32 = 14;
    pub(super) const UNCLEAN: i32 = 15;
    pub(super) const LOCKED: i32 = 16;
}

/// Runs `body` in the directory of the store files, in a private mount of `volume`.
pub(super) fn with_directory<T: Send + 'static>(
    volume: &Path,
    body: impl FnOnce(&Directory) -> Result<T> + Send + 'static,
) -> Result<T> {
    let mount = PrivateMount::new(volume)?;
    let place = mount.place.clone();
    let result = with_limit("making files in the private mount", LIMIT, move || {
        let directory = Directory::open(&place)?;
        let value = body(&directory)?;
        directory.sync()?;
        Ok(value)
    });
    // Unmount in any case; what the body says comes first.
    let unmounted = mount.end();
    result.and_then(|value| unmounted.map(|()| value))
}

/// How an allocation ended, as far as `ntfsfallocate` says. The caller looks at the volume in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocated {
    /// It reported success.
    Done,
    /// It found no clusters; see [`allocate`].
    NoClusters,
}

/// Allocates clusters for a file up to `bytes`; initialized size and all content stay.
///
/// Measured with 2022.10.3: when it finds no clusters it either reports success or dies of SIGSEGV, the volume being
/// as before; so only its words count. And it can fail with free clusters left: from the end of a file's last run it
/// does not always find its way to space before it. A smaller step then often succeeds.
pub(super) fn allocate(volume: &Path, directory: &str, name: &str, bytes: u64) -> Result<Allocated> {
    let file = format!("{directory}/{name}");
    let length = bytes.to_string();
    let arguments: [&OsStr; 4] = ["-l".as_ref(), length.as_ref(), volume.as_ref(), file.as_ref()];
    let outcome = run("ntfsfallocate", &arguments, LIMIT)?;
    if outcome.output.contains("No space left on device") {
        Ok(Allocated::NoClusters)
    } else if outcome.status.success() {
        Ok(Allocated::Done)
    } else {
        Err(failure(volume, "ntfsfallocate", outcome))
    }
}

/// A mount of the volume in a directory of its own.
struct PrivateMount {
    volume: PathBuf,
    /// Never removed with its contents: while it is mounted, those are the user's files.
    place: PathBuf,
    server: Option<Running>,
}

impl PrivateMount {
    fn new(volume: &Path) -> Result<Self> {
        check_clean(volume)?;
        let place = tempfile::Builder::new().prefix("vsshost-mount-").tempdir().map_err(|source| Error::File {
            what: "cannot make a directory in",
            path: std::env::temp_dir(),
            source,
        })?;
        let mut mount = Self { volume: volume.into(), place: place.keep(), server: None };
        let arguments: [&OsStr; 4] = ["-o".as_ref(), OPTIONS.as_ref(), volume.as_ref(), mount.place.as_ref()];
        mount.server = Some(start("ntfs-3g", &arguments)?);
        mount.wait_until_mounted()?;
        Ok(mount)
    }

    fn wait_until_mounted(&mut self) -> Result<()> {
        let device = |path: &Path| path.metadata().map(|metadata| metadata.dev());
        let below = self.place.parent().map(device);
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            let Some(server) = &mut self.server else { break };
            if let Some(outcome) = server.ended()? {
                self.server = None;
                return Err(failure(&self.volume, "ntfs-3g", outcome));
            }
            let here = device(&self.place);
            if matches!((&below, here), (Some(Ok(below)), Ok(here)) if *below != here) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(Error::TimedOut { what: format!("ntfs-3g {}", self.volume.display()), limit: LIMIT })
    }

    /// Unmounts and waits until ntfs-3g has written everything.
    fn end(mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            let outcome = run("umount", &[self.place.as_ref()], LIMIT)?;
            if outcome.status.success() {
                break;
            }
            // A child that another thread is just starting has our open files for a moment.
            if !outcome.output.contains("busy") || started.elapsed() > BUSY {
                return Err(outcome.error("umount"));
            }
            std::thread::sleep(POLL);
        }
        let Some(server) = self.server.take() else { return Ok(()) };
        let outcome = server.wait(LIMIT)?;
        if outcome.status.success() { Ok(()) } else { Err(failure(&self.volume, "ntfs-3g", outcome)) }
    }
}

impl Drop for PrivateMount {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // After an error only: take the mount away from under whatever hangs, then its server.
            let _ = run("umount", &["-l".as_ref(), self.place.as_ref()], LIMIT);
            server.kill();
        }
        // Fails on a directory that is still a mount point, as it should.
        let _ = std::fs::remove_dir(&self.place);
    }
}

/// Refuses a volume that must not be written to. ntfs-3g itself would fall back to a read-only mount for some.
fn check_clean(volume: &Path) -> Result<()> {
    let outcome = run("ntfs-3g.probe", &["--readwrite".as_ref(), volume.as_ref()], LIMIT)?;
    if outcome.status.success() { Ok(()) } else { Err(failure(volume, "ntfs-3g.probe", outcome)) }
}

fn failure(volume: &Path, command: &str, outcome: Outcome) -> Error {
    let not_clean = |state, advice| Error::NotClean { volume: volume.into(), state, advice };
    match outcome.status.code() {
        Some(code::HIBERNATED) => {
            not_clean("Windows is hibernated on it", "Start Windows and shut it down fully (powercfg /h off)")
        }
        Some(code::UNCLEAN) => not_clean(
            "it was not unmounted cleanly and its log has not been replayed",
            "Let Windows mount it, or run ntfsfix",
        ),
        Some(code::CORRUPT) => not_clean("it is damaged", "Run chkdsk /f in Windows, or ntfsfix"),
        Some(code::LOCKED) => Error::InUse(volume.into()),
        _ if outcome.output.contains("is mounted") => Error::InUse(volume.into()),
        _ => outcome.error(command),
    }
}
