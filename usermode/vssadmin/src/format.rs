// SPDX-License-Identifier: MIT OR Apache-2.0
//! The texts of the lists, laid out as on Windows. Lines that Windows does not have come after those that it has.

use std::fmt::Write;

use jiff::tz::TimeZone;
use vsshost::control::messages::{Association, Provider, Shadow, ShadowState, Volume};
use vsshost::control::types::{Guid, Time};

use crate::size;

/// `\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy1`.
pub(crate) fn device(shadow: &Shadow) -> String {
    format!(r"\\?\GLOBALROOT\Device\{}", shadow.device_name)
}

/// `(data)\\?\Volume{guid}\`: Windows has the drive letter in the brackets, here it is the name of the volume.
fn volume_name(name: &str, guid: Guid) -> String {
    format!(r"({name})\\?\Volume{guid}\")
}

/// `5/31/2022 1:45:05 PM`, in the time zone of the system.
fn local_time(time: &Time) -> String {
    time.to_timestamp().to_zoned(TimeZone::system()).strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string()
}

/// Shadow copies by set; sets in the order of their first one.
pub(crate) fn shadows(shadows: &[Shadow]) -> String {
    let mut sets: Vec<Guid> = Vec::new();
    for shadow in shadows {
        if !sets.contains(&shadow.set) {
            sets.push(shadow.set);
        }
    }
    let mut text = String::new();
    for set in sets {
        let members: Vec<&Shadow> = shadows.iter().filter(|shadow| shadow.set == set).collect();
        let Some(first) = members.first() else { continue };
        let _ = writeln!(text, "Contents of shadow copy set ID: {set}");
        let created = local_time(&first.created);
        let _ = writeln!(text, "   Contained {} shadow copies at creation time: {created}", first.set_count);
        for shadow in members {
            text.push_str(&one_shadow(shadow));
        }
        text.push('\n');
    }
    text
}

fn one_shadow(shadow: &Shadow) -> String {
    let mut text = format!("      Shadow Copy ID: {}\n", shadow.id);
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "         {label}: {value}");
    };
    line("Original Volume", &volume_name(&shadow.volume, shadow.volume_guid));
    line("Shadow Copy Volume", &device(shadow));
    line("Originating Machine", &shadow.originating_machine);
    line("Service Machine", &shadow.service_machine);
    line("Provider", &format!("'{}'", shadow.provider));
    line("Type", &shadow.context.name);
    line("Attributes", &shadow.attributes.words.join(", "));
    match shadow.state {
        ShadowState::Created => {}
        ShadowState::Prepared => line("State", "Prepared, not readable yet"),
        ShadowState::Deleting => line("State", "Being deleted"),
        ShadowState::Unavailable | ShadowState::Other => line("State", "Unavailable"),
    }
    if let Some(path) = &shadow.fuse_path {
        line("File", path);
    }
    if let Some(uri) = &shadow.nbd {
        line("NBD", uri);
    }
    text
}

/// Storage associations.
pub(crate) fn associations(associations: &[Association]) -> String {
    let mut text = String::new();
    for one in associations {
        let part = |bytes: u64| {
            let percent = u128::from(bytes) * 100 / u128::from(one.on_size.max(1));
            format!("{} ({percent}%)", size::text(bytes))
        };
        let maximum = one.maximum.map_or("UNBOUNDED (100%)".into(), part);
        let _ = writeln!(text, "Shadow Copy Storage association");
        let _ = writeln!(text, "   For volume: {}", volume_name(&one.volume, one.volume_guid));
        let _ = writeln!(text, "   Shadow Copy Storage volume: {}", volume_name(&one.on, one.on_guid));
        let _ = writeln!(text, "   Used Shadow Copy Storage space: {}", part(one.used));
        let _ = writeln!(text, "   Allocated Shadow Copy Storage space: {}", part(one.allocated));
        let _ = writeln!(text, "   Maximum Shadow Copy Storage space: {maximum}\n");
    }
    text
}

/// Served volumes.
pub(crate) fn volumes(volumes: &[Volume]) -> String {
    let mut text = String::new();
    for volume in volumes {
        let _ = writeln!(text, "Volume path: {}", volume.name);
        let _ = writeln!(text, r"    Volume name: \\?\Volume{}\", volume.guid);
        let _ = writeln!(text, "    Image: {} at {}", volume.image, volume.partition_offset);
        let _ = writeln!(text, "    Size: {}", size::text(volume.size));
        let places = [("Mount point", &volume.mount_point), ("Files", &volume.fuse_dir), ("NBD", &volume.nbd)];
        for (label, place) in places {
            if let Some(place) = place {
                let _ = writeln!(text, "    {label}: {place}");
            }
        }
        text.push('\n');
    }
    text
}

/// Providers.
pub(crate) fn providers(providers: &[Provider]) -> String {
    let mut text = String::new();
    for provider in providers {
        let _ = writeln!(text, "Provider name: '{}'", provider.name);
        let _ = writeln!(text, "   Provider type: {}", provider.kind);
        let _ = writeln!(text, "   Provider Id: {}", provider.id);
        let _ = writeln!(text, "   Version: {}\n", provider.version);
    }
    text
}
