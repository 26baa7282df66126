// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control protocol's requests.

use super::events::{guid, id};
use super::snapshots::Wanted;
use super::{Host, LIVE, lock};
use crate::control::messages::{
    AbortSnapshot, AddShadowstorage, Association, Associations, CommitSnapshot, CreateShadow, CreatedShadow,
    DeleteShadows, DeleteShadowstorage, DeletedShadows, EventLog, Events, HoldWrites, ListShadows, ListShadowstorage,
    Nothing, PrepareSnapshot, PreparedSnapshot, Progress, Provider, Providers, ReleaseWrites, ResizeShadowstorage,
    SetMountPoint, Shadow, ShadowState, Shadows, StatusAnswer, Volume, Volumes,
};
use crate::control::types::{Attributes, Guid as Id, Maximum, Named, Selector, Time};
use crate::control::{Answer, Code, Error, ReportProgress, Service};
use crate::device::BlockDevice;
use crate::nbd::Exports;
use crate::ntfs::NtfsStore;
use engine::Priority;
use ondisk::Guid;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The id under which the provider is known (our own; Microsoft's is Microsoft's).
const PROVIDER: Uuid = Uuid::from_u128(0x5b1f_2c0e_7d1c_4c57_9a63_d0f1_8f1e_2a77);
/// Its name.
const PROVIDER_NAME: &str = "volsnap-rs software shadow copy provider 1.0";

impl Host {
    fn check_volume(&self, volume: Option<&str>) -> Answer<()> {
        match volume {
            Some(name) if name != self.name => {
                Err(Error::new(Code::NotFound, "this host serves no such volume", format!("volume '{name}'"), ""))
            }
            _ => Ok(()),
        }
    }

    /// The volume's id: what the header says, or one derived from the image until there is a header.
    fn volume_id(&self) -> Id {
        let header = self.shell.with(|engine, _| engine.header().map(|header| header.volume));
        let image = self.image();
        header.map_or_else(|| Id(Uuid::new_v5(&Uuid::NAMESPACE_URL, image.as_bytes())), id)
    }

    fn image(&self) -> String {
        let path = &self.options.image.path;
        path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string()
    }

    fn shadows(&self) -> Vec<Shadow> {
        let volume_guid = self.volume_id();
        let mut shadows: Vec<Shadow> = self.shell.with(|engine, _| {
            let visible = engine.snapshots().filter(|snapshot| !snapshot.hidden);
            visible
                .map(|snapshot| Shadow {
                    id: id(snapshot.info.snapshot),
                    set: id(snapshot.info.set),
                    set_count: snapshot.info.set_count,
                    store: id(snapshot.store),
                    volume: self.name.clone(),
                    volume_guid,
                    created: Time::from_filetime(snapshot.created.0),
                    device_name: String::new(),
                    fuse_path: None,
                    nbd: None,
                    originating_machine: snapshot.info.originating.to_string(),
                    service_machine: snapshot.info.service.to_string(),
                    provider: PROVIDER_NAME.into(),
                    context: Named::context(snapshot.info.context),
                    attributes: Attributes::from_value(snapshot.info.attributes),
                    state: ShadowState::Created,
                })
                .collect()
        });
        let folder = self.fuse_dir();
        for shadow in &mut shadows {
            if let Some(name) = self.device_of(guid(shadow.store)) {
                shadow.fuse_path = folder.as_ref().map(|folder| folder.join(&name).display().to_string());
                shadow.nbd = self.nbd_uri(&name);
                shadow.device_name = name;
            }
        }
        shadows
    }

    fn shadow_of(&self, store: Guid) -> Answer<Shadow> {
        let store = id(store);
        let found = self.shadows().into_iter().find(|shadow| shadow.store == store);
        found.ok_or_else(|| self.error(Code::NotFound, "the snapshot is gone already"))
    }

    fn association(&self) -> Answer<Association> {
        let (header, (used, allocated)) = self.shell.with(|engine, _| (engine.header().copied(), engine.usage()));
        let Some(header) = header.filter(|header| header.catalog != 0) else {
            return Err(self.error(Code::NotFound, "the volume has no shadow copy storage"));
        };
        let local = header.volume == header.storage;
        let other = self.options.storage.as_ref().map(|spec| spec.path.display().to_string());
        Ok(Association {
            volume: self.name.clone(),
            volume_guid: id(header.volume),
            on: if local { self.name.clone() } else { other.unwrap_or_default() },
            on_guid: id(header.storage),
            on_size: self.storage.size(),
            used,
            allocated,
            maximum: Some(header.maximum).filter(|maximum| *maximum != 0),
        })
    }

    fn set_maximum(&self, maximum: Maximum) -> Answer<Association> {
        let bytes = match maximum {
            Maximum::Unbounded => 0,
            Maximum::Bytes(bytes) => bytes,
            Maximum::Percent(percent) => self.storage.size() / 100 * u64::from(percent),
        };
        if maximum != Maximum::Unbounded && bytes == 0 {
            return Err(self.error(Code::InvalidArgument, "the maximum must be above 0"));
        }
        self.shell.set_maximum(bytes).map_err(|why| self.engine_error("setting the maximum", why))?;
        self.association()
    }

    fn check_on(&self, on: Option<&str>) -> Answer<()> {
        let Some(on) = on else { return Ok(()) };
        let same_path = |path: &Path| path.canonicalize().ok() == Path::new(on).canonicalize().ok();
        let here = match &self.options.storage {
            None => on == self.name || same_path(&self.options.image.path),
            Some(spec) => same_path(&spec.path),
        };
        match here {
            true => Ok(()),
            false => Err(Error::new(
                Code::NotSupported,
                "the diff area is on the volume itself, or on the one given with --storage when serving",
                format!("storage volume '{on}'"),
                self.image(),
            )),
        }
    }
}

impl Service for Host {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn status(&self) -> Answer<StatusAnswer> {
        let live = self.exports.find(LIVE).map(|export| export.clients());
        let shadows = self.shell.with(|engine, _| engine.snapshots().filter(|snapshot| !snapshot.hidden).count());
        Ok(StatusAnswer {
            host: self.name.clone(),
            pid: std::process::id(),
            started: Time::from_filetime(self.started.0),
            shadows: u32::try_from(shadows).unwrap_or(u32::MAX),
            set_in_progress: lock(&self.set).as_ref().map(|set| id(set.set)),
            writes_held: self.shell.holding(),
            nbd_clients: live.map_or(0, |clients| u32::try_from(clients.connected).unwrap_or(u32::MAX)),
            nbd_writers: live.map_or(0, |clients| u32::try_from(clients.writers).unwrap_or(u32::MAX)),
            blocks_copied: self.shell.blocks_copied(),
        })
    }

    fn list_volumes(&self) -> Answer<Volumes> {
        let display = |path: PathBuf| path.display().to_string();
        Ok(Volumes {
            volumes: vec![Volume {
                name: self.name.clone(),
                image: self.image(),
                partition_offset: self.live.offset(),
                size: self.live.size(),
                guid: self.volume_id(),
                mount_point: lock(&self.mount_point).clone().map(display),
                fuse_dir: self.fuse_dir().map(display),
                nbd: self.nbd_uri(LIVE),
            }],
        })
    }

    fn list_shadows(&self, filter: ListShadows) -> Answer<Shadows> {
        let mut shadows = self.shadows();
        shadows.retain(|shadow| {
            filter.shadow.is_none_or(|wanted| wanted == shadow.id)
                && filter.set.is_none_or(|wanted| wanted == shadow.set)
                && filter.volume.as_ref().is_none_or(|wanted| *wanted == shadow.volume)
        });
        Ok(Shadows { shadows })
    }

    fn list_shadowstorage(&self, filter: ListShadowstorage) -> Answer<Associations> {
        let wanted = filter.volume.as_ref().is_none_or(|volume| *volume == self.name);
        let there = self.check_on(filter.on.as_deref()).is_ok();
        let associations = if wanted && there { self.association().ok() } else { None };
        Ok(Associations { associations: associations.into_iter().collect() })
    }

    fn list_providers(&self) -> Answer<Providers> {
        let version = env!("CARGO_PKG_VERSION").into();
        let provider = Provider { name: PROVIDER_NAME.into(), kind: "Software".into(), id: Id(PROVIDER), version };
        Ok(Providers { providers: vec![provider] })
    }

    fn create_shadow(&self, options: CreateShadow, progress: ReportProgress<'_>) -> Answer<CreatedShadow> {
        self.check_volume(options.volume.as_deref())?;
        progress(Progress { doing: "making the snapshot".into(), done: 0, total: None });
        let wanted = Wanted { set: None, set_count: 1, context: options.context, size: options.diff_area_size };
        let (store, held) = self.create(&wanted)?;
        Ok(CreatedShadow { shadow: self.shadow_of(store)?, held_us: micros(held) })
    }

    fn prepare_snapshot(&self, options: PrepareSnapshot, progress: ReportProgress<'_>) -> Answer<PreparedSnapshot> {
        self.check_volume(options.volume.as_deref())?;
        progress(Progress { doing: "preparing the store".into(), done: 0, total: None });
        let wanted = Wanted {
            set: options.set.map(guid),
            set_count: options.set_count,
            context: options.context,
            size: options.diff_area_size,
        };
        let (set, shadow) = self.prepare_set(&wanted)?;
        Ok(PreparedSnapshot { set: id(set), shadow: id(shadow) })
    }

    fn hold_writes(&self, hold: HoldWrites) -> Answer<Nothing> {
        self.hold_set(guid(hold.set), Duration::from_millis(hold.limit_ms.into()))?;
        Ok(Nothing {})
    }

    fn commit_snapshot(&self, commit: CommitSnapshot) -> Answer<CreatedShadow> {
        let (store, held) = self.commit_set(guid(commit.set))?;
        Ok(CreatedShadow { shadow: self.shadow_of(store)?, held_us: micros(held) })
    }

    fn release_writes(&self, release: ReleaseWrites) -> Answer<Nothing> {
        self.release_set(guid(release.set))?;
        Ok(Nothing {})
    }

    fn abort_snapshot(&self, abort: AbortSnapshot) -> Answer<Nothing> {
        self.abort_set(guid(abort.set))?;
        Ok(Nothing {})
    }

    fn delete_shadows(&self, which: DeleteShadows, progress: ReportProgress<'_>) -> Answer<DeletedShadows> {
        self.check_volume(which.volume.as_deref())?;
        let shadows = self.shadows();
        let chosen: Vec<&Shadow> = match which.selector {
            Selector::All => shadows.iter().collect(),
            Selector::Oldest => shadows.iter().take(1).collect(),
            Selector::Set(set) => shadows.iter().filter(|shadow| shadow.set == set).collect(),
            Selector::Shadow(wanted) => {
                let found = shadows.iter().find(|shadow| shadow.id == wanted);
                vec![found.ok_or_else(|| self.error(Code::NotFound, format!("there is no shadow copy {wanted}")))?]
            }
        };
        let mut deleted = Vec::new();
        for shadow in &chosen {
            let total = Some(chosen.len() as u64);
            progress(Progress { doing: "deleting shadow copies".into(), done: deleted.len() as u64, total });
            self.shell.delete(guid(shadow.store)).map_err(|why| self.engine_error("deleting", why))?;
            deleted.push(shadow.id);
        }
        Ok(DeletedShadows { deleted })
    }

    fn add_shadowstorage(&self, wanted: AddShadowstorage) -> Answer<Association> {
        self.check_volume(wanted.volume.as_deref())?;
        self.check_on(wanted.on.as_deref())?;
        if self.association().is_ok() {
            return Err(self.error(Code::AlreadyExists, "the volume has shadow copy storage already"));
        }
        self.ensure_area()?;
        self.set_maximum(wanted.maximum)
    }

    fn resize_shadowstorage(&self, wanted: ResizeShadowstorage, _: ReportProgress<'_>) -> Answer<Association> {
        self.check_volume(wanted.volume.as_deref())?;
        self.check_on(wanted.on.as_deref())?;
        self.association()?;
        self.set_maximum(wanted.maximum)
    }

    fn delete_shadowstorage(&self, which: DeleteShadowstorage) -> Answer<Nothing> {
        self.check_volume(which.volume.as_deref())?;
        self.check_on(which.on.as_deref())?;
        self.association()?;
        if !self.shadows().is_empty() {
            return Err(self.error(Code::Busy, "shadow copies are stored there"));
        }
        self.remove_area()?;
        Ok(Nothing {})
    }

    fn set_mount_point(&self, mount: SetMountPoint) -> Answer<Nothing> {
        self.check_volume(mount.volume.as_deref())?;
        let path = mount.path.map(PathBuf::from);
        if let Some(path) = &path {
            // The mount reads and writes the volume while this checks that it does: no lock of ours is held.
            let device: Arc<dyn BlockDevice> = self.shell.live(Priority::Reserve);
            NtfsStore::mounted(device, path.clone()).map_err(|why| self.ntfs_error(why))?;
        }
        *lock(&self.mount_point) = path;
        Ok(Nothing {})
    }

    fn events(&self, since: Events) -> Answer<EventLog> {
        Ok(EventLog { events: self.news(since.after).iter().map(|news| self.tell(news)).collect() })
    }

    fn shutdown(&self) -> Answer<Nothing> {
        self.request_stop();
        Ok(Nothing {})
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
