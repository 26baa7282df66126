// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tells on standard error what goes on, once it has taken a second. On a terminal in one line that changes, else as
//! a line now and then.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use vsshost::control::messages::Progress;

const FIRST: Duration = Duration::from_secs(1);
const ON_A_TERMINAL: Duration = Duration::from_millis(250);
const IN_A_LOG: Duration = Duration::from_secs(5);

/// Shows progress until it is dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    latest: String,
    ended: bool,
}

impl Ticker {
    /// Starts with words of our own, until the host has better ones.
    pub(crate) fn new(doing: &str) -> Self {
        let shared = Arc::new(Shared::default());
        shared.set(doing.to_owned());
        let watched = Arc::clone(&shared);
        // Without a thread there is no progress to see, and the command works all the same.
        let thread = thread::Builder::new().spawn(move || watched.show()).ok();
        Self { shared, thread }
    }

    /// Takes what the host reports.
    pub(crate) fn report(&self, progress: Progress) {
        let Progress { doing, done, total } = progress;
        self.shared.set(match total {
            Some(total) => format!("{doing}: {done} of {total}"),
            None if done > 0 => format!("{doing}: {done}"),
            None => doing,
        });
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.ended.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, latest: String) {
        self.lock().latest = latest;
    }

    fn show(&self) {
        let start = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        let mut pause = FIRST;
        let mut shown = false;
        loop {
            let waited = self.ended.wait_timeout_while(self.lock(), pause, |state| !state.ended);
            let state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.ended {
                break;
            }
            let line = format!("{} ({} s)", state.latest, start.elapsed().as_secs());
            drop(state);
            let mut errors = std::io::stderr();
            let _ = if terminal { write!(errors, "\r\x1b[K{line}") } else { writeln!(errors, "{line}") };
            shown = true;
            pause = if terminal { ON_A_TERMINAL } else { IN_A_LOG };
        }
        if terminal && shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
