// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Windows-made image: its files, and the bitmaps that Windows wrote (spec section 8).

use std::os::unix::fs::FileExt;
use std::path::Path;

use vsshost::ntfs::{VSS_IDENTIFIER, Volume, file_info, find, free_map, is_ntfs, list_diff_area_files};

use crate::support::{FileDevice, Mount, SVI, can_run, windows_image};

/// Snapshots from the catalogue, in catalogue order: (current bitmap, file reference).
fn catalog(image: &Path) -> Vec<(Vec<u8>, u64)> {
    let file = std::fs::File::open(image).unwrap();
    let block = |offset: u64| {
        let mut bytes = vec![0; 0x4000];
        file.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    };
    let u64_at = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let catalog = block(u64_at(&block(0), 0x1e00 + 48));
    let locations = catalog.chunks(128).skip(1).filter(|entry| entry[0] == 3);
    locations
        .map(|entry| {
            let (mut bitmap, mut next) = (Vec::new(), u64_at(entry, 48));
            while next != 0 {
                let bytes = block(next);
                bitmap.extend_from_slice(&bytes[128..]);
                next = u64_at(&bytes, 40);
            }
            (bitmap, u64_at(entry, 56))
        })
        .collect()
}

#[test]
fn windows_bitmaps_are_reproduced_bit_for_bit() {
    let directory = tempfile::tempdir().unwrap();
    if !can_run(&["vshadowmount"]) {
        return;
    }
    let Some(image) = windows_image(directory.path()) else { return };
    let mount = Mount::new("vshadowmount", &[], &image);
    for (index, (bitmap, _)) in catalog(&image).iter().enumerate() {
        let snapshot = FileDevice::open(&mount.path().join(format!("vss{}", index + 1)));
        let map = free_map(&snapshot).unwrap();
        assert_eq!(map.blocks(), 65536);
        let differences: Vec<u64> = (0..map.blocks())
            .filter(|&block| map.get(block) != (bitmap[block as usize / 8] >> (block % 8) & 1 == 1))
            .collect();
        assert_eq!(differences, [0_u64; 0], "blocks of snapshot {} that differ", index + 1);
    }
}

#[test]
fn files_of_a_windows_volume_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = windows_image(directory.path()) else { return };
    let device = FileDevice::open(&image);
    assert!(is_ntfs(&device).unwrap());
    let volume = Volume::open(&device).unwrap();
    assert_eq!(volume.geometry().volume_size, 1 << 30);
    assert_eq!(volume.geometry().cluster_size, 4096);
    assert!(!volume.is_dirty().unwrap());

    let files = list_diff_area_files(&device).unwrap();
    let catalogue = files.iter().find(|file| file.guid == Some(VSS_IDENTIFIER)).unwrap();
    assert_eq!(catalogue.file.data.data_size, 65536);
    assert_eq!(catalogue.file.data.extents.len(), 1);
    assert_eq!(catalogue.file.data.extents[0].volume_offset, 0x6e3_0000, "catalogue of spec section 15");
    let sizes: Vec<_> =
        files.iter().filter(|file| file.guid != Some(VSS_IDENTIFIER)).map(|file| file.file.data.data_size).collect();
    assert_eq!(sizes, [0x77_4000, 320 << 20]);
    let stores = files.iter().filter(|file| file.guid != Some(VSS_IDENTIFIER));
    for (file, (_, reference)) in stores.zip(catalog(&image)) {
        assert_eq!(file.file.file_reference, reference, "{}", file.name);
        assert_eq!(file.file.data.initialized_size, 0, "stores have no valid data");
        assert_eq!(file_info(&device, reference).unwrap(), file.file);
    }
    let found = find(&device, &[&SVI.to_lowercase(), &files[0].name.to_uppercase()]).unwrap();
    assert_eq!(found, files[0].file, "names are found in any case");
    assert!(find(&device, &["no such file"]).is_err());
}
