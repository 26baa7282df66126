// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running the programs of the story: shown as a person would type them, and stopped with the demo.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};

use super::interrupt;
use crate::process;

/// Bytes of a program's output that are taken at once.
const CHUNK: usize = 1 << 20;

/// How a program ended and what it said.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// A program that works in `folder`, so that the paths on its command line are short enough to read.
pub(super) fn command(program: impl AsRef<Path>, folder: &Path) -> Command {
    let program = program.as_ref();
    let found = program.to_str().and_then(process::find).unwrap_or_else(|| program.to_owned());
    let mut command = Command::new(found);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Prints a command before it runs.
pub(super) fn show(command: &Command) {
    println!("   $ {}", process::shown(command));
}

/// Runs a program that must succeed, and gives its standard output.
pub(super) fn run(command: &mut Command) -> Result<Vec<u8>> {
    let ended = finish(command)?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stdout);
        bail!("`{}` failed: {}\n{said}{}", process::shown(command), ended.status, ended.stderr);
    }
    Ok(ended.stdout)
}

/// Runs a program, whatever it ends with.
pub(super) fn finish(command: &mut Command) -> Result<Ended> {
    let mut stdout = Vec::new();
    let (status, stderr) = stream(command, &mut stdout)?;
    Ok(Ended { status, stdout, stderr })
}

/// Runs a program and hands its standard output on as it comes. Gives its end and its standard error.
pub(super) fn stream(command: &mut Command, sink: &mut impl Write) -> Result<(ExitStatus, String)> {
    interrupt::check()?;
    let context = || format!("run `{}`", process::shown(command));
    let context = context();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| context.clone())?;
    let (mut stdout, mut stderr) = (child.stdout.take().context("no pipe")?, child.stderr.take().context("no pipe")?);
    // Beside the output, or a program with much to say on both would wait for us for ever.
    let said = thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read is worth more than why the rest could not.
        let _ = stderr.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let mut buffer = vec![0; CHUNK];
    let copied = loop {
        let step = interrupt::check()
            .and_then(|()| stdout.read(&mut buffer).context("read its output"))
            .and_then(|count| sink.write_all(&buffer[..count]).context("pass its output on").map(|()| count));
        match step {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => {
                // It may have ended by itself.
                let _ = child.kill();
                break Err(error);
            }
        }
    };
    let status = child.wait().with_context(|| context.clone())?;
    let stderr = said.join().unwrap_or_default();
    copied.context(context)?;
    // A program that died of the same Ctrl-C is no failure of its own.
    interrupt::check()?;
    Ok((status, stderr))
}
