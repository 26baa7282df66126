// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a request runs, and the end of all requests.
//!
//! Event threads answer reads and writes, so writes may occupy only half of them; the others go to [`Overflow`]. The
//! short way, without a copy of the data and a change of thread, is the usual one.

use super::overflow::Overflow;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Counts the requests that are with a device. Clones are the same gate.
#[derive(Clone)]
pub(super) struct Gate(Arc<Shared>);

struct Shared {
    /// Most writes on event threads at a time.
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
    overflow: Overflow,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    reads: usize,
    writes_here: usize,
    writes_elsewhere: usize,
}

impl State {
    fn count(&mut self, lane: Lane) -> &mut usize {
        match lane {
            Lane::Read => &mut self.reads,
            Lane::WriteHere => &mut self.writes_here,
            Lane::WriteElsewhere => &mut self.writes_elsewhere,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Read,
    WriteHere,
    WriteElsewhere,
}

/// A request that may run; dropped when it has.
pub(super) struct Pass {
    gate: Gate,
    lane: Lane,
}

impl Pass {
    /// May run on the event thread that it came in on; a write that may not goes [`Gate::elsewhere`].
    pub(super) fn here(&self) -> bool {
        self.lane != Lane::WriteElsewhere
    }
}

impl Gate {
    /// A gate for `threads` event threads.
    pub(super) fn new(threads: usize) -> Self {
        let limit = threads / 2;
        let (state, changed, overflow) = (Mutex::default(), Condvar::new(), Overflow::default());
        Self(Arc::new(Shared { limit, state, changed, overflow }))
    }

    /// Lets a read in, `None` once the gate is closed.
    pub(super) fn read(&self) -> Option<Pass> {
        self.enter(|_| Lane::Read)
    }

    /// Lets in a write, or whatever else may wait as long as one; `None` once the gate is closed.
    pub(super) fn write(&self) -> Option<Pass> {
        let limit = self.0.limit;
        self.enter(|state| if state.writes_here < limit { Lane::WriteHere } else { Lane::WriteElsewhere })
    }

    fn enter(&self, choose: impl FnOnce(&State) -> Lane) -> Option<Pass> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let lane = choose(&state);
        *state.count(lane) += 1;
        drop(state);
        Some(Pass { gate: self.clone(), lane })
    }

    /// Runs the rest of a write on another thread.
    pub(super) fn elsewhere(&self, job: impl FnOnce() + Send + 'static) {
        self.0.overflow.run(Box::new(job));
    }

    /// Lets nothing in any more and waits for what runs.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let busy = |state: &mut State| state.reads + state.writes_here + state.writes_elsewhere > 0;
        drop(self.0.changed.wait_while(state, busy).unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        *state.count(self.lane) -= 1;
        if state.closed {
            self.gate.0.changed.notify_all();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn writes_take_half_of_the_event_threads() {
        let gate = Gate::new(4);
        let mut passes: Vec<Pass> = (0..3).filter_map(|_| gate.write()).collect();
        assert_eq!(passes.iter().map(Pass::here).collect::<Vec<_>>(), [true, true, false]);
        assert!(gate.read().is_some_and(|pass| pass.here()));
        passes.remove(0);
        assert!(gate.write().is_some_and(|pass| pass.here()), "one has ended");
    }

    #[test]
    fn closing_waits_and_then_refuses() {
        let gate = Gate::new(2);
        let pass = gate.write().expect("open");
        let closing = thread::spawn({
            let gate = gate.clone();
            move || gate.close()
        });
        while gate.read().is_some() {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!closing.is_finished(), "a write still runs");
        drop(pass);
        closing.join().expect("closed");
        assert!(gate.write().is_none());
    }
}
