// SPDX-License-Identifier: MIT OR Apache-2.0
//! An NTFS volume opened for looking things up.

use ntfs::Ntfs;
use ntfs::structured_values::NtfsVolumeFlags;

use super::boot::Geometry;
use super::error::{Error, Result, damaged};
use super::file::{self, FileInfo, FileKey};
use super::view::{LinearMft, View};
use crate::device::BlockDevice;

/// Bytes that one look-up may read through the crate. A file of the most fragments that an attribute list (256 KiB)
/// can name needs about a quarter.
const LOOKUP_BUDGET: u64 = 64 << 20;

/// An open volume: its sizes, and the runs of its MFT as they were when it was opened.
///
/// Nothing else is cached; each look-up reads the device. Open it anew when the MFT may have grown.
pub struct Volume<'d> {
    pub(super) device: &'d dyn BlockDevice,
    geometry: Geometry,
    pub(super) ntfs: Ntfs,
    mft: LinearMft,
}

impl<'d> Volume<'d> {
    /// Reads the boot sector and the runs of the MFT.
    pub fn open(device: &'d dyn BlockDevice) -> Result<Self> {
        let geometry = Geometry::read(device)?;
        let mut view = View::new(device, None, LOOKUP_BUDGET);
        let plain = view.run("boot sector", Ntfs::new)?;
        let first = file::first_mft_runs(&plain, &mut view, &geometry)?;
        let mft = LinearMft::new(device.size(), geometry.cluster_size, geometry.file_record_size, first)
            .ok_or_else(|| damaged("boot sector", "sizes out of range"))?;
        view.mft = Some(mft);
        let ntfs = view.run("boot sector", Ntfs::new)?;
        file::complete_mft(&ntfs, &mut view, &geometry)?;
        let mft = view.mft.take().ok_or_else(|| damaged("MFT", "no runs"))?;
        Ok(Self { device, geometry, ntfs, mft })
    }

    /// The sizes from the boot sector.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Whether the volume asks for a check (`chkdsk`): flag 1 of `$VOLUME_INFORMATION`.
    pub fn is_dirty(&self) -> Result<bool> {
        let info = self.view().run("$Volume", |view| self.ntfs.volume_info(view))?;
        Ok(info.flags().contains(NtfsVolumeFlags::IS_DIRTY))
    }

    /// The file of this record; checks the sequence number if the key has one. [`Error::NotFound`] for a record that
    /// is not in use or has been reused.
    pub fn file(&self, key: FileKey) -> Result<FileInfo> {
        file::load(self, key)
    }

    /// A view with a full budget.
    pub(super) fn view(&self) -> View<'d> {
        View::new(self.device, Some(self.mft.clone()), LOOKUP_BUDGET)
    }

    /// Records that the MFT has room for.
    pub(super) fn record_count(&self) -> u64 {
        self.mft.length() / self.geometry.file_record_size
    }

    pub(super) fn read(&self, what: &'static str, buf: &mut [u8], offset: u64) -> Result<()> {
        self.device.read_at(buf, offset).map_err(|source| Error::Device { what, offset, source })
    }
}

/// Looks up one file by reference: [`Volume::open`] and [`Volume::file`] in one call.
pub fn file_info(device: &dyn BlockDevice, file_reference: u64) -> Result<FileInfo> {
    Volume::open(device)?.file(FileKey::Reference(file_reference))
}
