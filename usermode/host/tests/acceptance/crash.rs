// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host killed at any moment loses no snapshot, and the volume stays consistent.

use super::fixture::{
    Host, MIB, Mount, Random, Raw, Scratch, Taken, assert_consistent, can_run, offline, rounds, served, take,
    vsstool_check,
};
use super::snapshots::fill;
use std::time::Duration;

#[test]
fn killed_under_load() {
    if !can_run(&["mkntfs", "ntfs-3g", "ntfsfix", "fio"]) {
        return;
    }
    let mut random = Random::new("crash");
    let scratch = Scratch::with_volume("crash", 256 * MIB, 4096);
    fill(&scratch);
    let mut taken: Vec<Taken> = Vec::new();
    for _ in 0..rounds(8) {
        let mut host = Host::start_with(&scratch, &["--nbd-clients-are-raw"]);
        served(&host, &taken);
        let raw = Raw::start(&scratch, &host, &Raw::find(&scratch.image()), 400);
        taken.push(take(&scratch, &host, 4 * MIB));
        std::thread::sleep(Duration::from_millis(random.below(700)));
        host.kill();
        raw.kill();
        drop(host);
        offline(&scratch.image(), &taken);
    }
    let host = Host::start(&scratch);
    served(&host, &taken);
    assert_consistent(&host.live());
    let mount = Mount::ntfs(&scratch, "mnt", &host.live());
    mount.end();
    host.stop();
    vsstool_check(&scratch.image());
}
