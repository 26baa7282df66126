// SPDX-License-Identifier: MIT OR Apache-2.0
//! The NTFS boot sector and its copy in the last sector, without which libvshadow does not open a volume.

use super::report::Report;
use crate::read::Reader;
use ondisk::SECTOR_LEN;
use vsshost::device::BlockDevice;

pub(super) fn check(reader: &Reader<'_>, report: &Report) {
    let Some(ntfs) = reader.volume.ntfs() else { return };
    let (mut first, mut last) = ([0; SECTOR_LEN], [0; SECTOR_LEN]);
    let copy_at = ntfs.file_system_size();
    let read = reader.volume.read_at(&mut first, 0).and_then(|()| reader.volume.read_at(&mut last, copy_at));
    if read.is_err() || first != last {
        let text = format!("no copy of the boot sector at {copy_at:#x}: libvshadow does not open the volume");
        report.volume_header(reader.role).warning(0, text);
    }
}
