// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values inside messages: identifiers, times, and the words Windows has for contexts and attributes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An identifier, written `{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}` in lower case; read in any case, with or without
/// braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guid(pub Uuid);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.0.hyphenated())
    }
}

impl FromStr for Guid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
        // Only the form with hyphens: the others that Uuid takes are nothing Windows would print.
        match Uuid::try_parse(bare) {
            Ok(id) if bare.len() == 36 => Ok(Self(id)),
            _ => Err(format!("'{text}' is not an identifier like {{b5946137-7b9f-4925-af80-51abd60b20d5}}")),
        }
    }
}

impl TryFrom<String> for Guid {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Guid> for String {
    fn from(id: Guid) -> Self {
        id.to_string()
    }
}

/// A moment, as Windows counts and as people and scripts read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// FILETIME: 100 ns since 1601-01-01 00:00 UTC. Too large for a double: JSON readers that know only doubles
    /// round it, and should use `iso`.
    pub filetime: u64,
    /// The same in ISO 8601, UTC, with all seven digits of the second.
    pub iso: String,
}

impl Time {
    /// Nanoseconds between 1601 and 1970 are 100 times this.
    const UNIX_EPOCH: i128 = 116_444_736_000_000_000;

    /// From a FILETIME. Times after the year 9999 have the last moment of it as `iso`.
    #[must_use]
    pub fn from_filetime(filetime: u64) -> Self {
        let iso = format!("{:.7}", Self::timestamp(filetime));
        Self { filetime, iso }
    }

    /// Now, by the clock of the system.
    #[must_use]
    pub fn now() -> Self {
        let ticks = jiff::Timestamp::now().as_nanosecond() / 100 + Self::UNIX_EPOCH;
        Self::from_filetime(u64::try_from(ticks).unwrap_or(0))
    }

    /// For conversion to a local time.
    #[must_use]
    pub fn to_timestamp(&self) -> jiff::Timestamp {
        Self::timestamp(self.filetime)
    }

    fn timestamp(filetime: u64) -> jiff::Timestamp {
        let nanoseconds = (i128::from(filetime) - Self::UNIX_EPOCH) * 100;
        jiff::Timestamp::from_nanosecond(nanoseconds).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// What kind of snapshot to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// `VSS_CTX_CLIENT_ACCESSIBLE` (0x1d), what `vssadmin create shadow` makes on Windows: persistent, no writers.
    #[default]
    ClientAccessible,
    /// `VSS_CTX_APP_ROLLBACK` (0x9): persistent, with writers.
    AppRollback,
}

impl Context {
    /// Its `VSS_CTX_*` value.
    #[must_use]
    pub fn value(self) -> u32 {
        match self {
            Self::ClientAccessible => 0x1d,
            Self::AppRollback => 0x9,
        }
    }
}

/// A number of Windows with the word that vssadmin prints for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// As stored on disk.
    pub value: u32,
    /// The word, or the number in hexadecimal where there is none.
    pub name: String,
}

impl Named {
    /// A snapshot context (`VSS_CTX_*`, vss.h).
    #[must_use]
    pub fn context(value: u32) -> Self {
        let name = match value {
            0x0 => "Backup",
            0x9 => "ApplicationRollback",
            0xd => "ClientAccessibleWriters",
            0x10 => "FileShareBackup",
            0x19 => "DataVolumeRollback",
            0x1d => "ClientAccessible",
            _ => return Self { value, name: format!("{value:#010x}") },
        };
        Self { value, name: name.into() }
    }
}

/// Snapshot attributes (`VSS_VOLSNAP_ATTR_*`, vss.h) with the words that vssadmin prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// As stored on disk.
    pub value: u32,
    /// One for each bit, in vssadmin's order; bits without a word as one hexadecimal number at the end.
    pub words: Vec<String>,
}

impl Attributes {
    /// In the order in which vssadmin prints them, which is not quite that of the bits.
    const WORDS: [(u32, &'static str); 19] = [
        (0x1, "Persistent"),
        (0x4, "Client-accessible"),
        (0x2, "No autorecovery"),
        (0x8, "No auto release"),
        (0x10, "No writers"),
        (0x20, "Transportable"),
        (0x40, "Not surfaced"),
        (0x80, "Not transacted"),
        (0x1_0000, "Hardware assisted"),
        (0x2_0000, "Differential"),
        (0x4_0000, "Plex"),
        (0x8_0000, "Imported"),
        (0x10_0000, "Exposed locally"),
        (0x20_0000, "Exposed remotely"),
        (0x40_0000, "Auto recovered"),
        (0x80_0000, "Rollback recovery"),
        (0x100_0000, "Delayed post-snapshot"),
        (0x200_0000, "TxF recovery"),
        (0x400_0000, "File share"),
    ];

    /// From the number on disk.
    #[must_use]
    pub fn from_value(value: u32) -> Self {
        let mut rest = value;
        let mut words = Vec::new();
        for (bit, word) in Self::WORDS {
            if value & bit != 0 {
                words.push(word.to_owned());
                rest &= !bit;
            }
        }
        if rest != 0 {
            words.push(format!("{rest:#010x}"));
        }
        Self { value, words }
    }
}

/// How large a diff area may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maximum {
    /// This many bytes.
    Bytes(u64),
    /// This part of the storage volume, 1 to 100.
    Percent(u8),
    /// Until the storage volume is full.
    Unbounded,
}

/// Which shadow copies to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// The one with this id.
    Shadow(Guid),
    /// All of this set.
    Set(Guid),
    /// The oldest of the volume.
    Oldest,
    /// All of the volume.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_print_as_windows_prints_them() {
        let id: Guid = "B5946137-7B9F-4925-AF80-51ABD60B20D5".parse().unwrap();
        assert_eq!(id.to_string(), "{b5946137-7b9f-4925-af80-51abd60b20d5}");
        assert_eq!(id.to_string().parse::<Guid>().unwrap(), id);
        for bad in ["", "{", "{}", "b59461377b9f4925af8051abd60b20d5", "{b5946137-7b9f-4925-af80-51abd60b20d5"] {
            assert!(bad.parse::<Guid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn file_times_of_a_windows_image_read_right() {
        // vsstest's first snapshot, as its catalogue has it.
        let time = Time::from_filetime(0x01ce_eff1_d012_a94b);
        assert_eq!(time.iso, "2013-12-03T06:35:09.7363787Z");
        assert_eq!(Time::from_filetime(0).iso, "1601-01-01T00:00:00.0000000Z");
        assert!(Time::from_filetime(u64::MAX).iso.starts_with("9999-12-30T"));
        assert!(Time::now().filetime > 0x01dc_0000_0000_0000);
    }

    #[test]
    fn words_of_attributes_seen_on_disk() {
        let client_accessible = Attributes::from_value(0x0002_001d).words.join(", ");
        assert_eq!(client_accessible, "Persistent, Client-accessible, No auto release, No writers, Differential");
        let rollback = Attributes::from_value(0x0042_0009).words.join(", ");
        assert_eq!(rollback, "Persistent, No auto release, Differential, Auto recovered");
        assert_eq!(Attributes::from_value(0x8000_1000).words, ["0x80001000"]);
        assert_eq!(Named::context(0x1d).name, "ClientAccessible");
        assert_eq!(Named::context(0x123).name, "0x00000123");
    }
}
