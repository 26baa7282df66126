// SPDX-License-Identifier: MIT OR Apache-2.0
//! The engine as its shells use it: loaded from a disk, asked about writes and reads, driven until it has no more to say.

use alloc::vec::Vec;
use core::hint::black_box;

use engine::{
    Command, Config, Decision, Engine, Extent, Gate, IoError, LoadError, Loader, NewSnapshot, Place, Priority,
    RequestError, Segment, Token, WriteId,
};
use ondisk::{FileTime, Guid};

/// What performs the engine's commands.
pub trait Shell {
    /// Fills `buffer` from a place.
    fn read(&mut self, from: Place, buffer: &mut [u8]) -> Result<(), IoError>;
    /// Begins a command; `payload` is what a `Command::Write` writes.
    fn begin(&mut self, command: Command, payload: &[u8]);
    /// The next I/O that finished.
    fn finished(&mut self) -> Option<(Token, Result<(), IoError>)>;
}

/// What is on disk, or why not.
#[unsafe(no_mangle)]
pub fn probe_load(shell: &mut dyn Shell, config: Config, buffer: &mut [u8]) -> Result<(Engine, Gate), LoadError> {
    let mut loader = Loader::new(config);
    while let Some(read) = loader.next_read() {
        let Some(bytes) = buffer.get_mut(..read.length) else { return Err(LoadError::NoMemory) };
        if shell.read(read.from, bytes).is_err() {
            return Err(LoadError::Io(read.from));
        }
        loader.supply(bytes)?;
    }
    loader.finish()
}

/// The write path without snapshots in the way.
#[unsafe(no_mangle)]
pub fn probe_gate(gate: &Gate, offset: u64, length: u64) -> bool {
    gate.enter(offset, length) && gate.leave()
}

/// A write that has to ask.
#[unsafe(no_mangle)]
pub fn probe_write(
    engine: &mut Engine,
    gate: &Gate,
    id: u64,
    offset: u64,
    length: u64,
    priority: Priority,
) -> Decision {
    let decision = engine.write(gate, WriteId(id), offset, length, priority);
    engine.write_done(gate);
    decision
}

/// Everything that the engine wants, and everything that came of it.
#[unsafe(no_mangle)]
pub fn probe_drive(engine: &mut Engine, gate: &Gate, shell: &mut dyn Shell) {
    while let Some(command) = engine.next_command() {
        let payload = match &command {
            Command::Write { token, .. } => engine.payload(*token),
            _ => &[],
        };
        shell.begin(command, payload);
        while let Some((token, result)) = shell.finished() {
            engine.io_done(gate, token, result);
        }
    }
    engine.drained(gate);
    engine.tick(gate);
    black_box((engine.is_idle(), engine.usage(), engine.index_memory(), engine.has_area()));
    for view in engine.snapshots() {
        black_box(view);
    }
}

/// The life of a snapshot.
#[unsafe(no_mangle)]
pub fn probe_snapshot(
    engine: &mut Engine,
    gate: &Gate,
    snapshot: NewSnapshot,
    created: FileTime,
    free: Vec<u8>,
    store: Guid,
) -> Result<(), RequestError> {
    engine.prepare(gate, snapshot)?;
    engine.hold_writes(gate)?;
    engine.commit(gate, created, free)?;
    engine.release_writes(gate)?;
    engine.abort(gate)?;
    engine.delete(gate, store)
}

/// The diff area and its files.
#[unsafe(no_mangle)]
pub fn probe_area(
    engine: &mut Engine,
    gate: &Gate,
    store: Guid,
    extents: &[Extent],
    bytes: u64,
) -> Result<(), RequestError> {
    engine.set_maximum(gate, bytes)?;
    engine.set_extents(gate, store, extents)?;
    engine.grown(gate, store, Some(extents));
    engine.store_freed(gate, store);
    engine.lend_reserve(gate);
    Ok(())
}

/// A read of a snapshot.
#[unsafe(no_mangle)]
pub fn probe_read(
    engine: &Engine,
    gate: &Gate,
    store: Guid,
    offset: u64,
    length: u64,
    out: &mut Vec<Segment>,
) -> Result<bool, RequestError> {
    engine.read(gate, store, offset, length, out)?;
    Ok(engine.read_is_current(gate, store, offset, out))
}
