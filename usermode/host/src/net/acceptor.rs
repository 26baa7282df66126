// SPDX-License-Identifier: MIT OR Apache-2.0
//! Accepts connections, a thread each, up to a limit, and ends them in order: no new ones, then what is being
//! answered is answered, and only a peer that does not take its answer is cut off.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::SocketFlags;

use super::{Address, Endpoint, Stream};

/// How an [`Acceptor`] behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of its threads, at most 15 bytes as the kernel shows them.
    pub name: &'static str,
    /// Connections at one time; more are closed at once.
    pub connections: usize,
    /// On shutdown: how long a peer may take to read its last answers.
    pub grace: Duration,
}

/// A listening socket with its threads. Dropping it shuts it down.
#[derive(Debug)]
pub struct Acceptor {
    address: Address,
    open: Arc<OpenConnections>,
    /// Closing it wakes the accepting thread.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Serves every connection to `endpoint` with `serve`, which runs on its own thread and returns when the
    /// connection is over.
    ///
    /// # Errors
    /// The system has no thread or no descriptor left.
    pub fn start<F>(endpoint: Endpoint, settings: Settings, serve: F) -> io::Result<Self>
    where
        F: Fn(&Stream) + Send + Sync + 'static,
    {
        let address = endpoint.address().clone();
        let open = Arc::new(OpenConnections::default());
        let (wake, woken) = UnixStream::pair()?;
        let connections = Arc::clone(&open);
        let thread = thread::Builder::new()
            .name(settings.name.into())
            .spawn(move || run(&endpoint, &settings, &woken.into(), &connections, &serve))?;
        Ok(Self { address, open, wake: Some(wake), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.lock().len()
    }

    /// Stops accepting, lets every connection finish what it is answering, and joins all threads.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            // It panics only if a connection's thread did; that was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run<F: Fn(&Stream) + Send + Sync>(
    endpoint: &Endpoint,
    settings: &Settings,
    woken: &OwnedFd,
    open: &OpenConnections,
    serve: &F,
) {
    thread::scope(|scope| {
        let mut next_number = 0_u64;
        while let Some(stream) = accept(endpoint, woken) {
            let stream = Arc::new(stream);
            next_number += 1;
            let number = next_number;
            // Dropping the stream is the answer to one connection too many.
            if !open.add(number, &stream, settings.connections) {
                continue;
            }
            let spawned = thread::Builder::new().name(settings.name.into()).spawn_scoped(scope, move || {
                let _closed = Closing { open, number };
                serve(&stream);
            });
            if spawned.is_err() {
                open.remove(number);
            }
        }
        open.each(Stream::stop_reading);
        if !open.wait_until_none(settings.grace) {
            open.each(Stream::hang_up);
        }
    });
}

/// The next connection; `None` when it is time to stop.
fn accept(endpoint: &Endpoint, woken: &OwnedFd) -> Option<Stream> {
    loop {
        let mut ready = [PollFd::new(endpoint, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return None,
        }
        if !ready[1].revents().is_empty() {
            return None;
        }
        match rustix::net::accept_with(endpoint, SocketFlags::CLOEXEC) {
            Ok(socket) => {
                let stream = Stream::new(socket);
                stream.send_at_once();
                return Some(stream);
            }
            // Out of descriptors or memory, or the peer is gone already: the next attempt may succeed.
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[derive(Debug, Default)]
struct OpenConnections {
    streams: Mutex<HashMap<u64, Arc<Stream>>>,
    one_closed: Condvar,
}

impl OpenConnections {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, number: u64, stream: &Arc<Stream>, limit: usize) -> bool {
        let mut streams = self.lock();
        let fits = streams.len() < limit;
        if fits {
            streams.insert(number, Arc::clone(stream));
        }
        fits
    }

    fn remove(&self, number: u64) {
        self.lock().remove(&number);
        self.one_closed.notify_all();
    }

    fn each(&self, act: fn(&Stream)) {
        self.lock().values().for_each(|stream| act(stream));
    }

    fn wait_until_none(&self, limit: Duration) -> bool {
        let waited = self.one_closed.wait_timeout_while(self.lock(), limit, |streams| !streams.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_empty()
    }
}

/// Forgets a connection when its thread ends, also by a panic.
struct Closing<'a> {
    open: &'a OpenConnections,
    number: u64,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.open.remove(self.number);
    }
}
