// SPDX-License-Identifier: MIT OR Apache-2.0
//! Store files on volumes that nobody has mounted.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use vsshost::ntfs::{
    BLOCK_SIZE, Error, NtfsStore, StoreAllocator, StoreFile, VSS_IDENTIFIER, Volume, free_clusters,
    list_diff_area_files, store_file_name,
};

use crate::support::{CLUSTER_SIZES, Mount, NTFS_PROGRAMS, SVI, TestVolume, assert_usable, can_run, pattern, text};

const FIRST: [u8; 16] = [0x11; 16];
const SECOND: [u8; 16] = [0x22; 16];

fn store(volume: &TestVolume) -> NtfsStore {
    NtfsStore::unmounted(volume.device(), volume.path()).unwrap()
}

fn path(guid: &[u8; 16]) -> String {
    format!("{SVI}/{}", store_file_name(guid))
}

/// What `ntfsinfo` says agrees with what was returned.
fn assert_witnessed(volume: &TestVolume, file: &StoreFile) {
    let witness = volume.witness(&path(&file.guid));
    assert_eq!(witness.data_size, file.size);
    assert_eq!(witness.initialized_size, 0, "nothing of the file is valid data");
    assert_eq!(witness.record, file.file_reference & 0xffff_ffff_ffff);
    assert!(file.file_reference >> 48 > 0);
    assert_eq!(witness.attributes, "HIDDEN SYSTEM ARCHIVE (0x00000026)");
    assert_usable(file, &witness.extents);
}

fn assert_nothing_left(volume: &TestVolume, guids: &[[u8; 16]]) {
    let files = list_diff_area_files(&*volume.device()).unwrap();
    assert_eq!(files.iter().filter_map(|file| file.guid).collect::<Vec<_>>().len(), guids.len(), "{files:?}");
    let mount = volume.mount();
    let names: Vec<_> = fs::read_dir(mount.path().join(SVI)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), guids.len(), "no temporary file is left: {names:?}");
    drop(mount);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(volume.path().to_str().unwrap()), "no private mount is left");
}

#[test]
fn files_are_as_windows_has_them() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in CLUSTER_SIZES {
        let volume = TestVolume::new(cluster_size, 128 << 20);
        let store = store(&volume);
        let catalog = store.catalog().unwrap();
        assert_eq!((catalog.guid, catalog.size, catalog.extents.len()), (VSS_IDENTIFIER, 65536, 1));
        assert_eq!(catalog.extents[0].length, 65536);
        assert_witnessed(&volume, &catalog);
        let first = store.create(&FIRST, 32 << 20).unwrap();
        assert_eq!((first.size, first.usable()), (32 << 20, 32 << 20), "an empty volume has room in one piece");
        assert_witnessed(&volume, &first);

        assert_eq!(store.catalog().unwrap(), catalog, "made once");
        assert_eq!(store.lookup(&FIRST).unwrap(), first);
        assert!(matches!(store.create(&FIRST, 1 << 20), Err(Error::Exists(_))));
        assert!(matches!(store.lookup(&SECOND), Err(Error::NotFound(_))));
        assert!(matches!(store.grow(&SECOND, 1 << 20), Err(Error::NotFound(_))));
        assert!(matches!(store.delete(&SECOND), Err(Error::NotFound(_))));
        assert_nothing_left(&volume, &[VSS_IDENTIFIER, FIRST]);
        assert_security(&volume);
        volume.assert_sound();
    }
}

/// Owner, group, attributes and descriptors, spec section 1.1.
fn assert_security(volume: &TestVolume) {
    let audit = |path: &str| {
        let output = Command::new("ntfssecaudit").arg(volume.path()).arg(path).output().unwrap();
        text(&output)
    };
    for (path, attributes) in [(SVI.to_owned(), "0x16"), (path(&FIRST), "0x26"), (path(&VSS_IDENTIFIER), "0x26")] {
        let said = audit(&path);
        assert!(said.contains("Windows owner S-1-5-32-544") && said.contains("Windows group S-1-5-18"), "{said}");
        assert!(said.contains(&format!("Windows attrib : {attributes}")), "{said}");
    }
    // One ACE each: length, rights and SID as Windows writes them.
    let mount = volume.mount();
    let descriptor = |path: &str| {
        let mut bytes = [0; 256];
        let length = rustix::fs::getxattr(mount.path().join(path), "system.ntfs_acl", &mut bytes[..]).unwrap();
        let dacl = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
        assert_eq!(u16::from_le_bytes(bytes[dacl + 4..dacl + 6].try_into().unwrap()), 1, "one ACE");
        let ace = dacl + 8;
        let size = u16::from_le_bytes(bytes[ace + 2..ace + 4].try_into().unwrap()) as usize;
        assert!(ace + size <= length);
        bytes[ace..ace + size].to_vec()
    };
    let system = [0, 0, 20, 0, 0xff, 1, 0x1f, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    assert_eq!(descriptor(SVI), system);
    let administrators = [0, 0, 24, 0, 0, 0, 1, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];
    assert_eq!(descriptor(&path(&FIRST)), administrators);
}

#[test]
fn growing_and_cutting_touch_no_block_that_stays() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in CLUSTER_SIZES {
        let volume = TestVolume::new(cluster_size, 128 << 20);
        volume.fragment(60, |index| 300_000 + 1000 * index);
        let store = store(&volume);
        let (_, free) = free_clusters(&*volume.device()).unwrap();
        let first = store.create(&FIRST, 3 << 20).unwrap();
        let second = store.create(&SECOND, 1 << 20).unwrap();
        for (file, seed) in [(&first, 1), (&second, 2)] {
            file.extents.iter().for_each(|extent| volume.write(extent, pattern(seed)));
        }
        let grown = store.grow(&FIRST, 20 << 20).unwrap();
        assert_eq!(grown.size, 20 << 20);
        assert_eq!(grown.file_reference, first.file_reference);
        assert_witnessed(&volume, &grown);
        assert_eq!(store.grow(&FIRST, 5 << 20).unwrap(), grown, "no smaller");
        assert_content(&volume, &first, 1, u64::MAX);

        grown.extents.iter().for_each(|extent| volume.write(extent, pattern(3)));
        let used = 7 * BLOCK_SIZE * 5;
        let cut = store.truncate(&FIRST, used).unwrap();
        assert_eq!(cut.size, used);
        assert_witnessed(&volume, &cut);
        assert_eq!(store.truncate(&FIRST, 1 << 20).unwrap(), cut, "no bigger");
        assert_content(&volume, &cut, 3, used);
        let again = store.grow(&FIRST, 6 << 20).unwrap();
        assert_witnessed(&volume, &again);
        assert_content(&volume, &cut, 3, used);
        assert_content(&volume, &second, 2, u64::MAX);

        store.delete(&FIRST).unwrap();
        assert_nothing_left(&volume, &[SECOND]);
        store.delete(&SECOND).unwrap();
        let (_, after) = free_clusters(&*volume.device()).unwrap();
        assert!(free - after < 65536 + 2 * cluster_size, "all space came back but the directory's: {free} {after}");
        volume.assert_sound();
    }
}

fn assert_content(volume: &TestVolume, file: &StoreFile, seed: u8, end: u64) {
    let expected = pattern(seed);
    for extent in file.extents.iter().filter(|extent| extent.file_end() <= end) {
        let bytes = volume.read(extent.volume_offset, extent.length);
        let wrong = (0..extent.length).find(|&at| bytes[at as usize] != expected(extent.file_offset + at));
        assert_eq!(wrong, None, "in {extent:x?}");
    }
}

#[test]
fn fragmented_free_space_gives_placed_files() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in CLUSTER_SIZES {
        // Full but for holes of 100 to 300 KB, none aligned on purpose.
        let volume = TestVolume::new(cluster_size, 64 << 20);
        volume.fill_up(|index| 100_000 + index * 7919 % 200_000);
        let store = store(&volume);
        let catalog = store.catalog().unwrap();
        assert_witnessed(&volume, &catalog);
        let file = store.create(&FIRST, 8 << 20).unwrap();
        let witness = volume.witness(&path(&FIRST));
        assert!(witness.extents.len() > 4, "as fragmented as it can be: {} runs", witness.extents.len());
        assert_witnessed(&volume, &file);
        let grown = store.grow(&FIRST, 14 << 20).unwrap();
        assert_witnessed(&volume, &grown);
        println!(
            "clusters of {cluster_size}: {} runs, {} of {} bytes usable",
            volume.witness(&path(&FIRST)).extents.len(),
            grown.usable(),
            grown.size
        );
        assert!(grown.usable() > grown.size / 2);
        assert_nothing_left(&volume, &[VSS_IDENTIFIER, FIRST]);
        volume.assert_sound();
    }
}

#[test]
fn dust_is_refused_and_nothing_remains() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    // Holes of 12 KiB only: room enough, but no place for 64 KiB.
    let volume = TestVolume::new(4096, 24 << 20);
    volume.fill_up(|_| 12_000);
    let (_, free) = free_clusters(&*volume.device()).unwrap();
    let result = store(&volume).create(&FIRST, 1 << 20);
    assert!(matches!(result, Err(Error::Alignment { .. } | Error::NoSpace { .. })), "{result:?}");
    assert_nothing_left(&volume, &[]);
    let (_, after) = free_clusters(&*volume.device()).unwrap();
    assert!(free - after < 0x2_0000, "{free} {after}");
    volume.assert_sound();
}

#[test]
fn a_full_volume_says_so() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in CLUSTER_SIZES {
        let volume = TestVolume::new(cluster_size, 32 << 20);
        let store = store(&volume);
        let result = store.create(&FIRST, 64 << 20);
        assert!(matches!(result, Err(Error::NoSpace { needed: 0x400_0000, free, .. }) if free > 1 << 20), "{result:?}");
        let first = store.create(&FIRST, 4 << 20).unwrap();
        first.extents.iter().for_each(|extent| volume.write(extent, pattern(9)));
        assert!(matches!(store.grow(&FIRST, 64 << 20), Err(Error::NoSpace { .. })));
        assert_eq!(store.lookup(&FIRST).unwrap(), first, "as it was");
        // The last free cluster.
        let (_, free) = free_clusters(&*volume.device()).unwrap();
        let most = (first.size + free) / BLOCK_SIZE * BLOCK_SIZE;
        let full = store.grow(&FIRST, most).unwrap();
        assert_eq!(full.size, most);
        assert_content(&volume, &first, 9, u64::MAX);
        volume.assert_sound();
    }
}

#[test]
fn volumes_of_others_are_not_touched() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let volume = TestVolume::new(4096, 32 << 20);
    let store = store(&volume);
    {
        let mount = volume.mount();
        assert!(matches!(store.catalog(), Err(Error::InUse(_))));
        let mut image = vec![0; 8192];
        image[..4].copy_from_slice(b"hibr");
        fs::write(mount.path().join("hiberfil.sys"), image).unwrap();
    }
    let before = fs::read(volume.path()).unwrap();
    let error = store.create(&FIRST, 1 << 20).unwrap_err();
    assert!(matches!(error, Error::NotClean { .. }) && error.to_string().contains("hibernated"), "{error}");
    assert!(fs::read(volume.path()).unwrap() == before, "not one byte written");

    drop(Mount::new("ntfs-3g", &["-o", "remove_hiberfile"], &volume.path()));
    set_dirty(&volume);
    assert!(Volume::open(&*volume.device()).unwrap().is_dirty().unwrap());
    let before = fs::read(volume.path()).unwrap();
    let error = store.create(&FIRST, 1 << 20).unwrap_err();
    assert!(matches!(error, Error::NotClean { .. }) && error.to_string().contains("dirty"), "{error}");
    assert!(fs::read(volume.path()).unwrap() == before, "not one byte written");
}

#[test]
fn the_volume_may_be_a_file_of_a_fuse_server() {
    // As the host serves it: ntfs-3g writes to a FUSE file, we read what is below.
    if !can_run(&NTFS_PROGRAMS) || !can_run(&["nbdfuse", "nbdkit"]) {
        return;
    }
    let volume = TestVolume::new(4096, 64 << 20);
    let image = volume.path();
    let served = Mount::start("nbdfuse", |place| {
        let place = place.to_str().unwrap().to_owned();
        [&place, "--command", "nbdkit", "-s", "file", image.to_str().unwrap()].map(String::from).to_vec()
    });
    let store = NtfsStore::unmounted(volume.device(), served.path().join("nbd")).unwrap();
    let catalog = store.catalog().unwrap();
    let file = store.create(&FIRST, 8 << 20).unwrap();
    file.extents.iter().for_each(|extent| volume.write(extent, pattern(7)));
    let grown = store.grow(&FIRST, 20 << 20).unwrap();
    drop(served);
    assert_witnessed(&volume, &catalog);
    assert_witnessed(&volume, &grown);
    assert_content(&volume, &file, 7, u64::MAX);
    volume.assert_sound();
}

/// Sets the dirty flag in `$VOLUME_INFORMATION` (record 3, attribute 0x70, value +0xa).
fn set_dirty(volume: &TestVolume) {
    let boot = volume.read(0, 512);
    let mft = u64::from_le_bytes(boot[0x30..0x38].try_into().unwrap()) * volume.cluster_size;
    let record = volume.read(mft + 3 * 1024, 1024);
    let mut at = u16::from_le_bytes([record[0x14], record[0x15]]) as usize;
    while record[at] != 0x70 {
        at += u32::from_le_bytes(record[at + 4..at + 8].try_into().unwrap()) as usize;
    }
    let value = at + u16::from_le_bytes([record[at + 0x14], record[at + 0x15]]) as usize;
    let file = fs::OpenOptions::new().write(true).open(volume.path()).unwrap();
    file.write_all_at(&[1], mft + 3 * 1024 + value as u64 + 0xa).unwrap();
}
