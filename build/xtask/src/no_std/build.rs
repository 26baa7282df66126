// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds what is looked into: the libraries as they are, and the probe as one optimised piece.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::toolchain::Toolchain;
use crate::{process, workspace};

/// The samples, from the root of the repository.
pub(super) const SAMPLES_SOURCE: &str = "build/no-std-probe/samples/src/lib.rs";

/// What the name of a sample that panics starts with. The others start with `good_`.
pub(super) const BAD: &str = "bad_";

/// The probe's folder, from the root of the repository.
const PROBE: &str = "build/no-std-probe";

/// Builds with one toolchain, beside the ordinary build results.
pub(super) struct Build {
    toolchain: Toolchain,
    folder: PathBuf,
}

/// A compiled library, and the `alloc` that it was compiled with.
pub(super) struct Library {
    pub(super) own: PathBuf,
    pub(super) alloc: PathBuf,
}

/// The part of cargo's `compiler-artifact` message that is used here.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Build {
    pub(super) fn new(toolchain: Toolchain) -> Self {
        Self { toolchain, folder: workspace::root().join("target/no-std").join(toolchain.folder()) }
    }

    /// The libraries of workspace crates, each with its name.
    pub(super) fn libraries(&self, crates: &[&'static str]) -> Result<Vec<(&'static str, Library)>> {
        let mut command = self.command();
        for name in crates {
            command.args(["--package", name]);
        }
        let built = artifacts(&mut command)?;
        crates.iter().map(|name| Ok((*name, self.library(&built, name)?))).collect()
    }

    /// The library of the samples.
    pub(super) fn samples(&self) -> Result<Library> {
        let mut command = self.command();
        self.probe_workspace(&mut command)?;
        command.args(["--package", "samples"]);
        self.library(&artifacts(&mut command)?, "samples")
    }

    fn library(&self, built: &[Artifact], name: &str) -> Result<Library> {
        let alloc = match self.toolchain.installed_alloc()? {
            Some(path) => path,
            None => file(built, "alloc", "rlib")?,
        };
        Ok(Library { own: file(built, name, "rlib")?, alloc })
    }

    /// The probe with everything that it calls, with the samples in it or not.
    pub(super) fn probe(&self, samples: bool) -> Result<PathBuf> {
        let mut command = self.command();
        self.probe_workspace(&mut command)?;
        command.args(["--package", "no-std-probe"]).env("CARGO_PROFILE_RELEASE_LTO", "fat");
        if samples {
            command.args(["--features", "samples"]);
        }
        file(&artifacts(&mut command)?, "no_std_probe", "a")
    }

    /// `cargo build --release` for the target. One codegen unit, so that what can be optimised away is.
    fn command(&self) -> Command {
        let mut command = self.toolchain.cargo();
        command
            .args(["build", "--release", "--message-format=json-render-diagnostics"])
            .args(self.toolchain.build_arguments())
            .env("CARGO_TARGET_DIR", &self.folder)
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
            // The same in both workspaces, so that `core` and `alloc` are built once for them.
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
        command
    }

    /// The probe is a workspace of its own (a panic handler cannot live beside `std`), with the versions of ours.
    fn probe_workspace(&self, command: &mut Command) -> Result<()> {
        let probe = workspace::root().join(PROBE);
        let (ours, copy) = (workspace::root().join("Cargo.lock"), probe.join("Cargo.lock"));
        fs::copy(&ours, &copy).with_context(|| format!("copy {} to {}", ours.display(), copy.display()))?;
        command.current_dir(probe);
        Ok(())
    }
}

/// Objects of the archive that hold the probe and what was merged into it. The others are parts of `compiler_builtins`,
/// which the optimiser leaves alone and which nothing of ours decides.
pub(super) fn is_probe_object(member: &str) -> bool {
    member.starts_with("no_std_probe")
}

/// The names of the samples, from their source.
pub(super) fn sample_names(source: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(source).with_context(|| format!("read {}", source.display()))?;
    let names: Vec<String> = text
        .lines()
        .filter_map(|line| Some(line.split_once("extern \"C\" fn ")?.1.split_once('(')?.0.to_owned()))
        .collect();
    if !names.iter().any(|name| name.starts_with(BAD)) || !names.iter().any(|name| name.starts_with("good_")) {
        bail!("{}: no samples of both kinds", source.display());
    }
    Ok(names)
}

fn artifacts(command: &mut Command) -> Result<Vec<Artifact>> {
    let shown = process::shown(command);
    println!("$ {shown}");
    let mut built = Vec::new();
    for line in process::output(command)?.lines() {
        let artifact: Artifact =
            serde_json::from_str(line).with_context(|| format!("`{shown}` printed what is no message: {line}"))?;
        if artifact.reason == "compiler-artifact" {
            built.push(artifact);
        }
    }
    Ok(built)
}

/// The file of a kind (`rlib`, `a`) that was built of a crate.
fn file(built: &[Artifact], name: &str, kind: &str) -> Result<PathBuf> {
    built
        .iter()
        .filter(|artifact| artifact.target.as_ref().is_some_and(|target| target.name == name))
        .flat_map(|artifact| &artifact.filenames)
        .find(|path| path.extension().is_some_and(|extension| extension == kind))
        .cloned()
        .with_context(|| format!("cargo built no .{kind} of {name}"))
}
