// SPDX-License-Identifier: MIT OR Apache-2.0
//! A scratch directory with an image and a mount point.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vsshost::fuse::{Options, Session, Tree, mount};
use vsshost::image::{Access, Selector, Volume, VolumeSpec};

pub(crate) const MIB: u64 = 1 << 20;

/// A directory that is removed at the end, with an image and an empty directory to mount on.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// With an image of `size` bytes in which no two blocks of 512 bytes are alike. `None`, loudly, where FUSE cannot
    /// be had.
    pub(crate) fn new(size: u64) -> Option<Self> {
        if File::options().read(true).write(true).open("/dev/fuse").is_err() {
            eprintln!("skipped: /dev/fuse cannot be opened (modprobe fuse, and run as root)");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(folder.path().join("mnt")).expect("a mount point");
        let scratch = Self { folder };
        let image = File::create(scratch.image()).expect("an image");
        image.set_len(size).expect("a sparse image");
        for block in 0..size / 512 {
            image.write_all_at(&pattern(block), block * 512).expect("written");
            if block == 8191 {
                // Enough to tell places apart; the rest stays a hole.
                break;
            }
        }
        Some(scratch)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.path("image")
    }

    pub(crate) fn mountpoint(&self) -> PathBuf {
        self.path("mnt")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.mountpoint().join(name)
    }

    /// The image as a whole.
    pub(crate) fn volume(&self, access: Access) -> Arc<Volume> {
        let spec = VolumeSpec::new(self.image(), Selector::Offset(0));
        Arc::new(Volume::open(&spec, access).expect("the image opens"))
    }

    pub(crate) fn mount(&self, tree: &Tree) -> Session {
        mount(&self.mountpoint(), tree, &Options::default()).expect("it mounts")
    }
}

/// What block number `block` holds.
pub(crate) fn pattern(block: u64) -> [u8; 512] {
    let mut bytes = [0xa5; 512];
    bytes[..8].copy_from_slice(&block.to_le_bytes());
    bytes
}

/// Runs a program. `None`, loudly, where it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> Option<Output> {
    match Command::new(program).args(arguments).args(paths).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed (apt-get install ntfs-3g fio util-linux)");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Runs a program that must succeed.
pub(crate) fn run_ok(program: &str, arguments: &[&str], paths: &[&Path]) -> Option<String> {
    let output = run(program, arguments, paths)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?} {paths:?}: {}\n{out}{err}", output.status);
    Some(out)
}

/// Waits for what the kernel does a moment later.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
