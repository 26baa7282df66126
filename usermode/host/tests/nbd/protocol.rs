// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules of the protocol that the usual clients do not exercise: error numbers, concurrency, withdrawal, shutdown.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vsshost::nbd::{Clients, Export, Exports, Limits, Server};
use vsshost::net::Address;

use crate::devices::{Broken, Gated, Memory};
use crate::fixture::{Fixture, MEMORY_SIZE, eventually};
use crate::raw::{self, BLOCK_STATUS, DISCONNECT, FLUSH, READ, Raw, TRIM, WRITE, WRITE_ZEROES};

const FUA: u16 = 1;
const NO_HOLE: u16 = 2;
const DF: u16 = 4;
const ONE: u16 = 8;

#[test]
fn requests_that_make_no_sense_get_the_right_error_number() {
    let fixture = Fixture::new();
    let mut live = Raw::open(&fixture.socket(), "memory");
    let end = MEMORY_SIZE;
    assert_eq!(live.error_of(READ, 0, end, 1), 22, "read past the end");
    assert_eq!(live.error_of(READ, 0, u64::MAX, 4096), 22, "offset and length overflow");
    assert_eq!(live.error_of(READ, DF, 0, 16), 22, "DF without structured replies");
    assert_eq!(live.error_of(READ, 0, 0, (32 << 20) + 1), 22, "more than 32 MiB");
    assert_eq!(live.error_of(TRIM, 0, end - 1, 2), 22, "trim past the end");
    assert_eq!(live.error_of(WRITE_ZEROES, 0, end - 1, 2), 28, "zeroes past the end");
    assert_eq!(live.error_of(WRITE_ZEROES, 16, 0, 4096), 22, "a flag that was not offered");
    assert_eq!(live.error_of(BLOCK_STATUS, 0, 0, 4096), 22, "block status without a context");
    assert_eq!(live.error_of(5, 0, 0, 4096), 22, "cache was not offered");
    assert_eq!(live.error_of(4711, 0, 0, 0), 22, "no such command");

    // The payload of a refused write is not taken for requests.
    live.request(WRITE, 0, 5, end - 10, 28);
    live.send(&[0x25; 28]);
    assert_eq!(live.simple_reply(), (5, 28), "write past the end");

    assert_eq!(live.error_of(READ, FUA, 0, 16), 0, "FUA is allowed everywhere");
    assert_eq!(live.error_of(FLUSH, FUA, 0, 0), 0);
    assert_eq!(live.error_of(READ, 0, end, 0), 0, "nothing, at the end");
    assert_eq!(live.error_of(WRITE_ZEROES, NO_HOLE | FUA, 0, 100), 0);
    assert_eq!(live.error_of(TRIM, 0, 0, MEMORY_SIZE as u32), 0);

    let mut snapshot = Raw::open(&fixture.socket(), "snapshot 1");
    assert_eq!(snapshot.error_of(TRIM, 0, 0, 4096), 1);
    assert_eq!(snapshot.error_of(WRITE_ZEROES, 0, 0, 4096), 1);
    snapshot.request(WRITE, 0, 6, 0, 4);
    snapshot.send(&[0; 4]);
    assert_eq!(snapshot.simple_reply(), (6, 1));
    assert_eq!(snapshot.error_of(FLUSH, 0, 0, 0), 0);
}

#[test]
fn errors_of_the_device_arrive_with_number_and_words() {
    let fixture = Fixture::new();
    let cases = [(ErrorKind::StorageFull, 28), (ErrorKind::PermissionDenied, 1), (ErrorKind::Other, 5)];
    for (kind, number) in cases {
        fixture.add("broken", Broken(Some(kind)));
        let mut simple = Raw::open(&fixture.socket(), "broken");
        assert_eq!(simple.error_of(READ, 0, 0, 512), number);
        assert_eq!(simple.error_of(FLUSH, 0, 0, 0), number);

        let mut structured = structured(&fixture, "broken");
        structured.request(READ, 0, 1, 0, 512);
        let (kind, payload) = structured.chunk();
        assert_eq!(kind, 0x8001);
        assert_eq!(payload[..4], number.to_be_bytes());
        assert_eq!(&payload[6..], b"as the test wants");
    }
}

#[test]
fn structured_replies_and_block_status() {
    let fixture = Fixture::new();
    let mut client = structured(&fixture, "snapshot 1");
    client.request(READ, DF, 1, 0, 8);
    assert_eq!(client.chunk(), (1, [&[0; 8][..], &[0x5a; 8]].concat()));
    client.request(READ, 0, 1, 0, 0);
    assert_eq!(client.chunk(), (0, vec![]), "a read of nothing has no data chunk");

    let extent = |length: u32, state: u32| [length.to_be_bytes(), state.to_be_bytes()].concat();
    let context = 1_u32.to_be_bytes().to_vec();
    client.request(BLOCK_STATUS, 0, 1, 0, 3 * 4096);
    assert_eq!(client.chunk(), (5, [context.clone(), extent(4096, 0), extent(8192, 3)].concat()));
    client.request(BLOCK_STATUS, ONE, 1, 100, 50);
    assert_eq!(client.chunk(), (5, [context, extent(50, 0)].concat()));
    client.request(BLOCK_STATUS, 0, 1, 0, 0);
    assert_eq!(client.chunk().0, 0x8001);
}

#[test]
fn a_slow_request_holds_up_nobody_up_to_the_limit() {
    let fixture = Fixture::new();
    let gate = Arc::new(Gated::closed());
    fixture.registry.add(Export::new("gated", "", gate.clone()));
    let mut client = Raw::open(&fixture.socket(), "gated");
    for cookie in 0..31 {
        client.request(READ, 0, cookie, 0, 16);
    }
    client.request(FLUSH, 0, 31, 0, 0);
    assert_eq!(client.simple_reply(), (31, 0), "31 wait, the last one does not");
    for cookie in 32..50 {
        client.request(READ, 0, cookie, 0, 16);
    }
    eventually("32 are in flight", || gate.waiting() == 32);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(gate.waiting(), 32, "and not one more");

    gate.open();
    let mut cookies: Vec<u64> = (0..49)
        .map(|_| {
            let (cookie, error) = client.simple_reply();
            assert_eq!((error, client.receive(16)), (0, vec![7; 16]));
            cookie
        })
        .collect();
    cookies.sort_unstable();
    assert_eq!(cookies, (0..31).chain(32..50).collect::<Vec<_>>());
}

#[test]
fn goodbye_comes_after_all_answers() {
    let fixture = Fixture::new();
    let gate = Arc::new(Gated::closed());
    fixture.registry.add(Export::new("gated", "", gate.clone()));
    let mut client = Raw::open(&fixture.socket(), "gated");
    for cookie in 0..5 {
        client.request(READ, 0, cookie, 0, 16);
    }
    client.request(DISCONNECT, 0, 5, 0, 0);
    client.request(READ, 0, 6, 0, 16);
    eventually("five are in flight", || gate.waiting() == 5);
    gate.open();
    for _ in 0..5 {
        let (cookie, error) = client.simple_reply();
        assert!(cookie < 5 && error == 0);
        client.receive(16);
    }
    assert!(client.closed());
    assert_eq!(gate.waiting(), 5, "what comes after the goodbye is not done");
}

#[test]
fn withdrawal_waits_for_requests_and_then_refuses_them() {
    let fixture = Fixture::new();
    let gate = Arc::new(Gated::closed());
    fixture.registry.add(Export::new("gated", "", gate.clone()));
    let mut client = Raw::open(&fixture.socket(), "gated");
    client.request(READ, 0, 1, 0, 16);
    eventually("the read waits", || gate.waiting() == 1);

    std::thread::scope(|scope| {
        let removal = scope.spawn(|| fixture.registry.remove("gated"));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!removal.is_finished(), "the device is still in use");
        gate.open();
        assert!(removal.join().unwrap());
    });
    assert_eq!((client.simple_reply(), client.receive(16)), ((1, 0), vec![7; 16]));
    assert_eq!(client.error_of(READ, 0, 0, 16), 108);
    assert!(!fixture.registry.remove("gated"));
    assert!(fixture.registry.find("gated").is_none());

    let mut late = Raw::greeted(&fixture.socket());
    late.option(raw::GO, b"\0\0\0\x05gated\0\0");
    assert_eq!(late.option_reply().0, (1 << 31) + 6);
    late.go("memory");
    assert_eq!(late.error_of(READ, 0, 0, 16), 0, "a refused GO is not the end");
}

#[test]
fn clients_are_counted() {
    let fixture = Fixture::new();
    let export = fixture.add("counted", Memory::new(16));
    let counts = |connected, writers| Clients { connected, writers };
    let mut reader = Raw::open(&fixture.socket(), "counted");
    let mut writer = Raw::open(&fixture.socket(), "counted");
    let _not_chosen = Raw::greeted(&fixture.socket());
    reader.error_of(READ, 0, 0, 16);
    assert_eq!(writer.error_of(WRITE_ZEROES, 0, 0, 16), 0);
    assert_eq!(writer.error_of(TRIM, 0, 0, 16), 0);
    assert_eq!(export.clients(), counts(2, 1));
    assert_eq!(fixture.server.connections(), 3);
    drop(writer);
    eventually("the writer is gone", || export.clients() == counts(1, 0));
    drop(reader);
    eventually("all are gone", || export.clients() == counts(0, 0));
}

#[test]
fn an_export_can_be_refused() {
    struct Picky(Fixture);
    impl Exports for Picky {
        fn list(&self) -> Vec<Arc<Export>> {
            self.0.registry.list()
        }
        fn find(&self, name: &str) -> Option<Arc<Export>> {
            self.0.registry.find(name)
        }
        fn admit(&self, export: &Export) -> Result<(), String> {
            if export.name() == "memory" { Err("the volume is mounted elsewhere".into()) } else { Ok(()) }
        }
    }
    let fixture = Fixture::new();
    let socket = fixture.path("picky.sock");
    let server = Server::start(&Address::Unix(socket.clone()), Arc::new(Picky(fixture)), Limits::default()).unwrap();
    let mut client = Raw::greeted(&socket);
    client.option(raw::GO, b"\0\0\0\x06memory\0\0");
    assert_eq!(client.option_reply(), ((1 << 31) + 2, b"the volume is mounted elsewhere".to_vec()));
    client.go("snapshot 1");
    server.shutdown();
}

#[test]
fn shutdown_answers_what_is_in_flight() {
    let fixture = Fixture::new();
    let gate = Arc::new(Gated::closed());
    fixture.registry.add(Export::new("gated", "", gate.clone()));
    let socket = fixture.socket();
    let mut idle = Raw::open(&socket, "memory");
    let mut negotiating = Raw::greeted(&socket);
    let mut busy = Raw::open(&socket, "gated");
    busy.request(READ, 0, 1, 0, 16);
    eventually("the read waits", || gate.waiting() == 1);

    std::thread::scope(|scope| {
        let stop = scope.spawn(|| fixture.server.shutdown());
        assert!(idle.closed());
        assert!(negotiating.closed());
        assert!(!stop.is_finished());
        gate.open();
        assert_eq!((busy.simple_reply(), busy.receive(16)), ((1, 0), vec![7; 16]));
        assert!(busy.closed());
        stop.join().unwrap();
    });
    assert!(!socket.exists());
}

#[test]
fn shutdown_cuts_off_a_client_that_does_not_read() {
    let fixture = Fixture::with(Limits { grace: Duration::from_millis(200), ..Limits::default() }, "unix");
    let mut deaf = Raw::open(&fixture.socket(), "memory");
    for cookie in 0..4 {
        deaf.request(READ, 0, cookie, 0, 8 << 20);
    }
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    fixture.server.shutdown();
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A client with structured replies and base:allocation.
fn structured(fixture: &Fixture, export: &str) -> Raw {
    let mut client = Raw::greeted(&fixture.socket());
    client.option(raw::STRUCTURED_REPLY, &[]);
    assert_eq!(client.option_reply().0, 1);
    let mut query = (export.len() as u32).to_be_bytes().to_vec();
    query.extend(export.as_bytes());
    query.extend(b"\0\0\0\x01\0\0\0\x0fbase:allocation");
    client.option(raw::SET_META_CONTEXT, &query);
    assert_eq!(client.option_reply(), (4, b"\0\0\0\x01base:allocation".to_vec()));
    assert_eq!(client.option_reply().0, 1);
    client.go(export);
    client
}
