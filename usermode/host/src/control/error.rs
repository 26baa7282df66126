// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one error of the protocol: a code for programs, a sentence for people, and what and where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of failure; programs may decide by it. A code that this version does not know reads as [`Code::Other`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The line is not a message of this protocol.
    BadMessage,
    /// The message has a version that the host does not speak.
    UnsupportedVersion,
    /// The host has no such request.
    UnknownRequest,
    /// A parameter has a value that can never work.
    InvalidArgument,
    /// No such volume, shadow copy, set or association.
    NotFound,
    /// The association exists already.
    AlreadyExists,
    /// Another snapshot set is being made; later it may work.
    InProgress,
    /// Not in this order: the set is not prepared, is committed already, or its writes are not held.
    BadState,
    /// Writes were held longer than the limit and have been released; the set is lost.
    HoldExpired,
    /// No room for the diff area.
    NoSpace,
    /// Something has the volume open, or the storage is in use.
    Busy,
    /// The host cannot do that on this volume.
    NotSupported,
    /// The image, or a file of the host, could not be read or written.
    Io,
    /// The client took too long.
    TimeLimit,
    /// The host is about to end.
    ShuttingDown,
    /// The host cannot be reached, or went away before it answered. Made by clients only.
    Unreachable,
    /// A mistake in the host.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Other,
}

/// A request that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// For programs.
    pub code: Code,
    /// A sentence for people.
    pub message: String,
    /// The object it is about: `volume 'data'`, `shadow copy {…}`, `field 'limit_ms'`.
    #[serde(default)]
    pub what: String,
    /// Where that is: an image path with an offset, a socket, a field of the message.
    #[serde(default, rename = "where")]
    pub place: String,
}

impl Error {
    /// An error about `what` at `place`; either may be empty where there is nothing to say.
    pub fn new(code: Code, message: impl Into<String>, what: impl Into<String>, place: impl Into<String>) -> Self {
        Self { code, message: message.into(), what: what.into(), place: place.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.what.as_str(), self.place.as_str()) {
            ("", "") => Ok(()),
            (what, "") => write!(f, " ({what})"),
            ("", place) => write!(f, " ({place})"),
            (what, place) => write!(f, " ({what}, {place})"),
        }
    }
}

impl std::error::Error for Error {}
