// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots made under load equal what was copied while writes were held: on every allocated cluster, for every
//! reader, and as a tree of files. Two loads at a time: work with files through a mounted ntfs-3g, and random writes over
//! NBD into a file's clusters, which never pause.

use super::fixture::{
    Host, MIB, Mount, Random, Raw, Scratch, Taken, TreeLoad, assert_consistent, can_run, offline, read_only_tree,
    rounds, served, take_with, vshadowmount, vssref, vsstool_check,
};
use std::time::{Duration, Instant};

/// Less than the load takes between two snapshots now and then: stores have to grow.
const STORE: u64 = 8 * MIB;

#[test]
fn clusters_of_512_bytes() {
    many_snapshots(512, 10);
}

#[test]
fn clusters_of_4_kib() {
    many_snapshots(4096, 64);
}

#[test]
fn clusters_of_64_kib() {
    many_snapshots(65536, 10);
}

/// Makes snapshots one after the other under load, and looks at all of them when there are 1, 3 and `most`; 64 in a
/// campaign.
fn many_snapshots(cluster: u64, most: usize) {
    if !can_run(&["mkntfs", "ntfs-3g", "ntfsfix", "fio", "diff", "cp"]) {
        return;
    }
    let mut random = Random::new("snapshots");
    let scratch = Scratch::with_volume("snapshots", 640 * MIB, cluster);
    let mut taken: Vec<Taken> = Vec::new();
    fill(&scratch);
    let most = if rounds(1) > 1 { 64 } else { most };
    for until in [1, 3, most] {
        let started = Instant::now();
        let host = Host::start_with(&scratch, &["--nbd-clients-are-raw"]);
        served(&host, &taken);
        let mount = Mount::ntfs(&scratch, "mnt", &host.live());
        host.set_mount_point(Some(mount.path()));
        let raw = Raw::start(&scratch, &host, &Raw::find(&scratch.image()), 60);
        let load = TreeLoad::start(mount.path(), random.fork(), Duration::from_millis(20));
        while taken.len() < until {
            load.work(3 + random.below(6));
            // Trees take the longest to compare: all of a small number, else some.
            let keep_tree = taken.len() < 3 || taken.len().is_multiple_of(8) || taken.len() + 1 == until;
            taken.push(take_with(&scratch, &host, STORE, Some(&load), keep_tree));
        }
        load.work(50);
        let made = started.elapsed();
        served(&host, &taken);
        let operations = load.count();
        load.end();
        raw.end();
        taken.iter().for_each(|one| read_only_tree(&scratch, &host, one));
        mount.end();
        host.set_mount_point(None);
        assert_consistent(&host.live());
        host.stop();

        let image = scratch.image();
        assert!(taken.iter().all(|taken| taken.truth.differs_from(&image)), "the load changes what snapshots have");
        offline(&image, &taken);
        vshadowmount(&scratch, &taken);
        vssref(&image, &taken);
        vsstool_check(&image);
        println!(
            "clusters of {cluster}: {until} snapshots, {operations} file operations, made in {made:.1?}, right \
             for every reader after {:.1?}",
            started.elapsed()
        );
    }
}

/// A tree of files and the file for the raw load, written through ntfs-3g before anything else.
pub(crate) fn fill(scratch: &Scratch) {
    let host = Host::start(scratch);
    let mount = Mount::ntfs(scratch, "mnt", &host.live());
    let load = TreeLoad::start(mount.path(), Random::new("content"), Duration::ZERO);
    load.work(60);
    load.end();
    Raw::make(mount.path(), &scratch.image(), 4 * MIB);
    mount.end();
    assert_consistent(&host.live());
    host.stop();
}
