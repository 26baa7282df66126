// SPDX-License-Identifier: MIT OR Apache-2.0
//! Deleting any snapshot leaves the others as they were: oldest, newest and those between, while writes go on.

use super::fixture::{
    Host, MIB, Random, Raw, Scratch, Taken, can_run, offline, rounds, served, take, vshadowmount, vsstool_check,
};
use super::snapshots::fill;
use std::time::Duration;

#[test]
fn any_order() {
    if !can_run(&["mkntfs", "ntfs-3g", "ntfsfix", "fio"]) {
        return;
    }
    for _ in 0..rounds(2) {
        let mut random = Random::new("deletion");
        let scratch = Scratch::with_volume("deletion", 256 * MIB, 4096);
        fill(&scratch);
        let host = Host::start_with(&scratch, &["--nbd-clients-are-raw"]);
        let raw = Raw::start(&scratch, &host, &Raw::find(&scratch.image()), 200);
        let mut taken: Vec<Taken> = Vec::new();
        for _ in 0..6 {
            taken.push(take(&scratch, &host, 8 * MIB));
            std::thread::sleep(Duration::from_millis(150));
        }
        while taken.len() > 1 {
            let at = random.below(taken.len() as u64) as usize;
            let gone = taken.remove(at);
            host.delete(gone.shadow.id);
            // At once, while what older ones need may still be moving.
            served(&host, &taken);
            std::thread::sleep(Duration::from_millis(200));
            served(&host, &taken);
        }
        taken.push(take(&scratch, &host, 8 * MIB));
        served(&host, &taken);
        raw.end();
        host.stop();
        let host = Host::start(&scratch);
        served(&host, &taken);
        host.stop();
        offline(&scratch.image(), &taken);
        vshadowmount(&scratch, &taken);
        vsstool_check(&scratch.image());
    }
}
