// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options that all verbs share: which volume, and where its diff area is.

use std::path::PathBuf;
use vsshost::image::{SelectorArgs, VolumeSpec};

/// The volume to work on.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ImageArgs {
    /// Raw image file or block device.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    #[command(flatten)]
    selector: SelectorArgs,

    /// Volume that holds the diff area, where that is another one.
    #[arg(long, value_name = "IMAGE[:OFFSET]")]
    storage: Option<VolumeSpec>,
}

impl ImageArgs {
    /// The volume whose snapshots are meant.
    pub(crate) fn volume(&self) -> VolumeSpec {
        VolumeSpec::new(&self.image, self.selector.selector())
    }

    /// The volume with the diff area, where the person named one.
    pub(crate) fn storage(&self) -> Option<&VolumeSpec> {
        self.storage.as_ref()
    }
}
