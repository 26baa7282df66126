// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shadow copies: listing, making them in one step or in four, deleting.

use serde::{Deserialize, Serialize};

use super::super::types::{Attributes, Context, Guid, Named, Selector, Time};

/// The shadow copies; each filter that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ListShadows {
    /// Only the one with this id.
    pub shadow: Option<Guid>,
    /// Only those of this set.
    pub set: Option<Guid>,
    /// Only those of this volume, by name.
    pub volume: Option<String>,
}

/// The answer to [`ListShadows`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadows {
    /// Oldest first.
    pub shadows: Vec<Shadow>,
}

/// A shadow copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// The id that people use.
    pub id: Guid,
    /// The set it was made in.
    pub set: Guid,
    /// How many shadow copies that set had when it was made.
    pub set_count: u32,
    /// The id of its store, which names its file in `System Volume Information`.
    pub store: Guid,
    /// Name of the volume it is of.
    pub volume: String,
    /// Id of that volume.
    pub volume_guid: Guid,
    /// When it was committed.
    pub created: Time,
    /// `HarddiskVolumeShadowCopyN`.
    pub device_name: String,
    /// It as a file.
    pub fuse_path: Option<String>,
    /// It as an NBD export, as a URI.
    pub nbd: Option<String>,
    /// The machine on which it was made.
    pub originating_machine: String,
    /// The machine that serves it.
    pub service_machine: String,
    /// Name of the provider that made it.
    pub provider: String,
    /// `VSS_CTX_*`.
    pub context: Named,
    /// `VSS_VOLSNAP_ATTR_*`.
    pub attributes: Attributes,
    /// Whether it can be used.
    pub state: ShadowState,
}

/// What a shadow copy is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShadowState {
    /// Prepared, not committed: nothing to read yet.
    Prepared,
    /// Complete and readable.
    Created,
    /// On its way out; reads fail.
    Deleting,
    /// Its storage is missing or damaged; reads fail.
    Unavailable,
    /// A state that this version does not know.
    #[serde(other)]
    Other,
}

/// Makes a shadow copy, all steps in one request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateShadow {
    /// Of which volume, by name; may be left out where the host serves one.
    pub volume: Option<String>,
    /// What kind.
    pub context: Context,
    /// Size of the first extent of its diff area in bytes; the host chooses if left out.
    pub diff_area_size: Option<u64>,
}

/// The answer to [`CreateShadow`] and to [`CommitSnapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedShadow {
    /// The new shadow copy.
    pub shadow: Shadow,
    /// How long writes were held until the commit, in microseconds.
    pub held_us: u64,
}

/// First step for a coordinator: everything that may take long. The set belongs to the connection: if that ends
/// before the commit, the set is aborted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PrepareSnapshot {
    /// As in [`CreateShadow`].
    pub volume: Option<String>,
    /// The id of a set that spans several hosts; the host makes one up if left out.
    pub set: Option<Guid>,
    /// How many shadow copies that set will have; 0 and 1 are one.
    pub set_count: u32,
    /// As in [`CreateShadow`].
    pub context: Context,
    /// As in [`CreateShadow`].
    pub diff_area_size: Option<u64>,
}

/// The answer to [`PrepareSnapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedSnapshot {
    /// For the steps that follow.
    pub set: Guid,
    /// The id that the shadow copy will have.
    pub shadow: Guid,
}

/// Second step: writes to the volume wait from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldWrites {
    /// A prepared set.
    pub set: Guid,
    /// After this time writes are released whatever happened, and the set is lost if it was not committed:
    /// 1 to [`HoldWrites::MAX_LIMIT_MS`] milliseconds.
    pub limit_ms: u32,
}

impl HoldWrites {
    /// Windows holds writes for ten seconds at most.
    pub const MAX_LIMIT_MS: u32 = 10_000;
}

/// Third step: the shadow copy exists. Writes are still held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitSnapshot {
    /// A set whose writes are held.
    pub set: Guid,
}

/// Last step: writes go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseWrites {
    /// A set whose writes are held.
    pub set: Guid,
}

/// Gives up a set that is not committed; releases writes if they are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortSnapshot {
    /// The set.
    pub set: Guid,
}

/// Deletes shadow copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteShadows {
    /// Of which volume, by name; may be left out where the host serves one.
    #[serde(default)]
    pub volume: Option<String>,
    /// Which ones.
    pub selector: Selector,
}

/// The answer to [`DeleteShadows`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedShadows {
    /// Their ids, in the order of deletion; empty if none fitted.
    pub deleted: Vec<Guid>,
}
