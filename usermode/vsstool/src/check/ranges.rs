// SPDX-License-Identifier: MIT OR Apache-2.0
//! A store's range list: the room from which the driver allocates.

use super::files::StoreFile;
use super::report::Report;
use crate::block_set::BlockSet;
use crate::read::Reader;
use ondisk::{BLOCK_SIZE, BlockType, HEADER_LEN, RANGE_LEN, Range, RangeList, Structure};

/// Checks the list that starts at `first`. `newest`: the store still receives copies.
pub(super) fn check(first: u64, newest: bool, file: Option<&StoreFile<'_>>, reader: &mut Reader<'_>, report: &Report) {
    let role = reader.role;
    let mut ranges: Vec<(u64, Range)> = Vec::new();
    let mut own = BlockSet::default();
    for block in reader.chain(first, BlockType::RangeList) {
        let block = match block {
            Ok(block) => block,
            Err(error) => return report.unreadable(role, &error),
        };
        // Cannot be full: the reader keeps the same blocks in a set of the same size.
        let _ = own.insert(block.at / BLOCK_SIZE);
        if let Some(file) = file {
            let place = report.at(role, Structure::RangeList, block.at);
            file.check(block.at, block.header.relative, (32, 24), place);
        }
        let Ok(list) = RangeList::parse(&block.bytes, block.at) else { continue };
        let mut written = block.header.to_bytes().to_vec();
        for (index, range) in list.ranges() {
            match range {
                Ok(range) => {
                    ranges.push((block.at + (HEADER_LEN + index * RANGE_LEN) as u64, range));
                    written.extend_from_slice(&range.to_bytes());
                }
                Err(error) => return report.unreadable(role, &error.into()),
            }
        }
        written.resize(block.bytes.len(), 0);
        report.at(role, Structure::RangeList, block.at).compare(&block.bytes, &written);
    }
    report.count(|counts| counts.ranges += ranges.len() as u64);
    check_places(&ranges, reader, report);
    if newest {
        check_free(&ranges, &own, reader, report);
        if let Some(file) = file {
            check_in_file(&ranges, file, reader, report);
        }
    }
}

/// Ranges lie on the volume, and no two share a block there or in the file.
fn check_places(ranges: &[(u64, Range)], reader: &Reader<'_>, report: &Report) {
    for (at, range) in ranges {
        if range.volume + range.length > reader.size() {
            let text = format!("{:#x} bytes at {:#x}: past the end of the volume", range.length, range.volume);
            report.at(reader.role, Structure::Range, *at).error(0, text);
        }
    }
    check_apart(ranges, "on the volume", |range| range.volume, reader, report);
    check_apart(ranges, "in the file", |range| range.relative, reader, report);
}

fn check_apart(
    ranges: &[(u64, Range)],
    space: &str,
    start: impl Fn(&Range) -> u64,
    reader: &Reader<'_>,
    report: &Report,
) {
    let mut sorted: Vec<_> = ranges.iter().collect();
    sorted.sort_by_key(|(_, range)| start(range));
    for pair in sorted.windows(2) {
        let [(before_at, before), (at, range)] = pair else { continue };
        if start(before) + before.length > start(range) {
            let text = format!("begins at {:#x} {space}, within another range", start(range));
            let place = report.at(reader.role, Structure::Range, *at);
            // A store that was cut and has grown again has a list block for each growth, and still lists what it had:
            // Windows does not rewrite the list either.
            if before_at / BLOCK_SIZE == at / BLOCK_SIZE { place.error(0, text) } else { place.warning(0, text) }
        }
    }
}

/// What the newest store may allocate is in its file.
fn check_in_file(ranges: &[(u64, Range)], file: &StoreFile<'_>, reader: &Reader<'_>, report: &Report) {
    for (at, range) in ranges {
        let place = report.at(reader.role, Structure::Range, *at);
        match file.locate(range.volume, range.length) {
            None => {
                place.error(0, format!("{:#x} bytes at {:#x} are not in the store's file", range.length, range.volume))
            }
            Some(actual) if actual != range.relative => {
                place.error(8, format!("relative: {:#x}, in the file the range lies at {actual:#x}", range.relative));
            }
            Some(_) => (),
        }
    }
}

/// What the newest store may allocate belongs to nothing else. Of older stores this cannot be asked: Windows cuts
/// their files short and leaves their range lists as they are.
///
/// Has to be called before the store's own blocks are taken, but for the list itself.
fn check_free(ranges: &[(u64, Range)], own: &BlockSet, reader: &Reader<'_>, report: &Report) {
    for (at, range) in ranges {
        let blocks = range.volume / BLOCK_SIZE..(range.volume + range.length) / BLOCK_SIZE;
        if let Some(block) = reader.used.within(blocks).find(|block| !own.contains(*block)) {
            let text =
                format!("block {:#x} belongs to something else, and the next copies may go there", block * BLOCK_SIZE);
            report.at(reader.role, Structure::Range, *at).error(0, text);
        }
    }
}
