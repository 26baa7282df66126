// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets that the host listens on, for NBD and for control: only ones that another machine cannot reach.
//!
//! One place decides what may be listened on (a unix socket or loopback), how many connections there may be, and
//! how they end. The two protocols bring a function that serves one [`Stream`].

mod acceptor;
mod address;
mod stream;

pub use acceptor::{Acceptor, Settings};
pub use address::{Address, BoundSocket, Endpoint};
pub use stream::{DeadlineReader, Stream};
