// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host itself: who it is, how it does, what happened, and its end.

use serde::{Deserialize, Serialize};

use super::super::types::{Guid, Time};

/// Which host is this, and what does it speak? Answered by a host in any state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hello {}

/// The answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// Name of the host, which is that of its socket and of its volume.
    pub host: String,
    /// Version of the program, for people.
    pub program: String,
    /// Oldest protocol version that it speaks.
    pub oldest_version: u32,
    /// Newest protocol version that it speaks.
    pub newest_version: u32,
    /// Process id.
    pub pid: u32,
}

/// How is the host doing?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {}

/// The answer to [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// Name of the host.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Since when it serves.
    pub started: Time,
    /// Shadow copies that exist.
    pub shadows: u32,
    /// A snapshot set that is being made.
    pub set_in_progress: Option<Guid>,
    /// Writes are being held now.
    pub writes_held: bool,
    /// NBD connections that have the live volume open.
    pub nbd_clients: u32,
    /// Those that have written to it.
    pub nbd_writers: u32,
    /// Blocks copied for snapshots since the start, 16 KiB each.
    pub blocks_copied: u64,
}

/// What happened lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Events {
    /// Only events with a higher number.
    pub after: u64,
}

/// The answer to [`Events`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLog {
    /// Oldest first; the host keeps only the latest.
    pub events: Vec<Event>,
}

/// Something worth telling that no request asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 as the host starts.
    pub number: u64,
    /// When.
    pub time: Time,
    /// How bad.
    pub level: Level,
    /// For programs, for example `shadow_deleted_diff_area_full`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// The volume it is about, by name.
    pub volume: Option<String>,
    /// The shadow copy it is about.
    pub shadow: Option<Guid>,
}

/// How bad an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Information,
    /// Something was lost that had to go, or soon will be.
    Warning,
    /// Something failed.
    Error,
    /// A level that this version does not know.
    #[serde(other)]
    Other,
}

/// Ends the host, as a signal does: snapshots stay, the volume is no longer served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shutdown {}

/// An answer that says only that it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nothing {}

/// How far a long request is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, for people: `copying blocks to the older snapshot`.
    pub doing: String,
    /// So much of it is done.
    pub done: u64,
    /// Of so much; null if that is not known.
    pub total: Option<u64>,
}
