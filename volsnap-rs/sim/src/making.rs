// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making snapshots: area, store file, prepare, hold, commit, release; given up at any point.

use crate::truth::{Snapshot, State};
use crate::world::World;
use engine::{Event, NewSnapshot, RequestError};
use ondisk::{FileTime, Guid, StoreInfo, VolumeHeader, WideString};

/// How far the making of a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Making {
    None,
    /// Catalog and header are being written.
    Area,
    /// The store file exists; these discards are under way.
    File {
        store: Guid,
        discards: Vec<u64>,
    },
    Preparing {
        store: Guid,
    },
    Prepared {
        store: Guid,
    },
    /// Writes are to be held.
    Closing {
        store: Guid,
    },
    Held {
        store: Guid,
    },
    Committing {
        store: Guid,
        released: bool,
    },
    /// Writes are held for nothing: to be released.
    Over,
}

impl Making {
    /// Whether writes are, or may be, held: nobody changes files then.
    pub(crate) fn holds(&self) -> bool {
        matches!(self, Self::Closing { .. } | Self::Held { .. } | Self::Committing { released: false, .. } | Self::Over)
    }
}

const LIVE_GUID: Guid = Guid::from_fields(0x0b64_0001, 1, 0x1111, [8; 8]);
const STORAGE_GUID: Guid = Guid::from_fields(0x0b64_0002, 1, 0x1111, [9; 8]);

impl World {
    /// Gets on with the snapshot that is being made, or begins one.
    pub(crate) fn progress_making(&mut self) {
        let give_up = self.rng.chance(60);
        match self.making.clone() {
            Making::None => self.begin_making(),
            Making::Area | Making::Preparing { .. } => {}
            Making::File { store, discards } => {
                if !discards.iter().any(|id| self.is_writing(*id)) {
                    self.prepare(store);
                }
            }
            Making::Prepared { .. } if give_up => {
                self.making = Making::None;
                let result = self.call(|engine, gate| engine.abort(gate));
                self.expect(result, "abort");
            }
            Making::Prepared { store } => {
                self.making = Making::Closing { store };
                let result = self.call(|engine, gate| engine.hold_writes(gate));
                self.expect(result, "hold_writes");
            }
            Making::Closing { store } | Making::Held { store } if give_up => {
                self.making = Making::Prepared { store };
                let result = self.call(|engine, gate| engine.release_writes(gate));
                self.expect(result, "release_writes");
            }
            Making::Closing { .. } => {}
            Making::Held { store } => self.commit(store),
            Making::Committing { store, released: false } if give_up => {
                self.making = Making::Committing { store, released: true };
                let result = self.call(|engine, gate| engine.release_writes(gate));
                self.expect(result, "release_writes while committing");
            }
            Making::Committing { .. } => {}
            Making::Over => {
                self.making = Making::None;
                let result = self.call(|engine, gate| engine.release_writes(gate));
                self.expect(result, "release_writes after commit");
            }
        }
    }

    fn expect(&mut self, result: Result<(), RequestError>, what: &str) {
        if let Err(error) = result
            && !(error == RequestError::NoMemory && self.excuses.memory)
            && !(error == RequestError::ReadOnly && self.lost)
        {
            self.violate(format!("{what} answers {error:?}"));
        }
    }

    fn begin_making(&mut self) {
        if !self.engine.has_area() {
            return self.create_area();
        }
        if self.free_space_is_busy() {
            return;
        }
        let store = self.new_guid();
        let blocks = self.profile.store_blocks;
        let mut rng = self.rng.clone();
        let spare = self.store_files().free() / 2;
        let file = if spare > blocks * 32 { self.store_files().create(blocks * 32, true, &mut rng) } else { None };
        self.rng = rng;
        let Some(file) = file else { return };
        self.stores.insert(store, file);
        let runs = self.store_files().runs(file);
        self.say(|| format!("store {store}: file {file} with {runs:?}"));
        self.forget_content(&runs);
        let discards = self.discard_file(&runs);
        self.making = Making::File { store, discards };
    }

    fn new_guid(&mut self) -> Guid {
        let id = self.fresh_id();
        Guid::from_fields(id as u32, 0, 0x1000, [1; 8])
    }

    fn create_area(&mut self) {
        if self.free_space_is_busy() {
            return;
        }
        let mut rng = self.rng.clone();
        let place = self.files.create_catalog(&mut rng);
        let other = self.other_files.as_mut().and_then(|files| files.create_catalog(&mut rng));
        self.rng = rng;
        let Some(place) = place else { return };
        self.truth.forget(place..place + 128, self.version);
        let storage = if self.redirected() { STORAGE_GUID } else { LIVE_GUID };
        let header = header(LIVE_GUID, storage);
        let catalog = match other {
            Some(sector) if self.engine.storage_header().is_none() => Some((header_of_storage(), sector as u64 * 512)),
            _ => None,
        };
        self.making = Making::Area;
        let result = self.call(|engine, gate| engine.create_area(gate, header, place as u64 * 512, catalog));
        if result.is_err() {
            self.making = Making::None;
        }
        self.expect(result, "create_area");
    }

    fn prepare(&mut self, store: Guid) {
        let Some(file) = self.stores.get(&store).copied() else { return };
        let snapshot = NewSnapshot {
            store,
            info: StoreInfo {
                snapshot: store,
                set: store,
                set_count: 1,
                originating: WideString::try_from_str("machine").expect("memory"),
                ..StoreInfo::default()
            },
            file_reference: u64::from(file),
            extents: self.store_files().extents(file),
        };
        self.making = Making::Preparing { store };
        let result = self.call(|engine, gate| engine.prepare(gate, snapshot));
        if let Err(error) = result {
            self.say(|| format!("prepare {store}: {error:?}"));
            self.making = Making::None;
            self.delete_store_file(store);
            if error == RequestError::ReadOnly && self.lost {
                return;
            }
            if error != RequestError::StoreTooSmall && error != RequestError::NoArea {
                self.expect(Err(error), "prepare");
            }
        }
    }

    fn commit(&mut self, store: Guid) {
        let blocks = self.profile.sectors.div_ceil(32);
        let needed = (0..blocks).map(|block| self.files.needed(block)).collect();
        let content = self.live.content().to_vec();
        self.truth.snapshots.push(Snapshot { store, content, needed, state: State::Committing });
        self.making = Making::Committing { store, released: false };
        let free = self.files.free_map();
        // A clock may be set back.
        let now = FileTime(1_000_000 + if self.rng.chance(100) { 0 } else { self.step });
        self.say(|| format!("commit {store}"));
        let result = self.call(|engine, gate| engine.commit(gate, now, free));
        if let Err(error) = result {
            self.truth.snapshots.pop();
            self.making = Making::Held { store };
            self.expect(Err(error), "commit");
        }
    }

    pub(crate) fn making_event(&mut self, event: Event) {
        let next = match (self.making.clone(), event) {
            (Making::Area, Event::AreaReady) => Making::None,
            (Making::Area, Event::AreaFailed) => {
                self.excuse("creating the area failed");
                Making::None
            }
            (Making::Preparing { store }, Event::Prepared { store: s }) if s == store => Making::Prepared { store },
            (Making::Preparing { store }, Event::PrepareFailed { store: s, error }) if s == store => {
                if error != RequestError::StoreTooSmall {
                    self.excuse("preparing failed");
                }
                Making::None
            }
            (Making::Closing { store }, Event::Held) => Making::Held { store },
            // Held came and was released again before the news was heard.
            (other, Event::Held) => other,
            (Making::Committing { store, released }, Event::Committed { store: s }) if s == store => {
                if let Some(snapshot) = self.truth.find(store) {
                    snapshot.state = State::Alive;
                }
                if released { Making::None } else { Making::Over }
            }
            (Making::Committing { store, released }, Event::PrepareFailed { store: s, error }) if s == store => {
                if let Some(snapshot) = self.truth.find(store) {
                    snapshot.state = State::Gone;
                }
                let expected = match error {
                    RequestError::Released => released,
                    RequestError::StoreTooSmall | RequestError::TooMany => true,
                    _ => false,
                };
                if !expected {
                    self.excuse("committing failed");
                }
                if released { Making::None } else { Making::Over }
            }
            // The engine gave everything up.
            (making, Event::PrepareFailed { error: RequestError::Io, .. }) => {
                self.excuse("what was prepared was given up");
                if making.holds() { Making::Over } else { Making::None }
            }
            (making, event) => {
                self.violate(format!("{event:?} while {making:?}"));
                making
            }
        };
        self.making = next;
    }

    fn excuse(&mut self, what: &str) {
        if !self.excuses.io && !self.excuses.memory {
            self.violate(format!("{what} without cause"));
        }
    }
}

fn header(volume: Guid, storage: Guid) -> VolumeHeader {
    VolumeHeader {
        version: 1,
        catalog: 0,
        maximum: 0,
        volume,
        storage,
        application_flags: 0,
        free_space_precopy: 0,
        hot_blocks_precopy: 0,
        hot_blocks_days: 0,
        protection: 0,
    }
}

fn header_of_storage() -> VolumeHeader {
    header(STORAGE_GUID, STORAGE_GUID)
}
