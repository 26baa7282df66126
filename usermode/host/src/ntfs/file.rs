// SPDX-License-Identifier: MIT OR Apache-2.0
//! File records, and the runs of their streams, attribute lists included.
//!
//! The `ntfs` crate parses records, attributes, attribute lists and run lists. It does not say the initialized size,
//! and it joins the parts of a fragmented attribute by their instance numbers, which are unique only within one
//! record; here parts are joined by type, name and first cluster, and must be gapless.

use ntfs::attribute_value::NtfsAttributeValue;
use ntfs::structured_values::NtfsAttributeList;
use ntfs::{Ntfs, NtfsAttribute, NtfsAttributeFlags, NtfsAttributeType, NtfsFile, NtfsFileFlags};

use super::boot::Geometry;
use super::error::{Error, Result, damaged};
use super::extent::{Extent, push_merged};
use super::fixup::{apply_fixup, le64};
use super::view::{View, guarded};
use super::volume::Volume;

const RECORD_MASK: u64 = (1 << 48) - 1;
/// NTFS limits an attribute list to 256 KiB; an entry has at least 32 bytes.
const MAX_LIST_ENTRIES: usize = 0x4_0000 / 32;
/// More runs than that fit into no attribute list.
const MAX_RUNS: usize = 1 << 22;

/// Which record is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKey {
    /// The record of this number, whatever file it now holds (system files).
    Record(u64),
    /// A file reference: 48-bit record number, 16-bit sequence number in the top bits. A sequence of 0 fits any.
    Reference(u64),
}

/// One stream of a file. Sizes are bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stream {
    /// End of file.
    pub data_size: u64,
    /// Bytes allocated, a multiple of the cluster size; 0 when resident.
    pub allocated_size: u64,
    /// Valid data length: what lies beyond reads as zeros.
    pub initialized_size: u64,
    /// Runs in file order, on the volume, holes left out. Empty when resident.
    pub extents: Vec<Extent>,
    /// The content, where it lies in the record itself.
    pub resident: Option<Vec<u8>>,
    /// Sparse, compressed or encrypted: the bytes of the runs are not the bytes of the file.
    pub transformed: bool,
}

/// A file record with its unnamed `$DATA` stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// 48-bit record number, 16-bit sequence number in the top bits.
    pub file_reference: u64,
    /// It has a directory index.
    pub directory: bool,
    /// The unnamed `$DATA`; default (empty) for directories.
    pub data: Stream,
}

/// What one attribute record says about (its part of) a stream.
struct Part {
    lowest_vcn: u64,
    data_size: u64,
    allocated_size: u64,
    initialized_size: u64,
    resident: Option<Vec<u8>>,
    /// (position on the volume or `None` for a hole, bytes), in order.
    runs: Vec<(Option<u64>, u64)>,
    transformed: bool,
}

pub(super) fn load(volume: &Volume<'_>, key: FileKey) -> Result<FileInfo> {
    let (number, sequence) = match key {
        FileKey::Record(number) => (number, 0),
        FileKey::Reference(reference) => (reference & RECORD_MASK, (reference >> 48) as u16),
    };
    let mut view = volume.view();
    let file = record(volume, &mut view, number)?;
    let gone = || Error::NotFound(format!("file record {number}, sequence {sequence}"));
    let (flags, actual) = guarded("file record", || Ok((file.flags(), file.sequence_number())))?;
    if !flags.contains(NtfsFileFlags::IN_USE) || (sequence != 0 && sequence != actual) {
        return Err(gone());
    }
    let directory = flags.contains(NtfsFileFlags::IS_DIRECTORY);
    let data = if directory {
        Stream::default()
    } else {
        stream_of(volume, &mut view, &file, NtfsAttributeType::Data, "")?.ok_or_else(gone)?
    };
    Ok(FileInfo { file_reference: number | u64::from(actual) << 48, directory, data })
}

/// A stream of the file of record `number`, `None` where it has none of that type and name.
pub(super) fn stream(volume: &Volume<'_>, number: u64, ty: NtfsAttributeType, name: &str) -> Result<Option<Stream>> {
    let mut view = volume.view();
    let file = record(volume, &mut view, number)?;
    stream_of(volume, &mut view, &file, ty, name)
}

fn record<'v>(volume: &'v Volume<'_>, view: &mut View<'_>, number: u64) -> Result<NtfsFile<'v>> {
    if number >= volume.record_count() {
        return Err(Error::NotFound(format!("file record {number} of {}", volume.record_count())));
    }
    view.run(&format!("file record {number}"), |view| volume.ntfs.file(view, number))
}

fn stream_of(
    volume: &Volume<'_>,
    view: &mut View<'_>,
    file: &NtfsFile<'_>,
    ty: NtfsAttributeType,
    name: &str,
) -> Result<Option<Stream>> {
    let mut parts = parts_in(view, volume.geometry(), file, ty, name, None)?;
    for (number, instance) in list_entries(view, file, ty, name)? {
        let extension = record(volume, view, number)?;
        parts.extend(parts_in(view, volume.geometry(), &extension, ty, name, Some(instance))?);
    }
    if parts.is_empty() { Ok(None) } else { join(parts, volume.geometry(), file.file_record_number()).map(Some) }
}

/// The runs of the MFT that record 0 itself lists.
pub(super) fn first_mft_runs(ntfs: &Ntfs, view: &mut View<'_>, geometry: &Geometry) -> Result<Vec<Extent>> {
    let file = view.run("MFT", |view| ntfs.file(view, 0))?;
    let mut parts = parts_in(view, geometry, &file, NtfsAttributeType::Data, "", None)?;
    parts.retain(|part| part.lowest_vcn == 0);
    mft_extents(parts, 0, geometry)
}

/// Follows the attribute list of the MFT. Each part may lie in a record that only the part before made readable, so
/// the view grows as the list is walked.
pub(super) fn complete_mft(ntfs: &Ntfs, view: &mut View<'_>, geometry: &Geometry) -> Result<()> {
    let file = view.run("MFT", |view| ntfs.file(view, 0))?;
    for (number, instance) in list_entries(view, &file, NtfsAttributeType::Data, "")? {
        let covered = view.mft.as_ref().map_or(0, |mft| mft.length());
        if number >= covered / geometry.file_record_size {
            return Err(damaged("MFT", format!("attribute list names record {number} before the runs that hold it")));
        }
        let extension = view.run("MFT extension record", |view| ntfs.file(view, number))?;
        let parts = parts_in(view, geometry, &extension, NtfsAttributeType::Data, "", Some(instance))?;
        for run in mft_extents(parts, covered, geometry)? {
            if let Some(mft) = &mut view.mft {
                mft.push(run);
            }
        }
    }
    Ok(())
}

/// Runs of MFT parts that continue the file at `covered`, without holes.
fn mft_extents(parts: Vec<Part>, covered: u64, geometry: &Geometry) -> Result<Vec<Extent>> {
    let mut extents = Vec::new();
    let mut next = covered;
    for part in parts {
        if part.lowest_vcn.checked_mul(geometry.cluster_size) != Some(next) {
            return Err(damaged("MFT", format!("part at cluster {} where byte {next} was due", part.lowest_vcn)));
        }
        for (position, length) in part.runs {
            let volume_offset = position.ok_or_else(|| damaged("MFT", "has a hole"))?;
            if volume_offset.checked_add(length).is_none_or(|end| end > geometry.cluster_bytes()) {
                return Err(damaged("MFT", format!("run of {length} bytes at {volume_offset:#x} leaves the volume")));
            }
            push_merged(&mut extents, Extent { volume_offset, file_offset: next, length });
            next += length;
        }
    }
    Ok(extents)
}

/// Attribute list entries of the stream that point to other records: (record number, instance), in list order.
fn list_entries(
    view: &mut View<'_>,
    file: &NtfsFile<'_>,
    ty: NtfsAttributeType,
    name: &str,
) -> Result<Vec<(u64, u16)>> {
    let own = file.file_record_number();
    view.run(&format!("attribute list of file record {own}"), |view| {
        let mut found = Vec::new();
        for attribute in file.attributes_raw() {
            let attribute = attribute?;
            if !matches!(attribute.ty(), Ok(NtfsAttributeType::AttributeList)) {
                continue;
            }
            let mut entries = attribute.structured_value::<_, NtfsAttributeList>(view)?.entries();
            // A list longer than NTFS allows ends at the limit; the sum of the runs then shows that parts are missing.
            for _ in 0..MAX_LIST_ENTRIES {
                let Some(entry) = entries.next(view) else { break };
                let entry = entry?;
                let number = entry.base_file_reference().file_record_number();
                if number != own && matches!(entry.ty(), Ok(found) if found == ty) && entry.name() == name {
                    found.push((number, entry.instance()));
                }
            }
        }
        Ok(found)
    })
}

/// All attributes of `file`'s own record that have this type and name (and instance, if one is asked for).
fn parts_in(
    view: &mut View<'_>,
    geometry: &Geometry,
    file: &NtfsFile<'_>,
    ty: NtfsAttributeType,
    name: &str,
    instance: Option<u16>,
) -> Result<Vec<Part>> {
    let what = format!("file record {}", file.file_record_number());
    let raw = raw_record(view, geometry, file, &what)?;
    view.run(&what, |view| {
        let mut parts = Vec::new();
        for attribute in file.attributes_raw() {
            let attribute = attribute?;
            let wanted = matches!(attribute.ty(), Ok(found) if found == ty)
                && attribute.name()? == name
                && instance.is_none_or(|instance| instance == attribute.instance());
            if wanted {
                parts.push(part(view, file, &attribute, &raw)?);
            }
        }
        Ok(parts)
    })?
    .into_iter()
    .map(|part| part.ok_or_else(|| damaged(&what, "attribute header outside the record")))
    .collect()
}

/// The record's bytes, protection undone: the crate keeps its own copy to itself.
fn raw_record(view: &mut View<'_>, geometry: &Geometry, file: &NtfsFile<'_>, what: &str) -> Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut raw = vec![0; geometry.file_record_size as usize];
    let position = file.position().value().map_or(0, u64::from);
    view.run(what, |view| {
        view.seek(SeekFrom::Start(position))?;
        Ok(view.read_exact(&mut raw)?)
    })?;
    apply_fixup(&mut raw, b"FILE").map_err(|detail| damaged(what, detail))?;
    Ok(raw)
}

/// Reads one attribute. Non-resident header (published NTFS layouts): +0x10 lowest VCN, +0x28 allocated, +0x30 data,
/// +0x38 initialized size; the sizes count only in the part with VCN 0. `None` where the header is cut off.
fn part(
    view: &mut View<'_>,
    file: &NtfsFile<'_>,
    attribute: &NtfsAttribute<'_, '_>,
    raw: &[u8],
) -> std::result::Result<Option<Part>, ntfs::NtfsError> {
    let base = file.position().value().map_or(0, u64::from);
    let start = attribute.position().value().map_or(0, u64::from).saturating_sub(base) as usize;
    let field = |offset: usize| le64(raw, start.saturating_add(offset));
    let transforms = NtfsAttributeFlags::COMPRESSED | NtfsAttributeFlags::ENCRYPTED | NtfsAttributeFlags::SPARSE;
    let transformed = attribute.flags().intersects(transforms);
    match attribute.value(view)? {
        NtfsAttributeValue::Resident(value) => Ok(Some(Part {
            lowest_vcn: 0,
            data_size: value.len(),
            allocated_size: 0,
            initialized_size: value.len(),
            resident: Some(value.data().to_vec()),
            runs: Vec::new(),
            transformed,
        })),
        NtfsAttributeValue::NonResident(value) => {
            let mut runs = Vec::new();
            for run in value.data_runs() {
                let run = run?;
                runs.push((run.data_position().value().map(u64::from), run.allocated_size()));
            }
            let fields = field(0x10).zip(field(0x28)).zip(field(0x30).zip(field(0x38)));
            Ok(fields.map(|((lowest_vcn, allocated_size), (data_size, initialized_size))| Part {
                lowest_vcn,
                data_size,
                allocated_size,
                initialized_size,
                resident: None,
                runs,
                transformed,
            }))
        }
        // Only `NtfsFile::attributes` makes this kind; `attributes_raw` does not.
        NtfsAttributeValue::AttributeListNonResident(_) => Ok(None),
    }
}

/// Joins the parts of one stream: by first cluster, gapless, inside the volume, adding up to the allocated size.
fn join(mut parts: Vec<Part>, geometry: &Geometry, number: u64) -> Result<Stream> {
    let what = || format!("file record {number}");
    parts.sort_by_key(|part| part.lowest_vcn);
    let mut stream = Stream { transformed: parts.iter().any(|part| part.transformed), ..Stream::default() };
    let mut covered: u64 = 0;
    for (index, part) in parts.into_iter().enumerate() {
        if index == 0 {
            stream.data_size = part.data_size;
            stream.allocated_size = part.allocated_size;
            stream.initialized_size = part.initialized_size;
            stream.resident = part.resident;
        } else if stream.resident.is_some() || part.resident.is_some() {
            return Err(damaged(what(), "a stream both inside and outside the record"));
        }
        if part.lowest_vcn.checked_mul(geometry.cluster_size) != Some(covered) {
            return Err(damaged(
                what(),
                format!("a part starts at cluster {}, byte {covered} was due", part.lowest_vcn),
            ));
        }
        for (position, length) in part.runs {
            if let Some(volume_offset) = position {
                if volume_offset.checked_add(length).is_none_or(|end| end > geometry.cluster_bytes()) {
                    return Err(damaged(
                        what(),
                        format!("run of {length} bytes at {volume_offset:#x} leaves the volume"),
                    ));
                }
                push_merged(&mut stream.extents, Extent { volume_offset, file_offset: covered, length });
                if stream.extents.len() > MAX_RUNS {
                    return Err(Error::Unsupported { what: what(), detail: format!("more than {MAX_RUNS} runs") });
                }
            }
            covered = covered.checked_add(length).ok_or_else(|| damaged(what(), "runs of impossible length"))?;
        }
    }
    if covered != stream.allocated_size && stream.resident.is_none() {
        let detail = format!("runs of {covered} bytes, allocated size {}", stream.allocated_size);
        return Err(damaged(what(), detail));
    }
    let fits = stream.resident.is_some() || stream.transformed || stream.data_size <= covered;
    if !fits {
        return Err(damaged(what(), format!("{} bytes of data in {covered} allocated", stream.data_size)));
    }
    Ok(stream)
}
