// SPDX-License-Identifier: MIT OR Apache-2.0
//! How snapshots go, and how room is made.
//!
//! ```text
//!   Alive ─▶ Condemned ─┬─ oldest: catalog entries removed (one sector write) ───────────────────▶ file freed
//!                       └─ else: marked in the catalog ─▶ Doomed ─▶ merged down ─▶ Unneeded ─▶ removed ─▶ file freed
//! ```
//!
//! From the mark on nobody sees the snapshot, and nothing is saved for its own sake; older ones still read through its
//! store until everything that they need has moved into the next older store. A merge uses the same path as
//! copy-on-write (data, flush, descriptor), so a crash at any point leaves every other snapshot as it was.
//!
//! Room: growth is asked for early; when there is none the oldest snapshot goes, one at a time, and the next decision
//! waits until its file's space has come back.

use crate::engine::Engine;
use crate::store::{Growth, Life, Saved};
use crate::types::{Command, DeleteReason};
use ondisk::{BLOCK_SIZE, Guid};

/// Blocks of a merge that may be on their way at once: the rest of the slots is for users' writes.
const MERGE_COPIES: usize = 16;

/// A store without catalog entries whose file the shell is to delete.
#[derive(Debug)]
pub(crate) struct Freed {
    pub(crate) store: Guid,
    pub(crate) order: u32,
    pub(crate) bytes: u64,
    pub(crate) asked: bool,
}

/// The move of a doomed snapshot's blocks into the next older store.
#[derive(Debug)]
pub(crate) struct Merge {
    from: u32,
    pub(crate) into: u32,
    /// The first block that was not looked at yet.
    cursor: u64,
    /// No space, no memory or I/O errors: waits for the next tick.
    pub(crate) blocked: bool,
}

/// Stores of up to twice this grow by this, bytes; larger ones by half of what they have.
const SMALL_GROWTH: u64 = 1 << 20;

impl Engine {
    /// Starts the removal of a snapshot, unless it has begun already.
    pub(crate) fn condemn(&mut self, order: u32, reason: DeleteReason) {
        if let Some(store) = self.by_order_mut(order)
            && store.life == Life::Alive
        {
            store.life = Life::Condemned(reason);
        }
    }

    /// Starts the removal of a snapshot and all older ones.
    pub(crate) fn drop_through(&mut self, order: u32, reason: DeleteReason) {
        for store in &mut self.stores {
            if store.order <= order && store.life == Life::Alive {
                store.life = Life::Condemned(reason);
            }
        }
    }

    // ---- merging --------------------------------------------------------------------------------------------------

    /// Moves on with the oldest doomed snapshot that has a living older neighbour.
    pub(crate) fn pump_merge(&mut self) {
        let pairs = self.stores.iter().zip(self.stores.iter().skip(1));
        let found = pairs
            .filter(|(older, doomed)| older.life == Life::Alive && doomed.life == Life::Doomed && !doomed.forwarders)
            .map(|(older, doomed)| (doomed.order, older.order))
            .next();
        let Some((from, into)) = found else {
            self.merge = None;
            return;
        };
        let current = self.merge.as_ref().is_some_and(|merge| merge.from == from && merge.into == into);
        if !current {
            self.merge = Some(Merge { from, into, cursor: 0, blocked: false });
        }
        let Some(merge) = self.merge.as_mut() else { return };
        if self.pending.retry {
            merge.blocked = false;
        }
        // Copies that were under way when the snapshot was doomed still enter into its store.
        if merge.blocked || self.copies.refers(from) {
            return;
        }
        let mut cursor = merge.cursor;
        let mut blocked = false;
        let mut finished = false;
        while self.copies.merging() < MERGE_COPIES && self.copies.has_slot() {
            let at = match self.index.next_of_store(cursor, from, 1024) {
                Err(on) => {
                    cursor = on;
                    continue;
                }
                Ok(None) => {
                    finished = self.copies.merging() == 0;
                    break;
                }
                Ok(Some((block, Saved::At(at)))) => {
                    cursor = block;
                    at
                }
                Ok(Some((block, Saved::MovedTo(_)))) => {
                    // Excluded by `forwarders`; if it were not, its content would have to stay where it is.
                    cursor = block;
                    blocked = true;
                    break;
                }
            };
            if self.index.get(cursor, into).is_none() {
                let reserve = self.config.reserve / BLOCK_SIZE;
                let keep = if self.target().is_some_and(|target| target.order == into) { reserve } else { 0 };
                let Some(to) = self.take_block(into, keep) else {
                    blocked = !self.ask_growth(into);
                    break;
                };
                if self.start_merge_copy(cursor, at, into, to).is_err() {
                    blocked = true;
                    break;
                }
            }
            cursor += 1;
        }
        if let Some(merge) = self.merge.as_mut() {
            merge.cursor = cursor;
            merge.blocked = blocked;
        }
        if finished && !blocked {
            if let Some(store) = self.by_order_mut(from) {
                store.life = Life::Unneeded;
            }
            self.merge = None;
        }
    }

    /// A copy of the merge failed: begin again at the next tick. What was moved already is skipped.
    pub(crate) fn merge_failed(&mut self) {
        if let Some(merge) = self.merge.as_mut() {
            merge.cursor = 0;
            merge.blocked = true;
        }
    }

    // ---- room -----------------------------------------------------------------------------------------------------

    /// Asks for growth, or lets the oldest snapshot go.
    pub(crate) fn make_room(&mut self) {
        let Some(target) = self.target() else { return };
        let (order, free) = (target.order, target.space.free_blocks().saturating_mul(BLOCK_SIZE));
        let known = target.list.is_some() && target.space.total() > 0;
        if self.copies.short && self.copies.is_idle() {
            // No memory although nothing is under way that would give some back.
            self.drop_oldest(DeleteReason::Memory);
        } else if self.copies.starved {
            let answer_due = target.grows();
            // Copies under way may end in a list block or a retry: only when they are done is the area surely full.
            let full = !answer_due && !self.ask_growth(order) && self.freed.is_empty();
            if (full || self.cornered) && self.copies.is_idle() {
                self.cornered = false;
                self.drop_oldest(DeleteReason::AreaFull);
            }
        } else if known && free < self.config.low_water && target.growth == Growth::Idle {
            self.ask_growth(order);
        }
        if self.pending.over && self.freed.is_empty() {
            let maximum = self.maximum();
            if maximum == 0 || self.allocated() <= maximum {
                self.pending.over = false;
            } else {
                self.drop_oldest(DeleteReason::AreaFull);
            }
        }
    }

    /// The shell is at work on more room: a store's growth, or the deletion of a file.
    pub(crate) fn room_is_coming(&self, order: u32) -> bool {
        !self.freed.is_empty() || self.by_order(order).is_some_and(|store| store.grows())
    }

    /// Lets the oldest snapshot go, unless one is going already.
    fn drop_oldest(&mut self, reason: DeleteReason) {
        let going = self.stores.iter().any(|store| matches!(store.life, Life::Condemned(_) | Life::Unneeded));
        let Some(oldest) = self.stores.first() else { return };
        if !going && oldest.life == Life::Alive {
            let order = oldest.order;
            self.condemn(order, reason);
        }
    }

    pub(crate) fn maximum(&self) -> u64 {
        self.header.as_ref().map_or(0, |header| header.maximum)
    }

    /// Asks for growth of a store's file if the maximum allows it and nobody said no. `true`: an answer will come.
    fn ask_growth(&mut self, order: u32) -> bool {
        let (maximum, allocated) = (self.maximum(), self.allocated());
        let room = if maximum == 0 { u64::MAX } else { maximum.saturating_sub(allocated) };
        // Small steps for a small store, which is soon full: the sooner the answer comes, the better.
        let total = self.by_order(order).map_or(0, |store| store.space.total());
        let bytes = self.config.growth.min((total / 2).max(SMALL_GROWTH)).min(room) / BLOCK_SIZE * BLOCK_SIZE;
        // A block for the range list and one for data at the least.
        let enough = bytes >= 4 * BLOCK_SIZE;
        let Some(store) = self.by_order_mut(order) else { return false };
        let free = store.space.free_blocks();
        match store.growth {
            Growth::Wanted(_) | Growth::Asked | Growth::Given(_) => true,
            // It was refused while there still was space: ask once more when there is less.
            Growth::Refused(then) if then <= free => false,
            Growth::Idle | Growth::Refused(_) if enough => {
                store.growth = Growth::Wanted(bytes);
                true
            }
            Growth::Idle | Growth::Refused(_) => false,
        }
    }

    /// Something changed that may make growth possible again.
    pub(crate) fn forget_refusals(&mut self) {
        for store in &mut self.stores {
            if matches!(store.growth, Growth::Refused(_)) {
                store.growth = Growth::Idle;
            }
        }
        if let Some(merge) = self.merge.as_mut() {
            merge.blocked = false;
        }
    }

    pub(crate) fn next_growth_command(&mut self) -> Option<Command> {
        let store = self.stores.iter_mut().find(|store| matches!(store.growth, Growth::Wanted(_)))?;
        let Growth::Wanted(bytes) = core::mem::replace(&mut store.growth, Growth::Asked) else { return None };
        Some(Command::Grow { store: store.snapshot.store, bytes })
    }

    pub(crate) fn next_free_command(&mut self) -> Option<Command> {
        let copies = &self.copies;
        let freed = self.freed.iter_mut().find(|freed| !freed.asked && !copies.refers(freed.order))?;
        freed.asked = true;
        Some(Command::Free { store: freed.store })
    }
}
