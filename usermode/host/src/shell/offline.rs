// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots of an image that nobody serves, read-only.

use super::load::{LoadFailed, load};
use super::segments::{Devices, error, read_only};
use crate::device::{BlockDevice, StatusExtent};
use crate::image::Volume;
use engine::{Config, Engine, Gate, SnapshotView};
use ondisk::Guid;
use std::io;
use std::sync::Arc;

/// Most bytes of a snapshot that one status request looks at.
const STATUS_SPAN: u64 = 64 << 20;

/// An image's volume with its snapshots.
pub struct Offline {
    engine: Engine,
    gate: Gate,
    live: Arc<Volume>,
    storage: Arc<Volume>,
}

impl Offline {
    /// Loads the snapshots of `live`, whose diff area may be on `storage`.
    ///
    /// # Errors
    /// See [`LoadFailed`].
    pub fn open(live: Arc<Volume>, storage: Option<Arc<Volume>>) -> Result<Arc<Self>, LoadFailed> {
        let mut config = Config::new(live.size());
        config.read_only = true;
        if let Some(storage) = &storage {
            config.same_volume = false;
            config.storage_size = storage.size();
        }
        let (engine, gate) = load(&live, storage.as_deref(), config)?;
        let storage = storage.unwrap_or_else(|| Arc::clone(&live));
        Ok(Arc::new(Self { engine, gate, live, storage }))
    }

    /// All snapshots, oldest first.
    pub fn snapshots(&self) -> impl Iterator<Item = SnapshotView<'_>> {
        self.engine.snapshots()
    }

    /// A snapshot as a device.
    #[must_use]
    pub fn device(self: &Arc<Self>, store: Guid) -> Option<Arc<OfflineSnapshot>> {
        let size = self.engine.snapshots().find(|snapshot| snapshot.store == store)?.volume_size;
        Some(Arc::new(OfflineSnapshot { offline: Arc::clone(self), store, size }))
    }
}

/// One snapshot of an [`Offline`] image.
pub struct OfflineSnapshot {
    offline: Arc<Offline>,
    store: Guid,
    size: u64,
}

impl OfflineSnapshot {
    fn segments(&self, offset: u64, length: u64) -> io::Result<Vec<engine::Segment>> {
        let mut segments = Vec::new();
        let offline = &self.offline;
        offline.engine.read(&offline.gate, self.store, offset, length, &mut segments).map_err(error)?;
        Ok(segments)
    }

    fn devices(&self) -> Devices<'_> {
        Devices { live: &self.offline.live, storage: &self.offline.storage }
    }
}

impl BlockDevice for OfflineSnapshot {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let segments = self.segments(offset, buf.len() as u64)?;
        self.devices().read(buf, &segments)
    }

    fn write_at(&self, _: &[u8], _: u64, _: bool) -> io::Result<()> {
        Err(read_only())
    }

    fn write_zeroes(&self, _: u64, _: u64, _: bool, _: bool) -> io::Result<()> {
        Err(read_only())
    }

    fn trim(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        Err(read_only())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        let segments = self.segments(offset, length.min(STATUS_SPAN))?;
        self.devices().status(&segments)
    }
}
