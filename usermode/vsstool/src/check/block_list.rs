// SPDX-License-Identifier: MIT OR Apache-2.0
//! A store's block list: every descriptor, and that no two saved blocks share a place.

use super::bitmaps::Bitmaps;
use super::files::StoreFile;
use super::report::{Place, Report};
use crate::block_set::BlockSet;
use crate::read::{Block, Reader};
use ondisk::{
    BLOCK_SIZE, BlockList, BlockType, DESCRIPTOR_LEN, Descriptor, HEADER_LEN, SnapshotEntry, Structure, snapshot_flags,
};
use std::collections::BTreeMap;

/// Most overlays of one store that are told apart: more than any log replay writes.
const MAX_OVERLAYS: usize = 1 << 20;

/// Where the fields lie in a descriptor.
const ORIGINAL: u64 = 0;
const RELATIVE: u64 = 8;
const STORE: u64 = 16;
const FLAGS: u64 = 24;
const SECTORS: u64 = 28;

/// What a block list says, with everything that its descriptors are held against.
pub(super) struct Lists<'c> {
    /// `None`: the store is of another volume's snapshot.
    snapshot: Option<&'c SnapshotEntry>,
    /// The store's bitmaps, where they could be read.
    bitmaps: Option<&'c Bitmaps>,
    /// The store's file, where one was found.
    file: Option<&'c StoreFile<'c>>,
    /// Blocks of the original volume that are saved or forwarded here.
    saved: BlockSet,
    /// Blocks saved plainly, to find those saved twice.
    plain: BlockSet,
    /// Store block of each block's first overlay.
    overlays: BTreeMap<u64, u64>,
    forwarders: bool,
    /// An unused descriptor was met.
    ended: bool,
    /// Saved blocks that the bitmaps say nobody needs.
    needless: u64,
}

impl<'c> Lists<'c> {
    pub(super) fn new(
        snapshot: Option<&'c SnapshotEntry>,
        bitmaps: Option<&'c Bitmaps>,
        file: Option<&'c StoreFile<'c>>,
    ) -> Self {
        Lists {
            snapshot,
            bitmaps,
            file,
            saved: BlockSet::default(),
            plain: BlockSet::default(),
            overlays: BTreeMap::new(),
            forwarders: false,
            ended: false,
            needless: 0,
        }
    }

    /// Checks the list that starts at `first`; `false` when some of it could not be read.
    pub(super) fn check(&mut self, first: u64, reader: &mut Reader<'_>, report: &Report) -> bool {
        let mut blocks = first;
        while blocks != 0 {
            // One block at a time, for its descriptors take blocks from the same reader.
            let block = match reader.block(blocks, BlockType::BlockList) {
                Ok(block) => block,
                Err(error) => {
                    report.unreadable(reader.role, &error);
                    return false;
                }
            };
            self.check_block(&block, reader, report);
            blocks = block.header.next;
        }
        if self.needless > 0 {
            let text = format!("{} blocks were saved that the bitmaps say nobody needs", self.needless);
            report.at(reader.role, Structure::BlockList, first).warning(0, text);
        }
        true
    }

    /// The blocks of the original volume that this store has saved.
    pub(super) fn into_saved(self) -> BlockSet {
        self.saved
    }

    fn check_block(&mut self, block: &Block, reader: &mut Reader<'_>, report: &Report) {
        let role = reader.role;
        let place = report.at(role, Structure::BlockList, block.at);
        place.compare(&block.bytes[..HEADER_LEN], &block.header.to_bytes());
        if let Some(file) = self.file {
            file.check(block.at, block.header.relative, (32, 24), place);
        }
        let Ok(list) = BlockList::parse(&block.bytes, block.at) else { return };
        for (index, descriptor) in list.descriptors() {
            let at = block.at + (HEADER_LEN + index * DESCRIPTOR_LEN) as u64;
            let descriptor = match descriptor {
                Ok(Some(descriptor)) => descriptor,
                Ok(None) => {
                    self.ended = true;
                    continue;
                }
                Err(error) => {
                    report.unreadable(role, &error.into());
                    continue;
                }
            };
            report.count(|counts| counts.descriptors += 1);
            if std::mem::take(&mut self.ended) {
                let text = "stands behind an unused descriptor, where a writer would append";
                report.at(role, Structure::Descriptor, at).error(0, text);
            }
            if !descriptor.is_skipped() {
                self.check_descriptor(at, &descriptor, reader, report);
            }
        }
    }

    fn check_descriptor(&mut self, at: u64, descriptor: &Descriptor, reader: &mut Reader<'_>, report: &Report) {
        let role = reader.role;
        let place = report.at(role, Structure::Descriptor, at);
        let size = self.snapshot.map_or(u64::MAX, |snapshot| snapshot.volume_size);
        if descriptor.original >= size {
            place.error(ORIGINAL, format!("original: {:#x} is past the end of the snapshot", descriptor.original));
        }
        if descriptor.sectors != 0 && !descriptor.is_overlay() {
            place.warning(SECTORS, "sectors: only an overlay has any");
        }
        let block = descriptor.original / BLOCK_SIZE;
        if descriptor.is_overlay() {
            return self.check_overlay(at, block, descriptor, reader, report);
        }
        // Full sets only make later checks find less; a full set of taken blocks is reported.
        let _ = self.saved.insert(block);
        if descriptor.is_forwarder() {
            self.forwarders = true;
            return check_forwarder(descriptor, size, place);
        }
        // Behind a forwarder, the same block may rightly be saved a second time.
        if descriptor.flags == 0 && !self.plain.insert(block).unwrap_or(true) && !self.forwarders {
            let text =
                format!("original: {:#x} was saved before, and readers take the later copy", descriptor.original);
            place.error(ORIGINAL, text);
        }
        let scoped = self.snapshot.is_none_or(|snapshot| snapshot.flags & snapshot_flags::ZERO_MARKED != 0);
        // A scoped snapshot marks blocks after it is made, saved ones too.
        if descriptor.flags == 0 && !scoped && self.bitmaps.is_some_and(|bitmaps| bitmaps.not_needed(block)) {
            self.needless += 1;
        }
        self.take(at, descriptor, reader, report);
    }

    /// Later overlays of a block go into the first one's store block.
    fn check_overlay(
        &mut self,
        at: u64,
        block: u64,
        descriptor: &Descriptor,
        reader: &mut Reader<'_>,
        report: &Report,
    ) {
        let earlier = self.overlays.get(&block).copied();
        let place = report.at(reader.role, Structure::Descriptor, at);
        match (earlier, descriptor.relative) {
            (Some(store), 1) if store != descriptor.store => {
                place.error(STORE, format!("store: the earlier overlay of the block is at {store:#x}"));
            }
            (Some(_), 1) => (),
            (None, 1) => place.error(RELATIVE, "relative: means the earlier overlay of the block, and there is none"),
            (earlier, _) => {
                if earlier.is_some() {
                    place.warning(
                        RELATIVE,
                        "relative: a second overlay of a block is expected in the first one's place",
                    );
                }
                if self.overlays.len() < MAX_OVERLAYS {
                    self.overlays.entry(block).or_insert(descriptor.store);
                } else {
                    place.error(FLAGS, format!("flags: more than {MAX_OVERLAYS} overlays"));
                }
                self.take(at, descriptor, reader, report);
            }
        }
    }

    /// The saved block lies on the volume, in the store's file, and is nobody else's.
    fn take(&self, at: u64, descriptor: &Descriptor, reader: &mut Reader<'_>, report: &Report) {
        let role = reader.role;
        if let Err(error) = reader.take(descriptor.store, Structure::Descriptor) {
            let text = error.to_string();
            let reason = text.rsplit_once(": offset ").map_or(text.as_str(), |(_, reason)| reason);
            return report.at(role, Structure::Descriptor, at).error(STORE, format!("store: {reason}"));
        }
        if let Some(file) = self.file {
            let place = report.at(role, Structure::Descriptor, at);
            file.check(descriptor.store, descriptor.relative, (STORE, RELATIVE), place);
        }
    }
}

fn check_forwarder(descriptor: &Descriptor, size: u64, place: Place<'_>) {
    if descriptor.relative >= size {
        place
            .error(RELATIVE, format!("relative: forwards to {:#x}, past the end of the snapshot", descriptor.relative));
    }
    if descriptor.store != 0 {
        place.error(STORE, "store: a forwarder has none; libvshadow fails");
    }
}
