// SPDX-License-Identifier: MIT OR Apache-2.0
//! The diff area on another volume: the same promises, and nothing left there in the end.

use super::fixture::{
    Host, MIB, Raw, STORE, Scratch, Taken, assert_consistent, can_run, make_volume, raw_volume, refused, run_ok,
    served, store_files, take, take_under_load, wait_for_copies, wait_for_store_files, wait_until,
};
use ondisk::{BLOCK_LEN, CatalogBlock, CatalogEntry, VOLUME_HEADER_LEN, VOLUME_HEADER_OFFSET, VolumeHeader};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use vsshost::control::messages::DeleteShadows;
use vsshost::control::types::Selector as Which;
use vsshost::device::BlockDevice;
use vsshost::image::{Access, Selector, Volume, VolumeSpec};
use vsshost::shell::Offline;

const SIZE: u64 = 96 * MIB;
const NEEDED: [&str; 4] = ["mkntfs", "ntfs-3g", "ntfsfix", "fio"];

/// Two volumes; the served one has files in it.
struct Pair {
    scratch: Scratch,
    storage: PathBuf,
    arguments: Vec<String>,
}

impl Pair {
    fn new(name: &str) -> (Self, std::ops::Range<u64>) {
        let (scratch, host, range) = raw_volume(name, SIZE, &[]);
        host.stop();
        let storage = scratch.path("storage.img");
        make_volume(&storage, SIZE, 4096);
        let arguments = ["--nbd-clients-are-raw", "--storage", text(&storage)].map(String::from).into();
        (Self { scratch, storage, arguments }, range)
    }

    fn serve(&self) -> Host {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Host::start_with(&self.scratch, &arguments)
    }

    /// Everybody who can read them while nobody serves: our library, our program, the reference reader.
    #[track_caller]
    fn at_rest(&self, taken: &[Taken]) {
        let open = |path: &Path| {
            let volume = Volume::open(&VolumeSpec::new(path, Selector::Auto), Access::ReadOnly);
            Arc::new(volume.unwrap_or_else(|why| panic!("{why}")))
        };
        let image = self.scratch.image();
        let offline = Offline::open(open(&image), Some(open(&self.storage))).unwrap_or_else(|why| panic!("{why}"));
        let stores: Vec<_> = offline.snapshots().filter(|s| !s.hidden).map(|s| s.store).collect();
        assert_eq!(stores.len(), taken.len(), "number of snapshots");
        for (number, (taken, store)) in taken.iter().zip(stores).enumerate() {
            let device = offline.device(store).expect("the snapshot");
            let what = format!("snapshot {} offline", number + 1);
            taken.truth.compare(&what, |offset, buffer| device.read_at(buffer, offset));
        }
        drop(offline);
        self.vsstool(taken);
    }

    #[track_caller]
    fn vsstool(&self, taken: &[Taken]) {
        // It belongs to another package: it is there when the whole workspace is tested.
        let program = Path::new(env!("CARGO_BIN_EXE_vsshost")).with_file_name("vsstool");
        if !program.exists() {
            eprintln!("\n!!! skipped: {} is not built !!!\n", program.display());
            return;
        }
        let (image, out) = (self.scratch.image(), self.scratch.path("export"));
        let (program, storage) = (text(&program), text(&self.storage));
        run_ok(program, &["check", text(&image), "--storage", storage]);
        let hashes = self.reference_hashes();
        for (number, taken) in (1..).zip(taken) {
            let place = ["--snapshot", &number.to_string(), "--output", text(&out)];
            run_ok(program, &[&["export", text(&image), "--storage", storage][..], &place].concat());
            taken.truth.compare_file(&format!("snapshot {number} by vsstool export"), &out);
            if let Some(hashes) = &hashes {
                assert_eq!(hashes.get(number - 1), Some(&hash(&out)), "snapshot {number} by vssref.py: {hashes:?}");
            }
            fs::remove_file(&out).expect("the export");
        }
    }

    /// Of each snapshot as a whole, oldest first, by the reference reader; `None` if it is not there.
    #[track_caller]
    fn reference_hashes(&self) -> Option<Vec<String>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tools/vssref.py");
        if !script.exists() || !can_run(&["python3"]) {
            eprintln!("\n!!! skipped: {} !!!\n", script.display());
            return None;
        }
        let image = self.scratch.image();
        let said = run_ok("python3", &["-B", text(&script), text(&image), "0", "--storage", text(&self.storage)]);
        let hash = |line: &str| Some(line.split_once("sha256 ")?.1.split_whitespace().next()?.to_owned());
        Some(said.lines().filter_map(hash).collect())
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain characters")
}

fn hash(path: &Path) -> String {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path).expect("a file"), &mut hash).expect("readable");
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Snapshot and store entries in a volume's catalog.
fn entries(image: &Path) -> (usize, usize) {
    let bytes = fs::read(image).expect("the image");
    let header = VolumeHeader::parse(&bytes[VOLUME_HEADER_OFFSET as usize..][..VOLUME_HEADER_LEN]).expect("sound");
    let mut at = header.map_or(0, |header| header.catalog);
    let (mut snapshots, mut stores) = (0, 0);
    while at != 0 {
        let block = CatalogBlock::parse(&bytes[at as usize..][..BLOCK_LEN], at).expect("a catalog block");
        for (_, _, entry) in block.entries() {
            match entry.expect("an entry") {
                CatalogEntry::Snapshot(_) => snapshots += 1,
                CatalogEntry::Store(_) => stores += 1,
                _ => {}
            }
        }
        at = block.header().next;
    }
    (snapshots, stores)
}

#[test]
fn snapshots_on_another_volume() {
    if !can_run(&NEEDED) {
        return;
    }
    let (pair, range) = Pair::new("redirected");
    let (image, storage) = (pair.scratch.image(), &pair.storage);
    let host = pair.serve();
    let mut taken = take_under_load(&pair.scratch, &host, &range, 3);
    served(&host, &taken);
    host.stop();
    assert_eq!((entries(&image), entries(storage)), ((3, 0), (0, 3)), "entries here and there");
    assert_eq!(store_files(&image).map(|files| files.len()), Some(0), "no store lies on the volume itself");
    assert_eq!(store_files(storage).map(|files| files.len()), Some(3));
    pair.at_rest(&taken);

    // Without the storage volume, and with another one in its place.
    let say = refused(&pair.scratch, &[text(&image)]);
    assert!(say.contains("--storage"), "{say}");
    let other = pair.scratch.path("other.img");
    make_volume(&other, 16 * MIB, 4096);
    let say = refused(&pair.scratch, &[text(&image), "--storage", text(&other)]);
    assert!(say.contains("the diff area is on"), "{say}");

    let mut host = pair.serve();
    let gone = taken.remove(1);
    let raw = Raw::start(&pair.scratch, &host, &range, 400);
    wait_for_copies(&host, 5);
    host.delete(gone.shadow.id);
    served(&host, &taken);
    wait_for_store_files(storage, 2);
    taken.push(take(&pair.scratch, &host, STORE));
    wait_for_copies(&host, 20);
    host.kill();
    raw.kill();
    drop(host);
    pair.at_rest(&taken);
    let host = pair.serve();
    served(&host, &taken);
    host.stop();
    pair.at_rest(&taken);
}

#[test]
fn nothing_stays_on_the_storage_volume() {
    if !can_run(&NEEDED) {
        return;
    }
    let (pair, range) = Pair::new("leftovers");
    let (image, storage) = (pair.scratch.image(), &pair.storage);
    let host = pair.serve();
    take_under_load(&pair.scratch, &host, &range, 3);
    let deleted = host.call(DeleteShadows { volume: None, selector: Which::All }).deleted;
    assert_eq!(deleted.len(), 3);
    wait_for_store_files(storage, 0);
    wait_until("the catalogs are empty", Duration::from_secs(10), || {
        (entries(&image), entries(storage)) == ((0, 0), (0, 0))
    });
    // It can begin anew.
    let taken = take_under_load(&pair.scratch, &host, &range, 1);
    served(&host, &taken);
    host.stop();
    pair.at_rest(&taken);
    for volume in [&image, storage] {
        assert_consistent(volume);
    }
}
