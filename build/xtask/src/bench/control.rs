// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control socket of a host: the few requests that the benchmark makes, as `CONTROL.md` describes them.
//!
//! Not through `vssadmin`, because its answer to `create shadow` leaves out how long writes were held.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// A host that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(180);

const VERSION: u32 = 1;

/// A snapshot that was just made.
#[derive(Deserialize)]
pub(super) struct Created {
    /// How long writes waited for it, in microseconds.
    pub(super) held_us: u64,
}

#[derive(Deserialize)]
struct Shadows {
    shadows: Vec<Value>,
}

#[derive(Deserialize)]
struct Reply {
    answer: Option<Value>,
    error: Option<Value>,
}

/// The socket of a host.
pub(super) struct Control(PathBuf);

impl Control {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self(socket)
    }

    pub(super) fn socket(&self) -> &Path {
        &self.0
    }

    /// Makes a snapshot whose diff area begins with so many bytes.
    pub(super) fn create(&self, diff_area: u64) -> Result<Created> {
        self.ask("create_shadow", json!({ "diff_area_size": diff_area }))
    }

    /// How many snapshots there are.
    pub(super) fn count(&self) -> Result<usize> {
        Ok(self.ask::<Shadows>("list_shadows", json!({}))?.shadows.len())
    }

    /// One request on a connection of its own.
    fn ask<T: DeserializeOwned>(&self, request: &str, parameters: Value) -> Result<T> {
        let context = || format!("ask {} on {}", request, self.0.display());
        let answer = self.exchange(request, &parameters).with_context(context)?;
        serde_json::from_value(answer).with_context(context)
    }

    fn exchange(&self, request: &str, parameters: &Value) -> Result<Value> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let message = json!({ "version": VERSION, "id": 1, "request": request, "parameters": parameters });
        stream.write_all(format!("{message}\n").as_bytes())?;
        for line in BufReader::new(stream).lines() {
            match serde_json::from_str(&line?)? {
                Reply { error: Some(error), .. } => bail!("{error}"),
                Reply { answer: Some(answer), .. } => return Ok(answer),
                // How far it is.
                Reply { .. } => {}
            }
        }
        bail!("the host ended before it answered")
    }
}

/// Fails unless the host still has all its snapshots: one that let some go was not measured with them.
pub(super) fn ensure_snapshots(control: &Control, expected: u32) -> Result<()> {
    let found = control.count()?;
    ensure!(found == expected as usize, "vsshost was to keep {expected} snapshots and has {found}");
    Ok(())
}
