// SPDX-License-Identifier: MIT OR Apache-2.0
//! Volumes that Windows made, read by the engine: the hashes that other readers and Windows' own driver gave.
//!
//! The images are not part of the project; where they are absent the tests say 'skipped'.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use vsshost::device::BlockDevice;
use vsshost::image::{Access, Selector, Volume, VolumeSpec};
use vsshost::shell::Offline;

const PARTITION: u64 = 34_603_008;

fn images() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/images");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no ../shared/images beside the project");
    None
}

/// Unpacks one image into `folder`; `None` (and a word) when a program for it is missing.
fn unpack(images: &Path, folder: &Path, name: &str) -> Option<PathBuf> {
    let raw = folder.join(format!("{name}.raw"));
    let (packed, mut command) = match name {
        "vsstest" => {
            let packed = images.join("vsstest.qcow2");
            let mut command = Command::new("qemu-img");
            command.args(["convert", "-O", "raw"]).arg(&packed).arg(&raw);
            (packed, command)
        }
        _ => {
            let packed = images.join(format!("{name}.tar.gz"));
            let mut command = Command::new("tar");
            command.arg("-xSzf").arg(&packed).arg("-C").arg(folder);
            (packed, command)
        }
    };
    if !packed.exists() {
        eprintln!("skipped: {} is not there", packed.display());
        return None;
    }
    match command.status() {
        Ok(status) => assert!(status.success(), "{command:?}"),
        Err(why) => {
            eprintln!("skipped: {command:?}: {why}");
            return None;
        }
    }
    Some(raw)
}

fn volume(path: &Path, offset: u64) -> Arc<Volume> {
    let spec = VolumeSpec::new(path, Selector::Offset(offset));
    Arc::new(Volume::open(&spec, Access::ReadOnly).expect("the volume"))
}

fn digests(offline: &Arc<Offline>) -> Vec<(u64, String)> {
    use sha2::Digest;
    let stores: Vec<_> = offline.snapshots().map(|snapshot| snapshot.store).collect();
    let digest = |store| {
        let device = offline.device(store).expect("the snapshot");
        let mut hash = sha2::Sha256::new();
        each_chunk(&*device, |chunk| hash.update(chunk));
        (device.size(), hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    stores.into_iter().map(digest).collect()
}

fn each_chunk(device: &dyn BlockDevice, mut take: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 4 << 20];
    let mut offset = 0;
    while offset < device.size() {
        let length = usize::try_from(device.size() - offset).unwrap_or(usize::MAX).min(buffer.len());
        device.read_at(&mut buffer[..length], offset).expect("read");
        take(&buffer[..length]);
        offset += length as u64;
    }
}

#[test]
fn snapshots_on_their_own_volume() {
    let Some(images) = images() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(raw) = unpack(&images, folder.path(), "vsstest") else { return };
    let found = digests(&Offline::open(volume(&raw, 0), None).expect("load"));
    let expected = [
        (1_073_741_824, "c8ada35c641a68447640b250f35e623b7f619aaae26bd55a06b8d4c34ebed1da"),
        (1_073_741_824, "41f940d92a534dd8e940a4983d2a766bcb262373f9dc2006851e81fa3a1fa2f2"),
    ];
    assert_eq!(found, expected.map(|(size, hash)| (size, hash.to_owned())));
}

#[test]
fn snapshots_on_another_volume() {
    let Some(images) = images() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(live) = unpack(&images, folder.path(), "vss_1_vol") else { return };
    let Some(storage) = unpack(&images, folder.path(), "vss_2_stor") else { return };
    let (live, storage) = (volume(&live, PARTITION), volume(&storage, PARTITION));

    let offline = Offline::open(Arc::clone(&live), Some(Arc::clone(&storage))).expect("load");
    let found = digests(&offline);
    let expected = [
        (5_333_057_536, "8f5e48ec5f5c7fe9cf23935609fb4444f5db7c39f6d9196743613fbcae4de934"),
        (5_333_057_536, "cb7bcf8a6ac55789d4dca6f332399696c798939506fa9b672deed7c9d7887501"),
    ];
    assert_eq!(found, expected.map(|(size, hash)| (size, hash.to_owned())));

    let error = Offline::open(live, None).err().expect("no storage given").to_string();
    assert!(error.contains("--storage"), "{error}");

    let own = digests(&Offline::open(storage, None).expect("load"));
    let expected = "de5f5261b85343472c35962b7f33d06dcacb80f0ee53e47a74c12e6ee75e2db4";
    assert_eq!(own.iter().map(|(_, hash)| hash.as_str()).collect::<Vec<_>>(), [expected]);
}

/// What the Windows driver showed of the clusters that are in use.
#[test]
fn allocated_clusters_as_windows_showed_them() {
    use md5::Digest;
    let Some(images) = images() else { return };
    let Ok(bits) = std::fs::read(images.join("vss_1_vol_bm.bin")) else {
        eprintln!("skipped: no vss_1_vol_bm.bin");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(live) = unpack(&images, folder.path(), "vss_1_vol") else { return };
    let Some(storage) = unpack(&images, folder.path(), "vss_2_stor") else { return };
    let offline = Offline::open(volume(&live, PARTITION), Some(volume(&storage, PARTITION))).expect("load");
    let mut found = Vec::new();
    for store in offline.snapshots().map(|snapshot| snapshot.store).collect::<Vec<_>>() {
        let device = offline.device(store).expect("the snapshot");
        let mut hash = md5::Md5::new();
        let mut cluster = [0; 4096];
        // The last bit stands for no whole cluster.
        let count = bits.len() * 8 - 1;
        for i in (0..count).filter(|i| bits[i / 8] >> (i % 8) & 1 == 1) {
            let offset = i as u64 * 4096;
            if offset + 4096 > device.size() {
                continue;
            }
            device.read_at(&mut cluster, offset).expect("read");
            hash.update(cluster);
        }
        found.push(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    assert_eq!(found, ["1c3920a329d6ce78bd6b837fad79e4e4", "2f2e7ea121b37b2d83ff6a86648441fd"]);
}
