// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that hold snapshots: names in `System Volume Information` (spec section 1.1).

use uuid::Uuid;

use super::error::{Error, Result};
use super::file::{FileInfo, FileKey};
use super::index::{ROOT, entries, find_entry};
use super::volume::Volume;
use crate::device::BlockDevice;

/// A GUID as the disk has it: first three fields little-endian.
pub type Guid = [u8; 16];

/// The identifier of every shadow copy structure, `{3808876b-c176-4e48-b7ae-04046e6cc752}`; also the catalogue's name.
pub const VSS_IDENTIFIER: Guid =
    [0x6b, 0x87, 0x08, 0x38, 0x76, 0xc1, 0x48, 0x4e, 0xb7, 0xae, 0x04, 0x04, 0x6e, 0x6c, 0xc7, 0x52];

/// Size of the catalogue file, bytes: four blocks, contiguous.
pub const CATALOG_SIZE: u64 = 0x1_0000;

/// The directory of the files, in the root.
pub(super) const DIRECTORY: &str = "System Volume Information";

/// A file of the shadow copy provider, found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffAreaFile {
    /// Its name as it is in the directory.
    pub name: String,
    /// The store's GUID; [`VSS_IDENTIFIER`] for the catalogue; `None` where something else precedes the identifier.
    pub guid: Option<Guid>,
    /// File reference, sizes and runs.
    pub file: FileInfo,
}

/// File name of a store: `{guid}{3808876b-…}`; of the catalogue for [`VSS_IDENTIFIER`] itself.
pub fn store_file_name(guid: &Guid) -> String {
    let suffix = Uuid::from_bytes_le(VSS_IDENTIFIER).braced().to_string();
    if *guid == VSS_IDENTIFIER { suffix } else { format!("{}{suffix}", Uuid::from_bytes_le(*guid).braced()) }
}

/// Every catalogue and store file of the volume; empty where the directory does not exist. In order of names.
pub fn list_diff_area_files(device: &dyn BlockDevice) -> Result<Vec<DiffAreaFile>> {
    let volume = Volume::open(device)?;
    let Some(directory) = find_entry(&volume, ROOT, DIRECTORY)? else { return Ok(Vec::new()) };
    list_in(&volume, directory.file_reference)
}

/// The directory as it is spelled on the volume, if it is there.
pub(super) fn directory_name(device: &dyn BlockDevice) -> Result<Option<String>> {
    let volume = Volume::open(device)?;
    Ok(find_entry(&volume, ROOT, DIRECTORY)?.map(|entry| entry.name))
}

/// The files in a directory already found.
pub(super) fn list_in(volume: &Volume<'_>, directory: u64) -> Result<Vec<DiffAreaFile>> {
    let mut names = entries(volume, directory, |name| parse_name(name).is_some())?;
    names.sort_by(|left, right| left.name.cmp(&right.name));
    let mut files = Vec::new();
    for entry in names {
        match volume.file(FileKey::Reference(entry.file_reference)) {
            Ok(file) => {
                let guid = parse_name(&entry.name).flatten();
                files.push(DiffAreaFile { name: entry.name, guid, file });
            }
            // Deleted by the mount above between the two reads.
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// `None`: not such a file. `Some(None)`: ends in the identifier, but names no store.
fn parse_name(name: &str) -> Option<Option<Guid>> {
    let suffix = store_file_name(&VSS_IDENTIFIER);
    let split = name.len().checked_sub(suffix.len())?;
    let (prefix, tail) = (name.get(..split)?, name.get(split..)?);
    if !tail.eq_ignore_ascii_case(&suffix) {
        return None;
    }
    if prefix.is_empty() {
        return Some(Some(VSS_IDENTIFIER));
    }
    // `Uuid` also reads forms without braces, which Windows does not write.
    let braced = prefix.len() == 38 && prefix.starts_with('{') && prefix.ends_with('}');
    Some(Uuid::try_parse(prefix).ok().filter(|_| braced).map(|uuid| uuid.to_bytes_le()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let guid = Uuid::parse_str("600f0b69-5bdf-11e3-9d6c-005056c00008").unwrap().to_bytes_le();
        let name = "{600f0b69-5bdf-11e3-9d6c-005056c00008}{3808876b-c176-4e48-b7ae-04046e6cc752}";
        assert_eq!(store_file_name(&guid), name);
        assert_eq!(parse_name(name), Some(Some(guid)));
        assert_eq!(parse_name(&name.to_uppercase()), Some(Some(guid)));
        assert_eq!(parse_name("{3808876b-c176-4e48-b7ae-04046e6cc752}"), Some(Some(VSS_IDENTIFIER)));
        assert_eq!(parse_name("x{3808876b-c176-4e48-b7ae-04046e6cc752}"), Some(None));
        assert_eq!(parse_name("tracking.log"), None);
        assert_eq!(parse_name("ééé{3808876b-c176-4e48-b7ae-04046e6cc752"), None);
    }
}
