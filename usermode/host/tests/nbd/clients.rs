// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs that people use against NBD servers. A program that is not installed is skipped, and says so.

use crate::devices::Image;
use crate::fixture::{Fixture, IMAGE_SIZE, MEMORY_SIZE, run, same};
use vsshost::nbd::Limits;

#[test]
fn nbdinfo_lists_exports_and_what_they_can_do() {
    let fixture = Fixture::new();
    let Some(listed) = run("nbdinfo", &["--list", "--json", &fixture.uri("")]) else { return };
    let listed: serde_json::Value = serde_json::from_str(&listed.ok()).unwrap();
    let exports = listed["exports"].as_array().unwrap();
    let names: Vec<_> = exports.iter().map(|export| export["export-name"].as_str().unwrap()).collect();
    assert_eq!(names, ["image", "memory", "snapshot 1"]);

    let live = &exports[0];
    assert_eq!(live["description"], "the image of a test");
    assert_eq!(live["export-size"], IMAGE_SIZE);
    assert_eq!(live["contexts"], serde_json::json!(["base:allocation"]));
    assert_eq!(live["is_read_only"], false);
    for ability in ["can_df", "can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero"] {
        assert_eq!(live[ability], true, "{ability}");
    }
    let snapshot = &exports[2];
    assert_eq!(snapshot["is_read_only"], true);
    assert_eq!(snapshot["can_trim"], false);
    assert_eq!(snapshot["can_multi_conn"], true);
    assert_eq!(listed["structured"], true);
}

#[test]
fn nbdinfo_maps_allocation() {
    let fixture = Fixture::new();
    let Some(map) = run("nbdinfo", &["--map", "--json", &fixture.uri("snapshot 1")]) else { return };
    let map: serde_json::Value = serde_json::from_str(&map.ok()).unwrap();
    let extents: Vec<_> =
        map.as_array().unwrap().iter().map(|one| (&one["offset"], &one["length"], &one["type"])).collect();
    assert_eq!(serde_json::json!(extents), serde_json::json!([[0, 4096, 0], [4096, 255 * 4096, 3]]));
}

#[test]
fn nbdinfo_over_tcp_gets_the_default_export() {
    let fixture = Fixture::with(Limits::default(), "tcp:127.0.0.1:0");
    let Some(size) = run("nbdinfo", &["--size", &fixture.uri("")]) else { return };
    assert_eq!(size.ok().trim(), MEMORY_SIZE.to_string());
}

#[test]
fn nbdcopy_copies_both_ways() {
    let fixture = Fixture::new();
    for (export, size) in [("memory", MEMORY_SIZE), ("image", IMAGE_SIZE)] {
        let source = fixture.content("source", size);
        let back = fixture.path("back");
        let uri = fixture.uri(export);
        let there = ["--flush", "--connections=4", "--requests=32", source.to_str().unwrap(), &uri];
        let Some(copied) = run("nbdcopy", &there) else { return };
        copied.ok();
        run("nbdcopy", &["--connections=4", "--requests=32", &uri, back.to_str().unwrap()]).unwrap().ok();
        assert!(same(&source, &back), "{export}");
        // The largest requests that there are, and one connection.
        std::fs::remove_file(&back).unwrap();
        run("nbdcopy", &["--request-size=33554432", "-C", "1", &uri, back.to_str().unwrap()]).unwrap().ok();
        assert!(same(&source, &back), "{export} in requests of 32 MiB");
        let map = run("nbdinfo", &["--map", "--totals", &uri]).unwrap().ok();
        assert!(map.contains("hole,zero"), "zeros arrive as holes:\n{map}");
    }
}

#[test]
fn qemu_io_verifies_every_kind_of_request() {
    let fixture = Fixture::new();
    for export in ["memory", "image"] {
        let commands = [
            "write -P 0x11 0 1M",
            "write -f -P 0x22 512k 4k",
            "write -P 0x33 777 1000",
            "write -z 64k 64k",
            "write -z -u 128k 64k",
            "discard 256k 64k",
            "flush",
            "read -v 0 16",
            "read -P 0x11 0 777",
            "read -P 0x33 777 1000",
            "read -P 0x11 1777 63759",
            "read -P 0 64k 128k",
            "read -P 0x11 192k 64k",
            "read -P 0 256k 64k",
            "read -P 0x22 512k 4k",
            "aio_write -P 0x44 2M 8M",
            "aio_write -P 0x55 10M 1M",
            "aio_read -P 0x11 600k 400k",
            "aio_flush",
            "read -P 0x44 2M 8M",
            "read -P 0x55 10M 1M",
        ];
        let uri = fixture.uri(export);
        let mut arguments = vec!["-f", "raw", "-d", "unmap"];
        for command in &commands {
            arguments.extend(["-c", command]);
        }
        arguments.push(&uri);
        let Some(outcome) = run("qemu-io", &arguments) else { return };
        let (failed, errors) = (outcome.text.contains("failed"), outcome.errors.clone());
        let text = outcome.ok();
        assert!(!failed && errors.is_empty(), "{export}:\n{text}{errors}");
    }
}

#[test]
fn qemu_io_cannot_write_to_a_snapshot_nor_past_the_end() {
    let fixture = Fixture::new();
    let Some(outcome) = run("qemu-io", &["-f", "raw", "-c", "write 0 4k", &fixture.uri("snapshot 1")]) else { return };
    assert!(!outcome.success, "{}", outcome.text);
    let read = ["-r", "-f", "raw", "-c", "read -P 0x5a 0 4k", &fixture.uri("snapshot 1")];
    let text = run("qemu-io", &read).unwrap().ok();
    assert!(!text.contains("failed"), "{text}");
}

#[test]
fn qemu_img_converts_both_ways() {
    let fixture = Fixture::new();
    let source = fixture.content("source", IMAGE_SIZE);
    let uri = fixture.uri("image");
    let source_name = source.to_str().unwrap();
    let there = ["convert", "-n", "-W", "-f", "raw", "-O", "raw", source_name, &uri];
    let Some(converted) = run("qemu-img", &there) else { return };
    converted.ok();
    let qcow = fixture.path("back.qcow2");
    run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &uri, qcow.to_str().unwrap()]).unwrap().ok();
    let comparison = ["compare", "-f", "raw", "-F", "qcow2", source_name, qcow.to_str().unwrap()];
    run("qemu-img", &comparison).unwrap().ok();
    let map = run("qemu-img", &["map", "--output=json", "-f", "raw", &uri]).unwrap().ok();
    let map: serde_json::Value = serde_json::from_str(&map).unwrap();
    assert!(map.as_array().unwrap().iter().any(|extent| extent["zero"] == true && extent["data"] == false), "{map}");
}

#[test]
fn fio_verifies_sixteen_requests_in_flight() {
    let fixture = Fixture::new();
    fixture.add("fio", Image::sparse(IMAGE_SIZE));
    // One block size per job: fio then writes each block once. Mixed sizes overlap in flight, where the order is the
    // server's choice, and fio takes that for corruption (of nbdkit's servers too, seen with version 1.32).
    for (export, block_size, fsync) in
        [("memory", "512", 0), ("memory", "64k", 50), ("fio", "4k", 50), ("fio", "256k", 8)]
    {
        let arguments = [
            "--name=verify",
            "--ioengine=nbd",
            &format!("--uri={}", fixture.uri(export)),
            "--rw=randwrite",
            "--iodepth=16",
            &format!("--bs={block_size}"),
            &format!("--fsync={fsync}"),
            "--size=24m",
            "--verify=crc32c",
            "--verify_fatal=1",
            "--do_verify=1",
            "--verify_backlog=64",
            "--randseed=7",
            "--minimal",
        ];
        let Some(outcome) = run("fio", &arguments) else { return };
        outcome.ok();
    }
}
