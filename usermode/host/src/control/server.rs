// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves control connections: a line in, progress lines and one last line out, and so on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::messages::{HelloAnswer, HoldWrites, Nothing, Progress, Request};
use super::service::{Answer, Service};
use super::sets::OpenSets;
use super::wire::{self, Bounds, Line, Lines, ReplyLine, RequestLine, VERSION};
use super::{Code, Error};
use crate::net::{Acceptor, Address, Endpoint, Settings, Stream};

/// What clients may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at one time; more are closed at once.
    pub connections: usize,
    /// Bytes in a request.
    pub line: usize,
    /// From the first byte of a request to its end.
    pub whole_line: Duration,
    /// Between requests. A snapshot set that the client has begun ends with the connection.
    pub idle: Duration,
    /// How long a client may take to read a reply, also on shutdown.
    pub reply: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            line: 64 << 10,
            whole_line: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            reply: Duration::from_secs(10),
        }
    }
}

/// Progress messages to a client are at least this far apart.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// A running control server. Dropping it shuts it down.
#[derive(Debug)]
pub struct Server {
    acceptor: Acceptor,
}

impl Server {
    /// Listens on a unix socket at `path` (usually [`super::runtime::socket`]), which only its owner may open.
    ///
    /// # Errors
    /// `AddrInUse` if another host of that name runs; else what the system says, with the path.
    pub fn start(path: &Path, service: Arc<dyn Service>, limits: Limits) -> io::Result<Self> {
        let endpoint = Endpoint::bind(&Address::Unix(path.into()))?;
        let settings = Settings { name: "control", connections: limits.connections, grace: limits.reply };
        let acceptor = Acceptor::start(endpoint, settings, move |stream| {
            // A connection that breaks is the client's affair: it sees the same.
            let _ = serve(stream, &*service, &limits);
        })?;
        Ok(Self { acceptor })
    }

    /// Stops accepting, lets requests that are being worked on finish, ends all connections (and with them the
    /// snapshot sets they have begun), and joins all threads. Not from within a [`Service`] call.
    pub fn shutdown(self) {
        self.acceptor.shutdown();
    }
}

fn serve(stream: &Stream, service: &dyn Service, limits: &Limits) -> io::Result<()> {
    stream.set_write_timeout(Some(limits.reply))?;
    let bounds = Bounds { length: limits.line, idle: Some(limits.idle), whole: limits.whole_line };
    let mut lines = Lines::new(stream, bounds);
    let mut sets = OpenSets::new(service);
    loop {
        let line = match lines.next()? {
            Line::Whole(line) => line,
            Line::End => return Ok(()),
            Line::TooLong => {
                let message = format!("a request has at most {} bytes", limits.line);
                return refuse(stream, Error::new(Code::BadMessage, message, "request", "its length"));
            }
            Line::Late => {
                let message = "the client took too long; the connection ends here";
                return refuse(stream, Error::new(Code::TimeLimit, message, "connection", ""));
            }
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse(&line) {
            Ok((id, request)) => {
                let outcome = answer(stream, id, request, service, &mut sets);
                wire::send(stream, &ReplyLine::last(Some(id), outcome))?;
            }
            Err((id, error)) => wire::send(stream, &ReplyLine::last(id, Err(error)))?,
        }
    }
}

/// An error that ends the connection.
fn refuse(stream: &Stream, error: Error) -> io::Result<()> {
    wire::send(stream, &ReplyLine::last(None, Err(error)))
}

/// A request with its id, or the error to answer with. In steps, so that each mistake is called by its name.
fn parse(line: &[u8]) -> Result<(u64, Request), (Option<u64>, Error)> {
    let bad = |message: String, place: &str| Error::new(Code::BadMessage, message, "request", place);
    let value: Value =
        serde_json::from_slice(line).map_err(|why| (None, bad(format!("not a JSON text: {why}"), "the line")))?;
    let id = value.get("id").and_then(Value::as_u64);
    let version = value.get("version").and_then(Value::as_u64);
    if version != Some(VERSION.into()) {
        let message = match version {
            Some(version) => format!("version {version} is not spoken here; only {VERSION}"),
            None => format!("every message has \"version\": {VERSION}"),
        };
        return Err((id, Error::new(Code::UnsupportedVersion, message, "request", "field 'version'")));
    }
    let line: RequestLine =
        serde_json::from_value(value).map_err(|why| (id, bad(why.to_string(), "the request object")))?;
    match Request::parse(&line.request, line.parameters.into()) {
        Some(Ok(request)) => Ok((line.id, request)),
        Some(Err(why)) => {
            let what = format!("request '{}'", line.request);
            Err((id, Error::new(Code::InvalidArgument, why.to_string(), what, "field 'parameters'")))
        }
        None => {
            // Its name comes from the client and may be long.
            let name: String = line.request.chars().take(80).collect();
            let message = format!("this host knows {}", Request::NAMES.join(", "));
            let what = format!("request '{}'", name.escape_debug());
            Err((id, Error::new(Code::UnknownRequest, message, what, "field 'request'")))
        }
    }
}

fn answer(
    stream: &Stream,
    id: u64,
    request: Request,
    service: &dyn Service,
    sets: &mut OpenSets<'_>,
) -> Result<Value, Error> {
    let mut last_sent: Option<Instant> = None;
    let mut progress = |progress: Progress| {
        if last_sent.is_none_or(|at| at.elapsed() >= PROGRESS_INTERVAL) {
            last_sent = Some(Instant::now());
            // A client that does not listen does not stop the work it asked for.
            let _ = wire::send(stream, &ReplyLine::progress(id, progress));
        }
    };
    match request {
        Request::Hello(_) => value(Ok(hello(service))),
        Request::Status(_) => value(service.status()),
        Request::ListVolumes(_) => value(service.list_volumes()),
        Request::ListShadows(filter) => value(service.list_shadows(filter)),
        Request::ListShadowstorage(filter) => value(service.list_shadowstorage(filter)),
        Request::ListProviders(_) => value(service.list_providers()),
        Request::CreateShadow(options) => value(service.create_shadow(options, &mut progress)),
        Request::PrepareSnapshot(options) => {
            value(service.prepare_snapshot(options, &mut progress).inspect(|prepared| sets.prepared(prepared.set)))
        }
        Request::HoldWrites(hold) => value(hold_writes(service, hold).inspect(|_| sets.held(hold.set))),
        Request::CommitSnapshot(commit) => {
            value(service.commit_snapshot(commit).inspect(|_| sets.committed(commit.set)))
        }
        Request::ReleaseWrites(release) => {
            value(service.release_writes(release).inspect(|_| sets.released(release.set)))
        }
        Request::AbortSnapshot(abort) => value(service.abort_snapshot(abort).inspect(|_| sets.aborted(abort.set))),
        Request::DeleteShadows(which) => value(service.delete_shadows(which, &mut progress)),
        Request::AddShadowstorage(wanted) => value(service.add_shadowstorage(wanted)),
        Request::ResizeShadowstorage(wanted) => value(service.resize_shadowstorage(wanted, &mut progress)),
        Request::DeleteShadowstorage(which) => value(service.delete_shadowstorage(which)),
        Request::SetMountPoint(mount) => value(service.set_mount_point(mount)),
        Request::Events(since) => value(service.events(since)),
        Request::Shutdown(_) => value(service.shutdown()),
    }
}

fn value<T: Serialize>(answer: Answer<T>) -> Result<Value, Error> {
    let internal = |why: serde_json::Error| Error::new(Code::Internal, why.to_string(), "answer", "");
    serde_json::to_value(answer?).map_err(internal)
}

fn hello(service: &dyn Service) -> HelloAnswer {
    HelloAnswer {
        host: service.name(),
        program: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
        oldest_version: VERSION,
        newest_version: VERSION,
        pid: std::process::id(),
    }
}

fn hold_writes(service: &dyn Service, hold: HoldWrites) -> Answer<Nothing> {
    if !(1..=HoldWrites::MAX_LIMIT_MS).contains(&hold.limit_ms) {
        let message = format!("writes can be held for 1 to {} ms, not {}", HoldWrites::MAX_LIMIT_MS, hold.limit_ms);
        return Err(Error::new(Code::InvalidArgument, message, "request 'hold_writes'", "field 'limit_ms'"));
    }
    service.hold_writes(hold)
}
