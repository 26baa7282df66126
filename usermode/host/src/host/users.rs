// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who has the live volume open for writing. Store files are made through the file system, which must have one owner:
//! ours, for a moment, when nobody else is there; whoever comes meanwhile waits at the door.

use crate::nbd::{Export, Exports, Registry};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an open waits for the host's own work on the file system.
const OPEN_WAIT: Duration = Duration::from_secs(60);
/// A file counts as open until the kernel has told, a moment after the client's close.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Users {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    writers: usize,
    /// The host has the file system itself.
    ours: bool,
}

/// Somebody has the volume open for writing until this is dropped.
pub(super) struct Writer(Arc<Users>);

/// The host has the file system until this is dropped.
pub(super) struct Ours<'a>(&'a Users);

impl Users {
    /// Lets a writer in.
    pub(super) fn enter(self: &Arc<Self>) -> io::Result<Writer> {
        self.wait_outside()?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).writers += 1;
        Ok(Writer(Arc::clone(self)))
    }

    /// Waits until the host does not have the file system itself.
    fn wait_outside(&self) -> io::Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |state: &mut State| state.ours;
        let waited = self.changed.wait_timeout_while(state, OPEN_WAIT, busy);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if timeout.timed_out() { Err(io::Error::from_raw_os_error(libc::EBUSY)) } else { Ok(()) }
    }

    /// Takes the file system for the host, if nobody else has the volume open.
    pub(super) fn take(&self) -> Option<Ours<'_>> {
        let end = Instant::now() + SETTLE;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.writers > 0 || state.ours {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.ours = true;
        Some(Ours(self))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).writers -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).ours = false;
        self.0.changed.notify_all();
    }
}

/// The exports as NBD clients see them: they, too, wait while the host has the file system.
pub(super) struct Door {
    registry: Arc<Registry>,
    users: Arc<Users>,
}

impl Door {
    pub(super) fn new(registry: Arc<Registry>, users: Arc<Users>) -> Self {
        Self { registry, users }
    }
}

impl Exports for Door {
    fn list(&self) -> Vec<Arc<Export>> {
        self.registry.list()
    }

    fn find(&self, name: &str) -> Option<Arc<Export>> {
        self.registry.find(name)
    }

    fn admit(&self, export: &Export) -> Result<(), String> {
        if export.device().read_only() {
            return Ok(());
        }
        self.users.wait_outside().map_err(|_| "the host is working on the volume's file system; try again".into())
    }

    fn report(&self, what: &str) {
        eprintln!("vsshost: nbd: {what}");
    }
}
