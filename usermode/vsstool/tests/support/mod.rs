// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by the tests: a Windows-made volume to damage, and the tool run under limits of time and memory.
#![allow(dead_code, reason = "every test file is a crate of its own and uses a part")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/images");

/// Longest that one run may take, in seconds: a hang, not a slow machine.
const SECONDS: &str = "60";
/// Most address space that one run may take, in KiB.
const MEMORY: &str = "1000000";

/// A raw image of one volume, writable.
pub(crate) struct Image {
    _dir: TempDir,
    pub(crate) path: PathBuf,
    file: File,
}

/// The volume of the Windows 7 image: one volume at byte 0 with two snapshots. `None`, said aloud, without image or
/// qemu-img.
pub(crate) fn windows_7() -> Option<Image> {
    let packed = Path::new(IMAGES).join("vsstest.qcow2");
    if !packed.exists() {
        println!("skipped: {} is not there", packed.display());
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsstest.raw");
    match Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&packed).arg(&path).status() {
        Ok(status) => assert!(status.success(), "qemu-img: {status}"),
        Err(error) => {
            println!("skipped: qemu-img: {error}");
            return None;
        }
    }
    let file = File::options().read(true).write(true).open(&path).unwrap();
    Some(Image { _dir: dir, path, file })
}

/// The Windows 10 volume and the one that holds its diff area.
pub(crate) fn windows_10() -> Option<(TempDir, PathBuf, PathBuf)> {
    let dir = tempfile::tempdir().unwrap();
    for name in ["vss_1_vol", "vss_2_stor"] {
        let packed = Path::new(IMAGES).join(format!("{name}.tar.gz"));
        if !packed.exists() {
            println!("skipped: {} is not there", packed.display());
            return None;
        }
        let status = Command::new("tar").arg("-C").arg(dir.path()).arg("-xSzf").arg(&packed).status().unwrap();
        assert!(status.success(), "tar: {status}");
    }
    let (volume, storage) = (dir.path().join("vss_1_vol.raw"), dir.path().join("vss_2_stor.raw"));
    Some((dir, volume, storage))
}

impl Image {
    /// An image of zeros.
    pub(crate) fn empty(size: u64) -> Image {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume.raw");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        Image { _dir: dir, path, file }
    }

    pub(crate) fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }

    pub(crate) fn write_u64(&self, at: u64, value: u64) {
        self.write(at, &value.to_le_bytes());
    }

    pub(crate) fn read_u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.read(at, 8).try_into().unwrap())
    }

    pub(crate) fn cut(&self, size: u64) {
        self.file.set_len(size).unwrap();
    }

    /// Writes `bytes` at `at`, runs `test`, and puts back what was there.
    pub(crate) fn with<T>(&self, at: u64, bytes: &[u8], test: impl FnOnce() -> T) -> T {
        let before = self.read(at, bytes.len());
        self.write(at, bytes);
        let result = test();
        self.write(at, &before);
        result
    }

    /// Runs `vsstool VERB IMAGE --offset 0 OPTIONS...`; only the exit codes that are documented pass.
    pub(crate) fn run(&self, verb: &str, options: &[&str]) -> Run {
        let path = self.path.to_str().unwrap();
        run(&[&[verb, path, "--offset", "0"], options].concat())
    }
}

/// What a run said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the tool under the limits.
pub(crate) fn run(arguments: &[&str]) -> Run {
    let limited = format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"");
    let mut command = Command::new("timeout");
    command.args([SECONDS, "sh", "-c", &limited, env!("CARGO_BIN_EXE_vsstool")]).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    let code = status.code().unwrap_or(-1);
    // 101 is a panic, 124 a time-out, 134 and the like signals.
    assert!((0..=2).contains(&code), "{arguments:?} ended with {status}: {err}");
    assert!(!err.contains("panicked"), "{arguments:?}: {err}");
    Run { code, out, err }
}

/// Checks, and expects at least one error that contains `message`.
pub(crate) fn expect_error(image: &Image, message: &str) {
    let Run { code, out, .. } = image.run("check", &[]);
    assert_eq!(code, 1, "expected '{message}':\n{out}");
    let found = out.lines().any(|line| line.starts_with("error: ") && line.contains(message));
    assert!(found, "expected '{message}':\n{out}");
}

/// Checks, and expects warnings only, one of which contains `message`.
pub(crate) fn expect_warning(image: &Image, message: &str) {
    let Run { code, out, .. } = image.run("check", &[]);
    assert_eq!(code, 0, "expected '{message}':\n{out}");
    let found = out.lines().any(|line| line.starts_with("warning: ") && line.contains(message));
    assert!(found, "expected '{message}':\n{out}");
    assert_eq!(image.run("check", &["--strict"]).code, 1);
}
