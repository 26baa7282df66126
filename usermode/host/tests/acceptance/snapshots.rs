// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots made under load equal what was copied while writes were held, on every allocated cluster, for every
//! reader. The load is random writes over NBD into a file's clusters, which never pause.

use super::fixture::{
    Host, MIB, Mount, Random, Raw, Scratch, Taken, TreeLoad, assert_consistent, can_run, offline, rounds, served, take,
    vshadowmount, vssref, vsstool_check,
};
use std::time::Duration;

const STORE: u64 = 8 * MIB;

#[test]
fn clusters_of_512_bytes() {
    many_snapshots(512, &[1, 3]);
}

#[test]
fn clusters_of_4_kib() {
    many_snapshots(4096, &[1, 3, 64]);
}

#[test]
fn clusters_of_64_kib() {
    many_snapshots(65536, &[1, 3]);
}

/// Makes snapshots one after the other under load, and looks at all of them at each of the `counts`.
fn many_snapshots(cluster: u64, counts: &[usize]) {
    if !can_run(&["mkntfs", "ntfs-3g", "ntfsfix", "fio"]) {
        return;
    }
    for _ in 0..rounds(1) {
        let scratch = Scratch::with_volume("snapshots", 256 * MIB, cluster);
        let mut taken: Vec<Taken> = Vec::new();
        fill(&scratch);
        for until in counts.iter().copied() {
            let host = Host::start_with(&scratch, &["--nbd-clients-are-raw"]);
            served(&host, &taken);
            let raw = Raw::start(&scratch, &host, &Raw::find(&scratch.image()), 200);
            while taken.len() < until {
                taken.push(take(&scratch, &host, STORE));
                std::thread::sleep(Duration::from_millis(100));
            }
            served(&host, &taken);
            raw.end();
            host.stop();

            let image = scratch.image();
            assert!(taken.iter().all(|taken| taken.truth.differs_from(&image)), "the load changes what snapshots have");
            offline(&image, &taken);
            vshadowmount(&scratch, &taken);
            if taken.len() <= 3 {
                vssref(&image, &taken);
            }
            vsstool_check(&image);
            println!("clusters of {cluster}: {until} snapshots are right for every reader");
        }
    }
}

/// A tree of files and the file for the raw load, written through ntfs-3g before anything else.
pub(crate) fn fill(scratch: &Scratch) {
    let host = Host::start(scratch);
    let mount = Mount::ntfs(scratch, "mnt", &host.live());
    let load = TreeLoad::start(mount.path(), Random::new("content"), Duration::ZERO);
    load.work(60);
    load.end();
    Raw::make(mount.path(), &scratch.image(), 16 * MIB);
    mount.end();
    assert_consistent(&host.live());
    host.stop();
}
