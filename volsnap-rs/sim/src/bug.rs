// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bugs that can be switched on, to prove that the simulator would find them.
//!
//! Each is an engine bug as the rest of the system would see it. The shell plays them, so that the engine that is
//! shipped carries no switch.

/// A bug to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A descriptor is written before the data that it speaks of: copies are reported done before they are written.
    DescriptorBeforeData,
    /// Flushes are reported done and not made.
    MissedFlush,
    /// Durable writes are reported done when they are only in the cache.
    DurableNotDurable,
    /// The previous bitmap is ignored at activation.
    PreviousBitmapIgnored,
    /// A write in flight does not hold up the activation.
    ActivationNotAtomic,
    /// The live write passes before the block's descriptor is durable.
    ReleaseBeforeDescriptor,
    /// Deleting a snapshot does not move down what an older one needs.
    MergeDropsBlocks,
    /// A snapshot is entered in the catalog before its bitmaps are written.
    CatalogBeforeBitmaps,
    /// Holes that a crash left in a block list stay.
    HoleNotMended,
    /// A write is released before the index knows of the saved block.
    IndexAfterRelease,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::DescriptorBeforeData,
        Self::MissedFlush,
        Self::DurableNotDurable,
        Self::PreviousBitmapIgnored,
        Self::ActivationNotAtomic,
        Self::ReleaseBeforeDescriptor,
        Self::MergeDropsBlocks,
        Self::CatalogBeforeBitmaps,
        Self::HoleNotMended,
        Self::IndexAfterRelease,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::DescriptorBeforeData => "descriptor-before-data",
            Self::MissedFlush => "missed-flush",
            Self::DurableNotDurable => "durable-not-durable",
            Self::PreviousBitmapIgnored => "previous-bitmap-ignored",
            Self::ActivationNotAtomic => "activation-not-atomic",
            Self::ReleaseBeforeDescriptor => "release-before-descriptor",
            Self::MergeDropsBlocks => "merge-drops-blocks",
            Self::CatalogBeforeBitmaps => "catalog-before-bitmaps",
            Self::HoleNotMended => "hole-not-mended",
            Self::IndexAfterRelease => "index-after-release",
        }
    }

    /// The bug of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}
