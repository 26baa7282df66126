// SPDX-License-Identifier: MIT OR Apache-2.0
//! The snapshots as a stack: their order by sequence and by time, and which store belongs to which.

use super::catalog::{Entries, Placed};
use super::report::Report;
use crate::source::Role;
use ondisk::{Guid, SnapshotEntry, StoreEntry, Structure};
use std::collections::{BTreeMap, BTreeSet};

/// FILETIME of 10000-01-01.
const LAST_DATE: u64 = 265_046_774_400 * 10_000_000;

/// Snapshots and stores, put in order.
pub(super) struct Stack {
    /// From the oldest on.
    pub(super) own: Vec<(Placed<SnapshotEntry>, Option<Placed<StoreEntry>>)>,
    /// Stores without a snapshot here: other volumes keep their diff area on this one.
    pub(super) foreign: Vec<Placed<StoreEntry>>,
}

/// Checks the order and the pairs. `here` has the snapshots, `there` the stores.
pub(super) fn check(here: &Entries, there: &Entries, redirected: bool, report: &Report) -> Stack {
    let mut snapshots = here.snapshots.clone();
    snapshots.sort_by_key(|snapshot| snapshot.entry.sequence);
    check_sequence(&snapshots, report);
    check_times(&snapshots, report);

    let store_role = if redirected { Role::Storage } else { Role::Live };
    check_guids(Role::Live, here.snapshots.iter().map(|placed| (placed.at, placed.entry.store)), report);
    check_guids(store_role, there.stores.iter().map(|placed| (placed.at, placed.entry.store)), report);
    if !redirected {
        check_libvshadow_pairs(here, report);
    }

    let mut stores: BTreeMap<Guid, Placed<StoreEntry>> = BTreeMap::new();
    for store in &there.stores {
        stores.entry(store.entry.store).or_insert(*store);
    }
    let own = snapshots.into_iter().map(|snapshot| {
        let store = stores.remove(&snapshot.entry.store);
        if store.is_none() {
            let text = format!("store: no entry says where store {} lies", snapshot.entry.store);
            report.at(Role::Live, Structure::CatalogEntry, snapshot.at).error(16, text);
        }
        (snapshot, store)
    });
    let own = own.collect();
    Stack { own, foreign: stores.into_values().collect() }
}

/// 1 is the oldest, dense: dfir_ntfs and DFIR-ORC go from one to the next by adding 1.
fn check_sequence(snapshots: &[Placed<SnapshotEntry>], report: &Report) {
    for (snapshot, expected) in snapshots.iter().zip(1..) {
        let sequence = snapshot.entry.sequence;
        if sequence != expected {
            let text = format!("sequence: {sequence}, expected {expected}");
            report.at(Role::Live, Structure::CatalogEntry, snapshot.at).error(32, text);
        }
    }
}

/// libvshadow orders by time, and opens no volume with two equal ones.
fn check_times(snapshots: &[Placed<SnapshotEntry>], report: &Report) {
    for pair in snapshots.windows(2) {
        let [older, newer] = pair else { continue };
        if newer.entry.created <= older.entry.created {
            let text = format!("created: not later than snapshot {}; libvshadow orders by time", older.entry.sequence);
            report.at(Role::Live, Structure::CatalogEntry, newer.at).error(48, text);
        }
    }
    for snapshot in snapshots {
        let place = report.at(Role::Live, Structure::CatalogEntry, snapshot.at);
        match snapshot.entry.created.0 {
            0 => place.error(48, "created: no time"),
            LAST_DATE.. => place.warning(48, "created: beyond the year 9999"),
            _ => (),
        }
    }
}

/// A store GUID names one snapshot and one store.
fn check_guids(role: Role, entries: impl Iterator<Item = (u64, Guid)>, report: &Report) {
    let mut seen = BTreeSet::new();
    for (at, guid) in entries {
        if guid == Guid::NIL || !seen.insert(guid) {
            let text = format!("store: {guid} is no GUID of its own");
            report.at(role, Structure::CatalogEntry, at).error(16, text);
        }
    }
}

/// libvshadow takes each store for that of the last snapshot before it, whatever the GUIDs say.
fn check_libvshadow_pairs(here: &Entries, report: &Report) {
    for store in &here.stores {
        let Some(taken_for) = here.snapshots.iter().rev().find(|snapshot| snapshot.index < store.index) else {
            continue;
        };
        if taken_for.entry.store != store.entry.store {
            let text = format!("libvshadow takes this store for that of snapshot {}", taken_for.entry.sequence);
            report.at(Role::Live, Structure::CatalogEntry, store.at).warning(16, text);
        }
    }
    for snapshot in &here.snapshots {
        let follows = |store: &&Placed<StoreEntry>| store.entry.store == snapshot.entry.store;
        if here.stores.iter().find(follows).is_some_and(|store| store.index < snapshot.index) {
            let text = "the store's entry stands before the snapshot's; libvshadow does not find it";
            report.at(Role::Live, Structure::CatalogEntry, snapshot.at).warning(16, text);
        }
    }
}
