// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the volume in an image: the whole of it, a partition, or an offset that somebody knows.

use super::{Image, ImageError, NtfsBootSector, Selector};
use layout::{Kind, Layout, Partition, Reader, read_layout};
use std::fmt::Write;
use std::io;

/// Where a volume lies in its image, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// First byte.
    pub offset: u64,
    /// Bytes that the volume has: by its boot sector where it is NTFS, cut to what is there; else all of the room.
    pub size: u64,
    /// Its boot sector, where it is NTFS.
    pub ntfs: Option<NtfsBootSector>,
}

impl Place {
    /// A volume that starts at `offset` and has room for `room` bytes.
    fn new(image: &Image, offset: u64, room: u64) -> Result<Self, ImageError> {
        let ntfs = boot_sector(image, offset, room)?;
        let size = ntfs.map_or(room, |ntfs| ntfs.volume_size().min(room));
        Ok(Self { offset, size, ntfs })
    }
}

pub(super) fn locate(image: &Image, selector: Selector) -> Result<Place, ImageError> {
    match selector {
        Selector::Offset(offset) => at_offset(image, offset),
        Selector::Partition(number) => {
            let table = Table::read(image)?;
            let partition = table.layout.partitions.iter().find(|partition| partition.number == number);
            let partition = partition.ok_or_else(|| ImageError::NoSuchPartition {
                path: image.path().to_owned(),
                number,
                places: table.describe(),
            })?;
            Place::new(image, partition.offset, partition.length)
        }
        Selector::Auto => automatic(image),
    }
}

fn at_offset(image: &Image, offset: u64) -> Result<Place, ImageError> {
    let reason = match image.size().checked_sub(offset) {
        None | Some(0) => "is not in the image",
        Some(_) if !offset.is_multiple_of(512) => "is not on a sector boundary",
        Some(room) => return Place::new(image, offset, room),
    };
    Err(ImageError::BadOffset { path: image.path().to_owned(), offset, reason, size: image.size() })
}

fn automatic(image: &Image) -> Result<Place, ImageError> {
    let whole = Place::new(image, 0, image.size())?;
    if whole.ntfs.is_some() {
        return Ok(whole);
    }
    let table = Table::read(image)?;
    let mut found = table.layout.partitions.iter().zip(&table.contents).filter(|(_, ntfs)| ntfs.is_some());
    let reason = match (found.next(), found.next()) {
        (Some((only, _)), None) => return Place::new(image, only.offset, only.length),
        (Some(_), Some(_)) => "several NTFS volumes; choose one with --partition N:",
        (None, _) if table.layout.partitions.is_empty() => {
            "no NTFS volume at the start, and no partitions; --offset BYTES says where a volume starts."
        }
        (None, _) => "no NTFS volume in any partition; choose one with --partition N:",
    };
    Err(ImageError::Ambiguous { path: image.path().to_owned(), reason, places: table.describe() })
}

/// A partition table, and the NTFS boot sectors found in its partitions.
struct Table {
    layout: Layout,
    contents: Vec<Option<NtfsBootSector>>,
}

impl Table {
    /// Reads the table. A device knows its sector size. An image file does not, so both sizes are tried: 512 first,
    /// and 4096 when that one shows NTFS volumes, or partitions at all, and 512 does not.
    fn read(image: &Image) -> Result<Self, ImageError> {
        if let Some(size) = image.device_sector_size() {
            return Self::read_with(image, size);
        }
        let small = Self::read_with(image, 512);
        if small.as_ref().is_ok_and(|table| table.score() == Score::Ntfs) {
            return small;
        }
        match (small, Self::read_with(image, 4096)) {
            (Err(_), Ok(large)) => Ok(large),
            (Ok(small), Ok(large)) if large.score() > small.score() => Ok(large),
            (small, _) => small,
        }
    }

    fn read_with(image: &Image, sector_size: u32) -> Result<Self, ImageError> {
        let sectors = image.size() / u64::from(sector_size);
        if sectors == 0 {
            let reason = format!("{} bytes are less than a sector", image.size());
            return Err(ImageError::Table { path: image.path().to_owned(), reason });
        }
        let layout = read_layout(Sectors(image), sector_size, sectors)
            .map_err(|error| ImageError::Table { path: image.path().to_owned(), reason: error.to_string() })?;
        let content = |partition: &Partition| boot_sector(image, partition.offset, partition.length);
        let contents = layout.partitions.iter().map(content).collect::<Result<_, _>>()?;
        Ok(Self { layout, contents })
    }

    fn score(&self) -> Score {
        match self.contents.iter().any(Option::is_some) {
            true => Score::Ntfs,
            false if self.layout.partitions.is_empty() => Score::Nothing,
            false => Score::Partitions,
        }
    }

    /// The partitions, one a line, for an error text.
    fn describe(&self) -> String {
        if self.layout.partitions.is_empty() {
            return match self.layout.kind {
                Kind::None => "  (no partition table)".to_owned(),
                kind => format!("  ({kind} partition table without partitions)"),
            };
        }
        let mut text = format!("  {:>3} {:>16} {:>16}  content  type", "N", "offset", "bytes");
        for (partition, ntfs) in self.layout.partitions.iter().zip(&self.contents) {
            let content = if ntfs.is_some() { "NTFS" } else { "-" };
            let Partition { number, offset, length, kind, name, .. } = partition;
            let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
            // Writing into a String cannot fail.
            let _ = write!(text, "\n  {number:>3} {offset:>16} {length:>16}  {content:<7}  {kind}{name}");
        }
        text
    }
}

/// How much a reading of the table makes sense.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Score {
    Nothing,
    Partitions,
    Ntfs,
}

struct Sectors<'a>(&'a Image);

impl Reader for Sectors<'_> {
    type Error = io::Error;

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, lba * buf.len() as u64)
    }
}

fn boot_sector(image: &Image, offset: u64, room: u64) -> Result<Option<NtfsBootSector>, ImageError> {
    let mut sector = [0; NtfsBootSector::LENGTH];
    if room < sector.len() as u64 {
        return Ok(None);
    }
    let failed = |source| ImageError::Io { path: image.path().to_owned(), doing: "read a boot sector", source };
    image.read_exact_at(&mut sector, offset).map_err(failed)?;
    Ok(NtfsBootSector::parse(&sector))
}
