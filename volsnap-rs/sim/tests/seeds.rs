// SPDX-License-Identifier: MIT OR Apache-2.0
//! Some hundred seeds without a violation: what every `cargo test` runs. The binary runs thousands.

use sim::run;

/// Seeds that found something when the engine was first run. Every change of the schedule makes other runs of them, so
/// they are more seeds, not a guard against what they found then.
const EARLY_FINDS: [u64; 12] = [17, 33, 44, 47, 475, 1012, 1055, 1703, 2181, 2710, 3103, 8564];

#[test]
fn seeds_are_clean() {
    let mut snapshots = 0;
    let mut writes = 0;
    for seed in (1..=200).chain(EARLY_FINDS) {
        match run(seed, None, false) {
            Ok(report) => {
                snapshots += report.snapshots;
                writes += report.writes;
            }
            Err(violation) => panic!("{violation}\n  cargo run -p sim --release -- --seed {seed} --trace"),
        }
    }
    // Runs that do nothing would be clean as well.
    assert!(snapshots > 500 && writes > 5000, "{snapshots} snapshots, {writes} writes");
}

#[test]
fn a_seed_is_one_run() {
    for seed in 1..=10 {
        let (first, second) = (run(seed, None, false), run(seed, None, false));
        let steps = |report: &Result<sim::Report, sim::Violation>| report.as_ref().map(|r| (r.steps, r.writes)).ok();
        assert_eq!(steps(&first), steps(&second), "seed {seed}");
    }
}
