// SPDX-License-Identifier: MIT OR Apache-2.0
//! The image that the demo works on: a new one, or a copy of somebody's.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{
    folder::{Folder, IMAGE},
    programs::Programs,
    tool::{self, command},
};

/// Bytes of a volume that the demo makes itself, and of its clusters.
const SIZE: u64 = 256 << 20;
const CLUSTER: u32 = 4096;

/// Bounds of a snapshot's first store, in bytes. Windows takes 320 MiB, which nobody wants to wait for here.
const MIN_STORE: u64 = 16 << 20;
const MAX_STORE: u64 = 64 << 20;

/// An image in the working folder.
pub(super) struct Image {
    pub(super) path: PathBuf,
    /// Where the volume lies in it, in bytes.
    pub(super) offset: u64,
    /// Bytes of the volume.
    pub(super) size: u64,
    /// The snapshots that it came with, oldest first.
    pub(super) snapshots: Vec<Known>,
    /// Stores of other volumes lie on it.
    pub(super) foreign_stores: bool,
}

/// A snapshot as `vsstool info` tells of it.
#[derive(Clone, Deserialize)]
pub(super) struct Known {
    /// From 1, the oldest.
    pub(super) number: usize,
    pub(super) created: String,
    flags: u64,
    pub(super) store: String,
}

impl Known {
    /// A restore point of Windows 8 and later (flag 0x400): Windows keeps only a part of the volume in it.
    pub(super) fn is_partial(&self) -> bool {
        self.flags & 0x400 != 0
    }
}

/// The part of what `vsstool info --json` says that is used here.
#[derive(Deserialize)]
struct Info {
    offset: u64,
    size: u64,
    shadow_copies: Option<ShadowCopies>,
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct ShadowCopies {
    redirected: bool,
    snapshots: Vec<Known>,
    foreign_stores: Vec<String>,
}

impl Image {
    /// Makes an NTFS volume.
    pub(super) fn make(folder: &Folder) -> Result<Self> {
        let path = folder.at(IMAGE);
        let file = File::create(&path).and_then(|file| file.set_len(SIZE));
        file.with_context(|| format!("make {} with {SIZE} bytes", path.display()))?;
        let mut mkntfs = command("mkntfs", folder.path());
        mkntfs.args(["-q", "-Q", "-F", "-L", "demo", "-c", &CLUSTER.to_string(), IMAGE]);
        tool::show(&mkntfs);
        tool::run(&mut mkntfs)?;
        let (snapshots, foreign_stores) = (Vec::new(), false);
        Ok(Self { path, offset: 0, size: SIZE, snapshots, foreign_stores })
    }

    /// Copies somebody's image, holes and all, and finds the volume in it.
    pub(super) fn copy(folder: &Folder, programs: &Programs, image: &Path, partition: Option<u32>) -> Result<Self> {
        let from = image.canonicalize().with_context(|| format!("look at {}", image.display()))?;
        // Before the copy: what cannot be worked on need not be copied.
        let mut copy = Self::look(folder, programs, &from, partition)?;
        copy.path = folder.at(IMAGE);
        let mut cp = command("cp", folder.path());
        cp.args(["--sparse=always", "--reflink=auto"]).arg(&from).arg(IMAGE);
        tool::show(&cp);
        tool::run(&mut cp)?;
        println!("   {} is not touched from here on: everything happens to the copy", from.display());
        Ok(copy)
    }

    fn look(folder: &Folder, programs: &Programs, image: &Path, partition: Option<u32>) -> Result<Self> {
        let mut vsstool = command(&programs.vsstool, folder.path());
        vsstool.arg("info").arg(image);
        if let Some(partition) = partition {
            vsstool.args(["--partition", &partition.to_string()]);
        }
        tool::show(&vsstool);
        let ended = tool::finish(vsstool.arg("--json"))?;
        let Ok(info) = serde_json::from_slice::<Info>(&ended.stdout) else {
            bail!("{}", ended.stderr.trim_end());
        };
        ensure!(info.errors.is_empty(), "{}: {}", image.display(), info.errors.join("; "));
        let here = info.shadow_copies.as_ref();
        if here.is_some_and(|here| here.redirected) {
            bail!(
                "the shadow copies of {} lie on another volume, and the demo works on one image. With both at hand: \
                 `vsshost serve IMAGE --storage OTHER` serves them, `vsstool export IMAGE --storage OTHER` reads them",
                image.display()
            );
        }
        let found = here.map_or(0, |here| here.snapshots.len());
        println!("   NTFS volume of {} MiB at byte {}, with {found} snapshots", info.size >> 20, info.offset);
        let foreign_stores = here.is_some_and(|here| !here.foreign_stores.is_empty());
        let snapshots = info.shadow_copies.map(|here| here.snapshots).unwrap_or_default();
        let (path, offset, size) = (image.to_owned(), info.offset, info.size);
        Ok(Self { path, offset, size, snapshots, foreign_stores })
    }

    /// The snapshots that are in it now, with nobody serving it.
    pub(super) fn look_again(&self, folder: &Folder, programs: &Programs) -> Result<Vec<Known>> {
        let mut vsstool = command(&programs.vsstool, folder.path());
        vsstool.args(["info", self.name(), "--offset", &self.offset.to_string(), "--json"]);
        let info: Info = serde_json::from_slice(&tool::run(&mut vsstool)?).context("what vsstool info says")?;
        Ok(info.shadow_copies.map(|here| here.snapshots).unwrap_or_default())
    }

    /// Its name in the working folder.
    pub(super) fn name(&self) -> &str {
        IMAGE
    }

    /// Bytes of a new snapshot's store.
    pub(super) fn store_size(&self) -> u64 {
        (self.size / 16).clamp(MIN_STORE, MAX_STORE)
    }

    /// Bytes that it takes on the disk.
    pub(super) fn on_disk(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(&self.path).with_context(|| format!("look at {}", self.path.display()))?;
        Ok(metadata.blocks() * 512)
    }
}
