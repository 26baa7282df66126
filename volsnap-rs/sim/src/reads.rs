// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading snapshots while everything else goes on: ask the engine, read piece by piece, ask whether it still holds.

use crate::truth::State;
use crate::world::World;
use engine::{Place, RequestError, Segment, Source, Target};
use ondisk::Guid;

/// A read of a snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotRead {
    store: Guid,
    start: usize,
    length: usize,
    segments: Vec<Segment>,
    /// Pieces read so far; in any order would be the same, they are independent.
    got: Vec<Vec<u64>>,
    tries: usize,
}

impl World {
    /// Begins a read of some sectors of some snapshot.
    pub(crate) fn begin_read(&mut self) {
        let alive: Vec<Guid> =
            self.truth.snapshots.iter().filter(|s| s.state == State::Alive).map(|s| s.store).collect();
        if alive.is_empty() {
            return;
        }
        let store = self.rng.pick(&alive);
        let start = self.rng.below(self.profile.sectors);
        let most = self.rng.pick(&[1, 8, 40, 400]);
        let length = self.rng.within(1, most).min(self.profile.sectors - start);
        self.reads.push(SnapshotRead { store, start, length, segments: Vec::new(), got: Vec::new(), tries: 0 });
    }

    /// Lets one read get on.
    pub(crate) fn progress_read(&mut self, at: usize) {
        let mut read = self.reads.swap_remove(at);
        if read.segments.is_empty() {
            let (offset, length) = (read.start as u64 * 512, read.length as u64 * 512);
            if let Err(error) = self.engine.read(&self.gate, read.store, offset, length, &mut read.segments) {
                return self.read_refused(read.store, error);
            }
            read.got.clear();
        } else if read.got.len() < read.segments.len() {
            let segment = read.segments[read.got.len()];
            read.got.push(self.fetch(segment));
        } else {
            let offset = read.start as u64 * 512;
            if self.engine.read_is_current(&self.gate, read.store, offset, &read.segments) {
                let values = read.got.concat();
                return self.compare(read.store, read.start, &values);
            }
            read.segments.clear();
            read.tries += 1;
            if read.tries > 100 {
                return;
            }
        }
        self.reads.push(read);
    }

    fn read_refused(&mut self, store: Guid, error: RequestError) {
        let alive = self.truth.find(store).is_some_and(|snapshot| snapshot.state == State::Alive);
        if alive && error == RequestError::NotFound {
            self.violate(format!("snapshot {store} is not there"));
        } else if error != RequestError::NotFound {
            self.violate(format!("snapshot {store} cannot be read: {error:?}"));
        }
    }

    fn fetch(&mut self, segment: Segment) -> Vec<u64> {
        let sectors = segment.length as usize / 512;
        match segment.source {
            Source::Zero => vec![0; sectors],
            Source::At(Place { target, offset }) => {
                let start = offset as usize / 512;
                let target = if self.redirected() { target } else { Target::Live };
                match self.device(target).content().get(start..start + sectors) {
                    Some(values) => values.to_vec(),
                    None => vec![0; sectors],
                }
            }
        }
    }

    fn compare(&mut self, store: Guid, start: usize, values: &[u64]) {
        let result = match self.truth.find(store) {
            Some(snapshot) if matches!(snapshot.state, State::Alive | State::Going) => snapshot.compare(start, values),
            _ => Ok(()),
        };
        self.hold_to(result);
    }

    /// Reads every snapshot whole, in one moment, and compares.
    pub(crate) fn check_snapshots(&mut self) {
        let mut segments = Vec::new();
        for at in 0..self.truth.snapshots.len() {
            let snapshot = &self.truth.snapshots[at];
            if snapshot.state != State::Alive {
                continue;
            }
            let (store, length) = (snapshot.store, self.profile.config.volume_size);
            if let Err(error) = self.engine.read(&self.gate, store, 0, length, &mut segments) {
                return self.read_refused(store, error);
            }
            let values: Vec<u64> = segments.iter().flat_map(|segment| self.fetch(*segment)).collect();
            self.compare(store, 0, &values);
            if self.violation().is_some() {
                return;
            }
        }
    }
}
