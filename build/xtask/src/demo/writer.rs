// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program that goes on writing while snapshots are made, and what a snapshot of its files must look like.
//!
//! In each round it overwrites the file `first` with the round's number, makes that durable, does the same with the
//! file `second`, and then writes a letter, a new file that is never changed again. So at any one moment
//!
//! * `second` is never ahead of `first`, and at most one round behind it;
//! * at most one of them is half written;
//! * every letter that was durable before is complete.
//!
//! A snapshot that mixes two moments breaks one of these.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    ops::RangeInclusive,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::content::Noise;

/// The folder of the writer's files.
pub(super) const FOLDER: &str = "writer";

/// Bytes of `first` and `second`, and the smallest piece of them that a disk writes whole.
const PAGE: usize = 64 << 10;
const SECTOR: usize = 512;

/// Bytes of a letter.
const LETTER: u64 = 12_345;

/// Between two rounds: the demo is to stay small.
const PAUSE: Duration = Duration::from_millis(20);

/// The running writer; stops with this value.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The last round that is complete and durable.
    done: u64,
    wanted: Wanted,
    /// The thread is between two rounds and waits.
    idle: bool,
    ended: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Write,
    Pause,
    End,
}

impl Writer {
    /// Starts it in a folder of the live volume.
    pub(super) fn start(parent: &Path) -> Result<Self> {
        let folder = parent.join(FOLDER);
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        for name in ["first", "second"] {
            fill(&open(&folder.join(name))?, 0)?;
        }
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let result = write_rounds(&folder, &of_thread);
            of_thread.lock().ended = true;
            of_thread.changed.notify_all();
            result
        });
        let writer = Self { shared, thread: Some(thread) };
        writer.wait_for(|state| state.done >= 3)?;
        Ok(writer)
    }

    /// The last round that is complete and durable.
    pub(super) fn done(&self) -> u64 {
        self.shared.lock().done
    }

    /// Lets it finish its round and wait, until [`Writer::resume`]. Gives its last round.
    pub(super) fn pause(&self) -> Result<u64> {
        self.ask(Wanted::Pause);
        self.wait_for(|state| state.idle)?;
        Ok(self.done())
    }

    /// Lets it go on, and waits until it has written.
    pub(super) fn resume(&self) -> Result<()> {
        let before = self.done();
        self.ask(Wanted::Write);
        self.wait_for(|state| state.done > before)
    }

    /// Ends it. Gives its last round; an error if any write failed.
    pub(super) fn end(mut self) -> Result<u64> {
        self.ask(Wanted::End);
        let thread = self.thread.take().context("the writer has ended")?;
        thread.join().map_err(|_| anyhow!("the writer panicked"))??;
        Ok(self.done())
    }

    fn ask(&self, wanted: Wanted) {
        self.shared.lock().wanted = wanted;
        self.shared.changed.notify_all();
    }

    fn wait_for(&self, wanted: impl Fn(&State) -> bool) -> Result<()> {
        let mut state = self.shared.lock();
        while !wanted(&state) {
            ensure!(!state.ended, "the writer could not write");
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ask(Wanted::End);
        if let Some(Ok(Err(error))) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the writer: {error:#}");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while a pause is wanted; false if the end is.
    fn go_on(&self) -> bool {
        let mut state = self.lock();
        while state.wanted == Wanted::Pause {
            state.idle = true;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        state.wanted != Wanted::End
    }
}

fn write_rounds(folder: &Path, shared: &Shared) -> Result<()> {
    let (first, second) = (open(&folder.join("first"))?, open(&folder.join("second"))?);
    for round in 1.. {
        if !shared.go_on() {
            break;
        }
        fill(&first, round)?;
        fill(&second, round)?;
        write_letter(folder, round)?;
        shared.lock().done = round;
        shared.changed.notify_all();
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    file.with_context(|| format!("open {}", path.display()))
}

/// Every sector gets the number of the round.
fn fill(file: &File, round: u64) -> Result<()> {
    let page = round.to_le_bytes().repeat(PAGE / 8);
    file.write_all_at(&page, 0).and_then(|()| file.sync_all()).with_context(|| format!("write round {round}"))
}

fn letter_path(folder: &Path, round: u64) -> PathBuf {
    folder.join(format!("letter {round}.txt"))
}

fn write_letter(folder: &Path, round: u64) -> Result<()> {
    let path = letter_path(folder, round);
    let written = File::create(&path).and_then(|mut file| {
        io::copy(&mut Noise(round).take(LETTER), &mut file)?;
        file.sync_all()
    });
    written.with_context(|| format!("write {}", path.display()))
}

/// Looks at the writer's files in a snapshot. The snapshot was asked for when `rounds.start()` was done, and was there
/// when `rounds.end()` was. Gives the number of letters, and the round of the moment.
pub(super) fn check(parent: &Path, rounds: RangeInclusive<u64>) -> Result<(u64, u64)> {
    let folder = parent.join(FOLDER);
    let (first, second) = (rounds_in(&folder.join("first"))?, rounds_in(&folder.join("second"))?);
    let moment = moment(&first, &second)?;
    // One more than is done may be in progress.
    ensure!(
        (*rounds.start()..=rounds.end() + 1).contains(&moment),
        "the snapshot shows round {moment}, and was made in rounds {} to {}",
        rounds.start(),
        rounds.end() + 1
    );
    let mut content = Vec::new();
    for round in 1..=*rounds.start() {
        let path = letter_path(&folder, round);
        let letter = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        content.clear();
        Noise(round).take(LETTER).read_to_end(&mut content)?;
        ensure!(letter == content, "{}: not what was written", path.display());
    }
    Ok((*rounds.start(), moment))
}

/// The lowest and the highest round in the sectors of a file.
fn rounds_in(path: &Path) -> Result<RangeInclusive<u64>> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    ensure!(bytes.len() == PAGE, "{} has {} bytes instead of {PAGE}", path.display(), bytes.len());
    let (mut low, mut high) = (u64::MAX, 0);
    for sector in bytes.chunks(SECTOR) {
        let mut number = [0; 8];
        number.copy_from_slice(&sector[..8]);
        ensure!(sector.chunks(8).all(|word| word == number), "{}: a torn sector", path.display());
        let number = u64::from_le_bytes(number);
        (low, high) = (low.min(number), high.max(number));
    }
    Ok(low..=high)
}

/// The round that was in progress, or complete, at the moment that both files show; an error if there is no such one.
fn moment(first: &RangeInclusive<u64>, second: &RangeInclusive<u64>) -> Result<u64> {
    let round = *first.end();
    let writing_first = round > 0 && *first.start() + 1 == round && *second == (round - 1..=round - 1);
    let first_is_whole = *first.start() == round;
    let second_follows = *second.end() <= round && *second.start() + 1 >= round && second.start() <= second.end();
    if writing_first || (first_is_whole && second_follows) {
        return Ok(round);
    }
    bail!("'first' shows rounds {first:?} and 'second' {second:?}: no moment of the writer was like that")
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn a_snapshot_of_one_moment_shows_one_of_its_states() {
        let good = [(5..=5, 5..=5), (5..=5, 4..=4), (5..=5, 4..=5), (4..=5, 4..=4), (0..=0, 0..=0)];
        for (first, second) in good {
            assert_eq!(moment(&first, &second).unwrap(), *first.end(), "{first:?} {second:?}");
        }
        let bad = [(5..=5, 6..=6), (5..=5, 3..=3), (3..=5, 3..=3), (4..=5, 4..=5), (4..=5, 5..=5), (5..=5, 3..=5)];
        for (first, second) in bad {
            assert!(moment(&first, &second).is_err(), "{first:?} {second:?}");
        }
    }
}
