// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a life and the beginning of the next: crash or clean stop, loading, and what must be there then.

use crate::bug::Bug;
use crate::making::Making;
use crate::memory;
use crate::offline::{Disks, OnDisk};
use crate::truth::State;
use crate::world::{Excuses, World};
use engine::{Engine, Gate, LoadError, Loader, Target};
use ondisk::{CATALOG_ENTRY_LEN, Guid};

impl World {
    /// The power goes, at whatever point.
    pub(crate) fn crash(&mut self) {
        self.say(|| "CRASH".to_owned());
        let mut rng = self.rng.clone();
        self.live.crash(&mut rng);
        if let Some(other) = self.other.as_mut() {
            other.crash(&mut rng);
        }
        self.rng = rng;
        self.io.clear();
        self.late.clear();
        self.writes.clear();
        self.reads.clear();
        self.tasks.clear();
        self.resubmit = false;
        self.making = Making::None;
        self.burst = None;
        self.owed = None;
        self.lost = false;
        let result = self.truth.check_live(self.live.content(), &self.files, true);
        self.hold_to(result);
        self.load();
    }

    /// A clean stop: everything was answered; the engine is dropped.
    pub(crate) fn stop(&mut self) {
        self.say(|| "STOP".to_owned());
        for target in [Target::Live, Target::Storage] {
            let mark = self.device(target).mark();
            let landed = self.device(target).flush(mark);
            if target == Target::Live {
                self.truth.durable(&landed);
            }
        }
        // A prepared store dies with its engine.
        self.making = Making::None;
        self.tasks.clear();
        self.reads.clear();
        self.lost = false;
        self.load();
    }

    fn load(&mut self) {
        let loaded = self.try_load(self.faults);
        let loaded = match loaded {
            // The shell tries again when there is memory.
            Err(LoadError::NoMemory) if self.faults => self.try_load(false),
            other => other,
        };
        match loaded {
            Ok((engine, gate)) => (self.engine, self.gate) = (engine, gate),
            Err(error) => return self.violate(format!("what is on disk does not load: {error:?}")),
        }
        self.fresh = true;
        self.settle_snapshots();
        self.check_read_only();
        self.check_offline(false);
        self.excuses = Excuses { space: self.excuses.space, ..Excuses::default() };
        self.drain();
        self.give_files();
        self.check_snapshots();
    }

    fn try_load(&mut self, faults: bool) -> Result<(Engine, Gate), LoadError> {
        let mut loader = Loader::new(self.profile.config);
        while let Some(read) = loader.next_read() {
            let from = read.from.offset as usize / 512;
            let sectors = read.length.div_ceil(512);
            let content = self.device(read.from.target).content();
            let Some(values) = content.get(from..from + sectors) else { return Err(LoadError::Io(read.from)) };
            let values = values.to_vec();
            let mut bytes = self.arena.decode(&values);
            bytes.truncate(read.length);
            if self.bug == Some(Bug::PreviousBitmapIgnored) {
                hide_previous_bitmaps(&mut bytes);
            }
            if faults && self.rng.chance(self.profile.memory / 10) {
                memory::with_failures(self.rng.below(3) as u32, 1000, || loader.supply(&bytes))?;
            } else {
                loader.supply(&bytes)?;
            }
        }
        loader.finish()
    }

    /// Compares which snapshots there are with which there must be.
    fn settle_snapshots(&mut self) {
        let shown: Vec<Guid> = self.engine.snapshots().filter(|view| !view.hidden).map(|view| view.store).collect();
        let mut unasked = 0;
        let mut kept_older = None;
        for at in 0..self.truth.snapshots.len() {
            let snapshot = &mut self.truth.snapshots[at];
            let store = snapshot.store;
            let there = shown.contains(&store);
            match (snapshot.state, there) {
                (State::Alive, true) => kept_older = Some(store),
                (State::Committing | State::Going, true) => {
                    snapshot.state = State::Alive;
                    kept_older = Some(store);
                }
                (State::Committing | State::Going, false) => snapshot.state = State::Gone,
                (State::Alive, false) => {
                    snapshot.state = State::Gone;
                    unasked += 1;
                    let excused = self.excuses.io || self.excuses.memory || self.excuses.overwritten;
                    // The oldest may have been on its way out for lack of space.
                    let pushed_out = self.excuses.space || self.profile.small_index;
                    if !excused && (!pushed_out || unasked > 1 || kept_older.is_some()) {
                        self.violate(format!("snapshot {store} did not survive the restart"));
                    }
                }
                (State::Gone, true) => self.violate(format!("snapshot {store} came back from the dead")),
                (State::Gone | State::Lost, _) => {}
            }
        }
        let unknown = shown.iter().find(|store| !self.truth.snapshots.iter().any(|snapshot| snapshot.store == **store));
        if let Some(store) = unknown {
            self.violate(format!("snapshot {store} is there, which nobody made"));
        }
    }

    /// An engine that only reads must show the same content, whatever state the disks are in.
    fn check_read_only(&mut self) {
        let config = self.profile.config;
        self.profile.config.read_only = true;
        let loaded = self.try_load(false);
        self.profile.config = config;
        match loaded {
            Err(error) => self.violate(format!("what is on disk does not load for reading: {error:?}")),
            Ok((engine, gate)) => {
                let engine = std::mem::replace(&mut self.engine, engine);
                let gate = std::mem::replace(&mut self.gate, gate);
                self.check_snapshots();
                (self.engine, self.gate) = (engine, gate);
            }
        }
    }

    /// Tells the runs of the store files, and deletes files that no snapshot names.
    fn give_files(&mut self) {
        let known: Vec<Guid> = self.engine.snapshots().map(|view| view.store).collect();
        let orphans: Vec<Guid> = self.stores.keys().filter(|store| !known.contains(store)).copied().collect();
        for store in orphans {
            self.delete_store_file(store);
        }
        for store in known {
            let Some(file) = self.stores.get(&store).copied() else {
                let lost = self.truth.find(store).is_some_and(|snapshot| snapshot.state == State::Lost);
                if !lost {
                    self.violate(format!("the file of {store} was deleted, and the catalog has it"));
                }
                continue;
            };
            let extents = self.store_files().extents(file);
            for _ in 0..20 {
                if self.call(|engine, gate| engine.set_extents(gate, store, &extents)).is_ok() {
                    break;
                }
            }
        }
    }

    fn disks(&self) -> Disks<'_> {
        Disks {
            live: &self.live,
            storage: self.other.as_ref().unwrap_or(&self.live),
            arena: &self.arena,
            redirected: self.redirected(),
        }
    }

    /// Reads the disks without the engine and compares; when everything is `settled` the catalog must be in order, too.
    pub(crate) fn check_offline(&mut self, settled: bool) {
        let result = self.offline(settled);
        self.hold_to(result.map_err(|error| format!("offline reader: {error}")));
    }

    fn offline(&self, settled: bool) -> Result<(), String> {
        let disks = self.disks();
        let on_disk = disks.open()?;
        if settled {
            self.check_order(&on_disk)?;
        }
        for snapshot in self.truth.snapshots.iter().filter(|snapshot| snapshot.state == State::Alive) {
            let which = on_disk.snapshots.iter().position(|found| found.entry.store == snapshot.store);
            let which = which.ok_or_else(|| format!("{} is not on disk", snapshot.store))?;
            for block in (0..snapshot.needed.len()).filter(|block| snapshot.needed[*block]) {
                let mut values = disks.block(&on_disk, which, block);
                values.truncate(snapshot.content.len() - block * 32);
                snapshot.compare(block * 32, &values)?;
            }
        }
        Ok(())
    }

    /// What every reader wants of a catalog at rest.
    fn check_order(&self, on_disk: &OnDisk) -> Result<(), String> {
        if on_disk.orphans > 0 && !self.redirected() {
            return Err(format!("{} stores without a snapshot", on_disk.orphans));
        }
        let mut last = None;
        for (expected, found) in (1u64..).zip(&on_disk.snapshots) {
            if found.entry.sequence != expected {
                return Err(format!("{} has sequence {}, not {expected}", found.entry.store, found.entry.sequence));
            }
            if last >= Some(found.entry.created) {
                return Err(format!("{} is not younger than the one before", found.entry.store));
            }
            last = Some(found.entry.created);
            if !self.redirected() && found.store_at != found.at + CATALOG_ENTRY_LEN as u64 {
                return Err(format!("the entries of {} are not neighbours", found.entry.store));
            }
            if found.holes {
                return Err(format!("{} has unused descriptors among used ones", found.entry.store));
            }
            let shown = self.engine.snapshots().find(|view| view.store == found.entry.store);
            if shown.is_none_or(|view| view.hidden != found.hidden()) {
                return Err(format!("{} is on disk other than the engine shows it", found.entry.store));
            }
        }
        Ok(())
    }
}

/// Takes the previous bitmaps out of a catalog block.
fn hide_previous_bitmaps(bytes: &mut [u8]) {
    if bytes.get(..16) != Some(ondisk::IDENTIFIER.as_bytes().as_slice()) || bytes[20] != 2 {
        return;
    }
    for entry in bytes[ondisk::HEADER_LEN..].chunks_exact_mut(CATALOG_ENTRY_LEN) {
        if entry[0] == 3 {
            entry[72..80].fill(0);
        }
    }
}
