// SPDX-License-Identifier: MIT OR Apache-2.0
//! A full diff area, volume or disk costs snapshots, the oldest first, and never a write.

use super::fixture::{
    Host, MIB, Mount, Raw, STORE, Scratch, Taken, Verify, ask, assert_consistent, can_run, make_volume, offline,
    raw_volume, served, store_files, take, vshadowmount, vsstool_check, wait_until,
};
use super::snapshots::fill;
use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;
use vsshost::control::Code;
use vsshost::control::messages::{AbortSnapshot, AddShadowstorage, ListShadowstorage, PrepareSnapshot};
use vsshost::control::types::Maximum;

const NEEDED: [&str; 4] = ["mkntfs", "ntfs-3g", "ntfsfix", "fio"];

/// Takes off the list what is gone; it must be the oldest.
#[track_caller]
fn oldest_went(host: &Host, taken: &mut Vec<Taken>) {
    let there = host.shadows();
    let gone = taken.iter().take_while(|taken| there.iter().all(|shadow| shadow.id != taken.shadow.id)).count();
    taken.drain(..gone);
    let left: Vec<_> = taken.iter().map(|taken| taken.shadow.id).collect();
    assert_eq!(there.iter().map(|shadow| shadow.id).collect::<Vec<_>>(), left, "others than the oldest are gone");
}

/// Deletions for want of space that the host has told of.
fn told(host: &Host) -> usize {
    host.events().iter().filter(|event| event.code == "shadow_deleted_diff_area_full").count()
}

#[test]
fn a_maximum_under_load() {
    if !can_run(&NEEDED) {
        return;
    }
    let (scratch, host, range) = raw_volume("maximum", 256 * MIB, &[]);
    let maximum = 16 * MIB;
    host.call(AddShadowstorage { volume: None, on: None, maximum: Maximum::Bytes(maximum) });
    let raw = Raw::start(&scratch, &host, &range, 400);
    let mut taken: Vec<Taken> = Vec::new();
    for _ in 0..10 {
        taken.push(take(&scratch, &host, STORE));
        std::thread::sleep(Duration::from_millis(600));
    }
    raw.end();
    // A deletion may still be under way.
    let allocated = || host.call(ListShadowstorage::default()).associations[0].allocated;
    wait_until("the diff area keeps to its maximum", Duration::from_secs(20), || allocated() <= maximum);
    let made = taken.len();
    oldest_went(&host, &mut taken);
    let gone = made - taken.len();
    assert!(gone >= 3, "only {gone} snapshots went");
    assert!(!taken.is_empty(), "the newest need not go");
    assert_eq!(told(&host), gone, "each of them is told");
    served(&host, &taken);
    assert_consistent(&host.live());
    host.stop();
    offline(&scratch.image(), &taken);
    vshadowmount(&scratch, &taken);
    vsstool_check(&scratch.image());
}

#[test]
fn a_volume_that_is_nearly_full() {
    if !can_run(&NEEDED) {
        return;
    }
    let scratch = Scratch::with_volume("nearly", 128 * MIB, 4096);
    fill(&scratch);
    let host = Host::start(&scratch);
    let mount = Mount::ntfs(&scratch, "mnt", &host.live());
    let mut file = File::create(mount.path().join("filler")).expect("a file");
    let chunk = vec![0x42; MIB as usize];
    while rustix::fs::statvfs(mount.path()).expect("its size").f_bavail * 4096 > 24 * MIB {
        file.write_all(&chunk).expect("space");
    }
    drop(file);
    mount.end();
    host.stop();
    let host = Host::start_with(&scratch, &["--nbd-clients-are-raw"]);
    let raw = Raw::start(&scratch, &host, &Raw::find(&scratch.image()), 400);
    let mut taken: Vec<Taken> = Vec::new();
    let mut refused = 0;
    for _ in 0..8 {
        let mut client = host.client();
        match ask(&mut client, PrepareSnapshot { diff_area_size: Some(STORE), ..PrepareSnapshot::default() }) {
            // There is room: given up again, for one whose content is known.
            Ok(prepared) => {
                ask(&mut client, AbortSnapshot { set: prepared.set }).expect("given up");
                wait_until("its store file is gone", Duration::from_secs(20), || {
                    store_files(&scratch.image()).is_some_and(|files| files.len() == host.shadows().len())
                });
                taken.push(take(&scratch, &host, STORE));
            }
            Err(why) => {
                assert_eq!(why.code, Code::NoSpace, "{why}");
                refused += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        oldest_went(&host, &mut taken);
        served(&host, &taken);
    }
    assert!(refused > 0 && refused < 8, "{refused} of 8 were refused");
    raw.end();
    oldest_went(&host, &mut taken);
    served(&host, &taken);
    assert_consistent(&host.live());
    host.stop();
    offline(&scratch.image(), &taken);
    vsstool_check(&scratch.image());
}

/// A small file system in memory; gone at the end.
struct Tmpfs<'a>(&'a Scratch);

impl<'a> Tmpfs<'a> {
    fn mount(scratch: &'a Scratch, bytes: u64) -> Self {
        let options = std::ffi::CString::new(format!("size={bytes}")).expect("no zero byte");
        let folder = scratch.folder("tmpfs");
        rustix::mount::mount("tmpfs", &folder, "tmpfs", rustix::mount::MountFlags::empty(), options.as_c_str())
            .expect("a tmpfs");
        Self(scratch)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path("tmpfs"), rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_full_disk_underneath() {
    if !can_run(&NEEDED) {
        return;
    }
    let made = Scratch::new("disk");
    let tmpfs = Tmpfs::mount(&made, 96 * MIB);
    let image = made.path("tmpfs/v.img");
    make_volume(&image, 256 * MIB, 4096);
    std::os::unix::fs::symlink(&image, made.image()).expect("a link");
    fill(&made);
    let range = Raw::find(&image);
    let host = Host::start_with(&made, &["--nbd-clients-are-raw"]);
    // What is written in place later is there already, to the last byte.
    let verify = Verify::new(&range, 3);
    verify.write(&host);
    let taken = vec![take(&made, &host, STORE)];
    served(&host, &taken);
    let mut filler = File::create(made.path("tmpfs/filler")).expect("a file");
    while filler.write_all(&[1; 4096]).is_ok() {}
    let again = Verify::new(&range, 4);
    again.write(&host);
    wait_until("the snapshot went", Duration::from_secs(20), || host.shadows().is_empty());
    let lost = host.events().iter().any(|event| event.code == "shadow_deleted_copy_failed");
    assert!(lost, "{:#?}", host.events());
    assert!(host.log().contains("No space left on device"), "{}", host.log());
    assert!(again.holds(&host), "what was written to the full disk");
    assert_consistent(&host.live());

    drop(filler);
    fs::remove_file(made.path("tmpfs/filler")).expect("there");
    host.stop();
    let host = Host::start_with(&made, &["--nbd-clients-are-raw"]);
    assert!(again.holds(&host), "what was written to the full disk, after a restart");
    let taken = vec![take(&made, &host, STORE)];
    verify.write(&host);
    served(&host, &taken);
    host.stop();
    offline(&image, &taken);
    vsstool_check(&image);
    drop(tmpfs);
}
