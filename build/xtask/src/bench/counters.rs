// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was done to files, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What was done to the files so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counters {
    pub(super) reads: u64,
    pub(super) bytes_read: u64,
    pub(super) writes: u64,
    pub(super) bytes_written: u64,
    pub(super) flushes: u64,
    /// Of the writes, those that had to be durable when done.
    pub(super) durable_writes: u64,
    pub(super) allocations: u64,
}

impl Counters {
    /// What was done after `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            reads: self.reads - earlier.reads,
            bytes_read: self.bytes_read - earlier.bytes_read,
            writes: self.writes - earlier.writes,
            bytes_written: self.bytes_written - earlier.bytes_written,
            flushes: self.flushes - earlier.flushes,
            durable_writes: self.durable_writes - earlier.durable_writes,
            allocations: self.allocations - earlier.allocations,
        }
    }
}

/// The same while it goes on, from many threads.
#[derive(Default)]
pub(super) struct Counting {
    reads: AtomicU64,
    bytes_read: AtomicU64,
    writes: AtomicU64,
    bytes_written: AtomicU64,
    flushes: AtomicU64,
    durable_writes: AtomicU64,
    allocations: AtomicU64,
}

impl Counting {
    pub(super) fn read(&self, bytes: u64) {
        add(&self.reads, 1);
        add(&self.bytes_read, bytes);
    }

    pub(super) fn write(&self, bytes: u64, durable: bool) {
        add(&self.writes, 1);
        add(&self.bytes_written, bytes);
        add(&self.durable_writes, u64::from(durable));
    }

    pub(super) fn flush(&self) {
        add(&self.flushes, 1);
    }

    pub(super) fn allocation(&self) {
        add(&self.allocations, 1);
    }

    /// How far it is.
    pub(super) fn now(&self) -> Counters {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            reads: value(&self.reads),
            bytes_read: value(&self.bytes_read),
            writes: value(&self.writes),
            bytes_written: value(&self.bytes_written),
            flushes: value(&self.flushes),
            durable_writes: value(&self.durable_writes),
            allocations: value(&self.allocations),
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
