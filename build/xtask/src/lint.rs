// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask lint`: what a change must satisfy before anybody reads it.

mod sources;

use anyhow::{Result, bail};

use crate::{
    process,
    steps::{Count, Steps},
};

type Check = fn() -> Result<()>;

/// `cargo xtask lint`.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.run("lint", checks);
    steps.finish()
}

/// Every check, also after one failed; each counts.
pub(crate) fn checks(count: &mut Count) -> Result<()> {
    let mut checks: Vec<(&str, Check)> = vec![
        ("source tree", sources::check),
        ("formatting", formatting),
        ("clippy", clippy),
        ("documentation", documentation),
    ];
    if process::find("cargo-deny").is_some() {
        checks.push(("licences", licences));
    } else {
        println!("licences: skipped: cargo-deny is not installed (`cargo install cargo-deny --locked`)");
    }
    let mut failed = Vec::new();
    for (name, check) in checks {
        match check() {
            Ok(()) => count.passed += 1,
            Err(error) => {
                eprintln!("error: {name}: {error:#}");
                count.failed += 1;
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join(", "));
    }
    Ok(())
}

fn formatting() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    process::run(process::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn documentation() -> Result<()> {
    process::run(process::cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Licences, duplicate sources and registries of all dependencies. The advisory database is not asked: it lives on
/// a server of its own, and a check that depends on the day belongs in a scheduled job, not here.
fn licences() -> Result<()> {
    process::run(process::cargo().args(["deny", "check", "licenses", "bans", "sources"]))
}
