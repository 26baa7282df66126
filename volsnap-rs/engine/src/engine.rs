// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's state and its front door: what shells call and what they are told to do.

use crate::catalog::Catalog;
use crate::cow::{Copies, Waiting, Writes};
use crate::gate::Gate;
use crate::index::Index;
use crate::jobs::{Job, Pending, Preparing};
use crate::load::{OnDisk, Repairs};
use crate::removal::{Freed, Merge};
use crate::ring::Ring;
use crate::space::Space;
use crate::store::{Growth, Life, Overlay, Saved, Store};
use crate::types::{
    Command, Decision, DeleteReason, Event, Extent, IoError, NewSnapshot, NoMemory, Priority, RequestError,
    SnapshotView, Target, Token, TokenKind, WriteId, block_range, blocks_of,
};
use crate::vecs;
use alloc::vec::Vec;
use ondisk::{BLOCK_SIZE, FileTime, Guid, VolumeHeader};

/// What the engine is told about its surroundings, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of the live volume.
    pub volume_size: u64,
    /// Bytes of the volume that holds the diff area.
    pub storage_size: u64,
    /// The diff area is on the live volume itself.
    pub same_volume: bool,
    /// Only look: nothing is mended, nothing can be changed.
    pub read_only: bool,
    /// Bytes of a sector, in which metadata is written: 512 or 4096.
    pub sector: usize,
    /// Most saved blocks that the index may hold. Bounds its memory: 16 to 32 bytes each.
    pub index_limit: usize,
    /// Blocks that may be on their way into a store at once (1 to 240).
    pub max_copies: usize,
    /// Writes that may wait for them at once.
    pub max_writes: usize,
    /// Ask for growth when fewer bytes than this are free in the newest store.
    pub low_water: u64,
    /// Bytes to ask for.
    pub growth: u64,
    /// Bytes of the newest store that [`Priority::User`] may not use: an eighth of it at the most.
    pub reserve: u64,
}

impl Config {
    /// Sensible figures for a volume of this size with its diff area on itself.
    pub const fn new(volume_size: u64) -> Self {
        Self {
            volume_size,
            storage_size: volume_size,
            same_volume: true,
            read_only: false,
            sector: 512,
            index_limit: 1 << 25,
            max_copies: 128,
            max_writes: 1024,
            low_water: 32 << 20,
            growth: 32 << 20,
            reserve: 1 << 20,
        }
    }
}

/// Whether writes may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    Open,
    /// No new ones; some are still in flight.
    Closing,
    Held,
}

/// The copy-on-write engine of one volume. See the crate's documentation for the life of a write and of a snapshot.
///
/// Every method that may let a write pass takes the volume's [`Gate`]: always the one that was made together with this
/// engine. Methods never block and never do I/O; after each of them the shell takes [`Engine::next_command`] until it
/// gives `None`.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) header: Option<VolumeHeader>,
    pub(crate) storage_header: Option<VolumeHeader>,
    /// The catalog on the live volume, and the one on the storage volume when that is another.
    pub(crate) live: Catalog,
    pub(crate) storage: Catalog,
    /// Oldest first.
    pub(crate) stores: Vec<Store>,
    pub(crate) next_order: u32,
    pub(crate) index: Index<Saved>,
    pub(crate) overlays: Index<Overlay>,
    /// (target block of a forwarder, store) -> the block that it forwards.
    pub(crate) reverse: Index<u64>,
    pub(crate) hold: Hold,
    pub(crate) writes: Writes,
    pub(crate) copies: Copies,
    notices: Ring<Event>,
    /// Somebody was told 'later'.
    pub(crate) later: bool,
    resubmit: bool,
    pub(crate) job: Option<Job>,
    pub(crate) pending: Pending,
    pub(crate) repairs: Repairs,
    pub(crate) preparing: Option<Preparing>,
    pub(crate) freed: Vec<Freed>,
    pub(crate) merge: Option<Merge>,
    pub(crate) lend_reserve: bool,
    /// Room was on its way when it was last looked at.
    room_coming: bool,
    /// Room is waited for by those who are to make it.
    pub(crate) cornered: bool,
    /// The diff area cannot be written: nothing is shown, and what is on disk is to be taken back.
    pub(crate) lost: bool,
    /// The stores that were lost, as long as their lists may be being written or their files are not given back.
    pub(crate) graveyard: Vec<Store>,
    /// Failed flushes so far: what was written before one of them may never become durable, whatever a later one says.
    pub(crate) failed_flushes: u64,
}

impl Engine {
    pub(crate) fn from_disk(disk: OnDisk, gate: &Gate) -> Result<Self, NoMemory> {
        let next_order = disk.stores.last().map_or(1, |store| store.order.saturating_add(1));
        let mut engine = Self {
            writes: Writes::new(disk.config.max_writes)?,
            copies: Copies::new(disk.config.max_copies)?,
            notices: Ring::new(256)?,
            config: disk.config,
            header: disk.header,
            storage_header: disk.storage_header,
            live: disk.live,
            storage: disk.storage,
            stores: disk.stores,
            next_order,
            index: disk.index,
            overlays: disk.overlays,
            reverse: disk.reverse,
            hold: Hold::Open,
            later: false,
            resubmit: false,
            job: None,
            pending: Pending { renumber: disk.renumber && !disk.config.read_only, ..Pending::default() },
            repairs: disk.repairs,
            preparing: None,
            freed: Vec::new(),
            merge: None,
            lend_reserve: false,
            room_coming: false,
            cornered: false,
            lost: false,
            graveyard: Vec::new(),
            failed_flushes: 0,
        };
        engine.guard(gate);
        gate.open(engine.watching());
        engine.pump(gate);
        Ok(engine)
    }

    // ---- the write path -------------------------------------------------------------------------------------------

    /// A write, discard or zeroing of `length` bytes at `offset` of the live volume wants in, and the gate said no.
    ///
    /// `id` must not be in use by a waiting write. The write may be of any length.
    pub fn write(&mut self, gate: &Gate, id: WriteId, offset: u64, length: u64, priority: Priority) -> Decision {
        if self.hold != Hold::Open {
            self.later = true;
            self.drained(gate);
            return Decision::Later;
        }
        let range = block_range(offset, length);
        let mut waiting = Waiting::new(id, range, priority);
        if self.advance(gate, &mut waiting) {
            self.writes.in_flight = self.writes.in_flight.saturating_add(1);
            return Decision::Pass;
        }
        let decision = if self.writes.add(waiting) {
            Decision::Wait
        } else {
            self.later = true;
            Decision::Later
        };
        self.pump(gate);
        decision
    }

    /// A write that the engine let through is finished, well or not.
    pub fn write_done(&mut self, gate: &Gate) {
        self.writes.in_flight = self.writes.in_flight.saturating_sub(1);
        self.drained(gate);
    }

    /// The gate ran empty while closed ([`Gate::leave`] said so).
    pub fn drained(&mut self, gate: &Gate) {
        if self.hold == Hold::Closing && gate.is_empty() && self.writes.idle() {
            self.hold = Hold::Held;
            self.notify(Event::Held);
            self.pump(gate);
        }
    }

    /// What the engine wants done next, or `None` for now.
    pub fn next_command(&mut self) -> Option<Command> {
        if let Some(id) = self.writes.released.pop() {
            return Some(Command::Release(id));
        }
        if core::mem::take(&mut self.resubmit) {
            return Some(Command::Resubmit);
        }
        if let Some(event) = self.notices.pop() {
            return Some(Command::Notify(event));
        }
        self.next_job_command()
            .or_else(|| self.next_copy_command())
            .or_else(|| self.next_growth_command())
            .or_else(|| self.next_free_command())
    }

    /// The bytes of a [`Command::Write`]. Stable until its [`Engine::io_done`].
    pub fn payload(&self, token: Token) -> &[u8] {
        match token.0 {
            TokenKind::Job(item) => self.job.as_ref().map_or(&[], |job| job.payload(item)),
            TokenKind::Spare => self.spare_payload(),
            TokenKind::Listing(item) => self.listing_payload(item),
            TokenKind::Copy(_) | TokenKind::GroupFlush => &[],
        }
    }

    /// An I/O that the engine asked for is finished.
    pub fn io_done(&mut self, gate: &Gate, token: Token, result: Result<(), IoError>) {
        match token.0 {
            TokenKind::Copy(slot) => self.copy_done(slot, result),
            TokenKind::Spare => self.spare_done(result),
            TokenKind::GroupFlush => self.group_flushed(gate, result),
            TokenKind::Listing(item) => self.listing_done(gate, item, result),
            TokenKind::Job(item) => self.job_item_done(gate, item, result),
        }
        self.pump(gate);
    }

    /// Tries again what failed for lack of memory or because of I/O errors. Shells call it now and then (a second is
    /// right) and when memory or space has become free.
    pub fn tick(&mut self, gate: &Gate) {
        self.pending.retry = true;
        self.pump(gate);
    }

    // ---- snapshots ------------------------------------------------------------------------------------------------

    /// Writes the catalog and the header, once per volume: the diff area exists, with no snapshot in it.
    ///
    /// `catalog` is the offset of 64 KiB, aligned to 16 KiB, on the live volume. With redirected storage
    /// `storage_catalog` is the same on the storage volume, unless that has a catalog already.
    /// Answer: [`Event::AreaReady`] or [`Event::AreaFailed`].
    pub fn create_area(
        &mut self,
        gate: &Gate,
        header: VolumeHeader,
        catalog: u64,
        storage_catalog: Option<(VolumeHeader, u64)>,
    ) -> Result<(), RequestError> {
        self.writable()?;
        if self.has_area() || self.pending.area.is_some() {
            return Err(RequestError::BadState);
        }
        // An older one that is still to be cut off goes with the new header.
        self.pending.forget_area = false;
        self.pending.area = Some((VolumeHeader { catalog, ..header }, storage_catalog));
        self.pump(gate);
        Ok(())
    }

    /// Cuts the header off the catalog of a diff area that has no snapshots. Answer: [`Event::AreaRemoved`].
    ///
    /// # Errors
    /// `NoArea`, or `Busy` while there are snapshots or one is being made.
    pub fn remove_area(&mut self, gate: &Gate) -> Result<(), RequestError> {
        self.writable()?;
        if !self.has_area() {
            return Err(RequestError::NoArea);
        }
        if !self.stores.is_empty() || self.preparing.is_some() {
            return Err(RequestError::Busy);
        }
        self.pending.forget_area = true;
        self.pump(gate);
        Ok(())
    }

    /// Gives up the free space of a store that takes no copies any more, so that the shell may cut its file to the
    /// bytes returned. `None`: no such store, or it is the newest, or it is being changed.
    pub fn seal(&mut self, gate: &Gate, store: Guid) -> Option<u64> {
        let newest = self.target()?.order;
        let at = self.stores.iter().position(|s| s.snapshot.store == store)?;
        let found = self.stores.get(at)?;
        let busy = found.order >= newest || self.copies.refers(found.order) || found.growth != Growth::Idle;
        if self.config.read_only || busy || self.merge.is_some() {
            return None;
        }
        let used = found.space.used();
        let mut kept = Vec::new();
        for run in found.space.runs() {
            if let Some(length) = used.checked_sub(run.relative).map(|left| left.min(run.length)).filter(|l| *l > 0) {
                vecs::push(&mut kept, Extent { length, ..*run }).ok()?;
            }
        }
        self.give_extents(gate, at, &kept).ok()?;
        // A snapshot was made since: what is left of the others and its own file may be more than is allowed.
        self.pending.over = true;
        self.pump(gate);
        Some(used)
    }

    /// Whether there is a diff area that a snapshot can be put in.
    pub fn has_area(&self) -> bool {
        self.live.blocks().next().is_some()
    }

    /// The volume header, as it is on disk.
    pub fn header(&self) -> Option<&VolumeHeader> {
        self.header.as_ref()
    }

    /// The storage volume's header, when that is another volume.
    pub fn storage_header(&self) -> Option<&VolumeHeader> {
        self.storage_header.as_ref()
    }

    /// Stores the maximum size of the diff area in bytes, 0 = unbounded.
    /// Answer: [`Event::MaximumSet`] or [`Event::MaximumFailed`]. What is over it goes, oldest first.
    pub fn set_maximum(&mut self, gate: &Gate, bytes: u64) -> Result<(), RequestError> {
        self.writable()?;
        if !self.has_area() {
            return Err(RequestError::NoArea);
        }
        if self.pending.maximum.is_some() {
            return Err(RequestError::Busy);
        }
        self.pending.maximum = Some(bytes);
        self.pump(gate);
        Ok(())
    }

    /// Writes header, block list and range list of a new snapshot's store.
    /// Answer: [`Event::Prepared`] or [`Event::PrepareFailed`]. One at a time.
    ///
    /// Blocks of the file whose old content a snapshot still needs are left unused: a shell that wants all of it
    /// discards the file's runs through the write path first.
    pub fn prepare(&mut self, gate: &Gate, mut snapshot: NewSnapshot) -> Result<(), RequestError> {
        self.writable()?;
        if !self.has_area() {
            return Err(RequestError::NoArea);
        }
        if self.preparing.is_some() {
            return Err(RequestError::Busy);
        }
        if self.stores.iter().any(|store| store.snapshot.store == snapshot.store) {
            return Err(RequestError::BadState);
        }
        snapshot.extents = self.usable(gate, &snapshot.extents, &[])?;
        self.preparing = Some(Preparing::new(snapshot, self.config)?);
        self.pump(gate);
        Ok(())
    }

    /// Lets no new write pass. [`Event::Held`] says that none is in flight any more. The shell keeps the time limit.
    pub fn hold_writes(&mut self, gate: &Gate) -> Result<(), RequestError> {
        if self.hold != Hold::Open {
            return Err(RequestError::BadState);
        }
        self.hold = Hold::Closing;
        gate.close();
        self.drained(gate);
        Ok(())
    }

    /// Makes the prepared snapshot, of the moment at which writes were held.
    ///
    /// `free`: a bit for every 16 KiB block of the volume, lowest bit first; set means that the block need not be
    /// preserved. `created`: now; moved up if the newest snapshot is not older.
    /// Answer: [`Event::Committed`] or [`Event::PrepareFailed`].
    pub fn commit(&mut self, gate: &Gate, created: FileTime, free: Vec<u8>) -> Result<(), RequestError> {
        self.writable()?;
        if self.hold != Hold::Held {
            return Err(RequestError::BadState);
        }
        if free.len() as u64 != blocks_of(self.config.volume_size).div_ceil(8) {
            return Err(RequestError::BadMap);
        }
        let Some(preparing) = self.preparing.as_mut() else { return Err(RequestError::BadState) };
        preparing.commit(created, free)?;
        self.pump(gate);
        Ok(())
    }

    /// Lets writes pass again. A commit that is not durable yet is given up: [`Event::PrepareFailed`] follows, or, if it
    /// was past the point of no return, [`Event::Committed`], and the writes pass then.
    pub fn release_writes(&mut self, gate: &Gate) -> Result<(), RequestError> {
        if self.hold == Hold::Open {
            return Err(RequestError::BadState);
        }
        if !self.cancel_commit(gate) {
            self.pending.release = true;
            return Ok(());
        }
        self.open(gate);
        Ok(())
    }

    /// Gives up a prepared snapshot that is not committed. The shell deletes the file when [`Command::Free`] says so.
    pub fn abort(&mut self, gate: &Gate) -> Result<(), RequestError> {
        self.abort_preparing()?;
        self.pump(gate);
        Ok(())
    }

    /// Deletes a snapshot. Every other one keeps its content: what an older one still needs moves into the older's
    /// store in the background. Answer: [`Event::Deleted`] once it is durable that nobody sees it any more, or
    /// [`Event::DeleteFailed`].
    pub fn delete(&mut self, gate: &Gate, store: Guid) -> Result<(), RequestError> {
        self.writable()?;
        let found = self.stores.iter_mut().find(|s| s.snapshot.store == store && s.wanted());
        let Some(found) = found else { return Err(RequestError::NotFound) };
        if found.life != Life::Alive {
            return Err(RequestError::Busy);
        }
        found.life = Life::Condemned(DeleteReason::Requested);
        self.pump(gate);
        Ok(())
    }

    /// Tells the runs of a store's file, once after loading. Without them the store cannot take new blocks.
    pub fn set_extents(&mut self, gate: &Gate, store: Guid, extents: &[Extent]) -> Result<(), RequestError> {
        self.writable()?;
        let Some(at) = self.stores.iter().position(|s| s.snapshot.store == store) else {
            return Err(RequestError::NotFound);
        };
        self.give_extents(gate, at, extents)?;
        self.pump(gate);
        Ok(())
    }

    /// The answer to [`Command::Grow`]: all runs of the file as it is now, or `None` if it could not grow.
    pub fn grown(&mut self, gate: &Gate, store: Guid, extents: Option<&[Extent]>) {
        let Some(at) = self.stores.iter().position(|s| s.snapshot.store == store) else { return };
        let already = self.stores.get(at).map_or(&[][..], |store| store.space.runs());
        let usable = extents.and_then(|extents| self.usable(gate, extents, already).ok());
        if let Some(store) = self.stores.get_mut(at) {
            let more = usable.filter(|usable| usable.iter().map(|run| run.length).sum::<u64>() > store.space.total());
            store.growth = match more {
                Some(extents) => Growth::Given(extents),
                None => Growth::Refused(store.space.free_blocks()),
            };
        }
        // A refusal decides what becomes of the writes that wait.
        self.advance_all(gate);
        self.pump(gate);
    }

    /// Whether growth of this store still helps: a snapshot made since takes the copies now, unless a deletion moves
    /// something into this one.
    pub fn needs_growth(&self, store: Guid) -> bool {
        let target = self.target().map(|target| target.order);
        let merge = self.merge.as_ref().map(|merge| merge.into);
        self.stores.iter().any(|s| s.snapshot.store == store && (Some(s.order) == target || Some(s.order) == merge))
    }

    /// Bytes that could be used more if the file of a store, or of one that is to be prepared (`None`), had these runs:
    /// whoever makes or grows it can tell whether that is enough.
    pub fn gain(&self, gate: &Gate, store: Option<Guid>, extents: &[Extent]) -> u64 {
        let already = store.and_then(|store| self.stores.iter().find(|s| s.snapshot.store == store));
        let runs = already.map_or(&[][..], |store| store.space.runs());
        let Ok(usable) = self.usable(gate, extents, runs) else { return 0 };
        let total = already.map_or(0, |store| store.space.total());
        usable.iter().map(|run| run.length).sum::<u64>().saturating_sub(total)
    }

    /// The answer to [`Command::Free`]: the file is gone, or could not be deleted and stays as a file without owner.
    pub fn store_freed(&mut self, gate: &Gate, store: Guid) {
        if let Some(at) = self.freed.iter().position(|freed| freed.store == store) {
            vecs::remove(&mut self.freed, at);
            self.forget_refusals();
        }
        self.pump(gate);
    }

    /// The shell's own work of growing or deleting files is stuck behind writes that wait for space: they may use the
    /// reserve until the next growth. When called again and there still is no space, the answer that is awaited does
    /// not come by itself: the oldest snapshot goes, one for each call.
    pub fn lend_reserve(&mut self, gate: &Gate) {
        self.cornered = self.lend_reserve && self.copies.starved;
        self.lend_reserve = true;
        self.advance_all(gate);
        self.pump(gate);
    }

    /// All snapshots, oldest first, those that are hidden included.
    pub fn snapshots(&self) -> impl Iterator<Item = SnapshotView<'_>> {
        self.stores.iter().map(Store::view)
    }

    /// Whether the block at this offset of the live volume belongs to the diff area: catalog, stores, a store's growth.
    pub fn in_diff_area(&self, offset: u64) -> bool {
        let holds = |run: &Extent| offset.checked_sub(run.volume).is_some_and(|into| into < run.length);
        let start = offset - offset % ondisk::BLOCK_SIZE;
        self.live.uses(start)
            || (self.config.same_volume && self.stores.iter().any(|store| store.space.runs().iter().any(holds)))
    }

    /// Bytes: used in store files, taken by store files.
    pub fn usage(&self) -> (u64, u64) {
        let used = self.stores.iter().map(|store| store.space.used()).sum();
        (used, self.allocated())
    }

    /// Bytes of memory that the index of saved blocks takes, and the number of blocks in it.
    pub fn index_memory(&self) -> (usize, usize) {
        (self.index.memory() + self.overlays.memory() + self.reverse.memory(), self.index.len())
    }

    /// Whether nothing is under way: no copy, no job, no merge, no growth. For tests and for a clean stop.
    pub fn is_idle(&self) -> bool {
        self.job.is_none()
            && self.copies.is_idle()
            && self.writes.idle()
            && self.freed.is_empty()
            && !self.has_work()
            && self.merge.as_ref().is_none_or(|merge| merge.blocked)
    }

    // ---- inside ---------------------------------------------------------------------------------------------------

    /// Does everything that can be done without waiting.
    pub(crate) fn pump(&mut self, gate: &Gate) {
        if self.config.read_only {
            return;
        }
        if !self.lost && !self.graveyard.is_empty() && self.copies.is_idle() {
            self.graveyard.clear();
        }
        self.start_job(gate);
        self.pump_merge();
        self.pump_copies();
        self.make_room();
        let coming = self.target().is_some_and(|target| self.room_is_coming(target.order));
        let begins = coming && !self.room_coming;
        self.room_coming = coming;
        if begins && self.copies.starved {
            // A file system's write may use the reserve from now on.
            self.advance_all(gate);
        }
        self.start_job(gate);
        self.pending.retry = false;
        if self.later && self.hold == Hold::Open && self.writes.has_room() {
            self.later = false;
            self.resubmit = true;
        }
    }

    pub(crate) fn writable(&self) -> Result<(), RequestError> {
        if self.config.read_only || self.lost { Err(RequestError::ReadOnly) } else { Ok(()) }
    }

    /// Whether writes have to be looked at at all.
    pub(crate) fn filtering(&self) -> bool {
        self.stores.iter().any(Store::wanted)
    }

    /// Whether the gate has to look: without snapshots there still is a catalog that must not be overwritten unnoticed,
    /// or the next commit would write into somebody's data.
    pub(crate) fn watching(&self) -> bool {
        self.filtering() || (self.has_area() && !self.config.read_only)
    }

    /// Brings the gate's bits in line with the diff area. Without snapshots nothing else is looked at.
    pub(crate) fn guard(&self, gate: &Gate) {
        if self.config.read_only {
            return;
        }
        if !self.filtering() {
            gate.fill(|block| !self.live.uses(block.saturating_mul(BLOCK_SIZE)));
        }
        self.protect(gate);
    }

    pub(crate) fn open(&mut self, gate: &Gate) {
        self.hold = Hold::Open;
        gate.open(self.watching());
        self.pump(gate);
    }

    /// After the set of wanted snapshots changed.
    pub(crate) fn retarget(&mut self, gate: &Gate) {
        self.guard(gate);
        if self.hold == Hold::Open {
            gate.open(self.watching());
        }
        self.advance_all(gate);
    }

    pub(crate) fn notify(&mut self, event: Event) {
        // A shell that does not listen loses news, never data.
        let _ = self.notices.push(event);
    }

    pub(crate) fn by_order(&self, order: u32) -> Option<&Store> {
        self.stores.iter().find(|store| store.order == order)
    }

    pub(crate) fn by_order_mut(&mut self, order: u32) -> Option<&mut Store> {
        self.stores.iter_mut().find(|store| store.order == order)
    }

    /// Where copies go: the newest store that somebody may still want.
    pub(crate) fn target(&self) -> Option<&Store> {
        self.stores.iter().rev().find(|store| store.wanted())
    }

    pub(crate) fn catalog(&mut self, target: Target) -> &mut Catalog {
        match target {
            Target::Live => &mut self.live,
            Target::Storage => &mut self.storage,
        }
    }

    /// Bytes that count against the maximum: files of stores, and files that are not deleted yet.
    pub(crate) fn allocated(&self) -> u64 {
        let stores: u64 = self.stores.iter().map(|store| store.file_size).sum();
        let freed: u64 = self.freed.iter().map(|freed| freed.bytes).sum();
        let preparing = self.preparing.as_ref().map_or(0, Preparing::file_size);
        stores.saturating_add(freed).saturating_add(preparing)
    }

    fn give_extents(&mut self, gate: &Gate, at: usize, extents: &[Extent]) -> Result<(), NoMemory> {
        let already = self.stores.get(at).map_or(&[][..], |store| store.space.runs());
        let usable = self.usable(gate, extents, already)?;
        if let Some(store) = self.stores.get_mut(at) {
            if self.config.same_volume {
                // What the store had and gives back was never preserved, and need not be (see `removed`).
                store.space.runs().iter().flat_map(crate::prepare::blocks_in).for_each(|block| gate.set(block));
            }
            store.space = Space::new(&usable, store.space.used())?;
            store.file_size = extents.iter().map(|extent| extent.length).sum();
        }
        self.protect(gate);
        Ok(())
    }

    pub(crate) fn take_extents(&mut self, gate: &Gate, order: u32, extents: &[Extent]) -> Result<(), NoMemory> {
        match self.stores.iter().position(|store| store.order == order) {
            Some(at) => self.give_extents(gate, at, extents),
            None => Ok(()),
        }
    }
}
