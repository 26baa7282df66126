// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control server over a real socket: a service that only keeps a journal stands behind it, because what is
//! tested is what happens to messages and connections.

mod hostile;
mod journal;
mod protocol;
