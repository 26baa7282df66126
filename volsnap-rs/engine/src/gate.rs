// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fast path of a write: one bitmap look-up, no lock.
//!
//! A shell asks the gate first, on whatever thread or IRQL the write arrives. Most writes pass here and never reach
//! the engine: there is no snapshot, or every block they touch is already saved or need not be. The gate also counts
//! the writes in flight, with or without snapshots, so that a commit can wait until none is left: activation is atomic
//! with the write path by construction.
//!
//! ```text
//!   enter ── Transparent ─────────────────▶ pass ─▶ (live write) ─▶ leave
//!         ├─ Filtering, all bits set ─────▶ pass ─▶ (live write) ─▶ leave
//!         ├─ Filtering, some bit clear ───▶ ask the engine
//!         └─ Closed ──────────────────────▶ ask the engine (it answers 'later')
//! ```

use crate::types::{NoMemory, block_range, blocks_of};
use crate::vecs;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const TRANSPARENT: u8 = 0;
const FILTERING: u8 = 1;
const CLOSED: u8 = 2;

/// The bitmap and the in-flight counter that writers share with the [`crate::Engine`].
///
/// Bit `b` set means: a write to 16 KiB block `b` needs nothing from the engine. While writers may pass, bits only ever
/// change from clear to set, except for blocks that a store takes into use (which no file owns any more).
#[derive(Debug)]
pub struct Gate {
    mode: AtomicU8,
    in_flight: AtomicU64,
    words: Vec<AtomicU64>,
    volume_size: u64,
}

impl Gate {
    /// A transparent gate for a volume of `volume_size` bytes. Takes one bit per 16 KiB: 64 KiB of memory per 8 GiB.
    pub fn new(volume_size: u64) -> Result<Self, NoMemory> {
        let count = usize::try_from(blocks_of(volume_size).div_ceil(64)).map_err(|_| NoMemory)?;
        let mut words = vecs::with_capacity(count)?;
        for _ in 0..count {
            vecs::push(&mut words, AtomicU64::new(0))?;
        }
        Ok(Self { mode: AtomicU8::new(TRANSPARENT), in_flight: AtomicU64::new(0), words, volume_size })
    }

    /// Size in bytes of the volume that the gate was made for.
    pub fn volume_size(&self) -> u64 {
        self.volume_size
    }

    /// Lets a write of `length` bytes at `offset` in, if it needs nothing from the engine.
    ///
    /// On `true` the caller does the write and then calls [`Gate::leave`]. On `false` it asks
    /// [`crate::Engine::write`]. Any thread, any IRQL, no allocation.
    #[must_use]
    pub fn enter(&self, offset: u64, length: u64) -> bool {
        // Counted before the mode is read: a closer either sees the count or we see that it closed.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let pass = match self.mode.load(Ordering::SeqCst) {
            TRANSPARENT => true,
            FILTERING => block_range(offset, length).all(|block| self.passes(block)),
            _ => false,
        };
        if !pass {
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        pass
    }

    /// Ends a write that [`Gate::enter`] let in, whether it succeeded or not.
    ///
    /// `true` means that the gate is closed and this was the last one: call [`crate::Engine::drained`].
    #[must_use = "when true, Engine::drained must be called"]
    pub fn leave(&self) -> bool {
        self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 && self.mode.load(Ordering::SeqCst) == CLOSED
    }

    /// Whether a write to `block` needs nothing from the engine. Blocks past the end of the volume need nothing.
    pub(crate) fn passes(&self, block: u64) -> bool {
        match usize::try_from(block / 64).ok().and_then(|word| self.words.get(word)) {
            Some(word) => word.load(Ordering::Acquire) >> (block % 64) & 1 == 1,
            None => true,
        }
    }

    pub(crate) fn set(&self, block: u64) {
        if let Some(word) = usize::try_from(block / 64).ok().and_then(|word| self.words.get(word)) {
            word.fetch_or(1 << (block % 64), Ordering::AcqRel);
        }
    }

    pub(crate) fn clear(&self, block: u64) {
        if let Some(word) = usize::try_from(block / 64).ok().and_then(|word| self.words.get(word)) {
            word.fetch_and(!(1 << (block % 64)), Ordering::AcqRel);
        }
    }

    /// Replaces every bit by `bit(block)`. Only while closed or before the gate is shared.
    pub(crate) fn fill(&self, bit: impl Fn(u64) -> bool) {
        let mut base = 0;
        for word in &self.words {
            let mut value = 0;
            for i in 0..64 {
                value |= u64::from(bit(base + i)) << i;
            }
            word.store(value, Ordering::Release);
            base += 64;
        }
    }

    /// Copies the bits out, lowest first.
    pub(crate) fn copy_to(&self, bits: &mut [u8]) {
        for (bytes, word) in bits.chunks_mut(8).zip(&self.words) {
            vecs::copy(bytes, &word.load(Ordering::Acquire).to_le_bytes());
        }
    }

    /// Replaces the bits by `bits`, and with `keep` clears those that were clear before. Only while closed.
    pub(crate) fn load(&self, bits: &[u8], keep: bool) {
        for (word, bytes) in self.words.iter().zip(bits.chunks(8)) {
            let mut value = [0; 8];
            vecs::copy(&mut value, bytes);
            let before = if keep { word.load(Ordering::Acquire) } else { u64::MAX };
            word.store(u64::from_le_bytes(value) & before, Ordering::Release);
        }
    }

    pub(crate) fn close(&self) {
        self.mode.store(CLOSED, Ordering::SeqCst);
    }

    pub(crate) fn open(&self, filtering: bool) {
        self.mode.store(if filtering { FILTERING } else { TRANSPARENT }, Ordering::SeqCst);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) == 0
    }
}
