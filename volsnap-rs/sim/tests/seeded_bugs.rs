// SPDX-License-Identifier: MIT OR Apache-2.0
//! The simulator can fail: every bug that can be switched on is found.

use sim::{Bug, run};

/// Within this many seeds.
const SEEDS: u64 = 400;

fn find(bug: Bug) {
    // A bug may end in a panic, of the engine or of the simulator; that is a finding, and its text is in the violation.
    let found = (1..=SEEDS).find_map(|seed| run(seed, Some(bug), false).err());
    match found {
        Some(violation) => println!("{}: {violation}", bug.name()),
        None => panic!("{} not found in {SEEDS} seeds", bug.name()),
    }
}

#[test]
fn descriptor_before_data_is_found() {
    find(Bug::DescriptorBeforeData);
}

#[test]
fn missed_flush_is_found() {
    find(Bug::MissedFlush);
}

#[test]
fn durable_write_that_is_not_durable_is_found() {
    find(Bug::DurableNotDurable);
}

#[test]
fn ignored_previous_bitmap_is_found() {
    find(Bug::PreviousBitmapIgnored);
}

#[test]
fn activation_with_a_write_in_flight_is_found() {
    find(Bug::ActivationNotAtomic);
}

#[test]
fn release_before_the_descriptor_is_found() {
    find(Bug::ReleaseBeforeDescriptor);
}

#[test]
fn merge_that_drops_blocks_is_found() {
    find(Bug::MergeDropsBlocks);
}

#[test]
fn catalog_entry_before_the_bitmaps_is_found() {
    find(Bug::CatalogBeforeBitmaps);
}

#[test]
fn hole_that_is_not_mended_is_found() {
    find(Bug::HoleNotMended);
}

#[test]
fn index_after_release_is_found() {
    find(Bug::IndexAfterRelease);
}
