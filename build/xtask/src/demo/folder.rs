// SPDX-License-Identifier: MIT OR Apache-2.0
//! The working folder: everything that the demo makes is in it, and it is gone afterwards.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The longest name that a Unix socket may have, in bytes.
const SOCKET_NAME: usize = 107;

/// Parts of the working folder, by their names in it.
pub(super) const IMAGE: &str = "volume.img";
pub(super) const SERVED: &str = "served";
pub(super) const LIVE: &str = "live";
pub(super) const LOOK: &str = "snapshot";
pub(super) const OTHER: &str = "libvshadow";
pub(super) const SAVED: &str = "saved";
pub(super) const RUN: &str = "run";

/// The folder; removed when dropped, unless it is to be kept.
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Makes it where temporary files may be large: in `TMPDIR`, or in `/var/tmp`, which is on a disk also where
    /// `/tmp` is in memory.
    pub(super) fn make(keep: bool) -> Result<Self> {
        let parent = env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let path = tempfile::Builder::new()
            .prefix("volsnap-demo-")
            .tempdir_in(&parent)
            .with_context(|| format!("make a folder in {} (TMPDIR names another place)", parent.display()))?
            .keep();
        let path = path.canonicalize().with_context(|| format!("look at {}", path.display()))?;
        let folder = Self { path, keep };
        for name in [SERVED, LIVE, LOOK, OTHER, SAVED, RUN] {
            fs::create_dir(folder.at(name)).with_context(|| format!("make {}", folder.at(name).display()))?;
        }
        // Hosts and clients refuse a folder of sockets that others may write to.
        fs::set_permissions(folder.at(RUN), fs::Permissions::from_mode(0o700))
            .context("close the folder of sockets")?;
        let socket = folder.at(RUN).join("demo.sock");
        ensure!(socket.as_os_str().len() <= SOCKET_NAME, "{}: too long for a socket", socket.display());
        Ok(folder)
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Something in it.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whoever mounted something has unmounted it; what is left would be emptied below, not removed.
        for mount in mounts_below(&self.path) {
            eprintln!("taking away the mount that is left at {}", mount.display());
            if let Err(error) = rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH) {
                eprintln!("{} stays: {error}", self.path.display());
                return;
            }
        }
        if self.keep {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} stays: {error}", self.path.display());
        }
    }
}

/// Mount points below a folder, the innermost first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    // The second word; our own names have no character that is escaped there.
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|place| place.starts_with(folder))
        .collect();
    found.reverse();
    found
}
