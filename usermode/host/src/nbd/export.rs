// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be opened by name. Snapshots come and go while clients are connected, so an export can be withdrawn:
//! after that no request of any client reaches its device.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::device::BlockDevice;

/// A device under a name, with the clients that use it.
pub struct Export {
    name: String,
    description: String,
    device: Arc<dyn BlockDevice>,
    /// Held for reading while a request is with the device; true once withdrawn.
    withdrawn: RwLock<bool>,
    connected: AtomicUsize,
    writers: AtomicUsize,
}

/// How many connections use an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clients {
    /// Connections that have opened it. NBD has no way for a client to say that it will only read, so on a writable
    /// export each of them may write. A client may use several connections.
    pub connected: usize,
    /// Those that have sent a write, trim or write-zeroes.
    pub writers: usize,
}

impl Export {
    /// Offers `device` as `name`, with a line for people. The protocol allows 4096 bytes for each; exports with a
    /// longer name cannot be opened.
    #[must_use]
    pub fn new(name: impl Into<String>, description: impl Into<String>, device: Arc<dyn BlockDevice>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            description: description.into(),
            device,
            withdrawn: RwLock::new(false),
            connected: AtomicUsize::new(0),
            writers: AtomicUsize::new(0),
        })
    }

    /// The name clients ask for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A line for people.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The device behind it.
    #[must_use]
    pub fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.device
    }

    /// Who uses it now.
    #[must_use]
    pub fn clients(&self) -> Clients {
        Clients { connected: self.connected.load(Ordering::SeqCst), writers: self.writers.load(Ordering::SeqCst) }
    }

    /// Waits for the requests that are with the device, then answers every later one with 'shut down'. Clients stay
    /// connected. Not to be called from within a device call, which it would wait for.
    pub fn withdraw(&self) {
        *self.withdrawn.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Permission to use the device, or nothing once withdrawn.
    pub(super) fn enter(&self) -> Option<RwLockReadGuard<'_, bool>> {
        let withdrawn = self.withdrawn.read().unwrap_or_else(PoisonError::into_inner);
        (!*withdrawn).then_some(withdrawn)
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("name", &self.name).field("clients", &self.clients()).finish_non_exhaustive()
    }
}

/// One connection's use of an export; counted as long as it lives.
pub(super) struct Connected {
    export: Arc<Export>,
    wrote: std::sync::atomic::AtomicBool,
}

impl Connected {
    pub(super) fn new(export: Arc<Export>) -> Self {
        export.connected.fetch_add(1, Ordering::SeqCst);
        Self { export, wrote: false.into() }
    }

    pub(super) fn export(&self) -> &Export {
        &self.export
    }

    /// Counts the connection as a writer, once.
    pub(super) fn writes(&self) {
        if !self.wrote.load(Ordering::Relaxed) && !self.wrote.swap(true, Ordering::SeqCst) {
            self.export.writers.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if *self.wrote.get_mut() {
            self.export.writers.fetch_sub(1, Ordering::SeqCst);
        }
        self.export.connected.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Where the server looks names up. [`Registry`] is the usual one.
pub trait Exports: Send + Sync {
    /// All exports, in the order to show them.
    fn list(&self) -> Vec<Arc<Export>>;

    /// The export with this name; the empty name asks for the default one.
    fn find(&self, name: &str) -> Option<Arc<Export>>;

    /// Called before a client gets `export`; an error refuses it, and its text goes to the client.
    ///
    /// # Errors
    /// The reason for the refusal.
    fn admit(&self, export: &Export) -> Result<(), String> {
        let _ = export;
        Ok(())
    }

    /// Told about connections that broke the protocol or ran into a time limit; for a log. May be called often.
    fn report(&self, what: &str) {
        let _ = what;
    }
}

/// Named exports that may be added and removed while they are served.
#[derive(Debug, Default)]
pub struct Registry {
    exports: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    by_name: BTreeMap<String, Arc<Export>>,
    default: Option<String>,
}

impl Registry {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an export; one with the same name is withdrawn and replaced.
    pub fn add(&self, export: Arc<Export>) {
        let replaced = self.write().by_name.insert(export.name.clone(), export);
        if let Some(replaced) = replaced {
            replaced.withdraw();
        }
    }

    /// Removes and withdraws an export (see [`Export::withdraw`]); false if there is none of that name.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.write().by_name.remove(name);
        if let Some(export) = &removed {
            export.withdraw();
        }
        removed.is_some()
    }

    /// The export that a client gets which asks for the empty name.
    pub fn set_default(&self, name: &str) {
        self.write().default = Some(name.into());
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Content> {
        self.exports.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.exports.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exports for Registry {
    fn list(&self) -> Vec<Arc<Export>> {
        self.read().by_name.values().cloned().collect()
    }

    fn find(&self, name: &str) -> Option<Arc<Export>> {
        let content = self.read();
        let name = if name.is_empty() { content.default.as_deref().unwrap_or(name) } else { name };
        content.by_name.get(name).cloned()
    }
}
