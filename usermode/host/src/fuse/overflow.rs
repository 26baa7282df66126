// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads for the writes that find no event thread free.
//!
//! Writes may wait long: for a copy-on-write, for a snapshot's commit, for a diff area to grow. A pool of fixed size
//! would let them wait for each other, so this one grows with what waits and shrinks when idle.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Most threads. Beyond it writes wait for others to end, which must not depend on them.
const MAX_THREADS: usize = 256;

/// An idle thread ends after this.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// The pool. Clones are the same pool; its threads end when idle.
#[derive(Clone, Default)]
pub(super) struct Overflow(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job, those just woken included.
    idle: usize,
}

impl Overflow {
    /// Runs the job on another thread, at once unless [`MAX_THREADS`] are busy.
    pub(super) fn run(&self, job: Job) {
        let mut state = self.0.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() || state.threads >= MAX_THREADS {
            self.0.wake.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.0);
        let spawned = thread::Builder::new().name("fuse-write".to_owned()).spawn(move || shared.work());
        if spawned.is_err() {
            // No thread to be had. Others may take the job; if there are none, it is done here.
            let mut state = self.0.lock();
            state.threads -= 1;
            let job = if state.threads == 0 { state.jobs.pop_front() } else { None };
            drop(state);
            job.into_iter().for_each(|job| job());
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job();
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self.wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// Jobs that wait for one that comes last would never end in a pool of fixed size.
    #[test]
    fn jobs_that_wait_do_not_keep_others_waiting() {
        let pool = Overflow::default();
        let (ended, ends) = channel();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        for _ in 0..100 {
            let (gate, ended) = (Arc::clone(&gate), ended.clone());
            pool.run(Box::new(move || {
                let open = gate.0.lock().expect("locked");
                drop(gate.1.wait_while(open, |open| !*open).expect("woken"));
                ended.send(()).expect("sent");
            }));
        }
        pool.run(Box::new(move || {
            *gate.0.lock().expect("locked") = true;
            gate.1.notify_all();
        }));
        (0..100).for_each(|_| ends.recv_timeout(Duration::from_secs(30)).expect("every job ends"));
    }
}
