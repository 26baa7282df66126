// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values as people read them.

use ondisk::{FileTime, attributes, descriptor_flags, snapshot_flags};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time in UTC (`2013-12-03T06:35:09.7363787Z`), or the bare number where it is no date.
pub(crate) fn time(time: FileTime) -> String {
    let (seconds, nanos) = time.to_unix();
    let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{:#x}", time.0))
}

/// The set bits by name, those without a name as a number.
fn bits(value: u64, names: &[(u64, &str)]) -> String {
    let set = names.iter().filter(|(bit, _)| value & bit == *bit);
    let known: u64 = names.iter().map(|(bit, _)| bit).sum();
    let mut words: Vec<String> = set.map(|(_, name)| (*name).to_owned()).collect();
    if value & !known != 0 {
        words.push(format!("{:#x}", value & !known));
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// Attributes of a shadow copy.
pub(crate) fn attributes(value: u32) -> String {
    bits(value.into(), &attributes::NAMES.map(|(bit, name)| (bit.into(), name)))
}

/// Flags of a snapshot entry.
pub(crate) fn snapshot_flags(value: u64) -> String {
    use snapshot_flags::*;
    let names = [
        (REVERT_IN_PROGRESS, "revert in progress"),
        (UNKNOWN_20, "0x20"),
        (ALWAYS, "committed"),
        (COW_CACHE, "cow cache"),
        (OFFLINE, "offline"),
        (UNKNOWN_200, "0x200"),
        (ZERO_MARKED, "marked blocks are zero"),
        (DELETION_IN_PROGRESS, "deletion in progress"),
    ];
    bits(value, &names)
}

/// Flags of a block descriptor.
pub(crate) fn descriptor_flags(value: u32) -> String {
    use descriptor_flags::*;
    match value {
        0 => "plain".to_owned(),
        PRECOPIED => "pre-copied".to_owned(),
        _ => {
            let names =
                [(FORWARDER, "forwarder"), (OVERLAY, "overlay"), (SKIP, "skip"), (USED_PRECOPY, "used pre-copy")];
            bits(value.into(), &names.map(|(bit, name)| (bit.into(), name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_words() {
        assert_eq!(time(FileTime(0x01ce_eff1_d012_a94b)), "2013-12-03T06:35:09.7363787Z");
        assert_eq!(time(FileTime(u64::MAX)), "0xffffffffffffffff");
        assert_eq!(attributes(0x42_0009), "persistent, no auto release, differential, auto recovered");
        assert_eq!(attributes(0x8000_0000), "0x80000000");
        assert_eq!(snapshot_flags(0x40), "committed");
        assert_eq!(snapshot_flags(0), "none");
        assert_eq!(descriptor_flags(0x88), "pre-copied");
        assert_eq!(descriptor_flags(0x12), "overlay, used pre-copy");
    }
}
