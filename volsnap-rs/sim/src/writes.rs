// SPDX-License-Identifier: MIT OR Apache-2.0
//! Users' writes: from the gate to the disk.

use crate::bug::Bug;
use crate::device::{OpId, tag};
use crate::world::World;
use engine::{Decision, Priority, Target, WriteId};
use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// To be offered, at first or again.
    Offer,
    /// The engine said 'later'.
    Later,
    /// The engine keeps it.
    Waiting,
    /// Let in by the gate.
    Gate,
    /// Let in by the engine.
    Engine,
}

/// A write of a user, or of the shell for itself.
#[derive(Debug)]
pub(crate) struct UserWrite {
    id: u64,
    start: usize,
    values: Vec<u64>,
    priority: Priority,
    standing: Standing,
    /// On the disk, or on its way there.
    op: Option<OpId>,
    /// It was on the disk before it was allowed to (a bug's doing).
    landed: bool,
    /// The engine was told that it is over.
    told: bool,
}

impl World {
    /// Begins a write if nobody writes there. Gives its id.
    pub(crate) fn begin_write(&mut self, sectors: Range<usize>, priority: Priority) -> Option<u64> {
        // File systems do not write one sector twice at once.
        let overlaps =
            |write: &UserWrite| write.start < sectors.end && sectors.start < write.start + write.values.len();
        if sectors.is_empty() || self.writes.iter().any(overlaps) {
            return None;
        }
        self.version += 1;
        let id = self.fresh_id();
        let values = sectors.clone().map(|sector| tag(sector, self.version)).collect();
        self.say(|| format!("write {id}: sectors {sectors:?} (block {}..)", sectors.start / 32));
        self.writes.push(UserWrite {
            id,
            start: sectors.start,
            values,
            priority,
            standing: Standing::Offer,
            op: None,
            landed: false,
            told: false,
        });
        let at = self.writes.len() - 1;
        self.offer(at);
        Some(id)
    }

    /// Whether a write to free space is under way: a file system gives such space to nobody.
    pub(crate) fn free_space_is_busy(&self) -> bool {
        self.writes.iter().any(|write| !self.files.all_owned(&(write.start..write.start + write.values.len())))
    }

    /// Whether a write to these sectors is under way: a file system does not free them before it is done.
    pub(crate) fn is_busy(&self, sectors: &Range<usize>) -> bool {
        self.writes.iter().any(|write| write.start < sectors.end && sectors.start < write.start + write.values.len())
    }

    /// Whether a write is not finished.
    pub(crate) fn is_writing(&self, id: u64) -> bool {
        self.writes.iter().any(|write| write.id == id)
    }

    /// Offers a write to the gate, then to the engine.
    fn offer(&mut self, at: usize) {
        let write = &self.writes[at];
        let (id, priority) = (write.id, write.priority);
        let (offset, length) = (write.start as u64 * 512, write.values.len() as u64 * 512);
        if self.gate.enter(offset, length) {
            return self.pass(at, Standing::Gate);
        }
        // It stands as waiting while the engine is asked: a release may come with the answer.
        self.writes[at].standing = Standing::Waiting;
        let decision = self.call_write(id, offset, length, priority);
        self.say(|| format!("write {id}: {decision:?}"));
        match decision {
            Decision::Pass => self.pass_by_id(id, Standing::Engine),
            Decision::Wait => {
                if self.bug == Some(Bug::ReleaseBeforeDescriptor) {
                    self.release_early();
                }
            }
            Decision::Later => {
                if let Some(write) = self.writes.iter_mut().find(|write| write.id == id) {
                    write.standing = Standing::Later;
                }
            }
        }
    }

    fn call_write(&mut self, id: u64, offset: u64, length: u64, priority: Priority) -> Decision {
        self.call(|engine, gate| engine.write(gate, WriteId(id), offset, length, priority))
    }

    fn pass_by_id(&mut self, id: u64, standing: Standing) {
        match self.writes.iter().position(|write| write.id == id) {
            Some(at) => self.pass(at, standing),
            None => self.violate(format!("write {id} let in, which is not there")),
        }
    }

    fn pass(&mut self, at: usize, standing: Standing) {
        self.writes[at].standing = standing;
        self.put_on_disk(at);
        if self.bug == Some(Bug::ActivationNotAtomic) {
            self.tell(at);
        }
    }

    fn put_on_disk(&mut self, at: usize) {
        let write = &mut self.writes[at];
        if write.op.is_none() && !write.landed {
            write.op = Some(self.live.submit(write.start, write.values.clone(), false));
        }
    }

    /// The engine lets a write go that it kept.
    pub(crate) fn released(&mut self, id: WriteId) {
        let found = self.writes.iter().position(|write| write.id == id.0);
        match found {
            Some(at) if self.writes[at].standing == Standing::Waiting => self.pass(at, Standing::Engine),
            _ => self.violate(format!("write {} released, which does not wait", id.0)),
        }
    }

    /// A bug: the writes that wait go to the disk.
    pub(crate) fn release_early(&mut self) {
        for at in 0..self.writes.len() {
            if self.writes[at].standing == Standing::Waiting {
                self.put_on_disk(at);
            }
        }
    }

    /// Offers again what the engine did not take.
    pub(crate) fn offer_again(&mut self) {
        self.resubmit = false;
        let later: Vec<u64> = self.writes.iter().filter(|w| w.standing == Standing::Later).map(|w| w.id).collect();
        for id in later {
            if let Some(at) = self.writes.iter().position(|write| write.id == id) {
                self.writes[at].standing = Standing::Offer;
                self.offer(at);
            }
        }
    }

    /// Lets one write get on; ends it perhaps.
    pub(crate) fn progress_write(&mut self, at: usize) {
        let pieces = self.rng.pick(&[1, 16, 4096, 4096]);
        if let Some(op) = self.writes[at].op {
            if !self.live.apply(op, pieces) {
                return;
            }
            let result = self.end_write(Target::Live, op, false);
            let write = &mut self.writes[at];
            (write.op, write.landed) = (None, true);
            let (start, length) = (write.start, write.values.len());
            match result {
                Ok(()) => self.truth.written(start, &write.values),
                Err(_) => self.truth.write_failed(start, length, self.live.content()),
            }
        }
        let write = &self.writes[at];
        if write.landed && matches!(write.standing, Standing::Gate | Standing::Engine) {
            let id = write.id;
            self.say(|| format!("write {id}: finished"));
            self.tell(at);
            self.writes.retain(|write| write.id != id);
        }
    }

    /// Tells gate or engine that a write is over.
    fn tell(&mut self, at: usize) {
        let write = &mut self.writes[at];
        if std::mem::replace(&mut write.told, true) {
            return;
        }
        match write.standing {
            Standing::Gate => {
                if self.gate.leave() {
                    self.call(|engine, gate| engine.drained(gate));
                }
            }
            Standing::Engine => self.call(|engine, gate| engine.write_done(gate)),
            Standing::Offer | Standing::Later | Standing::Waiting => {}
        }
    }

    /// The writes that can get on by themselves.
    pub(crate) fn moving_writes(&self) -> Vec<usize> {
        let moves = |write: &UserWrite| {
            write.op.is_some() || (write.landed && matches!(write.standing, Standing::Gate | Standing::Engine))
        };
        self.writes.iter().enumerate().filter(|(_, write)| moves(write)).map(|(at, _)| at).collect()
    }
}
