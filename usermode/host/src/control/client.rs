// SPDX-License-Identifier: MIT OR Apache-2.0
//! The side of the protocol that asks.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::messages::{Call, Hello, HelloAnswer, Progress};
use super::wire::{self, Bounds, Line, Lines, ReplyLine, RequestLine, VERSION};
use super::{Code, Error, runtime};
use crate::net::Stream;

/// A host that does not greet within this time hangs.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// From the first byte of a reply to its end.
const WHOLE_REPLY: Duration = Duration::from_secs(30);
/// A list of 512 shadow copies has about half a megabyte.
const LONGEST_REPLY: usize = 16 << 20;

/// A connection to a host.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    path: PathBuf,
    hello: HelloAnswer,
    next_id: u64,
}

impl Client {
    /// Connects to the host behind the socket at `path`, and learns who it is.
    ///
    /// # Errors
    /// `Unreachable` if nobody listens or greets in time, `UnsupportedVersion` if it speaks another protocol.
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let stream = Stream::connect_unix(path).map_err(|why| unreachable(path, &why.to_string()))?;
        let _ = stream.set_write_timeout(Some(HELLO_LIMIT));
        let hello =
            HelloAnswer { host: String::new(), program: String::new(), oldest_version: 0, newest_version: 0, pid: 0 };
        let mut client = Self { stream, path: path.into(), hello, next_id: 1 };
        client.hello = client.exchange(Hello {}, Some(HELLO_LIMIT), &mut |_| {})?;
        Ok(client)
    }

    /// Who it is.
    #[must_use]
    pub fn hello(&self) -> &HelloAnswer {
        &self.hello
    }

    /// Its socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks, and waits for the answer, however long the host needs; `progress` hears how far it is.
    ///
    /// # Errors
    /// The host's own, or `Unreachable` if it went away.
    pub fn call<C: Call>(&mut self, call: C, progress: &mut dyn FnMut(Progress)) -> Result<C::Answer, Error> {
        self.exchange(call, None, progress)
    }

    fn exchange<C: Call>(
        &mut self,
        call: C,
        limit: Option<Duration>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<C::Answer, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let parameters = match serde_json::to_value(call) {
            Ok(Value::Object(parameters)) => parameters,
            Ok(_) => serde_json::Map::new(),
            Err(why) => return Err(Error::new(Code::Internal, why.to_string(), C::NAME, "parameters")),
        };
        let line = RequestLine { version: VERSION, id, request: C::NAME.into(), parameters };
        wire::send(&self.stream, &line).map_err(|why| unreachable(&self.path, &why.to_string()))?;

        let bounds = Bounds { length: LONGEST_REPLY, idle: limit, whole: WHOLE_REPLY };
        let mut lines = Lines::new(&self.stream, bounds);
        loop {
            let reply = self.reply(&mut lines)?;
            // An error without an id is about the connection, and so about this request, too.
            if reply.id.is_some_and(|reply_id| reply_id != id) {
                return Err(self.strange("a reply to another request"));
            }
            match reply {
                ReplyLine { error: Some(error), .. } => return Err(error),
                ReplyLine { answer: Some(answer), .. } => {
                    return C::Answer::deserialize(answer).map_err(|why| self.strange(&why.to_string()));
                }
                ReplyLine { progress: Some(reported), .. } => progress(reported),
                _ => return Err(self.strange("a reply that says nothing")),
            }
            lines.set_idle(limit);
        }
    }

    fn reply(&self, lines: &mut Lines<'_>) -> Result<ReplyLine, Error> {
        let line = match lines.next() {
            Ok(Line::Whole(line)) => line,
            Ok(Line::End) => return Err(unreachable(&self.path, "the host ended before it answered")),
            Ok(Line::Late) => return Err(unreachable(&self.path, "the host does not answer")),
            Ok(Line::TooLong) => return Err(self.strange("a reply without end")),
            Err(why) => return Err(unreachable(&self.path, &why.to_string())),
        };
        let reply: ReplyLine = serde_json::from_slice(&line).map_err(|why| self.strange(&why.to_string()))?;
        if reply.version == VERSION { Ok(reply) } else { Err(self.strange("another version of the protocol")) }
    }

    fn strange(&self, why: &str) -> Error {
        let place = self.path.display().to_string();
        Error::new(Code::BadMessage, format!("the host's reply cannot be read: {why}"), "reply", place)
    }
}

fn unreachable(path: &Path, why: &str) -> Error {
    Error::new(Code::Unreachable, format!("cannot reach the host: {why}"), "control socket", path.display().to_string())
}

/// Connects to every host that runs for this user, in the order of their names. A socket that nobody listens on any
/// more, as a killed host leaves it, is skipped; a host that hangs is an error in the list.
///
/// # Errors
/// The runtime folder cannot be read, or belongs to somebody else.
pub fn found_hosts() -> io::Result<Vec<Result<Client, Error>>> {
    let mut found = Vec::new();
    for path in runtime::sockets()? {
        match std::os::unix::net::UnixStream::connect(&path) {
            Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => {}
            _ => found.push(Client::connect(&path)),
        }
    }
    Ok(found)
}
