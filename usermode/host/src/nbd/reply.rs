// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sends replies, simple or in chunks, each whole: threads take turns.

use std::io::{self, IoSlice};
use std::sync::{Mutex, PoisonError};

use zerocopy::IntoBytes;

use super::errno::Failure;
use super::proto::{self, ChunkHeader, RequestHeader, SimpleReply, StatusDescriptor, chunk};
use crate::net::Stream;

/// The sending side of a connection.
pub(super) struct Sender<'a> {
    stream: &'a Stream,
    structured: bool,
    turn: Mutex<()>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(stream: &'a Stream, structured: bool) -> Self {
        Self { stream, structured, turn: Mutex::new(()) }
    }

    /// The request is done and has nothing to say.
    pub(super) fn done(&self, request: &RequestHeader) -> io::Result<()> {
        if self.structured { self.chunk(request, chunk::NONE, &[]) } else { self.simple(request, 0, &[]) }
    }

    /// The answer to a read.
    pub(super) fn data(&self, request: &RequestHeader, bytes: &[u8]) -> io::Result<()> {
        match (self.structured, bytes.is_empty()) {
            (true, true) => self.chunk(request, chunk::NONE, &[]),
            (true, false) => self.chunk(request, chunk::OFFSET_DATA, &[request.offset.as_bytes(), bytes]),
            (false, _) => self.simple(request, 0, bytes),
        }
    }

    /// The answer to a block status request, for base:allocation.
    pub(super) fn status(&self, request: &RequestHeader, extents: &[StatusDescriptor]) -> io::Result<()> {
        let context = proto::BASE_ALLOCATION_ID.to_be_bytes();
        self.chunk(request, chunk::BLOCK_STATUS, &[&context, extents.as_bytes()])
    }

    /// The request failed.
    pub(super) fn failure(&self, request: &RequestHeader, why: &Failure) -> io::Result<()> {
        let number = why.errno as u32;
        // Chunks have room for words, and a read must have them once they are agreed on; without they are forbidden.
        if !self.structured {
            return self.simple(request, number, &[]);
        }
        let end = why.message.floor_char_boundary(proto::MAX_STRING);
        let message = &why.message.as_bytes()[..end];
        let length = u16::try_from(message.len()).unwrap_or(0).to_be_bytes();
        self.chunk(request, chunk::ERROR, &[&number.to_be_bytes(), &length, message])
    }

    fn simple(&self, request: &RequestHeader, error: u32, payload: &[u8]) -> io::Result<()> {
        let header =
            SimpleReply { magic: proto::SIMPLE_REPLY_MAGIC.into(), error: error.into(), cookie: request.cookie };
        self.send(&mut [IoSlice::new(header.as_bytes()), IoSlice::new(payload)])
    }

    fn chunk(&self, request: &RequestHeader, kind: u16, payload: &[&[u8]]) -> io::Result<()> {
        let length: usize = payload.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).map_err(io::Error::other)?;
        let header = ChunkHeader {
            magic: proto::CHUNK_MAGIC.into(),
            flags: chunk::DONE.into(),
            kind: kind.into(),
            cookie: request.cookie,
            length: length.into(),
        };
        let part = |at: usize| IoSlice::new(payload.get(at).copied().unwrap_or_default());
        self.send(&mut [IoSlice::new(header.as_bytes()), part(0), part(1), part(2)])
    }

    fn send(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.stream.send_all(parts)
    }
}
