// SPDX-License-Identifier: MIT OR Apache-2.0
//! A list of named steps: each runs even if an earlier one failed, so that one run shows everything that is wrong.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How many checks a step made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

struct Outcome {
    name: &'static str,
    took: Duration,
    count: Count,
    error: Option<anyhow::Error>,
}

/// Runs steps and remembers how they ended.
#[derive(Default)]
pub(crate) struct Steps {
    outcomes: Vec<Outcome>,
}

impl Steps {
    /// Runs one step. A failed one counts as a failed check even where it counted none itself.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce(&mut Count) -> Result<()>) {
        println!("\n=== {name}");
        let start = Instant::now();
        let mut count = Count::default();
        let error = step(&mut count).err();
        if let Some(error) = &error {
            eprintln!("error: {name}: {error:#}");
            count.failed = count.failed.max(1);
        }
        self.outcomes.push(Outcome { name, took: start.elapsed(), count, error });
    }

    /// Prints the table and the last line; an error if anything failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{:<28} {:>8} {:>8} {:>8}", "step", "seconds", "passed", "failed");
        for outcome in &self.outcomes {
            println!(
                "{:<28} {:>8.1} {:>8} {:>8}",
                outcome.name,
                outcome.took.as_secs_f64(),
                outcome.count.passed,
                outcome.count.failed
            );
        }
        for outcome in &self.outcomes {
            if let Some(error) = &outcome.error {
                println!("failed: {}: {error:#}", outcome.name);
            }
        }
        let sum = |of: fn(&Count) -> u64| self.outcomes.iter().map(|outcome| of(&outcome.count)).sum::<u64>();
        let (passed, failed) = (sum(|count| count.passed), sum(|count| count.failed));
        println!("\n{passed} passed, {failed} failed");
        if failed > 0 {
            bail!("{failed} checks failed");
        }
        Ok(())
    }
}
