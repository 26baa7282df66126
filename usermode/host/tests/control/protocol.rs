// SPDX-License-Identifier: MIT OR Apache-2.0
//! What clients may rely on.

use std::time::Duration;

use vsshost::control::messages::{CreateShadow, DeleteShadows, Hello, ListShadows, Shutdown};
use vsshost::control::types::Selector;
use vsshost::control::{Client, Code, Limits};

use crate::journal::{Fixture, SET};

#[test]
fn client_learns_who_answers_and_gets_answers_and_errors() {
    let fixture = Fixture::new();
    let mut client = Client::connect(&fixture.socket).unwrap();
    assert_eq!(client.hello().host, "data");
    assert_eq!(client.hello().pid, std::process::id());
    let filter = ListShadows { volume: Some("data".into()), ..ListShadows::default() };
    assert!(client.call(filter, &mut |_| {}).unwrap().shadows.is_empty());
    fixture.expect(&["list_shadows Some(\"data\")"]);

    let id = SET.parse().unwrap();
    let why = client.call(DeleteShadows { volume: None, selector: Selector::Shadow(id) }, &mut |_| {}).unwrap_err();
    assert_eq!(why.code, Code::NotFound);
    assert_eq!(why.to_string(), format!("no such shadow copy (shadow copy {SET}, /srv/data.img)"));
    client.call(Hello {}, &mut |_| {}).expect("an error does not end the connection");
}

#[test]
fn progress_comes_first_and_not_too_often() {
    let fixture = Fixture::new();
    let mut client = Client::connect(&fixture.socket).unwrap();
    let mut reported = Vec::new();
    client.call(CreateShadow::default(), &mut |progress| reported.push(progress.done)).unwrap();
    assert_eq!(reported[0], 0, "the first at once");
    assert!((2..=20).contains(&reported.len()), "{reported:?} of a thousand");
    assert!(reported.is_sorted());
}

#[test]
fn a_set_ends_with_the_connection_that_began_it() {
    let fixture = Fixture::new();
    let prepare = r#"{"version":1,"id":1,"request":"prepare_snapshot"}"#;
    let step = |name: &str| {
        let limit = if name == "hold_writes" { r#","limit_ms":500"# } else { "" };
        format!(r#"{{"version":1,"id":2,"request":"{name}","parameters":{{"set":"{SET}"{limit}}}}}"#)
    };
    let (prepared, held) = (format!("prepare {SET}"), format!("hold {SET} for 500"));
    let (committed, released, aborted) = (format!("commit {SET}"), format!("release {SET}"), format!("abort {SET}"));

    let mut client = fixture.connect();
    assert_eq!(client.ask(prepare)["answer"]["set"], SET);
    drop(client);
    fixture.expect(&[&prepared, &aborted]);

    let mut client = fixture.connect();
    client.ask(prepare);
    client.ask(&step("hold_writes"));
    drop(client);
    fixture.expect(&[&prepared, &held, &aborted]);

    let mut client = fixture.connect();
    client.ask(prepare);
    client.ask(&step("hold_writes"));
    client.ask(&step("commit_snapshot"));
    drop(client);
    fixture.expect(&[&prepared, &held, &committed, &released]);

    let mut client = fixture.connect();
    client.ask(prepare);
    client.ask(&step("abort_snapshot"));
    client.ask(prepare);
    client.ask(&step("hold_writes"));
    client.ask(&step("commit_snapshot"));
    client.ask(&step("release_writes"));
    drop(client);
    let whole = [&prepared, &aborted, &prepared, &held, &committed, &released].map(String::as_str);
    fixture.expect(&whole);
    fixture.server.shutdown();
    assert!(fixture.journal.entries().ends_with(&whole.map(str::to_owned)), "nothing is undone that was finished");
}

#[test]
fn shutdown_finishes_requests_and_ends_sets() {
    let fixture = Fixture::new();
    let mut idle = fixture.connect();
    idle.ask(r#"{"version":1,"id":1,"request":"prepare_snapshot"}"#);
    let mut busy = fixture.connect();
    assert!(busy.ask(r#"{"version":1,"id":1,"request":"create_shadow"}"#)["progress"].is_object());
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| fixture.server.shutdown());
        assert!(idle.closed());
        let last = loop {
            let reply = busy.reply();
            if reply["progress"].is_null() {
                break reply;
            }
        };
        assert_eq!(last["answer"]["shadow"]["device_name"], "HarddiskVolumeShadowCopy1");
        assert!(busy.closed());
        stop.join().unwrap();
    });
    assert!(fixture.journal.entries().contains(&format!("abort {SET}")));
    assert!(!fixture.socket.exists());
    assert_eq!(Client::connect(&fixture.socket).unwrap_err().code, Code::Unreachable);
}

#[test]
fn shutdown_request_is_answered() {
    let fixture = Fixture::new();
    let mut client = Client::connect(&fixture.socket).unwrap();
    client.call(Shutdown {}, &mut |_| {}).unwrap();
    fixture.expect(&["shutdown"]);
}

#[test]
fn a_host_that_does_not_greet_is_an_error_not_a_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mute.sock");
    let _mute = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let start = std::time::Instant::now();
    assert_eq!(Client::connect(&path).unwrap_err().code, Code::Unreachable);
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn an_idle_connection_ends_and_its_set_with_it() {
    let fixture = Fixture::with(Limits { idle: Duration::from_millis(200), ..Limits::default() });
    let mut client = fixture.connect();
    client.ask(r#"{"version":1,"id":1,"request":"prepare_snapshot"}"#);
    assert_eq!(client.reply()["error"]["code"], "time_limit");
    assert!(client.closed());
    fixture.expect(&[&format!("abort {SET}")]);
}
