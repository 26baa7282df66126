// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one or two volumes that a verb reads from.

use crate::args::ImageArgs;
use anyhow::{Result, bail};
use serde::Serialize;
use std::fmt;
use vsshost::image::{Access, Volume};

/// Which of the two volumes something lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The volume whose snapshots are meant; its diff area lies here too, unless there is a storage volume.
    Live,
    /// The other volume, which holds the diff area.
    Storage,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Live => "live volume",
            Role::Storage => "storage volume",
        })
    }
}

/// The opened volumes.
pub(crate) struct Source {
    /// The volume whose snapshots are meant.
    pub(crate) live: Volume,
    /// The volume with the diff area, where the person named one.
    pub(crate) storage: Option<Volume>,
}

impl Source {
    /// Opens what the options name, read-only.
    pub(crate) fn open(args: &ImageArgs) -> Result<Source> {
        let live = Volume::open(&args.volume(), Access::ReadOnly)?;
        let storage = args.storage().map(|spec| live.open_beside(spec, Access::ReadOnly)).transpose()?;
        if storage.as_ref().is_some_and(|storage| storage.overlaps(&live)) {
            bail!("--storage names the volume itself; leave it out where the diff area is on the same volume");
        }
        Ok(Source { live, storage })
    }
}
