// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's wishes about store files, fulfilled one after the other by a thread of its own.
//!
//! Growing and deleting go through the file system, whose own writes pass the engine like anybody's. When they wait for
//! space themselves (a mounted ntfs-3g does one thing at a time, and that may be a user's write that waits), the engine
//! lends its reserve.

use super::Host;
use super::storage::{Allocator, extents};
use crate::device::BlockDevice;
use crate::shell::FileTask;
use anyhow::Result;
use engine::{Extent, Priority};
use ondisk::Guid;
use std::sync::mpsc;
use std::time::Duration;

/// After so long with the file system the reserve is lent.
const PATIENCE: Duration = Duration::from_secs(2);

impl Host {
    pub(super) fn keep_files(&self) {
        while let Some(task) = self.shell.next_file_task() {
            match task {
                FileTask::Grow { store, bytes } => {
                    let grown = self.with_reserve_after(PATIENCE, || self.grow(store, bytes));
                    if let Err(error) = &grown {
                        eprintln!("vsshost: the diff area cannot grow: {error:#}");
                    }
                    self.shell.with(|engine, gate| engine.grown(gate, store, grown.as_deref().ok()));
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

    fn grow(&self, store: Guid, bytes: u64) -> Result<Vec<Extent>> {
        let allocator = self.allocator()?;
        let guid = store.as_bytes();
        let before = allocator.files.lookup(guid)?;
        // ntfs-3g zeroes what a file had reserved; the blocks in use are not its to touch.
        self.shell.shield(allocator.mounted);
        let grown = allocator.files.grow(guid, before.size.saturating_add(bytes));
        self.shell.shield(false);
        let grown = extents(&grown?);
        self.vacate(&allocator, &grown, before.size)?;
        Ok(grown)
    }

    /// Tells the engine that the content of new clusters is gone: what an older snapshot needs of it is saved first.
    /// Under a mount the file system's own zeroing did that.
    pub(super) fn vacate(&self, allocator: &Allocator<'_>, extents: &[Extent], from: u64) -> Result<()> {
        if allocator.mounted || !self.storage.local {
            return Ok(());
        }
        let live = self.shell.live(Priority::Reserve);
        for extent in extents {
            let skip = from.saturating_sub(extent.relative).min(extent.length);
            if skip < extent.length {
                live.trim(extent.volume + skip, extent.length - skip, false)?;
            }
        }
        Ok(())
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
