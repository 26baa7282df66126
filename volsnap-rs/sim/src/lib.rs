// SPDX-License-Identifier: MIT OR Apache-2.0
//! The deterministic simulator of the copy-on-write engine.
//!
//! One seed is one run: users' writes, reads of snapshots, their making and deleting, growth, I/O errors, failing
//! memory, crashes at any I/O and restarts, all interleaved by a seeded schedule. Nothing in a run depends on anything
//! but the seed, so that a failing one can be run again, step by step.
//!
//! ```text
//!   run ── draws what happens next
//!    ├─ writes ─▶ gate / engine ─▶ device        users
//!    ├─ shell  ─▶ commands of the engine, done in any order, in pieces, with errors
//!    ├─ making, tasks                            snapshots and store files (files: a file system without metadata)
//!    ├─ reads                                    snapshots read while all goes on, compared with truth
//!    └─ restart                                  crash or stop, load, compare: engine, read-only engine, offline reader
//! ```
//!
//! What is checked is in `truth`: the content of every snapshot at its commit, whether the snapshot must be there, and
//! the live volume. What a device may do to data that was not flushed is in `device`. That the simulator can fail at
//! all is proved by the bugs of [`Bug`], each of which it has to find.

mod bug;
mod device;
mod files;
mod making;
mod memory;
mod offline;
mod profile;
mod reads;
mod restart;
mod rng;
mod run;
mod shell;
mod tasks;
mod truth;
mod world;
mod writes;

pub use bug::Bug;
pub use run::{Report, Violation, run};
