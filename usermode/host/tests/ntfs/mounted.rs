// SPDX-License-Identifier: MIT OR Apache-2.0
//! Store files on a volume that ntfs-3g has mounted.

use std::fs;

use vsshost::ntfs::{Error, NtfsStore, StoreAllocator, StoreFile, VSS_IDENTIFIER, free_clusters, store_file_name};

use crate::support::{CLUSTER_SIZES, Mount, NTFS_PROGRAMS, SVI, TestVolume, assert_usable, can_run, pattern};

const FIRST: [u8; 16] = [0x33; 16];
const SECOND: [u8; 16] = [0x44; 16];

fn store(volume: &TestVolume, mount: &Mount) -> NtfsStore {
    NtfsStore::mounted(volume.device(), mount.path().to_owned()).unwrap()
}

fn assert_content(volume: &TestVolume, file: &StoreFile, seed: u8, end: u64) {
    let expected = pattern(seed);
    for extent in file.extents.iter().filter(|extent| extent.file_end() <= end) {
        let bytes = volume.read(extent.volume_offset, extent.length);
        assert!((0..extent.length).all(|at| bytes[at as usize] == expected(extent.file_offset + at)), "{extent:x?}");
    }
}

#[test]
fn files_are_made_grown_cut_and_deleted_through_the_mount() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in CLUSTER_SIZES {
        let volume = TestVolume::new(cluster_size, 128 << 20);
        volume.fragment(60, |index| 300_000 + 1000 * index);
        let (first, grown, catalog);
        {
            let mount = volume.mount();
            let store = store(&volume, &mount);
            catalog = store.catalog().unwrap();
            assert_eq!((catalog.size, catalog.extents.len(), catalog.usable()), (65536, 1, 65536));
            assert_eq!(store.catalog().unwrap(), catalog);
            first = store.create(&FIRST, 3 << 20).unwrap();
            first.extents.iter().for_each(|extent| volume.write(extent, pattern(5)));
            // Files of the owner come and go meanwhile.
            fs::write(mount.path().join("while mounted"), vec![7; 3_000_000]).unwrap();
            let second = store.create(&SECOND, 1 << 20).unwrap();
            second.extents.iter().for_each(|extent| volume.write(extent, pattern(6)));
            grown = store.grow(&FIRST, 20 << 20).unwrap();
            assert_eq!((grown.size, grown.file_reference), (20 << 20, first.file_reference));
            assert_content(&volume, &first, 5, u64::MAX);
            let cut = store.truncate(&SECOND, 0x4_0000).unwrap();
            assert_eq!(cut.size, 0x4_0000);
            assert_content(&volume, &cut, 6, u64::MAX);
            assert!(matches!(store.create(&FIRST, 1), Err(Error::Exists(_))));
            store.delete(&SECOND).unwrap();
            assert!(matches!(store.lookup(&SECOND), Err(Error::NotFound(_))));
            assert!(matches!(store.delete(&SECOND), Err(Error::NotFound(_))));
            assert_eq!(store.lookup(&FIRST).unwrap(), grown);
            let names: Vec<_> =
                fs::read_dir(mount.path().join(SVI)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names.len(), 2, "no temporary file is left: {names:?}");
        }
        for file in [&catalog, &grown] {
            let witness = volume.witness(&format!("{SVI}/{}", store_file_name(&file.guid)));
            assert_eq!((witness.data_size, witness.initialized_size), (file.size, file.size));
            assert_eq!(witness.attributes, "HIDDEN SYSTEM ARCHIVE (0x00000026)");
            assert_usable(file, &witness.extents);
        }
        assert_content(&volume, &first, 5, u64::MAX);
        volume.assert_sound();
    }
}

#[test]
fn fragmented_free_space_gives_placed_files() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in CLUSTER_SIZES {
        let volume = TestVolume::new(cluster_size, 64 << 20);
        volume.fill_up(|index| 100_000 + index * 7919 % 200_000);
        let mount = volume.mount();
        let store = store(&volume, &mount);
        let catalog = store.catalog().unwrap();
        assert_eq!((catalog.guid, catalog.usable()), (VSS_IDENTIFIER, 65536));
        let file = store.create(&FIRST, 8 << 20).unwrap();
        assert!(
            file.extents.len() > 4 && file.usable() > file.size / 2,
            "{} runs, {}",
            file.extents.len(),
            file.usable()
        );
        drop(mount);
        assert_usable(&file, &volume.witness(&format!("{SVI}/{}", store_file_name(&FIRST))).extents);
        volume.assert_sound();
    }
}

#[test]
fn a_full_volume_says_so_and_keeps_what_it_has() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let volume = TestVolume::new(4096, 32 << 20);
    let mount = volume.mount();
    let store = store(&volume, &mount);
    assert!(matches!(store.create(&FIRST, 64 << 20), Err(Error::NoSpace { .. })));
    let first = store.create(&FIRST, 4 << 20).unwrap();
    first.extents.iter().for_each(|extent| volume.write(extent, pattern(8)));
    assert!(matches!(store.grow(&FIRST, 64 << 20), Err(Error::NoSpace { .. })));
    assert_eq!(store.lookup(&FIRST).unwrap(), first);
    let (_, free) = free_clusters(&*volume.device()).unwrap();
    let full = store.grow(&FIRST, (first.size + free) & !0x3fff).unwrap();
    assert!(full.usable() > first.usable());
    assert_content(&volume, &first, 8, u64::MAX);
}

#[test]
fn a_store_without_valid_data_is_not_overwritten() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let volume = TestVolume::new(4096, 64 << 20);
    let made = NtfsStore::unmounted(volume.device(), volume.path()).unwrap().create(&FIRST, 2 << 20).unwrap();
    made.extents.iter().for_each(|extent| volume.write(extent, pattern(4)));
    let mount = volume.mount();
    let store = store(&volume, &mount);
    assert!(matches!(store.grow(&FIRST, 4 << 20), Err(Error::GrowWouldZero { valid: 0, size: 0x20_0000, .. })));
    assert_eq!(store.lookup(&FIRST).unwrap(), made);
    let cut = store.truncate(&FIRST, 1 << 20).unwrap();
    assert_content(&volume, &cut, 4, u64::MAX);
    // With a device that drops such writes it is allowed; this one does not, and shows what would have happened.
    let grown = store.shielded([0; 16]).grow(&FIRST, 4 << 20).unwrap();
    assert_eq!((grown.size, grown.extents[0].volume_offset), (4 << 20, made.extents[0].volume_offset));
    assert_eq!(volume.read(cut.extents[0].volume_offset, 512), [0; 512]);
}

#[test]
fn the_mount_of_another_volume_is_refused() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let volume = TestVolume::new(4096, 16 << 20);
    // mkntfs derives the serial number from the second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let other = TestVolume::new(4096, 16 << 20);
    let refused = |mount: &Mount| match NtfsStore::mounted(volume.device(), mount.path().to_owned()) {
        Err(Error::OtherVolume { detail, .. }) => detail,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("taken for the same volume"),
    };
    assert!(refused(&other.mount()).contains("serial number"));
    // A clone has the same serial number; only a file that appears on the one but not on the other tells.
    fs::copy(volume.path(), other.path()).unwrap();
    let mount = other.mount();
    assert!(refused(&mount).contains("a file made there"));
    assert_eq!(fs::read_dir(mount.path().join(SVI)).unwrap().count(), 0, "the probe is gone");
    let no_mount = tempfile::tempdir().unwrap();
    assert!(matches!(NtfsStore::mounted(volume.device(), no_mount.path().to_owned()), Err(Error::OtherVolume { .. })));
    assert_eq!(fs::read_dir(no_mount.path()).unwrap().count(), 0, "nothing is made in a directory that is no mount");
}
