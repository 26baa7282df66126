// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules of the source tree that no compiler checks: a licence line in every file, and no file too long to read.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The licence of everything here, as the first line of a file says it.
const LICENCE: &str = "SPDX-License-Identifier: MIT OR Apache-2.0";

/// Longest Rust file, in lines. A longer one has more than one subject.
const MAX_LINES: usize = 900;

/// Checks every Rust and TOML file of the repository.
pub(crate) fn check() -> Result<()> {
    let root = workspace::root();
    let mut faults = Vec::new();
    let mut files = 0;
    for path in workspace::files(&root)? {
        let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if kind != "rs" && kind != "toml" {
            continue;
        }
        files += 1;
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let shown = path.strip_prefix(&root).unwrap_or(&path);
        faults.extend(fault(shown, kind, &text));
    }
    if !faults.is_empty() {
        bail!("\n  {}", faults.join("\n  "));
    }
    println!("source tree: {files} files, each with its licence line, none above {MAX_LINES} lines");
    Ok(())
}

fn fault(path: &Path, kind: &str, text: &str) -> Option<String> {
    let comment = if kind == "rs" { "//" } else { "#" };
    let first = text.lines().next().unwrap_or_default();
    if first.strip_prefix(comment).map(str::trim) != Some(LICENCE) {
        return Some(format!("{}: the first line must be `{comment} {LICENCE}`", path.display()));
    }
    let lines = text.lines().count();
    (kind == "rs" && lines > MAX_LINES)
        .then(|| format!("{}: {lines} lines, more than {MAX_LINES}; split it by subject", path.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{LICENCE, MAX_LINES, fault};

    #[test]
    fn finds_missing_licence_lines_and_long_files() {
        let path = Path::new("a");
        let good = format!("// {LICENCE}\n");
        assert_eq!(fault(path, "rs", &good), None);
        assert_eq!(fault(path, "toml", &format!("# {LICENCE}\n")), None);
        assert!(fault(path, "rs", "fn main() {}\n").is_some());
        assert!(fault(path, "rs", &format!("\n{good}")).is_some());
        assert!(fault(path, "toml", &good).is_some());
        assert_eq!(fault(path, "rs", &(good.clone() + &"\n".repeat(MAX_LINES - 1))), None);
        assert!(fault(path, "rs", &(good + &"\n".repeat(MAX_LINES))).is_some());
    }
}
