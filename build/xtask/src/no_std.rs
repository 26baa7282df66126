// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask no-std-check`: the crates that go into a kernel driver build without `std`, and cannot panic.
//!
//! A panic in a driver is a crash of the machine. The compiler has no lint for 'no reachable panic', so this looks at
//! what it produced, in two places that complete each other:
//!
//! * the libraries themselves: every function that is not generic is compiled into them, called or not, and none may
//!   refer to a panic function ([`objects`] says which those are);
//! * a probe (`build/no-std-probe`): generic functions exist only where somebody instantiates them, and functions of
//!   dependencies are compiled elsewhere. The probe calls the public interface and is optimised as one piece, so a
//!   panic function in it is one that a caller can reach.
//!
//! A check that finds nothing proves nothing by itself, so samples that do panic go through both ways first, and each
//! must be found; and harmless ones beside them, none of which may be.

mod build;
mod objects;
pub(crate) mod toolchain;

use anyhow::{Context, Result, bail};

use self::{build::Build, objects::Reference};
use crate::{
    setup::{self, Purpose},
    steps::{Count, Steps},
    workspace,
};

/// The crates of the workspace that a driver is made of.
const CRATES: [&str; 3] = ["ondisk", "engine", "layout"];

/// `cargo xtask no-std-check`.
pub(crate) fn run() -> Result<()> {
    setup::ensure(Purpose::NoStd)?;
    let mut steps = Steps::default();
    steps.run("no-std-check", checks);
    steps.finish()
}

/// Builds and looks. Each crate, each sample and the probe count as one.
pub(crate) fn checks(count: &mut Count) -> Result<()> {
    let toolchain = toolchain::find().with_context(|| format!("no toolchain builds for {}", toolchain::TARGET))?;
    println!("toolchain: {toolchain}");
    let build = Build::new(toolchain);
    let mut faults = Vec::new();

    samples(&build, count, &mut faults)?;
    for (name, library) in build.libraries(&CRATES)? {
        let references = objects::panic_references(&library.own, |_| true, Some(&library.alloc))?;
        report(&format!("{name} (library)"), &references, count, &mut faults);
    }
    let probe = build.probe(false)?;
    let references = objects::panic_references(&probe, build::is_probe_object, None)?;
    report("probe (whole program)", &references, count, &mut faults);

    if !faults.is_empty() {
        bail!("panics can be reached: {}", faults.join(", "));
    }
    Ok(())
}

fn report(what: &str, references: &[Reference], count: &mut Count, faults: &mut Vec<String>) {
    if references.is_empty() {
        println!("{what}: no reference to the panic machinery");
        count.passed += 1;
        return;
    }
    println!("{what}: {} references to the panic machinery", references.len());
    for reference in references {
        println!("  {} -> {}", reference.from, reference.to);
    }
    count.failed += 1;
    faults.push(what.to_owned());
}

/// Proves that both ways of looking can fail, and that neither accuses the harmless.
fn samples(build: &Build, count: &mut Count, faults: &mut Vec<String>) -> Result<()> {
    let samples = build::sample_names(&workspace::root().join(build::SAMPLES_SOURCE))?;
    let library = build.samples()?;
    let library = objects::panic_references(&library.own, |_| true, Some(&library.alloc))?;
    let probe = objects::panic_references(&build.probe(true)?, build::is_probe_object, None)?;
    for (way, found) in [("library", library), ("whole program", probe)] {
        for name in &samples {
            let caught = found.iter().any(|reference| reference.from == *name);
            if caught == name.starts_with(build::BAD) {
                count.passed += 1;
            } else {
                let fault = if caught { "wrongly accused" } else { "not caught" };
                println!("sample {name} ({way}): {fault}");
                count.failed += 1;
                faults.push(format!("sample {name} {fault}"));
            }
        }
        let bad = samples.iter().filter(|name| name.starts_with(build::BAD)).count();
        println!("samples ({way}): {bad} that panic, {} that do not, looked at", samples.len() - bad);
    }
    Ok(())
}
