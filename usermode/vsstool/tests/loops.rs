// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chains of a Windows-made volume made to loop, or to run into each other: an error, not a hang.

mod support;

use support::windows_7;

const NEXT: u64 = 40;

/// First blocks of the chains of the second store, and of the catalog.
const CHAINS: [(&str, u64); 5] = [
    ("catalog", 0x6e3_0000),
    ("block list", 0x6e4_4000),
    ("range list", 0x6e4_8000),
    ("bitmap", 0x6e5_0000),
    ("bitmap", 0x6e5_4000),
];

#[test]
fn every_chain_into_itself_and_into_every_other() {
    let Some(image) = windows_7() else { return };
    for (structure, at) in CHAINS {
        for (_, target) in CHAINS {
            image.with(at + NEXT, &target.to_le_bytes(), || {
                for verb in ["info", "dump", "check"] {
                    let run = image.run(verb, &[]);
                    // `info` has no use for ranges and bitmaps.
                    if verb != "info" || matches!(structure, "catalog" | "block list") {
                        assert_eq!(run.code, 1, "{verb}: {structure} -> {target:#x}:\n{}", run.out);
                    }
                }
            });
        }
    }
}

#[test]
fn a_longer_loop() {
    let Some(image) = windows_7() else { return };
    // The catalog's last block goes back to its second.
    let last = 0x6e3_0000 + 3 * 0x4000;
    image.with(last + NEXT, &0x6e3_4000_u64.to_le_bytes(), || {
        for verb in ["info", "dump", "check"] {
            let run = image.run(verb, &[]);
            assert_eq!(run.code, 1, "{verb}");
            let text =
                "catalog: offset 0x6e34000: the block is in use already: a chain loops, or two structures share it";
            assert!(run.out.contains(text), "{verb}: {}", run.out);
        }
    });
}

/// Entries of two stores that name the same structures.
#[test]
fn stores_that_share_their_chains() {
    let Some(image) = windows_7() else { return };
    let (first, second) = (0x6e3_0100, 0x6e3_0200);
    for (field, offset) in [("block list", 8), ("store header", 32), ("range list", 40), ("bitmap", 48)] {
        let shared = image.read(first + offset, 8);
        image.with(second + offset, &shared, || {
            let run = image.run("check", &[]);
            assert_eq!(run.code, 1);
            assert!(run.out.contains("two structures share it"), "{field}: {}", run.out);
        });
    }
}
