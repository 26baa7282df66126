// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume that every target gets a copy of: NTFS, with one large file whose clusters are overwritten.
//!
//! It has to be NTFS because a target of ours makes its diff area in it. What is overwritten has to be in use, because
//! space that was free when the snapshot was made needs no copy.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// Bytes of a cluster.
const CLUSTER: u64 = 4096;

/// Where the overwritten region begins is a multiple of this: the largest block that any target copies.
const ALIGNMENT: u64 = 64 << 10;

/// Room for the file, what older snapshots have saved of it, and the store that takes all of it once more, ...
const COPIES: u64 = 4;

/// ... and beside them: the file system's own, and what stores have in reserve.
const SPARE: u64 = 512 << 20;

/// Most bytes of free space that are written to.
const FREE: u64 = 16 << 20;

/// An NTFS volume in a file.
#[derive(Clone)]
pub(super) struct Volume {
    path: PathBuf,
    /// Where the overwritten region begins, in bytes.
    pub(super) start: u64,
    /// How long it is, in bytes.
    pub(super) length: u64,
    /// Bytes of the whole volume.
    size: u64,
    /// Copies have holes where there are zeros, as image files of virtual machines do.
    sparse: bool,
}

impl Volume {
    /// Makes a volume with `length` bytes to overwrite.
    pub(super) fn make(path: &Path, length: u64) -> Result<Self> {
        let size = COPIES * length + SPARE;
        File::create(path)
            .and_then(|file| file.set_len(size))
            .with_context(|| format!("make {} with {size} bytes", path.display()))?;
        let cluster = CLUSTER.to_string();
        process::quiet_output(tool("mkntfs").args(["-q", "-F", "-Q", "-c", &cluster]).arg(path))?;

        let content = path.with_extension("content");
        noise(&content, length + ALIGNMENT)?;
        process::quiet_output(tool("ntfscp").arg(path).arg(&content).arg("overwritten"))?;
        fs::remove_file(&content).with_context(|| format!("remove {}", content.display()))?;

        let listing = process::quiet_output(tool("ntfsinfo").args(["-v", "-F", "overwritten"]).arg(path))?;
        let (first, clusters) = longest_run(&listing).context("ntfsinfo names no clusters of the file")?;
        let start = (first * CLUSTER).next_multiple_of(ALIGNMENT);
        let end = (first + clusters) * CLUSTER;
        ensure!(start + length <= end, "the file of {length} bytes is in pieces");
        Ok(Self { path: path.to_owned(), start, length, size, sparse: true })
    }

    /// The same volume, in another file.
    pub(super) fn at(&self, path: PathBuf) -> Self {
        Self { path, ..*self }
    }

    /// The same volume; copies of it have no holes, as a block device has none.
    pub(super) fn without_holes(self) -> Self {
        Self { sparse: false, ..self }
    }

    /// The same volume with another region: one that no file has, stores included.
    pub(super) fn free_space(&self) -> Result<Self> {
        let length = self.length.min(FREE);
        // The file system fills a volume from the beginning; its last cluster belongs to the boot sector's copy.
        let start = (self.size - length - ALIGNMENT) / ALIGNMENT * ALIGNMENT;
        let range = format!("{}-{}", start / CLUSTER, (start + length) / CLUSTER);
        let said = process::quiet_output(tool("ntfscluster").args(["-f", "-c", &range]).arg(&self.path))?;
        ensure!(
            said.contains("no inode found"),
            "the last {length} bytes of {} are in use: {said}",
            self.path.display()
        );
        Ok(Self { start, length, ..self.clone() })
    }

    /// The region in `count` parts, each of whole blocks. The last one has what does not divide.
    pub(super) fn split(&self, count: u32) -> Vec<Self> {
        let count = u64::from(count.max(1));
        let length = self.length / count / ALIGNMENT * ALIGNMENT;
        let part = |number| {
            let begin = number * length;
            let end = if number + 1 == count { self.length } else { begin + length };
            Self { start: self.start + begin, length: end - begin, ..self.clone() }
        };
        (0..count).map(part).collect()
    }

    /// Makes a copy that is wholly on the disk, so that nobody's writes pay for it.
    pub(super) fn copy_to(&self, path: &Path) -> Result<Self> {
        let context = || format!("copy {} to {}", self.path.display(), path.display());
        let mut from = File::open(&self.path).with_context(context)?;
        let mut to = File::create(path).with_context(context)?;
        to.set_len(from.metadata().with_context(context)?.len()).with_context(context)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = from.read(&mut buffer).with_context(context)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            if self.sparse && bytes.iter().all(|byte| *byte == 0) {
                to.seek_relative(i64::try_from(read)?).with_context(context)?;
            } else {
                to.write_all(bytes).with_context(context)?;
            }
        }
        to.sync_all().with_context(context)?;
        Ok(self.at(path.to_owned()))
    }
}

fn tool(program: &str) -> Command {
    Command::new(process::find(program).unwrap_or_else(|| program.into()))
}

/// A file of bytes that nothing can compress or take for zeros.
fn noise(path: &Path, length: u64) -> Result<()> {
    let context = || format!("make {}", path.display());
    let mut source = File::open("/dev/urandom").context("open /dev/urandom")?.take(length);
    let mut file = File::create(path).with_context(context)?;
    if io::copy(&mut source, &mut file).with_context(context)? != length {
        bail!("/dev/urandom ended");
    }
    Ok(())
}

/// First cluster and number of clusters of the longest run in what `ntfsinfo -v` says of a file:
/// the lines `0x0  0x4b6d  0x4000` (in the file, on the volume, length) after the last heading `VCN LCN Length`.
fn longest_run(listing: &str) -> Option<(u64, u64)> {
    let (_, runs) = listing.rsplit_once("LCN\t\tLength")?;
    runs.lines()
        .skip(1)
        .map_while(|line| {
            let mut numbers =
                line.split_whitespace().map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
            let (_, first, length) = (numbers.next()??, numbers.next()??, numbers.next()??);
            Some((first, length))
        })
        .max_by_key(|(_, length)| *length)
}

#[cfg(test)]
mod tests {
    use super::longest_run;

    #[test]
    fn reads_the_runs_of_ntfsinfo() {
        let listing = "Dumping attribute $DATA (0x80)\n\tRunlist:\tVCN\t\tLCN\t\tLength\n\
                       \t\t\t0x0\t\t0x10\t\t0x4\n\t\t\t0x4\t\t0x4b6d\t\t0x3ffc\nEnd of inode reached\n";
        assert_eq!(longest_run(listing), Some((0x4b6d, 0x3ffc)));
        assert_eq!(longest_run("End of inode reached\n"), None);
    }
}
