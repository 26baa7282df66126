// SPDX-License-Identifier: MIT OR Apache-2.0
//! Damaged volumes: an answer or an error, soon, never a panic.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use vsshost::device::{BlockDevice, StatusExtent};
use vsshost::ntfs::{Error, FileKey, Volume, find, free_clusters, free_map, is_ntfs, list_diff_area_files};

use crate::support::{NTFS_PROGRAMS, SVI, TestVolume, can_run};

/// A volume with some bytes changed, and possibly a range that cannot be read.
struct Damaged<'a> {
    sound: &'a [u8],
    changed: BTreeMap<u64, u8>,
    unreadable: std::ops::Range<u64>,
}

impl<'a> Damaged<'a> {
    fn new(sound: &'a [u8]) -> Self {
        Self { sound, changed: BTreeMap::new(), unreadable: 0..0 }
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        self.changed.extend((offset..).zip(bytes.iter().copied()));
    }
}

impl BlockDevice for Damaged<'_> {
    fn size(&self) -> u64 {
        self.sound.len() as u64
    }
    fn read_only(&self) -> bool {
        true
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= self.size());
        let end = end.ok_or(io::ErrorKind::InvalidInput)?;
        if offset < self.unreadable.end && self.unreadable.start < end {
            return Err(io::Error::other("bad sector"));
        }
        buf.copy_from_slice(&self.sound[offset as usize..end as usize]);
        for (at, byte) in self.changed.range(offset..end) {
            buf[(at - offset) as usize] = *byte;
        }
        Ok(())
    }
    fn write_at(&self, _: &[u8], _: u64, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn trim(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn block_status(&self, _: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        Ok(vec![StatusExtent { length, hole: false, zero: false }])
    }
}

/// Everything that reads; says whether all of it succeeded.
fn read_all(device: &dyn BlockDevice) -> bool {
    let started = Instant::now();
    let results = [
        is_ntfs(device).map(drop),
        list_diff_area_files(device).map(drop),
        find(device, &["many", "file with a name 77"]).map(drop),
        free_map(device).map(drop),
        free_clusters(device).map(drop),
        Volume::open(device).and_then(|volume| {
            volume.is_dirty()?;
            (0..64).try_for_each(|record| match volume.file(FileKey::Record(record)) {
                Err(Error::NotFound(_)) => Ok(()),
                result => result.map(drop),
            })
        }),
    ];
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
    results.iter().all(Result::is_ok)
}

/// A volume with a large directory, a fragmented file, store files; and its bytes.
fn sound() -> (TestVolume, Vec<u8>) {
    let volume = TestVolume::new(4096, 8 << 20);
    {
        let mount = volume.mount();
        std::fs::create_dir(mount.path().join("many")).unwrap();
        for index in 0..200 {
            std::fs::write(mount.path().join("many").join(format!("file with a name {index}")), [1; 3000]).unwrap();
        }
        (0..200).step_by(2).for_each(|index| {
            std::fs::remove_file(mount.path().join("many").join(format!("file with a name {index}"))).unwrap();
        });
        std::fs::create_dir(mount.path().join(SVI)).unwrap();
        let catalog = mount.path().join(SVI).join("{3808876b-c176-4e48-b7ae-04046e6cc752}");
        std::fs::write(catalog, vec![1; 0x1_0000]).unwrap();
        std::fs::write(mount.path().join("pagefile.sys"), vec![1; 2_000_000]).unwrap();
    }
    let bytes = std::fs::read(volume.path()).unwrap();
    (volume, bytes)
}

/// Offsets of all FILE and INDX records in use.
fn records(bytes: &[u8]) -> Vec<u64> {
    let found =
        bytes.chunks(1024).enumerate().filter(|(_, record)| record.starts_with(b"FILE") || record.starts_with(b"INDX"));
    found.map(|(index, _)| index as u64 * 1024).collect()
}

#[test]
fn changed_bytes_never_panic_or_hang() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let (_volume, bytes) = sound();
    assert!(read_all(&Damaged::new(&bytes)), "sound before it is damaged");
    let records = records(&bytes);
    assert!(records.len() > 100);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let interesting = [0, 1, 0x10, 0x7f, 0x80, 0xff];
    let (mut failed, rounds) = (0, 3000);
    for _ in 0..rounds {
        let mut device = Damaged::new(&bytes);
        // The boot sector, a system file's record (of either copy), or any record; the fields lie in its first half.
        let base = match random(8) {
            0 => 0,
            1..5 => records[random(24.min(records.len() as u64)) as usize],
            _ => records[random(records.len() as u64) as usize],
        };
        for _ in 0..=random(4) {
            let value = if random(2) == 0 { interesting[random(6) as usize] } else { random(256) as u8 };
            device.put(base + random(508), &[value]);
        }
        failed += u32::from(!read_all(&device));
    }
    println!("{failed} of {rounds} damaged volumes gave an error");
    assert!(failed > rounds / 10, "the damage reaches the readers");
}

#[test]
fn truncated_and_foreign_devices_are_refused() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let (_volume, bytes) = sound();
    for length in [0, 1, 511, 512, 4096, 65536, bytes.len() / 2] {
        assert!(!read_all(&Damaged::new(&bytes[..length])), "{length} bytes");
        assert!(!is_ntfs(&Damaged::new(&bytes[..length])).unwrap());
    }
    assert!(!is_ntfs(&Damaged::new(&vec![0; 1 << 20])).unwrap());
    let mut exfat = Damaged::new(&bytes);
    exfat.put(3, b"EXFAT   ");
    assert!(matches!(free_map(&exfat), Err(Error::NotNtfs(_))));
    let mut huge = Damaged::new(&bytes);
    huge.put(0x28, &(u64::MAX / 1024).to_le_bytes());
    assert!(matches!(free_map(&huge), Err(Error::NotNtfs(_))), "no memory is taken for a size that is not there");
}

#[test]
fn a_loop_in_a_directory_is_found() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let (_volume, bytes) = sound();
    let mut device = Damaged::new(&bytes);
    // Every leaf of the large directory gets a child: itself. Its number is at +0x10, flags of an entry at +0xc.
    for record in records(&bytes).into_iter().filter(|&record| bytes[record as usize..].starts_with(b"INDX")) {
        let at = record as usize;
        let field =
            |offset: usize| u32::from_le_bytes(bytes[at + offset..at + offset + 4].try_into().unwrap()) as usize;
        let mut entry = at + 0x18 + field(0x18);
        while bytes[entry + 0xc] & 2 == 0 {
            entry += u16::from_le_bytes([bytes[entry + 8], bytes[entry + 9]]) as usize;
        }
        device.put(entry as u64 + 0xc, &[3]);
        device.put(entry as u64 + 8, &24_u16.to_le_bytes());
        device.put(entry as u64 + 16, &bytes[at + 0x10..at + 0x18]);
        // The end of the entries moves with the last one.
        device.put(record + 0x1c, &(entry as u32 + 24 - at as u32 - 0x18).to_le_bytes());
    }
    let error = find(&device, &["many", "not there"]).unwrap_err();
    assert!(error.to_string().contains("reached twice"), "{error}");
}

#[test]
fn an_unreadable_sector_is_reported_where_it_is() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let (volume, bytes) = sound();
    let map = free_map(&*volume.device()).unwrap();
    let mft = u64::from_le_bytes(bytes[0x30..0x38].try_into().unwrap()) * 4096;
    for (offset, what) in [(0, "boot sector"), (mft, "file system metadata"), (mft + 6 * 1024, "file system metadata")]
    {
        let device = Damaged { unreadable: offset..offset + 512, ..Damaged::new(&bytes) };
        match free_map(&device) {
            Err(Error::Device { what: found, offset: at, source }) => {
                assert_eq!((found, at, source.to_string().as_str()), (what, offset, "bad sector"));
            }
            result => panic!("{:?}", result.map(drop)),
        }
    }
    assert_eq!(free_map(&Damaged::new(&bytes)).unwrap(), map);
}

#[test]
fn an_attribute_cut_off_by_its_record_is_damage() {
    if !can_run(&NTFS_PROGRAMS) {
        return;
    }
    let (_volume, bytes) = sound();
    let mut device = Damaged::new(&bytes);
    let mft = u64::from_le_bytes(bytes[0x30..0x38].try_into().unwrap()) * 4096;
    // $Bitmap's record has one attribute left, in its last 16 bytes: a non-resident $DATA without room for its header.
    let record = mft + 6 * 1024;
    device.put(record + 0x14, &1008_u16.to_le_bytes());
    device.put(record + 0x18, &1024_u32.to_le_bytes());
    device.put(record + 1008, &[0x80, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    let error = free_map(&device).unwrap_err();
    // The `ntfs` crate panics here, which is why it is guarded.
    assert!(error.to_string().contains("file record 6: lengths that contradict each other"), "{error}");
}
