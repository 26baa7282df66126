// SPDX-License-Identifier: MIT OR Apache-2.0
//! Partition tables from a disk that may answer anything.

use core::hint::black_box;

use layout::{Error, Layout, Reader, read_layout};

/// Why a sector of the probe's disk could not be read.
pub struct Unreadable;

/// Reads the layout of a disk and looks at all of it.
#[unsafe(no_mangle)]
pub fn probe_layout(
    disk: &mut dyn Reader<Error = Unreadable>,
    sector_size: u32,
    sectors: u64,
) -> Result<Layout, Error<Unreadable>> {
    let layout = read_layout(disk, sector_size, sectors)?;
    for partition in &layout.partitions {
        black_box((partition.kind.may_be_ntfs(), partition.kind.description(), partition.name.is_empty()));
        black_box(partition.name.units().fold(0, |sum: u16, unit| sum ^ unit));
    }
    Ok(layout)
}
