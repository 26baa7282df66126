// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real program against a service with fixed content, over a real socket: what is tested here is text, options
//! and exit codes. What the commands do to a volume is tested with the host.

mod change;
mod fixture;
mod lists;
mod service;
mod usage;
