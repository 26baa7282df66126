// SPDX-License-Identifier: MIT OR Apache-2.0
//! The NBD server: block devices for qemu, nbdkit, libnbd, fio and the kernel's nbd driver.
//!
//! It speaks the published protocol (`doc/proto.md` of the NetworkBlockDevice project), fixed newstyle only:
//!
//! ```text
//! connection ─ negotiate ──── options until GO or EXPORT_NAME, one deadline for all of them
//!                  │
//!              Exports::find  a name -> an Export: a device, the clients that use it, and whether it is still there
//!                  │
//!              session ────── worker threads: one at a time reads a request, all handle and reply
//!                  │
//!              BlockDevice    the live volume, a snapshot, an image
//! ```
//!
//! Own code, because no published crate serves what we need: `nbd` 0.3 has no structured replies and no block
//! status, `tokio-nbd` is GPL and asynchronous over devices that block.
//!
//! Every length a client sends is bounded before anything is allocated for it; see [`Limits`] for what a hostile
//! client can make the server hold.

mod errno;
mod export;
mod negotiate;
mod options;
mod payload;
mod proto;
mod reply;
mod request;
mod server;
mod session;
mod status;

pub use export::{Clients, Export, Exports, Registry};
pub use server::{Limits, Server, uri};
