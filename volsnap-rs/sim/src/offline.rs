// SPDX-License-Identifier: MIT OR Apache-2.0
//! A reader of snapshots that shares no code with the engine: written from the format's rules alone (6.1 and 9 of the
//! specification), slow and plain. It says whether what lies on disk means what the engine says it means.

use crate::device::{Arena, Device, PER_BLOCK, SECTOR};
use ondisk::{
    BLOCK_SIZE, BitmapBlock, BlockList, CatalogBlock, CatalogEntry, ChainGuard, Descriptor, Guid, RangeList,
    SnapshotEntry, StoreEntry, StoreHeader, Structure, VOLUME_HEADER_OFFSET, VolumeHeader, descriptor_flags,
    snapshot_flags,
};
use std::collections::HashMap;

/// A snapshot on disk.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its catalog entry.
    pub(crate) entry: SnapshotEntry,
    /// Place of the entry: volume offset.
    pub(crate) at: u64,
    /// Place of the store's entry.
    pub(crate) store_at: u64,
    forward: HashMap<u64, Descriptor>,
    reverse: HashMap<u64, u64>,
    /// A list block has an unused descriptor before a used one, or a successor although it is not full.
    pub(crate) holes: bool,
}

impl Found {
    /// Not to be shown.
    pub(crate) fn hidden(&self) -> bool {
        self.entry.flags & (snapshot_flags::OFFLINE | snapshot_flags::DELETION_IN_PROGRESS) != 0
    }
}

/// What the disks say.
#[derive(Debug, Default)]
pub(crate) struct OnDisk {
    /// Oldest first.
    pub(crate) snapshots: Vec<Found>,
    /// Stores without a snapshot.
    pub(crate) orphans: usize,
}

/// The disks to read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disks<'a> {
    /// The live volume.
    pub(crate) live: &'a Device,
    /// The volume with the diff area: the same one, or another.
    pub(crate) storage: &'a Device,
    /// Metadata bytes.
    pub(crate) arena: &'a Arena,
    /// Whether they are two.
    pub(crate) redirected: bool,
}

impl Disks<'_> {
    fn bytes(&self, storage: bool, offset: u64, length: usize) -> Result<Vec<u8>, String> {
        let device = if storage { self.storage } else { self.live };
        let from = offset as usize / SECTOR;
        let sectors = device.content().get(from..from + length / SECTOR);
        sectors.map(|values| self.arena.decode(values)).ok_or_else(|| format!("{offset:#x} is past the end"))
    }

    fn chain<T>(
        &self,
        storage: bool,
        first: u64,
        structure: Structure,
        mut take: impl FnMut(&[u8], u64) -> Result<(u64, T), String>,
    ) -> Result<Vec<T>, String> {
        let mut guard = ChainGuard::new(1 << 20, structure);
        let mut items = Vec::new();
        let mut at = first;
        while at != 0 {
            guard.visit(at).map_err(|error| error.to_string())?;
            let (next, item) = take(&self.bytes(storage, at, BLOCK_SIZE as usize)?, at)?;
            items.push(item);
            at = next;
        }
        Ok(items)
    }

    /// The catalog's entries with their places.
    fn catalog(&self, storage: bool) -> Result<Vec<(u64, CatalogEntry)>, String> {
        let bytes = self.bytes(storage, VOLUME_HEADER_OFFSET, SECTOR)?;
        let Some(header) = VolumeHeader::parse(&bytes).map_err(|error| error.to_string())? else {
            return Ok(Vec::new());
        };
        let blocks = self.chain(storage, header.catalog, Structure::Catalog, |bytes, at| {
            let block = CatalogBlock::parse(bytes, at).map_err(|error| error.to_string())?;
            let entries: Result<Vec<_>, _> =
                block.entries().map(|(_, at, entry)| entry.map(|entry| (at, entry))).collect();
            Ok((block.header().next, entries.map_err(|error| error.to_string())?))
        })?;
        Ok(blocks.into_iter().flatten().collect())
    }

    /// Reads header, catalogs and stores.
    pub(crate) fn open(&self) -> Result<OnDisk, String> {
        let mut entries = self.catalog(false)?;
        if self.redirected {
            entries.extend(self.catalog(true)?);
        }
        let mut stores: HashMap<Guid, (u64, StoreEntry)> = HashMap::new();
        for (at, entry) in &entries {
            if let CatalogEntry::Store(store) = entry
                && stores.insert(store.store, (*at, *store)).is_some()
            {
                return Err(format!("store {} is described twice", store.store));
            }
        }
        let mut snapshots = Vec::new();
        for (at, entry) in &entries {
            if let CatalogEntry::Snapshot(entry) = entry {
                let (store_at, store) =
                    stores.remove(&entry.store).ok_or_else(|| format!("snapshot {} has no store", entry.store))?;
                snapshots.push(self.store(*at, *entry, store_at, &store)?);
            }
        }
        snapshots.sort_by_key(|found| (found.entry.sequence, found.entry.created));
        Ok(OnDisk { snapshots, orphans: stores.len() })
    }

    fn store(&self, at: u64, entry: SnapshotEntry, store_at: u64, store: &StoreEntry) -> Result<Found, String> {
        let text = |error: ondisk::FormatError| error.to_string();
        let mut found = Found { entry, at, store_at, forward: HashMap::new(), reverse: HashMap::new(), holes: false };
        StoreHeader::parse(&self.bytes(true, store.header, BLOCK_SIZE as usize)?, store.header).map_err(text)?;
        let lists = self.chain(true, store.block_list, Structure::BlockList, |bytes, at| {
            let list = BlockList::parse(bytes, at).map_err(text)?;
            let all: Result<Vec<_>, _> = list.descriptors().map(|(_, descriptor)| descriptor).collect();
            let all = all.map_err(text)?;
            let used = all.iter().flatten().count();
            let behind = all.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            let hole = used < behind || (list.header().next != 0 && used < all.len());
            Ok((list.header().next, (hole, all)))
        })?;
        for (hole, descriptors) in lists {
            found.holes |= hole;
            for descriptor in descriptors.into_iter().flatten() {
                found.add(descriptor);
            }
        }
        self.chain(true, store.ranges, Structure::RangeList, |bytes, at| {
            let list = RangeList::parse(bytes, at).map_err(text)?;
            for range in list.ranges() {
                range.1.map_err(text)?;
            }
            Ok((list.header().next, ()))
        })?;
        for first in [store.bitmap, store.previous_bitmap] {
            self.chain(true, first, Structure::Bitmap, |bytes, at| {
                Ok((BitmapBlock::parse(bytes, at).map_err(text)?.header().next, ()))
            })?;
        }
        Ok(found)
    }

    /// The sectors of a block of snapshot number `which`, counted from the oldest.
    pub(crate) fn block(&self, on_disk: &OnDisk, which: usize, block: usize) -> Vec<u64> {
        let mut wanted = block as u64 * BLOCK_SIZE;
        let mut device = self.live;
        for snapshot in &on_disk.snapshots[which..] {
            match snapshot.forward.get(&wanted) {
                Some(found) if found.is_forwarder() => wanted = found.relative,
                Some(found) => {
                    wanted = found.store;
                    device = self.storage;
                    break;
                }
                None => {}
            }
        }
        let from = wanted as usize / SECTOR;
        let to = (from + PER_BLOCK).min(device.content().len());
        device.content().get(from..to).unwrap_or_default().to_vec()
    }
}

impl Found {
    fn add(&mut self, mut descriptor: Descriptor) {
        if descriptor.flags & (descriptor_flags::SKIP | descriptor_flags::OVERLAY) != 0 {
            return;
        }
        if let Some(original) = self.reverse.remove(&descriptor.original) {
            descriptor.original = original;
        }
        if descriptor.is_forwarder() {
            if descriptor.original == descriptor.relative {
                return;
            }
            self.reverse.insert(descriptor.relative, descriptor.original);
        }
        self.forward.insert(descriptor.original, descriptor);
    }
}
