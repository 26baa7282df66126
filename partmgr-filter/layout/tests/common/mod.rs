// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks for the tests: bytes in memory and image files, read through the crate's own trait.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use layout::{Error, Layout, Reader, read_layout};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A disk in memory that counts how often it is read.
pub(crate) struct Memory<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) reads: u64,
}

impl Reader for Memory<'_> {
    type Error = String;

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), String> {
        self.reads += 1;
        let start = usize::try_from(lba).expect("a small disk") * buf.len();
        let source = self.bytes.get(start..start + buf.len()).ok_or(format!("sector {lba} is not on the disk"))?;
        buf.copy_from_slice(source);
        Ok(())
    }
}

/// Layout of a disk in memory, and the number of sectors read.
pub(crate) fn of_bytes(bytes: &[u8], sector_size: u32) -> (Result<Layout, Error<String>>, u64) {
    let mut disk = Memory { bytes, reads: 0 };
    let sectors = bytes.len() as u64 / u64::from(sector_size);
    let layout = read_layout(&mut disk, sector_size, sectors);
    (layout, disk.reads)
}

struct Image(File);

impl Reader for Image {
    type Error = io::Error;

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, lba * buf.len() as u64)
    }
}

/// Layout of an image file.
pub(crate) fn of_file(path: &Path, sector_size: u32) -> Result<Layout, Error<io::Error>> {
    let file = File::open(path).expect("the image opens");
    let sectors = file.metadata().expect("the image has a size").len() / u64::from(sector_size);
    read_layout(Image(file), sector_size, sectors)
}

/// Runs a partitioning program with `input` on its standard input. False, loudly, where it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str], image: &Path, input: &str) -> bool {
    let child = Command::new(program).args(arguments).arg(image).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed (apt-get install fdisk gdisk)");
            return false;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    io::Write::write_all(&mut child.stdin.take().expect("a pipe"), input.as_bytes()).expect("input is taken");
    let status = child.wait().expect("the program ends");
    assert!(status.success(), "{program} {arguments:?}: {status}");
    true
}
