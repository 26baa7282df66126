// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files of very many runs, and an MFT of very many runs whose records straddle them.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use vsshost::ntfs::{FileKey, Volume, find, free_map};

use crate::support::{NTFS_PROGRAMS, TestVolume, can_run, pattern, text};

fn inode(volume: &TestVolume, arguments: &[&str]) -> String {
    text(&Command::new("ntfsinfo").args(["-f", "-v"]).args(arguments).arg(volume.path()).output().unwrap())
}

#[test]
fn a_file_with_an_attribute_list_is_read_in_full() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in [512, 4096] {
        let volume = TestVolume::new(cluster_size, 12 << 20);
        volume.fill_up(|_| 3 * cluster_size as usize);
        let mut written = 0;
        {
            let mount = volume.mount();
            let mut file = File::create(mount.path().join("pieces")).unwrap();
            let expected = pattern(0x55);
            loop {
                let chunk: Vec<u8> = (written..written + cluster_size).map(&expected).collect();
                if file.write_all(&chunk).is_err() {
                    break;
                }
                written += cluster_size;
            }
        }
        assert!(inode(&volume, &["-F", "pieces"]).contains("$ATTRIBUTE_LIST"), "the test has its subject");
        let file = find(&*volume.device(), &["pieces"]).unwrap();
        assert_eq!((file.data.data_size, file.data.initialized_size), (written, written));
        assert!(file.data.extents.len() > 200, "{} runs", file.data.extents.len());
        let expected = pattern(0x55);
        for extent in &file.data.extents {
            let bytes = volume.read(extent.volume_offset, extent.length);
            let end = extent.length.min(written.saturating_sub(extent.file_offset));
            assert!((0..end).all(|at| bytes[at as usize] == expected(extent.file_offset + at)), "{extent:x?}");
        }
        free_map(&*volume.device()).unwrap();
    }
}

#[test]
fn records_of_a_scattered_mft_are_read() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let volume = TestVolume::new(512, 24 << 20);
    let small = {
        let mount = volume.mount();
        let path = |name: String| mount.path().join(name);
        let mut count = 0;
        while fs::write(path(format!("f{count}")), [0; 2000]).is_ok() {
            count += 1;
        }
        (0..count).step_by(2).for_each(|index| fs::remove_file(path(format!("f{index}"))).unwrap());
        // Files of no clusters: first they take the records that are free, then the MFT grows into the holes.
        let mut small = 0;
        while small < 5000 && fs::write(path(format!("s{small}")), small.to_string()).is_ok() {
            small += 1;
        }
        small
    };
    let mft = inode(&volume, &["-i", "0"]);
    let list = mft.contains("$ATTRIBUTE_LIST");
    let device = volume.device();
    let info = Volume::open(&*device).unwrap().file(FileKey::Record(0)).unwrap();
    let straddling = info.data.extents.iter().filter(|extent| extent.file_end() % 1024 == 512).count();
    println!("MFT of {} runs, {straddling} records straddle two, attribute list: {list}", info.data.extents.len());
    assert!(straddling > 0 && list, "the test has its subject");
    for index in 0..small {
        let name = format!("s{index}");
        let file = find(&*device, &[&name]).unwrap();
        assert_eq!(file.data.resident.as_deref(), Some(index.to_string().as_bytes()), "{name}");
    }
}
