// SPDX-License-Identifier: MIT OR Apache-2.0
//! Held writes: they wait, and they never wait for longer than was said, whatever becomes of the coordinator.

use super::fixture::{
    Host, MIB, Mount, Random, Raw, Running, STORE, Scratch, Taken, TreeLoad, Truth, ask, can_run, hold, offline,
    prepare, raw_volume, served, start_coordinator, store_files, take, throughout, vsstool_check, wait_for_copies,
    wait_for_store_files, wait_until,
};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use vsshost::control::messages::{
    AbortSnapshot, CommitSnapshot, CreateShadow, HoldWrites, PrepareSnapshot, ReleaseWrites, SetMountPoint, Status,
};
use vsshost::control::types::Guid;
use vsshost::control::{Code, Error};

const SIZE: u64 = 96 * MIB;
const NEEDED: [&str; 4] = ["mkntfs", "ntfs-3g", "ntfsfix", "fio"];

/// What the image has there, whatever is served.
fn bytes(image: &Path, range: &Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    File::open(image).and_then(|file| file.read_exact_at(&mut bytes, range.start)).expect("the image");
    bytes
}

/// Nothing is left of the set: another one can be made, writes pass, and no file has no snapshot.
#[track_caller]
fn clean(scratch: &Scratch, host: &Host, snapshots: usize) {
    wait_until("the set is gone", Duration::from_secs(3), || {
        let status = host.call(Status {});
        status.set_in_progress.is_none() && !status.writes_held
    });
    wait_for_store_files(&scratch.image(), snapshots);
    assert_eq!(host.shadows().len(), snapshots);
}

#[test]
fn writes_wait_until_released() {
    if !can_run(&NEEDED) || !can_run(&["qemu-io"]) {
        return;
    }
    let (scratch, host, range) = raw_volume("hold", SIZE, &[]);
    let image = scratch.image();
    let mut client = host.client();
    let set = prepare(&mut client);
    hold(&mut client, set, 10_000);
    let status = host.call(Status {});
    assert!(status.writes_held && status.set_in_progress == Some(set), "{status:?}");
    let copy = std::fs::read(&image).expect("the image");
    let before = bytes(&image, &range);

    let write = format!("write -P 0x77 {} 4096", range.start);
    let mut nbd =
        Running::start("qemu-io", &["-f", "raw", "-c", &write, &host.uri("volume")], &scratch.path("nbd.log"));
    let (live, at) = (host.live(), range.start + MIB);
    let file = std::thread::spawn(move || {
        File::options().write(true).open(live).and_then(|live| live.write_all_at(&[0x78; 4096], at))
    });
    wait_until("qemu-io is there", Duration::from_secs(10), || {
        host.call(Status {}).nbd_clients > 0 || nbd.ended().is_some()
    });
    let mut waiting = || nbd.ended().is_none() && !file.is_finished() && bytes(&image, &range) == before && held(&host);
    throughout(Duration::from_millis(500), &mut waiting);
    let shadow = ask(&mut client, CommitSnapshot { set }).expect("a commit in time").shadow;
    throughout(Duration::from_millis(200), &mut waiting);

    ask(&mut client, ReleaseWrites { set }).expect("released");
    let status = nbd.wait(Duration::from_secs(10));
    assert!(status.success(), "{}", nbd.log());
    file.join().expect("no panic").expect("written");
    let after = bytes(&image, &range);
    assert!(after[..4096] == [0x77; 4096] && after[MIB as usize..][..4096] == [0x78; 4096], "both have written");
    let taken = [Taken { shadow, truth: Truth::of(&copy), tree: None }];
    assert!(taken[0].truth.differs_from(&image), "the snapshot is of the time before");
    served(&host, &taken);
    host.stop();
    offline(&image, &taken);
    vsstool_check(&image);
}

fn held(host: &Host) -> bool {
    host.call(Status {}).writes_held
}

#[test]
fn a_limit_that_passes_releases_writes_and_loses_the_set() {
    if !can_run(&NEEDED) {
        return;
    }
    let (scratch, host, range) = raw_volume("limit", SIZE, &[]);
    let image = scratch.image();
    let taken = [take(&scratch, &host, STORE)];
    let raw = Raw::start(&scratch, &host, &range, 400);
    wait_for_copies(&host, 1);
    for end in ["abort", "release", "disconnect"] {
        let mut client = host.client();
        let set = prepare(&mut client);
        assert_eq!(store_files(&image).map(|files| files.len()), Some(2), "the prepared store's file");
        let limit = Duration::from_millis(700);
        let started = Instant::now();
        hold(&mut client, set, 700);
        let before = bytes(&image, &range);
        wait_until("writes pass again", Duration::from_secs(3), || bytes(&image, &range) != before);
        assert!(started.elapsed() >= limit, "writes passed after {:?}", started.elapsed());
        assert!(!held(&host));
        let why = ask(&mut client, CommitSnapshot { set }).expect_err("a commit after the limit");
        assert_eq!(why.code, Code::HoldExpired, "{why}");
        match end {
            "abort" => drop(ask(&mut client, AbortSnapshot { set }).unwrap_or_else(|why| panic!("{end}: {why}"))),
            "release" => drop(ask(&mut client, ReleaseWrites { set }).unwrap_or_else(|why| panic!("{end}: {why}"))),
            _ => drop(client),
        }
        clean(&scratch, &host, 1);
    }
    host.call(CreateShadow { diff_area_size: Some(STORE), ..CreateShadow::default() });
    assert_eq!(host.shadows().len(), 2);
    served(&host, &taken);
    raw.end();
    host.stop();
    vsstool_check(&image);
}

#[test]
fn a_coordinator_that_goes_away_leaves_nothing() {
    if !can_run(&NEEDED) || !can_run(&["python3"]) {
        return;
    }
    let (scratch, host, range) = raw_volume("gone", SIZE, &[]);
    let mut taken = vec![take(&scratch, &host, STORE)];
    let raw = Raw::start(&scratch, &host, &range, 400);
    wait_for_copies(&host, 1);
    for stage in ["prepared", "held"] {
        let mut client = host.client();
        let set = prepare(&mut client);
        if stage == "held" {
            hold(&mut client, set, 10_000);
        }
        assert_eq!(host.call(Status {}).set_in_progress, Some(set));
        drop(client);
        clean(&scratch, &host, 1);
        wait_for_copies(&host, 1);

        let mut program = start_coordinator(&scratch, &host, stage);
        let status = host.call(Status {});
        assert!(status.set_in_progress.is_some() && status.writes_held == (stage == "held"), "{status:?}");
        program.kill();
        clean(&scratch, &host, 1);
        wait_for_copies(&host, 1);
        // The next one can be made at once.
        taken.push(take(&scratch, &host, STORE));
        host.delete(taken.remove(1).shadow.id);
        wait_for_store_files(&scratch.image(), 1);
    }
    // After the commit the snapshot is there to stay.
    let mut client = host.client();
    let set = prepare(&mut client);
    hold(&mut client, set, 10_000);
    let copy = std::fs::read(scratch.image()).expect("the image");
    let shadow = ask(&mut client, CommitSnapshot { set }).expect("a commit").shadow;
    drop(client);
    clean(&scratch, &host, 2);
    taken.push(Taken { shadow, truth: Truth::of(&copy), tree: None });
    wait_for_copies(&host, 1);
    served(&host, &taken);
    raw.end();
    host.stop();
    offline(&scratch.image(), &taken);
    vsstool_check(&scratch.image());
}

#[test]
fn one_set_at_a_time_in_the_right_order() {
    if !can_run(&NEEDED) {
        return;
    }
    let (scratch, host, _) = raw_volume("sets", SIZE, &[]);
    let (mut first, mut second) = (host.client(), host.client());
    let set = prepare(&mut first);
    let code = |answer: Result<(), Error>| {
        let why = answer.expect_err("refused");
        assert!(!why.message.is_empty());
        why.code
    };
    let other = Guid("00000000-0000-4000-8000-000000000001".parse().expect("a GUID"));
    assert_eq!(code(ask(&mut second, PrepareSnapshot::default()).map(drop)), Code::InProgress);
    assert_eq!(code(ask(&mut second, CreateShadow::default()).map(drop)), Code::InProgress);
    assert_eq!(code(ask(&mut second, HoldWrites { set: other, limit_ms: 100 }).map(drop)), Code::NotFound);
    assert_eq!(code(ask(&mut first, CommitSnapshot { set }).map(drop)), Code::BadState);
    for limit_ms in [0, 10_001] {
        assert_eq!(code(ask(&mut first, HoldWrites { set, limit_ms }).map(drop)), Code::InvalidArgument);
    }
    assert!(!held(&host));
    // The client that was refused goes away; the other's set is not touched.
    drop(second);
    hold(&mut first, set, 10_000);
    assert_eq!(code(ask(&mut first, HoldWrites { set, limit_ms: 100 }).map(drop)), Code::BadState);
    ask(&mut first, CommitSnapshot { set }).expect("a commit");
    assert_eq!(code(ask(&mut first, AbortSnapshot { set }).map(drop)), Code::BadState);
    ask(&mut first, ReleaseWrites { set }).expect("released");
    assert_eq!(code(ask(&mut first, ReleaseWrites { set }).map(drop)), Code::NotFound);
    clean(&scratch, &host, 1);
    host.stop();
}

#[test]
fn a_mounted_file_system_waits() {
    if !can_run(&NEEDED) {
        return;
    }
    let (scratch, host, _) = raw_volume("mounted-hold", SIZE, &[]);
    let image = scratch.image();
    let mount = Mount::ntfs(&scratch, "mnt", &host.live());
    host.call(SetMountPoint { volume: None, path: Some(mount.path().display().to_string()) });
    let load = TreeLoad::start(mount.path(), Random::new("holds"), Duration::from_millis(1));
    load.work(20);
    let mut client = host.client();
    let set = prepare(&mut client);
    hold(&mut client, set, 10_000);
    let copy = std::fs::read(&image).expect("the image");
    let count = load.count();
    throughout(Duration::from_millis(500), || held(&host));
    // Operations that write nothing may have ended; at a millisecond each, 500 would have.
    assert!(load.count() < count + 20, "{} operations went on", load.count() - count);
    assert!(std::fs::read(&image).expect("the image") == copy, "nothing has changed on the volume");
    let shadow = ask(&mut client, CommitSnapshot { set }).expect("a commit").shadow;
    ask(&mut client, ReleaseWrites { set }).expect("released");
    load.work(100);
    let taken = [Taken { shadow, truth: Truth::of(&copy), tree: None }];
    served(&host, &taken);
    load.end();
    host.call(SetMountPoint { volume: None, path: None });
    mount.end();
    served(&host, &taken);
    host.stop();
    assert!(taken[0].truth.differs_from(&image));
    offline(&image, &taken);
    vsstool_check(&image);
}
