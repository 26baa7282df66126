// SPDX-License-Identifier: MIT OR Apache-2.0
//! The NBD server with the clients that people use, and with clients that mean harm.

mod clients;
mod devices;
mod fixture;
mod hostile;
mod protocol;
mod raw;
