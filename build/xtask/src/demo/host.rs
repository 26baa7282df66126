// SPDX-License-Identifier: MIT OR Apache-2.0
//! The running `vsshost`, and `vssadmin` that talks to it.

use std::{
    fs::{self, File},
    os::unix::{net::UnixStream, process::CommandExt},
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    folder::{Folder, LIVE, RUN, SERVED},
    image::Image,
    interrupt,
    programs::Programs,
    tool::{self, command},
};
use crate::process;

/// What `vssadmin` calls the volume.
const NAME: &str = "demo";

/// How long it may take to start and to stop.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// The environment variable that names the folder of control sockets: nobody else's hosts are seen or disturbed.
const RUNTIME: &str = "VSSHOST_RUNTIME_DIR";

/// A host that serves the image; ends with this value.
pub(super) struct Host {
    child: Option<Child>,
    vssadmin: PathBuf,
    folder: PathBuf,
    runtime: PathBuf,
    served: PathBuf,
    log: PathBuf,
}

/// A snapshot as `vssadmin --json` tells of it.
#[derive(Clone, Deserialize)]
pub(super) struct Shadow {
    pub(super) id: String,
    /// The store's id, by which other programs know it.
    #[serde(deserialize_with = "without_braces")]
    pub(super) store: String,
    /// The snapshot as a file.
    pub(super) fuse_path: PathBuf,
}

fn without_braces<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(String::deserialize(from)?.trim_matches(['{', '}']).to_owned())
}

impl Host {
    /// Starts it, and waits until it serves.
    pub(super) fn serve(programs: &Programs, folder: &Folder, image: &Image) -> Result<Self> {
        let mut command = command(&programs.vsshost, folder.path());
        command.arg("serve").arg(image.name()).args(["--offset", &image.offset.to_string()]);
        command.args(["--name", NAME, "--fuse", SERVED, "--mount-point"]).arg(folder.at(LIVE));
        command.args(["--diff-area-size", &image.store_size().to_string()]);
        tool::show(&command);

        let log = folder.at("vsshost.log");
        let file = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let again = file.try_clone().context("a second handle of a log")?;
        // Out of the reach of Ctrl-C: what is mounted on it goes first.
        command.process_group(0).env(RUNTIME, folder.at(RUN)).stdout(file).stderr(again);
        let child = command.spawn().with_context(|| format!("start `{}`", process::shown(&command)))?;
        interrupt::server(Some(Pid::from_child(&child)));
        let mut host = Self {
            child: Some(child),
            vssadmin: programs.vssadmin.clone(),
            folder: folder.path().to_owned(),
            runtime: folder.at(RUN),
            served: folder.at(SERVED),
            log,
        };
        host.wait()?;
        Ok(host)
    }

    fn wait(&mut self) -> Result<()> {
        // The last thing that a host does before it is ready is to listen there.
        let socket = self.runtime.join(format!("{NAME}.sock"));
        let start = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            interrupt::check()?;
            let ended = self.child.as_mut().map(Child::try_wait).transpose().context("look at vsshost")?.flatten();
            if let Some(status) = ended {
                self.child = None;
                interrupt::server(None);
                bail!("vsshost ended: {status}\n{}", self.said());
            }
            ensure!(start.elapsed() < PATIENCE, "vsshost does not get ready\n{}", self.said());
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Everything that it said.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it complained about.
    pub(super) fn complaints(&self) -> String {
        let said = self.said();
        said.lines().filter(|line| line.starts_with("vsshost:")).map(|line| format!("{line}\n")).collect()
    }

    /// The live volume as a file.
    pub(super) fn volume(&self) -> PathBuf {
        self.served.join("volume")
    }

    /// Makes a snapshot.
    pub(super) fn create(&self) -> Result<Shadow> {
        #[derive(Deserialize)]
        struct Answer {
            shadow: Shadow,
        }
        let mut command = self.vssadmin();
        command.args(["create", "shadow", &format!("/for={NAME}")]);
        Ok(ask::<Answer>(&mut command)?.shadow)
    }

    /// All snapshots, oldest first.
    pub(super) fn list(&self) -> Result<Vec<Shadow>> {
        #[derive(Deserialize)]
        struct Answer {
            shadows: Vec<Shadow>,
        }
        let mut command = self.vssadmin();
        command.args(["list", "shadows", &format!("/for={NAME}"), "--json"]);
        // That there is none is no error here, but a failure of the command.
        let ended = tool::finish(&mut command)?;
        let answer: Answer = serde_json::from_slice(&ended.stdout)
            .with_context(|| format!("`{}` failed: {}", process::shown(&command), ended.stderr))?;
        Ok(answer.shadows)
    }

    /// Deletes a snapshot.
    pub(super) fn delete(&self, shadow: &Shadow) -> Result<()> {
        #[derive(Deserialize)]
        struct Answer {
            deleted: Vec<String>,
        }
        let mut command = self.vssadmin();
        command.args(["delete", "shadows", &format!("/shadow={}", shadow.id), "/quiet"]);
        let deleted = ask::<Answer>(&mut command)?.deleted;
        ensure!(deleted == [shadow.id.clone()], "vssadmin deleted {deleted:?}");
        Ok(())
    }

    fn vssadmin(&self) -> Command {
        let mut command = command(&self.vssadmin, &self.folder);
        command.env(RUNTIME, &self.runtime);
        command
    }

    /// Stops it as a person would, and waits until everything is written.
    pub(super) fn stop(mut self) -> Result<()> {
        println!("   $ kill -TERM (vsshost)");
        let Some(child) = &mut self.child else { return Ok(()) };
        let Some(status) = end(child)? else { bail!("vsshost does not stop\n{}", self.said()) };
        self.child = None;
        interrupt::server(None);
        ensure!(status.success(), "vsshost ended with {status}\n{}", self.said());
        Ok(())
    }
}

impl Drop for Host {
    /// After an error only: `stop` leaves nothing to do.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if !matches!(end(&mut child), Ok(Some(_))) && child.kill().is_ok() {
            let _ = child.wait();
        }
        interrupt::server(None);
        let complaints = self.complaints();
        if !complaints.is_empty() {
            eprint!("{complaints}");
        }
    }
}

/// Asks a process to end. Its status, or none if it does not end.
fn end(child: &mut Child) -> Result<Option<std::process::ExitStatus>> {
    // Fails if it has ended already, which the loop sees.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().context("look at vsshost")? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    Ok(None)
}

/// Shows a command, runs it with `--json`, and reads its answer.
fn ask<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    tool::show(command);
    command.arg("--json");
    let ended = tool::finish(command)?;
    let said = String::from_utf8_lossy(&ended.stdout);
    ensure!(ended.status.success(), "`{}` failed: {said}{}", process::shown(command), ended.stderr);
    serde_json::from_str(&said)
        .with_context(|| format!("`{}` printed what cannot be read: {said}", process::shown(command)))
}
