// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images as real programs make them: finding the volume, positioned I/O with holes, and one writer per image.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vsshost::device::{BlockDevice, StatusExtent};
use vsshost::image::{Access, Image, ImageError, Selector, Volume, VolumeSpec};

const MIB: u64 = 1 << 20;

fn sparse(path: &Path, size: u64) {
    File::create(path).and_then(|file| file.set_len(size)).expect("a sparse file");
}

/// Runs a program that must succeed. False, loudly, where it is not installed.
fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    match Command::new(program).args(arguments).arg(last).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) => {
            assert!(status.success(), "{program} {arguments:?}: {status}");
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed (apt-get install gdisk ntfs-3g qemu-utils)");
            false
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// An NTFS volume of 8 MiB and 512-byte sectors, as bytes.
fn ntfs(folder: &Path) -> Option<Vec<u8>> {
    let path = folder.join("ntfs.part");
    sparse(&path, 8 * MIB);
    run("mkntfs", &["-q", "-F", "-f"], &path).then(|| fs::read(&path).expect("the volume"))
}

/// A GPT disk of 64 MiB with partitions at 2, 20 and 40 MiB, and `content` at some offsets.
fn disk(folder: &Path, content: &[(u64, &[u8])]) -> Option<PathBuf> {
    let path = folder.join("disk.img");
    sparse(&path, 64 * MIB);
    let partitions =
        ["--new=1:2M:+10M", "--typecode=1:0700", "--new=2:20M:+10M", "--typecode=2:0700", "--new=3:40M:+4M"];
    if !run("sgdisk", &partitions, &path) {
        return None;
    }
    let file = File::options().write(true).open(&path).expect("the disk");
    content.iter().for_each(|(offset, bytes)| file.write_all_at(bytes, *offset).expect("written"));
    Some(path)
}

fn open(path: &Path, selector: Selector) -> Result<Volume, ImageError> {
    Volume::open(&VolumeSpec::new(path, selector), Access::ReadOnly)
}

#[test]
fn the_volume_is_found_where_it_lies() {
    let folder = tempfile::tempdir().expect("a directory");
    let Some(bytes) = ntfs(folder.path()) else { return };
    let Some(path) = disk(folder.path(), &[(20 * MIB, &bytes)]) else { return };
    for selector in [Selector::Auto, Selector::Partition(2), Selector::Offset(20 * MIB)] {
        let volume = open(&path, selector).expect("the volume");
        // The partition has 10 MiB, the file system in it says 8 MiB.
        assert_eq!((volume.offset(), volume.size()), (20 * MIB, 8 * MIB), "{selector:?}");
        let mut start = vec![0; 8192];
        volume.read_at(&mut start, 0).expect("readable");
        assert_eq!(start, bytes[..8192]);
    }
    let other = open(&path, Selector::Partition(3)).expect("a partition without NTFS");
    assert_eq!((other.offset(), other.size(), other.ntfs()), (40 * MIB, 4 * MIB, None));

    let whole = open(&folder.path().join("ntfs.part"), Selector::Auto).expect("an image that is a volume");
    assert_eq!((whole.offset(), whole.size()), (0, 8 * MIB));
}

#[test]
fn what_is_not_clear_is_an_error_that_lists_the_partitions() {
    let folder = tempfile::tempdir().expect("a directory");
    let Some(bytes) = ntfs(folder.path()) else { return };
    let Some(path) = disk(folder.path(), &[(2 * MIB, &bytes), (20 * MIB, &bytes)]) else { return };
    let text = open(&path, Selector::Auto).expect_err("two volumes").to_string();
    assert!(text.starts_with(&format!("{}: several NTFS volumes", path.display())), "{text}");
    assert_eq!(text.matches(" NTFS  ").count(), 2, "{text}");
    assert!(text.contains("--partition N") && text.contains("20971520") && text.contains("Linux"), "{text}");
    let text = open(&path, Selector::Partition(4)).expect_err("three partitions").to_string();
    assert!(text.contains("no partition 4") && text.contains("41943040"), "{text}");

    let Some(path) = disk(folder.path(), &[]) else { return };
    let text = open(&path, Selector::Auto).expect_err("no volume").to_string();
    assert!(text.contains("no NTFS volume in any partition"), "{text}");
    let empty = folder.path().join("empty");
    sparse(&empty, MIB);
    let text = open(&empty, Selector::Auto).expect_err("nothing").to_string();
    assert!(text.contains("--offset BYTES") && text.contains("no partition table"), "{text}");
    for offset in [MIB, u64::MAX, 100] {
        assert!(matches!(open(&empty, Selector::Offset(offset)), Err(ImageError::BadOffset { .. })), "{offset}");
    }
    sparse(&empty, 0);
    assert!(open(&empty, Selector::Auto).is_err());
    assert!(matches!(open(folder.path(), Selector::Auto), Err(ImageError::NotAnImage { .. })));
    assert!(matches!(open(Path::new("/dev/null"), Selector::Auto), Err(ImageError::NotAnImage { .. })));
    let text = open(Path::new("/nonexistent/x"), Selector::Auto).expect_err("no file").to_string();
    assert!(text.contains("/nonexistent/x") && text.contains("No such file"), "{text}");
}

#[test]
fn a_truncated_volume_is_not_opened_for_writing() {
    let folder = tempfile::tempdir().expect("a directory");
    let Some(bytes) = ntfs(folder.path()) else { return };
    let path = folder.path().join("cut");
    fs::write(&path, &bytes[..5 * MIB as usize]).expect("written");
    assert_eq!(open(&path, Selector::Auto).expect("readable").size(), 5 * MIB);
    let error = Volume::open(&VolumeSpec::new(&path, Selector::Auto), Access::ReadWrite).expect_err("too dangerous");
    assert!(matches!(error, ImageError::Truncated { present, .. } if present == 5 * MIB), "{error}");
    // Only the backup boot sector is missing: a volume cropped to its file system.
    fs::write(&path, &bytes[..bytes.len() - 512]).expect("written");
    let volume = Volume::open(&VolumeSpec::new(&path, Selector::Auto), Access::ReadWrite).expect("complete enough");
    assert_eq!(volume.size(), 8 * MIB - 512);
}

#[test]
fn container_formats_are_refused_with_the_way_out() {
    let folder = tempfile::tempdir().expect("a directory");
    for (format, name) in [("qcow2", "qcow2"), ("vmdk", "VMDK"), ("vhdx", "VHDX"), ("vdi", "VDI"), ("vpc", "VHD")] {
        let path = folder.path().join(format!("image.{format}"));
        let created = Command::new("qemu-img").args(["create", "-q", "-f", format]).arg(&path).arg("64M").status();
        if !created.is_ok_and(|status| status.success()) {
            eprintln!("skipped: qemu-img does not make {format} (apt-get install qemu-utils)");
            continue;
        }
        let text = open(&path, Selector::Auto).expect_err(format).to_string();
        assert!(text.contains(name) && text.contains("qemu-img convert -O raw"), "{text}");
    }
}

#[test]
fn io_stays_within_the_volume_and_reaches_the_image() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("image");
    sparse(&path, 4 * MIB);
    let spec = VolumeSpec::new(&path, Selector::Offset(MIB));
    let volume = Volume::open(&spec, Access::ReadWrite).expect("an image");
    assert_eq!(volume.size(), 3 * MIB);
    for (offset, length) in [(3 * MIB, 1), (3 * MIB - 1, 2), (u64::MAX, 1), (u64::MAX, 0)] {
        let kind = |result: std::io::Result<()>| result.expect_err("out of bounds").kind();
        let mut buffer = vec![0; length as usize];
        assert_eq!(kind(volume.read_at(&mut buffer, offset)), ErrorKind::InvalidInput);
        assert_eq!(kind(volume.write_at(&buffer, offset, false)), ErrorKind::InvalidInput);
        assert_eq!(kind(volume.write_zeroes(offset, length, true, false)), ErrorKind::InvalidInput);
        assert_eq!(kind(volume.trim(offset, length, false)), ErrorKind::InvalidInput);
    }
    volume.write_at(&[1; 4096], 0, true).expect("durable");
    volume.write_at(&[2; 10_000], MIB, false).expect("written");
    volume.write_at(&[3; 10_000], 3 * MIB - 10_000, false).expect("written at the end");
    volume.flush().expect("flushed");
    volume.write_zeroes(MIB + 1, 5000, false, true).expect("zeroed");

    let bytes = fs::read(&path).expect("the image");
    assert!(bytes[..MIB as usize].iter().all(|byte| *byte == 0), "nothing before the volume");
    let at = 2 * MIB as usize;
    assert_eq!((bytes[at], bytes[at + 1], bytes[at + 5000], bytes[at + 5001]), (2, 0, 0, 2));
    assert!(bytes[4 * MIB as usize - 10_000..].iter().all(|byte| *byte == 3));
    assert_eq!(fs::metadata(&path).expect("there").len(), 4 * MIB, "no write grows the image");
    assert_eq!(volume.image().path(), path);

    drop(volume);
    let reader = Volume::open(&spec, Access::ReadOnly).expect("an image");
    assert!(reader.read_only());
    assert_eq!(reader.write_at(&[0], 0, false).expect_err("read-only").kind(), ErrorKind::PermissionDenied);
    assert_eq!(reader.trim(0, 1, false).expect_err("read-only").kind(), ErrorKind::PermissionDenied);
}

#[test]
fn holes_are_told_and_made() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("image");
    sparse(&path, 4 * MIB);
    let volume = Volume::open(&VolumeSpec::new(&path, Selector::Offset(MIB)), Access::ReadWrite).expect("an image");
    volume.write_at(&vec![9; MIB as usize], MIB, false).expect("written");
    volume.flush().expect("flushed");
    if volume.seek_data(0).expect("holes can be told") != Some(MIB) {
        eprintln!("skipped: the file system of {} has no holes", folder.path().display());
        return;
    }
    let hole = |length| StatusExtent { length, hole: true, zero: true };
    let data = |length| StatusExtent { length, hole: false, zero: false };
    assert_eq!(volume.block_status(0, 3 * MIB).expect("told"), [hole(MIB), data(MIB), hole(MIB)]);
    assert_eq!(volume.block_status(MIB + 5, 100).expect("told"), [data(100)]);
    assert_eq!(volume.block_status(0, 0).expect("told"), []);

    let blocks = || fs::metadata(&path).expect("there").blocks();
    let before = blocks();
    volume.write_zeroes(MIB, MIB / 2, true, true).expect("punched");
    volume.trim(MIB + MIB / 2, MIB / 4, true).expect("discarded");
    assert!(blocks() < before);
    assert_eq!(volume.seek_data(0).expect("told"), Some(MIB + MIB / 4 * 3));
    assert_eq!(volume.seek_hole(MIB + MIB / 4 * 3).expect("told"), Some(2 * MIB));
    assert_eq!(volume.seek_data(2 * MIB).expect("told"), None);
}

#[test]
fn one_writer_or_many_readers() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("image");
    sparse(&path, MIB);
    let writer = Image::open(&path, Access::ReadWrite).expect("free");
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let text = Image::open(&path, access).expect_err("locked").to_string();
        let own = format!("(process {})", std::process::id());
        assert!(text.contains("in use by") && text.contains(&own), "{text}");
    }
    Image::open(&path, Access::ReadOnlyUnlocked).expect("whoever insists");
    drop(writer);
    let reader = Image::open(&path, Access::ReadOnly).expect("free");
    let second = Image::open(&path, Access::ReadOnly).expect("shared");
    assert!(Image::open(&path, Access::ReadWrite).is_err());
    drop((reader, second));
    Image::open(&path, Access::ReadWrite).expect("free again");
}

#[test]
fn two_volumes_of_one_image_share_it() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("image");
    sparse(&path, 4 * MIB);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let first = Volume::open(&VolumeSpec::new(&path, Selector::Offset(0)), Access::ReadWrite).expect("free");
    let second = first
        .open_beside(&VolumeSpec::new(&link, Selector::Offset(2 * MIB)), Access::ReadWrite)
        .expect("the same image under another name");
    second.write_at(&[5; 512], 0, false).expect("written");
    let mut read = [0; 512];
    first.read_at(&mut read, 2 * MIB).expect("read");
    assert_eq!(read, [5; 512]);
    assert!(first.overlaps(&second), "no file system limits the first one");
}

/// ntfs-3g's programs lock what they open; so do we, and each finds the other.
#[test]
fn ntfs3g_is_kept_off_a_served_image() {
    let folder = tempfile::tempdir().expect("a directory");
    let Some(_) = ntfs(folder.path()) else { return };
    let path = folder.path().join("ntfs.part");
    let info = || Command::new("ntfsinfo").args(["-m"]).arg(&path).output().expect("ntfs-3g is installed");
    let served = Image::open(&path, Access::ReadWrite).expect("free");
    assert!(!info().status.success(), "ntfsinfo reads a volume that we write to");
    drop(served);
    assert!(info().status.success());
}

#[test]
fn a_loop_device_on_the_image_is_found() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("image");
    sparse(&path, MIB);
    let output = Command::new("losetup").args(["--find", "--show"]).arg(&path).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        eprintln!("skipped: no loop device to be had (needs losetup, root and /dev/loop-control)");
        return;
    };
    let device = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim_end());
    let refused = Image::open(&path, Access::ReadWrite);
    // The device itself is an image too, with a sector size of its own.
    let itself = Image::open(&device, Access::ReadWrite);
    let other = Image::open(&device, Access::ReadWrite);
    let detached = Command::new("losetup").arg("--detach").arg(&device).status();
    assert!(detached.is_ok_and(|status| status.success()), "{} stays behind", device.display());
    let text = refused.expect_err("in use").to_string();
    assert!(text.contains(&format!("the loop device {}", device.display())), "{text}");
    let itself = itself.expect("a block device");
    assert_eq!((itself.size(), itself.device_sector_size()), (MIB, Some(512)));
    assert!(matches!(other, Err(ImageError::InUse { .. })));
}

#[test]
fn the_windows_disk_of_the_shared_images() {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/images/vss_1_vol.tar.gz");
    if !archive.exists() {
        eprintln!("skipped: {} is not here", archive.display());
        return;
    }
    // The start of the disk is enough: the archive is read no further, the rest of the file stays a hole.
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("vss_1_vol.raw");
    let mut tar = Command::new("tar")
        .args(["-xSzOf".as_ref(), archive.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar runs");
    let mut start = vec![0; 34603008 + 4096];
    std::io::Read::read_exact(&mut tar.stdout.take().expect("a pipe"), &mut start).expect("the start");
    tar.kill().and_then(|()| tar.wait()).expect("tar ends");
    let mut file = File::create(&path).expect("a file");
    file.write_all(&start).and_then(|()| file.set_len(5 << 30)).expect("written");
    let volume = open(&path, Selector::Auto).expect("one NTFS partition");
    assert_eq!((volume.offset(), volume.size()), (34603008, 5333057536));
}
