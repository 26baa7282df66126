// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a person names a volume: a path, and perhaps a partition number or a byte offset in it.

use super::ImageError;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which volume of an image is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selector {
    /// The whole image if it starts with an NTFS boot sector, else its only NTFS partition.
    #[default]
    Auto,
    /// The partition with this number, from 1, as Windows numbers them (see [`layout::Partition::number`]).
    Partition(u32),
    /// The volume that starts at this byte.
    Offset(u64),
}

/// A volume, as named on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Image file or block device.
    pub path: PathBuf,
    /// Which volume of it.
    pub selector: Selector,
}

impl VolumeSpec {
    /// The volume that `selector` names in `path`.
    pub fn new(path: impl Into<PathBuf>, selector: Selector) -> Self {
        Self { path: path.into(), selector }
    }
}

/// `IMAGE` or `IMAGE:OFFSET`, as `--storage` takes it. A colon that is part of a path is no trouble: what follows the
/// last colon counts as an offset only when it reads as one and no file has the whole text as its name.
impl FromStr for VolumeSpec {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let bad = |reason| ImageError::BadSpec { text: text.to_owned(), reason };
        if text.is_empty() {
            return Err(bad("expected IMAGE or IMAGE:OFFSET"));
        }
        let split = text.rsplit_once(':').and_then(|(path, offset)| Some((path, parse_bytes(offset)?)));
        match split {
            Some(("", _)) => Err(bad("the image is missing before the colon")),
            Some((path, offset)) if !Path::new(text).exists() => Ok(Self::new(path, Selector::Offset(offset))),
            _ => Ok(Self::new(text, Selector::Auto)),
        }
    }
}

/// The options that select a volume, for a command's own arguments (`#[command(flatten)]`).
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct SelectorArgs {
    /// Partition number in the image, from 1.
    #[arg(long, value_name = "N", conflicts_with = "offset", value_parser = clap::value_parser!(u32).range(1..))]
    pub partition: Option<u32>,

    /// Byte in the image at which the volume starts (decimal, 0x hexadecimal, or with K, M, G).
    #[arg(long, value_name = "BYTES", value_parser = bytes_argument)]
    pub offset: Option<u64>,
}

impl SelectorArgs {
    /// The selector that the options amount to.
    pub fn selector(self) -> Selector {
        match (self.partition, self.offset) {
            (Some(number), _) => Selector::Partition(number),
            (None, Some(offset)) => Selector::Offset(offset),
            (None, None) => Selector::Auto,
        }
    }
}

fn bytes_argument(text: &str) -> Result<u64, String> {
    parse_bytes(text).ok_or_else(|| format!("'{text}' is not a number of bytes (34603008, 0x2100000, 33M)"))
}

/// A number of bytes: decimal, hexadecimal with 0x, or decimal with K, M or G for powers of 1024.
fn parse_bytes(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
    }
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 'K' | 'k') => (text.get(..at)?, 1 << 10),
        (at, 'M' | 'm') => (text.get(..at)?, 1 << 20),
        (at, 'G' | 'g') => (text.get(..at)?, 1 << 30),
        _ => (text, 1_u64),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse::<u64>().ok()?.checked_mul(unit))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes() {
        for (text, value) in
            [("0", 0), ("34603008", 34603008), ("0x2100000", 34603008), ("33M", 34603008), ("2k", 2048)]
        {
            assert_eq!(parse_bytes(text), Some(value), "{text}");
        }
        for text in ["", "-1", "+1", "0x", "0x+1", "M", "1T", "1.5M", "99999999999G", "34603008 ", "é"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn storage_specifications() {
        let spec = |text: &str| text.parse::<VolumeSpec>().expect(text);
        assert_eq!(spec("/a/b.raw"), VolumeSpec::new("/a/b.raw", Selector::Auto));
        assert_eq!(spec("/a/b.raw:34603008"), VolumeSpec::new("/a/b.raw", Selector::Offset(34603008)));
        assert_eq!(spec("a:b:33M"), VolumeSpec::new("a:b", Selector::Offset(34603008)));
        assert_eq!(
            spec("/dev/disk/by-path/pci-0:part"),
            VolumeSpec::new("/dev/disk/by-path/pci-0:part", Selector::Auto)
        );
        assert!("".parse::<VolumeSpec>().is_err());
        assert!(":5".parse::<VolumeSpec>().is_err());
    }

    #[test]
    fn a_file_whose_name_ends_in_a_number_is_that_file() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("disk:0");
        let text = path.to_str().expect("a plain name");
        assert_eq!(text.parse::<VolumeSpec>().expect("valid").selector, Selector::Offset(0));
        std::fs::write(&path, "").expect("a file");
        assert_eq!(text.parse::<VolumeSpec>().expect("valid"), VolumeSpec::new(&path, Selector::Auto));
    }
}
