// SPDX-License-Identifier: MIT OR Apache-2.0
//! Volumes, where their diff areas are, and the provider.

use serde::{Deserialize, Serialize};

use super::super::types::{Guid, Maximum};

/// The volumes that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListVolumes {}

/// The answer to [`ListVolumes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volumes {
    /// One for each volume that the host serves.
    pub volumes: Vec<Volume>,
}

/// A served volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name; `/for=` takes it.
    pub name: String,
    /// The image or block device it lies in, absolute.
    pub image: String,
    /// Where it starts there, in bytes.
    pub partition_offset: u64,
    /// Bytes.
    pub size: u64,
    /// As in `\\?\Volume{…}\`.
    pub guid: Guid,
    /// Where ntfs-3g has it mounted, if the host was told (see [`SetMountPoint`]).
    pub mount_point: Option<String>,
    /// The folder with the live volume and the snapshots as files.
    pub fuse_dir: Option<String>,
    /// The live volume for NBD clients, as a URI.
    pub nbd: Option<String>,
}

/// The associations of volumes with the volumes that hold their diff areas.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ListShadowstorage {
    /// Only those for this volume, by name.
    pub volume: Option<String>,
    /// Only those on this volume, by name or image path.
    pub on: Option<String>,
}

/// The answer to [`ListShadowstorage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Associations {
    /// One for each volume that has one.
    pub associations: Vec<Association>,
}

/// A volume and the volume that holds its diff area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    /// The volume with the snapshots, by name.
    pub volume: String,
    /// Its id.
    pub volume_guid: Guid,
    /// The volume that holds the diff area: its name, or its image path if it is not served.
    pub on: String,
    /// Its id.
    pub on_guid: Guid,
    /// Its size in bytes.
    pub on_size: u64,
    /// Bytes of the diff area that hold something.
    pub used: u64,
    /// Bytes of the storage volume that are reserved for the diff area.
    pub allocated: u64,
    /// Bytes up to which it may grow; null is unbounded.
    pub maximum: Option<u64>,
}

/// The providers; a host has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListProviders {}

/// The answer to [`ListProviders`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Providers {
    /// All of them.
    pub providers: Vec<Provider>,
}

/// A snapshot provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// `System`, `Software` or `Hardware`.
    pub kind: String,
    /// Its id.
    pub id: Guid,
    /// Its version.
    pub version: String,
}

/// Gives a volume a place for its diff area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddShadowstorage {
    /// As in [`CreateShadow`](super::CreateShadow).
    #[serde(default)]
    pub volume: Option<String>,
    /// The volume to hold the diff area, by name or image path; the volume itself if left out.
    #[serde(default)]
    pub on: Option<String>,
    /// How large it may grow.
    pub maximum: Maximum,
}

/// Changes how large a diff area may grow; a smaller size may delete the oldest shadow copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizeShadowstorage {
    /// As in [`CreateShadow`](super::CreateShadow).
    #[serde(default)]
    pub volume: Option<String>,
    /// As in [`AddShadowstorage`].
    #[serde(default)]
    pub on: Option<String>,
    /// The new size.
    pub maximum: Maximum,
}

/// Removes an association that holds no shadow copies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteShadowstorage {
    /// As in [`CreateShadow`](super::CreateShadow).
    pub volume: Option<String>,
    /// Any if left out.
    pub on: Option<String>,
}

/// Tells the host where ntfs-3g has the served volume mounted, so that it makes its store files there and not on an
/// unmounted volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMountPoint {
    /// As in [`CreateShadow`](super::CreateShadow).
    #[serde(default)]
    pub volume: Option<String>,
    /// The mount point, absolute; null after it was unmounted.
    pub path: Option<String>,
}
