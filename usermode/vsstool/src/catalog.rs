// SPDX-License-Identifier: MIT OR Apache-2.0
//! The snapshots of a volume and their stores, out of one or two catalogs.

use crate::read::{ReadError, Reader};
use ondisk::{BlockType, CatalogBlock, CatalogEntry, Guid, SnapshotEntry, StoreEntry, VolumeHeader};
use std::collections::BTreeMap;

/// Most catalog blocks that are read. Windows makes 4; more hold nothing for it.
pub(crate) const MAX_CATALOG_BLOCKS: usize = 64;

/// What a catalog holds, in its order.
#[derive(Default)]
pub(crate) struct Catalog {
    /// Snapshots of this volume.
    pub(crate) snapshots: Vec<SnapshotEntry>,
    /// Stores on this volume.
    pub(crate) stores: Vec<StoreEntry>,
}

impl Catalog {
    /// Reads the catalog that `header` names. What cannot be read goes to `failures`.
    pub(crate) fn read(reader: &mut Reader<'_>, header: &VolumeHeader, failures: &mut Vec<ReadError>) -> Catalog {
        let mut catalog = Catalog::default();
        for block in reader.chain(header.catalog, BlockType::Catalog).take(MAX_CATALOG_BLOCKS) {
            let failed = block.and_then(|block| catalog.add(&block.bytes, block.at, failures));
            failures.extend(failed.err());
        }
        catalog
    }

    fn add(&mut self, bytes: &[u8], at: u64, failures: &mut Vec<ReadError>) -> Result<(), ReadError> {
        for (_, _, entry) in CatalogBlock::parse(bytes, at)?.entries() {
            match entry {
                Ok(CatalogEntry::Snapshot(snapshot)) => self.snapshots.push(snapshot),
                Ok(CatalogEntry::Store(store)) => self.stores.push(store),
                Ok(CatalogEntry::Unused | CatalogEntry::Free | CatalogEntry::Unknown(_)) => (),
                Err(error) => failures.push(error.into()),
            }
        }
        Ok(())
    }
}

/// Snapshots from the oldest on, each with its store where one is found.
pub(crate) fn paired(live: &Catalog, storage: Option<&Catalog>) -> Vec<(SnapshotEntry, Option<StoreEntry>)> {
    // Where a diff area is elsewhere, only the catalog there counts.
    let stores: BTreeMap<Guid, &StoreEntry> =
        storage.unwrap_or(live).stores.iter().map(|store| (store.store, store)).collect();
    let mut snapshots = live.snapshots.clone();
    snapshots.sort_by_key(|snapshot| snapshot.sequence);
    snapshots.into_iter().map(|snapshot| (snapshot, stores.get(&snapshot.store).copied().copied())).collect()
}
