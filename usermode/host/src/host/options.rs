// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a person says about a volume to be served.

use crate::image::VolumeSpec;
use crate::net::Address;
use std::path::PathBuf;

/// How to serve a volume.
#[derive(Debug, Clone)]
pub struct Options {
    /// The volume.
    pub image: VolumeSpec,
    /// The volume that holds its diff area, if not itself.
    pub storage: Option<VolumeSpec>,
    /// The folder in which volume and snapshots appear as files.
    pub fuse: Option<PathBuf>,
    /// Where NBD clients are served.
    pub nbd: Option<Address>,
    /// What `vssadmin` calls it; from the image's file name if not given.
    pub name: Option<String>,
    /// Where ntfs-3g has the served volume mounted.
    pub mount_point: Option<PathBuf>,
    /// Bytes of a new snapshot's store file, if not chosen by the volume's size.
    pub diff_area_size: Option<u64>,
    /// NBD clients do not mount the file system: store files may be made while they are connected.
    pub nbd_clients_are_raw: bool,
    /// Sector size in which metadata is written: 512 or 4096.
    pub sector: usize,
}

impl Options {
    /// The host's name.
    pub(super) fn name(&self) -> String {
        let from_path = || {
            let stem = self.image.path.file_stem().unwrap_or_default().to_string_lossy();
            let good = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
            let name: String = stem.chars().map(good).take(40).collect();
            if name.starts_with(|c: char| c.is_ascii_alphanumeric()) { name } else { format!("volume{name}") }
        };
        self.name.clone().unwrap_or_else(from_path)
    }
}
