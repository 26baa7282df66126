// SPDX-License-Identifier: MIT OR Apache-2.0
//! Holds `CONTROL.md` against the code: its examples are what this version reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::messages::Request;
use super::wire::{ReplyLine, RequestLine, VERSION};
use super::{Code, Limits};

const DOCUMENT: &str = include_str!("../../CONTROL.md");

#[test]
fn every_example_of_the_document_is_a_message() {
    let mut names = BTreeMap::new();
    let mut asked = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for line in DOCUMENT.lines() {
        if let Some(text) = line.strip_prefix("-> ") {
            let request: RequestLine = serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"));
            assert_eq!(request.version, VERSION, "{text}");
            let parsed = Request::parse(&request.request, request.parameters.clone().into());
            let parsed = parsed.unwrap_or_else(|| panic!("no such request: {text}"));
            let written = parsed.unwrap_or_else(|why| panic!("{why}: {text}")).parameters();
            for (field, value) in request.parameters {
                assert_eq!(written.get(&field), Some(&value), "field '{field}' is not understood: {text}");
            }
            names.insert(request.id, request.request.clone());
            asked.insert(request.request);
        } else if let Some(text) = line.strip_prefix("<- ") {
            let example: Value = serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"));
            let reply = ReplyLine::deserialize(&example).unwrap_or_else(|why| panic!("{why}: {text}"));
            assert_eq!(reply.version, VERSION, "{text}");
            assert_eq!(serde_json::to_value(&reply).unwrap(), example, "not as this version writes it");
            assert!(reply.error.is_none_or(|error| error.code != Code::Other), "unknown code: {text}");
            let name = &names[&reply.id.expect("a reply to a request")];
            if let Some(answer) = reply.answer {
                let written = Request::check_answer(name, &answer).unwrap();
                let written = written.unwrap_or_else(|why| panic!("{why}: {text}"));
                assert_eq!(written, answer, "not as this version writes it");
                answered.insert(name.clone());
            }
        }
    }
    let all: BTreeSet<_> = Request::NAMES.iter().map(ToString::to_string).collect();
    assert_eq!(asked, all);
    assert_eq!(answered, all);
}

#[test]
fn the_document_states_the_limits_and_codes() {
    let limits = Limits::default();
    for number in [limits.line as u64, limits.whole_line.as_secs(), limits.connections as u64, limits.idle.as_secs()] {
        assert!(DOCUMENT.contains(&format!(" {number} ")), "{number}");
    }
    let documented = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let known = documented
        .filter(|name| serde_json::from_value::<Code>(Value::from(*name)).is_ok_and(|code| code != Code::Other));
    // All but `unreachable` and `other`, which no host sends.
    assert_eq!(known.count(), Code::Other as usize - 1);
}
