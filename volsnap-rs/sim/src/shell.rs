// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the engine asks for, done on the simulated disks: in any order, in pieces, sometimes with errors; and some of
//! the bugs, which are ways of doing it wrong.

use crate::bug::Bug;
use crate::device::{PER_BLOCK, SECTOR};
use crate::truth::HEADER_SECTOR;
use crate::world::{Io, Kind, Late, World};
use engine::{Command, IoError, Place, Target, Token};
use ondisk::{BLOCK_LEN, BlockType, IDENTIFIER};

fn sector_of(place: Place) -> usize {
    place.offset as usize / SECTOR
}

impl World {
    /// Takes the engine's commands.
    pub(crate) fn drain(&mut self) {
        let mut count = 0;
        while let Some(command) = self.engine.next_command() {
            self.say(|| format!("command {command:x?}"));
            self.execute(command);
            count += 1;
            if count > 1_000_000 {
                return self.violate("the engine never stops commanding");
            }
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Copy { token, from, to, length } => self.start_copy(token, from, to, length as usize),
            Command::Write { token, to, length, durable } => self.start_write(token, to, length as usize, durable),
            Command::Flush { token, target } => {
                let kind = if self.bug == Some(Bug::MissedFlush) {
                    Kind::Report { after: 0 }
                } else {
                    Kind::Flush { target, mark: self.device(target).mark() }
                };
                self.io.push(Io { token: Some(token), kind });
            }
            Command::Release(id) => self.released(id),
            Command::Resubmit => self.resubmit = true,
            Command::Grow { store, bytes } => self.asked_to_grow(store, bytes),
            Command::Free { store } => self.asked_to_free(store),
            Command::Notify(event) => self.hear(event),
        }
    }

    /// The engine may only write what is its own.
    fn check_owner(&mut self, to: Place, sectors: usize) {
        let start = sector_of(to);
        let own = |sector: usize| sector == HEADER_SECTOR || self.files_of(to.target).is_diff(sector);
        if let Some(sector) = (start..start + sectors).find(|sector| !own(*sector)) {
            self.violate(format!("the engine writes to sector {sector} of {:?}, which is not its own", to.target));
        }
    }

    fn start_copy(&mut self, token: Token, from: Place, to: Place, length: usize) {
        self.fresh = false;
        if !length.is_multiple_of(SECTOR) || length == 0 || length > BLOCK_LEN {
            self.violate(format!("copy of {length} bytes"));
            return;
        }
        let sectors = length / SECTOR;
        self.check_owner(to, sectors);
        let report = Io { token: Some(token), kind: Kind::Report { after: 0 } };
        if self.bug == Some(Bug::DescriptorBeforeData) {
            let start = sector_of(from);
            let values = self.device(from.target).content()[start..start + sectors].to_vec();
            let due = self.step + self.rng.within(5, 60) as u64;
            self.late.push(Late { target: to.target, start: sector_of(to), values, due });
            self.io.push(report);
        } else if self.bug == Some(Bug::MergeDropsBlocks) && from.target == Target::Storage {
            self.io.push(report);
        } else {
            self.io.push(Io { token: Some(token), kind: Kind::Copy { from, to, sectors, op: None } });
        }
    }

    fn start_write(&mut self, token: Token, to: Place, length: usize, durable: bool) {
        let bytes = self.engine.payload(token).to_vec();
        let start = sector_of(to);
        let unit = self.profile.config.sector;
        let header = start == HEADER_SECTOR && length == SECTOR;
        let aligned = (to.offset as usize).is_multiple_of(unit) && length.is_multiple_of(unit);
        if bytes.len() != length || length == 0 || !(aligned || header) {
            self.violate(format!("write of {length} bytes at {:#x} with {} bytes of payload", to.offset, bytes.len()));
            return;
        }
        self.check_owner(to, length / SECTOR);
        let values = self.arena.encode(&bytes);
        let report = Io { token: Some(token), kind: Kind::Report { after: 0 } };
        let list = durable && self.block_type_at(to) == Some(BlockType::BlockList as u32);
        if self.bug == Some(Bug::CatalogBeforeBitmaps) && !durable && type_of(&bytes) == Some(BlockType::Bitmap as u32)
        {
            let due = self.step + self.rng.within(5, 60) as u64;
            self.late.push(Late { target: to.target, start, values, due });
            self.io.push(report);
        } else if self.bug == Some(Bug::HoleNotMended) && self.fresh && list && length == BLOCK_LEN {
            self.io.push(report);
        } else {
            let op = self.device(to.target).submit(start, values, true);
            let kind = Kind::Write { target: to.target, op, durable, seen: false, list, bytes };
            self.io.push(Io { token: Some(token), kind });
        }
    }

    /// Whether more than a sector of a block list is on its way to the disk.
    pub(crate) fn tearable(&self) -> bool {
        let torn = |kind: &Kind| matches!(kind, Kind::Write { list: true, bytes, .. } if bytes.len() > SECTOR);
        self.io.iter().any(|io| torn(&io.kind))
    }

    /// The type of the metadata block around this place, as it is on the disk now.
    fn block_type_at(&mut self, place: Place) -> Option<u32> {
        let first = sector_of(place) / PER_BLOCK * PER_BLOCK;
        let value = *self.device(place.target).content().get(first)?;
        type_of(&self.arena.decode(&[value]))
    }

    /// A user flushes the live volume.
    pub(crate) fn user_flush(&mut self) {
        let mark = self.live.mark();
        self.io.push(Io { token: None, kind: Kind::Flush { target: Target::Live, mark } });
    }

    /// Lets one I/O get on; ends it perhaps.
    pub(crate) fn progress_io(&mut self, at: usize) {
        let pieces = self.rng.pick(&[1, 7, PER_BLOCK, PER_BLOCK]);
        let step = self.step;
        let live_target = Target::Live;
        match &mut self.io[at].kind {
            Kind::Copy { from, to, sectors, op: None } => {
                let (from, to, sectors) = (*from, *to, *sectors);
                if self.io_fails(from.target) {
                    return self.end_io(at, Err(IoError));
                }
                let start = sector_of(from);
                let values = self.device(from.target).content()[start..start + sectors].to_vec();
                let op = self.device(to.target).submit(sector_of(to), values, true);
                self.io[at].kind = Kind::Copy { from, to, sectors, op: Some(op) };
            }
            Kind::Copy { to, op: Some(op), .. } => {
                let (target, op) = (to.target, *op);
                if self.device(target).apply(op, pieces) {
                    let result = self.end_write(target, op, false);
                    self.end_io(at, result);
                }
            }
            Kind::Write { target, op, durable, seen, .. } => {
                let (target, op, durable, was_seen) = (*target, *op, *durable, *seen);
                *seen = true;
                if self.device(target).apply(op, pieces) && was_seen {
                    let durable = durable && self.bug != Some(Bug::DurableNotDurable);
                    let result = self.end_write(target, op, durable);
                    self.end_io(at, result);
                }
            }
            Kind::Flush { target, mark } => {
                let (target, mark) = (*target, *mark);
                let users = self.io[at].token.is_none();
                let device = if self.redirected() { target } else { Target::Live };
                if !users && self.owed == Some(device) {
                    self.owed = None;
                    return self.end_io(at, Err(IoError));
                }
                if self.io_fails(target) {
                    if users {
                        self.owed = Some(device);
                    }
                    let mut rng = self.rng.clone();
                    self.device(target).flush_failed(&mut rng);
                    self.rng = rng;
                    return self.end_io(at, Err(IoError));
                }
                let landed = self.device(target).flush(mark);
                if target == live_target || !self.redirected() {
                    self.truth.durable(&landed);
                }
                self.end_io(at, Ok(()));
            }
            Kind::Report { after } => {
                if *after <= step {
                    self.end_io(at, Ok(()));
                }
            }
        }
    }

    /// Ends a write on a device.
    pub(crate) fn end_write(&mut self, target: Target, op: u64, durable: bool) -> Result<(), IoError> {
        if self.io_fails(target) {
            let mut rng = self.rng.clone();
            self.device(target).fail(op, &mut rng);
            self.rng = rng;
            return Err(IoError);
        }
        let landed = self.device(target).complete(op, durable);
        if target == Target::Live {
            self.truth.durable(&landed);
        }
        Ok(())
    }

    fn end_io(&mut self, at: usize, result: Result<(), IoError>) {
        let io = self.io.swap_remove(at);
        let Some(token) = io.token else { return };
        if let Kind::Write { list, bytes, .. } = io.kind {
            if self.engine.payload(token) != bytes {
                self.violate("the payload of a write changed while it was under way");
            }
            if list && result.is_ok() && self.bug == Some(Bug::IndexAfterRelease) {
                // The engine hears of it later; the writes that wait for it pass now.
                let after = self.step + self.rng.within(5, 40) as u64;
                self.io.push(Io { token: Some(token), kind: Kind::Report { after } });
                return self.release_early();
            }
        }
        self.say(|| format!("done {token:?} {result:?}"));
        self.call(|engine, gate| engine.io_done(gate, token, result));
    }

    /// Does what a bug held back and is due.
    pub(crate) fn progress_late(&mut self) {
        while let Some(at) = self.late.iter().position(|late| late.due <= self.step) {
            let late = self.late.remove(at);
            let device = self.device(late.target);
            let op = device.submit(late.start, late.values, false);
            device.apply(op, usize::MAX / 2);
            device.complete(op, false);
        }
    }
}

/// The type in a metadata block's header.
fn type_of(bytes: &[u8]) -> Option<u32> {
    let id = bytes.get(..16)?;
    let kind: [u8; 4] = bytes.get(20..24)?.try_into().ok()?;
    (id == IDENTIFIER.as_bytes()).then(|| u32::from_le_bytes(kind))
}
