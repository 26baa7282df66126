// SPDX-License-Identifier: MIT OR Apache-2.0
//! Buffers for the bytes of reads and writes: each thread keeps a small one, and larger ones come out of a budget,
//! so that a client's memory is bounded whatever it sends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A thread keeps a buffer of this size between requests; the usual request fits.
const KEPT: usize = 256 << 10;

/// Bytes of large requests that one connection may have in flight.
pub(super) struct Budget {
    left: Mutex<usize>,
    returned: Condvar,
}

impl Budget {
    /// `bytes` must be at least one largest request, or that would wait for ever.
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: Mutex::new(bytes), returned: Condvar::new() }
    }

    /// Waits until `length` bytes may be used.
    pub(super) fn take(&self, length: usize) -> Share<'_> {
        let share = if length <= KEPT { 0 } else { length };
        if share > 0 {
            let left = self.returned.wait_while(self.lock(), |left| *left < share);
            *left.unwrap_or_else(PoisonError::into_inner) -= share;
        }
        Share { budget: self, bytes: share }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of the budget, given back on drop.
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            *self.budget.lock() += self.bytes;
            self.budget.returned.notify_all();
        }
    }
}

/// The buffer of one thread.
#[derive(Default)]
pub(super) struct Payload(Vec<u8>);

impl Payload {
    /// A buffer of exactly `length` bytes with any content.
    pub(super) fn buffer(&mut self, length: usize) -> &mut [u8] {
        if self.0.len() < length {
            // Not resize: that would copy what is about to be overwritten.
            self.0 = vec![0; length];
        }
        &mut self.0[..length]
    }

    /// Gives up a buffer that only a large request needed.
    pub(super) fn shrink(&mut self) {
        if self.0.len() > KEPT {
            self.0 = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn large_requests_wait_for_each_other_and_small_ones_do_not() {
        let budget = Budget::new(2 * KEPT);
        let first = budget.take(KEPT + 1);
        let _small = budget.take(KEPT);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| drop(budget.take(KEPT + 1)));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap();
        });
        assert_eq!(*budget.lock(), 2 * KEPT);
    }
}
