// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs seeds of the simulator: `sim --seeds N [--from S] [--seed X [--trace]] [--bug NAME]`.

use sim::{Bug, Report, Violation, run};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const USAGE: &str = "usage: sim [--seeds N] [--from S] [--seed X] [--trace] [--bug NAME] [--keep-going]";

struct Options {
    from: u64,
    seeds: u64,
    trace: bool,
    bug: Option<Bug>,
    keep_going: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options { from: 1, seeds: 1000, trace: false, bug: None, keep_going: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("not a number: {text}"));
        match word.as_str() {
            "--seeds" => options.seeds = number(value()?)?,
            "--from" => options.from = number(value()?)?,
            "--seed" => (options.from, options.seeds) = (number(value()?)?, 1),
            "--trace" => options.trace = true,
            "--keep-going" => options.keep_going = true,
            "--bug" => {
                let name = value()?;
                let names = || Bug::ALL.map(Bug::name).join(", ");
                options.bug =
                    Some(Bug::from_name(&name).ok_or_else(|| format!("no bug {name}; there are: {}", names()))?);
            }
            _ => return Err(format!("{word}?\n{USAGE}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    // A violation that is a panic is reported as one, with its seed.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let start = Instant::now();
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let found: Mutex<Vec<Violation>> = Mutex::new(Vec::new());
    let total = Mutex::new(Report::default());
    let threads = if options.trace { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let stop = !options.keep_going && !found.lock().expect("no panic").is_empty();
                    if seed >= end || stop {
                        break;
                    }
                    match run(seed, options.bug, options.trace) {
                        Ok(report) => {
                            let mut total = total.lock().expect("no panic");
                            total.steps += report.steps;
                            total.snapshots += report.snapshots;
                            total.writes += report.writes;
                        }
                        Err(violation) => found.lock().expect("no panic").push(violation),
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().expect("no panic");
    found.sort_by_key(|violation| violation.seed);
    let total = total.into_inner().expect("no panic");
    for violation in &found {
        let bug = options.bug.map(|bug| format!(" --bug {}", bug.name())).unwrap_or_default();
        println!("{violation}");
        println!("  cargo run -p sim --release -- --seed {}{bug} --trace", violation.seed);
    }
    println!(
        "{} seeds, {} violations, {} steps, {} snapshots, {} writes, {:.1} s",
        options.seeds,
        found.len(),
        total.steps,
        total.snapshots,
        total.writes,
        start.elapsed().as_secs_f64()
    );
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
