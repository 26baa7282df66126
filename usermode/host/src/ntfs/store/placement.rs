// SPDX-License-Identifier: MIT OR Apache-2.0
//! Getting the first 64 KiB of a file contiguous and at a 16 KiB boundary of the volume.
//!
//! The catalogue must be so, and a store's first run (spec section 1.1). ntfs-3g offers no choice of clusters, but its
//! allocator is predictable: where a candidate ended up misaligned by `d`, a filler of `16 KiB - d` at that place
//! moves the next candidate onto the boundary. Measured: an unmounted allocation starts where the last one started as
//! long as that is free, so the cut-off candidate itself is the filler; a mounted ntfs-3g goes on behind the last
//! allocation, so there a separate filler is made just before the next candidate. Both are tried in turn.
//!
//! In a mounted volume its owner allocates, too, and nothing can be predicted: there many candidates are made at once.
//!
//! Where free space is in pieces below 64 KiB, candidates are kept to plug the holes, and a larger probe is searched
//! for an aligned run inside it; cut off there, it leaves that run to the next candidate.

use super::MIN_STORE;
use super::directory::TEMPORARY;
use super::files::Files;
use super::mounted_placement::{ROUNDS, scatter};
use crate::ntfs::error::{Error, Result};
use crate::ntfs::extent::{BLOCK_SIZE, Extent};

const ATTEMPTS: u32 = 24;
/// A file below this may have no clusters: its content lies in its file record.
const LARGEST_RECORD: u64 = 4096;
const FIRST_PROBE: u64 = 1 << 20;
/// A mounted back end writes every byte of a probe.
const LARGEST_PROBE: u64 = 64 << 20;

/// What the next attempt begins with.
#[derive(Default)]
struct Plan {
    /// Temporary files to cut, with their new sizes.
    cuts: Vec<(String, u64)>,
    /// Bytes of filler to allocate right before the candidate.
    filler: u64,
    /// Allocate a probe of this size and look into it, before the candidate.
    probe: u64,
}

/// How much is done for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Enough for a volume with room, whatever its owner does meanwhile.
    Some,
    /// Everything.
    All,
}

/// Whether a file of these runs can start a store.
pub(super) fn is_placed(extents: &[Extent]) -> bool {
    extents.first().is_some_and(|first| {
        first.file_offset == 0 && first.volume_offset % BLOCK_SIZE == 0 && first.length >= MIN_STORE
    })
}

/// Makes `name` with [`MIN_STORE`] bytes, placed. Other temporary files are gone afterwards, also after an error.
pub(super) fn make_placed(files: &Files, name: &str, effort: Effort) -> Result<()> {
    match search(files, effort) {
        Ok(candidate) => {
            let name = name.to_owned();
            files.with_directory(move |directory| {
                directory.rename(&candidate, &name)?;
                directory.sweep()
            })
        }
        Err(error) => {
            // What went wrong first is what the caller must know; what this leaves, the next call sweeps.
            let _ = files.with_directory(|directory| directory.sweep());
            Err(error)
        }
    }
}

/// Tries until a candidate is placed; returns its temporary name.
fn search(files: &Files, effort: Effort) -> Result<String> {
    if let Some(filling) = files.mounted_filling() {
        match scatter(files, filling)? {
            Some(candidate) => return Ok(candidate),
            // A search in earnest fills much of the volume for a moment, and its owner is at work there.
            None if effort == Effort::Some => {
                return Err(Error::Alignment { what: "store file".into(), attempts: ROUNDS });
            }
            None => {}
        }
    }
    let mut plan = Plan::default();
    let mut probe_size = FIRST_PROBE;
    for attempt in 0..ATTEMPTS {
        if plan.probe > 0 {
            plan.cuts.extend(probe(files, &format!("{TEMPORARY}probe-{attempt}"), plan.probe)?);
        }
        let candidate = format!("{TEMPORARY}candidate-{attempt}");
        let filler = format!("{TEMPORARY}filler-{attempt}");
        let (make, make_filler) = (candidate.clone(), (plan.filler > 0).then(|| filler.clone()));
        files.with_directory(move |directory| {
            if attempt == 0 {
                directory.sweep()?;
            }
            for (name, size) in &plan.cuts {
                directory.cut(name, *size)?;
            }
            make_filler.iter().try_for_each(|name| directory.create(name))?;
            directory.create(&make)
        })?;
        if plan.filler > 0 {
            files.allocate(&filler, 0, plan.filler)?;
        }
        let file = files.allocate(&candidate, 0, MIN_STORE)?;
        if is_placed(&file.data.extents) {
            return Ok(candidate);
        }
        plan = next_plan(&file.data.extents, &candidate, attempt, probe_size);
        if plan.probe > 0 {
            probe_size = (probe_size * 4).min(LARGEST_PROBE);
        }
    }
    Err(Error::Alignment { what: "store or catalogue file".into(), attempts: ATTEMPTS })
}

fn next_plan(extents: &[Extent], candidate: &str, attempt: u32, probe: u64) -> Plan {
    let whole = extents.first().filter(|first| first.length >= MIN_STORE);
    // A fragmented candidate stays and plugs the small holes.
    let Some(first) = whole else { return Plan { probe, ..Plan::default() } };
    let missing = BLOCK_SIZE - first.volume_offset % BLOCK_SIZE;
    let filler = if missing < LARGEST_RECORD { missing + BLOCK_SIZE } else { missing };
    let separate = if attempt % 2 == 1 { filler } else { 0 };
    Plan { cuts: vec![(candidate.to_owned(), filler)], filler: separate, probe: 0 }
}

/// Allocates a probe and says where to cut it: just before the first place in it that is aligned and long enough.
/// One that does not fit is given up, one without such a place stays as a plug.
fn probe(files: &Files, name: &str, bytes: u64) -> Result<Option<(String, u64)>> {
    let (_, free) = crate::ntfs::free_clusters(files.device())?;
    let bytes = bytes.min(free / 2 / MIN_STORE * MIN_STORE);
    if bytes == 0 {
        return Ok(None);
    }
    let make = name.to_owned();
    files.with_directory(move |directory| directory.create(&make))?;
    let file = files.reserve(name, 0, bytes)?;
    let place = file.data.extents.iter().find_map(|run| {
        let start = run.volume_offset.checked_next_multiple_of(BLOCK_SIZE)?;
        (start.checked_add(MIN_STORE)? <= run.volume_end()).then_some(run.file_offset + (start - run.volume_offset))
    });
    Ok(place.map(|offset| (name.to_owned(), offset)))
}
