// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask`: every developer command of this repository, so that a person and CI type the same thing.
//!
//! One module per command. A command installs or names what it needs ([`setup`]), then does its work with the real
//! programs; none of them is needed to build the crates themselves.

mod bench;
mod demo;
mod lint;
mod no_std;
mod process;
mod programs;
mod setup;
mod steps;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Developer commands of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing (as root), or say exactly what to install
    Setup(setup::Args),
    /// Formatting, clippy, documentation, licences, and the rules of the source tree
    Lint,
    /// Show everything on a live NTFS volume (as root), and prove what is shown
    Demo(demo::Args),
    /// Everything that CI runs
    Test(test::Args),
    /// Build the no_std crates for a bare target and prove that they cannot panic
    NoStdCheck,
    /// Measure what snapshots cost, beside other programs
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup(args) => setup::run(&args),
        Command::Lint => lint::run(),
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::NoStdCheck => no_std::run(),
        Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
