// SPDX-License-Identifier: MIT OR Apache-2.0
//! Activation from disk: reads header, catalog and stores, and builds the engine's state.
//!
//! Sans-I/O like the rest: [`Loader::next_read`] says what to read, [`Loader::supply`] takes it. The same loader serves
//! after a clean stop, after a crash, and for reading an image offline. What a crash can leave and what is done about it:
//!
//! | left | done |
//! |---|---|
//! | a sector of unused descriptors among used ones | filled with 'skip' descriptors |
//! | sequence numbers with a gap or a tie | order by number, then time; numbered anew |
//! | a snapshot marked as being deleted | its deletion goes on |
//! | saved blocks without descriptor | nothing refers to them; their space is used again |
//! | a store without catalog entries | the shell deletes its file: nothing names it |

use crate::catalog::{Catalog, Position};
use crate::engine::{Config, Engine};
use crate::gate::Gate;
use crate::index::{Index, MAX_BLOCK};
use crate::list::ListTail;
use crate::space::{Space, StoreBlock};
use crate::store::{Growth, Life, Overlay, Saved, Store};
use crate::types::{LoadError, Place, Target, blocks_of};
use crate::vecs;
use alloc::vec::Vec;
use ondisk::{
    BITMAP_PAYLOAD_LEN, BLOCK_LEN, BLOCK_SIZE, BitmapBlock, BlockHeader, BlockList, BlockType, CatalogBlock,
    CatalogEntry, ChainGuard, DESCRIPTOR_LEN, DESCRIPTORS_PER_BLOCK, Descriptor, Guid, HEADER_LEN, RangeList,
    SECTOR_LEN, SnapshotEntry, StoreEntry, StoreHeader, Structure, VOLUME_HEADER_LEN, VOLUME_HEADER_OFFSET,
    VolumeHeader, descriptor_flags, snapshot_flags,
};

/// A read that the loader needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Where from.
    pub from: Place,
    /// Bytes, at most 16 KiB.
    pub length: usize,
}

enum Phase {
    Header,
    StorageHeader,
    Catalog { target: Target, at: u64, guard: ChainGuard },
    StoreHeader { store: usize },
    List { store: usize, at: u64, guard: ChainGuard },
    Ranges { store: usize, at: u64, guard: ChainGuard },
    Bitmap { store: usize, previous: bool, at: u64, guard: ChainGuard, block: usize },
    Done,
}

/// Sector writes that mend what a crash left; the engine does them before anything else.
pub(crate) type Repairs = Vec<(Place, Vec<u8>)>;

/// Most list blocks with holes that are mended; a crash leaves one or two, more is damage of another kind.
const MAX_REPAIRS: usize = 64;

/// What was found on disk.
pub(crate) struct OnDisk {
    pub(crate) config: Config,
    pub(crate) header: Option<VolumeHeader>,
    pub(crate) storage_header: Option<VolumeHeader>,
    pub(crate) live: Catalog,
    pub(crate) storage: Catalog,
    pub(crate) stores: Vec<Store>,
    pub(crate) index: Index<Saved>,
    pub(crate) overlays: Index<Overlay>,
    pub(crate) reverse: Index<u64>,
    pub(crate) repairs: Repairs,
    pub(crate) renumber: bool,
}

/// Builds an [`Engine`] from what is on disk.
pub struct Loader {
    config: Config,
    phase: Phase,
    header: Option<VolumeHeader>,
    storage_header: Option<VolumeHeader>,
    live: Catalog,
    storage: Catalog,
    stores: Vec<Store>,
    index: Index<Saved>,
    overlays: Index<Overlay>,
    reverse: Index<u64>,
    current: Vec<u8>,
    previous: Option<Vec<u8>>,
    repairs: Repairs,
}

impl Loader {
    /// A loader for a volume as described by `config`.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            phase: Phase::Header,
            header: None,
            storage_header: None,
            live: Catalog::new(Target::Live),
            storage: Catalog::new(Target::Storage),
            stores: Vec::new(),
            index: Index::new(),
            overlays: Index::new(),
            reverse: Index::new(),
            current: Vec::new(),
            previous: None,
            repairs: Vec::new(),
        }
    }

    /// What to read next; `None` when everything is there.
    pub fn next_read(&self) -> Option<Read> {
        let read = |target, offset, length| Some(Read { from: Place { target, offset }, length });
        match &self.phase {
            Phase::Header => read(Target::Live, VOLUME_HEADER_OFFSET, VOLUME_HEADER_LEN),
            Phase::StorageHeader => read(Target::Storage, VOLUME_HEADER_OFFSET, VOLUME_HEADER_LEN),
            Phase::Catalog { target, at, .. } => read(*target, *at, BLOCK_LEN),
            Phase::StoreHeader { store } => read(Target::Storage, self.stores.get(*store)?.entry.header, BLOCK_LEN),
            Phase::List { at, .. } | Phase::Ranges { at, .. } => read(Target::Storage, *at, BLOCK_LEN),
            // Older snapshots' bitmaps only matter for the space they take.
            Phase::Bitmap { at, store, .. } => {
                read(Target::Storage, *at, if self.is_top(*store) { BLOCK_LEN } else { HEADER_LEN })
            }
            Phase::Done => None,
        }
    }

    /// Takes the bytes of [`Loader::next_read`].
    pub fn supply(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        match core::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Header => self.take_header(bytes),
            Phase::StorageHeader => self.take_storage_header(bytes),
            Phase::Catalog { target, at, guard } => self.take_catalog(target, at, guard, bytes),
            Phase::StoreHeader { store } => self.take_store_header(store, bytes),
            Phase::List { store, at, guard } => self.take_list(store, at, guard, bytes),
            Phase::Ranges { store, at, guard } => self.take_ranges(store, at, guard, bytes),
            Phase::Bitmap { store, previous, at, guard, block } => {
                self.take_bitmap(store, previous, at, guard, block, bytes)
            }
            Phase::Done => Ok(()),
        }
    }

    /// The engine and the gate in front of it. Call when [`Loader::next_read`] gives `None`.
    pub fn finish(self) -> Result<(Engine, Gate), LoadError> {
        let gate = Gate::new(self.config.volume_size)?;
        self.fill(&gate);
        let mut renumber = false;
        for (expected, store) in (1u64..).zip(&self.stores) {
            renumber |= store.snapshot.sequence != expected;
        }
        let engine = Engine::from_disk(
            OnDisk {
                config: self.config,
                header: self.header,
                storage_header: self.storage_header,
                live: self.live,
                storage: self.storage,
                stores: self.stores,
                index: self.index,
                overlays: self.overlays,
                reverse: self.reverse,
                repairs: self.repairs,
                renumber,
            },
            &gate,
        )?;
        Ok((engine, gate))
    }

    fn chain(&self, target: Target, structure: Structure) -> ChainGuard {
        let size = match target {
            Target::Live => self.config.volume_size,
            Target::Storage => self.config.storage_size,
        };
        ChainGuard::new(blocks_of(size), structure)
    }

    fn redirected(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.volume != header.storage)
    }

    fn take_header(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        self.header = VolumeHeader::parse(bytes)?;
        let Some(header) = self.header else {
            // No snapshots here. The volume that is to hold them may have a catalog of its own already.
            if !self.config.same_volume {
                self.phase = Phase::StorageHeader;
            }
            return Ok(());
        };
        if self.redirected() {
            if self.config.same_volume {
                return Err(LoadError::StorageElsewhere(header.storage));
            }
            self.phase = Phase::StorageHeader;
            return Ok(());
        }
        // A diff area on the volume itself, whatever else was given.
        self.config.same_volume = true;
        self.config.storage_size = self.config.volume_size;
        self.enter_catalog(Target::Live, header.catalog)
    }

    fn take_storage_header(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let found = VolumeHeader::parse(bytes)?;
        self.storage_header = found;
        let Some(wanted) = self.header.as_ref().map(|header| header.storage) else {
            return self.enter_catalog(Target::Storage, found.map_or(0, |found| found.catalog));
        };
        let Some(found) = found.filter(|found| found.volume == wanted) else {
            return Err(LoadError::WrongStorage(wanted, found.map_or(Guid::NIL, |found| found.volume)));
        };
        self.enter_catalog(Target::Storage, found.catalog)
    }

    fn enter_catalog(&mut self, target: Target, at: u64) -> Result<(), LoadError> {
        if at == 0 {
            return self.catalog_done(target);
        }
        let mut guard = self.chain(target, Structure::Catalog);
        guard.visit(at)?;
        self.phase = Phase::Catalog { target, at, guard };
        Ok(())
    }

    fn take_catalog(&mut self, target: Target, at: u64, mut guard: ChainGuard, bytes: &[u8]) -> Result<(), LoadError> {
        let next = CatalogBlock::parse(bytes, at)?.header().next;
        let mut image = vecs::filled(0, BLOCK_LEN)?;
        vecs::copy(&mut image, bytes);
        match target {
            Target::Live => self.live.add(at, image)?,
            Target::Storage => self.storage.add(at, image)?,
        }
        if next == 0 {
            return self.catalog_done(target);
        }
        guard.visit(next)?;
        self.phase = Phase::Catalog { target, at: next, guard };
        Ok(())
    }

    /// With redirected storage the storage's catalog comes first, then the volume's own.
    fn catalog_done(&mut self, target: Target) -> Result<(), LoadError> {
        if target == Target::Storage {
            let at = self.header.as_ref().map_or(0, |header| header.catalog);
            return self.enter_catalog(Target::Live, at);
        }
        self.pair_entries()?;
        self.next_store(0)
    }

    fn pair_entries(&mut self) -> Result<(), LoadError> {
        let mut snapshots: Vec<(Position, SnapshotEntry)> = Vec::new();
        for (at, entry) in self.live.entries() {
            let entry = entry?;
            // Perhaps a snapshot that older ones read through: without it they would read as something else.
            if let CatalogEntry::Unknown(kind) = entry {
                return Err(LoadError::UnknownEntry(kind, self.live.offset_of(at)));
            }
            if let CatalogEntry::Snapshot(snapshot) = entry {
                let key = (snapshot.sequence, snapshot.created);
                let i = snapshots.partition_point(|(_, s)| (s.sequence, s.created) < key);
                vecs::insert(&mut snapshots, i, (at, snapshot))?;
            }
        }
        for (i, (at, snapshot)) in snapshots.iter().enumerate() {
            if snapshots.iter().skip(i + 1).any(|(_, other)| other.store == snapshot.store) {
                return Err(LoadError::Twice(snapshot.store));
            }
            let (entry_at, entry) = self.find_store(snapshot.store)?;
            let resume = snapshot.flags & snapshot_flags::DELETION_IN_PROGRESS != 0;
            vecs::push(
                &mut self.stores,
                Store {
                    order: i as u32 + 1,
                    snapshot: *snapshot,
                    entry,
                    snapshot_at: *at,
                    entry_at,
                    info: ondisk::StoreInfo::default(),
                    space: Space::empty(),
                    list: None,
                    range_tail: StoreBlock { relative: 0, volume: 0 },
                    range_sector: Vec::new(),
                    range_next: None,
                    life: if resume { Life::Doomed } else { Life::Alive },
                    unsure: false,
                    growth: Growth::Idle,
                    file_size: 0,
                    forwarders: false,
                },
            )?;
        }
        Ok(())
    }

    fn find_store(&self, guid: Guid) -> Result<(Position, StoreEntry), LoadError> {
        let catalog = if self.redirected() { &self.storage } else { &self.live };
        let mut found = None;
        for (at, entry) in catalog.entries() {
            match entry? {
                CatalogEntry::Store(store) if store.store == guid => {
                    if found.is_some() {
                        return Err(LoadError::Twice(guid));
                    }
                    found = Some((at, store));
                }
                _ => {}
            }
        }
        found.ok_or(LoadError::NoStore(guid))
    }

    fn next_store(&mut self, store: usize) -> Result<(), LoadError> {
        self.phase = if store < self.stores.len() { Phase::StoreHeader { store } } else { Phase::Done };
        Ok(())
    }

    fn is_top(&self, store: usize) -> bool {
        store + 1 == self.stores.len()
    }

    fn take_store_header(&mut self, index: usize, bytes: &[u8]) -> Result<(), LoadError> {
        let guard = self.chain(Target::Storage, Structure::BlockList);
        let Some(store) = self.stores.get_mut(index) else { return Ok(()) };
        let parsed = StoreHeader::parse(bytes, store.entry.header)?;
        store.space.mark_used(parsed.header.relative);
        store.info = parsed.info;
        let at = store.entry.block_list;
        self.enter_list(index, at, guard)
    }

    fn enter_list(&mut self, store: usize, at: u64, mut guard: ChainGuard) -> Result<(), LoadError> {
        guard.visit(at)?;
        self.phase = Phase::List { store, at, guard };
        Ok(())
    }

    fn take_list(&mut self, index: usize, at: u64, guard: ChainGuard, bytes: &[u8]) -> Result<(), LoadError> {
        let list = BlockList::parse(bytes, at)?;
        let header = list.header();
        let mut count = 0;
        let mut used = 0;
        for (slot, descriptor) in list.descriptors() {
            let Some(descriptor) = descriptor? else { continue };
            self.add(index, &descriptor)?;
            used += 1;
            count = slot + 1;
        }
        let writable = !self.config.read_only;
        // A block with a successor was full: what is missing at its end is a hole as well.
        if header.next != 0 {
            count = DESCRIPTORS_PER_BLOCK;
        }
        let mut image = Vec::new();
        if writable && (header.next == 0 || used < count) {
            image = vecs::filled(0, BLOCK_LEN)?;
            vecs::copy(&mut image, bytes);
        }
        if writable && used < count {
            self.mend(at, &mut image, count)?;
        }
        let ranges_guard = self.chain(Target::Storage, Structure::RangeList);
        let Some(store) = self.stores.get_mut(index) else { return Ok(()) };
        store.space.mark_used(header.relative);
        if header.next != 0 {
            return self.enter_list(index, header.next, guard);
        }
        if writable {
            store.list = Some(ListTail::at(StoreBlock { relative: header.relative, volume: at }, image, count)?);
        }
        match store.entry.ranges {
            0 => self.enter_bitmap(index, false),
            at => self.enter_ranges(index, at, ranges_guard),
        }
    }

    /// Fills the unused descriptors among used ones with descriptors that every reader skips.
    fn mend(&mut self, at: u64, image: &mut [u8], count: usize) -> Result<(), LoadError> {
        let skip =
            Descriptor { original: 0, relative: 0, store: 0, flags: descriptor_flags::SKIP, sectors: 0 }.to_bytes();
        let mut changed = false;
        for slot in 0..count {
            let from = HEADER_LEN + slot * DESCRIPTOR_LEN;
            if let Some(bytes) = image.get_mut(from..from + DESCRIPTOR_LEN)
                && bytes.iter().all(|byte| *byte == 0)
            {
                vecs::copy(bytes, &skip);
                changed = true;
            }
        }
        if changed && self.repairs.len() < MAX_REPAIRS {
            let mut copy = vecs::filled(0, image.len())?;
            vecs::copy(&mut copy, image);
            vecs::push(&mut self.repairs, (Place::storage(at), copy))?;
        }
        Ok(())
    }

    /// The map-building rule of the format specification, section 6.1.
    fn add(&mut self, index: usize, descriptor: &Descriptor) -> Result<(), LoadError> {
        let Some(store) = self.stores.get_mut(index) else { return Ok(()) };
        if descriptor.is_skipped() {
            return Ok(());
        }
        let order = store.order;
        let mut block = descriptor.original / BLOCK_SIZE;
        if block > MAX_BLOCK || self.index.len() + self.overlays.len() >= self.config.index_limit {
            return Err(LoadError::IndexLimit);
        }
        // 1 stands for 'the same store block as the earlier overlay'.
        if !descriptor.is_forwarder() && descriptor.relative != 1 {
            store.space.mark_used(descriptor.relative);
        }
        // What lies behind the end of the snapshot nobody can read.
        if descriptor.original >= store.snapshot.volume_size {
            return Ok(());
        }
        if descriptor.is_overlay() {
            let earlier = self.overlays.get(block, order);
            let overlay = match earlier {
                Some(earlier) => Overlay { sectors: earlier.sectors | descriptor.sectors, ..earlier },
                None => Overlay { at: descriptor.store, sectors: descriptor.sectors },
            };
            self.overlays.insert(block, order, overlay)?;
            return Ok(());
        }
        if let Some(moved) = self.reverse.remove(block, order) {
            block = moved;
        }
        if descriptor.is_forwarder() {
            let target = descriptor.relative / BLOCK_SIZE;
            if target == block || target > MAX_BLOCK {
                return Ok(());
            }
            store.forwarders = true;
            self.index.insert(block, order, Saved::MovedTo(target))?;
            self.reverse.insert(target, order, block)?;
        } else {
            self.index.insert(block, order, Saved::At(descriptor.store))?;
        }
        Ok(())
    }

    fn enter_ranges(&mut self, store: usize, at: u64, mut guard: ChainGuard) -> Result<(), LoadError> {
        guard.visit(at)?;
        self.phase = Phase::Ranges { store, at, guard };
        Ok(())
    }

    fn take_ranges(&mut self, index: usize, at: u64, guard: ChainGuard, bytes: &[u8]) -> Result<(), LoadError> {
        let header = RangeList::parse(bytes, at)?.header();
        let writable = !self.config.read_only;
        let sector_len = self.config.sector.max(SECTOR_LEN);
        let Some(store) = self.stores.get_mut(index) else { return Ok(()) };
        store.space.mark_used(header.relative);
        if header.next != 0 {
            return self.enter_ranges(index, header.next, guard);
        }
        if writable {
            let mut sector = vecs::filled(0, sector_len.min(BLOCK_LEN))?;
            vecs::copy(&mut sector, bytes);
            store.range_tail = StoreBlock { relative: header.relative, volume: at };
            store.range_sector = sector;
        }
        self.enter_bitmap(index, false)
    }

    fn enter_bitmap(&mut self, index: usize, previous: bool) -> Result<(), LoadError> {
        let mut guard = self.chain(Target::Storage, Structure::Bitmap);
        let Some(store) = self.stores.get(index) else { return Ok(()) };
        let at = if previous { store.entry.previous_bitmap } else { store.entry.bitmap };
        // A reader of an older snapshot needs no bitmap at all.
        if at == 0 || (self.config.read_only && !self.is_top(index)) {
            return if previous { self.next_store(index + 1) } else { self.enter_bitmap(index, true) };
        }
        if self.is_top(index) {
            let length =
                usize::try_from(blocks_of(store.snapshot.volume_size.min(self.config.volume_size)).div_ceil(8));
            let bits = vecs::filled(0u8, length.unwrap_or(0))?;
            if previous {
                self.previous = Some(bits);
            } else {
                self.current = bits;
            }
        }
        guard.visit(at)?;
        self.phase = Phase::Bitmap { store: index, previous, at, guard, block: 0 };
        Ok(())
    }

    fn take_bitmap(
        &mut self,
        index: usize,
        previous: bool,
        at: u64,
        mut guard: ChainGuard,
        block: usize,
        bytes: &[u8],
    ) -> Result<(), LoadError> {
        let header = if self.is_top(index) {
            let bitmap = BitmapBlock::parse(bytes, at)?;
            let bits = if previous { self.previous.as_mut() } else { Some(&mut self.current) };
            let from = block.saturating_mul(BITMAP_PAYLOAD_LEN);
            if let Some(part) = bits.and_then(|bits| bits.get_mut(from..)) {
                vecs::copy(part, bitmap.payload());
            }
            bitmap.header()
        } else {
            BlockHeader::parse(bytes, at, BlockType::Bitmap)?
        };
        if let Some(store) = self.stores.get_mut(index) {
            store.space.mark_used(header.relative);
        }
        if header.next != 0 {
            guard.visit(header.next)?;
            self.phase = Phase::Bitmap { store: index, previous, at: header.next, guard, block: block + 1 };
            return Ok(());
        }
        if previous { self.next_store(index + 1) } else { self.enter_bitmap(index, true) }
    }

    /// Sets the gate's bits: what need not be saved any more for any snapshot that somebody may still want.
    ///
    /// A snapshot that is being deleted at the top of the stack is not wanted for itself. So what counts as saved is
    /// what the newest wanted store or a store above it holds.
    fn fill(&self, gate: &Gate) {
        let Some(newest) = self.stores.iter().rev().find(|store| store.wanted()) else { return };
        let previous = self.previous.as_deref();
        gate.fill(|block| {
            ondisk::bitmap::get(&self.current, block) && previous.is_none_or(|bits| ondisk::bitmap::get(bits, block))
        });
        for store in self.stores.iter().filter(|store| store.order >= newest.order) {
            for (block, saved) in self.index.of_store(store.order) {
                gate.set(block);
                if let Saved::MovedTo(target) = saved {
                    // Whatever the bitmap says of the place it moved to: that is where the old content is now.
                    if self.index.at_or_after(target, store.order + 1).is_none() {
                        gate.clear(target);
                    }
                }
            }
        }
    }
}
