// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values that store information carries, and what people call them.
//!
//! Contexts and attributes: Microsoft's documentation of `vss.h` (VSS_SNAPSHOT_CONTEXT,
//! VSS_VOLUME_SNAPSHOT_ATTRIBUTES). Application GUIDs: seen on Windows-made volumes.

use crate::guid::Guid;

/// Application information of snapshots that 'Previous Versions' shows (vssadmin, System Protection).
pub const APP_CLIENT_ACCESSIBLE: Guid =
    Guid::from_fields(0xe5de_7d45, 0x49f2, 0x40a4, [0x81, 0x7c, 0x7d, 0xc8, 0x2b, 0x72, 0x58, 0x7f]);
/// Application information of persistent snapshots that a requester made (diskshadow and the like).
pub const APP_PERSISTENT: Guid =
    Guid::from_fields(0xae9a_9337, 0x0048, 0x4ed6, [0x98, 0x74, 0x71, 0x50, 0x06, 0x54, 0xb7, 0xb3]);
/// Application information of hidden snapshots: offline, or about to be deleted.
pub const APP_HIDDEN: Guid =
    Guid::from_fields(0xf121_42b4, 0x9a4b, 0x49af, [0xa8, 0x51, 0x70, 0x0c, 0x42, 0xfd, 0xc2, 0xbe]);

/// The name of a known application GUID.
pub fn application_name(application: Guid) -> Option<&'static str> {
    match application {
        APP_CLIENT_ACCESSIBLE => Some("client accessible"),
        APP_PERSISTENT => Some("persistent"),
        APP_HIDDEN => Some("hidden"),
        _ => None,
    }
}

/// Snapshot contexts (`VSS_CTX_*`).
pub mod context {
    /// For a backup; gone with the program that asked.
    pub const BACKUP: u32 = 0;
    /// As `BACKUP`, without writers.
    pub const FILE_SHARE_BACKUP: u32 = 0x10;
    /// Persistent, without writers.
    pub const NAS_ROLLBACK: u32 = 0x19;
    /// Persistent, with writers.
    pub const APP_ROLLBACK: u32 = 0x9;
    /// For 'Previous Versions', without writers.
    pub const CLIENT_ACCESSIBLE: u32 = 0x1d;
    /// For 'Previous Versions', with writers.
    pub const CLIENT_ACCESSIBLE_WRITERS: u32 = 0xd;
    /// All snapshots; only in queries.
    pub const ALL: u32 = 0xffff_ffff;

    /// The name of a known context.
    pub fn name(context: u32) -> Option<&'static str> {
        match context {
            BACKUP => Some("backup"),
            FILE_SHARE_BACKUP => Some("file share backup"),
            NAS_ROLLBACK => Some("NAS rollback"),
            APP_ROLLBACK => Some("application rollback"),
            CLIENT_ACCESSIBLE => Some("client accessible"),
            CLIENT_ACCESSIBLE_WRITERS => Some("client accessible with writers"),
            ALL => Some("all"),
            _ => None,
        }
    }
}

/// Snapshot attributes (`VSS_VOLSNAP_ATTR_*`), one bit each.
pub mod attributes {
    /// Survives a restart.
    pub const PERSISTENT: u32 = 0x1;
    /// Auto-recovery is off.
    pub const NO_AUTORECOVERY: u32 = 0x2;
    /// Shown by 'Previous Versions'.
    pub const CLIENT_ACCESSIBLE: u32 = 0x4;
    /// Not deleted when the requester goes.
    pub const NO_AUTO_RELEASE: u32 = 0x8;
    /// Made without writers.
    pub const NO_WRITERS: u32 = 0x10;
    /// Can be moved to another machine.
    pub const TRANSPORTABLE: u32 = 0x20;
    /// Not surfaced.
    pub const NOT_SURFACED: u32 = 0x40;
    /// Not transacted.
    pub const NOT_TRANSACTED: u32 = 0x80;
    /// A provider in hardware made it.
    pub const HARDWARE_ASSISTED: u32 = 0x1_0000;
    /// Copy-on-write.
    pub const DIFFERENTIAL: u32 = 0x2_0000;
    /// Split mirror.
    pub const PLEX: u32 = 0x4_0000;
    /// Imported from another machine.
    pub const IMPORTED: u32 = 0x8_0000;
    /// Exposed locally.
    pub const EXPOSED_LOCALLY: u32 = 0x10_0000;
    /// Exposed over the network.
    pub const EXPOSED_REMOTELY: u32 = 0x20_0000;
    /// Writers changed it after it was made.
    pub const AUTORECOVER: u32 = 0x40_0000;
    /// For rolling back.
    pub const ROLLBACK_RECOVERY: u32 = 0x80_0000;
    /// The post-snapshot event is delayed.
    pub const DELAYED_POSTSNAPSHOT: u32 = 0x100_0000;
    /// Transactional NTFS recovers on it.
    pub const TXF_RECOVERY: u32 = 0x200_0000;
    /// Of a remote file share.
    pub const FILE_SHARE: u32 = 0x400_0000;

    /// Every known bit with its name, in ascending order.
    pub const NAMES: [(u32, &str); 19] = [
        (PERSISTENT, "persistent"),
        (NO_AUTORECOVERY, "no auto-recovery"),
        (CLIENT_ACCESSIBLE, "client accessible"),
        (NO_AUTO_RELEASE, "no auto release"),
        (NO_WRITERS, "no writers"),
        (TRANSPORTABLE, "transportable"),
        (NOT_SURFACED, "not surfaced"),
        (NOT_TRANSACTED, "not transacted"),
        (HARDWARE_ASSISTED, "hardware assisted"),
        (DIFFERENTIAL, "differential"),
        (PLEX, "plex"),
        (IMPORTED, "imported"),
        (EXPOSED_LOCALLY, "exposed locally"),
        (EXPOSED_REMOTELY, "exposed remotely"),
        (AUTORECOVER, "auto recovered"),
        (ROLLBACK_RECOVERY, "rollback recovery"),
        (DELAYED_POSTSNAPSHOT, "delayed post-snapshot"),
        (TXF_RECOVERY, "TxF recovery"),
        (FILE_SHARE, "file share"),
    ];
}
