// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsstool info`: the snapshots of a volume, as a person wants to know them.

use crate::Outcome;
use crate::args::ImageArgs;
use crate::catalog::{Catalog, paired};
use crate::read::{ReadError, Reader};
use crate::show;
use crate::source::{Role, Source};
use anyhow::Result;
use ondisk::{BLOCK_SIZE, BlockList, BlockType, SnapshotEntry, StoreEntry, StoreHeader, VolumeHeader};
use ondisk::{application_name, context};
use serde::Serialize;
use std::io::Write;

/// Options of `info`.
#[derive(clap::Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Everything that `info` says. Sizes and offsets are bytes.
#[derive(Serialize)]
struct Info {
    image: String,
    offset: u64,
    size: u64,
    /// `None`: the volume never had shadow copies.
    shadow_copies: Option<Shadow>,
    /// What could not be read.
    errors: Vec<String>,
}

#[derive(Serialize)]
struct Shadow {
    volume: String,
    storage: String,
    /// The diff area is on another volume.
    redirected: bool,
    /// 0 = no bound.
    maximum: u64,
    catalog: u64,
    /// From the oldest on.
    snapshots: Vec<Snapshot>,
    /// Stores on this volume that belong to snapshots of other volumes.
    foreign_stores: Vec<String>,
}

#[derive(Serialize)]
struct Snapshot {
    /// From 1, the oldest.
    number: usize,
    sequence: u64,
    created: String,
    size: u64,
    flags: u64,
    flag_names: String,
    store: String,
    /// `None`: the store was not found or not looked for.
    diff_area: Option<DiffArea>,
}

#[derive(Serialize)]
struct DiffArea {
    header: u64,
    /// Saved blocks in bytes.
    saved: u64,
    /// `None`: the store header could not be read.
    copy: Option<Copy>,
}

#[derive(Serialize)]
struct Copy {
    id: String,
    set: String,
    set_count: u32,
    kind: String,
    context: u32,
    context_name: Option<&'static str>,
    attributes: u32,
    attribute_names: String,
    originating_machine: String,
    service_machine: String,
}

/// Runs the verb.
pub(crate) fn run(args: &InfoArgs, out: &mut impl Write) -> Result<Outcome> {
    let source = Source::open(&args.image)?;
    let info = gather(&source);
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &info)?;
        writeln!(out)?;
    } else {
        print(&info, out)?;
    }
    Ok(if info.errors.is_empty() { Outcome::Clean } else { Outcome::Problems })
}

fn gather(source: &Source) -> Info {
    let mut failures = Vec::new();
    let mut live = Reader::new(&source.live, Role::Live);
    let mut storage = source.storage.as_ref().map(|volume| Reader::new(volume, Role::Storage));
    let shadow_copies = match live.volume_header() {
        Ok(header) => header.map(|header| shadow(&header, &mut live, storage.as_mut(), &mut failures)),
        Err(error) => {
            failures.push(error);
            None
        }
    };
    Info {
        image: source.live.image().path().display().to_string(),
        offset: source.live.offset(),
        size: live.size(),
        shadow_copies,
        errors: failures.iter().map(ToString::to_string).collect(),
    }
}

fn shadow<'r, 'v>(
    header: &VolumeHeader,
    live: &'r mut Reader<'v>,
    mut storage: Option<&'r mut Reader<'v>>,
    failures: &mut Vec<ReadError>,
) -> Shadow {
    let here = Catalog::read(live, header, failures);
    let there = storage.as_deref_mut().map(|reader| match reader.volume_header() {
        Ok(header) => header.map(|header| Catalog::read(reader, &header, failures)).unwrap_or_default(),
        Err(error) => {
            failures.push(error);
            Catalog::default()
        }
    });
    let pairs = paired(&here, there.as_ref());
    let foreign = |store: &&StoreEntry| !here.snapshots.iter().any(|snapshot| snapshot.store == store.store);
    let foreign_stores = here.stores.iter().filter(foreign).map(|store| store.store.to_string()).collect();

    let reader = storage.unwrap_or(live);
    let snapshots = pairs.iter().zip(1..).map(|((entry, store), number)| {
        let diff_area = store.map(|store| diff_area(&store, reader, failures));
        snapshot(number, entry, diff_area)
    });
    Shadow {
        volume: header.volume.to_string(),
        storage: header.storage.to_string(),
        redirected: header.volume != header.storage,
        maximum: header.maximum,
        catalog: header.catalog,
        snapshots: snapshots.collect(),
        foreign_stores,
    }
}

fn snapshot(number: usize, entry: &SnapshotEntry, diff_area: Option<DiffArea>) -> Snapshot {
    Snapshot {
        number,
        sequence: entry.sequence,
        created: show::time(entry.created),
        size: entry.volume_size,
        flags: entry.flags,
        flag_names: show::snapshot_flags(entry.flags),
        store: entry.store.to_string(),
        diff_area,
    }
}

fn diff_area(store: &StoreEntry, reader: &mut Reader<'_>, failures: &mut Vec<ReadError>) -> DiffArea {
    let mut keep = |error: ReadError| failures.push(error);
    let header = reader.block(store.header, BlockType::StoreHeader);
    let header = header.and_then(|block| Ok(StoreHeader::parse(&block.bytes, block.at)?));
    let copy = header.map(|header| copy(&header)).map_err(&mut keep).ok();
    let mut saved = 0;
    for block in reader.chain(store.block_list, BlockType::BlockList) {
        let counted = block.and_then(|block| saved_in(&BlockList::parse(&block.bytes, block.at)?));
        saved += counted.map_err(&mut keep).unwrap_or(0);
    }
    DiffArea { header: store.header, saved: saved * BLOCK_SIZE, copy }
}

/// Blocks of the store that the descriptors of one block of the list name.
fn saved_in(list: &BlockList<'_>) -> Result<u64, ReadError> {
    let mut saved = 0;
    for (_, descriptor) in list.descriptors() {
        let Some(descriptor) = descriptor? else { continue };
        // A later overlay of a block goes into the first one's store block, and says so by 1.
        let again = descriptor.is_overlay() && descriptor.relative == 1;
        saved += u64::from(!descriptor.is_skipped() && !descriptor.is_forwarder() && !again);
    }
    Ok(saved)
}

fn copy(header: &StoreHeader) -> Copy {
    let info = &header.info;
    Copy {
        id: info.snapshot.to_string(),
        set: info.set.to_string(),
        set_count: info.set_count,
        kind: application_name(info.application).map_or_else(|| info.application.to_string(), str::to_owned),
        context: info.context,
        context_name: context::name(info.context),
        attributes: info.attributes,
        attribute_names: show::attributes(info.attributes),
        originating_machine: info.originating.to_string(),
        service_machine: info.service.to_string(),
    }
}

fn print(info: &Info, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{}: volume of {} bytes at byte {}", info.image, info.size, info.offset)?;
    match &info.shadow_copies {
        Some(shadow) => print_shadow(shadow, out)?,
        None if info.errors.is_empty() => writeln!(out, "no shadow copies, and never had any")?,
        None => (),
    }
    for error in &info.errors {
        writeln!(out, "error: {error}")?;
    }
    Ok(())
}

fn print_shadow(shadow: &Shadow, out: &mut impl Write) -> Result<()> {
    let mut line = |label: &str, text: &str| writeln!(out, "  {label:<20} {text}");
    line("volume", &shadow.volume)?;
    line("diff area", if shadow.redirected { &shadow.storage } else { "on this volume" })?;
    let maximum = if shadow.maximum == 0 { "unbounded".to_owned() } else { format!("{} bytes", shadow.maximum) };
    line("maximum", &maximum)?;
    line("catalog", &format!("{:#x}", shadow.catalog))?;
    for store in &shadow.foreign_stores {
        line("store of another", store)?;
    }
    line("snapshots", &shadow.snapshots.len().to_string())?;
    for snapshot in &shadow.snapshots {
        print_snapshot(snapshot, shadow.redirected, out)?;
    }
    Ok(())
}

fn print_snapshot(snapshot: &Snapshot, redirected: bool, out: &mut impl Write) -> Result<()> {
    writeln!(out, "\nsnapshot {}", snapshot.number)?;
    let mut line = |label: &str, text: &str| writeln!(out, "  {label:<20} {text}");
    line("created", &snapshot.created)?;
    line("volume size", &format!("{} bytes", snapshot.size))?;
    line("sequence", &snapshot.sequence.to_string())?;
    line("flags", &format!("{:#x} ({})", snapshot.flags, snapshot.flag_names))?;
    line("store", &snapshot.store)?;
    let Some(area) = &snapshot.diff_area else {
        let hint = if redirected { "on another volume; name it with --storage" } else { "not found in the catalog" };
        return Ok(line("diff area", hint)?);
    };
    line("store header", &format!("{:#x}", area.header))?;
    line("saved", &format!("{} bytes in {} blocks", area.saved, area.saved / BLOCK_SIZE))?;
    let Some(copy) = &area.copy else { return Ok(()) };
    line("shadow copy", &copy.id)?;
    line("shadow copy set", &format!("{} ({} in it)", copy.set, copy.set_count))?;
    line("kind", &copy.kind)?;
    line("context", &format!("{:#x} ({})", copy.context, copy.context_name.unwrap_or("unknown")))?;
    line("attributes", &format!("{:#x} ({})", copy.attributes, copy.attribute_names))?;
    line("originating machine", &printable(&copy.originating_machine))?;
    Ok(line("service machine", &printable(&copy.service_machine))?)
}

/// Names come from the image: what would move the cursor or colour the terminal is shown escaped.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_unicode().collect() } else { vec![c] }).collect()
}
