// SPDX-License-Identifier: MIT OR Apache-2.0
//! What kind of run a seed is: sizes, limits, and which faults there are. Drawn once, so that a run without I/O errors
//! can be held to a stricter account than one with them.

use crate::device::{PER_BLOCK, SECTOR};
use crate::rng::Rng;
use engine::Config;

const BLOCK: u64 = 0x4000;

/// The kind of a run.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Sectors of the live volume.
    pub(crate) sectors: usize,
    /// Sectors of the storage volume, when that is another.
    pub(crate) storage_sectors: Option<usize>,
    /// Sectors of a cluster.
    pub(crate) cluster: usize,
    /// What the engine is told.
    pub(crate) config: Config,
    /// Lives between restarts.
    pub(crate) epochs: usize,
    /// Steps of a life.
    pub(crate) steps: usize,
    /// Snapshots at once that the run aims at.
    pub(crate) snapshots: usize,
    /// Blocks of a new store file.
    pub(crate) store_blocks: usize,
    /// Failing I/Os, per mille.
    pub(crate) errors: usize,
    /// Bursts of failing I/Os.
    pub(crate) bursts: bool,
    /// Calls with failing memory, per mille.
    pub(crate) memory: usize,
    /// Growth refused, per mille.
    pub(crate) refusals: usize,
    /// Growth and preparation without a discard of the file's runs first, per mille.
    pub(crate) undiscarded: usize,
    /// Writes over the diff area happen.
    pub(crate) overwrites: bool,
    /// A maximum is set now and then.
    pub(crate) maximum: bool,
    /// Largest write in sectors.
    pub(crate) largest: usize,
    /// Writes at once.
    pub(crate) writers: usize,
    /// The index limit is low enough to be met.
    pub(crate) small_index: bool,
    /// How lives end, per mille that are crashes.
    pub(crate) crashes: usize,
}

impl Profile {
    /// The profile of a seed.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let large = rng.chance(60);
        let blocks = if large { rng.within(1400, 2400) } else { rng.within(200, 640) };
        // A volume need not be a whole number of blocks.
        let sectors = blocks * PER_BLOCK - if rng.chance(500) { rng.below(PER_BLOCK) } else { 0 };
        let storage_sectors = rng.chance(200).then(|| rng.within(200, 500) * PER_BLOCK);
        let sector = if rng.chance(250) { 4096 } else { 512 };
        let sectors = if sector == 4096 { sectors / 8 * 8 } else { sectors };
        let small_index = rng.chance(80);
        let mut config = Config::new((sectors * SECTOR) as u64);
        config.sector = sector;
        config.same_volume = storage_sectors.is_none();
        config.storage_size = (storage_sectors.unwrap_or(sectors) * SECTOR) as u64;
        config.max_copies = rng.pick(&[4, 4, 16, 64, 128]);
        config.max_writes = rng.pick(&[8, 8, 32, 256]);
        config.low_water = rng.within(0, 24) as u64 * BLOCK;
        config.growth = rng.within(4, 40) as u64 * BLOCK;
        config.reserve = rng.pick(&[0, 2, 4, 8]) * BLOCK;
        if small_index {
            config.index_limit = rng.within(60, 400);
        }
        let snapshots = if rng.chance(60) { 40 } else { rng.within(1, 7) };
        let quiet = rng.chance(450);
        Self {
            sectors,
            storage_sectors,
            cluster: rng.pick(&[8, 8, 32, 32, 128]),
            config,
            epochs: rng.within(1, 5),
            steps: if large { rng.within(800, 2500) } else { rng.within(200, 1600) },
            snapshots,
            store_blocks: if snapshots > 8 { rng.within(12, 16) } else { rng.within(12, 60) },
            errors: if quiet || rng.chance(500) { 0 } else { rng.pick(&[2, 10, 40]) },
            bursts: !quiet && rng.chance(250),
            memory: if quiet || rng.chance(600) { 0 } else { rng.pick(&[5, 30, 100]) },
            refusals: rng.pick(&[0, 0, 200, 700]),
            undiscarded: rng.pick(&[0, 200, 1000]),
            overwrites: rng.chance(60),
            maximum: rng.chance(250),
            largest: if large { 96 * PER_BLOCK } else { rng.pick(&[PER_BLOCK, 4 * PER_BLOCK, 24 * PER_BLOCK]) },
            writers: rng.pick(&[1, 4, 12, 24]),
            small_index,
            crashes: rng.pick(&[500, 900, 900]),
        }
    }
}
