// SPDX-License-Identifier: MIT OR Apache-2.0
//! The programs of this repository, built and found.

use std::{collections::HashMap, path::PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// How they are compiled.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// As tests are.
    Dev,
    /// As for a user.
    Release,
}

/// Where cargo put them.
pub(crate) struct Programs {
    pub(crate) vsshost: PathBuf,
    pub(crate) vssadmin: PathBuf,
    pub(crate) vsstool: PathBuf,
}

/// The part of cargo's `compiler-artifact` message that is used here.
#[derive(Deserialize)]
struct Artifact {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Programs {
    /// What a person would type for [`Programs::build`].
    pub(crate) const fn command(profile: Profile) -> &'static str {
        match profile {
            Profile::Dev => "cargo build --package vsshost --package vssadmin --package vsstool",
            Profile::Release => "cargo build --release --package vsshost --package vssadmin --package vsstool",
        }
    }

    /// Builds them.
    pub(crate) fn build(profile: Profile) -> Result<Self> {
        let shown = Self::command(profile);
        let mut command = process::cargo();
        command.args(shown.split(' ').skip(1));
        command.args(["--quiet", "--bins", "--message-format=json-render-diagnostics"]);
        let mut built = HashMap::new();
        for line in process::output(&mut command)?.lines() {
            let artifact: Artifact =
                serde_json::from_str(line).with_context(|| format!("`{shown}` printed what is no message: {line}"))?;
            if let (Some(target), Some(executable)) = (artifact.target, artifact.executable) {
                built.insert(target.name, executable);
            }
        }
        let mut take = |name: &str| built.remove(name).with_context(|| format!("cargo built no {name}"));
        Ok(Self { vsshost: take("vsshost")?, vssadmin: take("vssadmin")?, vsstool: take("vsstool")? })
    }
}
