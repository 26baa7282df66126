// SPDX-License-Identifier: MIT OR Apache-2.0
//! `vsstool`: offline work on images that hold shadow copies. Nothing here writes to an image.
//!
//! One file per verb. Exit codes: 0 done and nothing wrong, 1 something in the image is wrong, 2 could not run.

mod args;
mod block_set;
mod catalog;
mod check;
mod dump;
mod export;
mod info;
mod mount;
mod read;
mod show;
mod snapshots;
mod source;

use clap::{Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// Works on images and devices that hold Windows shadow copies, without serving them.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the snapshots of a volume.
    Info(info::InfoArgs),
    /// Show every structure of the format as it lies on disk.
    Dump(dump::DumpArgs),
    /// Check every invariant of the format.
    ///
    /// Exit codes: 0 clean, 1 problems found, 2 could not run.
    Check(check::CheckArgs),
    /// Write a snapshot, or a range of it, to a file or to standard output.
    Export(export::ExportArgs),
    /// Show all snapshots as read-only files.
    Mount(mount::MountArgs),
}

/// What a verb ended with when it could run.
enum Outcome {
    /// Nothing wrong.
    Clean,
    /// Something in the image is wrong, and was said.
    Problems,
}

const EXIT_PROBLEMS: u8 = 1;
const EXIT_COULD_NOT_RUN: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = match cli.verb {
        Verb::Info(args) => info::run(&args, &mut out),
        Verb::Dump(args) => dump::run(&args, &mut out),
        Verb::Check(args) => check::run(&args, &mut out),
        Verb::Export(args) => export::run(&args, &mut out),
        Verb::Mount(args) => mount::run(&args, &mut out),
    };
    match outcome.and_then(|outcome| Ok(out.flush().map(|()| outcome)?)) {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Problems) => ExitCode::from(EXIT_PROBLEMS),
        // Whoever read our output has seen enough (`vsstool dump ... | head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vsstool: {error:#}");
            ExitCode::from(EXIT_COULD_NOT_RUN)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        json.or_else(|| cause.downcast_ref::<io::Error>().map(io::Error::kind))
    };
    error.chain().any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}
