// SPDX-License-Identifier: MIT OR Apache-2.0
//! One store with everything that its catalog entry names.

use super::bitmaps::{self, Older};
use super::block_list::Lists;
use super::catalog::Placed;
use super::files::{Files, StoreFile};
use super::ranges;
use super::report::Report;
use crate::read::{Block, Reader};
use ondisk::{BlockType, Guid, SnapshotEntry, StoreEntry, StoreHeader, Structure, attributes, context};
use std::collections::BTreeSet;

/// Windows' limit of snapshots in one set.
const MAX_SET: u32 = 64;

/// The snapshot that a store is of, and its place in the stack.
pub(super) struct Position<'s> {
    pub(super) snapshot: &'s Placed<SnapshotEntry>,
    pub(super) oldest: bool,
    /// Still receives copies.
    pub(super) newest: bool,
}

/// Checks the stores of one volume, one after the other.
pub(super) struct Stores<'c, 'v> {
    reader: &'c mut Reader<'v>,
    files: &'c Files,
    report: &'c Report,
    /// Shadow copies met so far.
    copies: BTreeSet<Guid>,
}

impl<'c, 'v> Stores<'c, 'v> {
    pub(super) fn new(reader: &'c mut Reader<'v>, files: &'c Files, report: &'c Report) -> Self {
        Stores { reader, files, report, copies: BTreeSet::new() }
    }

    /// Checks one store; `position` is `None` where it is of another volume's snapshot. `older` is what the check of
    /// the next older snapshot returned.
    pub(super) fn check(
        &mut self,
        store: &Placed<StoreEntry>,
        position: Option<&Position<'_>>,
        older: &Older,
    ) -> Older {
        let (report, entry) = (self.report, &store.entry);
        let file = self.files.store(self.reader.role, store.at, entry, report);
        let newest = position.is_some_and(|position| position.newest);
        ranges::check(entry.ranges, newest, file.as_ref(), self.reader, report);
        if entry.header != 0 {
            self.check_header(entry, file.as_ref());
        }
        let snapshot = position.map(|position| &position.snapshot.entry);
        let size = snapshot.map(|snapshot| snapshot.volume_size);
        let bitmaps = bitmaps::read((entry.bitmap, entry.previous_bitmap), size, file.as_ref(), self.reader, report);
        if let (Some(bitmaps), Some(false)) = (&bitmaps, position.map(|position| position.oldest)) {
            bitmaps::check_previous(self.reader.role, store.at, bitmaps, older, report);
        }
        let mut lists = Lists::new(snapshot, bitmaps.as_ref(), file.as_ref());
        let complete = lists.check(entry.block_list, self.reader, report);
        let saved = lists.into_saved();
        Older { complete: complete && bitmaps.is_some(), bitmaps, saved }
    }

    fn check_header(&mut self, entry: &StoreEntry, file: Option<&StoreFile<'_>>) {
        let role = self.reader.role;
        let read = self.reader.block(entry.header, BlockType::StoreHeader);
        let parsed = read.and_then(|block| Ok((StoreHeader::parse(&block.bytes, block.at)?, block)));
        let (header, block) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return self.report.unreadable(role, &error),
        };
        let place = self.report.at(role, Structure::StoreHeader, block.at);
        if header.header.next != 0 {
            place.error(40, "next: a store has one header block");
        }
        if header.header.relative != 0 {
            place.warning(24, format!("relative: {:#x}, the header is the file's first block", header.header.relative));
        }
        if let Some(file) = file {
            file.check(block.at, header.header.relative, (32, 24), place);
        }
        self.check_info(&header, &block);
    }

    fn check_info(&mut self, header: &StoreHeader, block: &Block) {
        let place = self.report.at(self.reader.role, Structure::StoreHeader, block.at);
        let copy = header.info.snapshot;
        if copy == Guid::NIL || !self.copies.insert(copy) {
            place.error(128 + 16, format!("shadow copy: {copy} is no GUID of its own"));
        }
        if header.info.set == Guid::NIL {
            place.error(128 + 32, "shadow copy set: no GUID");
        }
        if !(1..=MAX_SET).contains(&header.info.set_count) {
            place
                .warning(128 + 52, format!("set count: {}, a set has 1 to {MAX_SET} snapshots", header.info.set_count));
        }
        // 'All' is for asking only.
        if context::name(header.info.context).is_none() || header.info.context == context::ALL {
            place.warning(128 + 48, format!("context: {:#x} is not known", header.info.context));
        }
        let known: u32 = attributes::NAMES.iter().map(|(bit, _)| bit).sum();
        if header.info.attributes & !known != 0 {
            place.warning(128 + 56, format!("attributes: {:#x} are not known", header.info.attributes & !known));
        }
        let mut written = vec![0; block.bytes.len()];
        if let Err(error) = header.to_block(&mut written) {
            return self.report.unreadable(self.reader.role, &error.into());
        }
        let needed = u64::from_le_bytes(std::array::from_fn(|byte| written[48 + byte]));
        if needed != header.header.info_size {
            return place.warning(48, format!("info size: {}, expected {needed}", header.header.info_size));
        }
        place.compare(&block.bytes, &written);
    }
}
