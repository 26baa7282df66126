// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages as lines: the envelopes around requests and replies, and reading lines that have bounds.

use std::io::{self, IoSlice, Read};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Error;
use super::messages::Progress;
use crate::net::Stream;

/// The version of the protocol, in every message.
pub const VERSION: u32 = 1;

/// A request on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RequestLine {
    pub version: u32,
    pub id: u64,
    pub request: String,
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

/// A reply on the wire; one of the three is there. The id is null where the request had none that could be read.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ReplyLine {
    pub version: u32,
    pub id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

impl ReplyLine {
    pub(super) fn progress(id: u64, progress: Progress) -> Self {
        Self { version: VERSION, id: Some(id), progress: Some(progress), ..Self::default() }
    }

    pub(super) fn last(id: Option<u64>, outcome: Result<Value, Error>) -> Self {
        let reply = Self { version: VERSION, id, ..Self::default() };
        match outcome {
            Ok(answer) => Self { answer: Some(answer), ..reply },
            Err(error) => Self { error: Some(error), ..reply },
        }
    }
}

/// Sends a message as one line.
pub(super) fn send(stream: &Stream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.send_all(&mut [IoSlice::new(&line)])
}

/// Reads lines off a connection.
pub(super) struct Lines<'a> {
    stream: &'a Stream,
    received: Vec<u8>,
    bounds: Bounds,
}

/// How much of a line is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes in a line, without its end.
    pub length: usize,
    /// How long until a line begins; `None` waits for ever.
    pub idle: Option<Duration>,
    /// How long until it is complete then.
    pub whole: Duration,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// The peer is done; what it sent after its last line is dropped.
    End,
    /// More bytes than allowed without an end of line.
    TooLong,
    /// The peer took too long.
    Late,
}

impl<'a> Lines<'a> {
    pub(super) fn new(stream: &'a Stream, bounds: Bounds) -> Self {
        Self { stream, received: Vec::new(), bounds }
    }

    pub(super) fn set_idle(&mut self, idle: Option<Duration>) {
        self.bounds.idle = idle;
    }

    pub(super) fn next(&mut self) -> io::Result<Line> {
        let mut searched = 0;
        let mut began = None;
        loop {
            if let Some(at) = self.received[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.received.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.received, rest);
                line.pop();
                let fits = line.len() <= self.bounds.length;
                return Ok(if fits { Line::Whole(line) } else { Line::TooLong });
            }
            searched = self.received.len();
            if searched > self.bounds.length {
                return Ok(Line::TooLong);
            }
            if searched > 0 && began.is_none() {
                began = Some(Instant::now());
            }
            if !self.receive(began)? {
                return Ok(Line::Late);
            }
            if self.received.len() == searched {
                return Ok(Line::End);
            }
        }
    }

    /// Takes in what there is; false if there was nothing in time.
    fn receive(&mut self, began: Option<Instant>) -> io::Result<bool> {
        let limit = match began {
            None => self.bounds.idle,
            Some(began) => Some(self.bounds.whole.saturating_sub(began.elapsed())),
        };
        if limit.is_some_and(|limit| limit.is_zero()) {
            return Ok(false);
        }
        self.stream.set_read_timeout(limit)?;
        let mut buffer = [0; 8 << 10];
        let mut stream = self.stream;
        loop {
            match stream.read(&mut buffer) {
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    return Ok(true);
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
        }
    }
}
