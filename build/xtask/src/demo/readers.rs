// SPDX-License-Identifier: MIT OR Apache-2.0
//! Three programs read the same snapshots: `vsshost` as it serves them, libvshadow, and `vsstool`.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result, bail, ensure};

use super::{
    folder::Folder,
    hash::{self, Digest, Hasher},
    host::Shadow,
    image::{Image, Known},
    mount::Vshadow,
    programs::Programs,
    proofs::Proofs,
    tool::{self, command},
};
use crate::process;

/// Whole snapshots by their stores' ids.
pub(super) type Served = BTreeMap<String, Digest>;

/// Hashes the snapshots that the host shows now.
pub(super) fn served(shadows: &[Shadow]) -> Result<Served> {
    shadows.iter().map(|shadow| Ok((shadow.store.clone(), hash::uncached(&shadow.fuse_path)?))).collect()
}

/// Lets the other two programs read the image, which nobody serves, and compares with what the host showed.
pub(super) fn compare(
    folder: &Folder,
    programs: &Programs,
    image: &Image,
    served: &Served,
    proofs: &mut Proofs,
) -> Result<()> {
    let known = image.look_again(folder, programs)?;
    for snapshot in &known {
        if let Some(digest) = served.get(&snapshot.store) {
            println!("   snapshot {} of {}: sha256 {digest}", snapshot.number, snapshot.created);
        }
    }
    let claim = |reader: &str| format!("{reader} reads all {} snapshots as vsshost showed them", served.len());
    let how = "sha256 of every byte";
    if image.foreign_stores {
        let why = "libvshadow mixes up the stores of several volumes on one";
        proofs.skip(claim("libvshadow"), how, why);
    } else {
        proofs.prove(claim("libvshadow"), how, || {
            let mount = Vshadow::mount(folder, &image.path, image.offset)?;
            let count = mount.count()?;
            ensure!(count == known.len(), "it shows {count} snapshots of {}", known.len());
            each(&known, served, |snapshot| hash::whole(&mount.snapshot(snapshot.number)))
        })?;
    }
    proofs.prove(claim("vsstool"), how, || {
        each(&known, served, |snapshot| exported(folder, programs, image, snapshot.number))
    })
}

/// Compares each snapshot that the host showed.
fn each(known: &[Known], served: &Served, read: impl Fn(&Known) -> Result<Digest>) -> Result<String> {
    let mut same = 0;
    for snapshot in known {
        // Windows has snapshots that it hides; the host does, too.
        let Some(expected) = served.get(&snapshot.store) else { continue };
        let digest = read(snapshot)?;
        if digest != *expected {
            bail!("snapshot {}: {digest:.16}…, the host showed {expected:.16}…", snapshot.number);
        }
        same += 1;
    }
    ensure!(same == served.len(), "only {same} of {} were found", served.len());
    Ok(format!("{same} of {} equal", served.len()))
}

/// The hash of what `vsstool export` writes.
fn exported(folder: &Folder, programs: &Programs, image: &Image, number: usize) -> Result<Digest> {
    let mut vsstool = command(&programs.vsstool, folder.path());
    vsstool.args(["export", image.name(), "--offset", &image.offset.to_string()]);
    vsstool.args(["--snapshot", &number.to_string(), "--output", "-"]);
    tool::show(&vsstool);
    let mut hasher = Hasher::default();
    let (status, said) = tool::stream(&mut vsstool, &mut hasher)?;
    ensure!(status.success(), "`{}` failed: {status}\n{said}", process::shown(&vsstool));
    Ok(hasher.finish())
}

/// `vsstool check`. Warnings are told and do not count: a merge moves more blocks down than must be, for one.
pub(super) fn check(folder: &Folder, programs: &Programs, image: &Image) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Report {
        errors: u64,
        warnings: u64,
        checked: Checked,
        problems: Vec<serde_json::Value>,
    }
    #[derive(serde::Deserialize)]
    struct Checked {
        snapshots: u64,
        descriptors: u64,
    }
    let mut vsstool = command(&programs.vsstool, folder.path());
    vsstool.args(["check", image.name(), "--offset", &image.offset.to_string()]);
    tool::show(&vsstool);
    let ended = tool::finish(vsstool.arg("--json"))?;
    let report: Report =
        serde_json::from_slice(&ended.stdout).with_context(|| format!("vsstool check failed: {}", ended.stderr))?;
    if report.errors > 0 || !ended.status.success() {
        let problems: Vec<String> = report.problems.iter().take(10).map(ToString::to_string).collect();
        bail!("{} errors, {} warnings\n{}", report.errors, report.warnings, problems.join("\n"));
    }
    let Checked { snapshots, descriptors } = report.checked;
    // A check that found nothing to check proves nothing.
    ensure!(snapshots > 0 && descriptors > 0, "it looked at {snapshots} snapshots and {descriptors} saved blocks");
    Ok(format!("no errors, {} warnings; {snapshots} snapshots, {descriptors} saved blocks", report.warnings))
}

/// `diff -r` of two folders, which must say nothing.
pub(super) fn same_tree(folder: &Folder, one: &Path, other: &Path) -> Result<String> {
    let short = |path: &Path| path.strip_prefix(folder.path()).unwrap_or(path).to_owned();
    let mut diff = command("diff", folder.path());
    // A link is compared as a link.
    diff.args(["-r", "--no-dereference"]).arg(short(one)).arg(short(other));
    tool::show(&diff);
    let ended = tool::finish(&mut diff)?;
    let said = String::from_utf8_lossy(&ended.stdout);
    if !ended.status.success() {
        let lines: Vec<&str> = said.lines().chain(ended.stderr.lines()).take(10).collect();
        bail!("diff: {}\n{}", ended.status, lines.join("\n"));
    }
    Ok(format!("{} files equal", files_below(other)?))
}

fn files_below(folder: &Path) -> Result<usize> {
    let files = crate::workspace::files(folder)?.len();
    // Two empty folders are equal, too.
    ensure!(files > 0, "{} holds no files", folder.display());
    Ok(files)
}
