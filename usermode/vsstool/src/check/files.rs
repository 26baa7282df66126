// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files that reserve the clusters of catalog and stores.
//!
//! Nobody reads through them, but what lies outside its file is for the file system to overwrite.

use super::catalog::Placed;
use super::report::{Place, Report};
use crate::read::Reader;
use crate::source::Role;
use ondisk::{BLOCK_SIZE, CATALOG_FILE_NAME, Guid, IDENTIFIER, StoreEntry, Structure, VolumeHeader, store_file_name};
use std::collections::{BTreeMap, BTreeSet};
use vsshost::ntfs::{DiffAreaFile, Error, Extent, list_diff_area_files};

/// Files by the GUID in their name; the catalog has the identifier.
pub(super) struct Files {
    /// `None`: no NTFS volume, or one that could not be read.
    found: Option<BTreeMap<Guid, DiffAreaFile>>,
}

/// A store's file: where its blocks may lie.
pub(super) struct StoreFile<'f> {
    /// By volume offset.
    extents: Vec<&'f Extent>,
}

impl Files {
    /// Looks for the files, and checks the catalog's.
    pub(super) fn read(reader: &Reader<'_>, header: Option<&VolumeHeader>, report: &Report) -> Files {
        let listed = match list_diff_area_files(reader.volume) {
            Ok(listed) => listed,
            Err(Error::NotNtfs(_)) => return Files { found: None },
            Err(error) => {
                let text = format!("the store files could not be looked up: {error}");
                report.volume_header(reader.role).warning(0, text);
                return Files { found: None };
            }
        };
        report.count(|counts| counts.files += listed.len() as u64);
        let by_guid = listed.into_iter().filter_map(|file| Some((Guid::from_bytes(file.guid?), file)));
        let found: BTreeMap<_, _> = by_guid.collect();
        check_catalog(reader, header, &found, report);
        Files { found: Some(found) }
    }

    /// Stores that the catalog does not name: their space is lost.
    pub(super) fn check_left_over(&self, role: Role, stores: &[Placed<StoreEntry>], report: &Report) {
        let named: BTreeSet<Guid> = stores.iter().map(|store| store.entry.store).chain([IDENTIFIER]).collect();
        for (guid, file) in self.found.iter().flatten().filter(|(guid, _)| !named.contains(guid)) {
            let text = format!("file {} exists, but no entry for store {guid}", file.name);
            report.volume_header(role).warning(48, text);
        }
    }

    /// The file of a store, checked against its catalog entry.
    pub(super) fn store<'f>(
        &'f self,
        role: Role,
        at: u64,
        entry: &StoreEntry,
        report: &Report,
    ) -> Option<StoreFile<'f>> {
        let found = self.found.as_ref()?;
        let place = report.at(role, Structure::CatalogEntry, at);
        let Some(file) = found.get(&entry.store) else {
            place.error(56, format!("file {} does not exist", store_file_name(&entry.store)));
            return None;
        };
        let reference = file.file.file_reference;
        if reference != entry.file_reference {
            let text = format!("file reference: {:#x}, the file has {reference:#x}", entry.file_reference);
            place.error(56, text);
        }
        if file.file.data.transformed {
            place.error(56, format!("file {} is sparse, compressed or encrypted", file.name));
        }
        let mut extents: Vec<_> = file.file.data.extents.iter().collect();
        extents.sort_by_key(|extent| extent.volume_offset);
        Some(StoreFile { extents })
    }
}

impl StoreFile<'_> {
    /// Checks that the block at volume offset `offset` is in the file, where it says it is.
    ///
    /// `place` makes the place for a problem; the store offset and the relative offset lie at `deltas` of it.
    pub(super) fn check(&self, offset: u64, relative: u64, deltas: (u64, u64), place: Place<'_>) {
        match self.locate(offset, BLOCK_SIZE) {
            None => place.error(deltas.0, format!("block {offset:#x} is not in the store's file")),
            Some(actual) if actual != relative => {
                let text = format!("relative: {relative:#x}, in the file the block lies at {actual:#x}");
                place.warning(deltas.1, text);
            }
            Some(_) => (),
        }
    }

    /// Where in the file the bytes of the volume lie, if all of them do, in one run.
    pub(super) fn locate(&self, offset: u64, length: u64) -> Option<u64> {
        let after = self.extents.partition_point(|extent| extent.volume_offset <= offset);
        let extent = self.extents.get(after.checked_sub(1)?)?;
        let inside = offset.checked_add(length)? <= extent.volume_end();
        inside.then(|| extent.file_offset.saturating_add(offset - extent.volume_offset))
    }
}

fn check_catalog(
    reader: &Reader<'_>,
    header: Option<&VolumeHeader>,
    found: &BTreeMap<Guid, DiffAreaFile>,
    report: &Report,
) {
    let place = report.volume_header(reader.role);
    let catalog = header.map_or(0, |header| header.catalog);
    match found.get(&IDENTIFIER) {
        None if catalog == 0 => (),
        None => place.error(48, format!("catalog: file {CATALOG_FILE_NAME} does not exist")),
        Some(_) if header.is_none() => {
            place.error(0, format!("file {CATALOG_FILE_NAME} exists, but no volume header that can be used"));
        }
        // With the catalog alone, it is one that has been given up.
        Some(_) if catalog == 0 && found.len() > 1 => place.error(48, "catalog: none, but there are store files"),
        Some(file) => {
            let starts = file.file.data.extents.first().map(|extent| extent.volume_offset);
            if catalog != 0 && starts != Some(catalog) {
                let text = format!("catalog: at {catalog:#x}, its file starts at {:#x}", starts.unwrap_or(0));
                place.error(48, text);
            }
        }
    }
}
