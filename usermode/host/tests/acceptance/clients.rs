// SPDX-License-Identifier: MIT OR Apache-2.0
//! The NBD clients that people use, on a real volume that has snapshots and is written to.

use super::fixture::{
    Host, MIB, Raw, STORE, Scratch, Taken, Verify, can_run, offline, raw_volume, run, run_ok, served, take,
    take_under_load, vsstool_check, wait_for_copies, wait_until,
};
use std::fs::{self, File};
use std::time::Duration;
use vsshost::control::messages::Status;

// The client of the server's own tests, for requests that no decent program sends. They use all of it.
#[path = "../nbd/raw.rs"]
#[expect(dead_code)]
mod wire;

const SIZE: u64 = 96 * MIB;

/// What a request to change a snapshot gets: EPERM.
const NOT_PERMITTED: u32 = 1;

fn uri_of(host: &Host, taken: &Taken) -> String {
    let shadow = host.shadows().into_iter().find(|shadow| shadow.id == taken.shadow.id).expect("the snapshot");
    shadow.nbd.expect("an export")
}

#[test]
fn nbdinfo_and_nbdcopy() {
    if !can_run(&["mkntfs", "ntfs-3g", "ntfsfix", "fio", "nbdinfo", "nbdcopy"]) {
        return;
    }
    let (scratch, host, range) = raw_volume("nbdcopy", SIZE, &[]);
    let taken = take_under_load(&scratch, &host, &range, 3);
    lists_everything(&host, &taken);

    let copy = scratch.path("copy");
    let name = copy.to_str().expect("plain characters");
    run_ok("nbdcopy", &["--connections=4", "--requests=32", &host.uri("volume"), name]);
    assert!(fs::read(&copy).unwrap() == fs::read(scratch.image()).unwrap(), "nbdcopy of the live volume");

    let raw = Raw::start(&scratch, &host, &range, 400);
    wait_for_copies(&host, 1);
    for (number, taken) in taken.iter().enumerate() {
        fs::remove_file(&copy).expect("there");
        run_ok("nbdcopy", &[uri_of(&host, taken).as_str(), name]);
        taken.truth.compare_file(&format!("nbdcopy of snapshot {}", number + 1), &copy);
    }
    wait_for_copies(&host, 1);
    raw.end();
    served(&host, &taken);
    host.stop();
    offline(&scratch.image(), &taken);
}

fn lists_everything(host: &Host, taken: &[Taken]) {
    let listed = run_ok("nbdinfo", &["--list", "--json", &host.uri("")]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["structured"], true);
    let exports = listed["exports"].as_array().expect("exports");
    assert_eq!(exports.len(), 1 + taken.len(), "the live volume and all snapshots: {listed:#}");
    for export in exports {
        let live = export["export-name"] == "volume";
        assert_eq!(export["export-size"], SIZE);
        assert_eq!(export["contexts"], serde_json::json!(["base:allocation"]));
        assert_eq!(export["is_read_only"], !live, "{export:#}");
        assert_eq!(export["can_multi_conn"], true, "{export:#}");
        for ability in ["can_flush", "can_fua", "can_trim", "can_zero"] {
            assert!(export[ability] == true || !live, "{ability}: {export:#}");
        }
        assert!(live || export["can_trim"] == false && export["can_zero"] == false, "{export:#}");
    }
    for (number, uri) in taken.iter().map(|taken| uri_of(host, taken)).enumerate() {
        assert_eq!(run_ok("nbdinfo", &["--size", &uri]).trim(), SIZE.to_string());
        let map = run_ok("nbdinfo", &["--map", "--json", &uri]);
        let map: serde_json::Value = serde_json::from_str(&map).expect("JSON");
        let extents = map.as_array().expect("extents");
        let length: u64 = extents.iter().map(|extent| extent["length"].as_u64().expect("a length")).sum();
        assert_eq!(length, SIZE, "the map of {uri}");
        let kinds = |kind: u64| extents.iter().any(|extent| extent["type"] == kind);
        assert!(kinds(0), "data: {map:#}");
        // What was free reads as zeros in the newest; what it was in older ones is not known any more.
        assert!(number + 1 < taken.len() || kinds(3), "holes: {map:#}");
    }
}

#[test]
fn qemu_reads_snapshots_and_changes_the_volume() {
    if !can_run(&["mkntfs", "ntfs-3g", "ntfsfix", "fio", "qemu-img", "qemu-io"]) {
        return;
    }
    let (scratch, host, range) = raw_volume("qemu", SIZE, &[]);
    let taken = take_under_load(&scratch, &host, &range, 2);
    let (qcow, plain) = (scratch.path("copy.qcow2"), scratch.path("copy"));
    let (qcow_name, plain_name) = (qcow.to_str().unwrap(), plain.to_str().unwrap());
    for taken in &taken {
        let uri = uri_of(&host, taken);
        run_ok("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &uri, qcow_name]);
        run_ok("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &uri, qcow_name]);
        let live = run("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &host.uri("volume"), qcow_name]);
        assert_eq!(live.status.code(), Some(1), "the live volume differs from a snapshot: {}", live.text);
        run_ok("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", qcow_name, plain_name]);
        taken.truth.compare_file("a snapshot by way of qcow2", &plain);
    }
    // A newest snapshot for which nothing was copied yet.
    let taken: Vec<Taken> = taken.into_iter().chain([take(&scratch, &host, STORE)]).collect();
    changes(&host, range.start);
    served(&host, &taken);
    assert!(
        taken.iter().all(|taken| taken.truth.differs_from(&scratch.image())),
        "the changes hit what snapshots have"
    );

    snapshots_refuse_writes(&scratch, &host, &taken);
    served(&host, &taken);
    host.stop();
    offline(&scratch.image(), &taken);
    vsstool_check(&scratch.image());
}

/// Each kind of change that qemu knows, from `base` on, and what must be read afterwards.
fn changes(host: &Host, base: u64) {
    let before = host.call(Status {}).blocks_copied;
    let steps: [(&str, u64, u64); 20] = [
        // First changes of blocks, and changes of changed ones.
        ("discard", 2 << 20, 256 << 10),
        ("write -z", 9 << 18, 256 << 10),
        ("write -z -u", 5 << 19, 256 << 10),
        ("write -P 0x11", 0, 1 << 20),
        ("write -f -P 0x22", 512 << 10, 4096),
        ("write -P 0x33", 777, 1000),
        ("write -z", 64 << 10, 64 << 10),
        ("write -z -u", 128 << 10, 64 << 10),
        ("discard", 256 << 10, 64 << 10),
        ("aio_write -P 0x44", 1 << 20, 1 << 20),
        ("aio_flush", 0, 0),
        ("flush", 0, 0),
        ("read -P 0x11", 0, 777),
        ("read -P 0x33", 777, 1000),
        ("read -P 0", 64 << 10, 128 << 10),
        ("read -P 0x11", 192 << 10, 64 << 10),
        ("read -P 0", 256 << 10, 64 << 10),
        ("read -P 0x22", 512 << 10, 4096),
        ("read -P 0x44", 1 << 20, 1 << 20),
        ("read -P 0", 2 << 20, 768 << 10),
    ];
    let mut arguments: Vec<String> = ["-f", "raw", "-d", "unmap"].map(String::from).into();
    for (step, at, length) in steps {
        let place = if length == 0 { String::new() } else { format!(" {} {length}", base + at) };
        arguments.extend(["-c".into(), format!("{step}{place}")]);
    }
    arguments.push(host.uri("volume"));
    let text = run_ok("qemu-io", &arguments);
    assert!(!text.contains("failed") && !text.contains("rror"), "{text}");
    // 2816 KiB for the first time.
    let copied = host.call(Status {}).blocks_copied - before;
    assert!(copied >= 170, "only {copied} blocks were copied");
}

fn snapshots_refuse_writes(scratch: &Scratch, host: &Host, taken: &[Taken]) {
    for taken in taken {
        let uri = uri_of(host, taken);
        let outcome = run("qemu-io", &["-f", "raw", "-c", "write 0 4k", &uri]);
        assert!(!outcome.status.success(), "qemu-io writes to a snapshot: {}", outcome.text);

        let export = uri.split(['/', '?']).nth(3).expect("a name");
        let mut wire = wire::Raw::open(&scratch.path("nbd.sock"), export);
        wire.request(wire::WRITE, 0, 5, 0, 4096);
        wire.send(&[0x66; 4096]);
        assert_eq!(wire.simple_reply(), (5, NOT_PERMITTED), "a write");
        for command in [wire::TRIM, wire::WRITE_ZEROES] {
            assert_eq!(wire.error_of(command, 0, 0, 4096), NOT_PERMITTED, "command {command}");
        }
        // Refused, and still on speaking terms.
        assert_eq!(wire.error_of(wire::READ, 0, 0, 4096), 0);

        let why =
            File::options().write(true).open(host.file(&taken.shadow)).expect_err("a snapshot's file for writing");
        let refused = [rustix::io::Errno::ROFS, rustix::io::Errno::PERM, rustix::io::Errno::ACCESS];
        assert!(refused.iter().any(|errno| why.raw_os_error() == Some(errno.raw_os_error())), "{why}");
    }
}

#[test]
fn fio_verifies_across_snapshots_and_a_restart() {
    if !can_run(&["mkntfs", "ntfs-3g", "ntfsfix", "fio", "qemu-io"]) {
        return;
    }
    let (scratch, host, range) = raw_volume("fio", SIZE, &[]);
    let verify = Verify::new(&(range.start..range.end.min(range.start + 12 * MIB)), 7);
    let mut fio = verify.start(&scratch, &host, 600);
    wait_until("fio writes", Duration::from_secs(30), || host.call(Status {}).nbd_writers > 0);
    let mut taken = vec![take(&scratch, &host, STORE)];
    wait_for_copies(&host, 1);
    for _ in 0..2 {
        taken.push(take(&scratch, &host, STORE));
    }
    let status = fio.wait(Duration::from_secs(60));
    assert!(status.success(), "{status}: {}", fio.log());
    served(&host, &taken);
    host.stop();

    let host = Host::start_with(&scratch, &["--nbd-clients-are-raw"]);
    served(&host, &taken);
    assert!(verify.holds(&host), "what fio verified is not there any more");
    // It would notice.
    let spoil = format!("write -P 0x66 {} 4096", range.start + MIB);
    run_ok("qemu-io", &["-f", "raw", "-c", &spoil, &host.uri("volume")]);
    assert!(!verify.holds(&host), "fio does not look");
    served(&host, &taken);
    host.stop();
    offline(&scratch.image(), &taken);
    vsstool_check(&scratch.image());
}
