// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that come and go, and mounts that end: cleanly, by force, and with their server's death.

use crate::devices::Watched;
use crate::fixture::{MIB, Scratch, eventually, pattern};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use vsshost::fuse::{MountError, Options, Tree, clear_stale, mount};
use vsshost::image::Access;

#[test]
fn files_come_and_go_while_mounted() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let volume = scratch.volume(Access::ReadOnly);
    let tree = Tree::new();
    let session = scratch.mount(&tree);
    let path = scratch.file("snapshot-1");
    let listed = || fs::read_dir(scratch.mountpoint()).expect("a listing").count();
    for _ in 0..20 {
        assert!(fs::metadata(&path).is_err() && listed() == 0);
        tree.add("snapshot-1", volume.clone()).expect("added");
        // Looked at, so that the kernel has it in its caches.
        assert!(fs::read(&path).expect("readable")[512..].starts_with(&pattern(1)) && listed() == 1);
        tree.remove("snapshot-1").expect("there");
        assert!(tree.remove("snapshot-1").is_none());
    }
    drop(session);
}

/// The name may come back with another device behind it, and nobody sees the old content under it.
#[test]
fn a_name_used_again_shows_the_new_device() {
    let Some(first) = Scratch::new(MIB) else { return };
    let second = Scratch::new(2 * MIB).expect("as before");
    second.volume(Access::ReadWrite).image();
    File::options()
        .write(true)
        .open(second.image())
        .and_then(|image| image.write_all_at(&pattern(99), 0))
        .expect("written");
    let tree = Tree::new();
    let session = first.mount(&tree);
    let path = first.file("snapshot");
    tree.add("snapshot", first.volume(Access::ReadOnly)).expect("added");
    assert!(fs::read(&path).expect("readable").starts_with(&pattern(0)));
    tree.remove("snapshot");
    tree.add("snapshot", second.volume(Access::ReadOnly)).expect("added");
    let bytes = fs::read(&path).expect("readable");
    assert!(bytes.starts_with(&pattern(99)) && bytes.len() == 2 * MIB as usize);
    drop(session);
}

#[test]
fn a_removed_file_answers_as_its_device_does() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let device = Watched::new(scratch.volume(Access::ReadOnly));
    let tree = Tree::new();
    tree.add("snapshot", device.clone()).expect("added");
    let session = scratch.mount(&tree);
    let file = File::open(scratch.file("snapshot")).expect("opens");
    let mut block = [0; 512];
    file.read_exact_at(&mut block, 512).expect("read");

    tree.remove("snapshot").expect("there");
    assert!(File::open(scratch.file("snapshot")).is_err(), "the name is gone at once");
    file.read_exact_at(&mut block, 512).expect("the device still answers");
    assert_eq!(block, pattern(1));
    assert_eq!(file.metadata().expect("it is open").len(), MIB);
    assert_eq!(tree.open_files().len(), 1);

    let again = Watched::new(scratch.volume(Access::ReadOnly));
    tree.add("other", again.clone()).expect("added");
    let other = File::open(scratch.file("other")).expect("opens");
    other.read_exact_at(&mut block, 512).expect("read");
    again.die();
    tree.remove("other").expect("there");
    let error = other.read_exact_at(&mut block, 512).expect_err("the device is dead, and nothing is cached");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    drop((file, other));
    eventually("both are closed", || tree.open_files().is_empty());
    drop(session);
}

#[test]
fn unmounting_waits_for_users_or_does_not() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let device = Watched::new(scratch.volume(Access::ReadWrite));
    let tree = Tree::new();
    tree.add("live", device.clone()).expect("added");
    let mut session = scratch.mount(&tree);
    let file = File::options().read(true).write(true).open(scratch.file("live")).expect("opens");
    let error = session.unmount().expect_err("in use");
    let text = error.to_string();
    let own = format!("(process {}, file live)", std::process::id());
    assert!(matches!(error, MountError::Busy { .. }) && text.contains(&own), "{text}");
    file.write_all_at(&[1; 512], 0).expect("it goes on");

    // By force: a write that is under way ends well, and afterwards nothing reaches the device.
    device.hold_below(MIB);
    let writer = thread::spawn(move || (file.write_all_at(&[2; 512], 512), file));
    eventually("the write is with the device", || device.waiting() == 1);
    let unmounter = session.unmounter();
    let detach = thread::spawn(move || unmounter.detach());
    thread::sleep(Duration::from_millis(50));
    assert!(!detach.is_finished(), "a write runs");
    device.hold_below(0);
    detach.join().expect("no panic").expect("detached");
    let (written, file) = writer.join().expect("no panic");
    written.expect("the write under way was completed");
    device.calls();
    let error = file.write_all_at(&[3; 512], 0).expect_err("too late");
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert!(file.read_exact_at(&mut [0; 512], 0).is_err());
    assert_eq!(device.calls(), []);
    assert!(!scratch.file("live").exists(), "the mount is gone");
    drop(file);
    session.join().expect("it ends with the last close");
}

#[test]
fn a_session_ends_when_somebody_else_unmounts_it() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let tree = Tree::new();
    tree.add("live", scratch.volume(Access::ReadWrite)).expect("added");
    let session = scratch.mount(&tree);
    let second = mount(&scratch.mountpoint(), &tree, &Options::default()).expect_err("one is here");
    assert!(matches!(second, MountError::AlreadyMounted { .. }), "{second}");
    let unmounter = session.unmounter();
    let joined = thread::spawn(move || session.join());
    let status = Command::new("umount").arg(scratch.mountpoint()).status().expect("umount runs");
    assert!(status.success());
    joined.join().expect("no panic").expect("a clean end");

    // What is mounted here now is not ours to unmount.
    let mut next = scratch.mount(&tree);
    unmounter.unmount().expect("nothing to do");
    assert!(scratch.file("live").exists());
    next.unmount().expect("unused");
    next.unmount().expect("already unmounted");
}

#[test]
fn bad_mount_points_are_explained() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let text = |path: PathBuf| mount(&path, &Tree::new(), &Options::default()).expect_err("bad").to_string();
    let missing = text(scratch.path("missing"));
    assert!(missing.contains("missing: cannot use it as a mount point: No such file"), "{missing}");
    let file = text(scratch.image());
    assert!(file.contains("is not a directory"), "{file}");
}

const CHILD: &str = "VSSHOST_TEST_MOUNTPOINT";

/// Not a test by itself: the process that `a_dead_server_leaves_a_mount_that_is_explained` kills.
#[test]
#[ignore = "run as a child process by another test"]
fn server_to_be_killed() {
    let mountpoint = PathBuf::from(std::env::var_os(CHILD).expect("set by the parent"));
    let _session = mount(&mountpoint, &Tree::new(), &Options::default()).expect("it mounts");
    println!("\nmounted");
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_dead_server_leaves_a_mount_that_is_explained() {
    let Some(scratch) = Scratch::new(MIB) else { return };
    let mountpoint = scratch.mountpoint();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "lifecycle::server_to_be_killed", "--ignored", "--nocapture"])
        .env(CHILD, &mountpoint)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mounted = lines.map_while(Result::ok).any(|line| line == "mounted");
    child.kill().and_then(|()| child.wait()).expect("killed");
    assert!(mounted, "the child did not mount");

    let tree = Tree::new();
    let error = mount(&mountpoint, &tree, &Options::default()).expect_err("a dead mount is in the way");
    let text = error.to_string();
    assert!(matches!(error, MountError::Stale { .. }), "{text}");
    assert!(text.contains("fusermount3 -u -z") && text.contains(&mountpoint.display().to_string()), "{text}");
    assert!(clear_stale(&mountpoint).expect("cleared"));
    assert!(!clear_stale(&mountpoint).expect("nothing to clear"));
    let volume: Arc<dyn vsshost::device::BlockDevice> = scratch.volume(Access::ReadOnly);
    tree.add("live", volume).expect("added");
    let session = scratch.mount(&tree);
    assert!(scratch.file("live").exists());
    drop(session);
    assert!(!scratch.file("live").exists(), "a dropped session is unmounted");
}
