// SPDX-License-Identifier: MIT OR Apache-2.0
//! The free map against a slow evaluation of its rule over `ntfscat $Bitmap` and `ntfsinfo` runs.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

use vsshost::ntfs::{BLOCK_SIZE, BlockBitmap, Extent, FileKey, FreeMapBuilder, Volume, free_clusters, free_map};

use crate::support::{CLUSTER_SIZES, NTFS_PROGRAMS, SVI, TestVolume, can_run};

const CATALOG: &str = "{3808876b-c176-4e48-b7ae-04046e6cc752}";

/// The rule in its plainest form, cluster by cluster.
fn expected(volume: &TestVolume, excluded: &[Extent]) -> Vec<bool> {
    let output = Command::new("ntfscat").args(["-f", "-i", "6"]).arg(volume.path()).output().unwrap();
    let bitmap = output.stdout;
    let device = volume.device();
    let geometry = *Volume::open(&*device).unwrap().geometry();
    let unneeded = |cluster: u64| {
        let start = cluster * geometry.cluster_size;
        let free = bitmap[cluster as usize / 8] >> (cluster % 8) & 1 == 0;
        free || excluded.iter().any(|extent| extent.volume_offset <= start && start < extent.volume_end())
    };
    (0..geometry.volume_size.div_ceil(BLOCK_SIZE))
        .map(|block| {
            let (start, end) = (block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
            let clusters = start / geometry.cluster_size..end.div_ceil(geometry.cluster_size);
            end <= geometry.clusters * geometry.cluster_size && clusters.into_iter().all(unneeded)
        })
        .collect()
}

fn bits(map: &BlockBitmap) -> Vec<bool> {
    (0..map.blocks()).map(|block| map.get(block)).collect()
}

fn assert_bits(map: &BlockBitmap, expected: &[bool]) {
    let actual = bits(map);
    assert_eq!(actual.len(), expected.len());
    let differences: Vec<usize> = (0..actual.len()).filter(|&block| actual[block] != expected[block]).collect();
    assert!(differences.is_empty(), "differs in {} blocks, first {:?}", differences.len(), differences.first());
    assert_eq!(map.as_bytes().len(), expected.len().div_ceil(8));
    assert_eq!(
        map.as_bytes().iter().map(|byte| byte.count_ones() as usize).sum::<usize>(),
        expected.iter().filter(|bit| **bit).count(),
        "bits past the end are 0"
    );
}

#[test]
fn follows_the_rule_for_every_cluster_size() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        // A size that ends in the middle of a block and of a byte of the bitmap.
        let volume = TestVolume::new(cluster_size, (40 << 20) + 5 * 512);
        volume.fragment(200, |index| 700 + index * 331);
        {
            let mount = volume.mount();
            fs::write(mount.path().join("PageFile.sys"), vec![1; 300_000]).unwrap();
            fs::create_dir(mount.path().join(SVI)).unwrap();
            fs::write(mount.path().join(SVI).join(CATALOG), vec![1; 65536]).unwrap();
            fs::write(mount.path().join(SVI).join("tracking.log"), vec![1; 65536]).unwrap();
        }
        let mut excluded = volume.witness("PageFile.sys").extents;
        excluded.extend(volume.witness(&format!("{SVI}/{CATALOG}")).extents);
        let map = free_map(&*volume.device()).unwrap();
        let expected = expected(&volume, &excluded);
        assert_bits(&map, &expected);
        assert!(expected.iter().any(|bit| *bit) && !expected[expected.len() - 1]);
    }
}

#[test]
fn finish_sees_what_changed_after_prepare() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in CLUSTER_SIZES {
        let volume = TestVolume::new(cluster_size, 96 << 20);
        volume.fragment(100, |index| 20_000 + index * 999);
        {
            let mount = volume.mount();
            fs::create_dir(mount.path().join(SVI)).unwrap();
            fs::write(mount.path().join(SVI).join(CATALOG), vec![1; 65536]).unwrap();
            fs::write(mount.path().join("pagefile.sys"), vec![1; 3_000_000]).unwrap();
        }
        let unchanged = FreeMapBuilder::prepare(&*volume.device()).unwrap();
        assert_eq!(unchanged.finish(&*volume.device()).unwrap(), free_map(&*volume.device()).unwrap());

        let builder = FreeMapBuilder::prepare(&*volume.device()).unwrap();
        {
            let mount = volume.mount();
            fs::remove_file(mount.path().join("fill-1")).unwrap();
            fs::write(mount.path().join("new"), vec![1; 5_000_000]).unwrap();
            fs::remove_file(mount.path().join("pagefile.sys")).unwrap();
            fs::write(mount.path().join("reuses the page file's record"), vec![1; 3_000_000]).unwrap();
            fs::write(
                mount.path().join(SVI).join(format!("{{00000001-0000-0000-0000-000000000000}}{CATALOG}")),
                vec![1; 999_000],
            )
            .unwrap();
        }
        let map = builder.finish(&*volume.device()).unwrap();
        assert_eq!(map, free_map(&*volume.device()).unwrap());
        let mut excluded = volume.witness(&format!("{SVI}/{CATALOG}")).extents;
        excluded.extend(volume.witness(&format!("{SVI}/{{00000001-0000-0000-0000-000000000000}}{CATALOG}")).extents);
        assert_bits(&map, &expected(&volume, &excluded));
    }
}

#[test]
fn a_renamed_page_file_is_preserved() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let volume = TestVolume::new(4096, 32 << 20);
    fs::write(volume.mount().path().join("pagefile.sys"), vec![1; 3_000_000]).unwrap();
    let builder = FreeMapBuilder::prepare(&*volume.device()).unwrap();
    let excluded = volume.witness("pagefile.sys").extents;
    assert_bits(&free_map(&*volume.device()).unwrap(), &expected(&volume, &excluded));
    let mount = volume.mount();
    fs::rename(mount.path().join("pagefile.sys"), mount.path().join("precious")).unwrap();
    drop(mount);
    // Not one cluster was allocated or freed in between.
    assert_bits(&builder.finish(&*volume.device()).unwrap(), &expected(&volume, &[]));
}

#[test]
fn bits_past_the_last_cluster_mean_nothing() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    for cluster_size in [512, 4096, 8192] {
        // The last block has clusters, but not only.
        let volume = TestVolume::new(cluster_size, (32 << 20) + 17 * 512);
        let before = free_map(&*volume.device()).unwrap();
        let device = volume.device();
        let opened = Volume::open(&*device).unwrap();
        let clusters = opened.geometry().clusters;
        let bitmap = opened.file(FileKey::Record(6)).unwrap().data.extents;
        let file = fs::OpenOptions::new().write(true).open(volume.path()).unwrap();
        // mkntfs sets the bits past the end; another formatter need not. All of the last 64 bits say 'free'.
        let byte = clusters / 8 / 8 * 8;
        file.write_all_at(&[0; 8], bitmap[0].volume_offset + byte).unwrap();
        let after = free_map(&*volume.device()).unwrap();
        let last = before.blocks() - 1;
        assert!(!after.get(last) && !after.get(last + 1), "the last block holds the backup boot sector");
        let whole = clusters * cluster_size / BLOCK_SIZE;
        for block in 0..after.blocks() {
            let freed = block >= byte * 8 * cluster_size / BLOCK_SIZE && block < whole;
            assert_eq!(after.get(block), before.get(block) || freed, "block {block} of {whole}");
        }
    }
}

#[test]
fn a_tebibyte_takes_well_under_a_second() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let volume = TestVolume::new(4096, 1 << 40);
    let started = Instant::now();
    let builder = FreeMapBuilder::prepare(&*volume.device()).unwrap();
    let prepared = started.elapsed();
    let map = builder.finish(&*volume.device()).unwrap();
    let finished = started.elapsed() - prepared;
    println!("1 TiB: prepare {prepared:?}, finish {finished:?}");
    assert_eq!(map.blocks(), 1 << 26);
    assert!(map.get(1 << 25 | 12345) && !map.get(0) && !map.get((1 << 26) - 1));
    assert!(finished < Duration::from_secs(1) && prepared < Duration::from_secs(2));
    let (free, bytes) = free_clusters(&*volume.device()).unwrap();
    assert!(free > (1 << 28) - (1 << 20) && bytes == free * 4096);
}
