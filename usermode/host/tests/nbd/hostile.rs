// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients that mean harm. Whatever they send, the server goes on serving the next one.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use vsshost::nbd::Limits;

use crate::devices::Broken;
use crate::fixture::{Fixture, eventually};
use crate::raw::{self, READ, Raw, WRITE};

/// A decent client is served.
#[track_caller]
fn still_serves(fixture: &Fixture) {
    let mut client = Raw::open(&fixture.socket(), "snapshot 1");
    client.request(READ, 0, 1, 0, 4);
    assert_eq!((client.simple_reply(), client.receive(4)), ((1, 0), vec![0x5a; 4]));
}

#[test]
fn bad_magic_and_flags_close_the_connection() {
    let fixture = Fixture::new();
    let mut flags = Raw::silent(&fixture.socket());
    flags.send(b"GET ");
    assert!(flags.closed());

    let mut option = Raw::greeted(&fixture.socket());
    option.send(b"IHAVENOT\0\0\0\x03\0\0\0\0");
    assert!(option.closed());

    let mut request = Raw::open(&fixture.socket(), "memory");
    request.send(&[0xff; 28]);
    assert!(request.closed());
    still_serves(&fixture);
}

#[test]
fn malformed_options_get_an_error_and_a_second_chance() {
    let fixture = Fixture::new();
    let mut client = Raw::greeted(&fixture.socket());
    client.option(raw::STRUCTURED_REPLY, &[]);
    assert_eq!(client.option_reply().0, 1);
    let invalid = (1 << 31) + 3;
    let cases: [(u32, &[u8]); 9] = [
        (3, b"payload"),
        (8, b"payload"),
        (6, b""),
        (7, b"\xff\xff\xff\xffmemory\0\0"),
        (7, b"\0\0\0\x06memory\xff\xff"),
        (7, b"\0\0\0\x02\xff\xff\0\0"),
        (9, b"\0\0\0\x06memory\xff\xff\xff\xff"),
        (10, b"\0\0\0\x06memory\0\0\0\x01\xff\xff\xff\xff"),
        (10, b"\0\0\0\x06memory\0\0\0\0rest"),
    ];
    for (option, payload) in cases {
        client.option(option, payload);
        assert_eq!(client.option_reply().0, invalid, "option {option} with {payload:?}");
    }
    let long = [&4097_u32.to_be_bytes()[..], &[b'x'; 4097], &[0, 0]].concat();
    client.option(7, &long);
    assert_eq!(client.option_reply().0, invalid);
    let unknown = [&4096_u32.to_be_bytes()[..], &[b'x'; 4096], &[0, 0]].concat();
    client.option(7, &unknown);
    let (kind, text) = client.option_reply();
    assert_eq!((kind, text.len()), ((1 << 31) + 6, 4096));
    client.option(5, &[]);
    assert_eq!(client.option_reply().0, (1 << 31) + 1, "no TLS");
    client.option(0xdead_beef, &[7; 65536]);
    assert_eq!(client.option_reply().0, (1 << 31) + 1);
    client.go("memory");
}

#[test]
fn huge_and_truncated_options_end_there() {
    let fixture = Fixture::new();
    let mut huge = Raw::greeted(&fixture.socket());
    huge.send(b"IHAVEOPT\0\0\0\x07\xff\xff\xff\xff");
    assert!(huge.closed());

    for cut in [1, 8, 12, 16, 20] {
        let mut client = Raw::greeted(&fixture.socket());
        client.send(&b"IHAVEOPT\0\0\0\x07\0\0\0\x0c\0\0\0\x06memory\0\0"[..cut]);
        client.0.shutdown(Shutdown::Write).unwrap();
        assert!(client.closed(), "cut at {cut}");
    }
    let mut old = Raw::greeted(&fixture.socket());
    old.option(1, b"no such export");
    assert!(old.closed(), "the old option has no other way to say no");
    still_serves(&fixture);
}

#[test]
fn a_client_that_dawdles_is_dropped() {
    let limits = Limits { negotiation: Duration::from_millis(300), ..Limits::default() };
    let fixture = Fixture::with(limits, "unix");
    let start = Instant::now();
    let mut client = Raw::silent(&fixture.socket());
    // A byte now and then does not buy time.
    for byte in [0_u8, 0, 0, 3, b'I', b'H', b'A', b'V', b'E'] {
        let _ = client.0.write_all(&[byte]);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(client.closed());
    assert!(start.elapsed() < Duration::from_secs(3));

    let mut served = Raw::open(&fixture.socket(), "snapshot 1");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(served.error_of(READ, 0, 0, 4), 0, "after the negotiation a client may be idle");
}

#[test]
fn connections_are_limited_and_come_back() {
    let fixture = Fixture::with(Limits { connections: 3, ..Limits::default() }, "unix");
    let mut held: Vec<Raw> = (0..3).map(|_| Raw::silent(&fixture.socket())).collect();
    let mut refused = Raw(UnixStream::connect(fixture.socket()).unwrap());
    assert!(refused.closed());
    held.pop();
    eventually("there is room again", || fixture.server.connections() == 2);
    still_serves(&fixture);
}

#[test]
fn huge_writes_are_drained_and_half_writes_change_nothing() {
    let fixture = Fixture::new();
    let mut client = Raw::open(&fixture.socket(), "memory");
    let length = (32 << 20) + 4096;
    client.request(WRITE, 0, 1, 0, length);
    client.send(&vec![0xee; length as usize]);
    assert_eq!(client.simple_reply(), (1, 22));

    client.request(WRITE, 0, 2, 0, 4096);
    client.send(&[0xee; 4095]);
    client.0.shutdown(Shutdown::Write).unwrap();
    assert!(client.closed());
    let mut check = Raw::open(&fixture.socket(), "memory");
    check.request(READ, 0, 3, 0, 4096);
    assert_eq!((check.simple_reply(), check.receive(4096)), ((3, 0), vec![0; 4096]));
}

#[test]
fn clients_that_leave_without_their_answers_do_no_harm() {
    let fixture = Fixture::new();
    for _ in 0..20 {
        let mut client = Raw::open(&fixture.socket(), "memory");
        for cookie in 0..40 {
            client.request(READ, 0, cookie, 0, 1 << 20);
        }
    }
    eventually("their connections are gone", || fixture.server.connections() == 0);
    still_serves(&fixture);
}

#[test]
fn a_device_that_panics_costs_one_connection() {
    let fixture = Fixture::new();
    fixture.add("panics", Broken(None));
    let mut client = Raw::open(&fixture.socket(), "panics");
    client.request(READ, 0, 1, 0, 512);
    assert!(client.closed());
    eventually("the connection is gone", || fixture.server.connections() == 0);
    still_serves(&fixture);
    fixture.server.shutdown();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_after_the_greeting(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let fixture = Fixture::new();
        let mut client = Raw::silent(&fixture.socket());
        let _ = client.0.write_all(&bytes);
        let _ = client.0.shutdown(Shutdown::Write);
        prop_assert!(client.closed());
        still_serves(&fixture);
    }

    #[test]
    fn random_options(options in proptest::collection::vec((0_u32..12, proptest::collection::vec(any::<u8>(), 0..60)), 0..20)) {
        let fixture = Fixture::new();
        let mut client = Raw::greeted(&fixture.socket());
        for (option, payload) in options {
            let mut message = b"IHAVEOPT".to_vec();
            message.extend(option.to_be_bytes());
            message.extend((payload.len() as u32).to_be_bytes());
            message.extend(payload);
            let _ = client.0.write_all(&message);
        }
        let _ = client.0.shutdown(Shutdown::Write);
        prop_assert!(client.closed());
        still_serves(&fixture);
    }

    #[test]
    fn random_requests(
        requests in proptest::collection::vec((0_u16..9, any::<u16>(), any::<u64>(), any::<u32>(), any::<bool>()), 1..20),
    ) {
        let fixture = Fixture::new();
        let mut client = Raw::open(&fixture.socket(), "memory");
        for (command, flags, offset, length, sensible) in requests {
            // Half of them within the device and with allowed flags, so that random requests also do something.
            let (flags, offset, length) =
                if sensible { (flags & 1, offset % (8 << 20), length % 65536) } else { (flags, offset, length) };
            let mut message = 0x2560_9513_u32.to_be_bytes().to_vec();
            message.extend(flags.to_be_bytes());
            message.extend(command.to_be_bytes());
            message.extend([7; 8]);
            message.extend(offset.to_be_bytes());
            message.extend(length.to_be_bytes());
            let _ = client.0.write_all(&message);
        }
        let _ = client.0.shutdown(Shutdown::Write);
        prop_assert!(client.closed());
        still_serves(&fixture);
    }
}
