// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each system call on a file means to its device, and what is refused.

use crate::devices::{Call, Watched};
use crate::fixture::{MIB, Scratch, eventually, pattern};
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vsshost::fuse::Tree;
use vsshost::image::Access;

#[test]
fn every_call_reaches_the_device_as_what_it_is() {
    let Some(scratch) = Scratch::new(8 * MIB) else { return };
    let device = Watched::new(scratch.volume(Access::ReadWrite));
    let tree = Tree::new();
    tree.add("live", device.clone()).expect("added");
    let session = scratch.mount(&tree);
    let path = scratch.file("live");
    let file = File::options().read(true).write(true).open(&path).expect("opens");
    let write = |offset, length, fua| Call::Write { offset, length, fua };

    file.write_all_at(&[1; 5000], 100).expect("written");
    assert_eq!(device.calls(), [write(100, 5000, false)], "at once, and nothing around it");
    file.sync_data().expect("flushed");
    file.sync_all().expect("flushed");
    assert_eq!(device.calls(), [Call::Flush, Call::Flush]);

    pwritev2(&file, &[IoSlice::new(&[2; 512])], 512, ReadWriteFlags::DSYNC).expect("written");
    assert_eq!(device.calls(), [write(512, 512, true)]);
    for flag in [libc::O_DSYNC, libc::O_SYNC] {
        let durable = File::options().write(true).custom_flags(flag).open(&path).expect("opens");
        durable.write_all_at(&[3; 512], 1024).expect("written");
        let calls = device.calls();
        assert_eq!(calls.first(), Some(&write(1024, 512, true)), "{calls:?}");
    }

    fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 4096, 8192).expect("punched");
    fallocate(&file, FallocateFlags::ZERO_RANGE, 100, 50).expect("zeroed");
    // Past the end there is nothing to do.
    fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 8 * MIB - 512, MIB).expect("clipped");
    let zeroes = |offset, length, may_trim| Call::Zeroes { offset, length, may_trim };
    assert_eq!(device.calls(), [zeroes(4096, 8192, true), zeroes(100, 50, false), zeroes(8 * MIB - 512, 512, true)]);
    let mut read = [7; 200];
    file.read_exact_at(&mut read, 60).expect("read");
    assert!(read[40..90].iter().all(|byte| *byte == 0) && read[90..].iter().all(|byte| *byte == 1));
    assert_eq!(fallocate(&file, FallocateFlags::ZERO_RANGE, 8 * MIB, 512), Err(Errno::NOSPC));
    assert_eq!(fallocate(&file, FallocateFlags::empty(), 0, 512), Err(Errno::OPNOTSUPP));

    // One large write arrives in pieces of up to a megabyte, none twice.
    file.write_all_at(&vec![4; 3 * MIB as usize], 2 * MIB).expect("written");
    let mut end = 2 * MIB;
    for call in device.calls() {
        let Call::Write { offset, length, fua: false } = call else { panic!("{call:?}") };
        assert!(offset == end && length <= MIB, "{call:?} after {end}");
        end += length;
    }
    assert_eq!(end, 5 * MIB);
    drop((file, session));
}

#[test]
fn a_file_is_as_long_as_its_device_for_ever() {
    let Some(scratch) = Scratch::new(MIB + 512) else { return };
    let tree = Tree::new();
    tree.add("live", scratch.volume(Access::ReadWrite)).expect("added");
    let session = scratch.mount(&tree);
    let path = scratch.file("live");
    let metadata = fs::metadata(&path).expect("there");
    assert_eq!((metadata.len(), metadata.blocks()), (MIB + 512, 2049));
    let file = File::options().read(true).write(true).open(&path).expect("opens");
    let number = |error: io::Error| error.raw_os_error().expect("a system error");

    let mut buffer = [0; 1024];
    assert_eq!(file.read_at(&mut buffer, MIB).expect("the last block"), 512);
    assert_eq!(file.read_at(&mut buffer, MIB + 512).expect("the end"), 0);
    assert_eq!(file.write_at(&buffer, MIB).expect("as far as it goes"), 512);
    assert_eq!(number(file.write_at(&buffer, MIB + 512).expect_err("no room")), libc::ENOSPC);
    file.set_len(MIB + 512).expect("it has that length");
    for length in [0, MIB, 2 * MIB] {
        assert_eq!(number(file.set_len(length).expect_err("fixed")), libc::EPERM);
    }
    assert_eq!(number(File::create(&path).expect_err("truncates")), libc::EPERM);
    drop((file, session));
}

#[test]
fn what_only_the_host_may_do_is_refused() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let tree = Tree::new();
    tree.add("snapshot", scratch.volume(Access::ReadOnly)).expect("added");
    let session = scratch.mount(&tree);
    let (path, new) = (scratch.file("snapshot"), scratch.file("new"));
    let number = |result: io::Result<()>| result.expect_err("refused").raw_os_error();
    assert_eq!(number(fs::write(&new, "x")), Some(libc::EPERM));
    assert_eq!(number(fs::create_dir(&new)), Some(libc::EPERM));
    assert_eq!(number(fs::remove_file(&path)), Some(libc::EPERM));
    assert_eq!(number(fs::rename(&path, &new)), Some(libc::EPERM));
    assert_eq!(number(fs::hard_link(&path, &new)), Some(libc::EPERM));
    assert_eq!(number(std::os::unix::fs::symlink(&path, &new)), Some(libc::EPERM));
    assert_eq!(number(fs::set_permissions(&path, fs::Permissions::from_mode(0o666))), Some(libc::EPERM));
    let refused = File::options().write(true).open(&path).expect_err("read-only").raw_os_error();
    assert!(refused == Some(libc::EROFS) || refused == Some(libc::EACCES), "{refused:?}");
    assert_eq!(fs::metadata(scratch.file("nothing")).expect_err("not there").raw_os_error(), Some(libc::ENOENT));
    drop(session);
}

#[test]
fn files_look_like_what_they_are() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let volume = scratch.volume(Access::ReadWrite);
    let tree = Tree::new();
    tree.add("live", volume).expect("added");
    let other = tempfile::NamedTempFile::new().expect("a file");
    other.as_file().set_len(5 * MIB).expect("sparse");
    let spec = vsshost::image::VolumeSpec::new(other.path(), vsshost::image::Selector::Offset(0));
    let snapshot = vsshost::image::Volume::open(&spec, Access::ReadOnly).expect("opens");
    tree.add("snapshot-1", Arc::new(snapshot)).expect("added");
    assert!(tree.add("live", scratch_device(&tree)).is_err(), "the name is taken");
    for name in ["", ".", "..", "a/b", "a\0", &"x".repeat(256)] {
        assert!(tree.add(name, scratch_device(&tree)).is_err(), "{name:?}");
    }
    let session = scratch.mount(&tree);
    let mut seen: Vec<_> = fs::read_dir(scratch.mountpoint())
        .expect("a listing")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.file_name().into_string().expect("text"), entry.metadata().expect("there")))
        .map(|(name, metadata)| (name, metadata.len(), metadata.permissions().mode() & 0o7777, metadata.is_file()))
        .collect();
    seen.sort();
    let expected = [("live", MIB, 0o600), ("snapshot-1", 5 * MIB, 0o444)];
    assert_eq!(seen, expected.map(|(name, size, mode)| (name.to_owned(), size, mode, true)));
    drop(session);
}

/// Some device: the one that the tree has under `live`.
fn scratch_device(tree: &Tree) -> Arc<dyn vsshost::device::BlockDevice> {
    let device = tree.remove("live").expect("there");
    tree.add("live", Arc::clone(&device)).expect("free again");
    device
}

#[test]
fn a_large_directory_is_listed_whole() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let volume = scratch.volume(Access::ReadOnly);
    let tree = Tree::new();
    (0..1500).for_each(|number| tree.add(&format!("snapshot-{number}"), volume.clone()).expect("added"));
    let session = scratch.mount(&tree);
    assert_eq!(fs::read_dir(scratch.mountpoint()).expect("a listing").count(), 1500);
    // Removed between two parts of a listing: every other name is seen once.
    let mut listing = fs::read_dir(scratch.mountpoint()).expect("a listing");
    let mut names: Vec<_> = listing.by_ref().take(10).map(|entry| entry.expect("an entry").file_name()).collect();
    (100..200).for_each(|number| drop(tree.remove(&format!("snapshot-{number}"))));
    names.extend(listing.map(|entry| entry.expect("an entry").file_name()));
    names.sort();
    names.dedup();
    assert!((1400..=1500).contains(&names.len()), "{}", names.len());
    drop(session);
}

#[test]
fn holes_show_through() {
    let Some(scratch) = Scratch::new(64 * MIB) else { return };
    let volume = scratch.volume(Access::ReadOnly);
    if volume.seek_hole(0).expect("told") != Some(4 * MIB) {
        eprintln!("skipped: the file system of the scratch directory has no holes");
        return;
    }
    let tree = Tree::new();
    tree.add("snapshot", volume).expect("added");
    let session = scratch.mount(&tree);
    let file = File::open(scratch.file("snapshot")).expect("opens");
    assert_eq!(seek(&file, SeekFrom::Hole(100)), Ok(4 * MIB));
    assert_eq!(seek(&file, SeekFrom::Data(100)), Ok(100));
    assert_eq!(seek(&file, SeekFrom::Data(5 * MIB)), Err(Errno::NXIO));
    assert_eq!(seek(&file, SeekFrom::Hole(64 * MIB)), Err(Errno::NXIO));
    let mut block = [0; 512];
    file.read_exact_at(&mut block, 77 * 512).expect("read");
    assert_eq!(block, pattern(77));
    drop((file, session));
}

#[test]
fn the_hook_decides_who_opens_and_learns_who_closed() {
    struct Closed(Arc<AtomicUsize>);
    impl Drop for Closed {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let Some(scratch) = Scratch::new(MIB) else { return };
    let (writers, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tree = Tree::with_open_hook(Box::new({
        let (writers, closed) = (Arc::clone(&writers), Arc::clone(&closed));
        move |name, writable, pid| {
            assert_eq!((name, pid), ("live", std::process::id()));
            match writable && writers.fetch_add(1, Ordering::SeqCst) > 0 {
                true => Err(io::Error::from_raw_os_error(libc::EBUSY)),
                false => Ok(Box::new(Closed(Arc::clone(&closed)))),
            }
        }
    }));
    tree.add("live", scratch.volume(Access::ReadWrite)).expect("added");
    let session = scratch.mount(&tree);
    let path = scratch.file("live");

    let reader = File::open(&path).expect("readers may");
    let writer = File::options().write(true).open(&path).expect("the first writer may");
    let second = File::options().write(true).open(&path).expect_err("the second may not");
    assert_eq!(second.raw_os_error(), Some(libc::EBUSY));
    let open = tree.open_files();
    assert_eq!(open.len(), 2);
    assert_eq!(open.iter().filter(|file| file.writable && file.pid == std::process::id()).count(), 1);
    drop(writer);
    eventually("the writer's guard is dropped", || closed.load(Ordering::SeqCst) == 1);
    drop(reader);
    eventually("the reader's guard is dropped", || closed.load(Ordering::SeqCst) == 2);
    assert_eq!(tree.open_files(), []);
    drop(session);
}
