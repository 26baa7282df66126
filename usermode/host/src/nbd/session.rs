// SPDX-License-Identifier: MIT OR Apache-2.0
//! The transmission phase: threads that take turns reading a request, then handle it and reply on their own.
//!
//! There is no queue between reading and handling, so a request costs no hand-off. A thread is added when the last
//! idle one has got a request, because whoever is with the device may stay there (a first write waits for its
//! copy-on-write, a held write for its release).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};

use super::errno::{Errno, Failure};
use super::export::Connected;
use super::payload::{Budget, Payload};
use super::proto::{RequestHeader, StatusDescriptor, command, command_flag};
use super::reply::Sender;
use super::request::{MAX_REQUEST, Receiver, Terms};
use super::server::Limits;
use super::status;
use crate::device::BlockDevice;
use crate::net::Stream;

/// A client that has chosen its export.
pub(super) struct Session<'a> {
    stream: &'a Stream,
    connected: &'a Connected,
    terms: Terms,
    budget: Budget,
    receiver: Mutex<Receiver<'a>>,
    sender: Sender<'a>,
    max_threads: usize,
    threads: AtomicUsize,
    /// Threads that read, or wait for their turn to read.
    idle: AtomicUsize,
}

/// What a request gives to the client.
enum Answer {
    Done,
    /// The bytes are in the thread's buffer.
    Data,
    Status(Vec<StatusDescriptor>),
}

impl<'a> Session<'a> {
    pub(super) fn new(
        stream: &'a Stream,
        connected: &'a Connected,
        structured: bool,
        block_status: bool,
        limits: &Limits,
    ) -> Self {
        let device = connected.export().device();
        let terms = Terms { size: device.size(), read_only: device.read_only(), structured, block_status };
        Self {
            stream,
            connected,
            terms,
            budget: Budget::new(limits.payload.max(MAX_REQUEST as usize)),
            receiver: Mutex::new(Receiver::new(stream)),
            sender: Sender::new(stream, structured),
            max_threads: limits.in_flight.max(1),
            threads: AtomicUsize::new(1),
            idle: AtomicUsize::new(0),
        }
    }

    /// Serves until the client goes; all that it asked for is answered then, and all threads are joined.
    ///
    /// # Errors
    /// The client broke the protocol.
    pub(super) fn run(self) -> io::Result<()> {
        thread::scope(|scope| self.work(scope));
        self.receiver.into_inner().unwrap_or_else(PoisonError::into_inner).violation().map_or(Ok(()), Err)
    }

    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let _hang_up = HangUpOnPanic(self.stream);
        let mut payload = Payload::default();
        loop {
            self.idle.fetch_add(1, Ordering::SeqCst);
            let request = {
                let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
                let request = receiver.next(self.terms, &self.budget, &mut payload);
                // Still under the lock, so that the count is right for whoever reads next.
                let others = self.idle.fetch_sub(1, Ordering::SeqCst) - 1;
                if request.is_some() && others == 0 {
                    self.add_thread(scope);
                }
                request
            };
            let Some(request) = request else { return };

            let answer = request.valid.and_then(|()| self.perform(&request.header, &mut payload));
            if self.reply(&request.header, answer, &mut payload).is_err() {
                // The client does not take its answers; wake whoever is reading.
                self.stream.hang_up();
                return;
            }
            payload.shrink();
            drop(request.share);
        }
    }

    fn add_thread<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        if self.threads.load(Ordering::SeqCst) >= self.max_threads {
            return;
        }
        let spawned = thread::Builder::new().name("nbd".into()).spawn_scoped(scope, || self.work(scope));
        // Without a further thread the connection is slower, and that is all.
        if spawned.is_ok() {
            self.threads.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn perform(&self, request: &RequestHeader, payload: &mut Payload) -> Result<Answer, Failure> {
        let export = self.connected.export();
        let Some(_inside) = export.enter() else {
            return Err(Failure::new(Errno::ShutDown, format!("export '{}' no longer exists", export.name())));
        };
        let device = &**export.device();
        let (offset, length) = (request.offset.get(), request.length.get());
        let flags = request.flags.get();
        let fua = flags & command_flag::FUA != 0;
        match request.command.get() {
            command::READ => {
                device.read_at(payload.buffer(length as usize), offset)?;
                return Ok(Answer::Data);
            }
            command::FLUSH => device.flush()?,
            command::BLOCK_STATUS => return self.block_status(device, request).map(Answer::Status),
            modifying => {
                self.connected.writes();
                match modifying {
                    command::WRITE => device.write_at(payload.buffer(length as usize), offset, fua)?,
                    command::TRIM => device.trim(offset, length.into(), fua)?,
                    _ => {
                        let may_trim = flags & command_flag::NO_HOLE == 0;
                        device.write_zeroes(offset, length.into(), may_trim, fua)?;
                    }
                }
            }
        }
        Ok(Answer::Done)
    }

    fn block_status(
        &self,
        device: &dyn BlockDevice,
        request: &RequestHeader,
    ) -> Result<Vec<StatusDescriptor>, Failure> {
        let (offset, length) = (request.offset.get(), request.length.get());
        let only_one = request.flags.get() & command_flag::ONE_EXTENT != 0;
        let extents = device.block_status(offset, length.into())?;
        Ok(status::describe(&extents, (offset, length, self.terms.size), only_one)?)
    }

    fn reply(&self, request: &RequestHeader, answer: Result<Answer, Failure>, payload: &mut Payload) -> io::Result<()> {
        match answer {
            Ok(Answer::Done) => self.sender.done(request),
            Ok(Answer::Data) => self.sender.data(request, payload.buffer(request.length.get() as usize)),
            Ok(Answer::Status(extents)) => self.sender.status(request, &extents),
            Err(why) => self.sender.failure(request, &why),
        }
    }
}

/// A device that panics leaves a request without an answer: the client must not wait for it.
struct HangUpOnPanic<'a>(&'a Stream);

impl Drop for HangUpOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.hang_up();
        }
    }
}
