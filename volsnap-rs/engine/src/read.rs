// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading a snapshot: where each part of it is.
//!
//! One index look-up a block: the first saved copy in the snapshot's own store or a newer one, else the live volume.
//! No lock is held while the shell reads. A live block may be overwritten between the answer and the read, and a saved
//! one may be moved; so the shell reads first and asks again ([`Engine::read_is_current`]): a write is released only
//! after its block is in the index, so an unchanged answer proves that what was read is the snapshot's.

use crate::engine::Engine;
use crate::gate::Gate;
use crate::store::{Overlay, Saved, Store};
use crate::types::{NoMemory, Place, RequestError, Segment, Source};
use crate::vecs;
use alloc::vec::Vec;
use ondisk::{BLOCK_SIZE, Guid, SECTOR_LEN};

const SECTOR: u64 = SECTOR_LEN as u64;

impl Engine {
    /// Says where `length` bytes at `offset` of the snapshot `store` are. `out` is cleared first.
    ///
    /// # Errors
    /// `NotFound`: no such snapshot, or it is being removed. `OutOfRange`: past its end. `NoMemory`.
    pub fn read(
        &self,
        gate: &Gate,
        store: Guid,
        offset: u64,
        length: u64,
        out: &mut Vec<Segment>,
    ) -> Result<(), RequestError> {
        out.clear();
        self.segments(gate, store, offset, length, &mut |segment| append(out, segment))
    }

    /// Whether [`Engine::read`] would still give `segments`. If not, what was read is worth nothing: begin again.
    pub fn read_is_current(&self, gate: &Gate, store: Guid, offset: u64, segments: &[Segment]) -> bool {
        let length = segments.iter().map(|segment| segment.length).sum();
        // Compared as they come, so that no memory is needed: what is left of the expected segment shrinks.
        let mut expected = segments.iter().copied();
        let mut open: Option<Segment> = None;
        let mut same = true;
        let walked = self.segments(gate, store, offset, length, &mut |segment| {
            let mut rest = segment;
            while rest.length > 0 && same {
                let Some(want) = open.take().or_else(|| expected.next()) else {
                    same = false;
                    break;
                };
                let step = want.length.min(rest.length);
                same = want.source == rest.source;
                open = cut(want, step);
                match cut(rest, step) {
                    Some(more) => rest = more,
                    None => break,
                }
            }
            Ok(())
        });
        same && walked.is_ok() && open.is_none()
    }

    fn segments(
        &self,
        gate: &Gate,
        store: Guid,
        offset: u64,
        length: u64,
        emit: &mut dyn FnMut(Segment) -> Result<(), NoMemory>,
    ) -> Result<(), RequestError> {
        let at = self.stores.iter().position(|s| s.snapshot.store == store && s.wanted());
        let (Some(at), Some(end)) = (at, offset.checked_add(length)) else { return Err(RequestError::NotFound) };
        let Some(store) = self.stores.get(at) else { return Err(RequestError::NotFound) };
        if end > store.snapshot.volume_size {
            return Err(RequestError::OutOfRange);
        }
        let top = at + 1 == self.stores.len();
        let mut position = offset;
        while position < end {
            let block = position / BLOCK_SIZE;
            let stop = end.min(block.saturating_add(1).saturating_mul(BLOCK_SIZE));
            let base = self.base(gate, store, block, top);
            match self.overlays.get(block, store.order) {
                None => emit(part(base, block, position, stop))?,
                Some(overlay) => {
                    // Sector by sector: some were written into the snapshot itself.
                    while position < stop {
                        let sector_end = stop.min((position / SECTOR + 1) * SECTOR);
                        let source = if in_overlay(overlay, position) { Some(overlay.at) } else { None };
                        let source = source.map_or(base, |at| Source::At(Place::storage(at)));
                        emit(part(source, block, position, sector_end))?;
                        position = sector_end;
                    }
                }
            }
            position = stop;
        }
        Ok(())
    }

    /// Where the block is, without what was written into the snapshot itself (format specification, section 9).
    fn base(&self, gate: &Gate, store: &Store, block: u64, top: bool) -> Source {
        let (mut wanted, mut order) = (block, store.order);
        // Every turn goes to a newer store: it ends.
        while let Some((_, found, saved)) = self.index.at_or_after(wanted, order) {
            match saved {
                Saved::At(at) => return Source::At(Place::storage(at)),
                Saved::MovedTo(target) => {
                    wanted = target;
                    order = found.saturating_add(1);
                }
            }
        }
        let moved = wanted != block;
        if top && !moved && self.reverse.get(block, store.order).is_none() && self.unneeded(gate, block) {
            return Source::Zero;
        }
        let offset = wanted.saturating_mul(BLOCK_SIZE);
        // The volume has shrunk since: there is nothing to read.
        if offset >= self.config.volume_size { Source::Zero } else { Source::At(Place::live(offset)) }
    }

    /// The newest snapshot does not need the block: it is free, or belongs to the diff area.
    fn unneeded(&self, gate: &Gate, block: u64) -> bool {
        let offset = block.saturating_mul(BLOCK_SIZE);
        let holds = |store: &Store| {
            store.space.runs().iter().any(|run| offset.checked_sub(run.volume).is_some_and(|into| into < run.length))
        };
        gate.passes(block)
            || (self.config.same_volume
                && (self.live.uses(offset) && !self.config.read_only || self.stores.iter().any(holds)))
    }
}

fn in_overlay(overlay: Overlay, position: u64) -> bool {
    overlay.sectors >> (position % BLOCK_SIZE / SECTOR) & 1 == 1
}

/// The part of a block from `position` to `stop`.
fn part(base: Source, block: u64, position: u64, stop: u64) -> Segment {
    let into = position.saturating_sub(block.saturating_mul(BLOCK_SIZE));
    let source = match base {
        Source::At(place) => Source::At(Place { offset: place.offset.saturating_add(into), ..place }),
        Source::Zero => Source::Zero,
    };
    Segment { length: stop.saturating_sub(position), source }
}

/// What is left of a segment behind its first `length` bytes.
fn cut(segment: Segment, length: u64) -> Option<Segment> {
    let rest = segment.length.checked_sub(length).filter(|rest| *rest > 0)?;
    let source = match segment.source {
        Source::At(place) => Source::At(Place { offset: place.offset.saturating_add(length), ..place }),
        Source::Zero => Source::Zero,
    };
    Some(Segment { length: rest, source })
}

/// Appends a segment, as part of the last one where they join.
fn append(out: &mut Vec<Segment>, segment: Segment) -> Result<(), NoMemory> {
    if let Some(last) = out.last_mut() {
        let joins = match (last.source, segment.source) {
            (Source::Zero, Source::Zero) => true,
            (Source::At(a), Source::At(b)) => {
                a.target == b.target && a.offset.checked_add(last.length) == Some(b.offset)
            }
            _ => false,
        };
        if joins {
            last.length = last.length.saturating_add(segment.length);
            return Ok(());
        }
    }
    vecs::push(out, segment)
}
