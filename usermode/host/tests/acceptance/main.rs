// SPDX-License-Identifier: MIT OR Apache-2.0
//! The acceptance tests: the real program, real NTFS volumes, real clients and independent readers.
//!
//! | file | what must hold |
//! |---|---|
//! | `snapshots` | snapshots made under load equal what was copied while writes were held, for every reader |
//! | `deletion` | deleting any snapshot leaves the others as they were |
//! | `crash` | a host killed at any moment loses no acknowledged write and no snapshot |
//!
//! Programs that are not installed are skipped, loudly. `VOLSNAP_CAMPAIGN=N` does N times the rounds,
//! `VOLSNAP_KEEP=1` leaves images and logs where they are.

mod crash;
mod deletion;
mod fixture;
mod snapshots;
