// SPDX-License-Identifier: MIT OR Apache-2.0
//! The copy-on-write engine of volsnap-rs.
//!
//! It decides, others do: no I/O, no clock, no thread, no lock. A shell (the kernel driver, the Linux host, the
//! simulator) tells it what happened and is told what to do; payload bytes never pass through it.
//!
//! ```text
//!              user's write                                   snapshot read
//!                   │                                               │
//!                   ▼                                               ▼
//!   ┌────── Gate::enter (one bitmap look-up, no lock)         Engine::read ──▶ live / store / zeros
//!   │ pass          │ ask                                           │ (the shell reads)
//!   │               ▼                                               ▼
//!   │        Engine::write ─▶ Pass | Wait | Later           Engine::read_is_current
//!   │               │ Wait
//!   │               ▼
//!   │   Copy, Copy, … ─▶ Flush ─▶ Write(descriptors, durable) ─▶ Release
//!   ▼               ▼                                              │
//!   live write ◀───────────────────────────────────────────────────┘
//! ```
//!
//! # The life of a snapshot
//! [`Engine::create_area`] (once) → [`Engine::prepare`] → [`Engine::hold_writes`] → [`Engine::commit`] →
//! [`Engine::release_writes`]; later [`Engine::delete`]. [`Loader`] builds the engine from what is on disk, after a clean
//! stop as after a crash.
//!
//! # Invariants
//! 1. A live block is overwritten only when no snapshot that anybody may want needs it: its bit in the [`Gate`] is set,
//!    or its old content and then its descriptor were made durable.
//! 2. Copies go into the newest wanted store only; older snapshots find them there.
//! 3. A snapshot exists exactly when its entry is in the catalog, which is one sector write.
//! 4. A snapshot for which something could not be saved is durably marked or removed before the write that needed it
//!    passes. If not even that can be written, [`Event::StorageLost`] says so.
//! 5. Bits of the gate are replaced only while no write is in flight.
//!
//! # What is assumed of a device
//! Sectors of 512 bytes are written whole or not at all; a `durable` write and everything before a flush survives a
//! power cut once reported done; what was not flushed may survive in any part and order.
//!
//! # Memory
//! All tables of the write path are taken when the engine is made. The index takes 16 to 32 bytes a saved block (1 to
//! 2 MiB per GiB of changed data) up to [`Config::index_limit`]; a store 17 KiB for the end of its lists; the gate one
//! bit a block. A failed allocation costs the oldest snapshot at the worst, never a user's write.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

extern crate alloc;

mod catalog;
mod cow;
mod engine;
mod gate;
mod index;
mod jobs;
mod list;
mod load;
mod prepare;
mod read;
mod removal;
mod ring;
mod space;
mod store;
mod types;
mod vecs;

pub use engine::{Config, Engine};
pub use gate::Gate;
pub use load::{Loader, Read};
pub use types::{
    Command, Decision, DeleteReason, Event, Extent, IoError, LoadError, NewSnapshot, NoMemory, Place, Priority,
    RequestError, Segment, SnapshotView, Source, Target, Token, WriteId,
};
