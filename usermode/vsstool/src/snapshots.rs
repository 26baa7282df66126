// SPDX-License-Identifier: MIT OR Apache-2.0
//! The snapshots of an image as devices, numbered from 1, the oldest, as `info` shows them.

use crate::args::ImageArgs;
use anyhow::{Context as _, Result, bail};
use std::sync::Arc;
use vsshost::image::{Access, Volume};
use vsshost::shell::{Offline, OfflineSnapshot};

/// The devices, oldest first.
pub(crate) fn open(args: &ImageArgs) -> Result<Vec<Arc<OfflineSnapshot>>> {
    let spec = args.volume();
    let volume = Arc::new(Volume::open(&spec, Access::ReadOnly)?);
    let storage = match args.storage() {
        Some(spec) => Some(Arc::new(volume.open_beside(spec, Access::ReadOnly)?)),
        None => None,
    };
    let offline = Offline::open(volume, storage).with_context(|| spec.path.display().to_string())?;
    let stores: Vec<_> = offline.snapshots().map(|snapshot| snapshot.store).collect();
    Ok(stores.into_iter().filter_map(|store| offline.device(store)).collect())
}

/// The snapshot with this number.
pub(crate) fn open_one(args: &ImageArgs, number: usize) -> Result<Arc<OfflineSnapshot>> {
    let mut all = open(args)?;
    let count = all.len();
    if number == 0 || number > count {
        let path = args.volume().path;
        match count {
            0 => bail!("{}: there are no snapshots", path.display()),
            _ => bail!("{}: there is no snapshot {number}; the oldest is 1, the newest {count}", path.display()),
        }
    }
    Ok(all.swap_remove(number - 1))
}
