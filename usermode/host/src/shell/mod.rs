// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's surroundings on Linux: devices, threads, time. What volsnap.sys is on Windows.
//!
//! ```text
//!   FUSE / NBD ──▶ LiveDevice ──▶ Gate ─ pass ─▶ pwrite on the image
//!                                  │ ask
//!                                  ▼
//!                            Shell (one lock) ◀──▶ Engine
//!                                  │ commands
//!               ┌──────────────────┼──────────────────┐
//!               ▼                  ▼                  ▼
//!        I/O threads         keeper thread      release, news
//!     copy, write, flush   store files grow/go
//!
//!   FUSE / NBD ──▶ SnapshotDevice ──▶ Engine::read ─▶ pread ─▶ Engine::read_is_current
//! ```
//!
//! A thread that waits for its write's release does the queue's I/O itself meanwhile: at queue depth 1 no other thread
//! needs to wake up.

mod devices;
mod executor;
mod load;
mod offline;
mod segments;

pub use devices::{LiveDevice, SnapshotDevice};
pub use executor::{FileTask, Io};
pub use load::{LoadFailed, load};
pub use offline::{Offline, OfflineSnapshot};

use crate::device::BlockDevice;
use crate::image::Volume;
use crate::ntfs::Filling;
use engine::{
    Command, Config, Decision, Engine, Event, Extent, Gate, NewSnapshot, Priority, RequestError, Token, WriteId,
};
use ondisk::{FileTime, Guid, VolumeHeader};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Threads that do the engine's I/O, beside the threads that wait for it.
const IO_THREADS: usize = 4;
/// News that are kept for those who ask later.
const KEPT_EVENTS: usize = 512;

/// What has happened, numbered from 1.
#[derive(Debug, Clone, Copy)]
pub struct News {
    /// Its number.
    pub number: u64,
    /// When.
    pub time: FileTime,
    /// What.
    pub event: Event,
}

/// A volume with its engine, served by threads of its own until it is dropped.
pub struct Shell {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

pub(crate) struct Inner {
    gate: Gate,
    state: Mutex<State>,
    /// For those who wait for news or for a resubmission.
    changed: Condvar,
    io: executor::Queue<Io>,
    files: executor::Queue<FileTask>,
    live: Arc<Volume>,
    storage: Arc<Volume>,
    /// What the engine writes through: a flush of users' that fails must not take the news from the engine's own.
    own_live: Arc<Volume>,
    own_storage: Arc<Volume>,
    next_write: AtomicU64,
    /// There is a volume header that users' writes must leave alone.
    has_header: AtomicBool,
    /// Writes into the diff area's own blocks are dropped, and such that consist of this alone: the file system is
    /// making or extending a store file.
    shield: Mutex<Option<Filling>>,
    /// There is one: asked at every write.
    shielding: AtomicBool,
    copied: AtomicU64,
    stop: AtomicBool,
}

struct State {
    engine: Engine,
    waiting: HashMap<u64, Arc<Waiter>>,
    resubmissions: u64,
    news: VecDeque<News>,
    next_news: u64,
    /// When writes that are held must pass again.
    hold_until: Option<Instant>,
}

struct Waiter {
    released: AtomicBool,
    thread: Thread,
}

/// How a write was let in, and so how it ends.
enum Admission {
    Gate,
    Engine,
}

impl Shell {
    /// Loads what is on disk and starts the threads. `storage` is the volume with the diff area when that is another.
    ///
    /// # Errors
    /// What is on disk is damaged or cannot be read.
    pub fn start(live: Arc<Volume>, storage: Option<Arc<Volume>>, config: Config) -> Result<Self, LoadFailed> {
        let (engine, gate) = load(&live, storage.as_deref(), config)?;
        let has_header = engine.header().is_some();
        let own_live = Arc::new(live.again()?);
        let own_storage = match &storage {
            Some(storage) => Arc::new(storage.again()?),
            None => Arc::clone(&own_live),
        };
        let inner = Arc::new(Inner {
            gate,
            state: Mutex::new(State {
                engine,
                waiting: HashMap::new(),
                resubmissions: 0,
                news: VecDeque::new(),
                next_news: 1,
                hold_until: None,
            }),
            changed: Condvar::new(),
            io: executor::Queue::new(),
            files: executor::Queue::new(),
            storage: storage.unwrap_or_else(|| Arc::clone(&live)),
            live,
            own_live,
            own_storage,
            next_write: AtomicU64::new(1),
            has_header: AtomicBool::new(has_header),
            shield: Mutex::new(None),
            shielding: AtomicBool::new(false),
            copied: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for i in 0..IO_THREADS {
            let inner = Arc::clone(&inner);
            let body = move || {
                while let Some(io) = inner.io.wait() {
                    inner.perform(io);
                }
            };
            threads.push(std::thread::Builder::new().name(format!("io-{i}")).spawn(body).map_err(LoadFailed::Thread)?);
        }
        let ticker = Arc::clone(&inner);
        let tick = std::thread::Builder::new().name("tick".into()).spawn(move || ticker.tick_forever());
        threads.push(tick.map_err(LoadFailed::Thread)?);
        inner.dispatch(&mut inner.lock());
        Ok(Self { inner, threads: Mutex::new(threads) })
    }

    /// The live volume as a device. `Reserve` is for the host's own work on store files.
    #[must_use]
    pub fn live(&self, priority: Priority) -> Arc<LiveDevice> {
        Arc::new(LiveDevice::new(Arc::clone(&self.inner), priority))
    }

    /// A snapshot as a read-only device. Reads fail once it is deleted.
    #[must_use]
    pub fn snapshot(&self, store: Guid) -> Option<Arc<SnapshotDevice>> {
        let size = self.with(|engine, _| {
            engine.snapshots().find(|s| s.store == store && !s.hidden).map(|snapshot| snapshot.volume_size)
        })?;
        Some(Arc::new(SnapshotDevice::new(Arc::clone(&self.inner), store, size)))
    }

    /// Looks at or changes the engine under its lock, and does what it then wants.
    pub fn with<T>(&self, what: impl FnOnce(&mut Engine, &Gate) -> T) -> T {
        let mut state = self.inner.lock();
        let result = what(&mut state.engine, &self.inner.gate);
        self.inner.has_header.store(state.engine.header().is_some(), Ordering::Release);
        self.inner.dispatch(&mut state);
        result
    }

    /// The next task for the thread that keeps the store files; `None` when the shell stops.
    #[must_use]
    pub fn next_file_task(&self) -> Option<FileTask> {
        self.inner.files.wait()
    }

    /// The number of the newest event.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.inner.lock().next_news - 1
    }

    /// Kept events with a number above `after`.
    #[must_use]
    pub fn news(&self, after: u64) -> Vec<News> {
        self.inner.lock().news.iter().filter(|news| news.number > after).copied().collect()
    }

    /// Waits for an event with a number above `after` that `wanted` maps to something.
    pub fn wait_for<T>(&self, after: u64, limit: Duration, wanted: impl Fn(&Event) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        let mut state = self.inner.lock();
        loop {
            let found = state.news.iter().filter(|news| news.number > after).find_map(|news| wanted(&news.event));
            let left = end.saturating_duration_since(Instant::now());
            if found.is_some() || left.is_zero() {
                return found;
            }
            state = self.inner.changed.wait_timeout(state, left).unwrap_or_else(|poison| poison.into_inner()).0;
        }
    }

    /// Holds writes until `limit` has passed at the most. Returns when none is in flight.
    ///
    /// # Errors
    /// `BadState` if they are held already, `Busy` if those in flight did not end within `drain` (and `limit`).
    pub fn hold_writes(&self, limit: Duration, drain: Duration) -> Result<(), RequestError> {
        let after = self.newest();
        {
            let mut state = self.inner.lock();
            state.engine.hold_writes(&self.inner.gate)?;
            state.hold_until = Some(Instant::now() + limit);
            self.inner.dispatch(&mut state);
        }
        match self.wait_for(after, limit.min(drain), |event| matches!(event, Event::Held).then_some(())) {
            Some(()) => Ok(()),
            None => {
                let _ = self.release_writes();
                Err(RequestError::Busy)
            }
        }
    }

    /// Lets writes pass again.
    ///
    /// # Errors
    /// `BadState` if they are not held.
    pub fn release_writes(&self) -> Result<(), RequestError> {
        let mut state = self.inner.lock();
        state.hold_until = None;
        let result = state.engine.release_writes(&self.inner.gate);
        self.inner.dispatch(&mut state);
        result
    }

    /// Whether writes are held now.
    #[must_use]
    pub fn holding(&self) -> bool {
        self.inner.lock().hold_until.is_some()
    }

    /// Drops writes to the diff area's own blocks, and writes that consist of `filling` alone, while a store file is
    /// made or extended through the file system; `None` ends that.
    pub fn shield(&self, filling: Option<Filling>) {
        *self.inner.shield.lock().unwrap_or_else(|poison| poison.into_inner()) = filling;
        self.inner.shielding.store(filling.is_some(), Ordering::SeqCst);
    }

    /// 16 KiB blocks copied into stores since the start.
    #[must_use]
    pub fn blocks_copied(&self) -> u64 {
        self.inner.copied.load(Ordering::Relaxed)
    }

    /// Creates the diff area and waits until it is on disk.
    ///
    /// # Errors
    /// As [`Engine::create_area`]; `Io` if it could not be written.
    pub fn create_area(
        &self,
        header: VolumeHeader,
        catalog: u64,
        storage: Option<(VolumeHeader, u64)>,
    ) -> Result<(), RequestError> {
        self.request(
            |engine, gate| engine.create_area(gate, header, catalog, storage),
            |event| match event {
                Event::AreaReady => Some(Ok(())),
                Event::AreaFailed => Some(Err(RequestError::Io)),
                _ => None,
            },
        )
    }

    /// Writes a new snapshot's structures and waits until they are on disk.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    pub fn prepare(&self, snapshot: NewSnapshot) -> Result<(), RequestError> {
        let wanted = snapshot.store;
        self.request(
            |engine, gate| engine.prepare(gate, snapshot),
            |event| match event {
                Event::Prepared { store } if *store == wanted => Some(Ok(())),
                Event::PrepareFailed { store, error } if *store == wanted => Some(Err(*error)),
                _ => None,
            },
        )
    }

    /// Commits the prepared snapshot and waits until it exists.
    ///
    /// # Errors
    /// As [`Engine::commit`]; `Released` if the time limit came first.
    pub fn commit(&self, wanted: Guid, created: FileTime, free: Vec<u8>) -> Result<(), RequestError> {
        self.request(
            |engine, gate| engine.commit(gate, created, free),
            |event| match event {
                Event::Committed { store } if *store == wanted => Some(Ok(())),
                Event::PrepareFailed { store, error } if *store == wanted => Some(Err(*error)),
                _ => None,
            },
        )
    }

    /// Deletes a snapshot and waits until that is durable.
    ///
    /// # Errors
    /// As [`Engine::delete`]; `Io` if it could not be written.
    pub fn delete(&self, wanted: Guid) -> Result<(), RequestError> {
        self.request(
            |engine, gate| engine.delete(gate, wanted),
            |event| match event {
                Event::Deleted { store, .. } if *store == wanted => Some(Ok(())),
                Event::DeleteFailed { store } if *store == wanted => Some(Err(RequestError::Io)),
                Event::StorageLost => Some(Err(RequestError::Io)),
                _ => None,
            },
        )
    }

    /// Stores the maximum size of the diff area, 0 = unbounded, and waits until that is on disk.
    ///
    /// # Errors
    /// As [`Engine::set_maximum`].
    pub fn set_maximum(&self, bytes: u64) -> Result<(), RequestError> {
        self.request(
            |engine, gate| engine.set_maximum(gate, bytes),
            |event| match event {
                Event::MaximumSet => Some(Ok(())),
                Event::MaximumFailed => Some(Err(RequestError::Io)),
                _ => None,
            },
        )
    }

    /// Tells the runs of a store's file.
    ///
    /// # Errors
    /// As [`Engine::set_extents`].
    pub fn set_extents(&self, store: Guid, extents: &[Extent]) -> Result<(), RequestError> {
        self.with(|engine, gate| engine.set_extents(gate, store, extents))
    }

    /// Takes the catalog away from the header, for a diff area without snapshots.
    ///
    /// # Errors
    /// As [`Engine::remove_area`].
    pub fn remove_area(&self) -> Result<(), RequestError> {
        self.request(
            |engine, gate| engine.remove_area(gate),
            |event| matches!(event, Event::AreaRemoved).then_some(Ok(())),
        )
    }

    /// Ends all threads and makes everything durable. Devices of this shell must not be used any more.
    pub fn close(&self) {
        self.inner.stop.store(true, Ordering::SeqCst);
        if self.holding() {
            let _ = self.release_writes();
        }
        self.inner.io.close();
        self.inner.files.close();
        self.inner.changed.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(|poison| poison.into_inner()));
        for thread in threads {
            let _ = thread.join();
        }
        let _ = self.inner.live.flush();
        let _ = self.inner.storage.flush();
    }

    fn request(
        &self,
        ask: impl FnOnce(&mut Engine, &Gate) -> Result<(), RequestError>,
        answer: impl Fn(&Event) -> Option<Result<(), RequestError>>,
    ) -> Result<(), RequestError> {
        let after = self.newest();
        self.with(ask)?;
        // The engine always answers; the limit is for a device that never does.
        self.wait_for(after, Duration::from_secs(120), answer).unwrap_or(Err(RequestError::Io))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The engine's own state is consistent between its calls, whatever a thread of ours did.
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Whether a write only reserves clusters of a store file that is being made.
    fn reserves(&self, bytes: &[u8]) -> bool {
        if !self.shielding.load(Ordering::SeqCst) {
            return false;
        }
        let filling = *self.shield.lock().unwrap_or_else(|poison| poison.into_inner());
        filling.is_some_and(|filling| bytes.chunks(filling.len()).all(|part| *part == filling))
    }

    /// Lets a write in, waiting as long as it takes.
    fn admit(&self, offset: u64, length: u64, priority: Priority) -> Admission {
        loop {
            if self.gate.enter(offset, length) {
                return Admission::Gate;
            }
            let id = self.next_write.fetch_add(1, Ordering::Relaxed);
            let mut state = self.lock();
            match state.engine.write(&self.gate, WriteId(id), offset, length, priority) {
                Decision::Pass => {
                    self.dispatch(&mut state);
                    return Admission::Engine;
                }
                Decision::Wait => {
                    let waiter = Arc::new(Waiter { released: AtomicBool::new(false), thread: std::thread::current() });
                    state.waiting.insert(id, Arc::clone(&waiter));
                    self.dispatch(&mut state);
                    drop(state);
                    self.help_until_released(&waiter);
                    return Admission::Engine;
                }
                Decision::Later => {
                    let seen = state.resubmissions;
                    self.dispatch(&mut state);
                    while state.resubmissions == seen {
                        state = self.changed.wait(state).unwrap_or_else(|poison| poison.into_inner());
                    }
                }
            }
        }
    }

    fn help_until_released(&self, waiter: &Waiter) {
        while !waiter.released.load(Ordering::Acquire) {
            match self.io.try_next() {
                Some(io) => self.perform(io),
                None => std::thread::park(),
            }
        }
    }

    /// Ends a write.
    fn leave(&self, admission: Admission) {
        match admission {
            Admission::Gate => {
                if self.gate.leave() {
                    let mut state = self.lock();
                    state.engine.drained(&self.gate);
                    self.dispatch(&mut state);
                }
            }
            Admission::Engine => {
                let mut state = self.lock();
                state.engine.write_done(&self.gate);
                self.dispatch(&mut state);
            }
        }
    }

    /// Hands out what the engine wants done.
    fn dispatch(&self, state: &mut State) {
        while let Some(command) = state.engine.next_command() {
            match command {
                Command::Copy { token, from, to, length } => {
                    self.copied.fetch_add(1, Ordering::Relaxed);
                    self.io.add(Io::Copy { token, from, to, length });
                }
                Command::Write { token, to, length: _, durable } => {
                    let bytes = state.engine.payload(token).to_vec();
                    self.io.add(Io::Write { token, to, bytes, durable });
                }
                Command::Flush { token, target } => self.io.add(Io::Flush { token, target }),
                Command::Release(WriteId(id)) => {
                    if let Some(waiter) = state.waiting.remove(&id) {
                        waiter.released.store(true, Ordering::Release);
                        waiter.thread.unpark();
                    }
                }
                Command::Resubmit => {
                    state.resubmissions += 1;
                    self.changed.notify_all();
                }
                Command::Grow { store, bytes } => self.files.add(FileTask::Grow { store, bytes }),
                Command::Free { store } => self.files.add(FileTask::Free { store }),
                Command::Notify(event) => {
                    let news = News { number: state.next_news, time: now(), event };
                    state.next_news += 1;
                    state.news.push_back(news);
                    if state.news.len() > KEPT_EVENTS {
                        state.news.pop_front();
                    }
                    self.changed.notify_all();
                }
            }
        }
    }

    fn finished(&self, token: Token, result: io::Result<()>) {
        let mut state = self.lock();
        state.engine.io_done(&self.gate, token, result.map_err(|_| engine::IoError));
        self.dispatch(&mut state);
    }

    /// Once a second what needs time: retries, and the end of a hold.
    fn tick_forever(&self) {
        let mut next_tick = Instant::now() + Duration::from_secs(1);
        while !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
            let now = Instant::now();
            let mut state = self.lock();
            if state.hold_until.is_some_and(|until| until <= now) {
                state.hold_until = None;
                let _ = state.engine.release_writes(&self.gate);
            }
            if now >= next_tick {
                state.engine.tick(&self.gate);
                next_tick = now + Duration::from_secs(1);
            }
            self.dispatch(&mut state);
        }
    }
}

/// The system's time as Windows writes it.
#[must_use]
pub fn now() -> FileTime {
    /// 100 ns between 1601 and 1970.
    const UNIX_EPOCH: u64 = 116_444_736_000_000_000;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    FileTime(UNIX_EPOCH + u64::try_from(since.as_nanos() / 100).unwrap_or(0))
}
