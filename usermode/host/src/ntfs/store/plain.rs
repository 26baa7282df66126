// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stores in linear space: a raw file or device used for nothing but diff areas.
//!
//! There is no file system to ask, so what is in use is what the catalogue and the range lists say; the caller reads
//! them and hands them in. The volume header stays at 0x1e00, the catalogue lies at 64 KiB, stores follow.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::{MIN_STORE, StoreAllocator, StoreFile, whole_blocks};
use crate::ntfs::diff_area::{CATALOG_SIZE, Guid, VSS_IDENTIFIER, store_file_name};
use crate::ntfs::error::{Error, Result, damaged};
use crate::ntfs::extent::{BLOCK_SIZE, Extent, push_merged};

const CATALOG_OFFSET: u64 = 0x1_0000;
const FIRST_STORE: u64 = CATALOG_OFFSET + CATALOG_SIZE;

/// The allocator of a storage image that is no NTFS volume.
#[derive(Debug)]
pub struct PlainStore {
    /// Bytes of whole blocks.
    end: u64,
    stores: Mutex<BTreeMap<Guid, StoreFile>>,
}

impl PlainStore {
    /// `size` is the image's, in bytes. `stores` are those that its catalogue names, with every block that they use:
    /// from the first block at the store header up to the highest one in use, whatever the range list says beyond.
    ///
    /// [`Error::Damaged`] where they overlap each other, the first 128 KiB or the end, or are not made of blocks.
    pub fn new(size: u64, stores: Vec<StoreFile>) -> Result<Self> {
        let end = size / BLOCK_SIZE * BLOCK_SIZE;
        let mut taken: Vec<Extent> = stores.iter().flat_map(|store| store.extents.iter().copied()).collect();
        taken.sort_unstable();
        let mut free_from = FIRST_STORE;
        for extent in taken {
            let blocks = extent.volume_offset % BLOCK_SIZE == 0 && extent.length % BLOCK_SIZE == 0;
            let inside = extent.volume_offset.checked_add(extent.length).is_some_and(|after| after <= end);
            if !blocks || !inside || extent.volume_offset < free_from {
                return Err(damaged(
                    "stores of the storage image",
                    format!("{extent:x?} overlaps or leaves the image"),
                ));
            }
            free_from = extent.volume_end();
        }
        let stores = stores.into_iter().map(|store| (store.guid, store)).collect();
        Ok(Self { end, stores: Mutex::new(stores) })
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<Guid, StoreFile>> {
        // Every change is one assignment at its end, so a panic elsewhere leaves nothing half-done.
        self.stores.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Free space, ascending, as (offset, length).
    fn gaps(&self, stores: &BTreeMap<Guid, StoreFile>) -> Vec<(u64, u64)> {
        let mut taken: Vec<Extent> = stores.values().flat_map(|store| store.extents.iter().copied()).collect();
        taken.sort_unstable();
        let mut gaps = Vec::new();
        let mut from = FIRST_STORE;
        for extent in taken {
            gaps.push((from, extent.volume_offset.saturating_sub(from)));
            from = extent.volume_end();
        }
        gaps.push((from, self.end.saturating_sub(from)));
        gaps.retain(|gap| gap.1 > 0);
        gaps
    }

    /// Appends space up to `size` to `extents`: right behind the last extent where that is free, else first fit.
    fn extend(
        &self,
        stores: &BTreeMap<Guid, StoreFile>,
        guid: &Guid,
        extents: &mut Vec<Extent>,
        size: u64,
    ) -> Result<()> {
        let mut gaps = self.gaps(stores);
        let behind = extents.last().map(Extent::volume_end);
        // Before anything else a new store needs its first blocks in one run.
        let first = gaps.iter().position(|gap| match behind {
            Some(end) => gap.0 == end,
            None => gap.1 >= MIN_STORE.min(size),
        });
        let start = extents.last().map_or(0, Extent::file_end);
        let needed = size.saturating_sub(start);
        let free: u64 = gaps.iter().map(|gap| gap.1).sum();
        if free < needed || (behind.is_none() && first.is_none()) {
            return Err(Error::NoSpace { what: store_file_name(guid), needed, free });
        }
        gaps[..first.map_or(0, |index| index + 1)].rotate_right(usize::from(first.is_some()));
        let mut file_offset = start;
        for (volume_offset, length) in gaps {
            let length = length.min(size.saturating_sub(file_offset));
            if length == 0 {
                break;
            }
            push_merged(extents, Extent { volume_offset, file_offset, length });
            file_offset += length;
        }
        Ok(())
    }
}

fn missing(guid: &Guid) -> Error {
    Error::NotFound(store_file_name(guid))
}

impl StoreAllocator for PlainStore {
    fn catalog(&self) -> Result<StoreFile> {
        if self.end < FIRST_STORE {
            return Err(Error::NoSpace { what: "catalogue".into(), needed: FIRST_STORE, free: self.end });
        }
        let extents = vec![Extent { volume_offset: CATALOG_OFFSET, file_offset: 0, length: CATALOG_SIZE }];
        Ok(StoreFile { guid: VSS_IDENTIFIER, file_reference: 0, size: CATALOG_SIZE, extents })
    }

    fn create(&self, guid: &Guid, bytes: u64) -> Result<StoreFile> {
        let mut stores = self.stores();
        if stores.contains_key(guid) || *guid == VSS_IDENTIFIER {
            return Err(Error::Exists(store_file_name(guid)));
        }
        let size = whole_blocks(bytes);
        let mut extents = Vec::new();
        self.extend(&stores, guid, &mut extents, size)?;
        let store = StoreFile { guid: *guid, file_reference: 0, size, extents };
        stores.insert(*guid, store.clone());
        Ok(store)
    }

    fn grow(&self, guid: &Guid, bytes: u64) -> Result<StoreFile> {
        let mut stores = self.stores();
        let mut store = stores.get(guid).cloned().ok_or_else(|| missing(guid))?;
        let size = whole_blocks(bytes);
        if size > store.size {
            self.extend(&stores, guid, &mut store.extents, size)?;
            store.size = size;
            stores.insert(*guid, store.clone());
        }
        Ok(store)
    }

    fn truncate(&self, guid: &Guid, bytes: u64) -> Result<StoreFile> {
        let mut stores = self.stores();
        let store = stores.get_mut(guid).ok_or_else(|| missing(guid))?;
        let size = whole_blocks(bytes);
        if size < store.size {
            store.extents = store.extents.iter().filter_map(|extent| extent.cut_at(size)).collect();
            store.size = size;
        }
        Ok(store.clone())
    }

    fn delete(&self, guid: &Guid) -> Result<()> {
        self.stores().remove(guid).map(|_| ()).ok_or_else(|| missing(guid))
    }

    fn lookup(&self, guid: &Guid) -> Result<StoreFile> {
        self.stores().get(guid).cloned().ok_or_else(|| missing(guid))
    }
}
