// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsstool check`: every invariant of the format.
//!
//! ```text
//! header ─► catalog ─► stack (order, times, pairs) ─► each store, foreign ones first, then from the oldest on:
//!                                                       files ─► ranges ─► store header ─► bitmaps ─► block list
//! ```
//!
//! An error is something that makes a snapshot wrong, or one of the known readers fail. A warning is something that no
//! Windows writes but nobody stumbles over. Blocks that a structure or saved data took are remembered over the whole
//! run: no block may belong to two of them.

mod bitmaps;
mod block_list;
mod boot;
mod catalog;
mod files;
mod header;
mod ranges;
mod report;
mod stack;
mod store;

use crate::Outcome;
use crate::args::ImageArgs;
use crate::read::Reader;
use crate::source::{Role, Source};
use anyhow::{Result, bail};
use bitmaps::Older;
use catalog::Entries;
use files::Files;
use ondisk::{BLOCK_SIZE, VolumeHeader};
use report::Report;
use std::io::Write;
use store::{Position, Stores};

/// Options of `check`.
#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,

    /// Count warnings as problems: exit 1 for them too.
    #[arg(long)]
    strict: bool,
}

/// Runs the verb.
pub(crate) fn run(args: &CheckArgs, out: &mut impl Write) -> Result<Outcome> {
    let source = Source::open(&args.image)?;
    let report = Report::default();
    check(&source, &report)?;
    let name = source.live.image().path().display().to_string();
    if args.json {
        report.write_json(&name, out)?;
    } else {
        report.write_text(&name, out)?;
    }
    let problems = report.errors() > 0 || (args.strict && report.warnings() > 0);
    Ok(if problems { Outcome::Problems } else { Outcome::Clean })
}

/// An error only where the check cannot be done at all; all else goes into the report.
fn check(source: &Source, report: &Report) -> Result<()> {
    let mut live = Reader::new(&source.live, Role::Live);
    boot::check(&live, report);
    let live_header = header::check(&live, report);
    let here = live_header.map(|header| catalog::check(&mut live, &header, report)).unwrap_or_default();

    let Some(volume) = &source.storage else {
        if let Some(header) = live_header.filter(|header| needs_storage(header, &here)) {
            bail!("the diff area is on volume {}; name it with --storage", header.storage);
        }
        if let Some(header) = live_header.filter(|header| header.volume != header.storage) {
            let text = format!("storage: {} is another volume, but the stores are here", header.storage);
            report.volume_header(Role::Live).error(80, text);
        }
        let files = Files::read(&live, live_header.as_ref(), report);
        check_stores(&here, &here, &mut live, &files, report);
        check_maximum(live_header, live.used.len(), report);
        return Ok(());
    };
    let mut storage = Reader::new(volume, Role::Storage);
    boot::check(&storage, report);
    let storage_header = header::check(&storage, report);
    if let (Some(live), Some(storage)) = (live_header, storage_header) {
        header::check_pair(&live, &storage, report);
    }
    let there = storage_header.map(|header| catalog::check(&mut storage, &header, report)).unwrap_or_default();
    Files::read(&live, live_header.as_ref(), report);
    let files = Files::read(&storage, storage_header.as_ref(), report);
    check_stores(&here, &there, &mut storage, &files, report);
    Ok(())
}

/// The header says that the diff area is elsewhere, and so it is.
fn needs_storage(header: &VolumeHeader, here: &Entries) -> bool {
    let has_store = |guid| here.stores.iter().any(|store| store.entry.store == guid);
    header.volume != header.storage && here.snapshots.iter().any(|snapshot| !has_store(snapshot.entry.store))
}

/// Checks the stores that `there` holds, those of the snapshots in `here` in their order.
fn check_stores(here: &Entries, there: &Entries, reader: &mut Reader<'_>, files: &Files, report: &Report) {
    let redirected = reader.role == Role::Storage;
    files.check_left_over(reader.role, &there.stores, report);
    let stack = stack::check(here, there, redirected, report);
    let mut stores = Stores::new(reader, files, report);
    for store in &stack.foreign {
        stores.check(store, None, &Older::default());
    }
    let mut older = Older::default();
    for (index, (snapshot, store)) in stack.own.iter().enumerate() {
        let position = Position { snapshot, oldest: index == 0, newest: index + 1 == stack.own.len() };
        let checked = store.as_ref().map(|store| stores.check(store, Some(&position), &older));
        older = checked.unwrap_or_default();
    }
}

/// Saved data and metadata stay below what the volume header allows.
fn check_maximum(header: Option<VolumeHeader>, used_blocks: u64, report: &Report) {
    let Some(header) = header.filter(|header| header.maximum != 0) else { return };
    let used = used_blocks.saturating_mul(BLOCK_SIZE);
    if used > header.maximum {
        let text = format!("maximum: {used} bytes of diff area are in use, {} are allowed", header.maximum);
        report.volume_header(Role::Live).warning(0x38, text);
    }
}
