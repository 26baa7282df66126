// SPDX-License-Identifier: MIT OR Apache-2.0
//! The acceptance tests: the real program, real NTFS volumes, real clients and independent readers.
//!
//! | file | what must hold |
//! |---|---|
//! | `snapshots` | snapshots made under load equal what was copied while writes were held, for every reader |
//! | `deletion` | deleting any snapshot leaves the others as they were |
//! | `crash` | a host killed at any moment loses no acknowledged write and no snapshot |
//! | `full` | a full diff area costs the oldest snapshot, never a write; a full disk below costs nothing that was there |
//! | `clients` | NBD programs that people use, on a volume with snapshots |
//! | `holds` | holds that end in other ways than they should |
//! | `damage` | images and mount points in a state that no clean stop leaves |
//!
//! Programs that are not installed are skipped, loudly. `VOLSNAP_CAMPAIGN=N` does N times the rounds,
//! `VOLSNAP_KEEP=1` leaves images and logs where they are.

mod clients;
mod crash;
mod damage;
mod deletion;
mod fixture;
mod full;
mod holds;
mod snapshots;
