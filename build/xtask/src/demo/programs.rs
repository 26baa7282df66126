// SPDX-License-Identifier: MIT OR Apache-2.0
//! The three programs of this repository that the story is about.

use std::{collections::HashMap, path::PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// Where cargo put them.
pub(super) struct Programs {
    pub(super) vsshost: PathBuf,
    pub(super) vssadmin: PathBuf,
    pub(super) vsstool: PathBuf,
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
    /// Builds them.
    pub(super) fn build() -> Result<Self> {
        let mut command = process::cargo();
        command.args(["build", "--quiet", "--bins", "--message-format=json-render-diagnostics"]);
        for name in ["vsshost", "vssadmin", "vsstool"] {
            command.args(["--package", name]);
        }
        let shown = "cargo build --package vsshost --package vssadmin --package vsstool";
        println!("   $ {shown}");
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
