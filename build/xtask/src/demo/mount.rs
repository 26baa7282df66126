// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mounts that end with the demo: ntfs-3g on a served file, and libvshadow's view of an image.

use std::{
    fs::{self, File},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use super::{
    folder::{Folder, OTHER},
    interrupt,
    tool::{self, command},
};
use crate::process;

/// How long a mount may take, and a server to write what it has after the unmount.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a mount may be busy, because somebody is just closing a file.
const BUSY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// A volume that ntfs-3g has mounted.
pub(super) struct Ntfs {
    place: PathBuf,
    shown: String,
    log: PathBuf,
    server: Option<Child>,
}

impl Ntfs {
    /// Mounts the file `volume` at `place`; both are names in the working folder.
    pub(super) fn mount(folder: &Folder, volume: &Path, place: &str, options: &str) -> Result<Self> {
        let volume = volume.strip_prefix(folder.path()).unwrap_or(volume);
        let mut shown = command("ntfs-3g", folder.path());
        shown.args(["-o", options]).arg(volume).arg(place);
        tool::show(&shown);

        let log = folder.at(&format!("ntfs-3g-{place}.log"));
        let file = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let again = file.try_clone().context("a second handle of a log")?;
        let mut command = command("ntfs-3g", folder.path());
        // As our child, so that we can wait until it has written everything; and out of the reach of Ctrl-C, which
        // would take it away under the host.
        command.arg("-o").arg(format!("no_detach,{options}")).arg(volume).arg(place);
        let child = command.process_group(0).stdout(file).stderr(again).spawn();
        let child = child.with_context(|| format!("start `{}`", process::shown(&shown)))?;
        let (place, shown) = (folder.at(place), process::shown(&shown));
        let mut mount = Self { place, shown, log, server: Some(child) };
        mount.wait()?;
        Ok(mount)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &Path {
        &self.place
    }

    fn wait(&mut self) -> Result<()> {
        let start = Instant::now();
        while !is_mount_point(&self.place) {
            interrupt::check()?;
            let ended = self.server.as_mut().map(Child::try_wait).transpose().context("look at ntfs-3g")?.flatten();
            if let Some(status) = ended {
                self.server = None;
                bail!("`{}` ended: {status}\n{}", self.shown, self.said());
            }
            if start.elapsed() > PATIENCE {
                bail!("`{}` does not mount\n{}", self.shown, self.said());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// What ntfs-3g said.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Unmounts, and waits until everything is written.
    pub(super) fn unmount(mut self) -> Result<()> {
        unmount_when_idle(&self.place)?;
        let Some(mut server) = self.server.take() else { return Ok(()) };
        match end_of(&mut server)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("`{}` ended with {status}\n{}", self.shown, self.said()),
            None => {
                // Back into its place, for the last means.
                self.server = Some(server);
                bail!("`{}` does not end after its unmount", self.shown)
            }
        }
    }
}

impl Drop for Ntfs {
    /// After an error only: `unmount` leaves nothing to do.
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        if unmount_when_idle(&self.place).is_err() {
            // Fails if there is no mount.
            let _ = unmount(&self.place, UnmountFlags::DETACH);
        }
        if !matches!(end_of(&mut server), Ok(Some(_))) && server.kill().is_ok() {
            let _ = server.wait();
        }
    }
}

/// The snapshots of an image as libvshadow shows them.
pub(super) struct Vshadow {
    place: PathBuf,
}

impl Vshadow {
    /// Runs `vshadowmount` on the volume at byte `offset` of `image`.
    pub(super) fn mount(folder: &Folder, image: &Path, offset: u64) -> Result<Self> {
        let image = image.strip_prefix(folder.path()).unwrap_or(image);
        let mut command = command("vshadowmount", folder.path());
        command.arg("-o").arg(offset.to_string()).arg(image).arg(OTHER);
        tool::show(&command);
        let mount = Self { place: folder.at(OTHER) };
        // It goes into the background when it has mounted.
        tool::run(&mut command)?;
        let start = Instant::now();
        while !is_mount_point(&mount.place) {
            interrupt::check()?;
            if start.elapsed() > PATIENCE {
                bail!("vshadowmount shows nothing");
            }
            thread::sleep(POLL);
        }
        Ok(mount)
    }

    /// The snapshot with this number, 1 being the oldest.
    pub(super) fn snapshot(&self, number: usize) -> PathBuf {
        self.place.join(format!("vss{number}"))
    }

    /// How many there are.
    pub(super) fn count(&self) -> Result<usize> {
        let entries = fs::read_dir(&self.place).with_context(|| format!("read {}", self.place.display()))?;
        Ok(entries.count())
    }
}

impl Drop for Vshadow {
    fn drop(&mut self) {
        if is_mount_point(&self.place)
            && let Err(error) = unmount_when_idle(&self.place)
        {
            eprintln!("{error:#}");
        }
    }
}

fn is_mount_point(place: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    match (device(place), place.parent().and_then(device)) {
        (Some(here), Some(above)) => here != above,
        // A mount whose server died cannot be looked at.
        (here, _) => here.is_none(),
    }
}

fn unmount_when_idle(place: &Path) -> Result<()> {
    let start = Instant::now();
    loop {
        match unmount(place, UnmountFlags::empty()) {
            Err(Errno::BUSY) if start.elapsed() < BUSY => thread::sleep(POLL),
            result => return result.with_context(|| format!("unmount {}", place.display())),
        }
    }
}

fn end_of(server: &mut Child) -> Result<Option<std::process::ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = server.try_wait().context("look at ntfs-3g")? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    Ok(None)
}
