// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making a snapshot: its store's structures, the commit, and the growth of a store.
//!
//! Order on disk: header, block list, range list; flush; bitmaps; flush; then the two catalog entries in one sector,
//! durable. Only that last write makes the snapshot exist, so a crash before it leaves nothing but an unnamed file.

use crate::catalog::Position;
use crate::engine::{Config, Engine};
use crate::gate::Gate;
use crate::jobs::{Item, Step, durable, one, plain, steps};
use crate::list::{ListTail, empty, header};
use crate::removal::Freed;
use crate::space::{Space, StoreBlock};
use crate::store::{Growth, Life, Store};
use crate::types::{Event, Extent, NewSnapshot, NoMemory, Place, RequestError, Target, blocks_of};
use crate::vecs;
use alloc::vec::Vec;
use ondisk::{
    BITMAP_PAYLOAD_LEN, BITS_PER_BITMAP_BLOCK, BLOCK_LEN, BLOCK_SIZE, BlockType, CatalogEntry, FileTime, HEADER_LEN,
    RANGE_LEN, RANGES_PER_BLOCK, Range, SECTOR_LEN, SnapshotEntry, StoreEntry, StoreHeader, snapshot_flags,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Header and lists are to be written.
    ToWrite,
    Ready,
    ToCommit,
}

/// A snapshot that is not in the catalog yet.
#[derive(Debug)]
pub(crate) struct Preparing {
    snapshot: NewSnapshot,
    space: Space,
    header_at: StoreBlock,
    list_at: StoreBlock,
    list: Option<ListTail>,
    ranges_at: StoreBlock,
    range_tail: StoreBlock,
    range_sector: Vec<u8>,
    stage: Stage,
    created: FileTime,
    /// The free map while committing.
    free: Vec<u8>,
    /// While committing: where the entries go and what they say.
    entries: Option<(Position, SnapshotEntry, Position, StoreEntry)>,
    had_previous: bool,
}

impl Preparing {
    pub(crate) fn new(snapshot: NewSnapshot, config: Config) -> Result<Self, RequestError> {
        let mut space = Space::new(&snapshot.extents, 0)?;
        let bitmaps = 2 * blocks_of(config.volume_size).div_ceil(BITS_PER_BITMAP_BLOCK);
        // Header, lists, bitmaps, a second list block, and something to save.
        if space.free_blocks() < bitmaps.saturating_add(8) {
            return Err(RequestError::StoreTooSmall);
        }
        // Readers want the header at a multiple of 16 KiB of the file, too; the first blocks may not be usable.
        let header_at = loop {
            match space.take() {
                Some(place) if place.relative.is_multiple_of(BLOCK_SIZE) => break place,
                Some(_) => {}
                None => return Err(RequestError::StoreTooSmall),
            }
        };
        if space.free_blocks() < bitmaps.saturating_add(7) {
            return Err(RequestError::StoreTooSmall);
        }
        let (Some(list_at), Some(ranges_at)) = (space.take(), space.take()) else {
            return Err(RequestError::StoreTooSmall);
        };
        Ok(Self {
            snapshot,
            space,
            header_at,
            list_at,
            list: Some(ListTail::new(list_at)?),
            ranges_at,
            range_tail: ranges_at,
            range_sector: Vec::new(),
            stage: Stage::ToWrite,
            created: FileTime(0),
            free: Vec::new(),
            entries: None,
            had_previous: false,
        })
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.stage == Stage::ToWrite
    }

    pub(crate) fn wants_commit(&self) -> bool {
        self.stage == Stage::ToCommit
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.stage != Stage::Ready
    }

    pub(crate) fn file_size(&self) -> u64 {
        self.snapshot.extents.iter().map(|extent| extent.length).sum()
    }

    pub(crate) fn commit(&mut self, created: FileTime, free: Vec<u8>) -> Result<(), RequestError> {
        if self.stage != Stage::Ready {
            return Err(RequestError::BadState);
        }
        self.stage = Stage::ToCommit;
        self.created = created;
        self.free = free;
        Ok(())
    }
}

impl Engine {
    /// See [`Engine::abort`].
    pub(crate) fn abort_preparing(&mut self) -> Result<(), RequestError> {
        match self.preparing.as_ref() {
            None => Err(RequestError::BadState),
            Some(preparing) if preparing.stage != Stage::Ready => Err(RequestError::Busy),
            Some(_) => {
                self.forget_preparing();
                Ok(())
            }
        }
    }

    /// Gives a snapshot up and says so.
    pub(crate) fn drop_preparing(&mut self, error: RequestError) {
        if let Some(store) = self.forget_preparing() {
            self.notify(Event::PrepareFailed { store, error });
        }
    }

    fn forget_preparing(&mut self) -> Option<ondisk::Guid> {
        let preparing = self.preparing.take()?;
        let (store, bytes) = (preparing.snapshot.store, preparing.file_size());
        // Without memory for this the file stays until the shell looks for files without owner, at the next start.
        let _ = vecs::push(&mut self.freed, Freed { store, order: 0, bytes, asked: false });
        Some(store)
    }

    // ---- prepare --------------------------------------------------------------------------------------------------

    pub(crate) fn build_prepare(&mut self) -> Result<Vec<Step>, RequestError> {
        let sector = self.config.sector;
        let Some(preparing) = self.preparing.as_mut() else { return Err(RequestError::BadState) };
        let mut writes = Vec::new();
        let mut image = vecs::filled(0, BLOCK_LEN)?;
        let store_header = StoreHeader {
            header: header(BlockType::StoreHeader, preparing.header_at, 0),
            info: core::mem::take(&mut preparing.snapshot.info),
        };
        let written = store_header.to_block(&mut image);
        preparing.snapshot.info = store_header.info;
        written.map_err(|_| RequestError::BadState)?;
        vecs::push(&mut writes, plain(Place::storage(preparing.header_at.volume), image))?;
        vecs::push(&mut writes, plain(Place::storage(preparing.list_at.volume), empty(preparing.list_at)?))?;
        let images = range_images(&mut preparing.space, preparing.ranges_at)?;
        if let Some((place, image)) = images.last() {
            preparing.range_tail = *place;
            preparing.range_sector = first_sector(image, sector)?;
        }
        for (place, image) in images {
            vecs::push(&mut writes, plain(Place::storage(place.volume), image))?;
        }
        Ok(steps([writes, one(Item::Flush(Target::Storage))?])?)
    }

    pub(crate) fn prepared(&mut self) {
        if let Some(preparing) = self.preparing.as_mut() {
            preparing.stage = Stage::Ready;
            let store = preparing.snapshot.store;
            self.notify(Event::Prepared { store });
        }
    }

    // ---- commit ---------------------------------------------------------------------------------------------------

    pub(crate) fn build_commit(&mut self, gate: &Gate) -> Result<Vec<Step>, RequestError> {
        let (snapshot_at, entry_at) = self.free_entries().ok_or(RequestError::TooMany)?;
        let newest = self.stores.last();
        let sequence = newest.map_or(0, |store| store.snapshot.sequence).saturating_add(1);
        let earliest = newest.map_or(0, |store| store.snapshot.created.0).saturating_add(1);
        let older_online =
            self.stores.iter().filter(|s| s.snapshot.flags & snapshot_flags::OFFLINE == 0).count() as u64;
        let filtering = self.filtering();
        let (volume_size, same_volume, sector) = (self.config.volume_size, self.config.same_volume, self.config.sector);
        self.stores.try_reserve(1).map_err(|_| RequestError::NoMemory)?;
        let mut writes = Vec::new();
        if let Some(filler) = self.fill_catalog(snapshot_at)? {
            vecs::push(&mut writes, filler)?;
        }
        let mut own = self.own_runs()?;
        let Some(preparing) = self.preparing.as_mut() else { return Err(RequestError::BadState) };
        if same_volume {
            for run in preparing.space.runs() {
                vecs::push(&mut own, *run)?;
            }
        }
        // The diff area itself is never preserved.
        set_runs(&mut preparing.free, &own);
        let bitmap = write_bitmap(&mut preparing.space, &preparing.free, &mut writes)?;
        preparing.had_previous = filtering;
        let mut previous = 0;
        if filtering {
            let mut bits = vecs::filled(0u8, preparing.free.len())?;
            gate.copy_to(&mut bits);
            set_runs(&mut bits, &own);
            previous = write_bitmap(&mut preparing.space, &bits, &mut writes)?;
        }
        let snapshot = SnapshotEntry {
            volume_size,
            store: preparing.snapshot.store,
            sequence,
            flags: snapshot_flags::ALWAYS,
            created: FileTime(preparing.created.0.max(earliest)),
            unknown_56: 0,
        };
        let entry = StoreEntry {
            block_list: preparing.list_at.volume,
            store: preparing.snapshot.store,
            header: preparing.header_at.volume,
            ranges: preparing.ranges_at.volume,
            bitmap,
            file_reference: preparing.snapshot.file_reference,
            allocated: 0,
            previous_bitmap: previous,
            // Windows leaves 0 where it writes no previous bitmap.
            older_online: if previous == 0 { 0 } else { older_online },
        };
        preparing.entries = Some((snapshot_at, snapshot, entry_at, entry));
        self.catalog(snapshot_at.target).put(snapshot_at, &CatalogEntry::Snapshot(snapshot));
        self.catalog(entry_at.target).put(entry_at, &CatalogEntry::Store(entry));
        let built = self.commit_steps(writes, snapshot_at, entry_at, sector);
        if built.is_err() {
            self.drop_commit_entries();
        }
        Ok(built?)
    }

    fn commit_steps(
        &mut self,
        writes: Step,
        snapshot_at: Position,
        entry_at: Position,
        sector: usize,
    ) -> Result<Vec<Step>, NoMemory> {
        let target = snapshot_at.target;
        let mut flushes = one(Item::Flush(Target::Storage))?;
        if !self.config.same_volume {
            vecs::push(&mut flushes, Item::Flush(Target::Live))?;
        }
        let commit = one(durable(self.catalog(target).write(snapshot_at, snapshot_at, sector)?))?;
        if entry_at.target == target {
            return steps([writes, flushes, commit]);
        }
        let store = one(durable(self.catalog(entry_at.target).write(entry_at, entry_at, sector)?))?;
        steps([writes, flushes, store, commit])
    }

    /// Some readers stop at the first entry of a block that was never used: there must be none before the new ones.
    fn fill_catalog(&mut self, at: Position) -> Result<Option<Item>, NoMemory> {
        let sector = self.config.sector;
        let catalog = self.catalog(at.target);
        if !catalog.fill_before(at) {
            return Ok(None);
        }
        let (first, last) = (Position { entry: 0, ..at }, Position { entry: at.entry.saturating_sub(1), ..at });
        let (place, bytes) = catalog.write(first, last, sector)?;
        Ok(Some(plain(place, bytes)))
    }

    /// Takes the entries of a commit that came to nothing out of the images.
    pub(crate) fn drop_commit_entries(&mut self) {
        if let Some((snapshot_at, _, entry_at, _)) = self.preparing.as_mut().and_then(|p| p.entries.take()) {
            self.catalog(snapshot_at.target).put(snapshot_at, &CatalogEntry::Free);
            self.catalog(entry_at.target).put(entry_at, &CatalogEntry::Free);
        }
    }

    pub(crate) fn committed(&mut self, gate: &Gate) {
        let Some(preparing) = self.preparing.take() else { return };
        let Some((snapshot_at, snapshot, entry_at, entry)) = preparing.entries else { return };
        gate.load(&preparing.free, preparing.had_previous);
        let file_size = preparing.file_size();
        let guid = snapshot.store;
        let store = Store {
            order: self.next_order,
            snapshot,
            entry,
            snapshot_at,
            entry_at,
            info: preparing.snapshot.info,
            space: preparing.space,
            list: preparing.list,
            range_tail: preparing.range_tail,
            range_sector: preparing.range_sector,
            range_next: None,
            life: Life::Alive,
            unsure: false,
            growth: Growth::Idle,
            file_size,
            forwarders: false,
        };
        // Room was reserved when the job was made.
        let _ = vecs::push(&mut self.stores, store);
        self.next_order += 1;
        self.protect(gate);
        self.notify(Event::Committed { store: guid });
        if core::mem::take(&mut self.pending.release) {
            self.open(gate);
        }
    }

    /// Where the two entries of a new snapshot go.
    fn free_entries(&mut self) -> Option<(Position, Position)> {
        if self.config.same_volume {
            return self.live.free_pair();
        }
        Some((self.live.free_entry()?, self.storage.free_entry()?))
    }

    /// The runs of the live volume that belong to the diff area.
    fn own_runs(&self) -> Result<Vec<Extent>, NoMemory> {
        let mut own = Vec::new();
        for (offset, _) in self.live.blocks() {
            vecs::push(&mut own, Extent { volume: offset, relative: 0, length: BLOCK_SIZE })?;
        }
        if self.config.same_volume {
            for run in self.stores.iter().flat_map(|store| store.space.runs()) {
                vecs::push(&mut own, *run)?;
            }
        }
        Ok(own)
    }

    /// Clears the gate's bits of the diff area: a write there does not pass without the engine's looking at it.
    pub(crate) fn protect(&self, gate: &Gate) {
        for (offset, _) in self.live.blocks() {
            gate.clear(offset / BLOCK_SIZE);
        }
        if self.config.same_volume {
            for run in self.stores.iter().flat_map(|store| store.space.runs()) {
                for block in blocks_in(run) {
                    gate.clear(block);
                }
            }
        }
    }

    /// The parts of a file's runs that may be used: blocks whose old content no snapshot needs any more, or that are
    /// the store's already. A file system gives a store clusters that were another file's a moment ago.
    pub(crate) fn usable(&self, gate: &Gate, extents: &[Extent], already: &[Extent]) -> Result<Vec<Extent>, NoMemory> {
        let mut usable = Vec::new();
        let look = self.config.same_volume && self.filtering();
        let all = Space::new(extents, 0)?;
        for run in all.runs() {
            let mut open: Option<Extent> = None;
            for block in blocks_in(run) {
                let volume = block.saturating_mul(BLOCK_SIZE);
                let relative = run.relative.saturating_add(volume.saturating_sub(run.volume));
                if !look || gate.passes(block) || inside(already, volume) {
                    let from = open.get_or_insert(Extent { volume, relative, length: 0 });
                    from.length = from.length.saturating_add(BLOCK_SIZE);
                } else if let Some(run) = open.take() {
                    vecs::push(&mut usable, run)?;
                }
            }
            if let Some(run) = open {
                vecs::push(&mut usable, run)?;
            }
        }
        Ok(usable)
    }

    // ---- growth ---------------------------------------------------------------------------------------------------

    /// A new range list block describes what was added; then the last one names it. (Runs beyond what one block holds
    /// are used without being listed: the list is for tools, nobody reads through it.)
    pub(crate) fn build_extend(&mut self, order: u32) -> Result<Vec<Step>, NoMemory> {
        let sector = self.config.sector;
        let Some(store) = self.by_order_mut(order) else { return Ok(Vec::new()) };
        let Growth::Given(extents) = &store.growth else { return Ok(Vec::new()) };
        if store.entry.ranges == 0 || store.range_sector.is_empty() {
            return Ok(Vec::new());
        }
        let old_end = store.space.runs().iter().map(|run| run.relative.saturating_add(run.length)).max().unwrap_or(0);
        // A block of an extent that could not be taken into use may be a range list already.
        let mut added = Space::new(extents, old_end.max(store.space.used()))?;
        let place = match store.space.take() {
            Some(place) => place,
            None => {
                let Some(place) = added.take() else { return Ok(Vec::new()) };
                store.space.mark_used(place.relative);
                place
            }
        };
        let image = range_image(&added, place, 0, 0)?;
        let tail = first_sector(&image, sector)?;
        let mut link = vecs::filled(0, store.range_sector.len())?;
        vecs::copy(&mut link, &store.range_sector);
        // `next` is at byte 40 of the common header (format specification, section 2).
        if let Some(next) = link.get_mut(40..48) {
            vecs::copy(next, &place.volume.to_le_bytes());
        }
        let write = one(plain(Place::storage(place.volume), image))?;
        let link = one(durable((Place::storage(store.range_tail.volume), link)))?;
        let steps = steps([write, one(Item::Flush(Target::Storage))?, link])?;
        store.range_next = Some((place, tail));
        Ok(steps)
    }

    pub(crate) fn extended(&mut self, gate: &Gate, order: u32) {
        let Some(store) = self.by_order_mut(order) else { return };
        if let Some((place, sector)) = store.range_next.take() {
            (store.range_tail, store.range_sector) = (place, sector);
        }
        let Growth::Given(extents) = core::mem::replace(&mut store.growth, Growth::Idle) else { return };
        if self.take_extents(gate, order, &extents).is_err() {
            // No memory. The file is larger than we know; the next answer to a growth tells all of it.
            if let Some(store) = self.by_order_mut(order) {
                store.growth = Growth::Refused(store.space.free_blocks());
            }
            self.advance_all(gate);
            return;
        }
        self.lend_reserve = false;
        self.forget_refusals();
        self.advance_all(gate);
    }
}

/// The range list blocks that describe the free runs of `space`, the first at `place`; further ones are taken from it.
fn range_images(space: &mut Space, place: StoreBlock) -> Result<Vec<(StoreBlock, Vec<u8>)>, NoMemory> {
    let mut images: Vec<(StoreBlock, Vec<u8>)> = Vec::new();
    let mut places = one_place(place)?;
    let needed = space.free_runs().count().div_ceil(RANGES_PER_BLOCK).max(1);
    while places.len() < needed {
        let Some(more) = space.take() else { break };
        vecs::push(&mut places, more)?;
    }
    for (i, at) in places.iter().enumerate() {
        let next = places.get(i + 1).map_or(0, |next| next.volume);
        vecs::push(&mut images, (*at, range_image(space, *at, next, i * RANGES_PER_BLOCK)?))?;
    }
    Ok(images)
}

/// One range list block: the free runs of `space` from the one numbered `first` on.
fn range_image(space: &Space, place: StoreBlock, next: u64, first: usize) -> Result<Vec<u8>, NoMemory> {
    let mut image = vecs::filled(0, BLOCK_LEN)?;
    vecs::copy(&mut image, &header(BlockType::RangeList, place, next).to_bytes());
    for (slot, run) in space.free_runs().skip(first).take(RANGES_PER_BLOCK).enumerate() {
        let range = Range { volume: run.volume, relative: run.relative, length: run.length };
        let from = HEADER_LEN + slot * RANGE_LEN;
        if let Some(bytes) = image.get_mut(from..from + RANGE_LEN) {
            vecs::copy(bytes, &range.to_bytes());
        }
    }
    Ok(image)
}

fn one_place(place: StoreBlock) -> Result<Vec<StoreBlock>, NoMemory> {
    let mut places = Vec::new();
    vecs::push(&mut places, place)?;
    Ok(places)
}

fn first_sector(image: &[u8], sector: usize) -> Result<Vec<u8>, NoMemory> {
    let mut copy = vecs::filled(0, sector.clamp(SECTOR_LEN, BLOCK_LEN))?;
    vecs::copy(&mut copy, image);
    Ok(copy)
}

fn inside(runs: &[Extent], offset: u64) -> bool {
    runs.iter().any(|run| offset.checked_sub(run.volume).is_some_and(|into| into < run.length))
}

/// The blocks of a run; runs are whole blocks.
pub(crate) fn blocks_in(run: &Extent) -> core::ops::Range<u64> {
    run.volume / BLOCK_SIZE..run.volume.saturating_add(run.length) / BLOCK_SIZE
}

/// Sets the bits of these runs.
fn set_runs(bits: &mut [u8], runs: &[Extent]) {
    for bit in runs.iter().flat_map(blocks_in) {
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|byte| bits.get_mut(byte)) {
            *byte |= 1 << (bit % 8);
        }
    }
}

/// Writes a bitmap as a chain of blocks of the store; gives the offset of the first.
fn write_bitmap(space: &mut Space, bits: &[u8], writes: &mut Step) -> Result<u64, RequestError> {
    let mut first = 0;
    let mut place = space.take().ok_or(RequestError::StoreTooSmall)?;
    let mut rest = bits;
    loop {
        let (part, more) = rest.split_at_checked(BITMAP_PAYLOAD_LEN).unwrap_or((rest, &[]));
        let next = if more.is_empty() { None } else { Some(space.take().ok_or(RequestError::StoreTooSmall)?) };
        let mut image = vecs::filled(0, BLOCK_LEN)?;
        vecs::copy(&mut image, &header(BlockType::Bitmap, place, next.map_or(0, |next| next.volume)).to_bytes());
        if let Some(payload) = image.get_mut(HEADER_LEN..) {
            vecs::copy(payload, part);
        }
        vecs::push(writes, plain(Place::storage(place.volume), image))?;
        if first == 0 {
            first = place.volume;
        }
        let Some(next) = next else { return Ok(first) };
        (place, rest) = (next, more);
    }
}
