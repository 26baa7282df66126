// SPDX-License-Identifier: MIT OR Apache-2.0
//! Volumes that Windows made: every structure is read, written again and compared with the bytes it came from.
//!
//! Needs the images beside the project's checkout; without them the tests say 'skipped' and prove nothing.

use ondisk::*;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/images");

/// A volume inside an unpacked image.
struct Volume {
    file: File,
    start: u64,
}

impl Volume {
    fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, self.start + at).unwrap();
        bytes
    }

    fn block(&self, at: u64) -> Vec<u8> {
        self.read(at, BLOCK_LEN)
    }
}

/// Unpacks `packed` into `dir` with `unpack`; `None`, said aloud, where image or program are missing.
fn unpacked(packed: &str, unpack: impl Fn(&Path) -> Command) -> Option<()> {
    let packed = PathBuf::from(IMAGES).join(packed);
    if !packed.exists() {
        println!("skipped: {} is not there", packed.display());
        return None;
    }
    match unpack(&packed).status() {
        Ok(status) => assert!(status.success(), "{}: could not be unpacked", packed.display()),
        Err(error) => {
            println!("skipped: {:?}: {error}", unpack(&packed).get_program());
            return None;
        }
    }
    Some(())
}

/// How much of each structure a volume had.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    catalog_blocks: usize,
    snapshots: usize,
    stores: usize,
    descriptors: usize,
    ranges: usize,
    bitmap_blocks: usize,
}

/// Follows `next` from `first`; `visit` compares one block and tells the next.
fn chain(first: u64, structure: Structure, mut visit: impl FnMut(u64) -> u64) {
    let mut guard = ChainGuard::new(1 << 20, structure);
    let mut at = first;
    while at != 0 {
        guard.visit(at).unwrap();
        at = visit(at);
    }
}

/// Reads everything that the volume's own catalog names; panics where writing it again gives other bytes.
fn compare_all(volume: &Volume) -> Seen {
    let mut seen = Seen::default();
    let bytes = volume.read(VOLUME_HEADER_OFFSET, VOLUME_HEADER_LEN);
    let header = VolumeHeader::parse(&bytes).unwrap().unwrap();
    assert_eq!(header.to_bytes()[..], bytes);

    let mut stores = Vec::new();
    chain(header.catalog, Structure::Catalog, |at| {
        let bytes = volume.block(at);
        let block = CatalogBlock::parse(&bytes, at).unwrap();
        let mut again = block.header().to_bytes().to_vec();
        for (_, _, entry) in block.entries() {
            let entry = entry.unwrap();
            match entry {
                CatalogEntry::Snapshot(_) => seen.snapshots += 1,
                CatalogEntry::Store(store) => stores.push(store),
                CatalogEntry::Unused | CatalogEntry::Free => (),
                CatalogEntry::Unknown(kind) => panic!("entry type {kind}"),
            }
            again.extend_from_slice(&entry.to_bytes());
        }
        assert_eq!(again, bytes, "catalog block at {at:#x}");
        seen.catalog_blocks += 1;
        block.header().next
    });
    seen.stores = stores.len();
    for store in stores {
        compare_store(volume, &store, &mut seen);
    }
    seen
}

fn compare_store(volume: &Volume, store: &StoreEntry, seen: &mut Seen) {
    let bytes = volume.block(store.header);
    let header = StoreHeader::parse(&bytes, store.header).unwrap();
    let mut again = vec![0xff; BLOCK_LEN];
    header.to_block(&mut again).unwrap();
    assert_eq!(again, bytes, "store header at {:#x}", store.header);

    chain(store.block_list, Structure::BlockList, |at| {
        let bytes = volume.block(at);
        let block = BlockList::parse(&bytes, at).unwrap();
        let mut again = block.header().to_bytes().to_vec();
        for (_, descriptor) in block.descriptors() {
            let descriptor = descriptor.unwrap();
            seen.descriptors += usize::from(descriptor.is_some());
            again.extend_from_slice(&descriptor.map_or([0; DESCRIPTOR_LEN], |some| some.to_bytes()));
        }
        assert_eq!(again, bytes, "block list at {at:#x}");
        block.header().next
    });
    chain(store.ranges, Structure::RangeList, |at| {
        let bytes = volume.block(at);
        let block = RangeList::parse(&bytes, at).unwrap();
        let mut again = block.header().to_bytes().to_vec();
        for (_, range) in block.ranges() {
            again.extend_from_slice(&range.unwrap().to_bytes());
            seen.ranges += 1;
        }
        again.resize(BLOCK_LEN, 0);
        assert_eq!(again, bytes, "range list at {at:#x}");
        block.header().next
    });
    for first in [store.bitmap, store.previous_bitmap] {
        chain(first, Structure::Bitmap, |at| {
            let bytes = volume.block(at);
            let block = BitmapBlock::parse(&bytes, at).unwrap();
            let again = [&block.header().to_bytes()[..], block.payload()].concat();
            assert_eq!(again, bytes, "bitmap at {at:#x}");
            seen.bitmap_blocks += 1;
            block.header().next
        });
    }
}

#[test]
fn windows_7_with_two_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("vsstest.raw");
    let convert = |packed: &Path| {
        let mut command = Command::new("qemu-img");
        command.args(["convert", "-O", "raw"]).arg(packed).arg(&raw);
        command
    };
    if unpacked("vsstest.qcow2", convert).is_none() {
        return;
    }
    let seen = compare_all(&Volume { file: File::open(&raw).unwrap(), start: 0 });
    println!("{seen:?}");
    assert_eq!((seen.catalog_blocks, seen.snapshots, seen.stores, seen.bitmap_blocks), (4, 2, 2, 3));
    assert!(seen.descriptors > 456 && seen.ranges >= 2);
}

#[test]
fn windows_10_with_its_diff_area_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let untar = |packed: &Path| {
        let mut command = Command::new("tar");
        command.arg("-C").arg(dir.path()).arg("-xSzf").arg(packed);
        command
    };
    // Of the volume itself and of the one that holds its diff area beside an own snapshot.
    for (name, snapshots, stores) in [("vss_1_vol", 2, 0), ("vss_2_stor", 1, 3)] {
        if unpacked(&format!("{name}.tar.gz"), untar).is_none() {
            return;
        }
        let file = File::open(dir.path().join(format!("{name}.raw"))).unwrap();
        let seen = compare_all(&Volume { file, start: 34_603_008 });
        println!("{name}: {seen:?}");
        assert_eq!((seen.catalog_blocks, seen.snapshots, seen.stores), (4, snapshots, stores));
    }
}
