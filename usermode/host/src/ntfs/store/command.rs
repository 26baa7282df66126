// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running the programs of ntfs-3g: never without a time limit, never without their error output.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::ntfs::error::{Error, Result};

/// How often a child is looked at. `wait` has no time limit and SIGCHLD belongs to the host.
const POLL: Duration = Duration::from_millis(5);
/// A killed process that is stuck in the kernel is left behind after this.
const AFTER_KILL: Duration = Duration::from_secs(5);
/// Of a program's output, this much goes into an error.
const MAX_OUTPUT: u64 = 4096;
/// Debian package of every program used here.
const PACKAGE: &str = "ntfs-3g";

/// How a program ended and what it said on either output.
pub(super) struct Outcome {
    pub(super) status: ExitStatus,
    pub(super) output: String,
}

/// A running program whose output goes to an unlinked file, so that it can never block on a full pipe.
pub(super) struct Running {
    child: Child,
    output: File,
    line: String,
}

/// Starts `program` with plain-English messages and no input.
pub(super) fn start(program: &'static str, arguments: &[&std::ffi::OsStr]) -> Result<Running> {
    let line = std::iter::once(program.to_owned())
        .chain(arguments.iter().map(|argument| argument.to_string_lossy().into_owned()))
        .collect::<Vec<_>>()
        .join(" ");
    let failed = |source| Error::File { what: "cannot run", path: Path::new(program).into(), source };
    let output = tempfile::tempfile().map_err(failed)?;
    let stdout = output.try_clone().map_err(failed)?;
    let stderr = output.try_clone().map_err(failed)?;
    let spawned = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn();
    match spawned {
        Ok(child) => Ok(Running { child, output, line }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::ProgramMissing { program, package: PACKAGE })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Runs a program to its end. A status other than success is not an error here: each program has its own meanings.
pub(super) fn run(program: &'static str, arguments: &[&std::ffi::OsStr], limit: Duration) -> Result<Outcome> {
    start(program, arguments)?.wait(limit)
}

impl Running {
    /// Its status, if it has ended.
    pub(super) fn ended(&mut self) -> Result<Option<Outcome>> {
        let status = self.child.try_wait().map_err(|source| Error::File {
            what: "cannot wait for",
            path: Path::new(&self.line).into(),
            source,
        })?;
        Ok(status.map(|status| Outcome { status, output: self.said() }))
    }

    /// Waits; kills it after `limit`.
    pub(super) fn wait(mut self, limit: Duration) -> Result<Outcome> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(outcome) = self.ended()? {
                return Ok(outcome);
            }
            std::thread::sleep(POLL);
        }
        self.kill();
        Err(Error::TimedOut { what: self.line, limit })
    }

    /// Kills it and reaps it, if it can be reaped.
    pub(super) fn kill(&mut self) {
        // Fails only where the child has ended already.
        let _ = self.child.kill();
        let started = Instant::now();
        while started.elapsed() < AFTER_KILL && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(POLL);
        }
    }

    fn said(&mut self) -> String {
        let mut bytes = Vec::new();
        // Without its output, an error still has the status.
        let _ = self.output.rewind();
        let _ = (&self.output).take(MAX_OUTPUT).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl Outcome {
    /// The error that a failed `command` is reported with.
    pub(super) fn error(self, command: &str) -> Error {
        Error::Command { command: command.into(), status: self.status.to_string(), output: self.output }
    }
}

/// Runs file operations on a mount in a thread of their own: a FUSE server that hangs must not hang the host. After
/// `limit` the thread is left to itself.
pub(super) fn with_limit<T: Send + 'static>(
    what: &str,
    limit: Duration,
    body: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let spawned = std::thread::Builder::new().name("store files".into()).spawn(move || {
        // Nobody listens any more once the limit has passed.
        let _ = sender.send(body());
    });
    spawned.map_err(|source| Error::File {
        what: "cannot start a thread for",
        path: Path::new(what).into(),
        source,
    })?;
    receiver.recv_timeout(limit).unwrap_or_else(|_| Err(Error::TimedOut { what: what.into(), limit }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_killed_at_its_limit() {
        let started = Instant::now();
        let result = run("sleep", &["60".as_ref()], Duration::from_millis(100));
        assert!(matches!(result, Err(Error::TimedOut { ref what, .. }) if what == "sleep 60"));
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn failure_carries_status_and_output() {
        let outcome =
            run("sh", &["-c".as_ref(), "echo no luck >&2; exit 3".as_ref()], Duration::from_secs(10)).unwrap();
        assert_eq!(outcome.status.code(), Some(3));
        assert_eq!(outcome.error("sh").to_string(), "sh failed (exit status: 3): no luck");
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = run("ntfs-3g.no-such-program", &[], Duration::from_secs(1)).err().unwrap();
        assert!(error.to_string().contains("Debian package ntfs-3g"), "{error}");
    }

    #[test]
    fn an_operation_that_hangs_is_left_behind() {
        let result = with_limit("probe", Duration::from_millis(50), || {
            std::thread::sleep(Duration::from_secs(2));
            Ok(())
        });
        assert!(matches!(result, Err(Error::TimedOut { .. })));
    }
}
