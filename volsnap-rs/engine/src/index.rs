// SPDX-License-Identifier: MIT OR Apache-2.0
//! The index of saved blocks: one ordered map from (block, store) to a value.
//!
//! A snapshot's block is the first saved copy in its own store or a newer one. With the store's order in the low bits
//! of the key that is a single 'first key at or after' look-up, however many snapshots there are.
//!
//! Two levels: a directory of chunks, each a sorted array of at most [`CHUNK`] entries. An insertion moves at most one
//! chunk's entries; a full chunk is split in two. Chunks needed for splits are allocated ahead ([`Index::reserve`]), so
//! that a block whose data is already saved can always be entered.
//!
//! Memory: 16 bytes an entry for saved blocks, chunks at least half full in the long run: 16 to 32 bytes a saved
//! 16 KiB block, 1 to 2 MiB per GiB of changed data.

use crate::types::NoMemory;
use crate::vecs;
use alloc::vec::Vec;

/// Entries in a full chunk.
const CHUNK: usize = 256;
/// Bits of a key that hold the store's order.
const ORDER_BITS: u32 = 24;
/// Highest store order that a key can hold.
pub(crate) const MAX_ORDER: u32 = (1 << ORDER_BITS) - 1;
/// Highest block number that a key can hold (volumes up to 16 PiB).
pub(crate) const MAX_BLOCK: u64 = (1 << (64 - ORDER_BITS)) - 1;

fn key(block: u64, order: u32) -> u64 {
    block << ORDER_BITS | u64::from(order & MAX_ORDER)
}

fn block_of(key: u64) -> u64 {
    key >> ORDER_BITS
}

fn order_of(key: u64) -> u32 {
    (key & u64::from(MAX_ORDER)) as u32
}

/// An entry as seen from outside: block, order, value.
pub(crate) type Entry<V> = (u64, u32, V);

#[derive(Debug)]
pub(crate) struct Index<V> {
    /// Never holds an empty chunk; the chunks' keys ascend.
    chunks: Vec<Vec<(u64, V)>>,
    /// Empty chunks with their memory, for splits.
    spare: Vec<Vec<(u64, V)>>,
    len: usize,
}

impl<V: Copy> Index<V> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), spare: Vec::new(), len: 0 }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that the entries take.
    pub(crate) fn memory(&self) -> usize {
        (self.chunks.len() + self.spare.len()) * CHUNK * size_of::<(u64, V)>()
    }

    /// Makes sure that the next `inserts` insertions cannot fail.
    pub(crate) fn reserve(&mut self, inserts: usize) -> Result<(), NoMemory> {
        self.chunks.try_reserve(inserts).map_err(|_| NoMemory)?;
        while self.spare.len() < inserts {
            let chunk = vecs::with_capacity(CHUNK)?;
            vecs::push(&mut self.spare, chunk)?;
        }
        Ok(())
    }

    /// Enters or replaces the value of (block, order); gives back the one replaced.
    pub(crate) fn insert(&mut self, block: u64, order: u32, value: V) -> Result<Option<V>, NoMemory> {
        let wanted = key(block, order);
        let mut at = self.chunk_for(wanted);
        if self.chunks.is_empty() {
            let chunk = self.fresh()?;
            vecs::push(&mut self.chunks, chunk)?;
        }
        if self.chunks.get(at).is_some_and(|chunk| chunk.len() >= CHUNK && search(chunk, wanted).is_err()) {
            self.split(at)?;
            at = self.chunk_for(wanted);
        }
        let Some(chunk) = self.chunks.get_mut(at) else { return Err(NoMemory) };
        match search(chunk, wanted) {
            Ok(i) => Ok(chunk.get_mut(i).map(|slot| core::mem::replace(&mut slot.1, value))),
            Err(i) => {
                vecs::insert(chunk, i, (wanted, value))?;
                self.len += 1;
                Ok(None)
            }
        }
    }

    /// Removes (block, order).
    pub(crate) fn remove(&mut self, block: u64, order: u32) -> Option<V> {
        let wanted = key(block, order);
        let at = self.chunk_for(wanted);
        let chunk = self.chunks.get_mut(at)?;
        let i = search(chunk, wanted).ok()?;
        let (_, value) = vecs::remove(chunk, i)?;
        if chunk.is_empty() {
            self.retire(at);
        }
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn get(&self, block: u64, order: u32) -> Option<V> {
        let (_, found, value) = self.at_or_after(block, order)?;
        (found == order).then_some(value)
    }

    /// The entry of `block` in the store `order` or the oldest store newer than it.
    pub(crate) fn at_or_after(&self, block: u64, order: u32) -> Option<Entry<V>> {
        self.next(key(block, order)).filter(|(found, ..)| *found == block)
    }

    /// The first entry at or after (block, order) whose store is `order`, looking at no more than `steps` entries.
    /// `Err` says where to go on.
    pub(crate) fn next_of_store(&self, block: u64, order: u32, steps: usize) -> Result<Option<(u64, V)>, u64> {
        let mut from = key(block, 0);
        for _ in 0..steps {
            match self.next(from) {
                None => return Ok(None),
                Some((b, o, value)) if o == order => return Ok(Some((b, value))),
                Some((b, o, _)) if o < order => from = key(b, order),
                Some((b, ..)) => from = key(b.saturating_add(1), 0),
            }
        }
        Err(block_of(from))
    }

    /// Drops every entry of the store `order`.
    pub(crate) fn remove_store(&mut self, order: u32) {
        let mut at = 0;
        while let Some(chunk) = self.chunks.get_mut(at) {
            let before = chunk.len();
            chunk.retain(|(k, _)| order_of(*k) != order);
            self.len -= before - chunk.len();
            if chunk.is_empty() {
                self.retire(at);
            } else {
                at += 1;
            }
        }
    }

    /// Every entry of the store `order`.
    pub(crate) fn of_store(&self, order: u32) -> impl Iterator<Item = (u64, V)> + '_ {
        self.chunks
            .iter()
            .flatten()
            .filter(move |(k, _)| order_of(*k) == order)
            .map(|(k, value)| (block_of(*k), *value))
    }

    /// The first entry at or after the key.
    fn next(&self, from: u64) -> Option<Entry<V>> {
        let at = self.chunk_for(from);
        let chunk = self.chunks.get(at)?;
        let i = search(chunk, from).unwrap_or_else(|i| i);
        let entry = match chunk.get(i) {
            Some(entry) => entry,
            None => self.chunks.get(at + 1)?.first()?,
        };
        Some((block_of(entry.0), order_of(entry.0), entry.1))
    }

    /// The last chunk whose first key is not after `wanted` (the first chunk if none).
    fn chunk_for(&self, wanted: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| *first <= wanted)).saturating_sub(1)
    }

    fn fresh(&mut self) -> Result<Vec<(u64, V)>, NoMemory> {
        match self.spare.pop() {
            Some(chunk) => Ok(chunk),
            None => vecs::with_capacity(CHUNK),
        }
    }

    fn split(&mut self, at: usize) -> Result<(), NoMemory> {
        self.chunks.try_reserve(1).map_err(|_| NoMemory)?;
        let mut upper = self.fresh()?;
        // Appending in ascending order is the common case (sequential writes): leave the lower chunk full then.
        let middle = if self.chunks.len() == at + 1 { CHUNK - CHUNK / 8 } else { CHUNK / 2 };
        let Some(chunk) = self.chunks.get_mut(at) else { return Ok(()) };
        if let Some(tail) = chunk.get(middle..) {
            for entry in tail {
                vecs::push(&mut upper, *entry)?;
            }
        }
        chunk.truncate(middle);
        // The directory's vectors are moved, not copied: shift by swapping.
        let mut carried = upper;
        if let Some(tail) = self.chunks.get_mut(at + 1..) {
            for slot in tail {
                core::mem::swap(slot, &mut carried);
            }
        }
        vecs::push(&mut self.chunks, carried)
    }

    fn retire(&mut self, at: usize) {
        if let Some(chunk) = vecs::remove(&mut self.chunks, at) {
            // A few empty chunks are worth keeping for the next splits; the rest goes back.
            if self.spare.len() < 8 {
                let _ = vecs::push(&mut self.spare, chunk);
            }
        }
    }
}

fn search<V>(chunk: &[(u64, V)], wanted: u64) -> Result<usize, usize> {
    let i = chunk.partition_point(|(k, _)| *k < wanted);
    match chunk.get(i) {
        Some((k, _)) if *k == wanted => Ok(i),
        _ => Err(i),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    /// A small linear congruential generator: the tests need spread, not quality.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *state >> 33
    }

    #[test]
    fn behaves_like_an_ordered_map() {
        for seed in 0..20 {
            let mut state = seed;
            let mut ours = Index::new();
            let mut model = BTreeMap::new();
            for _ in 0..6000 {
                let block = next(&mut state) % 700;
                let order = (next(&mut state) % 9) as u32;
                match next(&mut state) % 10 {
                    0..6 => {
                        let value = next(&mut state);
                        assert_eq!(ours.insert(block, order, value), Ok(model.insert((block, order), value)));
                    }
                    6..9 => assert_eq!(ours.remove(block, order), model.remove(&(block, order))),
                    _ if next(&mut state).is_multiple_of(40) => {
                        ours.remove_store(order);
                        model.retain(|(_, o), _| *o != order);
                    }
                    _ => {}
                }
                let found = model.range((block, order)..=(block, u32::MAX)).next().map(|(k, v)| (k.0, k.1, *v));
                assert_eq!(ours.at_or_after(block, order), found);
                assert_eq!(ours.get(block, order), model.get(&(block, order)).copied());
            }
            assert_eq!(ours.len(), model.len());
            for order in 0..9 {
                let mut from = 0;
                let mut walked = alloc::vec::Vec::new();
                loop {
                    match ours.next_of_store(from, order, 3) {
                        Ok(None) => break,
                        Ok(Some((block, value))) => {
                            walked.push((block, value));
                            from = block + 1;
                        }
                        Err(on) => from = on,
                    }
                }
                let expected: Vec<_> = model.iter().filter(|(k, _)| k.1 == order).map(|(k, v)| (k.0, *v)).collect();
                assert_eq!(walked, expected);
                assert_eq!(ours.of_store(order).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn reserved_insertions_use_no_new_memory() {
        let mut index = Index::new();
        for block in 0..10_000u64 {
            index.insert(block * 7 % 10_007, 1, block).expect("memory");
        }
        index.reserve(64).expect("memory");
        let spares = index.spare.len();
        for block in 0..64u64 {
            index.insert(block * 131, 2, block).expect("memory");
        }
        assert!(index.spare.len() <= spares && spares >= 64);
    }
}
