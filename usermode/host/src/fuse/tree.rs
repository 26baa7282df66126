// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which files are shown, and who has them open.

use crate::device::BlockDevice;
use fuser::{INodeNo, Notifier};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

/// Inode numbers below this one are the directory's; they serve as positions of `.` and `..` in it.
const FIRST_INODE: u64 = 16;

/// Longest name, in bytes (Linux: NAME_MAX).
const NAME_MAX: usize = 255;

/// Kept from a successful open until the file is closed; its drop tells that it was.
pub type OpenGuard = Box<dyn Any + Send + Sync>;

/// Asked on every open: the file's name, whether it is opened for writing, and the process that opens it (0 where the
/// kernel does not know it). The answer must not wait for anything that needs the mount. An error refuses the open.
pub type OpenHook = Box<dyn Fn(&str, bool, u32) -> io::Result<OpenGuard> + Send + Sync>;

/// Why a file could not be added.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeError {
    /// Empty, `.`, `..`, with a slash or a zero byte, or longer than 255 bytes.
    #[error("'{0}' is no file name")]
    BadName(String),
    /// The name is taken.
    #[error("there is a file '{0}' already")]
    Exists(String),
}

/// A file that somebody has open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// Its name, also when it has been removed since.
    pub name: String,
    /// Was opened for writing.
    pub writable: bool,
    /// The process that opened it; 0 where the kernel does not know it. It may have handed the file on.
    pub pid: u32,
}

/// The files that a mount shows. Clones are the same tree.
#[derive(Clone, Default)]
pub struct Tree(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: RwLock<State>,
    hook: Option<OpenHook>,
    /// One for each mount of this tree. Apart from `state`: the kernel, when told, may wait for requests that need it.
    notifiers: Mutex<Vec<(u64, Notifier)>>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, Arc<Node>>,
    /// Also the removed files that somebody has open. Ordered, so that a position in the directory stays meaningful.
    nodes: BTreeMap<u64, Arc<Node>>,
    handles: HashMap<u64, Arc<Handle>>,
    /// Numbers given out so far; none is used twice.
    nodes_made: u64,
    handles_made: u64,
}

/// A file.
pub(super) struct Node {
    pub(super) ino: u64,
    pub(super) name: String,
    pub(super) device: Arc<dyn BlockDevice>,
    pub(super) size: u64,
    pub(super) read_only: bool,
    pub(super) added: SystemTime,
}

/// An open file.
pub(super) struct Handle {
    pub(super) node: Arc<Node>,
    pub(super) writable: bool,
    pid: u32,
    _guard: Option<OpenGuard>,
}

impl Tree {
    /// An empty tree. Whoever may see the mount may open its files.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty tree whose opens are asked for.
    pub fn with_open_hook(hook: OpenHook) -> Self {
        Self(Arc::new(Shared { hook: Some(hook), ..Shared::default() }))
    }

    /// Shows `device` as the file `name`.
    ///
    /// # Errors
    /// The name is no file name or is taken.
    pub fn add(&self, name: &str, device: Arc<dyn BlockDevice>) -> Result<(), TreeError> {
        if name.is_empty() || name == "." || name == ".." || name.len() > NAME_MAX || name.contains(['/', '\0']) {
            return Err(TreeError::BadName(name.to_owned()));
        }
        let (size, read_only) = (device.size(), device.read_only());
        let mut state = self.write();
        if state.names.contains_key(name) {
            return Err(TreeError::Exists(name.to_owned()));
        }
        let ino = FIRST_INODE + state.nodes_made;
        state.nodes_made += 1;
        let node = Arc::new(Node { ino, name: name.to_owned(), device, size, read_only, added: SystemTime::now() });
        state.names.insert(name.to_owned(), Arc::clone(&node));
        state.nodes.insert(ino, node);
        Ok(())
    }

    /// Takes the file away, and answers with its device. Whoever has it open keeps reading from the device, whatever
    /// that answers; what the kernel has cached of it is dropped. `None` where there is no such file.
    ///
    /// Waits for reads of the file that are under way, so the caller must not hold what they need.
    pub fn remove(&self, name: &str) -> Option<Arc<dyn BlockDevice>> {
        let node = {
            let mut state = self.write();
            let node = state.names.remove(name)?;
            if !state.is_open(node.ino) {
                state.nodes.remove(&node.ino);
            }
            node
        };
        let notifiers: Vec<Notifier> = self.notifiers().iter().map(|(_, notifier)| notifier.clone()).collect();
        for notifier in notifiers {
            let (inode, name) = (INodeNo(node.ino), OsStr::new(&node.name));
            // Fails when the mount is gone already, and then there is nothing to forget.
            let _ = notifier.delete(INodeNo::ROOT, inode, name).or_else(|_| notifier.inval_entry(INodeNo::ROOT, name));
            let _ = notifier.inval_inode(inode, 0, 0);
        }
        Some(Arc::clone(&node.device))
    }

    /// Names of the files, sorted.
    pub fn names(&self) -> Vec<String> {
        self.read().names.keys().cloned().collect()
    }

    /// Who has which file open. A file counts as open until the kernel says that it is closed, which is a moment after
    /// the client's close has returned.
    pub fn open_files(&self) -> Vec<OpenFile> {
        let of = |handle: &Arc<Handle>| OpenFile {
            name: handle.node.name.clone(),
            writable: handle.writable,
            pid: handle.pid,
        };
        self.read().handles.values().map(of).collect()
    }

    pub(super) fn node_named(&self, name: &OsStr) -> Option<Arc<Node>> {
        self.read().names.get(name.to_str()?).cloned()
    }

    pub(super) fn node(&self, ino: INodeNo) -> Option<Arc<Node>> {
        self.read().nodes.get(&ino.0).cloned()
    }

    pub(super) fn handle(&self, number: u64) -> Option<Arc<Handle>> {
        self.read().handles.get(&number).cloned()
    }

    /// The listed files whose inode number is above `position`, in that order.
    pub(super) fn nodes_after(&self, position: u64) -> Vec<Arc<Node>> {
        let state = self.read();
        let listed = |node: &&Arc<Node>| state.names.get(&node.name).is_some_and(|named| named.ino == node.ino);
        state.nodes.range(position.saturating_add(1)..).map(|(_, node)| node).filter(listed).cloned().collect()
    }

    /// Opens the file, if it is there and the hook agrees, and answers with the handle's number.
    pub(super) fn open(&self, ino: INodeNo, writable: bool, pid: u32) -> io::Result<(u64, Arc<Node>)> {
        let gone = || io::Error::from_raw_os_error(libc::ENOENT);
        let node = self.node(ino).ok_or_else(gone)?;
        if writable && node.read_only {
            // What a block device that is write-protected says; ntfs-3g then mounts read-only.
            return Err(io::Error::from_raw_os_error(libc::EROFS));
        }
        let pid = process_of(pid);
        // Without the lock: the hook is the host's, and may look at this tree.
        let guard = self.0.hook.as_ref().map(|hook| hook(&node.name, writable, pid)).transpose()?;

        let mut state = self.write();
        if !state.nodes.contains_key(&node.ino) {
            return Err(gone());
        }
        let number = state.handles_made;
        state.handles_made += 1;
        let handle = Handle { node: Arc::clone(&node), writable, pid, _guard: guard };
        state.handles.insert(number, Arc::new(handle));
        Ok((number, node))
    }

    pub(super) fn release(&self, number: u64) {
        let mut state = self.write();
        let released = state.handles.remove(&number);
        if let Some(node) = released.as_ref().map(|handle| &handle.node) {
            let listed = state.names.get(&node.name).is_some_and(|named| named.ino == node.ino);
            if !listed && !state.is_open(node.ino) {
                state.nodes.remove(&node.ino);
            }
        }
        // The guard's drop is the host's code: without the lock.
        drop(state);
        drop(released);
    }

    pub(super) fn attach(&self, session: u64, notifier: Notifier) {
        self.notifiers().push((session, notifier));
    }

    pub(super) fn detach(&self, session: u64) {
        self.notifiers().retain(|(number, _)| *number != session);
    }

    // A poisoned lock: some thread panicked with it, but every change above is complete once made.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn notifiers(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Notifier)>> {
        self.0.notifiers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process of a thread: the kernel names the thread that asks. 0 where it is in a namespace that we do not see.
fn process_of(thread: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    process.and_then(|number| number.trim().parse().ok()).unwrap_or(thread)
}

impl State {
    fn is_open(&self, ino: u64) -> bool {
        self.handles.values().any(|handle| handle.node.ino == ino)
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("names", &self.names()).field("open", &self.open_files()).finish()
    }
}
