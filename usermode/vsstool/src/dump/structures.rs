// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each structure of the format as a record.

use super::record::{Fields, Record, Value};
use crate::read::ReadError;
use crate::show;
use crate::source::Role;
use Value::{Bits, Number, Offset, Text};
use ondisk::{
    BITS_PER_BITMAP_BLOCK, BitmapBlock, BlockHeader, BlockList, CatalogEntry, Descriptor, FormatError, Range,
    RangeList, StoreHeader, Structure, VOLUME_HEADER_OFFSET, VolumeHeader, application_name, bitmap as bits, context,
};

fn record(role: Role, structure: Structure, at: u64, fields: Fields) -> Record {
    let role = Text(role.to_string());
    let heading = vec![("structure", Text(structure.to_string())), ("on", role), ("offset", Offset(at))];
    Record { heading, fields, row_name: "", rows: Vec::new() }
}

/// The volume has no header.
pub(super) fn no_volume_header(role: Role) -> Record {
    let fields = vec![("state", Text("none: the volume never had shadow copies".to_owned()))];
    record(role, Structure::VolumeHeader, VOLUME_HEADER_OFFSET, fields)
}

/// A structure that could not be read.
pub(super) fn failure(role: Role, error: &ReadError) -> Record {
    record(role, error.structure(), error.offset(), vec![("error", Value::Error(error.to_string()))])
}

pub(super) fn volume_header(role: Role, header: &VolumeHeader) -> Record {
    let fields = vec![
        ("version", Number(header.version.into())),
        ("catalog", Offset(header.catalog)),
        ("maximum", Number(header.maximum)),
        ("volume", Text(header.volume.to_string())),
        ("storage", Text(header.storage.to_string())),
        ("application flags", Offset(header.application_flags)),
        ("free space pre-copy", Number(header.free_space_precopy)),
        ("hot blocks pre-copy", Number(header.hot_blocks_precopy)),
        ("hot blocks days", Number(header.hot_blocks_days.into())),
        ("protection", Offset(header.protection.into())),
    ];
    record(role, Structure::VolumeHeader, VOLUME_HEADER_OFFSET, fields)
}

/// The header of any block.
pub(super) fn block(role: Role, header: &BlockHeader) -> Record {
    let fields = vec![("relative", Offset(header.relative)), ("next", Offset(header.next))];
    record(role, header.kind.structure(), header.current, fields)
}

pub(super) fn catalog_entry(role: Role, index: usize, at: u64, entry: &CatalogEntry) -> Record {
    let mut fields = vec![("index", Number(index as u64))];
    match entry {
        CatalogEntry::Unused => fields.push(("type", Text("unused".to_owned()))),
        CatalogEntry::Free => fields.push(("type", Text("free".to_owned()))),
        CatalogEntry::Unknown(kind) => fields.push(("type", Text(format!("unknown ({kind})")))),
        CatalogEntry::Snapshot(entry) => fields.extend([
            ("type", Text("snapshot".to_owned())),
            ("store", Text(entry.store.to_string())),
            ("volume size", Number(entry.volume_size)),
            ("sequence", Number(entry.sequence)),
            ("flags", Bits(entry.flags, show::snapshot_flags(entry.flags))),
            ("created", Text(show::time(entry.created))),
            ("unknown 56", Offset(entry.unknown_56.into())),
        ]),
        CatalogEntry::Store(entry) => fields.extend([
            ("type", Text("store".to_owned())),
            ("store", Text(entry.store.to_string())),
            ("block list", Offset(entry.block_list)),
            ("store header", Offset(entry.header)),
            ("range list", Offset(entry.ranges)),
            ("bitmap", Offset(entry.bitmap)),
            ("file reference", Offset(entry.file_reference)),
            ("allocated", Number(entry.allocated)),
            ("previous bitmap", Offset(entry.previous_bitmap)),
            ("older online", Number(entry.older_online)),
        ]),
    }
    record(role, Structure::CatalogEntry, at, fields)
}

pub(super) fn store_header(role: Role, store: &StoreHeader) -> Record {
    let mut record = block(role, &store.header);
    let info = &store.info;
    let named = |name: Option<&str>| name.unwrap_or("unknown").to_owned();
    record.fields.extend([
        ("info size", Number(store.header.info_size)),
        ("application", Text(format!("{} ({})", info.application, named(application_name(info.application))))),
        ("shadow copy", Text(info.snapshot.to_string())),
        ("shadow copy set", Text(info.set.to_string())),
        ("context", Bits(info.context.into(), named(context::name(info.context)))),
        ("set count", Number(info.set_count.into())),
        ("attributes", Bits(info.attributes.into(), show::attributes(info.attributes))),
        ("originating machine", Text(info.originating.to_string())),
        ("service machine", Text(info.service.to_string())),
    ]);
    record
}

pub(super) fn block_list(role: Role, list: &BlockList<'_>) -> Record {
    let rows = list.descriptors().filter_map(|(index, read)| {
        let read = read.transpose()?;
        Some(row(index, read.map(|descriptor| descriptor_fields(&descriptor))))
    });
    Record { row_name: "descriptors", rows: rows.collect(), ..block(role, &list.header()) }
}

fn descriptor_fields(descriptor: &Descriptor) -> Fields {
    vec![
        ("original", Offset(descriptor.original)),
        ("relative", Offset(descriptor.relative)),
        ("store", Offset(descriptor.store)),
        ("flags", Bits(descriptor.flags.into(), show::descriptor_flags(descriptor.flags))),
        ("sectors", Offset(descriptor.sectors.into())),
    ]
}

pub(super) fn range_list(role: Role, list: &RangeList<'_>) -> Record {
    let fields = |range: Range| {
        vec![("volume", Offset(range.volume)), ("relative", Offset(range.relative)), ("length", Offset(range.length))]
    };
    let rows = list.ranges().map(|(index, read)| row(index, read.map(fields)));
    Record { row_name: "ranges", rows: rows.collect(), ..block(role, &list.header()) }
}

fn row(index: usize, read: Result<Fields, FormatError>) -> Fields {
    let fields = read.unwrap_or_else(|error| vec![("error", Value::Error(error.to_string()))]);
    [("index", Number(index as u64))].into_iter().chain(fields).collect()
}

/// A bitmap block; the rows are the runs of set bits, numbered from the start of the volume.
pub(super) fn bitmap(role: Role, which: &str, first_bit: u64, block: &BitmapBlock<'_>) -> Record {
    let mut record = self::block(role, &block.header());
    let set = |bit: &u64| bits::get(block.payload(), *bit);
    let mut rows = Vec::new();
    let mut bit = 0;
    while let Some(start) = (bit..BITS_PER_BITMAP_BLOCK).find(set) {
        let end = (start..BITS_PER_BITMAP_BLOCK).find(|bit| !set(bit)).unwrap_or(BITS_PER_BITMAP_BLOCK);
        rows.push(vec![("block", Number(first_bit + start)), ("count", Number(end - start))]);
        bit = end;
    }
    record.fields.extend([("which", Text(which.to_owned())), ("first block", Number(first_bit))]);
    Record { row_name: "runs", rows, ..record }
}
