// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copy-on-write: from a write that wants in to its release.
//!
//! ```text
//!   write ─▶ waiting ─▶ for each block not saved yet, a slot:
//!                         copy ─▶ copied ─┐
//!                         copy ─▶ copied ─┼─▶ group: flush ─▶ descriptors (durable) ─▶ index, gate bit ─▶ release
//!                         copy ─▶ copied ─┘
//! ```
//!
//! The order is the promise: saved data durable, then its descriptor durable, then the live write. One flush and one
//! durable descriptor write serve a whole group, which is every copy that was under way when the first of them was
//! done. All tables are allocated when the engine is made; a write that finds them full waits in the shell.

use crate::engine::Engine;
use crate::gate::Gate;
use crate::list::{Full, ListTail, Spare};
use crate::ring::Ring;
use crate::space::StoreBlock;
use crate::store::{Life, Saved};
use crate::types::{Command, DeleteReason, IoError, NoMemory, Place, Priority, Target, Token, TokenKind, WriteId};
use crate::vecs;
use alloc::vec::Vec;
use core::ops::Range;
use ondisk::{BLOCK_SIZE, DESCRIPTORS_PER_BLOCK, Descriptor};

/// How often a copy or a metadata write is tried before the snapshot is given up.
pub(crate) const MAX_ATTEMPTS: u8 = 4;
/// A new list block is prepared when fewer slots than this are left.
const SPARE_AT: usize = 256;

/// A write that waits for blocks to be saved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    id: WriteId,
    /// Every block before it is saved.
    cursor: u64,
    /// Every block before it is saved or being saved.
    ahead: u64,
    end: u64,
    priority: Priority,
}

impl Waiting {
    pub(crate) fn new(id: WriteId, blocks: Range<u64>, priority: Priority) -> Self {
        Self { id, cursor: blocks.start, ahead: blocks.start, end: blocks.end, priority }
    }
}

/// The writes that the engine knows.
#[derive(Debug)]
pub(crate) struct Writes {
    waiting: Vec<Option<Waiting>>,
    count: usize,
    /// To be told to the shell.
    pub(crate) released: Ring<WriteId>,
    /// Let through and not finished.
    pub(crate) in_flight: u64,
}

impl Writes {
    pub(crate) fn new(max: usize) -> Result<Self, NoMemory> {
        Ok(Self { waiting: vecs::filled(None, max.max(1))?, count: 0, released: Ring::new(max)?, in_flight: 0 })
    }

    /// `false` when there is no place. The last places are for those who make room for the others.
    pub(crate) fn add(&mut self, write: Waiting) -> bool {
        if write.priority == Priority::User && !self.has_room() {
            return false;
        }
        match self.waiting.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(write);
                self.count += 1;
                true
            }
            None => false,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.count < self.waiting.len() - self.waiting.len() / 8
    }

    /// None waits and none is in flight.
    pub(crate) fn idle(&self) -> bool {
        self.count == 0 && self.in_flight == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotState {
    Free,
    /// The copy is to be asked for.
    ToCopy,
    Copying,
    /// In `copied` or in the group.
    Copied,
}

/// A block on its way into a store.
#[derive(Debug, Clone, Copy)]
struct Slot {
    state: SlotState,
    block: u64,
    from: Place,
    order: u32,
    to: StoreBlock,
    attempts: u8,
    /// Moves down from a store that is being deleted; not for a write.
    merge: bool,
    /// When it was started, in copies.
    number: u64,
}

const FREE_SLOT: Slot = Slot {
    state: SlotState::Free,
    block: 0,
    from: Place { target: Target::Live, offset: 0 },
    order: 0,
    to: StoreBlock { relative: 0, volume: 0 },
    attempts: 0,
    merge: false,
    number: 0,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    /// The flush is to be asked for.
    ToFlush,
    Flushing,
    Listing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteState {
    ToIssue,
    Issued,
    Done,
    Failed,
}

/// A write of descriptors.
#[derive(Debug, Clone, Copy)]
struct Listing {
    order: u32,
    /// The block before the current one, which got its link and its last descriptors.
    previous: bool,
    at: u64,
    from: usize,
    to: usize,
    state: WriteState,
    attempts: u8,
}

#[derive(Debug)]
pub(crate) struct Copies {
    slots: Vec<Slot>,
    /// (block, slot) of every slot in use for a write, ascending.
    by_block: Vec<(u64, u16)>,
    used: usize,
    merging: usize,
    to_copy: Ring<u16>,
    copied: Vec<u16>,
    group: Vec<u16>,
    stage: Stage,
    listings: Vec<Listing>,
    started: u64,
    /// The next group waits for copies started before this number.
    cut: u64,
    /// The store whose spare list block is being written.
    spare_busy: Option<u32>,
    spare_attempts: u8,
    /// Another flush failed while the group's was under way.
    distrusted: bool,
    /// A waiting write found no space.
    pub(crate) starved: bool,
    /// A waiting write found no memory or no place in the index.
    pub(crate) short: bool,
}

impl Copies {
    pub(crate) fn new(max: usize) -> Result<Self, NoMemory> {
        let max = max.clamp(1, 240);
        Ok(Self {
            slots: vecs::filled(FREE_SLOT, max)?,
            by_block: vecs::with_capacity(max)?,
            used: 0,
            merging: 0,
            to_copy: Ring::new(max)?,
            copied: vecs::with_capacity(max)?,
            group: vecs::with_capacity(max)?,
            stage: Stage::Idle,
            // A group touches at most two list blocks of each store that its slots name.
            listings: vecs::with_capacity(2 * max)?,
            started: 0,
            cut: 0,
            spare_busy: None,
            spare_attempts: 0,
            distrusted: false,
            starved: false,
            short: false,
        })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.used == 0 && self.stage == Stage::Idle && self.spare_busy.is_none()
    }

    /// Blocks on their way down from a store that is being deleted.
    pub(crate) fn merging(&self) -> usize {
        self.merging
    }

    pub(crate) fn has_slot(&self) -> bool {
        self.used < self.slots.len()
    }

    fn find(&self, block: u64) -> Result<usize, usize> {
        let i = self.by_block.partition_point(|(b, _)| *b < block);
        match self.by_block.get(i) {
            Some((b, _)) if *b == block => Ok(i),
            _ => Err(i),
        }
    }

    fn slot(&self, slot: u16) -> Option<&Slot> {
        self.slots.get(usize::from(slot))
    }

    fn slot_mut(&mut self, slot: u16) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(slot))
    }

    /// Takes a slot. The caller made sure that there is one.
    fn start(&mut self, mut slot: Slot) -> Result<(), NoMemory> {
        let Some(at) = self.slots.iter().position(|s| s.state == SlotState::Free) else { return Err(NoMemory) };
        let number = u16::try_from(at).map_err(|_| NoMemory)?;
        if !slot.merge
            && let Err(i) = self.find(slot.block)
        {
            vecs::insert(&mut self.by_block, i, (slot.block, number))?;
        }
        self.started += 1;
        slot.number = self.started;
        slot.state = SlotState::ToCopy;
        self.used += 1;
        self.merging += usize::from(slot.merge);
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
        let _ = self.to_copy.push(number);
        Ok(())
    }

    fn release(&mut self, number: u16) {
        let Some(slot) = self.slot(number).copied() else { return };
        if slot.state == SlotState::Free {
            return;
        }
        if let Some(place) = self.slot_mut(number) {
            *place = FREE_SLOT;
        }
        self.used -= 1;
        self.merging -= usize::from(slot.merge);
        if !slot.merge
            && let Ok(i) = self.find(slot.block)
        {
            vecs::remove(&mut self.by_block, i);
        }
    }

    /// Descriptors that are still to come for a store.
    fn due(&self, order: u32) -> usize {
        self.slots.iter().filter(|slot| slot.state != SlotState::Free && slot.order == order).count()
    }

    /// Whether anything under way touches the store.
    pub(crate) fn refers(&self, order: u32) -> bool {
        self.spare_busy == Some(order)
            || self.slots.iter().any(|slot| slot.state != SlotState::Free && slot.order == order)
            || self.listings.iter().any(|listing| listing.order == order)
    }

    /// A flush failed: what was copied and is not known to be durable is copied again.
    fn copy_again(&mut self, number: u16) {
        if let Some(slot) = self.slot_mut(number) {
            slot.state = SlotState::ToCopy;
            let _ = self.to_copy.push(number);
        }
    }

    /// The same for everything that waits for a flush, the one under way included.
    pub(crate) fn distrust(&mut self) {
        while let Some(number) = self.copied.pop() {
            self.copy_again(number);
        }
        if self.stage == Stage::ToFlush {
            self.stage = Stage::Idle;
            while let Some(number) = self.group.pop() {
                self.copy_again(number);
            }
        }
        // A flush under way ends in vain.
        self.distrusted |= self.stage == Stage::Flushing;
    }

    /// Whether a copy started up to that number is not done yet.
    fn copying_before(&self, cut: u64) -> bool {
        self.slots.iter().any(|slot| matches!(slot.state, SlotState::ToCopy | SlotState::Copying) && slot.number <= cut)
    }
}

/// What is to be done before a block may be overwritten.
enum Standing {
    /// Nothing.
    Saved,
    /// It is on its way, or just started.
    Started,
    /// Not now: no slot, no space, no memory, or a decision about a snapshot is under way.
    Blocked,
}

impl Engine {
    /// Takes a write as far as it gets. `true`: every block is saved.
    pub(crate) fn advance(&mut self, gate: &Gate, write: &mut Waiting) -> bool {
        if !self.watching() {
            return true;
        }
        while write.cursor < write.end && gate.passes(write.cursor) {
            write.cursor += 1;
        }
        write.ahead = write.ahead.max(write.cursor);
        let mut all_saved = write.ahead == write.cursor;
        while write.ahead < write.end {
            match self.stand(gate, write.ahead, write.priority) {
                Standing::Saved => {
                    write.ahead += 1;
                    if all_saved {
                        write.cursor = write.ahead;
                    }
                }
                Standing::Started => {
                    all_saved = false;
                    write.ahead += 1;
                }
                Standing::Blocked => return false,
            }
        }
        // What was only started before is looked at again from the cursor on.
        write.cursor >= write.end
    }

    fn stand(&mut self, gate: &Gate, block: u64, priority: Priority) -> Standing {
        if gate.passes(block) {
            return Standing::Saved;
        }
        if self.copies.find(block).is_ok() {
            return Standing::Started;
        }
        if let Some(standing) = self.stand_protected(block) {
            return standing;
        }
        let Some(target) = self.target() else { return Standing::Saved };
        let (order, life) = (target.order, target.life);
        if self.index.at_or_after(block, order).is_some() {
            gate.set(block);
            return Standing::Saved;
        }
        if life != Life::Alive || !self.copies.has_slot() {
            return Standing::Blocked;
        }
        let entries = self.index.len().saturating_add(self.overlays.len()).saturating_add(self.copies.used);
        if entries >= self.config.index_limit || self.index.reserve(self.copies.used + 1).is_err() {
            self.copies.short = true;
            return Standing::Blocked;
        }
        let may_use_all = match priority {
            Priority::Reserve => true,
            Priority::FileSystem => self.lend_reserve || self.room_is_coming(order),
            Priority::User => self.lend_reserve,
        };
        let keep = if may_use_all { 0 } else { self.reserve_of(order) };
        let Some(to) = self.take_block(order, keep) else {
            self.copies.starved = true;
            return Standing::Blocked;
        };
        let from = Place::live(block.saturating_mul(BLOCK_SIZE));
        match self.copies.start(Slot { block, from, order, to, ..FREE_SLOT }) {
            Ok(()) => Standing::Started,
            Err(NoMemory) => {
                self.copies.short = true;
                Standing::Blocked
            }
        }
    }

    /// A block that belongs to the diff area itself: whoever writes there destroys snapshots. They go first, durably;
    /// the write then passes.
    fn stand_protected(&mut self, block: u64) -> Option<Standing> {
        let offset = block.saturating_mul(BLOCK_SIZE);
        if self.live.uses(offset) {
            self.pending.forget_area = true;
            self.drop_through(u32::MAX, DeleteReason::StoreOverwritten);
            return Some(Standing::Blocked);
        }
        if !self.config.same_volume {
            return None;
        }
        let inside = |store: &&crate::store::Store| {
            store.space.runs().iter().any(|run| offset.checked_sub(run.volume).is_some_and(|into| into < run.length))
        };
        let (order, used) = self.stores.iter().find(inside).map(|store| (store.order, store.space.uses(offset)))?;
        if !used {
            return Some(Standing::Saved);
        }
        self.drop_through(order, DeleteReason::StoreOverwritten);
        Some(Standing::Blocked)
    }

    /// Bytes of the store that users may not take, in blocks: never more than an eighth of a small one.
    fn reserve_of(&self, order: u32) -> u64 {
        let total = self.by_order(order).map_or(0, |store| store.space.total());
        self.config.reserve.min(total / 8) / BLOCK_SIZE
    }

    /// A block of the store for a copy, if its descriptor will find a place, too.
    pub(crate) fn take_block(&mut self, order: u32, keep: u64) -> Option<StoreBlock> {
        self.prepare_spare(order);
        let due = self.copies.due(order);
        let store = self.by_order_mut(order)?;
        let list = store.list.as_ref()?;
        let slots = list.room() + if list.spare == Spare::None { 0 } else { DESCRIPTORS_PER_BLOCK };
        if slots <= due || store.space.free_blocks() <= keep {
            return None;
        }
        store.space.take()
    }

    /// Sees to it that the store's next list block is under way.
    fn prepare_spare(&mut self, order: u32) {
        let Some(store) = self.by_order_mut(order) else { return };
        let Some(list) = store.list.as_mut() else { return };
        if list.spare == Spare::None
            && list.room() < SPARE_AT
            && let Some(place) = store.space.take()
        {
            // Without memory for it the block is lost to the store; the next attempt takes another.
            let _ = list.want_spare(place);
        }
    }

    /// Goes on with every waiting write.
    pub(crate) fn advance_all(&mut self, gate: &Gate) {
        self.copies.starved = false;
        self.copies.short = false;
        for i in 0..self.writes.waiting.len() {
            let Some(mut write) = self.writes.waiting.get(i).copied().flatten() else { continue };
            write.ahead = write.cursor;
            let done = self.advance(gate, &mut write);
            if let Some(place) = self.writes.waiting.get_mut(i) {
                *place = if done { None } else { Some(write) };
            }
            if done {
                self.writes.count -= 1;
                self.writes.in_flight = self.writes.in_flight.saturating_add(1);
                let _ = self.writes.released.push(write.id);
            }
        }
    }

    /// Starts a copy that moves a block down into an older store.
    pub(crate) fn start_merge_copy(
        &mut self,
        block: u64,
        from: u64,
        order: u32,
        to: StoreBlock,
    ) -> Result<(), NoMemory> {
        self.index.reserve(self.copies.used + 1)?;
        self.copies.start(Slot { block, from: Place::storage(from), order, to, merge: true, ..FREE_SLOT })
    }

    // ---- what the shell reports -----------------------------------------------------------------------------------

    pub(crate) fn copy_done(&mut self, number: u16, result: Result<(), IoError>) {
        let cut = self.copies.started;
        let first = self.copies.copied.is_empty();
        let Some(slot) = self.copies.slot_mut(number) else { return };
        if slot.state != SlotState::Copying {
            return;
        }
        if result.is_ok() {
            slot.state = SlotState::Copied;
            let _ = vecs::push(&mut self.copies.copied, number);
            if first {
                self.copies.cut = cut;
            }
            return;
        }
        slot.attempts += 1;
        let (order, merge, attempts) = (slot.order, slot.merge, slot.attempts);
        if attempts >= MAX_ATTEMPTS {
            self.copies.release(number);
            if merge {
                self.merge_failed();
            } else {
                self.condemn(order, DeleteReason::CopyFailed);
            }
            return;
        }
        // Another block of the store: the one taken may be what is bad.
        let to = self.take_block(order, 0);
        if let (Some(slot), Some(to)) = (self.copies.slot_mut(number), to) {
            slot.to = to;
        }
        if let Some(slot) = self.copies.slot_mut(number) {
            slot.state = SlotState::ToCopy;
        }
        let _ = self.copies.to_copy.push(number);
    }

    pub(crate) fn spare_done(&mut self, result: Result<(), IoError>) {
        let Some(order) = self.copies.spare_busy.take() else { return };
        self.copies.spare_attempts = if result.is_ok() { 0 } else { self.copies.spare_attempts + 1 };
        let give_up = self.copies.spare_attempts >= MAX_ATTEMPTS;
        if let Some(list) = self.by_order_mut(order).and_then(|store| store.list.as_mut())
            && let Spare::Writing(place) = list.spare
        {
            list.spare = match result {
                Ok(()) => Spare::Written(place),
                Err(IoError) if give_up => Spare::None,
                Err(IoError) => Spare::Wanted(place),
            };
        }
        if give_up {
            self.copies.spare_attempts = 0;
            self.copies_failed(order);
        }
    }

    pub(crate) fn group_flushed(&mut self, gate: &Gate, result: Result<(), IoError>) {
        if self.copies.stage != Stage::Flushing {
            return;
        }
        let distrusted = core::mem::take(&mut self.copies.distrusted);
        if result.is_err() || distrusted {
            // What a failed flush left behind is unknown: a later flush need not report it again. Copy anew.
            self.copies.stage = Stage::Idle;
            self.failed_flushes = self.failed_flushes.saturating_add(1);
            while let Some(number) = self.copies.group.pop() {
                if let Some(slot) = self.copies.slot_mut(number) {
                    slot.state = SlotState::Copying;
                }
                self.copy_done(number, Err(IoError));
            }
            self.copies.distrust();
            for store in &mut self.stores {
                store.list.iter_mut().for_each(ListTail::distrust_spare);
            }
            return;
        }
        for store in &mut self.stores {
            if let Some(list) = store.list.as_mut()
                && let Spare::Flushing(place) = list.spare
            {
                list.spare = Spare::Durable(place);
            }
        }
        self.list_group(gate);
    }

    /// Puts the group's descriptors into their lists. What finds no place goes into the next group.
    fn list_group(&mut self, gate: &Gate) {
        self.copies.stage = Stage::Listing;
        self.copies.listings.clear();
        let mut i = 0;
        while let Some(number) = self.copies.group.get(i).copied() {
            let Some(slot) = self.copies.slot(number).copied() else { break };
            let descriptor = Descriptor {
                original: slot.block.saturating_mul(BLOCK_SIZE),
                relative: slot.to.relative,
                store: slot.to.volume,
                flags: 0,
                sectors: 0,
            };
            let list = self.by_order_mut(slot.order).and_then(|store| store.list.as_mut());
            let spare = list.as_ref().map_or(Spare::None, |list| list.spare);
            match list.map(|list| list.append(&descriptor)) {
                Some(Ok(())) => i += 1,
                Some(Err(Full)) if spare != Spare::None => {
                    vecs::remove(&mut self.copies.group, i);
                    let _ = vecs::push(&mut self.copies.copied, number);
                }
                _ => {
                    // The store is gone, or its list cannot go on: the write looks for another way.
                    vecs::remove(&mut self.copies.group, i);
                    self.copies.release(number);
                }
            }
        }
        let sector = self.config.sector;
        for store in &self.stores {
            let Some(list) = store.list.as_ref() else { continue };
            // What is dirty from a failed write goes along, unless nobody wants that store any more.
            let slots = &self.copies.slots;
            let in_group = |number: &u16| slots.get(usize::from(*number)).is_some_and(|slot| slot.order == store.order);
            if !store.wanted() && !self.copies.group.iter().any(in_group) {
                continue;
            }
            let blocks = list.previous.iter().map(|block| (true, block)).chain([(false, &list.current)]);
            for (previous, block) in blocks {
                if let Some((from, to)) = block.dirty(sector) {
                    let at = block.place.volume;
                    let state = WriteState::ToIssue;
                    let listing = Listing { order: store.order, previous, at, from, to, state, attempts: 0 };
                    let _ = vecs::push(&mut self.copies.listings, listing);
                }
            }
        }
        if self.copies.listings.is_empty() {
            self.copies.stage = Stage::Idle;
            self.advance_all(gate);
        }
    }

    pub(crate) fn listing_done(&mut self, gate: &Gate, item: u16, result: Result<(), IoError>) {
        let Some(listing) = self.copies.listings.get_mut(usize::from(item)) else { return };
        if result.is_err() {
            // The same bytes again, a few times. After that the snapshot is given up, so that users' writes do not wait
            // for a broken device; the list stays dirty and is written with the next group of that store.
            listing.attempts = listing.attempts.saturating_add(1);
            listing.state = WriteState::ToIssue;
            let (order, attempts) = (listing.order, listing.attempts);
            if attempts < MAX_ATTEMPTS {
                return;
            }
            listing.state = WriteState::Failed;
            self.copies_failed(order);
            self.drop_group_of(order);
        } else {
            listing.state = WriteState::Done;
        }
        let finished = |listing: &Listing| matches!(listing.state, WriteState::Done | WriteState::Failed);
        if self.copies.listings.iter().all(finished) {
            self.finish_group(gate);
        }
    }

    /// The descriptors of this store could not be written: none of its slots counts as saved.
    fn drop_group_of(&mut self, order: u32) {
        let mut i = 0;
        while let Some(number) = self.copies.group.get(i).copied() {
            if self.copies.slot(number).is_some_and(|slot| slot.order == order) {
                vecs::remove(&mut self.copies.group, i);
                self.copies.release(number);
            } else {
                i += 1;
            }
        }
    }

    fn finish_group(&mut self, gate: &Gate) {
        while let Some(listing) = self.copies.listings.pop() {
            let list = self.by_order_mut(listing.order).and_then(|store| store.list.as_mut());
            let Some(list) = list.filter(|_| listing.state == WriteState::Done) else { continue };
            if listing.previous {
                list.previous = None;
            } else {
                list.current.clean();
            }
        }
        self.copies.stage = Stage::Idle;
        while let Some(number) = self.copies.group.pop() {
            let Some(slot) = self.copies.slot(number).copied() else { continue };
            self.enter(slot.block, slot.order, slot.to.volume);
            // A copy may have outlived the snapshot that it was for: the bit is about those wanted now.
            let newest = self.target().map_or(u32::MAX, |target| target.order);
            if self.index.at_or_after(slot.block, newest).is_some() {
                gate.set(slot.block);
            }
            self.copies.release(number);
        }
        self.advance_all(gate);
    }

    /// Enters a saved block into the index, as a reader of the list would.
    fn enter(&mut self, block: u64, order: u32, at: u64) {
        // Content saved from a place that something was moved to belongs to what was moved.
        let block = self.reverse.remove(block, order).unwrap_or(block);
        // Room was reserved before the copy was started.
        let _ = self.index.insert(block, order, Saved::At(at));
    }

    // ---- what the shell is asked ----------------------------------------------------------------------------------

    /// Starts the next group if there is one.
    pub(crate) fn pump_copies(&mut self) {
        if self.copies.stage != Stage::Idle || self.copies.copied.is_empty() {
            return;
        }
        // The mending of a list block writes it whole.
        if !self.repairs.is_empty() {
            return;
        }
        let full = self.copies.copied.len() * 2 >= self.copies.slots.len();
        if !full && self.copies.copying_before(self.copies.cut) {
            return;
        }
        // A group that would only find its list full waits until the spare is written.
        let waits = |list: &crate::list::ListTail| {
            list.room() == 0 && matches!(list.spare, Spare::Wanted(_) | Spare::Writing(_))
        };
        if self.stores.iter().filter_map(|store| store.list.as_ref()).any(waits) {
            return;
        }
        core::mem::swap(&mut self.copies.copied, &mut self.copies.group);
        self.copies.stage = Stage::ToFlush;
    }

    pub(crate) fn next_copy_command(&mut self) -> Option<Command> {
        if let Some(command) = self.next_spare_command() {
            return Some(command);
        }
        if self.copies.stage == Stage::ToFlush {
            self.copies.stage = Stage::Flushing;
            for store in &mut self.stores {
                if let Some(list) = store.list.as_mut()
                    && let Spare::Written(place) = list.spare
                {
                    list.spare = Spare::Flushing(place);
                }
            }
            return Some(Command::Flush { token: Token(TokenKind::GroupFlush), target: Target::Storage });
        }
        if self.copies.stage == Stage::Listing {
            let next = self.copies.listings.iter_mut().enumerate().find(|(_, l)| l.state == WriteState::ToIssue);
            if let Some((item, listing)) = next {
                listing.state = WriteState::Issued;
                return Some(Command::Write {
                    token: Token(TokenKind::Listing(item as u16)),
                    to: Place::storage(listing.at.saturating_add(listing.from as u64)),
                    length: (listing.to - listing.from) as u32,
                    durable: true,
                });
            }
        }
        let number = self.copies.to_copy.pop()?;
        let volume_size = self.config.volume_size;
        let slot = self.copies.slot_mut(number)?;
        slot.state = SlotState::Copying;
        // The last block of a volume may be shorter.
        let length = match slot.from.target {
            Target::Live => BLOCK_SIZE.min(volume_size.saturating_sub(slot.from.offset)),
            Target::Storage => BLOCK_SIZE,
        };
        Some(Command::Copy {
            token: Token(TokenKind::Copy(number)),
            from: slot.from,
            to: Place::storage(slot.to.volume),
            length: length as u32,
        })
    }

    fn next_spare_command(&mut self) -> Option<Command> {
        if self.copies.spare_busy.is_some() {
            return None;
        }
        for store in &mut self.stores {
            let Some(list) = store.list.as_mut() else { continue };
            if let Spare::Wanted(place) = list.spare {
                list.spare = Spare::Writing(place);
                self.copies.spare_busy = Some(store.order);
                return Some(Command::Write {
                    token: Token(TokenKind::Spare),
                    to: Place::storage(place.volume),
                    length: BLOCK_SIZE as u32,
                    durable: false,
                });
            }
        }
        None
    }

    pub(crate) fn spare_payload(&self) -> &[u8] {
        let store = self.copies.spare_busy.and_then(|order| self.by_order(order).or_else(|| self.buried(order)));
        let list = store.and_then(|store| store.list.as_ref());
        list.map_or(&[], |list| list.blank())
    }

    fn buried(&self, order: u32) -> Option<&crate::store::Store> {
        self.graveyard.iter().find(|store| store.order == order)
    }

    pub(crate) fn listing_payload(&self, item: u16) -> &[u8] {
        let Some(listing) = self.copies.listings.get(usize::from(item)) else { return &[] };
        let store = self.by_order(listing.order).or_else(|| self.buried(listing.order));
        let Some(list) = store.and_then(|store| store.list.as_ref()) else { return &[] };
        let block = if listing.previous { list.previous.as_ref() } else { Some(&list.current) };
        block.map_or(&[], |block| block.bytes(listing.from, listing.to))
    }

    /// Writing into a store failed for good: if it is the target of copies, the snapshot cannot be kept.
    fn copies_failed(&mut self, order: u32) {
        if self.by_order(order).is_some_and(|store| store.wanted()) {
            self.condemn(order, DeleteReason::CopyFailed);
        } else {
            self.merge_failed();
        }
    }
}
