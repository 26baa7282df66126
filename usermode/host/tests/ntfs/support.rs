// SPDX-License-Identifier: MIT OR Apache-2.0
//! Volumes to test on, and the witnesses.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use vsshost::device::{BlockDevice, StatusExtent};
use vsshost::ntfs::{BLOCK_SIZE, Extent, FileKey, StoreFile, Volume};

pub(crate) const SVI: &str = "System Volume Information";
pub(crate) const CLUSTER_SIZES: [u64; 3] = [512, 4096, 65536];

/// A file as a read-only device.
pub(crate) struct FileDevice {
    file: File,
    size: u64,
}

impl FileDevice {
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        Self { file, size }
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl BlockDevice for FileDevice {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_only(&self) -> bool {
        true
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
    fn write_at(&self, _: &[u8], _: u64, _: bool) -> io::Result<()> {
        read_only()
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool, _: bool) -> io::Result<()> {
        read_only()
    }
    fn trim(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        read_only()
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn block_status(&self, _: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        Ok(vec![StatusExtent { length, hole: false, zero: false }])
    }
}

/// Whether the tests can run here: programs, FUSE, root. Says what is missing.
pub(crate) fn can_run(programs: &[&str]) -> bool {
    let root = rustix::process::geteuid().is_root();
    let fuse = Path::new("/dev/fuse").exists();
    let missing: Vec<_> = programs.iter().filter(|program| !installed(program)).collect();
    if root && fuse && missing.is_empty() {
        return true;
    }
    println!("skipped: needs root ({root}), /dev/fuse ({fuse}), programs (missing: {missing:?})");
    false
}

fn installed(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|place| Path::new(place).join(program).exists())
}

pub(crate) const NTFS_PROGRAMS: [&str; 5] = ["mkntfs", "ntfs-3g", "ntfsfallocate", "ntfsinfo", "ntfscat"];

/// A fresh NTFS volume in an image file of its own directory.
pub(crate) struct TestVolume {
    directory: tempfile::TempDir,
    pub(crate) cluster_size: u64,
}

impl TestVolume {
    pub(crate) fn new(cluster_size: u64, size: u64) -> Self {
        let directory = tempfile::Builder::new().prefix("vsshost-ntfs-test-").tempdir().unwrap();
        let volume = Self { directory, cluster_size };
        File::create(volume.path()).unwrap().set_len(size).unwrap();
        let cluster = cluster_size.to_string();
        let arguments = ["-q", "-F", "-f", "-s", "512", "-c", cluster.as_str()];
        let output = Command::new("mkntfs").args(arguments).arg(volume.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        volume
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("volume.img")
    }

    pub(crate) fn device(&self) -> Arc<dyn BlockDevice> {
        Arc::new(FileDevice::open(&self.path()))
    }

    /// Mounts it with ntfs-3g.
    pub(crate) fn mount(&self) -> Mount {
        Mount::new("ntfs-3g", &[], &self.path())
    }

    /// Fills it with files of the given sizes, then deletes every other one.
    pub(crate) fn fragment(&self, files: usize, size: impl Fn(usize) -> usize) {
        let mount = self.mount();
        let name = |index: usize| mount.path().join(format!("fill-{index}"));
        for index in 0..files {
            fs::write(name(index), vec![index as u8 | 1; size(index)]).unwrap();
        }
        for index in (0..files).step_by(2) {
            fs::remove_file(name(index)).unwrap();
        }
    }

    /// Fills it up with files of the given sizes and one for the rest, then deletes every other one of the former, in
    /// the order in which they lie on the volume: no two holes touch.
    pub(crate) fn fill_up(&self, size: impl Fn(usize) -> usize) {
        let name = |index: usize| format!("fill-{index}");
        let mut count = 0;
        {
            let mount = self.mount();
            let mut rest = File::create(mount.path().join("rest")).unwrap();
            while fs::write(mount.path().join(name(count)), vec![1; size(count)]).is_ok() {
                count += 1;
            }
            while rest.write_all(&[1; 4096]).is_ok() {}
        }
        let mount = self.mount();
        let device = self.device();
        let volume = Volume::open(&*device).unwrap();
        let start = |index: usize| {
            // ntfs-3g shows record numbers as inode numbers.
            let record = fs::metadata(mount.path().join(name(index))).unwrap().ino();
            volume.file(FileKey::Record(record)).unwrap().data.extents[0].volume_offset
        };
        let mut files: Vec<(u64, usize)> = (0..count).map(|index| (start(index), index)).collect();
        files.sort_unstable();
        for (_, index) in files.iter().step_by(2) {
            fs::remove_file(mount.path().join(name(*index))).unwrap();
        }
    }

    /// What `ntfsinfo` says of a file's `$DATA`.
    pub(crate) fn witness(&self, path: &str) -> Witness {
        let output = Command::new("ntfsinfo").args(["-f", "-v", "-F", path]).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "ntfsinfo {path}: {output:?}");
        Witness::parse(&text(&output), self.cluster_size)
    }

    /// Bytes of the volume.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        File::open(self.path()).unwrap().read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// Writes below the file system, as copy-on-write does into a store.
    pub(crate) fn write(&self, extent: &Extent, byte: impl Fn(u64) -> u8) {
        let bytes: Vec<u8> = (0..extent.length).map(|at| byte(extent.file_offset + at)).collect();
        let file = OpenOptions::new().write(true).open(self.path()).unwrap();
        file.write_all_at(&bytes, extent.volume_offset).unwrap();
    }

    /// The file system has no errors that `ntfsfix -n` sees, and mounts.
    pub(crate) fn assert_sound(&self) {
        let output = Command::new("ntfsfix").arg("-n").arg(self.path()).output().unwrap();
        assert!(output.status.success() && text(&output).contains("processed successfully"), "{output:?}");
        fs::read_dir(self.mount().path()).unwrap().for_each(|entry| {
            entry.unwrap().metadata().unwrap();
        });
    }
}

/// A FUSE mount that is gone when dropped.
pub(crate) struct Mount {
    place: PathBuf,
}

impl Mount {
    pub(crate) fn new(program: &str, arguments: &[&str], source: &Path) -> Self {
        let place = tempfile::Builder::new().prefix("vsshost-ntfs-test-mount-").tempdir().unwrap().keep();
        let output = Command::new(program).args(arguments).arg(source).arg(&place).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        Self { place }
    }

    /// Starts a FUSE server that stays in the foreground, and waits until something is mounted.
    pub(crate) fn start(program: &str, arguments: impl Fn(&Path) -> Vec<String>) -> Self {
        let place = tempfile::Builder::new().prefix("vsshost-ntfs-test-mount-").tempdir().unwrap().keep();
        let mut server = Command::new(program).args(arguments(&place)).spawn().unwrap();
        let below = fs::metadata(place.parent().unwrap()).unwrap().dev();
        let mounted = (0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            fs::metadata(&place).is_ok_and(|metadata| metadata.dev() != below)
        });
        assert!(mounted, "{program}: {:?}", server.try_wait());
        // It ends when it is unmounted; this reaps it.
        std::thread::spawn(move || server.wait());
        Self { place }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.place
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A child that another test is just starting has our open files for a moment.
        let unmounted = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            Command::new("umount").arg("-q").arg(&self.place).output().unwrap().status.success()
        });
        assert!(unmounted, "{} stays mounted", self.place.display());
        fs::remove_dir(&self.place).unwrap();
        // ntfs-3g writes on for a moment after umount has returned; it ends when it has closed the image.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A file as `ntfsinfo` sees it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Witness {
    pub(crate) record: u64,
    pub(crate) sequence: u64,
    pub(crate) data_size: u64,
    pub(crate) initialized_size: u64,
    pub(crate) extents: Vec<Extent>,
    pub(crate) attributes: String,
}

impl Witness {
    fn parse(text: &str, cluster_size: u64) -> Self {
        let mut witness = Self::default();
        let mut in_data = false;
        for line in text.lines() {
            let last_number = || {
                let number = line.split(':').nth(1).unwrap().split_whitespace().next().unwrap();
                number.parse::<u64>().unwrap()
            };
            if let Some(rest) = line.strip_prefix("Dumping Inode ") {
                witness.record = rest.split_whitespace().next().unwrap().parse().unwrap();
            } else if line.starts_with("Dumping attribute") {
                in_data = line.contains("$DATA");
            } else if line.starts_with("MFT Record Sequence") || line.trim().starts_with("Sequence Number") {
                witness.sequence = last_number();
            } else if line.contains("File attributes:") && witness.attributes.is_empty() {
                witness.attributes = line.split(':').nth(1).unwrap().trim().to_owned();
            } else if in_data && line.contains("Data size:") && witness.data_size == 0 {
                witness.data_size = last_number();
            } else if in_data && line.contains("Initialized size:") && witness.initialized_size == 0 {
                witness.initialized_size = last_number();
            } else if in_data && line.trim().starts_with("0x") {
                let fields: Vec<u64> = line
                    .split_whitespace()
                    .map(|field| u64::from_str_radix(field.trim_start_matches("0x"), 16).unwrap() * cluster_size)
                    .collect();
                witness.extents.push(Extent { volume_offset: fields[1], file_offset: fields[0], length: fields[2] });
            }
        }
        witness
    }
}

/// The usable extents are exactly the aligned whole blocks of the witnessed runs, and the file starts as it must.
pub(crate) fn assert_usable(file: &StoreFile, runs: &[Extent]) {
    let mut blocks = Vec::new();
    for run in runs {
        let mut offset = run.volume_offset.next_multiple_of(BLOCK_SIZE);
        while offset + BLOCK_SIZE <= run.volume_end() {
            let file_offset = run.file_offset + (offset - run.volume_offset);
            if file_offset + BLOCK_SIZE <= file.size {
                blocks.push((offset, file_offset));
            }
            offset += BLOCK_SIZE;
        }
    }
    let given: Vec<(u64, u64)> = file
        .extents
        .iter()
        .flat_map(|extent| {
            (0..extent.length / BLOCK_SIZE)
                .map(move |block| block * BLOCK_SIZE)
                .map(|at| (extent.volume_offset + at, extent.file_offset + at))
        })
        .collect();
    assert_eq!(given, blocks);
    for block in 0..4 {
        let first = file.extents[0].volume_offset;
        assert_eq!(blocks[block as usize], (first + block * BLOCK_SIZE, block * BLOCK_SIZE));
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A pattern that tells file offsets apart.
pub(crate) fn pattern(seed: u8) -> impl Fn(u64) -> u8 {
    move |at| (at / 512) as u8 ^ (at / 131_072) as u8 ^ seed | 1
}

/// A Windows-made image as a raw file, or `None` (and a line) where the images are not at hand.
pub(crate) fn windows_image(directory: &Path) -> Option<PathBuf> {
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/images/vsstest.qcow2"));
    if !source.exists() || !installed("qemu-img") {
        println!("skipped: needs {} and qemu-img", source.display());
        return None;
    }
    let raw = directory.join("vsstest.raw");
    let output = Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(source).arg(&raw).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(raw)
}
