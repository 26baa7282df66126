// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads requests off the connection and checks them before anything is done or allocated for them.

use std::io::{self, BufReader, Read};

use super::errno::{Errno, Failure};
use super::payload::{Budget, Payload, Share};
use super::proto::{self, RequestHeader, command, command_flag};
use crate::net::Stream;

/// The longest read or write, 32 MiB: what the protocol lets every client assume.
pub(super) const MAX_REQUEST: u32 = 32 << 20;

/// Covers many headers, or a small write with its header, in one system call; larger payloads bypass it.
const READ_AHEAD: usize = 8 << 10;

/// The receiving side; one thread at a time has it.
pub(super) struct Receiver<'a> {
    input: BufReader<&'a Stream>,
    /// The client said goodbye, went away or broke the protocol: nothing more is read.
    ended: bool,
    /// What it did wrong, if that is how it ended.
    violation: Option<io::Error>,
}

/// What the device is for this client; decides which requests are valid.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub size: u64,
    pub read_only: bool,
    pub structured: bool,
    pub block_status: bool,
}

/// A request. The payload of a write is in the thread's buffer if `valid` is Ok.
pub(super) struct Request<'a> {
    pub header: RequestHeader,
    pub valid: Result<(), Failure>,
    /// Its part of the memory budget, kept until it is answered.
    pub share: Share<'a>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(stream: &'a Stream) -> Self {
        Self { input: BufReader::with_capacity(READ_AHEAD, stream), ended: false, violation: None }
    }

    /// The next request, or `None` when there are no more; then always `None`.
    pub(super) fn next<'b>(&mut self, terms: Terms, budget: &'b Budget, payload: &mut Payload) -> Option<Request<'b>> {
        if self.ended {
            return None;
        }
        match self.read(terms, budget, payload) {
            Ok(Some(request)) => return Some(request),
            Ok(None) => {}
            // A client that just goes away is no news; the protocol even allows it when nothing is in flight.
            Err(why) if matches!(why.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {}
            Err(why) => self.violation = Some(why),
        }
        self.ended = true;
        None
    }

    /// What ended the connection, if it was not the client's wish.
    pub(super) fn violation(self) -> Option<io::Error> {
        self.violation
    }

    fn read<'b>(&mut self, terms: Terms, budget: &'b Budget, payload: &mut Payload) -> io::Result<Option<Request<'b>>> {
        let header: RequestHeader = proto::read(&mut self.input)?;
        if header.magic.get() != proto::REQUEST_MAGIC {
            let what = format!("request magic is {:#010x}", header.magic.get());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        if header.command.get() == command::DISCONNECT {
            return Ok(None);
        }

        let valid = check(&header, terms);
        let carries_bytes = matches!(header.command.get(), command::READ | command::WRITE);
        // Taken by the reading thread: a client over its budget is not read from, which slows it down and nobody else.
        let share = budget.take(if carries_bytes && valid.is_ok() { header.length.get() as usize } else { 0 });
        if header.command.get() == command::WRITE {
            let length = header.length.get();
            if valid.is_ok() {
                self.input.read_exact(payload.buffer(length as usize))?;
            } else {
                // What follows a refused write is its payload, not the next request.
                let skipped = io::copy(&mut (&mut self.input).take(u64::from(length)), &mut io::sink())?;
                if skipped < u64::from(length) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Ok(Some(Request { header, valid, share }))
    }
}

/// Whether the request may be given to the device.
fn check(header: &RequestHeader, terms: Terms) -> Result<(), Failure> {
    let (offset, length) = (header.offset.get(), header.length.get());
    let (command, flags) = (header.command.get(), header.flags.get());

    let allowed = command_flag::FUA
        | match command {
            command::READ if terms.structured => command_flag::DONT_FRAGMENT,
            command::WRITE_ZEROES => command_flag::NO_HOLE,
            command::BLOCK_STATUS => command_flag::ONE_EXTENT,
            _ => 0,
        };
    let writes = match command {
        command::READ | command::FLUSH => false,
        command::WRITE | command::TRIM | command::WRITE_ZEROES => true,
        command::BLOCK_STATUS if terms.block_status => false,
        command::BLOCK_STATUS => return invalid("block status without a metadata context".into()),
        _ => return invalid(format!("command {command} is not known")),
    };
    if flags & !allowed != 0 {
        return invalid(format!("flags {flags:#x} are not allowed on command {command}"));
    }
    if writes && terms.read_only {
        return Err(Failure::new(Errno::NotPermitted, "the export is read-only"));
    }
    if command == command::FLUSH {
        return Ok(());
    }
    if matches!(command, command::READ | command::WRITE) && length > MAX_REQUEST {
        return invalid(format!("{length} bytes in one request; at most {MAX_REQUEST}"));
    }
    if offset.checked_add(length.into()).is_none_or(|end| end > terms.size) {
        let errno =
            if matches!(command, command::WRITE | command::WRITE_ZEROES) { Errno::NoSpace } else { Errno::Invalid };
        let why = format!("{length} bytes at {offset} reach past the end at {}", terms.size);
        return Err(Failure::new(errno, why));
    }
    if command == command::BLOCK_STATUS && length == 0 {
        return invalid("block status of nothing".into());
    }
    Ok(())
}

fn invalid(message: String) -> Result<(), Failure> {
    Err(Failure::new(Errno::Invalid, message))
}
