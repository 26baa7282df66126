// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loops in chains are found, whatever their shape, and straight chains pass.

mod support;

use ondisk::{ChainGuard, Problem, Structure};
use proptest::prelude::*;

/// Walks `tail` blocks and then a ring of `ring` blocks for ever; tells after how many visits the guard spoke.
fn walk(tail: u64, ring: u64, limit: u64) -> (u64, Problem) {
    let mut guard = ChainGuard::new(limit, Structure::BlockList);
    for step in 0.. {
        let block = if step < tail { step } else { tail + (step - tail) % ring };
        if let Err(error) = guard.visit(block * 0x4000) {
            assert_eq!((error.structure, error.field, error.offset), (Structure::BlockList, "next", block * 0x4000));
            return (step, error.problem);
        }
    }
    unreachable!("a ring has no end")
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn every_loop_is_found_soon(tail in 0..300u64, ring in 1..300u64) {
        let (visits, problem) = walk(tail, ring, u64::MAX);
        prop_assert_eq!(problem, Problem::Loop);
        prop_assert!(visits <= 3 * (tail + ring), "{} visits", visits);
    }

    #[test]
    fn the_limit_holds_and_a_chain_within_it_passes(length in 1..300u64, limit in 0..300u64) {
        let mut guard = ChainGuard::new(limit, Structure::Catalog);
        let walked = (0..length).try_for_each(|block| guard.visit(block * 0x4000));
        if length <= limit {
            prop_assert!(walked.is_ok());
        } else {
            prop_assert_eq!(walked.unwrap_err().problem, Problem::ChainTooLong { limit });
        }
    }
}
