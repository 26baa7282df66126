// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume header, and how those of a volume and of its storage fit together.

use super::report::Report;
use crate::read::Reader;
use crate::source::Role;
use ondisk::{Guid, MAX_OFFSET, VolumeHeader};

/// Reads and checks the header. `None` where there is none, or none that can be used.
pub(super) fn check(reader: &Reader<'_>, report: &Report) -> Option<VolumeHeader> {
    let header = match reader.volume_header() {
        Ok(header) => header?,
        Err(error) => {
            report.unreadable(reader.role, &error);
            return None;
        }
    };
    let place = report.volume_header(reader.role);
    if header.version != 1 {
        place.warning(16, format!("version {} was never seen on a volume", header.version));
    }
    if header.volume == Guid::NIL || header.storage == Guid::NIL {
        place.error(64, "the volume or its storage has no GUID");
    }
    if header.application_flags > 1 {
        place.warning(96, format!("application flags {:#x}: only 0 and 1 are known", header.application_flags));
    }
    for (field, delta, value) in [
        ("free space pre-copy", 104, header.free_space_precopy),
        ("hot blocks pre-copy", 112, header.hot_blocks_precopy),
    ] {
        if value > 100 {
            place.warning(delta, format!("{field}: {value} is no percentage"));
        }
    }
    if header.maximum > MAX_OFFSET {
        place.warning(56, format!("maximum: {:#x} bytes are more than a volume can have", header.maximum));
    }
    if header.protection > 1 {
        place.warning(124, format!("protection flags {:#x}: only bit 0 is known", header.protection));
    }
    if let Ok(bytes) = reader.volume_header_bytes() {
        place.compare(&bytes, &header.to_bytes());
    }
    Some(header)
}

/// The storage volume is the one that the live volume's header names.
pub(super) fn check_pair(live: &VolumeHeader, storage: &VolumeHeader, report: &Report) {
    if live.storage != storage.volume {
        let text = format!("storage: the header names {}, --storage is {}", live.storage, storage.volume);
        report.volume_header(Role::Live).error(80, text);
    }
}
