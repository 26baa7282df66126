// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading a snapshot that Windows made: the whole of it, from the first byte to the last, as a program that copies it would.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{ours::with_parent, report::ReadResult};
use crate::{process, workspace};

/// Where a checkout usually has the image, beside the repository. It is not part of it.
const USUAL_IMAGE: &str = "../shared/images/vsstest.qcow2";

/// Folder that snapshots are shown in.
const MOUNT: &str = "windows";

/// Bytes of one read.
const CHUNK: usize = 1 << 20;

/// How long a mount may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that shows snapshots as files.
trait Reader {
    /// Its name in tables.
    fn name(&self) -> &'static str;
    /// Shows the snapshots of `image` in the empty folder `mount`. Gives the process, unless it goes into the background.
    fn mount(&self, image: &Path, mount: &Path) -> Result<Option<Child>>;
    /// The file of a snapshot, 1 being the oldest, below the mount point.
    fn file(&self, snapshot: u32) -> String;
}

/// Every reader that is measured.
fn readers(vsstool: &Path) -> Vec<Box<dyn Reader>> {
    vec![Box::new(Vshadowmount), Box::new(Vsstool(vsstool.to_owned()))]
}

/// Our own.
struct Vsstool(PathBuf);

impl Reader for Vsstool {
    fn name(&self) -> &'static str {
        "vsstool mount"
    }

    fn mount(&self, image: &Path, mount: &Path) -> Result<Option<Child>> {
        let mut command = with_parent(&self.0);
        command.arg("mount").arg(image).arg(mount).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().map(Some).with_context(|| format!("start `{}`", process::shown(&command)))
    }

    fn file(&self, snapshot: u32) -> String {
        format!("snapshot{snapshot}")
    }
}

/// libvshadow's own.
struct Vshadowmount;

impl Reader for Vshadowmount {
    fn name(&self) -> &'static str {
        "vshadowmount"
    }

    fn mount(&self, image: &Path, mount: &Path) -> Result<Option<Child>> {
        process::quiet_output(Command::new("vshadowmount").arg(image).arg(mount)).map(|_| None)
    }

    fn file(&self, snapshot: u32) -> String {
        format!("vss{snapshot}")
    }
}

/// Measures every reader, in turns. Nothing if there is no image: it is not ours to hand out.
pub(super) fn measure(image: Option<&Path>, vsstool: &Path, rounds: u32, scratch: &Path) -> Result<Vec<ReadResult>> {
    let image = image.map_or_else(|| workspace::root().join(USUAL_IMAGE), Path::to_owned);
    if !image.is_file() {
        eprintln!("skipped: reading a snapshot that Windows made: {} is missing (--windows-image)", image.display());
        return Ok(Vec::new());
    }
    let raw = scratch.join("windows.img");
    process::quiet_output(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(&image).arg(&raw))?;
    // Into the page cache: the programs are compared, not the disk.
    read_whole(&raw)?;

    let mut results: Vec<ReadResult> = Vec::new();
    for round in 1..=rounds {
        for reader in readers(vsstool) {
            eprintln!("reading, round {round} of {rounds}: {}", reader.name());
            let mount = Mount::new(reader.as_ref(), &raw, &scratch.join(MOUNT))?;
            for snapshot in 1.. {
                let file = mount.path.join(reader.file(snapshot));
                if !file.exists() {
                    ensure!(snapshot > 1, "{} shows no snapshot of {}", reader.name(), image.display());
                    break;
                }
                let start = Instant::now();
                let bytes = read_whole(&file)?;
                let seconds = start.elapsed().as_secs_f64();
                let known = results.iter_mut().find(|r| (r.reader, r.snapshot) == (reader.name(), snapshot));
                match known {
                    Some(result) => result.seconds.push(seconds),
                    None => {
                        let (reader, seconds) = (reader.name(), vec![seconds]);
                        results.push(ReadResult { reader, snapshot, bytes, seconds });
                    }
                }
            }
        }
    }
    Ok(results)
}

fn read_whole(path: &Path) -> Result<u64> {
    let context = || format!("read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        match file.read(&mut buffer).with_context(context)? {
            0 => return Ok(total),
            read => total += read as u64,
        }
    }
}

/// Snapshots shown in a folder, until dropped.
struct Mount {
    path: PathBuf,
    server: Option<Child>,
}

impl Mount {
    fn new(reader: &dyn Reader, image: &Path, path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("make the folder {}", path.display()))?;
        let server = reader.mount(image, path)?;
        let mount = Self { path: path.to_owned(), server };
        let start = Instant::now();
        // The program goes into the background before it answers.
        while fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none()) {
            if start.elapsed() > PATIENCE {
                bail!("{} shows nothing of {}", reader.name(), image.display());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = process::quiet_output(Command::new("fusermount3").arg("-u").arg(&self.path));
        if let Err(error) = &unmounted {
            eprintln!("{} stays mounted: {error:#}", self.path.display());
        }
        if let Some(server) = &mut self.server {
            // It ends when it is unmounted. If that failed, nobody is to wait for it.
            if unmounted.is_err() {
                let _ = server.kill();
            }
            let _ = server.wait();
        }
    }
}
