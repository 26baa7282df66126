// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls the crates that a driver is made of, as a driver would: no `std`, a panic handler, a fallible allocator.
//!
//! `cargo xtask no-std-check` builds this with everything below it as one optimised piece and looks for panic functions
//! in the result. It is never run. Everything comes in through parameters of exported functions, so that nothing is known
//! when it is compiled and no branch is optimised away.
//!
//! Add a call here for whatever is generic (nowhere else is it compiled for this check) and for each new way into a
//! crate. Functions that are not generic are also looked at in the crates' own libraries, called here or not.

#![no_std]

extern crate alloc;

mod engine_calls;
mod layout_calls;
mod ondisk_calls;
mod runtime;

#[cfg(feature = "samples")]
use samples as _;
