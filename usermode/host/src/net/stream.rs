// SPDX-License-Identifier: MIT OR Apache-2.0
//! One accepted connection. Reading and writing take `&self`, because several threads share a connection.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown};

/// A connected stream socket, unix or TCP.
#[derive(Debug)]
pub struct Stream {
    socket: OwnedFd,
    /// TCP goes on delivering what the peer sends after a shutdown for reading, so the end is ours to keep.
    ended: AtomicBool,
}

impl Stream {
    /// Takes over a connected socket.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, ended: AtomicBool::new(false) }
    }

    /// Connects to a unix socket.
    ///
    /// # Errors
    /// What the system says; the caller adds the path.
    pub fn connect_unix(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self::new(std::os::unix::net::UnixStream::connect(path)?.into()))
    }

    /// Turns off Nagle's delay: replies are complete messages. Fails, harmlessly, on a unix socket.
    pub(super) fn send_at_once(&self) {
        let _ = sockopt::set_tcp_nodelay(&self.socket, true);
    }

    /// The peer gets no more of our data, we read no more of its data. Blocked threads wake up.
    pub fn hang_up(&self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }

    /// Reads see the end of the stream from now on; replies can still be sent.
    pub fn stop_reading(&self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Read);
    }

    /// A read that waits longer fails with `WouldBlock`; `None` waits for ever.
    ///
    /// # Errors
    /// A zero duration is refused by the system.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(&self.socket, Timeout::Recv, limit)?)
    }

    /// A write that waits longer fails with `WouldBlock`; `None` waits for ever.
    ///
    /// # Errors
    /// A zero duration is refused by the system.
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(&self.socket, Timeout::Send, limit)?)
    }

    /// Sends all parts, as one message where the kernel takes it.
    ///
    /// # Errors
    /// The peer is gone, or the write timeout passed.
    pub fn send_all(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut rest = parts;
        // advance_slices(0) drops leading empty parts, which would look like 'nothing was sent'.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::net::sendmsg(&self.socket, rest, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => IoSlice::advance_slices(&mut rest, sent),
                Err(rustix::io::Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
        Ok(())
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended.load(Ordering::Relaxed) {
            return Ok(0);
        }
        Ok(rustix::io::read(&self.socket, buffer)?)
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads with one deadline for everything together, so that a peer that sends a byte now and then cannot hold the
/// connection for ever.
#[derive(Debug)]
pub struct DeadlineReader<'a> {
    stream: &'a Stream,
    deadline: Instant,
}

impl<'a> DeadlineReader<'a> {
    /// All reads together may take `limit` from now on.
    #[must_use]
    pub fn new(stream: &'a Stream, limit: Duration) -> Self {
        Self { stream, deadline: Instant::now() + limit }
    }
}

impl Read for DeadlineReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut stream = self.stream;
        stream.read(buffer).map_err(|why| match why.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => why,
        })
    }
}
