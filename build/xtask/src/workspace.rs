// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the repository is, and which files in it are sources.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Folders that hold no sources of ours, wherever they are.
const NOT_SOURCES: [&str; 5] = ["target", ".git", "corpus", "artifacts", "node_modules"];

/// The root of the repository.
///
/// `cargo xtask` says at run time which checkout it was called in. What was compiled in is only for a binary that is
/// started by hand: checkouts may share one folder of build results, and then it can name another one.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    manifest.ancestors().nth(2).unwrap_or(&manifest).to_owned()
}

/// Every file below `dir` that is not under a folder of [`NOT_SOURCES`], in a stable order.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("read the folder {}", dir.display()))? {
            let entry = entry.with_context(|| format!("read the folder {}", dir.display()))?;
            // `file_type` does not follow symbolic links, so a link that points upwards cannot make this loop.
            let kind = entry.file_type().with_context(|| format!("look at {}", entry.path().display()))?;
            if kind.is_dir() && !NOT_SOURCES.iter().any(|name| entry.file_name() == *name) {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
