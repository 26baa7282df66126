// SPDX-License-Identifier: MIT OR Apache-2.0
//! Volumes that Windows made are clean, and show what other readers show.

mod support;

use serde_json::Value;
use support::{run, windows_7, windows_10};

const OFFSET: &str = "34603008";

fn json(arguments: &[&str]) -> Value {
    let run = run(&[arguments, &["--json"]].concat());
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    serde_json::from_str(&run.out).unwrap()
}

#[test]
fn windows_7_is_clean_and_shows_what_vshadowinfo_shows() {
    let Some(image) = windows_7() else { return };
    let path = image.path.to_str().unwrap();
    let report = json(&["check", path, "--strict"]);
    assert_eq!((report["errors"].as_u64(), report["warnings"].as_u64()), (Some(0), Some(0)));
    assert_eq!(report["checked"]["descriptors"], 965);
    assert_eq!(report["checked"]["files"], 3);

    let info = json(&["info", path]);
    let snapshots = info["shadow_copies"]["snapshots"].as_array().unwrap();
    let created: Vec<_> = snapshots.iter().map(|snapshot| snapshot["created"].as_str().unwrap()).collect();
    assert_eq!(created, ["2013-12-03T06:35:09.7363787Z", "2013-12-03T06:37:48.9190583Z"]);
    let stores: Vec<_> = snapshots.iter().map(|snapshot| snapshot["store"].as_str().unwrap()).collect();
    assert_eq!(stores, ["600f0b69-5bdf-11e3-9d6c-005056c00008", "600f0b6d-5bdf-11e3-9d6c-005056c00008"]);
    assert!(snapshots.iter().all(|snapshot| snapshot["diff_area"]["copy"]["attributes"] == 0x0042_0009));
}

/// The dump holds every structure, each once, with the bytes' own values.
#[test]
fn windows_7_dumped() {
    let Some(image) = windows_7() else { return };
    let path = image.path.to_str().unwrap();
    let dump = json(&["dump", path]);
    let records = dump.as_array().unwrap();
    let count = |structure: &str| records.iter().filter(|record| record["structure"] == structure).count();
    let counts = ["volume header", "catalog", "catalog entry", "store header", "block list", "range list", "bitmap"];
    assert_eq!(counts.map(count), [1, 4, 4, 2, 2, 2, 3]);
    let rows = |structure: &str, name: &str| -> usize {
        let records = records.iter().filter(|record| record["structure"] == structure);
        records.map(|record| record[name].as_array().unwrap().len()).sum()
    };
    assert_eq!((rows("block list", "descriptors"), rows("range list", "ranges")), (965, 4));

    let list =
        records.iter().find(|record| record["structure"] == "block list" && record["offset"] == 0x6e4_4000).unwrap();
    let first = &list["descriptors"][0];
    for (field, place) in [("original", 0), ("relative", 8), ("store", 16)] {
        assert_eq!(first[field].as_u64(), Some(image.read_u64(0x6e4_4080 + place)), "{field}");
    }
    let bits: u64 = records
        .iter()
        .filter(|record| record["offset"] == 0x6e5_0000)
        .flat_map(|record| record["runs"].as_array().unwrap())
        .map(|run| run["count"].as_u64().unwrap())
        .sum();
    let payload = image.read(0x6e5_0080, 16256);
    assert_eq!(bits, payload.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>());

    let text = run(&["dump", path]).out;
    assert_eq!(text.matches("structure ").count(), records.len());
}

#[test]
fn windows_10_with_its_diff_area_elsewhere() {
    let Some((_dir, volume, storage)) = windows_10() else { return };
    let (volume, storage) = (volume.to_str().unwrap(), storage.to_str().unwrap());
    let storage_at = format!("{storage}:{OFFSET}");
    let report = json(&["check", volume, "--offset", OFFSET, "--storage", &storage_at, "--strict"]);
    assert_eq!((report["errors"].as_u64(), report["checked"]["descriptors"].as_u64()), (Some(0), Some(138)));

    let alone = run(&["check", volume, "--offset", OFFSET]);
    assert_eq!(alone.code, 2);
    assert!(alone.err.contains("--storage"), "{}", alone.err);
    let wrong = run(&["check", volume, "--offset", OFFSET, "--storage", &format!("{volume}:{OFFSET}")]);
    assert_eq!(wrong.code, 2);

    // libvshadow pairs this one wrongly, which is worth a warning and no error.
    let of_storage = run(&["check", storage, "--partition", "2"]);
    assert_eq!(of_storage.code, 0, "{}", of_storage.out);
    assert!(of_storage.out.contains("libvshadow takes this store for that of snapshot 1"));

    let info = json(&["info", volume, "--storage", &storage_at]);
    let shadow = &info["shadow_copies"];
    assert_eq!((shadow["redirected"].as_bool(), shadow["snapshots"].as_array().map(Vec::len)), (Some(true), Some(2)));
    assert_eq!(shadow["snapshots"][1]["diff_area"]["copy"]["kind"], "client accessible");
    assert_eq!(run(&["info", "/nonexistent.raw"]).code, 2);
}
