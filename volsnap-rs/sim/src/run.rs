// SPDX-License-Identifier: MIT OR Apache-2.0
//! The schedule of a run: what happens next is drawn, everything else follows.

use crate::bug::Bug;
use crate::memory;
use crate::truth::State;
use crate::world::World;
use engine::{Priority, RequestError, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Steps within which everything has to come to rest when nothing new begins and nothing fails.
const PATIENCE: usize = 400_000;

/// What a run found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The run.
    pub seed: u64,
    /// When, in scheduler steps.
    pub step: u64,
    /// What differed.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {} step {}: {}", self.seed, self.step, self.what)
    }
}

/// What a clean run did, to see that runs are not empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Scheduler steps.
    pub steps: u64,
    /// Snapshots committed.
    pub snapshots: usize,
    /// Users' writes.
    pub writes: u64,
}

/// Runs one seed.
pub fn run(seed: u64, bug: Option<Bug>, trace: bool) -> Result<Report, Violation> {
    let mut world = World::new(seed, bug, trace);
    let ended = catch_unwind(AssertUnwindSafe(|| world.live_through()));
    memory::restore();
    let what = match (ended, world.violation()) {
        (_, Some(what)) => what.to_owned(),
        (Ok(()), None) => {
            return Ok(Report { steps: world.step, snapshots: world.truth.snapshots.len(), writes: world.version });
        }
        (Err(panic), None) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
            format!("panic: {text}")
        }
    };
    Err(Violation { seed, step: world.step, what })
}

impl World {
    fn live_through(&mut self) {
        let profile = self.profile.clone();
        self.say(|| format!("{profile:?}"));
        for _ in 0..self.profile.epochs {
            self.faults = true;
            for _ in 0..self.rng.within(self.profile.steps / 4, self.profile.steps) {
                self.turn();
                if self.violation().is_some() {
                    return;
                }
            }
            if self.rng.chance(self.profile.crashes) {
                self.seek_torn_list();
                self.crash();
                // Recovery can be cut short as well.
                while self.violation().is_none() && self.rng.chance(300) {
                    for _ in 0..self.rng.below(30) {
                        self.turn();
                    }
                    self.crash();
                }
            } else {
                self.settle();
                if self.violation().is_none() {
                    self.stop();
                }
            }
            if self.violation().is_some() {
                return;
            }
            if self.rng.chance(500) {
                self.settle();
            }
        }
        self.settle();
    }

    /// Goes on for a while until descriptors are being written that a crash can tear, in half of the cases.
    fn seek_torn_list(&mut self) {
        if self.rng.chance(500) {
            for _ in 0..400 {
                if self.tearable() || self.violation().is_some() {
                    break;
                }
                self.turn();
            }
        }
    }

    /// One random thing.
    fn turn(&mut self) {
        self.step += 1;
        self.progress_late();
        if self.resubmit {
            self.offer_again();
        }
        match self.rng.below(1000) {
            0..450 => self.progress_something(),
            450..640 => self.something_new(),
            640..760 => {
                if !self.tasks.is_empty() {
                    let at = self.rng.below(self.tasks.len());
                    self.progress_task(at);
                }
            }
            760..850 => {
                if !self.reads.is_empty() {
                    let at = self.rng.below(self.reads.len());
                    self.progress_read(at);
                }
            }
            850..960 => self.something_with_snapshots(),
            960..985 => self.call(|engine, gate| engine.tick(gate)),
            988..992 => self.seal_some(),
            985..988 if self.profile.bursts => {
                let target = if self.redirected() && self.rng.chance(500) { Target::Storage } else { Target::Live };
                self.burst = Some((target, self.step + self.rng.within(10, 200) as u64));
            }
            _ => self.check_snapshots(),
        }
    }

    /// Any I/O or write under way gets on.
    fn progress_something(&mut self) {
        let moving = self.moving_writes();
        let at = self.rng.below(self.io.len() + moving.len());
        if at < self.io.len() {
            self.progress_io(at);
        } else if let Some(write) = moving.get(at - self.io.len()) {
            self.progress_write(*write);
        }
    }

    fn something_new(&mut self) {
        match self.rng.below(100) {
            0..60 => self.new_write(),
            60..66 => self.user_flush(),
            66..74 => self.change_files(),
            74..99 if self.reads.len() < 6 => self.begin_read(),
            99 if self.profile.overwrites && self.rng.chance(100) => self.overwrite_everything(),
            _ => {}
        }
    }

    fn new_write(&mut self) {
        if self.writes.len() >= self.profile.writers {
            return;
        }
        let range = if self.rng.chance(100) {
            self.files.pick_free(&mut self.rng)
        } else {
            let file = self.files.pick_user(&mut self.rng);
            let runs = self.files.runs(file);
            let at = self.rng.below(runs.len());
            runs.get(at).cloned()
        };
        let Some(range) = range else { return };
        let most = self.rng.pick(&[1, 8, 32, self.profile.largest]);
        let length = self.rng.within(1, most).min(range.len());
        let mut start = range.start + self.rng.below(range.len() - length + 1);
        if self.rng.chance(300) {
            start = (start / 32 * 32).max(range.start);
        }
        // The sector of the header is nobody's to write.
        if start <= crate::truth::HEADER_SECTOR {
            start = crate::truth::HEADER_SECTOR + 1;
        }
        let end = (start + length).min(range.end);
        if start < end {
            let priority = match self.rng.below(100) {
                0..3 => Priority::Reserve,
                3..20 => Priority::FileSystem,
                _ => Priority::User,
            };
            self.begin_write(start..end, priority);
        }
    }

    /// Files come and go; what they leave is free for store files.
    fn change_files(&mut self) {
        if self.making.holds() {
            return;
        }
        let mut rng = self.rng.clone();
        if rng.chance(550) && self.files.free() > self.profile.sectors / 4 {
            let sectors = rng.within(1, self.profile.sectors / 12);
            let _ = self.files.create(sectors, false, &mut rng);
        } else {
            let file = self.files.pick_user(&mut rng);
            let busy = self.files.runs(file).iter().any(|run| self.is_busy(run));
            if !busy && !crate::files::Files::is_system(file) {
                let freed = self.files.delete(file);
                self.say(|| format!("file {file} deleted: {freed:?}"));
            }
        }
        self.rng = rng;
    }

    /// A discard of the whole volume, or of all but its first blocks: nothing in the diff area can survive.
    fn overwrite_everything(&mut self) {
        // Whoever makes a diff area sees to it that nobody writes over the volume at the same time.
        if self.making == crate::making::Making::Area {
            return;
        }
        let start = self.rng.pick(&[16, 64]);
        let all = start..self.profile.sectors;
        if let Some(id) = self.begin_write(all, Priority::User) {
            self.say(|| format!("write {id} goes over everything"));
            self.excuses.overwritten = true;
        }
    }

    fn something_with_snapshots(&mut self) {
        let alive: Vec<_> = self.truth.snapshots.iter().filter(|s| s.state == State::Alive).map(|s| s.store).collect();
        let full = alive.len() >= self.profile.snapshots;
        match self.rng.below(100) {
            0..75 if !full || self.making != crate::making::Making::None => self.progress_making(),
            75..82 | 0..4 if !alive.is_empty() && (full || self.rng.chance(300)) => {
                let store = match self.rng.below(3) {
                    0 => alive[0],
                    1 => alive[alive.len() - 1],
                    _ => self.rng.pick(&alive),
                };
                let was = self.call_delete(store);
                self.say(|| format!("delete {store}: {was:?}"));
            }
            82..84 if self.profile.maximum => {
                let blocks = self.rng.within(self.profile.store_blocks, 8 * self.profile.store_blocks) as u64;
                let bytes = if self.rng.chance(300) { 0 } else { blocks * 0x4000 };
                self.excuses.space = true;
                let result = self.call(|engine, gate| engine.set_maximum(gate, bytes));
                self.say(|| format!("set_maximum {bytes}: {result:?}"));
            }
            _ => {}
        }
    }

    fn call_delete(&mut self, store: ondisk::Guid) -> Result<(), RequestError> {
        // The answer may come with the call.
        if let Some(snapshot) = self.truth.find(store) {
            snapshot.state = State::Going;
        }
        let result = self.call(|engine, gate| engine.delete(gate, store));
        if let Err(error) = result
            && let Some(snapshot) = self.truth.find(store)
        {
            if snapshot.state == State::Going {
                snapshot.state = State::Alive;
            }
            match error {
                RequestError::Busy => {}
                _ => self.violate(format!("delete {store} answers {error:?}")),
            }
        }
        result
    }

    /// No faults and nothing new: everything has to come to rest, and then everything is compared.
    pub(crate) fn settle(&mut self) {
        self.say(|| "SETTLE".to_owned());
        self.faults = false;
        self.burst = None;
        let mut quiet = 0;
        for round in 0..PATIENCE {
            self.step += 1;
            if self.violation().is_some() {
                return;
            }
            self.progress_late();
            if self.resubmit {
                self.offer_again();
            }
            self.progress_something();
            if !self.reads.is_empty() && round % 4 == 0 {
                let at = self.rng.below(self.reads.len());
                self.progress_read(at);
            }
            if !self.tasks.is_empty() && round % 3 == 0 {
                let at = self.rng.below(self.tasks.len());
                self.progress_task(at);
            }
            if self.making != crate::making::Making::None && round % 5 == 0 {
                self.progress_making();
            }
            if round % 64 == 63 {
                self.call(|engine, gate| engine.tick(gate));
            }
            if self.at_rest() {
                quiet += 1;
                // A few ticks more, so that what waits for one has had it.
                if quiet > 200 {
                    break;
                }
            } else {
                quiet = 0;
            }
        }
        if quiet <= 200 {
            let what = self.unrest();
            return self.violate(what);
        }
        self.check_snapshots();
        if !self.lost {
            self.check_offline(true);
        }
        let result = self.truth.check_live(self.live.content(), &self.files, false);
        self.hold_to(result);
    }

    fn at_rest(&self) -> bool {
        self.io.is_empty()
            && self.late.is_empty()
            && self.writes.is_empty()
            && self.tasks.is_empty()
            && self.reads.is_empty()
            && self.making == crate::making::Making::None
            && self.engine.is_idle()
    }

    fn unrest(&self) -> String {
        format!(
            "no rest: {} I/Os, {} writes ({:?}...), {} tasks, {} reads, making {:?}, engine idle: {}",
            self.io.len(),
            self.writes.len(),
            self.writes.first().map(|write| format!("{write:?}").chars().take(200).collect::<String>()),
            self.tasks.len(),
            self.reads.len(),
            self.making,
            self.engine.is_idle()
        )
    }
}
