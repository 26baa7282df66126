// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each command does.

mod create;
mod delete;
mod list;
mod storage;

use crate::arguments::{Add, Create, Delete, List, Resize, Verb};
use crate::outcome::Outcome;

/// Runs a command. `json` matters only where something is asked or told on the way.
pub(crate) fn run(verb: Verb, json: bool) -> Outcome {
    match verb {
        Verb::List(List::Providers) => list::providers(),
        Verb::List(List::Shadows(filter)) => list::shadows(filter).unwrap_or_else(Outcome::from),
        Verb::List(List::Shadowstorage(filter)) => list::shadowstorage(filter).unwrap_or_else(Outcome::from),
        Verb::List(List::Volumes) => list::volumes(),
        Verb::List(List::Writers) => list::writers(),
        Verb::Create(Create::Shadow(options)) => create::shadow(&options).unwrap_or_else(Outcome::from),
        Verb::Delete(Delete::Shadows(which)) => delete::shadows(&which, json).unwrap_or_else(Outcome::from),
        Verb::Delete(Delete::Shadowstorage(which)) => storage::delete(&which).unwrap_or_else(Outcome::from),
        Verb::Add(Add::Shadowstorage(wanted)) => storage::add(&wanted).unwrap_or_else(Outcome::from),
        Verb::Resize(Resize::Shadowstorage(wanted)) => storage::resize(&wanted).unwrap_or_else(Outcome::from),
    }
}
