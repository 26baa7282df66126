// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine's news as clients of the control protocol read them.

use super::Host;
use crate::control::messages::{Event as Told, Level};
use crate::control::types::{Guid as Id, Time};
use crate::shell::News;
use engine::{DeleteReason, Event};
use ondisk::Guid;
use uuid::Uuid;

pub(super) fn id(guid: Guid) -> Id {
    Id(Uuid::from_bytes_le(*guid.as_bytes()))
}

pub(super) fn guid(id: Id) -> Guid {
    Guid::from_bytes(id.0.to_bytes_le())
}

impl Host {
    pub(super) fn tell(&self, news: &News) -> Told {
        let (level, code, message, store) = describe(&news.event);
        Told {
            number: news.number,
            time: Time::from_filetime(news.time.0),
            level,
            code: code.into(),
            message: message.into(),
            volume: Some(self.name.clone()),
            shadow: store.map(id),
        }
    }
}

fn describe(event: &Event) -> (Level, &'static str, &'static str, Option<Guid>) {
    use Level::{Error, Information, Warning};
    match event {
        Event::Prepared { store } => (Information, "store_prepared", "A snapshot's store was written.", Some(*store)),
        Event::Held => (Information, "writes_held", "Writes are held.", None),
        Event::Committed { store } => (Information, "shadow_created", "A snapshot was made.", Some(*store)),
        Event::PrepareFailed { store, .. } => {
            (Error, "shadow_failed", "Making a snapshot failed; nothing is left of it.", Some(*store))
        }
        Event::Deleted { store, reason } => {
            let (level, code, message) = match reason {
                DeleteReason::Requested => (Information, "shadow_deleted", "A snapshot was deleted on request."),
                DeleteReason::Resumed => (Information, "shadow_deleted", "A deletion begun earlier was completed."),
                DeleteReason::AreaFull => (
                    Warning,
                    "shadow_deleted_diff_area_full",
                    "The oldest snapshot was deleted to make room for others.",
                ),
                DeleteReason::Memory => {
                    (Warning, "shadow_deleted_no_memory", "A snapshot was deleted: memory was short.")
                }
                DeleteReason::CopyFailed => {
                    (Error, "shadow_deleted_copy_failed", "A snapshot was lost: a block could not be saved.")
                }
                DeleteReason::StoreOverwritten => {
                    (Error, "shadow_deleted_overwritten", "A snapshot was lost: its store was overwritten.")
                }
            };
            (level, code, message, Some(*store))
        }
        Event::DeleteFailed { store } => (Error, "delete_failed", "A snapshot could not be deleted.", Some(*store)),
        Event::AreaReady => (Information, "diff_area_created", "The diff area was created.", None),
        Event::AreaRemoved => (Information, "diff_area_removed", "The diff area was removed.", None),
        Event::AreaFailed => (Error, "diff_area_failed", "The diff area could not be created.", None),
        Event::MaximumSet => (Information, "maximum_set", "The maximum size of the diff area was set.", None),
        Event::MaximumFailed => (Error, "maximum_failed", "The maximum size could not be stored.", None),
        Event::StorageLost => {
            (Error, "diff_area_lost", "The diff area cannot be written: all snapshots are lost.", None)
        }
    }
}
