// SPDX-License-Identifier: MIT OR Apache-2.0
//! The writes that every target gets: each 16 KiB block once, in a random order that never changes.
//!
//! Our own client and not fio, because fio 3.33 cannot write the first 4 KiB of every 16 KiB block exactly once in random
//! order: `blockalign` turns its record of what it wrote off (of 2048 blocks it hit 1275), and with a log to replay it
//! leaves before the last answers came, whereupon nbdkit 1.32 fails an assertion. Where fio can do it (16 KiB writes)
//! its rates are of the same size as these.
//!
//! The protocol is the published one of NBD ("newstyle", simple replies), as far as it takes to write.

use std::{
    fmt,
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{target::Export, volume::Volume};

/// The block that snapshots are made of: each is overwritten once in a pass.
const BLOCK: u64 = 16 << 10;

/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the volume is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    /// Bytes of a write, at the start of each block.
    pub(super) size: u32,
    /// Writes in flight at once.
    pub(super) depth: u32,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB, depth {}", self.size >> 10, self.depth)
    }
}

/// Which of the passes over a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Every block for the first time since the snapshot.
    First,
    /// Every block once more.
    Rewrite,
    /// Space that was free when the snapshot was made.
    Free,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// Writes.
    pub(super) operations: u64,
    /// Bytes written.
    pub(super) bytes: u64,
    /// From the first request to the last answer.
    pub(super) took: Duration,
}

impl Done {
    /// Both, one after the other.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            bytes: self.bytes + other.bytes,
            took: self.took + other.took,
        }
    }
}

/// Overwrites each block of the volume's region once.
pub(super) fn run(export: &Export, volume: &Volume, workload: Workload) -> Result<Done> {
    let context = || format!("writing to {}", export.socket.display());
    let mut client = Client::connect(export, workload.size).with_context(context)?;
    let mut offsets: Vec<u64> = (0..volume.length / BLOCK).map(|block| volume.start + block * BLOCK).collect();
    shuffle(&mut offsets);

    let start = Instant::now();
    let mut in_flight = 0;
    for offset in &offsets {
        if in_flight == workload.depth {
            client.answer().with_context(context)?;
            in_flight -= 1;
        }
        client.write(*offset).with_context(context)?;
        in_flight += 1;
    }
    for _ in 0..in_flight {
        client.answer().with_context(context)?;
    }
    let took = start.elapsed();
    client.leave().with_context(context)?;

    let operations = offsets.len() as u64;
    Ok(Done { operations, bytes: operations * u64::from(workload.size), took })
}

const OPTION_MAGIC: u64 = u64::from_be_bytes(*b"IHAVEOPT");
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const OPTION_GO: u32 = 7;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const FIXED_NEWSTYLE: u16 = 1;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
const COMMAND_WRITE: u16 = 1;
const COMMAND_DISCONNECT: u16 = 2;

/// Bytes of a request before its payload: magic, flags, command, cookie, offset, length.
const REQUEST_LENGTH: usize = 28;

struct Client {
    stream: UnixStream,
    size: u32,
    /// A request with its payload, so that it is one call.
    request: Vec<u8>,
}

impl Client {
    fn connect(export: &Export, size: u32) -> Result<Self> {
        let stream = UnixStream::connect(&export.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let payload = (0..size).map(|at| (at % 251) as u8);
        let mut client = Self { stream, size, request: [0; REQUEST_LENGTH].into_iter().chain(payload).collect() };
        client.negotiate(&export.name)?;
        Ok(client)
    }

    fn negotiate(&mut self, name: &str) -> Result<()> {
        ensure!(self.take()? == *b"NBDMAGIC" && u64::from_be_bytes(self.take()?) == OPTION_MAGIC, "no NBD server");
        let offered = u16::from_be_bytes(self.take()?);
        ensure!(offered & FIXED_NEWSTYLE != 0, "an NBD server of before 2013");
        let mut hello = u32::from(FIXED_NEWSTYLE).to_be_bytes().to_vec();
        let length = u32::try_from(name.len())?;
        hello.extend(OPTION_MAGIC.to_be_bytes());
        hello.extend(OPTION_GO.to_be_bytes());
        hello.extend((length + 6).to_be_bytes());
        hello.extend(length.to_be_bytes());
        hello.extend(name.bytes());
        // No particular information is asked for.
        hello.extend(0_u16.to_be_bytes());
        self.stream.write_all(&hello)?;
        loop {
            ensure!(u64::from_be_bytes(self.take()?) == OPTION_REPLY_MAGIC, "an answer that is none");
            let _option: [u8; 4] = self.take()?;
            let kind = u32::from_be_bytes(self.take()?);
            let mut rest = vec![0; u32::from_be_bytes(self.take()?).min(4096) as usize];
            self.stream.read_exact(&mut rest)?;
            match kind {
                REPLY_ACK => return Ok(()),
                REPLY_INFO => {}
                error => bail!("the export '{name}' was refused ({error:#x}): {}", String::from_utf8_lossy(&rest)),
            }
        }
    }

    fn write(&mut self, offset: u64) -> Result<()> {
        self.head(COMMAND_WRITE, offset, self.size);
        Ok(self.stream.write_all(&self.request)?)
    }

    /// Takes the answer to any of the requests in flight; they come in any order.
    fn answer(&mut self) -> Result<()> {
        ensure!(u32::from_be_bytes(self.take()?) == SIMPLE_REPLY_MAGIC, "an answer that is none");
        let error = u32::from_be_bytes(self.take()?);
        let offset = u64::from_be_bytes(self.take()?);
        ensure!(error == 0, "the write at byte {offset} failed with NBD error {error}");
        Ok(())
    }

    fn leave(mut self) -> Result<()> {
        self.head(COMMAND_DISCONNECT, 0, 0);
        self.request.truncate(REQUEST_LENGTH);
        self.stream.write_all(&self.request)?;
        // Until the server has gone too, it may still be at work on something that counts.
        let more = self.stream.read(&mut [0])?;
        ensure!(more == 0, "an answer to nothing");
        Ok(())
    }

    /// Fills in the head of the request. The offset also serves as the cookie that the answer brings back.
    fn head(&mut self, command: u16, offset: u64, length: u32) {
        let fields = REQUEST_MAGIC
            .to_be_bytes()
            .into_iter()
            .chain([0; 2])
            .chain(command.to_be_bytes())
            .chain(offset.to_be_bytes())
            .chain(offset.to_be_bytes())
            .chain(length.to_be_bytes());
        for (byte, field) in self.request.iter_mut().zip(fields) {
            *byte = field;
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// An order that is the same for every target, on every machine, in every version of this program.
fn shuffle(items: &mut [u64]) {
    // SplitMix64 (Steele, Lea, Flood 2014) feeding a Fisher-Yates shuffle.
    let mut state: u64 = 7;
    for last in (1..items.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut random = state;
        random = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        random = (random ^ (random >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        random ^= random >> 31;
        items.swap(last, (random % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::shuffle;

    #[test]
    fn shuffling_keeps_every_item_once() {
        let ordered: Vec<u64> = (0..1000).collect();
        let mut shuffled = ordered.clone();
        shuffle(&mut shuffled);
        assert_ne!(shuffled, ordered);
        shuffled.sort_unstable();
        assert_eq!(shuffled, ordered);
    }
}
