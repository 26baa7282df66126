// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots made under load equal what was copied while writes were held: on every allocated cluster, for every
//! reader, and as a tree of files.

use super::fixture::{
    Host, MIB, Mount, Random, Raw, Scratch, Taken, TreeLoad, assert_consistent, can_run, offline, read_only_tree,
    rounds, served, take, vshadowmount, vssref, vsstool_check,
};
use std::time::{Duration, Instant};

const STORE: u64 = 2 * MIB;

#[test]
fn clusters_of_512_bytes() {
    many_snapshots(512, 64);
}

#[test]
fn clusters_of_4_kib() {
    many_snapshots(4096, 64);
}

#[test]
fn clusters_of_64_kib() {
    many_snapshots(65536, 64);
}

/// Makes snapshots one after the other under load, and looks at all of them when there are 1, 3 and `most`.
fn many_snapshots(cluster: u64, most: usize) {
    if !can_run(&["mkntfs", "ntfs-3g", "ntfsfix", "fio", "diff", "cp"]) {
        return;
    }
    for _ in 0..rounds(1) {
        let mut random = Random::new("snapshots");
        let scratch = Scratch::with_volume("snapshots", 128 * MIB, cluster);
        let mut taken: Vec<Taken> = Vec::new();
        for until in [1, 3, most] {
            let started = Instant::now();
            let host = Host::start(&scratch);
            served(&host, &taken);
            let mount = Mount::ntfs(&scratch, "mnt", &host.live());
            host.set_mount_point(Some(mount.path()));
            if taken.is_empty() {
                Raw::make(mount.path(), &scratch.image(), MIB / 2);
            }
            let raw = Raw::start(&scratch, &host, &Raw::find(&scratch.image()), 200);
            let load = TreeLoad::start(mount.path(), random.fork(), Duration::from_millis(5));
            while taken.len() < until {
                load.work(10 + random.below(20));
                // Trees take the longest to compare: all of a small number, else some.
                let keep_tree = most <= 3 || taken.len() < 3 || taken.len() % 8 == 0 || taken.len() + 1 == most;
                taken.push(take(&scratch, &host, Some(&load), STORE, keep_tree));
            }
            load.work(50);
            let made = started.elapsed();
            served(&host, &taken);
            let operations = load.count();
            load.end();
            raw.end();
            for one in &taken {
                if one.tree.is_some() {
                    read_only_tree(&scratch, &host.file(&one.shadow), one);
                }
            }
            mount.end();
            host.set_mount_point(None);
            assert_consistent(&host.live());
            host.stop();
            let looked = started.elapsed() - made;

            let image = scratch.image();
            assert!(taken.iter().all(|taken| taken.truth.differs_from(&image)), "the load changes what snapshots have");
            offline(&image, &taken);
            let ours = started.elapsed() - made - looked;
            vshadowmount(&scratch, &taken);
            let libvshadow = started.elapsed() - made - looked - ours;
            vssref(&image, &taken);
            vsstool_check(&image);
            println!(
                "{cluster}: {until} snapshots, {operations} file operations: made {made:.1?}, served {looked:.1?}, \
                 offline {ours:.1?}, libvshadow {libvshadow:.1?}, all {:.1?}",
                started.elapsed()
            );
        }
    }
}
