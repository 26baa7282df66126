// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mounted tree, from mount to unmount.

use super::filesystem::Server;
use super::gate::Gate;
use super::mountpoint::{MountError, Mounted, check, unmount_path};
use super::tree::Tree;
use fuser::{Config, MountOption, SessionACL};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

/// How a tree is mounted.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that take requests from the kernel, at least 2. So many reads run at a time; writes take half of them,
    /// and threads of their own beyond that.
    pub threads: usize,
    /// Other users may see the files, within the files' permissions. Otherwise only the user who mounts, root included.
    pub allow_other: bool,
    /// What `mount` and `df` show as the source.
    pub source: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 16, allow_other: false, source: "vsshost".to_owned() }
    }
}

/// Tells the sessions of one tree apart.
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// While a client closes its last file, or udev looks at the new mount, an unmount finds it busy for a moment.
const UNMOUNT_ATTEMPTS: u32 = 10;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(50);

/// Mounts `tree` on the directory `mountpoint`. The files are there when this returns.
///
/// # Errors
/// No directory, a dead mount in the way, no FUSE: see [`MountError`].
pub fn mount(mountpoint: &Path, tree: &Tree, options: &Options) -> Result<Session, MountError> {
    let path = check(mountpoint)?;
    let failed = |source| MountError::Io { path: path.clone(), doing: "mount", source };
    let threads = options.threads.max(2);
    let gate = Gate::new(threads);

    let server = Server::new(tree.clone(), gate.clone());
    // Mounts, and answers the kernel's first request.
    let session = fuser::Session::new(server, &path, &config(options, threads)).map_err(failed)?;
    let notifier = session.notifier();
    let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
    let mounted = Mounted::at(&path).map_err(failed)?;

    // From here on the kernel hears of files that go, until the last thread has ended.
    tree.attach(number, notifier);
    let (served, ended) = (tree.clone(), Arc::new(AtomicBool::new(false)));
    let serve = {
        let ended = Arc::clone(&ended);
        move || {
            let result = session.run();
            ended.store(true, Ordering::Release);
            served.detach(number);
            result
        }
    };
    let thread = thread::Builder::new().name("fuse".to_owned()).spawn(serve).map_err(|error| {
        tree.detach(number);
        failed(error)
    })?;
    mounted.raise_read_ahead();
    let unmounter = Unmounter { path, mounted, tree: tree.clone(), gate, ended, order: Arc::default() };
    Ok(Session { unmounter, thread: Some(thread) })
}

fn config(options: &Options, threads: usize) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(options.source.clone()),
        MountOption::Subtype("vsshost".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoAtime,
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(threads);
    // A descriptor of its own for each thread, so that they do not queue for one.
    config.clone_fd = true;
    config
}

/// A mounted tree. Dropping it unmounts as [`Unmounter::detach`] does.
#[derive(Debug)]
pub struct Session {
    unmounter: Unmounter,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Session {
    /// Where it is mounted, without links.
    pub fn mountpoint(&self) -> &Path {
        &self.unmounter.path
    }

    /// Something to unmount with from elsewhere, such as a signal's thread while another one sits in [`Self::join`].
    pub fn unmounter(&self) -> Unmounter {
        self.unmounter.clone()
    }

    /// Waits until it is unmounted, by whomever.
    ///
    /// # Errors
    /// The connection to the kernel failed.
    pub fn join(mut self) -> Result<(), MountError> {
        self.wait()
    }

    /// Unmounts and waits for the last request.
    ///
    /// # Errors
    /// As [`Unmounter::unmount`]; the session goes on then.
    pub fn unmount(&mut self) -> Result<(), MountError> {
        self.unmounter.unmount()?;
        self.wait()
    }

    fn wait(&mut self) -> Result<(), MountError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread that serves it panicked")));
        // Nobody may be left who writes when this has returned.
        self.unmounter.gate.close();
        let path = self.mountpoint().to_owned();
        ended.map_err(|source| MountError::Io { path, doing: "serve it any longer", source })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.thread.is_none() {
            return;
        }
        // Whoever has a file open keeps the serving threads alive, and gets errors. They end with the last close.
        if self.unmounter.detach().is_ok() && self.unmounter.tree.open_files().is_empty() {
            let _ = self.wait();
        }
    }
}

/// Unmounts a session from any thread.
#[derive(Debug, Clone)]
pub struct Unmounter {
    path: PathBuf,
    mounted: Mounted,
    tree: Tree,
    gate: Gate,
    /// The kernel has closed the connection: whatever is mounted at the path now is not ours. The kernel gives the
    /// numbers in `mounted` again to the next mount, so they alone would not tell.
    ended: Arc<AtomicBool>,
    /// One at a time: between 'is it still ours' and the unmount nobody else's mount may take its place.
    order: Arc<Mutex<()>>,
}

impl Unmounter {
    /// Unmounts if nobody uses it. Already unmounted is fine. The session's join returns then.
    ///
    /// # Errors
    /// [`MountError::Busy`] with the processes that have files open, or what the system says.
    pub fn unmount(&self) -> Result<(), MountError> {
        for attempt in 1.. {
            match self.try_unmount(false) {
                Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return Err(self.failed(error)),
                Err(_) if attempt == UNMOUNT_ATTEMPTS => break,
                Err(_) => sleep(UNMOUNT_PAUSE),
                Ok(()) => return Ok(()),
            }
        }
        Err(MountError::Busy { path: self.path.clone(), open: self.tree.open_files() })
    }

    /// Unmounts in any case, for an end that cannot wait: requests that run are completed, all later ones on files
    /// that are still open fail with EIO, and no device is touched any more once this has returned.
    ///
    /// # Errors
    /// What the system says.
    pub fn detach(&self) -> Result<(), MountError> {
        self.gate.close();
        self.try_unmount(true).map_err(|error| self.failed(error))
    }

    fn try_unmount(&self, lazy: bool) -> io::Result<()> {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = !self.ended.load(Ordering::Acquire) && self.mounted.is_at(&self.path);
        if ours { unmount_path(&self.path, lazy) } else { Ok(()) }
    }

    fn failed(&self, source: io::Error) -> MountError {
        MountError::Io { path: self.path.clone(), doing: "unmount", source }
    }
}
