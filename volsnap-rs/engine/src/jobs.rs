// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes of metadata outside the write path, one at a time: what is written, in which order, and what then is true.
//!
//! A job is a list of steps; the items of a step may run in any order and are all done before the next step begins. A
//! step that fails is tried again whole (every item is idempotent). Which job runs next is derived from the engine's
//! state, never queued: nothing can be lost for lack of memory.

use crate::catalog::CatalogWrite;
use crate::cow::MAX_ATTEMPTS;
use crate::engine::{Engine, Hold};
use crate::gate::Gate;
use crate::index::Index;
use crate::list::ListTail;
use crate::store::{Growth, Life};
use crate::types::{Command, DeleteReason, Event, IoError, NoMemory, Place, RequestError, Target, Token, TokenKind};
use crate::vecs;
use alloc::vec::Vec;
use ondisk::{CatalogEntry, SnapshotEntry, VOLUME_HEADER_OFFSET, VolumeHeader, snapshot_flags};

/// One I/O of a job.
#[derive(Debug)]
pub(crate) enum Item {
    Write { to: Place, bytes: Vec<u8>, durable: bool },
    Flush(Target),
}

/// I/Os that may run side by side.
pub(crate) type Step = Vec<Item>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Mends what a crash left.
    Repair,
    Area,
    Prepare,
    Commit,
    /// Marks a snapshot as being deleted.
    Mark(u32),
    /// Removes a snapshot's catalog entries.
    Remove(u32),
    /// Rewrites the entries of a snapshot whose removal failed.
    Restore(u32),
    Renumber,
    /// Writes the range list of a grown store.
    Extend(u32),
    Maximum(u64),
    /// Cuts the header off a catalog that somebody is about to overwrite.
    Forget,
    /// Takes back every catalog entry, after the diff area could not be written.
    Invalidate,
}

#[derive(Debug)]
pub(crate) struct Job {
    work: Work,
    steps: Vec<Step>,
    step: usize,
    issued: usize,
    done: usize,
    failed: bool,
    attempts: u8,
    /// Failed flushes when its first step began.
    failed_flushes: u64,
    /// Stops before the next step.
    cancelled: bool,
}

impl Job {
    fn current(&self) -> Option<&Step> {
        self.steps.get(self.step)
    }

    pub(crate) fn payload(&self, item: u32) -> &[u8] {
        match self.current().and_then(|step| step.get(item as usize)) {
            Some(Item::Write { bytes, .. }) => bytes,
            _ => &[],
        }
    }

    /// Whether the step that makes the snapshot exist has begun.
    fn past_return(&self) -> bool {
        self.step + 1 == self.steps.len()
    }
}

/// Work that is wanted, as far as it cannot be seen from the stores.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) area: Option<(VolumeHeader, Option<(VolumeHeader, u64)>)>,
    pub(crate) maximum: Option<u64>,
    pub(crate) renumber: bool,
    pub(crate) forget_area: bool,
    /// The maximum was lowered: what is over it goes.
    pub(crate) over: bool,
    /// Release writes when the commit is through.
    pub(crate) release: bool,
    /// Work that failed is to be tried again.
    pub(crate) retry: bool,
    /// Work failed; none of its kind until `retry`.
    pub(crate) stalled: bool,
}

pub(crate) use crate::prepare::Preparing;

impl Engine {
    /// Whether a job could be started.
    pub(crate) fn has_work(&self) -> bool {
        self.choose().is_some() || self.preparing.as_ref().is_some_and(Preparing::is_busy)
    }

    fn choose(&self) -> Option<Work> {
        if self.lost {
            return (!self.pending.stalled).then_some(Work::Invalidate);
        }
        let ready = !self.pending.stalled;
        if ready && !self.repairs.is_empty() {
            return Some(Work::Repair);
        }
        if self.pending.area.is_some() {
            return Some(Work::Area);
        }
        if self.preparing.as_ref().is_some_and(Preparing::wants_commit) {
            return Some(Work::Commit);
        }
        if let Some(oldest) = self.stores.first().filter(|_| ready) {
            // A snapshot that nothing older can need goes at once.
            if oldest.life != Life::Alive && !self.copies.refers(oldest.order) {
                return Some(Work::Remove(oldest.order));
            }
        }
        for store in self.stores.iter().skip(1).filter(|_| ready) {
            match store.life {
                Life::Condemned(_) => return Some(Work::Mark(store.order)),
                Life::Unneeded if !self.copies.refers(store.order) => return Some(Work::Remove(store.order)),
                _ => {}
            }
        }
        if let Some(store) =
            self.stores.iter().find(|store| store.unsure && store.life == Life::Alive).filter(|_| ready)
        {
            return Some(Work::Restore(store.order));
        }
        if ready && self.pending.forget_area && self.stores.is_empty() {
            return Some(Work::Forget);
        }
        if ready && self.pending.renumber {
            return Some(Work::Renumber);
        }
        if let Some(store) = self.stores.iter().find(|store| matches!(store.growth, Growth::Given(_))) {
            return Some(Work::Extend(store.order));
        }
        if let Some(bytes) = self.pending.maximum {
            return Some(Work::Maximum(bytes));
        }
        self.preparing.as_ref().filter(|preparing| preparing.wants_write()).map(|_| Work::Prepare)
    }

    pub(crate) fn start_job(&mut self, gate: &Gate) {
        if self.pending.retry {
            self.pending.stalled = false;
        }
        while self.job.is_none() {
            let Some(work) = self.choose() else { return };
            match self.build(gate, work) {
                Ok(steps) if steps.is_empty() => self.finish(gate, work),
                Ok(steps) => {
                    self.job = Some(Job {
                        work,
                        steps,
                        step: 0,
                        issued: 0,
                        done: 0,
                        failed: false,
                        attempts: 0,
                        failed_flushes: self.failed_flushes,
                        cancelled: false,
                    });
                }
                Err(error) => self.fail(gate, work, error, false),
            }
        }
    }

    pub(crate) fn next_job_command(&mut self) -> Option<Command> {
        let job = self.job.as_mut()?;
        let at = job.issued;
        let item = job.steps.get(job.step)?.get(at)?;
        let token = Token(TokenKind::Job(at as u32));
        let command = match item {
            Item::Write { to, bytes, durable } => {
                Command::Write { token, to: *to, length: bytes.len() as u32, durable: *durable }
            }
            Item::Flush(target) => Command::Flush { token, target: *target },
        };
        job.issued += 1;
        Some(command)
    }

    pub(crate) fn job_item_done(&mut self, gate: &Gate, item: u32, result: Result<(), IoError>) {
        let Some(job) = self.job.as_mut() else { return };
        let flush = matches!(job.current().and_then(|step| step.get(item as usize)), Some(Item::Flush(_)));
        if flush && result.is_err() {
            self.failed_flushes = self.failed_flushes.saturating_add(1);
            self.copies.distrust();
            for store in &mut self.stores {
                store.list.iter_mut().for_each(ListTail::distrust_spare);
            }
        }
        let Some(job) = self.job.as_mut() else { return };
        job.done += 1;
        // Another flush failed since the job's writes: this one may not have brought them to disk.
        job.failed |= result.is_err() || (flush && job.failed_flushes != self.failed_flushes);
        let count = job.steps.get(job.step).map_or(0, Vec::len);
        if job.done < count {
            return;
        }
        (job.issued, job.done) = (0, 0);
        if core::mem::take(&mut job.failed) {
            job.attempts += 1;
            if job.attempts >= MAX_ATTEMPTS || job.cancelled {
                let (work, past, begun) = (job.work, job.past_return(), job.step > 0);
                self.job = None;
                match work {
                    // The snapshot's entry is gone, only the store's is left: garbage that nobody reads.
                    Work::Remove(order) if begun => self.removed(gate, order),
                    _ => self.fail(gate, work, RequestError::Io, past),
                }
            }
            // A failed flush makes no promise about the writes before it.
            else if matches!(job.current().and_then(|step| step.first()), Some(Item::Flush(_))) {
                job.step = 0;
                job.failed_flushes = self.failed_flushes;
            }
            return;
        }
        job.attempts = 0;
        job.step += 1;
        let work = job.work;
        if job.cancelled {
            self.job = None;
            self.fail(gate, work, RequestError::Released, false);
        } else if job.step >= job.steps.len() {
            self.job = None;
            self.finish(gate, work);
        }
    }

    /// Gives up a commit that can still be given up. `false`: it cannot.
    pub(crate) fn cancel_commit(&mut self, gate: &Gate) -> bool {
        match self.job.as_mut() {
            Some(job) if job.work == Work::Commit => {
                if job.past_return() {
                    return false;
                }
                job.cancelled = true;
            }
            _ => {
                if self.preparing.as_ref().is_some_and(Preparing::wants_commit) {
                    self.drop_preparing(RequestError::Released);
                    self.pump(gate);
                }
            }
        }
        true
    }

    // ---- what each job writes -------------------------------------------------------------------------------------

    fn build(&mut self, gate: &Gate, work: Work) -> Result<Vec<Step>, RequestError> {
        Ok(match work {
            Work::Repair => self.build_repair()?,
            Work::Area => self.build_area()?,
            Work::Prepare => self.build_prepare()?,
            Work::Commit => self.build_commit(gate)?,
            Work::Mark(order) => self.build_mark(order)?,
            Work::Remove(order) => self.build_remove(order)?,
            Work::Restore(order) => self.build_restore(order)?,
            Work::Renumber => self.build_renumber()?,
            Work::Extend(order) => self.build_extend(order)?,
            Work::Maximum(bytes) => {
                let header = self.header.map(|header| VolumeHeader { maximum: bytes, application_flags: 1, ..header });
                self.build_header(header)?
            }
            Work::Forget => self.build_header(self.header.map(|header| VolumeHeader { catalog: 0, ..header }))?,
            Work::Invalidate => self.build_catalogs()?,
        })
    }

    fn build_repair(&mut self) -> Result<Vec<Step>, NoMemory> {
        let mut step = Vec::new();
        for (place, bytes) in &self.repairs {
            let mut copy = vecs::filled(0, bytes.len())?;
            vecs::copy(&mut copy, bytes);
            vecs::push(&mut step, Item::Write { to: *place, bytes: copy, durable: true })?;
        }
        steps([step])
    }

    fn build_header(&mut self, header: Option<VolumeHeader>) -> Result<Vec<Step>, NoMemory> {
        match header {
            Some(header) => steps([one(header_write(Target::Live, &header)?)?]),
            None => Ok(Vec::new()),
        }
    }

    fn build_area(&mut self) -> Result<Vec<Step>, NoMemory> {
        let Some((header, storage)) = self.pending.area else { return Ok(Vec::new()) };
        let mut blocks = Vec::new();
        let mut storage_headers = Vec::new();
        self.live = crate::catalog::Catalog::create(Target::Live, header.catalog)?;
        self.live.write_all(&mut blocks)?;
        let mut flushes = one(Item::Flush(Target::Live))?;
        if let Some((storage_header, at)) = storage {
            self.storage = crate::catalog::Catalog::create(Target::Storage, at)?;
            self.storage.write_all(&mut blocks)?;
            vecs::push(&mut flushes, Item::Flush(Target::Storage))?;
            let storage_header = VolumeHeader { catalog: at, ..storage_header };
            vecs::push(&mut storage_headers, header_write(Target::Storage, &storage_header)?)?;
        }
        // The live volume's header names the storage volume: that one's has to be there first.
        steps([blocks, flushes, storage_headers, one(header_write(Target::Live, &header)?)?])
    }

    fn build_mark(&mut self, order: u32) -> Result<Vec<Step>, NoMemory> {
        let Some(store) = self.by_order(order) else { return Ok(Vec::new()) };
        let (at, mut entry) = (store.snapshot_at, store.snapshot);
        entry.flags |= snapshot_flags::OFFLINE | snapshot_flags::DELETION_IN_PROGRESS;
        let sector = self.config.sector;
        let catalog = self.catalog(at.target);
        catalog.put(at, &CatalogEntry::Snapshot(entry));
        steps([one(durable(catalog.write(at, at, sector)?))?])
    }

    fn build_remove(&mut self, order: u32) -> Result<Vec<Step>, NoMemory> {
        self.freed.try_reserve(1).map_err(|_| NoMemory)?;
        let Some(store) = self.by_order(order) else { return Ok(Vec::new()) };
        let (snapshot_at, entry_at) = (store.snapshot_at, store.entry_at);
        let sector = self.config.sector;
        self.catalog(snapshot_at.target).put(snapshot_at, &CatalogEntry::Free);
        self.catalog(entry_at.target).put(entry_at, &CatalogEntry::Free);
        let first = self.catalog(snapshot_at.target).write(snapshot_at, snapshot_at, sector)?;
        let second = self.catalog(entry_at.target).write(entry_at, entry_at, sector)?;
        if first.0 == second.0 {
            return steps([one(durable(first))?]);
        }
        // The snapshot's entry first: a store without a snapshot is garbage, a snapshot without a store is damage.
        steps([one(durable(first))?, one(durable(second))?])
    }

    /// The images were put back when the removal failed.
    fn build_restore(&mut self, order: u32) -> Result<Vec<Step>, NoMemory> {
        let Some(store) = self.by_order(order) else { return Ok(Vec::new()) };
        let (snapshot_at, entry_at) = (store.snapshot_at, store.entry_at);
        let sector = self.config.sector;
        let snapshot = self.catalog(snapshot_at.target).write(snapshot_at, snapshot_at, sector)?;
        let entry = self.catalog(entry_at.target).write(entry_at, entry_at, sector)?;
        if snapshot.0 == entry.0 {
            return steps([one(durable(snapshot))?]);
        }
        steps([one(durable(entry))?, one(durable(snapshot))?])
    }

    /// The stores, counted from the oldest, that get their number next.
    ///
    /// Numbers are to be dense from 1, and whatever a crash leaves of it must have the stores in order; readers decide
    /// ties by the time. So either all at once, where each moves by one at most, or the oldest that has to come down
    /// (above those before it, below those behind it), or the newest that has to go up.
    fn next_numbers(&self) -> core::ops::Range<usize> {
        let numbers = || (1u64..).zip(&self.stores).map(|(wanted, store)| (wanted, store.snapshot.sequence));
        if numbers().all(|(wanted, number)| wanted.abs_diff(number) <= 1) {
            return 0..self.stores.len();
        }
        let lower = numbers().position(|(wanted, number)| number > wanted);
        let higher = || (0u64..).zip(&self.stores).filter(|(i, store)| store.snapshot.sequence <= *i).last();
        let at = lower.or_else(|| higher().map(|(i, _)| i as usize)).unwrap_or(0);
        at..at + 1
    }

    fn build_renumber(&mut self) -> Result<Vec<Step>, NoMemory> {
        let sector = self.config.sector;
        let mut step: Step = Vec::new();
        for i in self.next_numbers() {
            let Some(store) = self.stores.get(i) else { break };
            if store.snapshot.sequence == i as u64 + 1 {
                continue;
            }
            // The store itself keeps its number until the new one is durable: what fails is to be tried again.
            let (at, entry) = (store.snapshot_at, SnapshotEntry { sequence: i as u64 + 1, ..store.snapshot });
            let catalog = self.catalog(at.target);
            catalog.put(at, &CatalogEntry::Snapshot(entry));
            let (place, bytes) = catalog.write(at, at, sector)?;
            // Several entries share a sector: the last image has them all.
            match step.iter_mut().find(|item| matches!(item, Item::Write { to, .. } if *to == place)) {
                Some(Item::Write { bytes: earlier, .. }) => *earlier = bytes,
                _ => vecs::push(&mut step, durable((place, bytes)))?,
            }
        }
        if step.is_empty() { Ok(Vec::new()) } else { steps([step]) }
    }

    fn renumbered(&mut self) {
        for i in self.next_numbers() {
            if let Some(store) = self.stores.get_mut(i) {
                store.snapshot.sequence = i as u64 + 1;
            }
        }
        self.pending.renumber = (1u64..).zip(&self.stores).any(|(number, s)| s.snapshot.sequence != number);
    }

    /// The images say what the stores say, again.
    fn renumber_failed(&mut self) {
        for i in 0..self.stores.len() {
            let Some((at, entry)) = self.stores.get(i).map(|store| (store.snapshot_at, store.snapshot)) else { break };
            self.catalog(at.target).put(at, &CatalogEntry::Snapshot(entry));
        }
        self.pending.stalled = true;
    }

    /// Snapshots first: a store without a snapshot is garbage, a snapshot without a store is damage.
    fn build_catalogs(&mut self) -> Result<Vec<Step>, NoMemory> {
        let (mut live, mut storage) = (Vec::new(), Vec::new());
        self.live.write_all(&mut live)?;
        self.storage.write_all(&mut storage)?;
        if storage.is_empty() {
            return steps([live, one(Item::Flush(Target::Live))?]);
        }
        steps([live, one(Item::Flush(Target::Live))?, storage, one(Item::Flush(Target::Storage))?])
    }

    // ---- what is true then ----------------------------------------------------------------------------------------

    fn finish(&mut self, gate: &Gate, work: Work) {
        match work {
            Work::Repair => self.repairs.clear(),
            Work::Area => {
                if let Some((header, storage)) = self.pending.area.take() {
                    self.header = Some(header);
                    if let Some((storage_header, catalog)) = storage {
                        self.storage_header = Some(VolumeHeader { catalog, ..storage_header });
                    }
                }
                self.retarget(gate);
                self.notify(Event::AreaReady);
            }
            Work::Prepare => self.prepared(),
            Work::Commit => self.committed(gate),
            Work::Mark(order) => self.marked(gate, order),
            Work::Remove(order) => self.removed(gate, order),
            Work::Restore(order) => {
                let Some(store) = self.by_order_mut(order) else { return };
                store.unsure = false;
                let guid = store.snapshot.store;
                self.notify(Event::DeleteFailed { store: guid });
            }
            Work::Renumber => self.renumbered(),
            Work::Extend(order) => self.extended(gate, order),
            Work::Maximum(bytes) => {
                self.pending.maximum = None;
                self.pending.over = true;
                if let Some(header) = self.header.as_mut() {
                    header.maximum = bytes;
                    header.application_flags = 1;
                }
                self.forget_refusals();
                self.notify(Event::MaximumSet);
            }
            Work::Forget => {
                self.pending.forget_area = false;
                self.forget_catalog();
                self.notify(Event::AreaRemoved);
                self.retarget(gate);
            }
            Work::Invalidate => self.taken_back(),
        }
    }

    /// The catalog is empty, durably: what was lost is gone, and one can begin again.
    fn taken_back(&mut self) {
        self.lost = false;
        for store in &self.graveyard {
            // Without memory the file stays until the shell looks for files without owner, at the next start.
            let freed = crate::removal::Freed {
                store: store.snapshot.store,
                order: store.order,
                bytes: store.file_size,
                asked: false,
            };
            let _ = vecs::push(&mut self.freed, freed);
        }
    }

    fn forget_catalog(&mut self) {
        self.live = crate::catalog::Catalog::new(Target::Live);
        if let Some(header) = self.header.as_mut() {
            header.catalog = 0;
        }
    }

    fn marked(&mut self, gate: &Gate, order: u32) {
        let Some(store) = self.by_order_mut(order) else { return };
        let reason = reason(store.life);
        store.life = Life::Doomed;
        store.snapshot.flags |= snapshot_flags::OFFLINE | snapshot_flags::DELETION_IN_PROGRESS;
        let guid = store.snapshot.store;
        self.notify(Event::Deleted { store: guid, reason });
        self.retarget(gate);
    }

    fn removed(&mut self, gate: &Gate, order: u32) {
        let Some(at) = self.stores.iter().position(|store| store.order == order) else { return };
        let Some(store) = vecs::remove(&mut self.stores, at) else { return };
        self.index.remove_store(order);
        self.overlays.remove_store(order);
        self.reverse.remove_store(order);
        if self.config.same_volume {
            // When it took these blocks no snapshot needed them, and none since: a store is never preserved.
            for block in store.space.runs().iter().flat_map(crate::prepare::blocks_in) {
                gate.set(block);
            }
        }
        let guid = store.snapshot.store;
        // Room was reserved when the job was made.
        let freed = crate::removal::Freed { store: guid, order, bytes: store.file_size, asked: false };
        let _ = vecs::push(&mut self.freed, freed);
        self.pending.renumber = (1u64..).zip(&self.stores).any(|(number, s)| s.snapshot.sequence != number);
        if matches!(store.life, Life::Condemned(_)) {
            self.notify(Event::Deleted { store: guid, reason: reason(store.life) });
        }
        self.retarget(gate);
    }

    // ---- what is done when it fails -------------------------------------------------------------------------------

    /// `past`: the failed step was the last one, so that the disk may have either state.
    fn fail(&mut self, gate: &Gate, work: Work, error: RequestError, past: bool) {
        match work {
            // In memory the holes are filled. The next load mends them.
            Work::Repair => self.repairs.clear(),
            Work::Renumber => self.renumber_failed(),
            Work::Restore(_) | Work::Invalidate => self.pending.stalled = true,
            Work::Forget => {
                // Whoever writes there does not wait for a broken device: the header is written at a later tick.
                self.pending.stalled = true;
                if error == RequestError::Io {
                    self.forget_catalog();
                    self.retarget(gate);
                }
            }
            Work::Area => {
                self.pending.area = None;
                self.live = crate::catalog::Catalog::new(Target::Live);
                if self.storage_header.is_none() {
                    self.storage = crate::catalog::Catalog::new(Target::Storage);
                }
                self.notify(Event::AreaFailed);
            }
            Work::Prepare => self.drop_preparing(error),
            Work::Commit if past => {
                // It may be on disk. So it is preserved like any other until it is durably gone.
                let order = self.next_order;
                self.committed(gate);
                self.condemn(order, DeleteReason::CopyFailed);
            }
            Work::Commit => {
                self.drop_commit_entries();
                self.drop_preparing(error);
                if core::mem::take(&mut self.pending.release) && self.hold != Hold::Open {
                    self.open(gate);
                }
            }
            Work::Mark(order) | Work::Remove(order) => self.removal_failed(gate, order, error),
            Work::Extend(order) => {
                if let Some(store) = self.by_order_mut(order) {
                    store.growth = Growth::Refused(store.space.free_blocks());
                }
                self.advance_all(gate);
            }
            Work::Maximum(_) => {
                self.pending.maximum = None;
                self.notify(Event::MaximumFailed);
            }
        }
    }

    fn removal_failed(&mut self, gate: &Gate, order: u32, error: RequestError) {
        // The images in memory say what the entries are until something else is durable.
        if let Some(store) = self.by_order(order) {
            let (snapshot, entry) = (store.snapshot, store.entry);
            let (snapshot_at, entry_at) = (store.snapshot_at, store.entry_at);
            self.catalog(snapshot_at.target).put(snapshot_at, &CatalogEntry::Snapshot(snapshot));
            self.catalog(entry_at.target).put(entry_at, &CatalogEntry::Store(entry));
        }
        let Some(store) = self.by_order_mut(order) else { return };
        let guid = store.snapshot.store;
        match store.life {
            Life::Condemned(DeleteReason::Requested) => {
                store.life = Life::Alive;
                // A write that failed may be on disk all the same. The answer comes when the entries are rewritten.
                store.unsure |= error != RequestError::NoMemory;
                if !store.unsure {
                    self.notify(Event::DeleteFailed { store: guid });
                }
                self.advance_all(gate);
            }
            // Memory comes back: the next tick tries again, and writes wait for it.
            _ if error == RequestError::NoMemory => self.pending.stalled = true,
            Life::Condemned(_) => self.lose(gate),
            Life::Alive | Life::Doomed | Life::Unneeded => self.pending.stalled = true,
        }
    }

    /// The diff area can neither keep its snapshots nor say so. Users' writes go on; every tick tries to say it.
    fn lose(&mut self, gate: &Gate) {
        self.lost = true;
        self.pending.stalled = true;
        for i in 0..self.stores.len() {
            let Some((snapshot_at, entry_at)) = self.stores.get(i).map(|s| (s.snapshot_at, s.entry_at)) else { break };
            self.catalog(snapshot_at.target).put(snapshot_at, &CatalogEntry::Free);
            self.catalog(entry_at.target).put(entry_at, &CatalogEntry::Free);
        }
        // Their lists may be being written this moment.
        core::mem::swap(&mut self.stores, &mut self.graveyard);
        self.stores.clear();
        self.drop_commit_entries();
        self.drop_preparing(RequestError::Io);
        self.index = Index::new();
        self.overlays = Index::new();
        self.reverse = Index::new();
        self.merge = None;
        self.repairs.clear();
        self.notify(Event::StorageLost);
        if core::mem::take(&mut self.pending.release) && self.hold != Hold::Open {
            self.hold = Hold::Open;
        }
        self.retarget(gate);
    }
}

fn reason(life: Life) -> DeleteReason {
    match life {
        Life::Condemned(reason) => reason,
        Life::Alive | Life::Doomed | Life::Unneeded => DeleteReason::Resumed,
    }
}

pub(crate) fn durable((to, bytes): CatalogWrite) -> Item {
    Item::Write { to, bytes, durable: true }
}

pub(crate) fn plain(to: Place, bytes: Vec<u8>) -> Item {
    Item::Write { to, bytes, durable: false }
}

pub(crate) fn one(item: Item) -> Result<Step, NoMemory> {
    let mut step = Vec::new();
    vecs::push(&mut step, item)?;
    Ok(step)
}

pub(crate) fn steps<const N: usize>(list: [Step; N]) -> Result<Vec<Step>, NoMemory> {
    let mut steps = Vec::new();
    for step in list {
        if !step.is_empty() {
            vecs::push(&mut steps, step)?;
        }
    }
    Ok(steps)
}

fn header_write(target: Target, header: &VolumeHeader) -> Result<Item, NoMemory> {
    let image = header.to_bytes();
    let mut bytes = vecs::filled(0, image.len())?;
    vecs::copy(&mut bytes, &image);
    Ok(Item::Write { to: Place { target, offset: VOLUME_HEADER_OFFSET }, bytes, durable: true })
}
