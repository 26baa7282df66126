// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's wishes about store files, fulfilled one after the other by a thread of its own.
//!
//! Growing and deleting go through the file system, whose own writes pass the engine like anybody's. When they wait for
//! space themselves (a mounted ntfs-3g does one thing at a time, and that may be a user's write that waits), the engine
//! lends its reserve.

use super::Host;
use super::storage::{Allocator, extents};
use crate::ntfs::{self, StoreFile};
use crate::shell::FileTask;
use anyhow::Result;
use engine::Extent;
use ondisk::{BLOCK_SIZE, Guid};
use std::ops::Range;
use std::sync::mpsc;
use std::time::Duration;

/// After so long with the file system the reserve is lent.
const PATIENCE: Duration = Duration::from_secs(1);

/// A growth takes so many times the space that was asked for, where most of it cannot be used.
const MOST_STEPS: u64 = 8;
/// Growth by less than this is not worth the work.
const SMALLEST_STEP: u64 = 16 * BLOCK_SIZE;

impl Host {
    pub(super) fn keep_files(&self) {
        while let Some(task) = self.shell.next_file_task() {
            match task {
                FileTask::Grow { store, bytes } => {
                    let grown = self.with_reserve_after(PATIENCE, || self.grow(store, bytes));
                    if let Err(error) = &grown {
                        eprintln!("vsshost: the diff area cannot grow: {error:#}");
                    }
                    let extents = grown.ok().flatten();
                    self.shell.with(|engine, gate| engine.grown(gate, store, extents.as_deref()));
                }
                FileTask::Free { store } => {
                    let freed = self.with_reserve_after(PATIENCE, || self.free(store));
                    if let Err(error) = freed {
                        eprintln!("vsshost: store file {store} stays, without a snapshot: {error:#}");
                    }
                    self.shell.with(|engine, gate| engine.store_freed(gate, store));
                }
            }
        }
    }

    /// Grows a store's file until about `bytes` more can be used in it: clusters whose content an older snapshot still
    /// needs stay as they are, unused, for saving that content would take as much space as they give.
    /// `None` where a newer snapshot has taken over.
    fn grow(&self, store: Guid, bytes: u64) -> Result<Option<Vec<Extent>>> {
        let allocator = self.allocator()?;
        // Looked at when the turn is ours: nobody can make a snapshot from here on.
        if !self.shell.with(|engine, _| engine.needs_growth(store)) {
            return Ok(None);
        }
        let before = allocator.files.lookup(store.as_bytes())?.size;
        let room = self.shell.with(|engine, _| match engine.header().map_or(0, |header| header.maximum) {
            0 => u64::MAX,
            maximum => maximum.saturating_sub(engine.usage().1),
        });
        let most = before.saturating_add(bytes.saturating_mul(MOST_STEPS).min(room));
        let enough = |file: &StoreFile| {
            self.shell.with(|engine, gate| engine.gain(gate, Some(store), &extents(file))) >= bytes / 2
        };
        Ok(Some(self.grow_until(&allocator, store, before..most, bytes, enough)?))
    }

    /// Grows a file within `sizes`, in steps of `step` bytes or smaller ones where there is little room, until it is
    /// enough.
    pub(super) fn grow_until(
        &self,
        allocator: &Allocator<'_>,
        store: Guid,
        sizes: Range<u64>,
        mut step: u64,
        enough: impl Fn(&StoreFile) -> bool,
    ) -> ntfs::Result<Vec<Extent>> {
        let mut size = sizes.start;
        let mut grown = None;
        loop {
            let next = size.saturating_add(step).min(sizes.end);
            match self.storage.leaves_room(next.saturating_sub(size)).and_then(|()| allocator.grow(store, next)) {
                Ok(file) => {
                    size = file.size;
                    if size >= sizes.end || enough(&file) {
                        return Ok(extents(&file));
                    }
                    grown = Some(extents(&file));
                }
                // Less than was wanted is better than nothing.
                Err(ntfs::Error::NoSpace { .. }) if step / 2 >= SMALLEST_STEP => {
                    step = step / 2 / BLOCK_SIZE * BLOCK_SIZE
                }
                Err(error) => return grown.ok_or(error),
            }
        }
    }

    fn free(&self, store: Guid) -> Result<()> {
        Ok(self.allocator()?.files.delete(store.as_bytes())?)
    }

    /// Does `what`, and lends the engine's reserve if that takes long.
    pub(super) fn with_reserve_after<T>(&self, patience: Duration, what: impl FnOnce() -> T) -> T {
        let (done, waiting) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while waiting.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                    self.shell.with(|engine, gate| engine.lend_reserve(gate));
                }
            });
            let result = what();
            drop(done);
            result
        })
    }
}
