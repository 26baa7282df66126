// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of the story, and what happens to them from day to day.
//!
//! | file | Tuesday | Wednesday | Thursday | Friday |
//! |---|---|---|---|---|
//! | `diary.txt` | rewritten | longer | rewritten | longer |
//! | `photo-1.raw` | | | overwritten in place | |
//! | `photo-2.raw` | deleted | | | |
//! | `photo-3.raw` | renamed | | deleted | |
//! | `ledger.db` | every other block overwritten | the others overwritten | | all of it |
//! | `sources` | a part deleted | | another part deleted | |
//! | `video.raw` | | | takes the space that is free now | |

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// Bytes of a photo, of the ledger, of the blocks in which it is overwritten, and of the video.
const PHOTO: u64 = 2 << 20;
const LEDGER: u64 = 4 << 20;
const LEDGER_BLOCK: u64 = 16 << 10;
const VIDEO: u64 = 6 << 20;

/// The file that people are shown.
pub(super) const DIARY: &str = "diary.txt";
/// The file that is deleted and restored.
pub(super) const DELETED: &str = "photo-2.raw";
/// A folder of many small files.
const SOURCES: &str = "sources";

/// Files in a folder of the live volume.
pub(super) struct Content {
    folder: PathBuf,
}

impl Content {
    /// Writes what is there on Monday. Gives the number of files, too.
    pub(super) fn monday(folder: &Path) -> Result<(Self, usize)> {
        let content = Self { folder: folder.to_owned() };
        content.write(DIARY, b"Monday. Wrote everything down. All is well.\n")?;
        let mut files = 1;
        for number in 1..=4 {
            content.noise(&format!("photo-{number}.raw"), number, PHOTO)?;
            files += 1;
        }
        content.noise("ledger.db", 10, LEDGER)?;
        files += 1;
        // Many small files with names and folders of all lengths: the sources of this repository.
        let root = workspace::root();
        for source in workspace::files(&root)? {
            let Ok(name) = source.strip_prefix(&root) else { continue };
            let kind = name.extension().unwrap_or_default();
            if ["rs", "md", "toml"].iter().any(|wanted| kind == *wanted) {
                let target = content.at(SOURCES).join(name);
                let parent = target.parent().unwrap_or(&target);
                fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
                fs::copy(&source, &target).with_context(|| format!("copy {}", source.display()))?;
                files += 1;
            }
        }
        Ok((content, files))
    }

    /// What happens on Tuesday.
    pub(super) fn tuesday(&self) -> Result<()> {
        self.write(DIARY, b"Tuesday. Tidied up. Who needs all that?\n")?;
        self.remove(DELETED)?;
        fs::rename(self.at("photo-3.raw"), self.at("holiday.raw")).context("rename a photo")?;
        self.overwrite_blocks("ledger.db", 20, 0)?;
        self.remove_folder("sources/usermode")
    }

    /// What happens on Wednesday.
    pub(super) fn wednesday(&self) -> Result<()> {
        self.append(DIARY, b"Wednesday. Was it wise to tidy up?\n")?;
        self.overwrite_blocks("ledger.db", 30, 1)
    }

    /// What happens on Thursday.
    pub(super) fn thursday(&self) -> Result<()> {
        self.write(DIARY, b"Thursday.\n")?;
        self.noise("photo-1.raw", 40, PHOTO)?;
        self.remove("holiday.raw")?;
        self.remove_folder("sources/volsnap-rs")?;
        self.noise("video.raw", 41, VIDEO)
    }

    /// What happens on Friday.
    pub(super) fn friday(&self) -> Result<()> {
        self.append(DIARY, b"Friday. I want my photo back, and Monday's page of the diary.\n")?;
        self.noise("ledger.db", 50, LEDGER)
    }

    /// A file of it.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The diary as it is now.
    pub(super) fn diary(&self) -> Result<String> {
        read_text(&self.at(DIARY))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        fs::write(self.at(name), bytes).with_context(|| format!("write {}", self.at(name).display()))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = OpenOptions::new().append(true).open(self.at(name));
        file.and_then(|mut file| file.write_all(bytes)).with_context(|| format!("write {}", self.at(name).display()))
    }

    /// Fills a file, where it exists in its place.
    fn noise(&self, name: &str, seed: u64, length: u64) -> Result<()> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.at(name));
        let context = || format!("write {}", self.at(name).display());
        let file = file.with_context(context)?;
        io::copy(&mut io::Read::take(Noise(seed), length), &mut &file).with_context(context)?;
        file.sync_all().with_context(context)
    }

    /// Overwrites every other block of a file, from block `first` on.
    fn overwrite_blocks(&self, name: &str, seed: u64, first: u64) -> Result<()> {
        let context = || format!("overwrite {}", self.at(name).display());
        let file = OpenOptions::new().write(true).open(self.at(name)).with_context(context)?;
        let mut noise = Noise(seed);
        let mut block = vec![0; usize::try_from(LEDGER_BLOCK)?];
        for at in (first * LEDGER_BLOCK..LEDGER).step_by(usize::try_from(2 * LEDGER_BLOCK)?) {
            io::Read::read_exact(&mut noise, &mut block).with_context(context)?;
            file.write_all_at(&block, at).with_context(context)?;
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.at(name)).with_context(|| format!("remove {}", self.at(name).display()))
    }

    fn remove_folder(&self, name: &str) -> Result<()> {
        fs::remove_dir_all(self.at(name)).with_context(|| format!("remove {}", self.at(name).display()))
    }
}

/// A small text file.
pub(super) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// Makes one file the content of another, as `cp` does, and compares them afterwards with what is `expected`.
pub(super) fn restore(from: &Path, to: &Path, expected: &Path) -> Result<u64> {
    let context = || format!("copy {} to {}", from.display(), to.display());
    let bytes = fs::copy(from, to).with_context(context)?;
    File::open(to).and_then(|file| file.sync_all()).with_context(context)?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    ensure!(read(to)? == read(expected)?, "{} and {} differ", to.display(), expected.display());
    Ok(bytes)
}

/// Bytes that nothing can compress or take for zeros, the same for the same seed (xorshift64*).
pub(super) struct Noise(pub(super) u64);

impl io::Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for bytes in buffer.chunks_mut(8) {
            // A seed of zero would stay zero for ever.
            let mut state = self.0.max(1);
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            self.0 = state;
            let word = state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            bytes.copy_from_slice(&word[..bytes.len()]);
        }
        Ok(buffer.len())
    }
}
