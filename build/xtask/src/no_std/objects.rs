// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looks into compiled objects for calls that end in a panic.
//!
//! There is no list of all panic functions, but a pattern: they are the functions of `core`, `alloc` and `std` that
//! live in a module `panicking` or say in their own name that they fail (`unwrap_failed`, `slice_index_fail`,
//! `panic_already_borrowed`, `handle_alloc_error`, ...). None of their other functions is named like that, and a name
//! that some later compiler adds matches too; the samples notice when it does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolIndex, SymbolKind,
    read::{File, archive::ArchiveFile},
};

/// A function of ours from which a panic function can be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    /// Which function: its demangled name.
    pub(super) from: String,
    /// What it refers to: a panic function, or a function of the library that leads to one.
    pub(super) to: String,
}

/// Who refers to whom, by symbol.
#[derive(Default)]
struct Graph {
    /// From a symbol to those that refer to it.
    callers: BTreeMap<String, BTreeSet<String>>,
    /// Panic functions that are called or defined anywhere.
    panics: BTreeSet<String>,
    /// What the objects in question name and what in them refers to something; the rest is the library's own affair.
    own: BTreeSet<String>,
    /// How many functions were compiled in the objects in question.
    functions: usize,
}

/// Whose objects are looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those in question.
    Own,
    /// The library's, which only matter where own functions call into them.
    Library,
}

/// Symbols that are not called by their Rust path.
const RAW_NAMES: [&str; 5] =
    ["rust_begin_unwind", "rust_panic", "__rust_start_panic", "__rust_alloc_error_handler", "_Unwind_Resume"];

/// Every reference to the panic machinery in the wanted objects of an archive. An error if there is no such object.
///
/// `library` is the compiled `alloc` that they use, where it is not merged into them: instances that many programs
/// need (the growth of a `Vec<u8>`) are compiled there and only there.
pub(super) fn panic_references(
    archive: &Path,
    wanted: impl Fn(&str) -> bool,
    library: Option<&Path>,
) -> Result<Vec<Reference>> {
    let mut graph = Graph::default();
    graph.add_archive(archive, wanted, Whose::Own)?;
    if graph.functions == 0 {
        bail!("{}: no compiled function in it; was it built for link-time optimisation?", archive.display());
    }
    if let Some(library) = library {
        graph.add_archive(library, |_| true, Whose::Library)?;
    }
    Ok(graph.references())
}

impl Graph {
    fn add_archive(&mut self, archive: &Path, wanted: impl Fn(&str) -> bool, whose: Whose) -> Result<()> {
        let context = || format!("look into {}", archive.display());
        let bytes = fs::read(archive).with_context(context)?;
        for member in ArchiveFile::parse(&*bytes).with_context(context)?.members() {
            let member = member.with_context(context)?;
            let name = String::from_utf8_lossy(member.name()).into_owned();
            // An rlib also holds the compiler's metadata, which is no code.
            if name.ends_with(".o") && wanted(&name) {
                let context = || format!("{}: member {name}", archive.display());
                let object = File::parse(member.data(&*bytes).with_context(context)?).with_context(context)?;
                self.add(&object, whose).with_context(context)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, object: &File<'_>, whose: Whose) -> Result<()> {
        for section in object.sections() {
            // Debug information and unwind tables name functions without calling them.
            let name = section.name().context("name of a section")?;
            if name.starts_with(".debug") || name.starts_with(".eh_frame") {
                continue;
            }
            for (_, relocation) in section.relocations() {
                let RelocationTarget::Symbol(index) = relocation.target() else { continue };
                let from = function_of(name).to_owned();
                if whose == Whose::Own {
                    self.own.insert(from.clone());
                }
                self.callers.entry(target(object, index)?).or_default().insert(from);
            }
        }
        for symbol in object.symbols() {
            let name = symbol.name().context("name of a symbol")?;
            if whose == Whose::Own {
                self.own.insert(name.to_owned());
                self.functions += usize::from(symbol.kind() == SymbolKind::Text && symbol.is_definition());
            }
            // The probe's own panic handler has to exist in every program, called or not.
            let handler = symbol.is_definition() && demangled(name).ends_with("rust_begin_unwind");
            if is_panic(&demangled(name)) && !handler {
                self.panics.insert(name.to_owned());
            }
        }
        Ok(())
    }

    /// From each panic function back to the first function that is not the library's. `Vec::push`, for one, panics in
    /// a function of the library that was compiled in here; who called `push` is what there is to know.
    fn references(&self) -> Vec<Reference> {
        let mut found = BTreeSet::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = self.panics.iter().map(String::as_str).collect();
        while let Some(to) = open.pop() {
            if !seen.insert(to) {
                continue;
            }
            let callers = self.callers.get(to);
            // An instance of a library function that nobody calls (`Vec::push` that the optimiser saw to be safe leaves
            // one behind) is dead. A panic function that nobody calls is not to be explained, so it counts.
            if callers.is_none_or(BTreeSet::is_empty) && self.own.contains(to) && self.panics.contains(to) {
                found.insert(Reference { from: "(not known)".to_owned(), to: demangled(to) });
            }
            for from in callers.into_iter().flatten() {
                if is_library(&demangled(from)) || !self.own.contains(from) {
                    open.push(from);
                } else {
                    found.insert(Reference { from: demangled(from), to: demangled(to) });
                }
            }
        }
        found.into_iter().collect()
    }
}

/// What a relocation points at; for a function in a section of its own often the section instead of the symbol.
fn target(object: &File<'_>, index: SymbolIndex) -> Result<String> {
    let symbol = object.symbol_by_index(index).context("target of a relocation")?;
    if symbol.kind() != SymbolKind::Section {
        return Ok(symbol.name().context("name of a symbol")?.to_owned());
    }
    let index = symbol.section_index().context("section of a symbol")?;
    let section = object.section_by_index(index).context("section of a symbol")?;
    Ok(function_of(section.name().context("name of a section")?).to_owned())
}

/// The symbol of the function in a section of its own, which the compiler names after it.
fn function_of(section: &str) -> &str {
    [".text.unlikely.", ".text.startup.", ".text.hot.", ".text."]
        .iter()
        .find_map(|prefix| section.strip_prefix(prefix))
        .unwrap_or(section)
}

/// The Rust path without the hash at its end.
fn demangled(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

/// A function of the standard library. Also `<core::cell::RefCell<T>>::f`: by the type that the method is of.
fn is_library(name: &str) -> bool {
    let name = name.trim_start_matches('<');
    ["core::", "alloc::", "std::"].iter().any(|library| name.starts_with(library))
}

/// See the top of this file.
fn is_panic(name: &str) -> bool {
    let last = name.rsplit("::").next().unwrap_or(name);
    if RAW_NAMES.contains(&last) {
        return true;
    }
    is_library(name)
        && (name.contains("panic")
            || name.contains("_fail")
            || ["handle_error", "handle_alloc_error", "capacity_overflow"].contains(&last))
}

#[cfg(test)]
mod tests {
    use super::is_panic;

    #[test]
    fn knows_panic_functions_by_name() {
        for name in [
            "core::panicking::panic_bounds_check",
            "core::panicking::panic_fmt",
            "core::option::unwrap_failed",
            "core::option::expect_failed",
            "core::result::unwrap_failed",
            "core::slice::index::slice_index_fail",
            "core::slice::index::slice_end_index_len_fail",
            "core::slice::copy_from_slice_impl::len_mismatch_fail",
            "core::cell::panic_already_borrowed",
            "core::str::slice_error_fail",
            "alloc::raw_vec::handle_error",
            "alloc::raw_vec::capacity_overflow",
            "alloc::alloc::handle_alloc_error",
            "__rustc::__rust_alloc_error_handler",
            "rust_begin_unwind",
        ] {
            assert!(is_panic(name), "{name}");
        }
        for name in [
            "engine::gate::panic_free",
            "ondisk::catalog::parse_failed",
            "core::fmt::write",
            "core::slice::sort::stable::driftsort_main",
            "alloc::raw_vec::finish_grow",
            "memcpy",
        ] {
            assert!(!is_panic(name), "{name}");
        }
    }
}
