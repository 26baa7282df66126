// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vssadmin`: the command that Windows administrators know, for volumes that `vsshost` serves on Linux.
//!
//! Verbs, options and texts are those of Windows, so that habits and scripts carry over. `--json` gives the same as
//! one object for programs. Exit codes: 0 done, 1 failed or nothing found, 2 the command line makes no sense.
//!
//! It holds no state: every run asks the hosts behind the sockets in the runtime folder (`vsshost::control`).

mod arguments;
mod commands;
mod format;
mod help;
mod hosts;
mod outcome;
mod progress;
mod size;

use std::process::ExitCode;

use arguments::Parsed;
use vsshost::control::{Code, Error};

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args_os().skip(1).map(|one| one.to_string_lossy().into_owned()).collect();
    match arguments::parse(&given) {
        Parsed::Run(line) => commands::run(line.verb, line.json).print(line.json),
        Parsed::Help(topic) => {
            outcome::print(&format!("{}{}", outcome::BANNER, help::text(topic)));
            ExitCode::SUCCESS
        }
        Parsed::Mistake { message, topic, json } => {
            if json {
                let error = Error::new(Code::InvalidArgument, message, "command line", "");
                outcome::print(&format!("{}\n", serde_json::json!({ "errors": [error] })));
            } else {
                eprint!("{}Error: {message}\n\n{}", outcome::BANNER, help::text(topic));
            }
            ExitCode::from(outcome::USAGE)
        }
    }
}
