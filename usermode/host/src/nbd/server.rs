// SPDX-License-Identifier: MIT OR Apache-2.0
//! The listener: a connection is negotiated, then served until the client goes or the server stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::export::{Connected, Exports};
use super::negotiate::{self, Chosen};
use super::session::Session;
use crate::net::{Acceptor, Address, Endpoint, Settings, Stream};

/// What clients may take. With the defaults one connection holds at most 72 MiB of buffers (32 threads with 256 KiB
/// each, and `payload` for larger requests), all together 4.5 GiB if every one of 64 clients does its worst.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at one time; more are closed at once.
    pub connections: usize,
    /// Requests in flight on one connection, each with a thread.
    pub in_flight: usize,
    /// Bytes of large requests (over 256 KiB) in flight on one connection; at least 32 MiB, one largest request.
    pub payload: usize,
    /// All options together, from the greeting to the choice of an export.
    pub negotiation: Duration,
    /// On shutdown: how long clients may take to read their last replies.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            in_flight: 32,
            payload: 64 << 20,
            negotiation: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}

/// A running NBD server. Dropping it shuts it down.
#[derive(Debug)]
pub struct Server {
    acceptor: Acceptor,
}

impl Server {
    /// Listens on `address` and serves `exports`.
    ///
    /// # Errors
    /// As [`Endpoint::bind`]: the address is not local, or is taken; or the system has no threads left.
    pub fn start(address: &Address, exports: Arc<dyn Exports>, limits: Limits) -> io::Result<Self> {
        let endpoint = Endpoint::bind(address)?;
        let settings = Settings { name: "nbd", connections: limits.connections, grace: limits.grace };
        let acceptor = Acceptor::start(endpoint, settings, move |stream| serve(stream, &*exports, &limits))?;
        Ok(Self { acceptor })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.acceptor.address()
    }

    /// What to give to a client for an export. See [`uri`].
    #[must_use]
    pub fn uri(&self, export: &str) -> String {
        uri(self.address(), export)
    }

    /// Connections open now, also those that have not chosen an export.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.acceptor.connections()
    }

    /// Stops accepting, answers what is in flight, closes all connections and joins all threads. Waits for device
    /// calls as long as they take; clients that do not read are cut off after [`Limits::grace`].
    pub fn shutdown(self) {
        self.acceptor.shutdown();
    }
}

fn serve(stream: &Stream, exports: &dyn Exports, limits: &Limits) {
    match negotiate::negotiate(stream, exports, limits.negotiation) {
        Ok(Some(Chosen { export, structured, block_status })) => {
            let connected = Connected::new(export);
            let session = Session::new(stream, &connected, structured, block_status, limits);
            if let Err(why) = session.run() {
                exports.report(&format!("NBD client of '{}': {why}", connected.export().name()));
            }
        }
        Ok(None) => {}
        Err(why) => exports.report(&format!("NBD negotiation: {why}")),
    }
}

fn percent_encode(text: &str, also_plain: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also_plain.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What to give to a client for an export: `nbd+unix:///NAME?socket=PATH` or `nbd://HOST:PORT/NAME`.
#[must_use]
pub fn uri(address: &Address, export: &str) -> String {
    let name = percent_encode(export, b"");
    match address {
        Address::Unix(path) => {
            let socket = percent_encode(&path.to_string_lossy(), b"/");
            format!("nbd+unix:///{name}?socket={socket}")
        }
        Address::Tcp(address) => format!("nbd://{address}/{name}"),
    }
}
