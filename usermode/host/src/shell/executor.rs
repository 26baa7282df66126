// SPDX-License-Identifier: MIT OR Apache-2.0
//! The I/O that the engine asks for, and the queues in which it waits.

use super::Inner;
use crate::device::BlockDevice;
use crate::image::Volume;
use engine::{Place, Target, Token};
use ondisk::Guid;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

/// One I/O of the engine.
pub enum Io {
    /// Bytes from one place to another.
    Copy {
        /// Names it.
        token: Token,
        /// Where from.
        from: Place,
        /// Where to.
        to: Place,
        /// Bytes, at most 16 KiB.
        length: u32,
    },
    /// Metadata.
    Write {
        /// Names it.
        token: Token,
        /// Where to.
        to: Place,
        /// What.
        bytes: Vec<u8>,
        /// Durable when done.
        durable: bool,
    },
    /// Everything written is durable when done.
    Flush {
        /// Names it.
        token: Token,
        /// Which device.
        target: Target,
    },
}

/// Work on store files, for the thread that keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileTask {
    /// Make it larger, then `Engine::grown`.
    Grow {
        /// Which.
        store: Guid,
        /// By how many bytes.
        bytes: u64,
    },
    /// Delete it, then `Engine::store_freed`.
    Free {
        /// Which.
        store: Guid,
    },
}

/// A queue that can be closed.
pub(super) struct Queue<T> {
    items: Mutex<(VecDeque<T>, bool)>,
    added: Condvar,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { items: Mutex::new((VecDeque::new(), false)), added: Condvar::new() }
    }

    pub(super) fn add(&self, item: T) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).0.push_back(item);
        self.added.notify_one();
    }

    pub(super) fn try_next(&self) -> Option<T> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }

    /// The next item; `None` once the queue is closed and empty.
    pub(super) fn wait(&self) -> Option<T> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(item) = items.0.pop_front() {
                return Some(item);
            }
            if items.1 {
                return None;
            }
            items = self.added.wait(items).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn close(&self) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.added.notify_all();
    }
}

thread_local! {
    /// A block on its way into a store.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Inner {
    /// Does one I/O and tells the engine.
    pub(super) fn perform(&self, io: Io) {
        let (token, result) = match io {
            Io::Copy { token, from, to, length } => (token, self.copy(from, to, length as usize)),
            Io::Write { token, to, bytes, durable } => {
                (token, self.device(to.target).write_at(&bytes, to.offset, durable))
            }
            Io::Flush { token, target } => (token, self.device(target).flush()),
        };
        if let Err(error) = &result {
            eprintln!("vsshost: diff area: {error}");
        }
        self.finished(token, result);
    }

    fn copy(&self, from: Place, to: Place, length: usize) -> io::Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(length, 0);
            self.device(from.target).read_at(buffer, from.offset)?;
            self.device(to.target).write_at(buffer, to.offset, false)
        })
    }

    pub(super) fn device(&self, target: Target) -> &Volume {
        match target {
            Target::Live => &self.own_live,
            Target::Storage => &self.own_storage,
        }
    }
}
