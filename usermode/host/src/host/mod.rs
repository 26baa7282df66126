// SPDX-License-Identifier: MIT OR Apache-2.0
//! One served volume: the shell with what surrounds it, and what people and programs can ask of it.
//!
//! | file | what |
//! |---|---|
//! | `options` | what a person says on the command line |
//! | `users` | who has the live volume open, and when they must wait |
//! | `storage` | store files: which back end makes them now |
//! | `keeper` | the engine's wishes about store files |
//! | `expose` | snapshots as files and exports |
//! | `snapshots` | making and deleting snapshots |
//! | `service` | the control protocol's requests |

mod events;
mod expose;
mod keeper;
mod options;
mod service;
mod snapshots;
mod storage;
mod users;

pub use options::Options;

use crate::control;
use crate::device::BlockDevice;
use crate::fuse::{self, Session, Tree};
use crate::image::{Access, Volume};
use crate::nbd;
use crate::shell::{News, Shell, now};
use anyhow::{Context as _, Result, bail};
use engine::{Config, Priority};
use expose::Exposed;
use ondisk::FileTime;
use snapshots::OpenSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use storage::Storage;
use users::{Door, Users};

/// Name of the live volume as a file and as an export.
pub const LIVE: &str = "volume";

/// A served volume.
pub struct Host {
    name: String,
    options: Options,
    shell: Shell,
    live: Arc<Volume>,
    storage: Storage,
    users: Arc<Users>,
    tree: Tree,
    exports: Arc<nbd::Registry>,
    exposed: Mutex<Exposed>,
    set: Mutex<Option<OpenSet>>,
    mount_point: Mutex<Option<PathBuf>>,
    started: FileTime,
    /// Where the volume can be seen; known once everything is up.
    fuse_dir: Mutex<Option<PathBuf>>,
    nbd_address: Mutex<Option<crate::net::Address>>,
    stopping: AtomicBool,
    stop: (Mutex<bool>, Condvar),
}

/// What serves a host: ends, in the right order, with [`Running::stop`].
pub struct Running {
    host: Arc<Host>,
    control: Option<control::Server>,
    nbd: Option<nbd::Server>,
    fuse: Option<Session>,
    threads: Vec<JoinHandle<()>>,
}

impl Host {
    /// Opens the volume, loads its snapshots and serves it.
    ///
    /// # Errors
    /// The image cannot be had or is damaged, something is in the way of the mount point or the sockets.
    pub fn start(options: Options) -> Result<Running> {
        let live = Arc::new(Volume::open(&options.image, Access::ReadWrite)?);
        let other = match &options.storage {
            Some(spec) => Some(Arc::new(live.open_beside(spec, Access::ReadWrite)?)),
            None => None,
        };
        if other.as_ref().is_some_and(|other| other.overlaps(&live)) {
            let path = options.image.path.display();
            bail!("{path}: --storage names the served volume itself; without --storage the diff area is on it");
        }
        let name = options.name();
        let socket = control::runtime::socket(&name)?;
        let config = configuration(&live, other.as_deref(), &options);
        let shell = Shell::start(Arc::clone(&live), other.clone(), config)
            .with_context(|| format!("loading the snapshots of {}", options.image.path.display()))?;
        let users = Arc::new(Users::default());
        let storage = Storage::new(&shell, other, socket.with_extension("files"))?;
        let hook = Arc::clone(&users);
        let tree = Tree::with_open_hook(Box::new(move |file, writable, _| match writable && file == LIVE {
            true => hook.enter().map(|guard| Box::new(guard) as fuse::OpenGuard),
            false => Ok(Box::new(())),
        }));
        let host = Arc::new(Self {
            name,
            shell,
            live,
            storage,
            users,
            tree,
            exports: Arc::new(nbd::Registry::new()),
            exposed: Mutex::new(Exposed::default()),
            set: Mutex::new(None),
            mount_point: Mutex::new(options.mount_point.clone()),
            started: now(),
            fuse_dir: Mutex::new(None),
            nbd_address: Mutex::new(None),
            stopping: AtomicBool::new(false),
            stop: (Mutex::new(false), Condvar::new()),
            options,
        });
        Self::serve(host, &socket)
    }

    fn serve(host: Arc<Self>, socket: &std::path::Path) -> Result<Running> {
        host.adopt_stores()?;
        // A file system that is mounted on it may be the one through which store files are made.
        host.tree.add(LIVE, host.shell.live(Priority::FileSystem))?;
        let clients = if host.options.nbd_clients_are_raw { Priority::User } else { Priority::FileSystem };
        host.exports.add(nbd::Export::new(LIVE, "the live volume", host.shell.live(clients)));
        host.exports.set_default(LIVE);
        host.expose_all();

        let mut running =
            Running { host: Arc::clone(&host), control: None, nbd: None, fuse: None, threads: Vec::new() };
        for (name, body) in [("keeper", Self::keep_files as fn(&Self)), ("news", Self::follow_news)] {
            let host = Arc::clone(&host);
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || body(&host));
            running.threads.push(thread.context("starting a thread")?);
        }
        if let Some(folder) = &host.options.fuse {
            if fuse::clear_stale(folder)? {
                eprintln!("vsshost: removed the mount of a host that died at {}", folder.display());
            }
            let session = fuse::mount(folder, &host.tree, &fuse::Options::default())?;
            *lock(&host.fuse_dir) = Some(session.mountpoint().to_owned());
            running.fuse = Some(session);
        }
        if let Some(address) = &host.options.nbd {
            let door = Door::new(Arc::clone(&host.exports), Arc::clone(&host.users));
            let server = nbd::Server::start(address, Arc::new(door), nbd::Limits::default())?;
            *lock(&host.nbd_address) = Some(server.address().clone());
            running.nbd = Some(server);
        }
        let service = Arc::clone(&host) as Arc<dyn control::Service>;
        running.control = Some(control::Server::start(socket, service, control::Limits::default())?);
        Ok(running)
    }

    /// Makes [`Running::wait`] return.
    pub fn request_stop(&self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
    }

    /// The name under which `vssadmin` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The live volume's URI for NBD clients.
    #[must_use]
    pub fn nbd_uri(&self, export: &str) -> Option<String> {
        lock(&self.nbd_address).as_ref().map(|address| nbd::uri(address, export))
    }

    /// The folder with the files.
    #[must_use]
    pub fn fuse_dir(&self) -> Option<PathBuf> {
        lock(&self.fuse_dir).clone()
    }

    /// What has happened since the event numbered `after`.
    #[must_use]
    pub fn news(&self, after: u64) -> Vec<News> {
        self.shell.news(after)
    }
}

impl Running {
    /// What is served.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Waits until somebody asks for the end.
    pub fn wait(&self) {
        let (asked, changed) = &self.host.stop;
        let mut asked = lock(asked);
        while !*asked {
            asked = changed.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends it: no new requests, those in flight completed, everything durable.
    ///
    /// # Errors
    /// The FUSE mount is busy and was detached: whoever has files open gets errors from now on.
    pub fn stop(mut self) -> Result<()> {
        self.host.stopping.store(true, Ordering::SeqCst);
        if let Some(control) = self.control.take() {
            control.shutdown();
        }
        self.host.abandon_set();
        if let Some(nbd) = self.nbd.take() {
            nbd.shutdown();
        }
        let mut result = Ok(());
        if let Some(mut session) = self.fuse.take()
            && let Err(error) = session.unmount()
        {
            result = Err(error).context("unmounting; detached instead");
        }
        self.host.storage.close();
        self.host.shell.close();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        result
    }
}

/// What the engine is told about this volume.
fn configuration(live: &Volume, other: Option<&Volume>, options: &Options) -> Config {
    let size = live.size();
    let mut config = Config::new(size);
    if let Some(other) = other {
        config.same_volume = false;
        config.storage_size = other.size();
    }
    config.sector = options.sector;
    // A small volume has a small diff area: early enough is a sixteenth of the volume.
    let growth = (config.storage_size / 32).clamp(1 << 20, 32 << 20) / ondisk::BLOCK_SIZE * ondisk::BLOCK_SIZE;
    config.growth = growth;
    config.low_water = growth;
    config.reserve = 4 << 20;
    config
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each of these guards a single value that is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
