// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state of a run: disks, file system, engine, everything under way, and the truth to compare with.

use crate::bug::Bug;
use crate::device::{Arena, Device, OpId};
use crate::files::{FileId, Files};
use crate::making::Making;
use crate::memory;
use crate::profile::Profile;
use crate::reads::SnapshotRead;
use crate::rng::Rng;
use crate::tasks::Task;
use crate::truth::{State, Truth};
use crate::writes::UserWrite;
use engine::{DeleteReason, Engine, Event, Gate, Loader, Place, Target, Token};
use ondisk::Guid;
use std::collections::BTreeMap;

/// An I/O of the engine, or a user's flush, under way.
#[derive(Debug)]
pub(crate) struct Io {
    /// `None`: nobody waits for it.
    pub(crate) token: Option<Token>,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Copy {
        from: Place,
        to: Place,
        sectors: usize,
        op: Option<OpId>,
    },
    Write {
        target: Target,
        op: OpId,
        durable: bool,
        seen: bool,
        list: bool,
        bytes: Vec<u8>,
    },
    Flush {
        target: Target,
        mark: u64,
    },
    /// Only to be reported, with this patience (a bug's doing).
    Report {
        after: u64,
    },
}

/// A write that a bug holds back: it was reported done and is not done.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) target: Target,
    pub(crate) start: usize,
    pub(crate) values: Vec<u64>,
    pub(crate) due: u64,
}

/// What was done to the run that excuses what.
#[derive(Debug, Default)]
pub(crate) struct Excuses {
    /// An I/O failed.
    pub(crate) io: bool,
    /// An allocation failed.
    pub(crate) memory: bool,
    /// Growth was refused, or a maximum was set.
    pub(crate) space: bool,
    /// Somebody wrote over the diff area.
    pub(crate) overwritten: bool,
}

/// A run.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) profile: Profile,
    pub(crate) bug: Option<Bug>,
    pub(crate) trace: bool,
    pub(crate) step: u64,
    pub(crate) live: Device,
    pub(crate) other: Option<Device>,
    pub(crate) arena: Arena,
    pub(crate) files: Files,
    pub(crate) other_files: Option<Files>,
    /// The shell's directory: store files.
    pub(crate) stores: BTreeMap<Guid, FileId>,
    pub(crate) engine: Engine,
    pub(crate) gate: Gate,
    pub(crate) io: Vec<Io>,
    pub(crate) late: Vec<Late>,
    pub(crate) writes: Vec<UserWrite>,
    pub(crate) resubmit: bool,
    pub(crate) version: u64,
    pub(crate) reads: Vec<SnapshotRead>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) making: Making,
    pub(crate) truth: Truth,
    pub(crate) excuses: Excuses,
    pub(crate) faults: bool,
    /// A user's flush of this device failed: the next of the engine has to fail, too, as the system reports it.
    pub(crate) owed: Option<Target>,
    /// I/O to this device fails until that step.
    pub(crate) burst: Option<(Target, u64)>,
    /// `StorageLost` was heard in this life.
    pub(crate) lost: bool,
    /// No copy was asked for since the engine was loaded.
    pub(crate) fresh: bool,
    pub(crate) ids: u64,
    violation: Option<String>,
}

impl World {
    /// A run at its beginning: a volume without snapshots.
    pub(crate) fn new(seed: u64, bug: Option<Bug>, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let profile = Profile::draw(&mut rng);
        let live = Device::new(profile.sectors);
        let (engine, gate) = blank_engine(&profile);
        let truth = Truth::new(live.content());
        Self {
            live,
            other: profile.storage_sectors.map(Device::new),
            arena: Arena::default(),
            files: Files::new(profile.sectors, profile.cluster),
            other_files: profile.storage_sectors.map(|sectors| Files::new(sectors, profile.cluster)),
            stores: BTreeMap::new(),
            engine,
            gate,
            io: Vec::new(),
            late: Vec::new(),
            writes: Vec::new(),
            resubmit: false,
            version: 0,
            reads: Vec::new(),
            tasks: Vec::new(),
            making: Making::None,
            truth,
            excuses: Excuses::default(),
            faults: true,
            owed: None,
            burst: None,
            lost: false,
            fresh: true,
            ids: 0,
            violation: None,
            step: 0,
            rng,
            profile,
            bug,
            trace,
        }
    }

    /// What was violated first.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(crate) fn violate(&mut self, what: impl Into<String>) {
        if self.violation.is_none() {
            let what = what.into();
            self.say(|| format!("VIOLATION {what}"));
            self.violation = Some(what);
        }
    }

    pub(crate) fn hold_to(&mut self, result: Result<(), String>) {
        if let Err(what) = result {
            self.violate(what);
        }
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>6} {}", self.step, what());
        }
    }

    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(crate) fn redirected(&self) -> bool {
        self.other.is_some()
    }

    pub(crate) fn device(&mut self, target: Target) -> &mut Device {
        match (target, self.other.as_mut()) {
            (Target::Storage, Some(other)) => other,
            _ => &mut self.live,
        }
    }

    /// The file system that store files are in.
    pub(crate) fn store_files(&mut self) -> &mut Files {
        self.other_files.as_mut().unwrap_or(&mut self.files)
    }

    pub(crate) fn files_of(&self, target: Target) -> &Files {
        match (target, self.other_files.as_ref()) {
            (Target::Storage, Some(other)) => other,
            _ => &self.files,
        }
    }

    /// Nobody says any more what these sectors of the storage hold.
    pub(crate) fn forget_content(&mut self, ranges: &[std::ops::Range<usize>]) {
        if !self.redirected() {
            for range in ranges {
                self.truth.forget(range.clone(), self.version);
            }
        }
    }

    /// Calls the engine, sometimes with memory failing, and takes its commands.
    pub(crate) fn call<R>(&mut self, call: impl FnOnce(&mut Engine, &Gate) -> R) -> R {
        let failing = self.faults && self.rng.chance(self.profile.memory);
        let result = if failing {
            self.excuses.memory = true;
            let (wait, count) = (self.rng.below(8) as u32, self.rng.pick(&[1, 2, 1000]));
            memory::with_failures(wait, count, || call(&mut self.engine, &self.gate))
        } else {
            call(&mut self.engine, &self.gate)
        };
        self.drain();
        result
    }

    /// Whether an I/O to this device fails now.
    pub(crate) fn io_fails(&mut self, target: Target) -> bool {
        if !self.faults {
            return false;
        }
        if self.burst.is_some_and(|(_, until)| until <= self.step) {
            self.burst = None;
        }
        let target = if self.redirected() { target } else { Target::Live };
        let failing = self.burst.is_some_and(|(t, _)| t == target) || self.rng.chance(self.profile.errors);
        self.excuses.io |= failing;
        failing
    }

    /// News from the engine.
    pub(crate) fn hear(&mut self, event: Event) {
        self.say(|| format!("event {event:?}"));
        match event {
            Event::Deleted { store, reason } => self.deleted(store, reason),
            Event::DeleteFailed { store } => {
                if let Some(snapshot) = self.truth.find(store)
                    && snapshot.state == State::Going
                {
                    snapshot.state = State::Alive;
                }
                if !self.excuses.io && !self.excuses.memory {
                    self.violate(format!("deleting {store} failed without cause"));
                }
            }
            Event::StorageLost => {
                self.lost = true;
                if !self.excuses.io {
                    self.violate("storage lost without I/O errors");
                }
                for snapshot in &mut self.truth.snapshots {
                    if snapshot.state != State::Gone {
                        snapshot.state = State::Lost;
                    }
                }
            }
            Event::MaximumSet | Event::MaximumFailed | Event::AreaRemoved => {}
            Event::AreaReady
            | Event::AreaFailed
            | Event::Prepared { .. }
            | Event::PrepareFailed { .. }
            | Event::Held
            | Event::Committed { .. } => self.making_event(event),
        }
    }

    fn deleted(&mut self, store: Guid, reason: DeleteReason) {
        let excused = match reason {
            DeleteReason::Requested | DeleteReason::Resumed => true,
            DeleteReason::AreaFull => self.excuses.space || self.excuses.memory || self.excuses.io,
            DeleteReason::Memory => self.excuses.memory || self.profile.small_index,
            DeleteReason::CopyFailed => self.excuses.io,
            DeleteReason::StoreOverwritten => self.excuses.overwritten,
        };
        let at = self.truth.snapshots.iter().position(|snapshot| snapshot.store == store);
        let Some(at) = at else { return self.violate(format!("{store} deleted, which never was")) };
        if !excused {
            self.violate(format!("{store} deleted for {reason:?} without cause"));
        }
        if matches!(reason, DeleteReason::AreaFull | DeleteReason::Memory) {
            let older = self.truth.snapshots[..at].iter().find(|older| older.state == State::Alive);
            if let Some(older) = older.map(|older| older.store) {
                self.violate(format!("{store} deleted for {reason:?} although {older} is older"));
            }
        }
        let was = self.truth.snapshots[at].state;
        if reason == DeleteReason::Requested && was != State::Going {
            self.violate(format!("{store} deleted as requested, which nobody did ({was:?})"));
        }
        self.truth.snapshots[at].state = State::Gone;
    }
}

/// An engine of an empty volume, before the first load.
fn blank_engine(profile: &Profile) -> (Engine, Gate) {
    let mut loader = Loader::new(profile.config);
    while let Some(read) = loader.next_read() {
        loader.supply(&vec![0; read.length]).expect("zeros are an empty volume");
    }
    loader.finish().expect("there is memory")
}
