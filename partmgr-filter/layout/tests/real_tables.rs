// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables that sfdisk and sgdisk made, and a disk that Windows made.

mod common;

use common::{of_bytes, of_file, run};
use layout::{DiskId, Error, FindingKind, Kind, Layout, PartitionType, types};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;

/// An empty disk of 100 MiB in a directory of its own.
fn blank() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("disk.img");
    File::create(&path).and_then(|file| file.set_len(100 * MIB)).expect("an empty disk");
    (folder, path)
}

fn mib(layout: &Layout) -> Vec<(u32, u32, u64, u64)> {
    let numbers = |p: &layout::Partition| (p.number, p.slot, p.offset / MIB, p.length / MIB);
    layout.partitions.iter().map(numbers).collect()
}

#[test]
fn mbr_with_logical_partitions() {
    let (_folder, path) = blank();
    let script = "label: dos\nlabel-id: 0x12345678\n\
        start=1MiB, size=10MiB, type=7, bootable\nstart=11MiB, size=60MiB, type=f\nstart=80MiB, size=5MiB, type=83\n\
        start=12MiB, size=9MiB, type=7\nstart=22MiB, size=20MiB, type=7\nstart=50MiB, size=1MiB, type=b\n";
    // sfdisk gives logical partitions numbers from 5 when the lines say so.
    let script = numbered(script, &[1, 2, 3, 5, 6, 7]);
    if !run("sfdisk", &["--quiet"], &path, &script) {
        return;
    }
    let layout = of_file(&path, 512).expect("a valid table");
    assert_eq!(layout.kind, Kind::Mbr);
    assert_eq!(layout.disk, DiskId::Mbr(0x1234_5678));
    assert_eq!(layout.findings, []);
    assert_eq!(mib(&layout), [(1, 1, 1, 10), (2, 3, 80, 5), (3, 5, 12, 9), (4, 6, 22, 20), (5, 7, 50, 1)]);
    let kinds: Vec<_> = layout.partitions.iter().map(|p| p.kind).collect();
    assert_eq!(kinds, [7, 0x83, 7, 7, 0xb].map(PartitionType::Mbr));
    let active: Vec<_> = layout.partitions.iter().map(|p| p.bootable).collect();
    assert_eq!(active, [true, false, false, false, false]);
}

/// Puts the partition numbers before the lines of an sfdisk script that describe partitions.
fn numbered(script: &str, numbers: &[u32]) -> String {
    let mut numbers = numbers.iter();
    let line = |line: &str| match line.starts_with("start=") {
        true => format!("{}: {line}\n", numbers.next().expect("a number for each line")),
        false => format!("{line}\n"),
    };
    script.lines().map(line).collect()
}

#[test]
fn an_empty_mbr_is_a_table_without_partitions() {
    let (_folder, path) = blank();
    if run("sfdisk", &["--quiet"], &path, "label: dos\n") {
        let layout = of_file(&path, 512).expect("a valid table");
        assert_eq!((layout.kind, layout.partitions.len()), (Kind::Mbr, 0));
    }
}

/// Makes a GPT with three partitions, one of them not in table order, and a gap in the slots.
fn make_gpt(path: &Path) -> bool {
    let arguments = [
        "--clear",
        "--set-alignment=8",
        "--new=1:2M:+16M",
        "--typecode=1:0c01",
        "--new=2:60M:+20M",
        "--typecode=2:0700",
        "--change-name=2:Späte Daten",
        "--attributes=2:set:2",
        "--attributes=2:set:63",
        "--partition-guid=2:00112233-4455-6677-8899-aabbccddeeff",
        "--new=7:20M:+30M",
        "--typecode=7:8300",
        "--disk-guid=01234567-89ab-cdef-0123-456789abcdef",
    ];
    run("sgdisk", &arguments, path, "")
}

fn check_gpt(layout: &Layout) {
    assert_eq!(layout.kind, Kind::Gpt);
    let DiskId::Gpt(disk) = layout.disk else { panic!("{:?}", layout.disk) };
    assert_eq!(disk.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
    assert_eq!(mib(layout), [(1, 1, 2, 16), (2, 2, 60, 20), (3, 7, 20, 30)]);
    let [reserved, data, linux] = layout.partitions.as_slice() else { panic!("three partitions") };
    assert_eq!(reserved.kind, PartitionType::Gpt(types::GPT_MICROSOFT_RESERVED));
    assert_eq!(data.kind, PartitionType::Gpt(types::GPT_BASIC_DATA));
    assert_eq!(linux.kind, PartitionType::Gpt(types::GPT_LINUX));
    assert_eq!(data.name.to_string(), "Späte Daten");
    assert_eq!(data.guid.to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(data.attributes, 1 << 63 | 1 << 2);
    assert!(data.bootable && !reserved.bootable);
    assert!(data.kind.may_be_ntfs() && !linux.kind.may_be_ntfs() && !reserved.kind.may_be_ntfs());
}

#[test]
fn gpt_and_its_backup() {
    let (_folder, path) = blank();
    if !make_gpt(&path) {
        return;
    }
    let layout = of_file(&path, 512).expect("a valid table");
    check_gpt(&layout);
    assert_eq!(layout.findings, []);

    // Each kind of damage to the primary copy: (sector, byte, what is found).
    let intact = fs::read(&path).expect("the image");
    let last = intact.len() / 512 - 1;
    let damage = [(1, 0, "signature"), (1, 13, "header size"), (1, 16, "checksum"), (1, 60, "checksum")];
    for (sector, byte, expected) in damage.into_iter().chain([(2, 40, "GPT entries"), (33, 1, "GPT entries")]) {
        let mut image = intact.clone();
        image[sector * 512 + byte] ^= 0xff;
        let layout = of_bytes(&image, 512).0.expect("the backup");
        check_gpt(&layout);
        let found = layout.findings.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(found.len() == 1 && found[0].starts_with("sector 1:") && found[0].contains(expected), "{found:?}");

        // With the backup gone as well there is nothing to believe.
        image[last * 512] ^= 0xff;
        let error = of_bytes(&image, 512).0.expect_err("both copies are damaged");
        let Error::NoValidGpt { backup, .. } = &error else { panic!("{error}") };
        assert_eq!((backup.lba, backup.kind), (last as u64, FindingKind::GptSignature));
    }

    // An image that grew after it was partitioned: the backup is no longer in the last sector, its header says where.
    let mut grown = intact;
    grown[2 * 512 + 40] ^= 0xff;
    grown.resize(grown.len() + 4096, 0);
    check_gpt(&of_bytes(&grown, 512).0.expect("the backup, found through the primary header"));
}

#[test]
fn a_truncated_image_keeps_what_is_there() {
    let (_folder, path) = blank();
    if !make_gpt(&path) {
        return;
    }
    let image = fs::read(&path).expect("the image");
    let layout = of_bytes(&image[..70 * MIB as usize], 512).0.expect("the primary copy");
    assert_eq!(mib(&layout), [(1, 1, 2, 16), (2, 2, 60, 10), (3, 7, 20, 30)]);
    assert_eq!(layout.findings.len(), 1);
    assert_eq!(layout.findings[0].kind, FindingKind::Truncated { slot: 2 });
    let layout = of_bytes(&image[..55 * MIB as usize], 512).0.expect("the primary copy");
    assert_eq!(mib(&layout), [(1, 1, 2, 16), (2, 7, 20, 30)]);
    assert_eq!(layout.findings[0].kind, FindingKind::OutsideDisk { slot: 2 });
}

#[test]
fn a_hybrid_mbr_is_an_mbr_as_on_windows() {
    let (_folder, path) = blank();
    if make_gpt(&path) && run("sgdisk", &["--hybrid=2"], &path, "") {
        let layout = of_file(&path, 512).expect("a valid table");
        assert_eq!((layout.kind, mib(&layout).len()), (Kind::Mbr, 1));
        assert_eq!(layout.partitions[0].offset, 60 * MIB);
    }
}

#[test]
fn gpt_with_sectors_of_4096_bytes() {
    let (_folder, path) = blank();
    // Only a block device has sectors of another size than 512 for the partitioning programs: lend the image one.
    let Some(device) = LoopDevice::with_large_sectors(&path) else { return };
    if !run("sgdisk", &["--clear", "--set-alignment=1", "--new=1:2M:+10M"], &device.0, "") {
        return;
    }
    drop(device);
    let layout = of_file(&path, 4096).expect("a valid table");
    assert_eq!((layout.kind, layout.sector_size), (Kind::Gpt, 4096));
    assert_eq!(mib(&layout), [(1, 1, 2, 10)]);
    assert_eq!(layout.findings, []);
    assert!(matches!(of_file(&path, 512), Err(Error::NoValidGpt { .. })), "wrong sector size finds no header");
    assert!(matches!(of_file(&path, 520), Err(Error::SectorSize { bytes: 520 })));
}

/// A loop device with sectors of 4096 bytes, detached on drop.
struct LoopDevice(PathBuf);

impl LoopDevice {
    fn with_large_sectors(image: &Path) -> Option<Self> {
        let attach = Command::new("losetup").args(["--find", "--show", "--sector-size=4096"]).arg(image).output();
        let device = attach.ok().filter(|output| output.status.success()).map(|output| output.stdout);
        if device.is_none() {
            eprintln!("skipped: no loop device to be had (needs losetup, root and /dev/loop-control)");
        }
        Some(Self(String::from_utf8(device?).expect("a path").trim_end().into()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let detached = Command::new("losetup").arg("--detach").arg(&self.0).status();
        assert!(detached.is_ok_and(|status| status.success()), "{} stays behind", self.0.display());
    }
}

/// The first bytes of a disk that Windows 10 partitioned, from the archive of test images.
#[test]
fn a_disk_that_windows_made() {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/images/vss_1_vol.tar.gz");
    if !archive.exists() {
        eprintln!("skipped: {} is not here", archive.display());
        return;
    }
    // The archive is sparse and starts with the disk's start: no need to unpack gigabytes.
    let mut tar = Command::new("tar")
        .args(["-xSzOf".as_ref(), archive.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar runs");
    let mut start = vec![0; 34603008 + 4096];
    tar.stdout.take().expect("a pipe").read_exact(&mut start).expect("the start of the image");
    tar.kill().and_then(|()| tar.wait()).expect("tar ends");

    // Only the start is here; the disk goes on, as far as the image's apparent size of 5 GiB.
    let sectors = 5 * (1 << 30) / 512;
    let layout = layout::read_layout(common::Memory { bytes: &start, reads: 0 }, 512, sectors).expect("a valid table");
    let ntfs = layout.partitions.iter().find(|p| p.offset == 34603008).expect("the partition of TRUTH.md");
    assert!(ntfs.kind.may_be_ntfs());
    assert_eq!(start[34603008 + 3..][..8], *b"NTFS    ");
    assert!(ntfs.length >= 5333057536, "as long as the snapshots that lie in it: {}", ntfs.length);
}
