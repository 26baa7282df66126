// SPDX-License-Identifier: MIT OR Apache-2.0
//! Snapshots as files and exports, under the names that Windows gives their devices.

use super::{Host, lock};
use crate::device::BlockDevice;
use crate::nbd;
use engine::Event;
use ondisk::Guid;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Which snapshot has which number.
#[derive(Default)]
pub(super) struct Exposed {
    numbers: BTreeMap<Guid, u32>,
    last: u32,
}

/// The device name for a number.
pub(super) fn device_name(number: u32) -> String {
    format!("HarddiskVolumeShadowCopy{number}")
}

impl Host {
    /// Shows every snapshot that is not shown yet, oldest first.
    pub(super) fn expose_all(&self) {
        let stores: Vec<Guid> = self
            .shell
            .with(|engine, _| engine.snapshots().filter(|snapshot| !snapshot.hidden).map(|s| s.store).collect());
        let mut exposed = lock(&self.exposed);
        for store in stores {
            if exposed.numbers.contains_key(&store) {
                continue;
            }
            let Some(device) = self.shell.snapshot(store) else { continue };
            exposed.last += 1;
            let number = exposed.last;
            exposed.numbers.insert(store, number);
            let device: Arc<dyn BlockDevice> = device;
            let name = device_name(number);
            if let Err(error) = self.tree.add(&name, Arc::clone(&device)) {
                eprintln!("vsshost: {error}");
            }
            self.exports.add(nbd::Export::new(&name, "a snapshot", device));
        }
    }

    /// The name of a snapshot's device.
    pub(super) fn device_of(&self, store: Guid) -> Option<String> {
        lock(&self.exposed).numbers.get(&store).copied().map(device_name)
    }

    fn conceal(&self, store: Guid) {
        let number = lock(&self.exposed).numbers.remove(&store);
        if let Some(number) = number {
            let name = device_name(number);
            self.exports.remove(&name);
            self.tree.remove(&name);
        }
    }

    /// Watches what happens in the engine: what it deletes vanishes from view.
    pub(super) fn follow_news(&self) {
        let mut seen = 0;
        while !self.stopping.load(Ordering::SeqCst) {
            self.shell.wait_for(seen, Duration::from_millis(200), |_| Some(()));
            for news in self.shell.news(seen) {
                seen = news.number;
                match news.event {
                    Event::Deleted { store, reason } => {
                        self.conceal(store);
                        if reason != engine::DeleteReason::Requested {
                            eprintln!("vsshost: snapshot {store} was deleted: {reason:?}");
                        }
                    }
                    Event::StorageLost => {
                        eprintln!("vsshost: the diff area cannot be written; all snapshots are lost");
                        let all: Vec<Guid> = lock(&self.exposed).numbers.keys().copied().collect();
                        all.into_iter().for_each(|store| self.conceal(store));
                    }
                    _ => {}
                }
            }
        }
    }
}
