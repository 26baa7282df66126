// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that hold snapshots: names in `System Volume Information` (spec section 1.1).

use super::error::{Error, Result};
use super::extent::BLOCK_SIZE;
use super::file::{FileInfo, FileKey};
use super::index::{ROOT, entries, find_entry};
use super::volume::Volume;
use crate::device::BlockDevice;

/// A GUID as the disk has it: first three fields little-endian, the bytes of an [`ondisk::Guid`].
pub type Guid = [u8; 16];

/// The identifier of every shadow copy structure, `{3808876b-c176-4e48-b7ae-04046e6cc752}`; also the catalogue's name.
pub const VSS_IDENTIFIER: Guid = *ondisk::IDENTIFIER.as_bytes();

/// Size of the catalogue file, bytes: four blocks, contiguous.
pub const CATALOG_SIZE: u64 = ondisk::CATALOG_BLOCKS * BLOCK_SIZE;

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
    if *guid == VSS_IDENTIFIER {
        return ondisk::CATALOG_FILE_NAME.to_owned();
    }
    ondisk::store_file_name(&ondisk::Guid::from_bytes(*guid)).to_string()
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
    let split = name.len().checked_sub(ondisk::CATALOG_FILE_NAME.len())?;
    let (prefix, tail) = (name.get(..split)?, name.get(split..)?);
    if !tail.eq_ignore_ascii_case(ondisk::CATALOG_FILE_NAME) {
        return None;
    }
    if prefix.is_empty() {
        return Some(Some(VSS_IDENTIFIER));
    }
    // Without braces it would parse as well, but is no name that Windows gives.
    let guid = prefix.parse::<ondisk::Guid>().ok().filter(|_| prefix.starts_with('{'));
    Some(guid.map(|guid| *guid.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let guid = *"600f0b69-5bdf-11e3-9d6c-005056c00008".parse::<ondisk::Guid>().unwrap().as_bytes();
        assert_eq!(guid[..4], [0x69, 0x0b, 0x0f, 0x60], "as the disk has it");
        let name = "{600f0b69-5bdf-11e3-9d6c-005056c00008}{3808876b-c176-4e48-b7ae-04046e6cc752}";
        assert_eq!(store_file_name(&guid), name);
        assert_eq!(parse_name(name), Some(Some(guid)));
        assert_eq!(parse_name(&name.to_uppercase()), Some(Some(guid)));
        assert_eq!(parse_name("{3808876b-c176-4e48-b7ae-04046e6cc752}"), Some(Some(VSS_IDENTIFIER)));
        assert_eq!(parse_name(&name.replacen(['{', '}'], "", 2)), Some(None), "no braces");
        assert_eq!(parse_name("x{3808876b-c176-4e48-b7ae-04046e6cc752}"), Some(None));
        assert_eq!(parse_name("tracking.log"), None);
        assert_eq!(parse_name("ééé{3808876b-c176-4e48-b7ae-04046e6cc752"), None);
    }
}
