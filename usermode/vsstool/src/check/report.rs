// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a check found, kept in bounds, and written as text or JSON.

use crate::read::ReadError;
use crate::source::Role;
use anyhow::Result;
use ondisk::{Structure, VOLUME_HEADER_OFFSET};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;

/// Problems of one kind of structure that are kept with their text; more are only counted.
const MAX_KEPT: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

#[derive(Debug, Serialize)]
struct Problem {
    severity: Severity,
    volume: Role,
    structure: &'static str,
    /// Bytes on the volume.
    offset: u64,
    message: String,
}

/// Everything found so far. Shared by all checks, each of which only adds to it.
#[derive(Debug, Default)]
pub(super) struct Report {
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    problems: Vec<Problem>,
    /// Problems in `problems` by their structure.
    kept: BTreeMap<&'static str, usize>,
    errors: u64,
    warnings: u64,
    counts: Counts,
}

/// What was looked at: a check that found nothing to check is not a clean one.
#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Snapshot entries.
    pub(super) snapshots: u64,
    /// Store entries.
    pub(super) stores: u64,
    /// Catalog blocks.
    pub(super) catalog_blocks: u64,
    /// Block descriptors.
    pub(super) descriptors: u64,
    /// Ranges of store files.
    pub(super) ranges: u64,
    /// Bitmap blocks.
    pub(super) bitmap_blocks: u64,
    /// Store and catalog files found in the file system.
    pub(super) files: u64,
}

/// Where problems are reported: a structure that lies at an offset of a volume.
#[derive(Clone, Copy)]
pub(super) struct Place<'r> {
    report: &'r Report,
    role: Role,
    structure: Structure,
    at: u64,
}

impl Report {
    pub(super) fn errors(&self) -> u64 {
        self.found.borrow().errors
    }

    pub(super) fn warnings(&self) -> u64 {
        self.found.borrow().warnings
    }

    /// Counts what was looked at.
    pub(super) fn count(&self, add: impl FnOnce(&mut Counts)) {
        add(&mut self.found.borrow_mut().counts);
    }

    /// Problems of `structure`, which lies at `at`.
    pub(super) fn at(&self, role: Role, structure: Structure, at: u64) -> Place<'_> {
        Place { report: self, role, structure, at }
    }

    /// Problems of the volume header.
    pub(super) fn volume_header(&self, role: Role) -> Place<'_> {
        self.at(role, Structure::VolumeHeader, VOLUME_HEADER_OFFSET)
    }

    /// A structure that could not be read.
    pub(super) fn unreadable(&self, role: Role, error: &ReadError) {
        self.add(Severity::Error, role, error.structure(), error.offset(), error.reason());
    }

    fn add(&self, severity: Severity, role: Role, structure: Structure, offset: u64, message: String) {
        let found = &mut *self.found.borrow_mut();
        match severity {
            Severity::Error => found.errors += 1,
            Severity::Warning => found.warnings += 1,
        }
        let kept = found.kept.entry(structure.name()).or_default();
        if *kept < MAX_KEPT {
            *kept += 1;
            found.problems.push(Problem { severity, volume: role, structure: structure.name(), offset, message });
        }
    }

    pub(super) fn write_text(&self, image: &str, out: &mut impl Write) -> Result<()> {
        let found = &*self.found.borrow();
        for problem in &found.problems {
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let Problem { volume, structure, offset, message, .. } = problem;
            writeln!(out, "{severity}: {volume}: {structure}: offset {offset:#x}: {message}")?;
        }
        if found.left_out() > 0 {
            writeln!(out, "... and {} more", found.left_out())?;
        }
        let counts = &found.counts;
        writeln!(
            out,
            "{image}: {} errors, {} warnings; checked {} snapshots, {} stores, {} block descriptors, {} ranges, \
             {} catalog and {} bitmap blocks, {} files",
            found.errors,
            found.warnings,
            counts.snapshots,
            counts.stores,
            counts.descriptors,
            counts.ranges,
            counts.catalog_blocks,
            counts.bitmap_blocks,
            counts.files,
        )?;
        Ok(())
    }

    pub(super) fn write_json(&self, image: &str, out: &mut impl Write) -> Result<()> {
        let found = &*self.found.borrow();
        let whole = serde_json::json!({
            "image": image,
            "errors": found.errors,
            "warnings": found.warnings,
            "checked": &found.counts,
            "problems": &found.problems,
            "problems_left_out": found.left_out(),
        });
        serde_json::to_writer_pretty(&mut *out, &whole)?;
        Ok(writeln!(out)?)
    }
}

impl Found {
    /// Problems beyond those that are kept.
    fn left_out(&self) -> u64 {
        self.errors + self.warnings - self.problems.len() as u64
    }
}

impl Place<'_> {
    /// A snapshot is wrong, or a reader fails. `delta` is where the field lies in the structure.
    pub(super) fn error(self, delta: u64, message: impl Into<String>) {
        let offset = self.at.saturating_add(delta);
        self.report.add(Severity::Error, self.role, self.structure, offset, message.into());
    }

    /// Odd, but nobody stumbles over it. `delta` is where the field lies in the structure.
    pub(super) fn warning(self, delta: u64, message: impl Into<String>) {
        let offset = self.at.saturating_add(delta);
        self.report.add(Severity::Warning, self.role, self.structure, offset, message.into());
    }

    /// Warns where `stored` is not what Windows would have written for the values in it: padding that is not zero.
    pub(super) fn compare(self, stored: &[u8], written: &[u8]) {
        if let Some(at) = stored.iter().zip(written).position(|(stored, written)| stored != written) {
            let (found, expected) = (stored[at], written[at]);
            self.warning(at as u64, format!("reserved byte is {found:#x}, expected {expected:#x}"));
        }
    }
}
