// SPDX-License-Identifier: MIT OR Apache-2.0
//! ntfs-3g on the served file: what it writes arrives in the image, whole.

use crate::fixture::{MIB, Scratch, eventually, run_ok};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use vsshost::device::BlockDevice;
use vsshost::fuse::{MountError, Tree};
use vsshost::image::{Access, NtfsBootSector};

/// ntfs-3g's mount, off again at the end even when the test fails.
struct Ntfs3g<'a>(&'a Path);

impl<'a> Ntfs3g<'a> {
    fn mount(volume: &Path, mountpoint: &'a Path, options: &str) -> Option<Self> {
        fs::create_dir_all(mountpoint).expect("a mount point");
        run_ok("ntfs-3g", &["-o", options], &[volume, mountpoint]).map(|_| Self(mountpoint))
    }
}

impl Drop for Ntfs3g<'_> {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(), "{}", self.0.display());
    }
}

/// Files of many sizes with content that depends on name and place.
fn write_files(folder: &Path) {
    for (index, size) in [0, 1, 700, 4096, 65_537, 1_000_000, 9_999_999].into_iter().enumerate() {
        let mut file = File::create(folder.join(format!("Datei ß {index}.bin"))).expect("created");
        file.write_all(&content(index, size)).and_then(|()| file.sync_all()).expect("written");
    }
    fs::create_dir(folder.join("folder")).expect("created");
    for index in 0..200 {
        fs::write(folder.join(format!("folder/{index}")), content(index, index * 37)).expect("written");
    }
}

fn content(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at.wrapping_mul(31) ^ (at >> 9) ^ seed) as u8).collect()
}

fn check_files(folder: &Path) {
    for (index, size) in [0, 1, 700, 4096, 65_537, 1_000_000, 9_999_999].into_iter().enumerate() {
        let read = fs::read(folder.join(format!("Datei ß {index}.bin"))).expect("readable");
        assert!(read == content(index, size), "file {index} differs");
    }
    for index in 0..200 {
        assert!(fs::read(folder.join(format!("folder/{index}"))).expect("readable") == content(index, index * 37));
    }
}

#[test]
fn ntfs3g_writes_through_the_file() {
    for cluster in ["512", "4096", "65536"] {
        let Some(scratch) = Scratch::new(64 * MIB) else { return };
        let image = scratch.image();
        if run_ok("mkntfs", &["-q", "-F", "-f", "-c", cluster], &[&image]).is_none() {
            return;
        }
        let volume = scratch.volume(Access::ReadWrite);
        let tree = Tree::new();
        tree.add("live", volume.clone()).expect("added");
        let mut session = scratch.mount(&tree);
        let (live, inside) = (scratch.file("live"), scratch.path("inside"));

        let Some(ntfs) = Ntfs3g::mount(&live, &inside, "big_writes") else { return };
        write_files(&inside);
        check_files(&inside);
        let open = tree.open_files();
        assert!(open.iter().any(|file| file.writable && file.name == "live"), "ntfs-3g has it open: {open:?}");
        let Err(MountError::Busy { open, .. }) = session.unmount() else { panic!("unmounted under ntfs-3g") };
        assert!(!open.is_empty());
        drop(ntfs);
        eventually("ntfs-3g has closed the file", || tree.open_files().is_empty());

        // A clean volume, and the same one through the file and in the image.
        let report = run_ok("ntfsfix", &["-n"], &[&live]).expect("it comes with ntfs-3g");
        assert!(report.contains("processed successfully"), "{report}");
        let mut through = Vec::new();
        File::open(&live).and_then(|mut file| file.read_to_end(&mut through)).expect("readable");
        assert!(through == fs::read(&image).expect("readable"), "file and image differ");
        let boot = NtfsBootSector::parse(&through).expect("an NTFS volume");
        assert!(boot.volume_size() <= volume.size());

        // From the image alone, without us.
        session.unmount().expect("nobody uses it");
        drop((session, tree, volume));
        let _ntfs = Ntfs3g::mount(&image, &inside, "ro").expect("it mounted before");
        check_files(&inside);
    }
}

#[test]
fn ntfs3g_mounts_a_read_only_file_read_only() {
    let Some(scratch) = Scratch::new(32 * MIB) else { return };
    if run_ok("mkntfs", &["-q", "-F", "-f"], &[&scratch.image()]).is_none() {
        return;
    }
    let inside = scratch.path("inside");
    let Some(ntfs) = Ntfs3g::mount(&scratch.image(), &inside, "big_writes") else { return };
    write_files(&inside);
    drop(ntfs);

    // ntfs-3g closes the image a moment after umount has returned.
    let tree = Tree::new();
    let spec = vsshost::image::VolumeSpec::new(scratch.image(), vsshost::image::Selector::Auto);
    eventually("ntfs-3g is gone", || vsshost::image::Volume::open(&spec, Access::ReadOnly).is_ok());
    tree.add("snapshot", scratch.volume(Access::ReadOnly)).expect("added");
    let _session = scratch.mount(&tree);
    for options in ["ro", "norecover"] {
        let _ntfs = Ntfs3g::mount(&scratch.file("snapshot"), &inside, options).expect("it mounts");
        check_files(&inside);
        assert!(fs::write(inside.join("new"), "x").is_err(), "{options}");
    }
}
