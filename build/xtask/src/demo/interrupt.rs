// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ctrl-C and friends: the demo has mounts and a host to take down, so a signal only asks it to stop.
//!
//! Whoever does something long asks [`check`] now and then. A call into a file system whose server hangs never comes
//! back to ask; for that case a thread kills that server, after which the call fails.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// What is still busy so long after it was asked to stop hangs.
const PATIENCE: Duration = Duration::from_secs(30);

static ASKED: AtomicBool = AtomicBool::new(false);

/// The process without which nothing here can hang.
static SERVER: Mutex<Option<Pid>> = Mutex::new(None);

/// From now on signals ask for the end, and so does the time `limit`.
pub(super) fn catch(limit: Duration) -> Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("catch signals")?;
    let start = Instant::now();
    thread::spawn(move || {
        while signals.pending().next().is_none() {
            if start.elapsed() > limit {
                eprintln!("the demo takes longer than {} s: something hangs", limit.as_secs());
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        ASKED.store(true, Ordering::SeqCst);
        thread::sleep(PATIENCE);
        let server = *SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = server {
            eprintln!("something hangs: killing vsshost");
            // It may have ended at this moment.
            let _ = kill_process(server, Signal::KILL);
        }
    });
    Ok(())
}

/// Whether the end was asked for.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// An error if the end was asked for.
pub(super) fn check() -> Result<()> {
    if asked() {
        bail!("interrupted");
    }
    Ok(())
}

/// Names the process that is killed if the demo hangs; none when it has ended.
pub(super) fn server(pid: Option<Pid>) {
    *SERVER.lock().unwrap_or_else(PoisonError::into_inner) = pid;
}
