// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sets of 16 KiB blocks of a volume, in memory that an image cannot drive up.

use std::collections::BTreeMap;
use std::ops::Range;

/// Blocks that one chunk holds a bit for: 64 MiB of a volume.
const CHUNK_BLOCKS: u64 = 4096;
const WORDS: usize = 64;

/// Most chunks a set takes, about 300 MiB of memory. Dense, that is a volume of 32 TiB.
const MAX_CHUNKS: usize = 1 << 19;

/// A set of block numbers.
#[derive(Debug, Default)]
pub(crate) struct BlockSet {
    chunks: BTreeMap<u64, Box<[u64; WORDS]>>,
    len: u64,
}

/// The set would need more memory than it is given.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("blocks are scattered over more of the volume than this tool keeps in memory")]
pub(crate) struct SetFull;

impl BlockSet {
    /// Adds a block; `false` when it was there already.
    pub(crate) fn insert(&mut self, block: u64) -> Result<bool, SetFull> {
        let (chunk, word, bit) = place(block);
        if self.chunks.len() >= MAX_CHUNKS && !self.chunks.contains_key(&chunk) {
            return Err(SetFull);
        }
        let words = self.chunks.entry(chunk).or_insert_with(|| Box::new([0; WORDS]));
        let new = words[word] & bit == 0;
        words[word] |= bit;
        self.len += u64::from(new);
        Ok(new)
    }

    /// Whether the block is in the set.
    pub(crate) fn contains(&self, block: u64) -> bool {
        let (chunk, word, bit) = place(block);
        self.chunks.get(&chunk).is_some_and(|words| words[word] & bit != 0)
    }

    /// Number of blocks in the set.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The blocks of the set that are in `range`, ascending. Costs nothing for parts of the range without any.
    pub(crate) fn within(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let chunks = range.start / CHUNK_BLOCKS..range.end.div_ceil(CHUNK_BLOCKS).max(range.start / CHUNK_BLOCKS);
        let bits = self.chunks.range(chunks).flat_map(|(chunk, words)| {
            let first = chunk * CHUNK_BLOCKS;
            (0..CHUNK_BLOCKS).map(move |n| first + n).filter(move |block| words[place(*block).1] & place(*block).2 != 0)
        });
        bits.filter(move |block| range.contains(block))
    }
}

/// Chunk, word in it and bit in that of a block.
fn place(block: u64) -> (u64, usize, u64) {
    // Below 4096, so that nothing is lost on the way to an index.
    let within = block % CHUNK_BLOCKS;
    (block / CHUNK_BLOCKS, (within / 64) as usize, 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_go_in_once_and_are_found_in_ranges() {
        let mut set = BlockSet::default();
        for block in [0, 63, 64, 4095, 4096, 1 << 49] {
            assert!(set.insert(block).unwrap());
            assert!(!set.insert(block).unwrap());
            assert!(set.contains(block));
        }
        assert_eq!(set.len(), 6);
        assert!(!set.contains(1) && !set.contains(8192));
        let within = |range| set.within(range).collect::<Vec<_>>();
        assert_eq!(within(1..4096), [63, 64, 4095]);
        assert_eq!(within(4096..1 << 49), [4096]);
        assert_eq!(within(0..u64::MAX), [0, 63, 64, 4095, 4096, 1 << 49]);
        assert_eq!(set.within(64..64).count(), 0);
    }

    #[test]
    fn memory_has_an_end() {
        let mut set = BlockSet::default();
        let scattered = (0..).map(|n| n * CHUNK_BLOCKS);
        let taken = scattered.take_while(|block| set.insert(*block).is_ok()).count();
        assert_eq!(taken, MAX_CHUNKS);
        assert!(set.insert(1).unwrap(), "chunks that are there still take blocks");
    }
}
