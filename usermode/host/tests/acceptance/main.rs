// SPDX-License-Identifier: MIT OR Apache-2.0
//! The acceptance tests: the real program, real NTFS volumes, real clients and independent readers.
//!
//! | file | what must hold |
//! |---|---|
//! | `snapshots` | snapshots made under load equal what was copied while writes were held, for every reader |
//! | `deletion` | deleting any snapshot leaves the others as they were |
//! | `clients` | NBD clients on a volume with snapshots: everything that they can do, and nothing to the snapshots |
//! | `holds` | held writes wait, and never longer than was said, whatever becomes of the coordinator |
//! | `damage` | damage and misuse give one clear error and leave the image alone |
//! | `redirected` | the diff area on another volume: the same promises, and nothing left there |
//! | `full` | a full diff area, volume or disk costs snapshots, oldest first, and never a write |
//! | `crash` | a host killed at any moment loses no acknowledged write and no snapshot |
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
mod redirected;
mod snapshots;
