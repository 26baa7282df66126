// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a command ends with, and how it is told: texts as on Windows, or one JSON object.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Map, Value};
use vsshost::control::{Code, Error};

/// Windows prints such lines first, whatever the command; scripts skip them.
pub(crate) const BANNER: &str = concat!(
    "vssadmin 1.1 - Volume Shadow Copy Service administrative command-line tool\n",
    "(volsnap-rs ",
    env!("CARGO_PKG_VERSION"),
    ")\n\n"
);

/// Exit code of a command line that makes no sense.
pub(crate) const USAGE: u8 = 2;
const FAILED: u8 = 1;
const NOTHING_FOUND: &str = "No items found that satisfy the query.\n";

/// The end of a command.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// For people.
    text: String,
    /// For programs.
    json: Map<String, Value>,
    /// There was nothing to list or to delete.
    nothing: bool,
    errors: Vec<Error>,
}

impl Outcome {
    /// A list with its text; an empty one is 'nothing found'.
    pub(crate) fn list<T: Serialize>(name: &str, items: &[T], text: String) -> Self {
        Self { nothing: items.is_empty(), ..Self::done(name, items, text) }
    }

    /// Something that was done.
    pub(crate) fn done<T: Serialize + ?Sized>(name: &str, what: &T, text: String) -> Self {
        let mut outcome = Self { text, ..Self::default() };
        match serde_json::to_value(what) {
            Ok(value) => {
                outcome.json.insert(name.into(), value);
            }
            Err(why) => outcome.errors.push(Error::new(Code::Internal, why.to_string(), name, "")),
        }
        outcome
    }

    /// Adds what went wrong, as well or instead.
    pub(crate) fn with(mut self, errors: Vec<Error>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// Adds a line for people after 'nothing found'.
    pub(crate) fn explained(mut self, why: &str) -> Self {
        self.text.push_str(why);
        self
    }

    /// Prints it, and gives the exit code for it.
    pub(crate) fn print(mut self, json: bool) -> ExitCode {
        let failed = self.nothing || !self.errors.is_empty();
        if json {
            self.json.insert("errors".into(), serde_json::to_value(&self.errors).unwrap_or_default());
            print(&format!("{}\n", Value::Object(self.json)));
        } else {
            // Where a host failed, that nothing was found is not known.
            let nothing = if self.nothing && self.errors.is_empty() { NOTHING_FOUND } else { "" };
            print(&format!("{BANNER}{nothing}{}", self.text));
            for error in &self.errors {
                eprint!("{}", error_text(error));
            }
        }
        if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self { errors: vec![error], ..Self::default() }
    }
}

/// Prints to standard output. A reader that has seen enough, like `head`, is no failure.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Windows' sentence for the kind of error, then ours with what and where.
fn error_text(error: &Error) -> String {
    let known = match error.code {
        Code::NotFound if error.what.starts_with("volume") => {
            "Either the specified volume was not found or it is not a local volume."
        }
        Code::AlreadyExists => "The specified shadow copy storage association already exists.",
        Code::InProgress => "Another shadow copy creation is already in progress. Wait a few moments and try again.",
        Code::HoldExpired => "The volume could not be held still long enough. Try again when it is less busy.",
        Code::NoSpace => {
            "Insufficient storage available to create either the shadow copy storage file or other shadow copy data."
        }
        Code::Busy => "The volume or the shadow copy storage association is in use.",
        Code::NotSupported => "The specified volume does not support that.",
        _ => "",
    };
    let mut text = String::new();
    if known.is_empty() {
        text.push_str(&format!("Error: {}\n", error.message));
    } else {
        text.push_str(&format!("Error: {known}\n   {}\n", error.message));
    }
    for (label, value) in [("What", &error.what), ("Where", &error.place)] {
        if !value.is_empty() {
            text.push_str(&format!("   {label}: {value}\n"));
        }
    }
    text
}
