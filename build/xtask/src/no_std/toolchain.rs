// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which compiler on this machine can build for a target without an operating system.
//!
//! rustup's target is the simplest. Where rustup has the sources of the standard library, or cannot reach its server
//! at all and Debian's packages are the only way, `core` and `alloc` are built from source with `-Zbuild-std`; that
//! flag is unstable, and `RUSTC_BOOTSTRAP=1` lets a stable compiler accept it.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::process;

/// A target without an operating system, of the architecture that the driver is for.
pub(crate) const TARGET: &str = "x86_64-unknown-none";

/// Where Debian installs `rustc-web` and `cargo-web`. By path, because rustup's proxies come first in `PATH`.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// A way to build for [`TARGET`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The running toolchain has the target installed.
    Installed,
    /// The running toolchain has the sources of the standard library.
    FromSource,
    /// Debian's compiler with Debian's sources.
    Debian,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Installed => "this one, which has the target",
            Self::FromSource => "this one, with core and alloc built from rust-src",
            Self::Debian => "Debian's rustc-web, with core and alloc built from rust-web-src",
        })
    }
}

/// The first way that works here.
pub(crate) fn find() -> Option<Toolchain> {
    if installed("libcore-").is_some() {
        Some(Toolchain::Installed)
    } else if has_source(&rustc()) {
        Some(Toolchain::FromSource)
    } else if Path::new(DEBIAN_CARGO).is_file() && has_source(Path::new(DEBIAN_RUSTC)) {
        Some(Toolchain::Debian)
    } else {
        None
    }
}

impl Toolchain {
    /// Cargo, set up so that what follows builds for [`TARGET`].
    pub(crate) fn cargo(self) -> Command {
        let mut command = process::cargo();
        if self == Self::Debian {
            command = Command::new(DEBIAN_CARGO);
            command.current_dir(crate::workspace::root());
            command.env("RUSTC", DEBIAN_RUSTC);
            // Set by the `cargo run` that started us, and pointing into another compiler.
            for name in ["LD_LIBRARY_PATH", "RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
                command.env_remove(name);
            }
        }
        if self != Self::Installed {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// The arguments that `cargo build` needs.
    pub(crate) fn build_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Installed => &["--target", TARGET],
            Self::FromSource | Self::Debian => &["--target", TARGET, "-Zbuild-std=core,alloc"],
        }
    }

    /// The compiled `alloc`, where it comes with the toolchain and cargo does not build it.
    pub(crate) fn installed_alloc(self) -> Result<Option<PathBuf>> {
        match self {
            Self::Installed => installed("liballoc-").context("the target has no compiled `alloc`").map(Some),
            Self::FromSource | Self::Debian => Ok(None),
        }
    }

    /// A name for the folder of its build results; two compilers must not share one.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::FromSource => "from-source",
            Self::Debian => "debian",
        }
    }
}

/// One line that a compiler prints, as a path.
fn printed(rustc: &Path, arguments: &[&str]) -> Option<PathBuf> {
    let output = Command::new(rustc).args(arguments).env_remove("LD_LIBRARY_PATH").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

fn rustc() -> PathBuf {
    std::env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from)
}

/// A library of the target's folder, by how its file name starts. rustc names that folder whether the target is
/// installed or not, so what counts is what is in it.
fn installed(prefix: &str) -> Option<PathBuf> {
    let folder = printed(&rustc(), &["--print", "target-libdir", "--target", TARGET])?;
    let mut entries = folder.read_dir().ok()?.filter_map(Result::ok);
    entries.find(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(|entry| entry.path())
}

fn has_source(rustc: &Path) -> bool {
    printed(rustc, &["--print", "sysroot"])
        .is_some_and(|sysroot| sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file())
}
