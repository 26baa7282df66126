// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control protocol: how `vssadmin`, coordinators and scripts talk to a running host.
//!
//! ```text
//! vssadmin ── Client ──┐                                            ┌── Service (the host)
//!                      ├─ NAME.sock ─ one JSON object per line ─ Server
//! a script ── any JSON ┘              request, progress…, answer     └── a snapshot set left open is aborted
//! ```
//!
//! `CONTROL.md` beside this crate describes the protocol for people who write clients; a test holds it against the
//! types in [`messages`]. Sockets are found by folder, see [`runtime`].

mod client;
#[cfg(test)]
mod document;
mod error;
pub mod messages;
pub mod runtime;
mod server;
mod service;
mod sets;
pub mod types;
mod wire;

pub use client::{Client, found_hosts};
pub use error::{Code, Error};
pub use server::{Limits, Server};
pub use service::{Answer, ReportProgress, Service};
pub use wire::VERSION;
