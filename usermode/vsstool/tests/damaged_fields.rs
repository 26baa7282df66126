// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each field of each structure of a Windows-made volume knocked out: every verb ends with a clear message, and what
//! `check` cannot see is a short list of fields that may hold anything.

mod support;

use support::{Image, windows_7};

type Fields = &'static [(&'static str, u64, usize)];

const HEADER: Fields = &[
    ("identifier", 0, 16),
    ("version", 16, 4),
    ("block type", 20, 4),
    ("relative", 24, 8),
    ("current", 32, 8),
    ("next", 40, 8),
    ("info size", 48, 8),
    ("padding", 56, 72),
];
const SNAPSHOT: Fields = &[
    ("type", 0, 4),
    ("upper half of the type", 4, 4),
    ("volume size", 8, 8),
    ("store", 16, 16),
    ("sequence", 32, 8),
    ("flags", 40, 8),
    ("created", 48, 8),
    ("unknown", 56, 2),
    ("padding", 58, 70),
];
const STORE: Fields = &[
    ("type", 0, 4),
    ("upper half of the type", 4, 4),
    ("block list", 8, 8),
    ("store", 16, 16),
    ("store header", 32, 8),
    ("range list", 40, 8),
    ("bitmap", 48, 8),
    ("file reference", 56, 8),
    ("allocated", 64, 8),
    ("previous bitmap", 72, 8),
    ("older online", 80, 8),
    ("padding", 88, 40),
];

/// Where the structures lie on the volume, and their fields: name, offset, length.
const STRUCTURES: &[(&str, u64, Fields)] = &[
    (
        "volume header",
        0x1e00,
        &[
            ("identifier", 0, 16),
            ("version", 16, 4),
            ("block type", 20, 4),
            ("relative", 24, 8),
            ("current", 32, 8),
            ("next", 40, 8),
            ("catalog", 48, 8),
            ("maximum", 56, 8),
            ("volume", 64, 16),
            ("storage", 80, 16),
            ("application flags", 96, 8),
            ("free space pre-copy", 104, 8),
            ("hot blocks pre-copy", 112, 8),
            ("hot blocks days", 120, 4),
            ("protection", 124, 4),
            ("padding", 128, 384),
        ],
    ),
    ("catalog", 0x6e3_0000, HEADER),
    ("snapshot 1", 0x6e3_0080, SNAPSHOT),
    ("store 1", 0x6e3_0100, STORE),
    ("snapshot 2", 0x6e3_0180, SNAPSHOT),
    ("store 2", 0x6e3_0200, STORE),
    ("store header", 0x6e4_0000, HEADER),
    (
        "store information",
        0x6e4_0080,
        &[
            ("application", 0, 16),
            ("shadow copy", 16, 16),
            ("shadow copy set", 32, 16),
            ("context", 48, 4),
            ("set count", 52, 4),
            ("attributes", 56, 4),
            ("length of exposed name", 60, 2),
            ("length of exposed path", 62, 2),
            ("length of originating machine", 64, 2),
            ("originating machine", 66, 16),
            ("length of service machine", 82, 2),
            ("service machine", 84, 16),
            ("padding", 100, 100),
        ],
    ),
    ("block list", 0x6e4_4000, HEADER),
    (
        "descriptor",
        0x6e4_4080,
        &[("original", 0, 8), ("relative", 8, 8), ("store", 16, 8), ("flags", 24, 4), ("sectors", 28, 4)],
    ),
    ("range list", 0x6e4_8000, HEADER),
    ("range", 0x6e4_8080, &[("volume offset", 0, 8), ("relative", 8, 8), ("length", 16, 8)]),
    ("range list", 0x6e4_8000, &[("left over", 0x3ff8, 8)]),
    ("current bitmap", 0x6e5_0000, HEADER),
    ("previous bitmap", 0x6e5_4000, HEADER),
];

/// Values of these fields mean something to people only.
const MAY_HOLD_ANYTHING: &[(&str, &str)] = &[
    ("volume header", "hot blocks days"),
    ("store information", "application"),
    ("store information", "shadow copy"),
    ("store information", "shadow copy set"),
    ("store information", "originating machine"),
    ("store information", "service machine"),
];

/// Runs every verb on the damaged image; whether `check` saw something.
fn noticed(image: &Image) -> bool {
    for verb in ["info", "dump"] {
        let run = image.run(verb, &[]);
        if run.code == 2 {
            assert!(!run.err.is_empty(), "{verb} does not say why it could not run");
        }
    }
    let run = image.run("check", &["--strict"]);
    match run.code {
        0 => false,
        1 => {
            let said = run.out.lines().any(|line| line.starts_with("error: ") || line.starts_with("warning: "));
            assert!(said, "{}", run.out);
            true
        }
        _ => {
            assert!(run.err.contains("--storage"), "{}", run.err);
            true
        }
    }
}

#[test]
fn every_field_filled_with_ones() {
    let Some(image) = windows_7() else { return };
    assert!(!noticed(&image), "the volume is clean before it is damaged");
    let mut unnoticed = Vec::new();
    for (structure, at, fields) in STRUCTURES {
        for (field, offset, len) in *fields {
            if !image.with(at + offset, &vec![0xff; *len], || noticed(&image)) {
                unnoticed.push((*structure, *field));
            }
        }
    }
    assert_eq!(unnoticed, MAY_HOLD_ANYTHING);
}

/// Smaller damage is not always visible (a time that is a little later is still a time); nothing may panic or hang.
#[test]
fn every_field_zeroed_and_changed_by_one_bit_and_by_one_block() {
    let Some(image) = windows_7() else { return };
    let mut runs = 0;
    for (_, at, fields) in STRUCTURES {
        for (_, offset, len) in *fields {
            let before = image.read(at + offset, *len);
            let mut one_bit = before.clone();
            one_bit[0] ^= 1;
            let mut one_block = before.clone();
            one_block[1] = one_block[1].wrapping_add(0x40);
            for damaged in [vec![0; *len], one_bit, one_block] {
                if damaged != before {
                    image.with(at + offset, &damaged, || noticed(&image));
                    runs += 1;
                }
            }
        }
    }
    assert!(runs > 200, "{runs}");
}
