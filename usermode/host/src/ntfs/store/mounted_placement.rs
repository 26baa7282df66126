// SPDX-License-Identifier: MIT OR Apache-2.0
//! A place for a store in a volume whose owner is at work: by numbers, since nobody knows where the next cluster is.
//!
//! As many candidates as a 16 KiB block has clusters are made one right behind the other, each a cluster longer than
//! whole blocks. Where the allocator goes on behind its last allocation, one of them must start at a block; where it
//! jumps (it skips ahead after some allocations, and others allocate in between) each has that chance.

use super::directory::TEMPORARY;
use super::files::Files;
use super::placement::is_placed;
use super::{Filling, MIN_STORE};
use crate::ntfs::boot::Geometry;
use crate::ntfs::error::{Error, Result};
use crate::ntfs::extent::BLOCK_SIZE;

/// How often it is tried. With clusters of 512 bytes (32 candidates) and no order at all, 1 in 440 searches fails.
pub(super) const ROUNDS: u32 = 6;

/// The temporary name of a candidate of [`MIN_STORE`] bytes that is placed, if there is one. The others remain: they keep
/// the places that are no good.
pub(super) fn scatter(files: &Files, filling: Filling) -> Result<Option<String>> {
    let cluster = Geometry::read(files.device())?.cluster_size;
    let candidates = (BLOCK_SIZE / cluster).max(1);
    for round in 0..ROUNDS {
        let name = move |number: u64| format!("{TEMPORARY}scattered-{round}-{number}");
        files.with_directory(move |directory| {
            if round == 0 {
                directory.sweep()?;
            }
            (0..candidates).try_for_each(|number| directory.scatter(&name(number), MIN_STORE + cluster, filling))
        })?;
        for candidate in (0..candidates).map(name) {
            let file = match files.observe(&candidate, |file| file.data.data_size == MIN_STORE + cluster) {
                Err(Error::NotFound(_)) => continue,
                file => file?,
            };
            if is_placed(&file.data.extents) {
                let cut = candidate.clone();
                files.with_directory(move |directory| {
                    directory.cut(&cut, MIN_STORE)?;
                    directory.protect(&cut)
                })?;
                return Ok(Some(candidate));
            }
        }
    }
    Ok(None)
}
