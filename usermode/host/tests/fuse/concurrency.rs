// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many requests at a time: nobody waits for a write but the one who made it.

use crate::devices::Watched;
use crate::fixture::{MIB, Scratch, eventually, pattern, run_ok};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;
use vsshost::fuse::Tree;
use vsshost::image::Access;

/// More than there are event threads, so that nothing works by having enough of them.
const SLOW_WRITERS: u64 = 60;

/// Lets waiting writes go at the end of a scope, whose threads would otherwise keep a failing test from ending.
struct Release<'a>(&'a Watched);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.hold_below(0);
    }
}

#[test]
fn slow_writes_block_nobody_else() {
    let Some(scratch) = Scratch::new(8 * MIB) else { return };
    let device = Watched::new(scratch.volume(Access::ReadWrite));
    let tree = Tree::new();
    tree.add("live", device.clone()).expect("added");
    let session = scratch.mount(&tree);
    let path = scratch.file("live");
    let open = || File::options().read(true).write(true).open(&path).expect("opens");

    device.hold_below(MIB);
    let shared = open();
    let (done, ends) = channel();
    thread::scope(|threads| {
        let _release = Release(&device);
        for writer in 0..SLOW_WRITERS {
            let (file, done) = (&shared, done.clone());
            threads.spawn(move || {
                file.write_all_at(&pattern(1_000_000 + writer), writer * 512).expect("written");
                done.send(writer).expect("sent");
            });
        }
        eventually("every slow write is with the device", || device.waiting() == SLOW_WRITERS as usize);

        // On a thread of its own: a hang must fail the test, not hang it.
        let (finished, finish) = channel();
        let (shared, open, scratch) = (&shared, &open, &scratch);
        let others = move || {
            let file = open();
            let mut block = [0; 512];
            file.read_exact_at(&mut block, 100 * 512).expect("a read of what is being written");
            assert_eq!(block, pattern(100));
            file.write_all_at(&pattern(77), 4 * MIB).expect("a write elsewhere");
            shared.write_all_at(&pattern(78), 5 * MIB).expect("a write through the same descriptor");
            shared.read_exact_at(&mut block, 5 * MIB).expect("read back");
            assert_eq!(block, pattern(78));
            assert_eq!(fs::read_dir(scratch.mountpoint()).expect("a listing").count(), 1);
            finished.send(()).expect("sent");
        };
        threads.spawn(others);
        let outcome = finish.recv_timeout(Duration::from_secs(20));
        assert_eq!(device.waiting(), SLOW_WRITERS as usize, "nobody let the slow writes go");
        outcome.expect("the others went on while writes waited");
    });
    assert_eq!(ends.try_iter().count() as u64, SLOW_WRITERS);
    let mut block = [0; 512];
    for writer in 0..SLOW_WRITERS {
        shared.read_exact_at(&mut block, writer * 512).expect("read");
        assert_eq!(block, pattern(1_000_000 + writer));
    }
    drop((shared, session));
}

/// Threads that read and write the whole file at random, each its own blocks; every block keeps what its owner wrote.
#[test]
fn concurrent_readers_and_writers_see_what_was_written() {
    let Some(scratch) = Scratch::new(16 * MIB) else { return };
    let tree = Tree::new();
    tree.add("live", scratch.volume(Access::ReadWrite)).expect("added");
    let session = scratch.mount(&tree);
    let path = scratch.file("live");
    const THREADS: u64 = 8;
    const BLOCKS: u64 = 256;
    thread::scope(|threads| {
        for owner in 0..THREADS {
            let path = &path;
            threads.spawn(move || {
                let file = File::options().read(true).write(true).open(path).expect("opens");
                let mut seed = owner + 1;
                let mut last = [None; BLOCKS as usize];
                for round in 0..2000_u64 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let block = (seed >> 33) % BLOCKS;
                    // Blocks of all owners lie side by side: neighbours are written by others at the same time.
                    let place = (block * THREADS + owner) * 512;
                    if let Some(value) = last[block as usize] {
                        let mut read = [0; 512];
                        file.read_exact_at(&mut read, place).expect("read");
                        assert_eq!(read, pattern(value), "block {block} of {owner}");
                    }
                    let value = owner << 32 | round;
                    file.write_all_at(&pattern(value), place).expect("written");
                    last[block as usize] = Some(value);
                }
            });
        }
    });
    drop(session);
}

/// Writes at random and verifies while it goes on and at the end. Blocks of one size only: with a range of sizes fio
/// finds blocks of its own that a later one has partly replaced, on any file.
fn fio(path: &Path, engine: &[&str]) {
    let name = format!("--filename={}", path.display());
    let mut arguments = vec![name.as_str(), "--name=verify", "--rw=randwrite", "--verify=crc32c", "--verify_fatal=1"];
    arguments.extend([
        "--verify_backlog=64",
        "--verify_state_save=0",
        "--allow_file_create=0",
        "--overwrite=1",
        "--fallocate=none",
    ]);
    arguments.extend(engine);
    let _ = run_ok("fio", &arguments, &[]);
}

#[test]
fn fio_verifies_what_it_wrote() {
    let Some(scratch) = Scratch::new(32 * MIB) else { return };
    let tree = Tree::new();
    tree.add("live", scratch.volume(Access::ReadWrite)).expect("added");
    let session = scratch.mount(&tree);
    let path = scratch.file("live");
    fio(&path, &["--ioengine=psync", "--bs=512", "--size=1M", "--fsync=32"]);
    fio(&path, &["--ioengine=psync", "--bs=4k", "--size=4M", "--sync=1"]);
    fio(&path, &["--ioengine=libaio", "--direct=1", "--bs=16k", "--size=24M", "--iodepth=32"]);
    let parallel = ["--numjobs=3", "--offset_increment=8M"];
    fio(&path, &[&["--ioengine=libaio", "--direct=1", "--bs=64k", "--size=8M", "--iodepth=8"], &parallel[..]].concat());
    drop(session);
}
