// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host with one volume and whatever shadow copies a test gives it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use vsshost::control::messages::*;
use vsshost::control::types::{Attributes, Guid, Maximum, Named, Selector, Time};
use vsshost::control::{Answer, Code, Error, ReportProgress, Service};

pub(crate) const VOLUME_ID: &str = "{5e5f0b64-5bdf-11e3-9d6c-005056c00008}";
pub(crate) const FIRST: &str = "{11111111-6f3a-4c83-9d0e-1f8c1f0a9b11}";
pub(crate) const SECOND: &str = "{22222222-6f3a-4c83-9d0e-1f8c1f0a9b11}";
pub(crate) const SET: &str = "{9f1d7ce0-90f8-4a1b-8f0e-a2f4f3c7d0aa}";

pub(crate) struct Content {
    pub(crate) volume: Volume,
    pub(crate) shadows: Vec<Shadow>,
    pub(crate) association: Option<Association>,
    /// What the next requests that change something fail with, the last one first.
    pub(crate) failures: Vec<Error>,
    /// How long a creation takes.
    pub(crate) slow: Duration,
}

#[derive(Clone)]
pub(crate) struct Host(pub(crate) Arc<Mutex<Content>>);

pub(crate) fn id(text: &str) -> Guid {
    text.parse().unwrap()
}

/// A client-accessible shadow copy of 2022-05-31, `minute` minutes after a quarter to two UTC.
pub(crate) fn shadow(volume: &str, shadow_id: &str, minute: u64) -> Shadow {
    let quarter_to_two = 132_984_783_050_000_000;
    Shadow {
        id: id(shadow_id),
        set: id(&shadow_id.replace("6f3a", "5e75")),
        set_count: 1,
        store: id("{690b0f60-5bdf-11e3-9d6c-005056c00008}"),
        volume: volume.into(),
        volume_guid: id(VOLUME_ID),
        created: Time::from_filetime(quarter_to_two + minute * 600_000_000),
        device_name: format!("HarddiskVolumeShadowCopy{}", minute + 1),
        fuse_path: Some(format!("/run/vsshost/{volume}/HarddiskVolumeShadowCopy{}", minute + 1)),
        nbd: None,
        originating_machine: "filer".into(),
        service_machine: "filer".into(),
        provider: "volsnap-rs Software Shadow Copy provider".into(),
        context: Named::context(0x1d),
        attributes: Attributes::from_value(0x2_001d),
        state: ShadowState::Created,
    }
}

impl Host {
    pub(crate) fn new(name: &str, image: &str) -> Self {
        let volume = Volume {
            name: name.into(),
            image: image.into(),
            partition_offset: 1 << 20,
            size: 10 << 30,
            guid: id(VOLUME_ID),
            mount_point: None,
            fuse_dir: Some(format!("/run/vsshost/{name}")),
            nbd: None,
        };
        let content =
            Content { volume, shadows: Vec::new(), association: None, failures: Vec::new(), slow: Duration::ZERO };
        Self(Arc::new(Mutex::new(content)))
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    /// Fails if a test wants it to, or if the volume is not this one.
    fn check(&self, volume: Option<&String>) -> Answer<()> {
        self.change(|content| match content.failures.pop() {
            Some(error) => Err(error),
            None if volume.is_some_and(|name| *name != content.volume.name) => Err(not_found("volume")),
            None => Ok(()),
        })
    }
}

fn not_found(what: &str) -> Error {
    Error::new(Code::NotFound, format!("there is no such {what}"), what, "the test")
}

fn not_here<T>() -> Answer<T> {
    Err(Error::new(Code::NotSupported, "not in this test", "", ""))
}

impl Service for Host {
    fn name(&self) -> String {
        self.change(|content| content.volume.name.clone())
    }

    fn status(&self) -> Answer<StatusAnswer> {
        not_here()
    }

    fn list_volumes(&self) -> Answer<Volumes> {
        Ok(Volumes { volumes: vec![self.change(|content| content.volume.clone())] })
    }

    fn list_shadows(&self, filter: ListShadows) -> Answer<Shadows> {
        let fits = |shadow: &&Shadow| {
            filter.shadow.is_none_or(|id| id == shadow.id)
                && filter.set.is_none_or(|id| id == shadow.set)
                && filter.volume.as_ref().is_none_or(|name| *name == shadow.volume)
        };
        Ok(Shadows { shadows: self.change(|content| content.shadows.iter().filter(fits).cloned().collect()) })
    }

    fn list_shadowstorage(&self, filter: ListShadowstorage) -> Answer<Associations> {
        let all = self.change(|content| content.association.clone());
        let fits = |one: &Association| filter.on.as_ref().is_none_or(|on| *on == one.on);
        Ok(Associations { associations: all.into_iter().filter(fits).collect() })
    }

    fn list_providers(&self) -> Answer<Providers> {
        let provider = Provider {
            name: "volsnap-rs Software Shadow Copy provider".into(),
            kind: "System".into(),
            id: id("{7d5c3c5e-28cf-4b6f-8f0e-0b4e4f0c1a52}"),
            version: "0.1.0".into(),
        };
        Ok(Providers { providers: vec![provider] })
    }

    fn create_shadow(&self, options: CreateShadow, progress: ReportProgress<'_>) -> Answer<CreatedShadow> {
        self.check(options.volume.as_ref())?;
        progress(Progress { doing: "reserving the diff area".into(), done: 64, total: Some(320) });
        std::thread::sleep(self.change(|content| content.slow));
        let shadow = self.change(|content| {
            content.shadows.push(shadow(&content.volume.name, SECOND, 1));
            content.shadows.last().cloned().unwrap()
        });
        Ok(CreatedShadow { shadow, held_us: 10 })
    }

    fn prepare_snapshot(&self, _: PrepareSnapshot, _: ReportProgress<'_>) -> Answer<PreparedSnapshot> {
        not_here()
    }

    fn hold_writes(&self, _: HoldWrites) -> Answer<Nothing> {
        not_here()
    }

    fn commit_snapshot(&self, _: CommitSnapshot) -> Answer<CreatedShadow> {
        not_here()
    }

    fn release_writes(&self, _: ReleaseWrites) -> Answer<Nothing> {
        not_here()
    }

    fn abort_snapshot(&self, _: AbortSnapshot) -> Answer<Nothing> {
        not_here()
    }

    fn delete_shadows(&self, which: DeleteShadows, _: ReportProgress<'_>) -> Answer<DeletedShadows> {
        self.check(which.volume.as_ref())?;
        let Selector::Shadow(id) = which.selector else { return not_here() };
        self.change(|content| {
            let at = content.shadows.iter().position(|shadow| shadow.id == id).ok_or(not_found("shadow copy"))?;
            content.shadows.remove(at);
            Ok(DeletedShadows { deleted: vec![id] })
        })
    }

    fn add_shadowstorage(&self, wanted: AddShadowstorage) -> Answer<Association> {
        self.check(wanted.volume.as_ref())?;
        let resize = ResizeShadowstorage { volume: wanted.volume, on: wanted.on, maximum: wanted.maximum };
        self.resize_shadowstorage(resize, &mut |_| {})
    }

    fn resize_shadowstorage(&self, wanted: ResizeShadowstorage, _: ReportProgress<'_>) -> Answer<Association> {
        self.check(wanted.volume.as_ref())?;
        self.change(|content| {
            let size = content.volume.size;
            let association = Association {
                volume: content.volume.name.clone(),
                volume_guid: content.volume.guid,
                on: wanted.on.unwrap_or(content.volume.name.clone()),
                on_guid: content.volume.guid,
                on_size: size,
                used: 1_433_445_336,
                allocated: 320 << 20,
                maximum: match wanted.maximum {
                    Maximum::Bytes(bytes) => Some(bytes),
                    Maximum::Percent(percent) => Some(size / 100 * u64::from(percent)),
                    Maximum::Unbounded => None,
                },
            };
            content.association = Some(association.clone());
            Ok(association)
        })
    }

    fn delete_shadowstorage(&self, which: DeleteShadowstorage) -> Answer<Nothing> {
        self.check(which.volume.as_ref())?;
        self.change(|content| content.association.take().map(|_| Nothing {}).ok_or(not_found("association")))
    }

    fn set_mount_point(&self, _: SetMountPoint) -> Answer<Nothing> {
        not_here()
    }

    fn events(&self, _: Events) -> Answer<EventLog> {
        not_here()
    }

    fn shutdown(&self) -> Answer<Nothing> {
        not_here()
    }
}
