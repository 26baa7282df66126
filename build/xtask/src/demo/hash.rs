// SPDX-License-Identifier: MIT OR Apache-2.0
//! SHA-256 of volumes: of every byte, or of what a snapshot promises to keep.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::{interrupt, ntfs::InUse};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// A SHA-256. `{:.16}` prints its first 16 digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.pad(&digits)
    }
}

/// Hashes what is written to it.
#[derive(Default)]
pub(super) struct Hasher {
    state: Sha256,
    /// Bytes so far.
    pub(super) length: u64,
}

impl Hasher {
    pub(super) fn finish(self) -> Digest {
        Digest(self.state.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.state.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Of a whole file.
pub(super) fn whole(path: &Path) -> Result<Digest> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    of(&file, path, 0, length_of(path)?)
}

/// Of a whole file as its server gives it now. What a snapshot need not keep (space that was free then) reads as what
/// the live volume has there, and the kernel may still have older bytes of it in its cache.
pub(super) fn uncached(path: &Path) -> Result<Digest> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path);
    of(&file.with_context(|| format!("open {}", path.display()))?, path, 0, length_of(path)?)
}

/// Of `length` bytes of a file from `offset` on.
pub(super) fn range(path: &Path, offset: u64, length: u64) -> Result<Digest> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    of(&file, path, offset, length)
}

fn length_of(path: &Path) -> Result<u64> {
    Ok(path.metadata().with_context(|| format!("look at {}", path.display()))?.len())
}

fn of(file: &File, path: &Path, offset: u64, length: u64) -> Result<Digest> {
    let context = || format!("read {}", path.display());
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK];
    while hasher.length < length {
        interrupt::check()?;
        let left = usize::try_from(length - hasher.length).unwrap_or(CHUNK).min(CHUNK);
        let count = file.read_at(&mut buffer[..left], offset + hasher.length).with_context(context)?;
        ensure!(count > 0, "{} ends at byte {}", path.display(), offset + hasher.length);
        hasher.write_all(&buffer[..count])?;
    }
    Ok(hasher.finish())
}

/// Of the clusters of a volume that `in_use` names, in their order.
pub(super) fn clusters(path: &Path, in_use: &InUse) -> Result<Digest> {
    let context = || format!("read {}", path.display());
    let file = File::open(path).with_context(context)?;
    let size = in_use.cluster_size();
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; CHUNK.next_multiple_of(size)];
    let per_chunk = buffer.len() / size;
    for first in (0..in_use.clusters()).step_by(per_chunk) {
        interrupt::check()?;
        let count = per_chunk.min(in_use.clusters() - first);
        if !(first..first + count).any(|cluster| in_use.contains(cluster)) {
            continue;
        }
        let chunk = &mut buffer[..count * size];
        file.read_exact_at(chunk, (first * size) as u64).with_context(context)?;
        for (cluster, bytes) in (first..).zip(chunk.chunks(size)) {
            if in_use.contains(cluster) {
                hasher.write_all(bytes)?;
            }
        }
    }
    // A volume of which nothing is in use was not read rightly.
    ensure!(hasher.length > 0, "{}: no cluster is in use", path.display());
    Ok(hasher.finish())
}
