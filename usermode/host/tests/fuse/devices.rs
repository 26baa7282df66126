// SPDX-License-Identifier: MIT OR Apache-2.0
//! Devices in front of a real volume that watch what arrives, keep writes waiting, or die.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use vsshost::device::{BlockDevice, StatusExtent};

/// A call that reached a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Write { offset: u64, length: u64, fua: bool },
    Zeroes { offset: u64, length: u64, may_trim: bool },
    Flush,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Writes below this offset wait.
    held_below: u64,
    waiting: usize,
    dead: bool,
}

/// Passes everything on to `inner`, and does what it is told meanwhile.
pub(crate) struct Watched {
    inner: Arc<dyn BlockDevice>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn BlockDevice>) -> Arc<Self> {
        Arc::new(Self { inner, state: Mutex::default(), changed: Condvar::new() })
    }

    /// The writing calls since the last time.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.lock().expect("locked").calls)
    }

    /// Lets writes below `offset` wait, those that wait already included, until it is called with a lower one.
    pub(crate) fn hold_below(&self, offset: u64) {
        self.state.lock().expect("locked").held_below = offset;
        self.changed.notify_all();
    }

    /// Writes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().expect("locked").waiting
    }

    /// Every later call fails, as when a snapshot has been deleted.
    pub(crate) fn die(&self) {
        self.state.lock().expect("locked").dead = true;
    }

    fn alive(&self) -> io::Result<()> {
        match self.state.lock().expect("locked").dead {
            true => Err(io::Error::other("the snapshot is gone")),
            false => Ok(()),
        }
    }

    fn note(&self, call: Call) {
        self.state.lock().expect("locked").calls.push(call);
    }
}

impl BlockDevice for Watched {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_only(&self) -> bool {
        self.inner.read_only()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.alive()?;
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64, fua: bool) -> io::Result<()> {
        self.alive()?;
        let mut state = self.state.lock().expect("locked");
        state.waiting += 1;
        state = self.changed.wait_while(state, |state| offset < state.held_below).expect("woken");
        state.waiting -= 1;
        drop(state);
        self.note(Call::Write { offset, length: buf.len() as u64, fua });
        self.inner.write_at(buf, offset, fua)
    }

    fn write_zeroes(&self, offset: u64, length: u64, may_trim: bool, fua: bool) -> io::Result<()> {
        self.alive()?;
        self.note(Call::Zeroes { offset, length, may_trim });
        self.inner.write_zeroes(offset, length, may_trim, fua)
    }

    fn trim(&self, offset: u64, length: u64, fua: bool) -> io::Result<()> {
        self.alive()?;
        self.inner.trim(offset, length, fua)
    }

    fn flush(&self) -> io::Result<()> {
        self.alive()?;
        self.note(Call::Flush);
        self.inner.flush()
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        self.alive()?;
        self.inner.block_status(offset, length)
    }
}
