// SPDX-License-Identifier: MIT OR Apache-2.0
//! The shell's work on store files: growing, deleting, and discarding what was in their clusters before.

use crate::world::World;
use engine::Priority;
use ondisk::Guid;

/// Work on a store file.
#[derive(Debug)]
pub(crate) enum Task {
    /// To be grown or refused.
    Grow { store: Guid, bytes: u64 },
    /// Grown in the file system; these discards are under way.
    Grown { store: Guid, discards: Vec<u64> },
    /// To be deleted.
    Free { store: Guid },
}

impl World {
    pub(crate) fn asked_to_grow(&mut self, store: Guid, bytes: u64) {
        if bytes == 0 || !bytes.is_multiple_of(0x4000) {
            self.violate(format!("growth by {bytes} bytes"));
        }
        let twice =
            |task: &Task| matches!(task, Task::Grow { store: s, .. } | Task::Grown { store: s, .. } if *s == store);
        if self.tasks.iter().any(twice) {
            self.violate("growth asked for twice at once");
        }
        self.tasks.push(Task::Grow { store, bytes });
    }

    pub(crate) fn asked_to_free(&mut self, store: Guid) {
        self.tasks.push(Task::Free { store });
    }

    /// Writes over the runs of a store file through the write path, so that the engine saves what snapshots need.
    pub(crate) fn discard_file(&mut self, ranges: &[std::ops::Range<usize>]) -> Vec<u64> {
        // On another volume nothing of this one's snapshots is in the way.
        if self.redirected() || self.rng.chance(self.profile.undiscarded) {
            return Vec::new();
        }
        ranges.iter().filter_map(|range| self.begin_write(range.clone(), Priority::Reserve)).collect()
    }

    /// Gets on with one task. The file system's own metadata writes wait while writes are held.
    pub(crate) fn progress_task(&mut self, at: usize) {
        let frozen = self.making.holds();
        match &self.tasks[at] {
            Task::Grow { store, bytes } => {
                let (store, bytes) = (*store, *bytes);
                // A discard of free space may be waiting for this very growth: patience has an end.
                let busy = self.free_space_is_busy();
                if frozen || (busy && self.rng.chance(970)) {
                    return;
                }
                if busy {
                    self.tasks.swap_remove(at);
                    return self.refuse_growth(store);
                }
                self.tasks.swap_remove(at);
                self.grow_file(store, bytes);
            }
            Task::Grown { store, discards } => {
                let store = *store;
                if discards.iter().any(|id| self.is_writing(*id)) {
                    // A shell's patience. It cannot answer before: the discards would go over the store.
                    if self.rng.chance(30) {
                        self.excuses.space = true;
                        self.call(|engine, gate| engine.lend_reserve(gate));
                    }
                    return;
                }
                self.tasks.swap_remove(at);
                let Some(file) = self.stores.get(&store).copied() else { return };
                let extents = self.store_files().extents(file);
                self.say(|| format!("grown {store}: {extents:x?}"));
                self.call(|engine, gate| engine.grown(gate, store, Some(&extents)));
            }
            Task::Free { store } => {
                let store = *store;
                if frozen || self.rng.chance(500) {
                    return;
                }
                self.tasks.swap_remove(at);
                self.delete_store_file(store);
                self.call(|engine, gate| engine.store_freed(gate, store));
            }
        }
    }

    fn grow_file(&mut self, store: Guid, bytes: u64) {
        let Some(file) = self.stores.get(&store).copied() else { return };
        let refused = self.rng.chance(self.profile.refusals);
        let before = self.store_files().runs(file).len();
        let mut rng = self.rng.clone();
        let grown = !refused && self.store_files().grow(file, bytes as usize / 512, &mut rng);
        self.rng = rng;
        if !grown {
            return self.refuse_growth(store);
        }
        let added = self.store_files().runs(file).split_off(before);
        // Blocks that are not aligned or not discarded are of no use, which may come to a refusal.
        let whole: usize = added.iter().map(|run| (run.end / 32).saturating_sub(run.start.div_ceil(32))).sum();
        if (whole as u64) < bytes / 0x4000 || self.profile.undiscarded > 0 {
            self.excuses.space = true;
        }
        self.say(|| format!("grow {store}: file {file} gets {added:?}"));
        self.forget_content(&added);
        let discards = self.discard_file(&added);
        self.tasks.push(Task::Grown { store, discards });
    }

    fn refuse_growth(&mut self, store: Guid) {
        self.excuses.space = true;
        self.say(|| format!("growth of {store} refused"));
        self.call(|engine, gate| engine.grown(gate, store, None));
    }

    /// Cuts the file of an older store to what it uses.
    pub(crate) fn seal_some(&mut self) {
        let stores: Vec<Guid> = self.stores.keys().copied().collect();
        if stores.is_empty() || self.making.holds() {
            return;
        }
        let store = self.rng.pick(&stores);
        let growing =
            |task: &Task| matches!(task, Task::Grow { store: s, .. } | Task::Grown { store: s, .. } if *s == store);
        if self.tasks.iter().any(growing) {
            return;
        }
        if let Some(used) = self.call(|engine, gate| engine.seal(gate, store)) {
            let file = self.stores[&store];
            let freed = self.store_files().truncate(file, used);
            self.say(|| format!("store {store} cut to {used:#x}: {freed:?}"));
            self.keep_content(&freed);
        }
    }

    pub(crate) fn delete_store_file(&mut self, store: Guid) {
        let Some(file) = self.stores.remove(&store) else { return };
        self.say(|| format!("file of store {store} deleted"));
        let freed = self.store_files().delete(file);
        self.keep_content(&freed);
    }

    /// Sectors that leave the diff area: what they hold now is what they must hold until somebody writes there.
    pub(crate) fn keep_content(&mut self, ranges: &[std::ops::Range<usize>]) {
        if !self.redirected() {
            for range in ranges {
                self.live.release(range);
                self.truth.forget(range.clone(), self.version);
                self.truth.write_failed(range.start, range.len(), self.live.content());
            }
        }
    }
}
