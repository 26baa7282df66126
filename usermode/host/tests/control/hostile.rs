// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients that mean harm, or are just wrong. Whatever they send, the next client is served.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use vsshost::control::{Client, Limits};

use crate::journal::{Fixture, Raw};

#[track_caller]
fn still_serves(fixture: &Fixture) {
    assert_eq!(Client::connect(&fixture.socket).unwrap().hello().host, "data");
}

#[test]
fn each_mistake_is_called_by_its_name() {
    let fixture = Fixture::new();
    let mut client = fixture.connect();
    let cases = [
        ("nonsense", None, "bad_message", "the line"),
        ("[]", None, "unsupported_version", "field 'version'"),
        ("7", None, "unsupported_version", "field 'version'"),
        (r#"{"id":5,"request":"hello"}"#, Some(5), "unsupported_version", "field 'version'"),
        (r#"{"version":2,"id":6,"request":"hello"}"#, Some(6), "unsupported_version", "field 'version'"),
        (r#"{"version":1,"request":"hello"}"#, None, "bad_message", "the request object"),
        (r#"{"version":1,"id":-1,"request":"hello"}"#, None, "bad_message", "the request object"),
        (r#"{"version":1,"id":7}"#, Some(7), "bad_message", "the request object"),
        (r#"{"version":1,"id":8,"request":"hello","parameters":7}"#, Some(8), "bad_message", "the request object"),
        (r#"{"version":1,"id":9,"request":"format_disk"}"#, Some(9), "unknown_request", "field 'request'"),
        (r#"{"version":1,"id":10,"request":"delete_shadows"}"#, Some(10), "invalid_argument", "field 'parameters'"),
        (
            r#"{"version":1,"id":11,"request":"delete_shadows","parameters":{"selector":"newest"}}"#,
            Some(11),
            "invalid_argument",
            "field 'parameters'",
        ),
        (
            r#"{"version":1,"id":12,"request":"list_shadows","parameters":{"shadow":"{no guid}"}}"#,
            Some(12),
            "invalid_argument",
            "field 'parameters'",
        ),
    ];
    for (line, id, code, place) in cases {
        let reply = client.ask(line);
        assert_eq!(reply["version"], 1, "{line}");
        assert_eq!(reply["id"].as_u64(), id, "{line}");
        assert_eq!(reply["error"]["code"], code, "{line}: {reply}");
        assert_eq!(reply["error"]["where"], place, "{line}: {reply}");
        assert!(!reply["error"]["message"].as_str().unwrap().is_empty());
    }
    let unknown = client.ask(r#"{"version":1,"id":9,"request":"format_disk"}"#);
    assert!(unknown["error"]["message"].as_str().unwrap().contains("list_shadows"), "{unknown}");
    assert_eq!(unknown["error"]["what"], "request 'format_disk'");
    assert!(fixture.journal.entries().is_empty(), "none of it reached the host");

    let newer = r#"{"version":1,"id":1,"request":"list_volumes","parameters":{"sort":"size"},"trace":[1]}"#;
    assert!(client.ask(newer)["answer"].is_object(), "unknown fields are skipped");
    client.send(b"\n \r\n");
    assert!(client.ask(newer)["answer"].is_object(), "so are empty lines");
}

#[test]
fn holds_have_a_limit() {
    let fixture = Fixture::new();
    let mut client = fixture.connect();
    for limit in ["0", "10001", "4294967295"] {
        let set = crate::journal::SET;
        let reply = client.ask(&format!(
            r#"{{"version":1,"id":1,"request":"hold_writes","parameters":{{"set":"{set}","limit_ms":{limit}}}}}"#
        ));
        assert_eq!(reply["error"]["code"], "invalid_argument", "{limit}");
        assert_eq!(reply["error"]["where"], "field 'limit_ms'");
    }
    assert!(fixture.journal.entries().is_empty());
}

#[test]
fn endless_lines_and_deep_nesting_are_refused() {
    let fixture = Fixture::new();
    let mut endless = fixture.connect();
    let _ = endless.0.get_mut().write_all(&vec![b'x'; 10 << 20]);
    assert_eq!(endless.reply()["error"]["code"], "bad_message");
    assert!(endless.closed());

    let mut deep = fixture.connect();
    let reply = deep.ask(&"[".repeat(60_000));
    assert_eq!(reply["error"]["code"], "bad_message");
    assert_eq!(deep.ask(r#"{"version":1,"id":1,"request":"hello"}"#)["answer"]["host"], "data");
}

#[test]
fn a_dripping_line_runs_out_of_time() {
    let fixture = Fixture::with(Limits { whole_line: Duration::from_millis(300), ..Limits::default() });
    let start = Instant::now();
    let mut client = fixture.connect();
    for _ in 0..10 {
        let _ = client.0.get_mut().write_all(b"{");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.reply()["error"]["code"], "time_limit");
    assert!(client.closed());
    assert!(start.elapsed() < Duration::from_secs(3));
    still_serves(&fixture);
}

#[test]
fn connections_are_limited() {
    let fixture = Fixture::with(Limits { connections: 2, ..Limits::default() });
    let mut held: Vec<Raw> = (0..2).map(|_| fixture.connect()).collect();
    for client in &mut held {
        client.ask(r#"{"version":1,"id":1,"request":"hello"}"#);
    }
    assert!(fixture.connect().closed());
    held.clear();
    for _ in 0..500 {
        if Client::connect(&fixture.socket).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody gets in after the others left");
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let fixture = Fixture::with(Limits { reply: Duration::from_millis(200), ..Limits::default() });
    let mut deaf = fixture.connect();
    // Errors longer than the requests, never read, until the socket is full in one direction or the other.
    deaf.0.get_ref().set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let cut_off = (0..200_000).any(|_| deaf.0.get_mut().write_all(b"{\"version\":1}\n").is_err());
    assert!(cut_off);
    still_serves(&fixture);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let fixture = Fixture::new();
        let mut client = fixture.connect();
        let _ = client.0.get_mut().write_all(&bytes);
        let _ = client.0.get_mut().shutdown(Shutdown::Write);
        prop_assert!(client.closed());
        still_serves(&fixture);
    }

    #[test]
    fn almost_right_messages(
        version in prop_oneof![Just("1"), Just("null"), Just("1.0"), Just("99999999999999999999")],
        id in prop_oneof![Just("1"), Just("\"1\""), Just("1e400"), Just("{}")],
        request in prop_oneof![Just("hello"), Just("list_shadows"), Just("hold_writes"), Just("\\u0000"), Just("shut\\ndown")],
        parameters in prop_oneof![Just("{}"), Just("null"), Just("[]"), Just("{\"set\":1}"), Just("{\"volume\":\"\\ud83d\\ude00\"}")],
    ) {
        let fixture = Fixture::new();
        let mut client = fixture.connect();
        let line = format!(r#"{{"version":{version},"id":{id},"request":"{request}","parameters":{parameters}}}"#);
        let reply = client.ask(&line);
        prop_assert!(reply["error"].is_object() != reply["answer"].is_object(), "{line}: {reply}");
        prop_assert_eq!(&client.ask(r#"{"version":1,"id":2,"request":"hello"}"#)["answer"]["host"], "data");
    }
}
