// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drives the engine's loader over real devices.

use crate::device::BlockDevice;
use crate::image::{ImageError, Volume};
use engine::{Config, Engine, Gate, LoadError, Loader, Target};
use std::io;

/// Why a volume could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailed {
    /// What is on disk is damaged, or is not all there.
    #[error("{}", explain(.0))]
    Load(LoadError),
    /// Reading failed.
    #[error("reading shadow copy metadata: {0}")]
    Io(io::Error),
    /// The image could not be opened for the engine's own writes.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// No thread could be started.
    #[error("starting a thread: {0}")]
    Thread(io::Error),
}

fn explain(error: &LoadError) -> String {
    match error {
        LoadError::Format(error) => format!("damaged shadow copy metadata: {error}"),
        LoadError::StorageElsewhere(guid) => {
            format!("the diff area is on another volume, {{{guid}}}: give it with --storage IMAGE[:OFFSET]")
        }
        LoadError::WrongStorage(wanted, found) => {
            format!("the storage volume is {{{found}}}, but the diff area is on {{{wanted}}}")
        }
        LoadError::NoStore(guid) => format!("catalog: snapshot {guid} has no entry for its store"),
        LoadError::UnknownEntry(kind, at) => format!("catalog: the entry at {at:#x} is of the unknown type {kind}"),
        LoadError::Twice(guid) => format!("catalog: store {guid} is named twice"),
        LoadError::NoMemory => "not enough memory for the index of saved blocks".into(),
        LoadError::IndexLimit => "more saved blocks than the index may hold".into(),
        LoadError::Io(place) => format!("reading failed at {place:?}"),
    }
}

/// Loads engine and gate.
///
/// # Errors
/// See [`LoadFailed`].
pub fn load(live: &Volume, storage: Option<&Volume>, config: Config) -> Result<(Engine, Gate), LoadFailed> {
    let mut loader = Loader::new(config);
    let mut buffer = Vec::new();
    while let Some(read) = loader.next_read() {
        let device = match read.from.target {
            Target::Live => live,
            Target::Storage => storage.unwrap_or(live),
        };
        buffer.resize(read.length, 0);
        // A chain that leads out of the volume is damage, not an I/O error.
        device.read_at(&mut buffer, read.from.offset).map_err(LoadFailed::Io)?;
        loader.supply(&buffer).map_err(LoadFailed::Load)?;
    }
    loader.finish().map_err(LoadFailed::Load)
}
