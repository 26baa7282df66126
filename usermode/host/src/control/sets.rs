// SPDX-License-Identifier: MIT OR Apache-2.0
//! The snapshot sets that a connection has begun. Whoever begins one and goes away must not leave it behind: on
//! Windows a set left in progress blocks every other backup program until somebody restarts the service.

use super::messages::{AbortSnapshot, ReleaseWrites};
use super::service::Service;
use super::types::Guid;

/// Sets begun and not finished; finished for good on drop.
pub(super) struct OpenSets<'a> {
    service: &'a dyn Service,
    sets: Vec<OpenSet>,
}

struct OpenSet {
    id: Guid,
    held: bool,
    committed: bool,
}

impl<'a> OpenSets<'a> {
    pub(super) fn new(service: &'a dyn Service) -> Self {
        Self { service, sets: Vec::new() }
    }

    pub(super) fn prepared(&mut self, id: Guid) {
        self.sets.push(OpenSet { id, held: false, committed: false });
    }

    pub(super) fn held(&mut self, id: Guid) {
        self.change(id, |set| set.held = true);
    }

    pub(super) fn committed(&mut self, id: Guid) {
        self.change(id, |set| set.committed = true);
    }

    pub(super) fn released(&mut self, id: Guid) {
        self.change(id, |set| set.held = false);
    }

    pub(super) fn aborted(&mut self, id: Guid) {
        self.sets.retain(|set| set.id != id);
    }

    fn change(&mut self, id: Guid, change: fn(&mut OpenSet)) {
        self.sets.iter_mut().filter(|set| set.id == id).for_each(change);
        self.sets.retain(|set| set.held || !set.committed);
    }
}

impl Drop for OpenSets<'_> {
    fn drop(&mut self) {
        for OpenSet { id: set, committed, .. } in self.sets.drain(..) {
            // There is nobody left to tell; a hold that fails to end here ends by its limit.
            if committed {
                let _ = self.service.release_writes(ReleaseWrites { set });
            } else {
                let _ = self.service.abort_snapshot(AbortSnapshot { set });
            }
        }
    }
}
