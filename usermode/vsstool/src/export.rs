// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsstool export`: a snapshot, or a range of it, as a raw image.

use crate::args::ImageArgs;
use crate::{Outcome, snapshots};
use anyhow::{Context as _, Result, bail};
use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vsshost::device::BlockDevice;

/// Bytes read at once, and the unit in which zeros become holes.
const CHUNK: usize = 1 << 20;
const HOLE: usize = 1 << 16;

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    image: ImageArgs,

    /// Which snapshot, counted from the oldest, 1.
    #[arg(long, value_name = "N")]
    snapshot: usize,

    /// Only these bytes of it (decimal or 0x hexadecimal).
    #[arg(long, value_name = "OFFSET:LENGTH", value_parser = range)]
    range: Option<(u64, u64)>,

    /// Where to: a file, which becomes sparse, a block device, or - for standard output.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let parsed = text.split_once(':').and_then(|(offset, length)| Some((number(offset).ok()?, number(length).ok()?)));
    parsed.ok_or_else(|| format!("'{text}' is not OFFSET:LENGTH"))
}

pub(crate) fn run(args: &ExportArgs, out: &mut dyn Write) -> Result<Outcome> {
    let device = snapshots::open_one(&args.image, args.snapshot)?;
    let size = device.size();
    let (offset, length) = args.range.unwrap_or((0, size));
    if offset.checked_add(length).is_none_or(|end| end > size) {
        bail!("--range {offset}:{length} reaches past the end of the snapshot, which has {size} bytes");
    }
    if args.output == Path::new("-") {
        copy(&*device, offset, length, &mut Stream(out)).context("standard output")?;
        return Ok(Outcome::Clean);
    }
    let path = &args.output;
    let mut target = Target::create(path, &args.image)?;
    copy(&*device, offset, length, &mut target).with_context(|| path.display().to_string())?;
    target.finish(length).with_context(|| path.display().to_string())?;
    Ok(Outcome::Clean)
}

/// Where exported bytes go.
trait Sink {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
    fn zeros(&mut self, length: u64) -> io::Result<()>;
}

fn copy(device: &dyn BlockDevice, offset: u64, length: u64, sink: &mut dyn Sink) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut progress = Progress::new(length);
    let mut done = 0;
    while done < length {
        let extent = device.block_status(offset + done, length - done)?.first().copied();
        let run = extent.map_or(length - done, |extent| extent.length.min(length - done));
        let end = done + run;
        if extent.is_some_and(|extent| extent.zero) {
            sink.zeros(run)?;
            done = end;
        }
        while done < end {
            let step = usize::try_from(end - done).unwrap_or(CHUNK).min(CHUNK);
            let chunk = &mut buffer[..step];
            device.read_at(chunk, offset + done)?;
            for part in chunk.chunks(HOLE) {
                if part.iter().all(|byte| *byte == 0) { sink.zeros(part.len() as u64)? } else { sink.data(part)? }
            }
            done += step as u64;
            progress.at(done);
        }
    }
    progress.end();
    Ok(())
}

/// Standard output: every byte is written.
struct Stream<'a>(&'a mut dyn Write);

impl Sink for Stream<'_> {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn zeros(&mut self, length: u64) -> io::Result<()> {
        let zeros = [0; HOLE];
        let mut left = length;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(HOLE).min(HOLE);
            self.0.write_all(&zeros[..step])?;
            left -= step as u64;
        }
        Ok(())
    }
}

/// A file, in which zeros are left out, or a device, in which they are not.
struct Target {
    file: File,
    device: bool,
}

impl Target {
    fn create(path: &Path, image: &ImageArgs) -> Result<Self> {
        let name = || path.display().to_string();
        let sources = [Some(image.volume().path), image.storage().map(|spec| spec.path.clone())];
        if let Ok(there) = path.metadata() {
            for source in sources.into_iter().flatten() {
                let source = source.metadata()?;
                if (source.dev(), source.ino()) == (there.dev(), there.ino()) {
                    bail!("{}: is the image itself", path.display());
                }
            }
            if there.file_type().is_block_device() {
                let file = File::options().write(true).open(path).with_context(name)?;
                return Ok(Self { file, device: true });
            }
        }
        Ok(Self { file: File::create(path).with_context(name)?, device: false })
    }

    fn finish(self, length: u64) -> io::Result<()> {
        if !self.device {
            self.file.set_len(length)?;
        }
        self.file.sync_all()
    }
}

impl Sink for Target {
    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn zeros(&mut self, length: u64) -> io::Result<()> {
        if self.device {
            return Stream(&mut self.file).zeros(length);
        }
        self.file.seek(SeekFrom::Current(i64::try_from(length).map_err(io::Error::other)?)).map(drop)
    }
}

/// A line on standard error, from the second second on, if a person is there to see it.
struct Progress {
    total: u64,
    next: Instant,
    shown: bool,
}

impl Progress {
    fn new(total: u64) -> Self {
        Self { total, next: Instant::now() + Duration::from_secs(1), shown: false }
    }

    fn at(&mut self, done: u64) {
        if Instant::now() >= self.next && io::stderr().is_terminal() {
            eprint!("\r{} of {} MiB", done >> 20, self.total >> 20);
            self.next = Instant::now() + Duration::from_millis(500);
            self.shown = true;
        }
    }

    fn end(&self) {
        if self.shown {
            eprintln!();
        }
    }
}
