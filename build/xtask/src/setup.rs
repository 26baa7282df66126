// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask setup`: the programs that the other commands use, and the Debian packages that they come from.
//!
//! There is one table. As root, what is missing is installed with apt, after saying what; anyone else gets the exact
//! line to type. The package lists are fetched only when something is missing.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use clap::{Args as ClapArgs, ValueEnum};

use crate::{
    no_std::toolchain,
    process::{self, find},
};

/// What a program is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// `cargo xtask test`
    Test,
    /// `cargo xtask no-std-check`
    NoStd,
    /// `cargo xtask demo`
    Demo,
    /// `cargo xtask bench`
    Bench,
}

/// How to see that something is there.
enum Proof {
    /// A program that can be found.
    Program(&'static str),
    /// A toolchain that builds for the bare target, from wherever.
    BareToolchain,
}

/// One row: what is looked for, the packages that bring it, and who asks for it.
struct Need {
    proof: Proof,
    packages: &'static [&'static str],
    purposes: &'static [Purpose],
}

const fn program(name: &'static str, package: &'static [&'static str], purposes: &'static [Purpose]) -> Need {
    Need { proof: Proof::Program(name), packages: package, purposes }
}

use Purpose::{Bench, Demo, NoStd, Test};

/// Everything that is used and that cargo does not build. Package names are those of Debian 12.
const NEEDS: &[Need] = &[
    program("mkntfs", &["ntfs-3g"], &[Test, Demo, Bench]),
    program("ntfs-3g", &["ntfs-3g"], &[Test, Demo, Bench]),
    program("ntfsfallocate", &["ntfs-3g"], &[Test, Demo, Bench]),
    program("ntfsinfo", &["ntfs-3g"], &[Test, Bench]),
    program("ntfscat", &["ntfs-3g"], &[Demo]),
    program("ntfscluster", &["ntfs-3g"], &[Demo, Bench]),
    program("ntfsls", &["ntfs-3g"], &[Demo]),
    program("fusermount3", &["fuse3"], &[Test, Demo, Bench]),
    program("vshadowmount", &["libvshadow-utils"], &[Test, Demo, Bench]),
    program("vshadowinfo", &["libvshadow-utils"], &[Test, Demo]),
    program("nbdinfo", &["libnbd-bin"], &[Test]),
    program("nbdcopy", &["libnbd-bin"], &[Test]),
    program("qemu-img", &["qemu-utils"], &[Test, Bench]),
    program("qemu-io", &["qemu-utils"], &[Test]),
    program("qemu-nbd", &["qemu-utils"], &[Test]),
    program("qemu-storage-daemon", &["qemu-utils"], &[Bench]),
    program("nbdkit", &["nbdkit"], &[Test, Bench]),
    program("fio", &["fio"], &[Test, Bench]),
    program("python3", &["python3"], &[Test]),
    program("getfattr", &["attr"], &[Test]),
    program("sfdisk", &["fdisk"], &[Test]),
    program("sgdisk", &["gdisk"], &[Test]),
    // Three packages of one version, taken together: a compiler and the sources of `core` and `alloc`.
    Need {
        proof: Proof::BareToolchain,
        packages: &["rustc-web", "cargo-web", "rust-web-src"],
        purposes: &[Test, NoStd],
    },
];

/// Arguments of `cargo xtask setup`.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Only what this command needs
    #[arg(long = "for", value_name = "COMMAND", value_enum)]
    purpose: Option<Purpose>,
}

/// `cargo xtask setup`.
pub(crate) fn run(args: &Args) -> Result<()> {
    install(|need| args.purpose.is_none_or(|purpose| need.purposes.contains(&purpose)))?;
    println!("everything is installed");
    Ok(())
}

/// Installs, or asks for, what one command needs. Says nothing when nothing is missing.
pub(crate) fn ensure(purpose: Purpose) -> Result<()> {
    install(|need| need.purposes.contains(&purpose))
}

fn install(wanted: impl Fn(&Need) -> bool) -> Result<()> {
    let wanted: Vec<&Need> = NEEDS.iter().filter(|need| wanted(need)).collect();
    let missing: Vec<&Need> = wanted.iter().copied().filter(|need| !present(need)).collect();
    if !missing.is_empty() {
        let packages = packages(&missing);
        for need in &missing {
            println!("missing: {} (Debian: {})", described(need), need.packages.join(", "));
        }
        if !rustix::process::geteuid().is_root() {
            bail!("type this, then try again:\n  sudo apt-get install --no-install-recommends {}", packages.join(" "));
        }
        apt(&packages)?;
        if let Some(need) = missing.iter().find(|need| !present(need)) {
            bail!("apt installed {} and {} is still missing", need.packages.join(", "), described(need));
        }
    }
    if wanted.iter().any(|need| need.packages.contains(&"fuse3")) {
        fuse_device()?;
    }
    Ok(())
}

fn present(need: &Need) -> bool {
    match need.proof {
        Proof::Program(name) => find(name).is_some(),
        Proof::BareToolchain => toolchain::find().is_some(),
    }
}

fn described(need: &Need) -> String {
    match need.proof {
        Proof::Program(name) => name.to_owned(),
        Proof::BareToolchain => format!("a Rust toolchain for {}", toolchain::TARGET),
    }
}

fn packages(needs: &[&Need]) -> Vec<&'static str> {
    let mut names: Vec<&str> = needs.iter().flat_map(|need| need.packages.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn apt(packages: &[&str]) -> Result<()> {
    let apt_get = find("apt-get").with_context(|| {
        format!("there is no apt-get here; install what these Debian packages hold: {}", packages.join(" "))
    })?;
    println!("installing with apt: {}", packages.join(" "));
    let command = || {
        let mut command = Command::new(&apt_get);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    process::run(command().args(["update", "-q"]))?;
    process::run(command().args(["install", "-q", "-y", "--no-install-recommends"]).args(packages))
}

/// No package can bring the device: the kernel has it, or the container was given it.
fn fuse_device() -> Result<()> {
    if Path::new("/dev/fuse").exists() {
        return Ok(());
    }
    bail!("/dev/fuse is missing: `modprobe fuse`, or start the container with `--device /dev/fuse --cap-add SYS_ADMIN`")
}
