// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: what CI runs, in the order in which failures are cheapest to find.

use anyhow::{Result, bail};
use clap::Args as ClapArgs;

use crate::{
    lint, no_std, process,
    setup::{self, Purpose},
    steps::{Count, Steps},
};

/// Histories that the simulator plays; a few minutes on two cores.
const SEEDS: u32 = 10_000;

/// Arguments of `cargo xtask test`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Leave out the release builds: only lint and `cargo test`
    #[arg(long)]
    quick: bool,
}

/// `cargo xtask test`.
pub(crate) fn run(args: &Args) -> Result<()> {
    // Without its programs nothing below means anything, so this is no step of its own.
    setup::ensure(Purpose::Test)?;

    let mut steps = Steps::default();
    steps.run("lint", lint::checks);
    steps.run("cargo test", cargo_test);
    if !args.quick {
        steps.run("simulator", simulator);
        steps.run("no-std-check", no_std::checks);
        steps.run("demo", story);
    }
    steps.finish()
}

/// Unit, property and acceptance tests of every crate.
fn cargo_test(count: &mut Count) -> Result<()> {
    let mut command = process::cargo();
    // One failing test binary must not hide the others.
    command.args(["test", "--workspace", "--no-fail-fast"]);
    let succeeded = process::watch(&mut command, |line| {
        if let Some((passed, failed)) = totals(line) {
            count.passed += passed;
            count.failed += failed;
        }
    })?;
    if !succeeded {
        bail!("`cargo test` failed");
    }
    if count.passed == 0 {
        bail!("`cargo test` ran no test");
    }
    Ok(())
}

/// The engine against disks that crash, tear and fail; a violation prints the seed that shows it again.
fn simulator(count: &mut Count) -> Result<()> {
    let seeds = SEEDS.to_string();
    process::run(process::cargo().args(["run", "--release", "--package", "sim", "--", "--seeds", &seeds]))?;
    count.passed += 1;
    Ok(())
}

/// The demo: it fails if anything that it shows is not as it says.
fn story(count: &mut Count) -> Result<()> {
    process::run(process::cargo().args(["run", "--quiet", "--package", "xtask", "--", "demo"]))?;
    count.passed += 1;
    Ok(())
}

/// `(passed, failed)` of a line like `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
fn totals(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut parts = counts.split("; ");
    let passed = parts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::totals;

    #[test]
    fn reads_the_result_lines_of_cargo_test() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.20s";
        let bad = "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(totals(ok), Some((12, 0)));
        assert_eq!(totals(bad), Some((7, 2)));
        assert_eq!(totals("test a::b ... ok"), None);
    }
}
