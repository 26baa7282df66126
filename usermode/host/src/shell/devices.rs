// SPDX-License-Identifier: MIT OR Apache-2.0
//! The live volume and its snapshots as devices that FUSE and NBD serve.

use super::Inner;
use super::segments::{Devices, error, read_only};
use crate::device::{BlockDevice, StatusExtent};
use engine::{Priority, Segment};
use ondisk::{BLOCK_SIZE, Guid, VOLUME_HEADER_LEN, VOLUME_HEADER_OFFSET};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most bytes of a snapshot that one status request looks at.
const STATUS_SPAN: u64 = 64 << 20;

/// The volume header's sector lies in the boot area, which no file system that can have snapshots uses. What users
/// write there is dropped while there is a header: it belongs to the snapshots, as on Windows.
const HEADER: Range<u64> = VOLUME_HEADER_OFFSET..VOLUME_HEADER_OFFSET + VOLUME_HEADER_LEN as u64;

/// The live volume: every write goes past the gate.
pub struct LiveDevice {
    inner: Arc<Inner>,
    priority: Priority,
}

impl LiveDevice {
    pub(super) fn new(inner: Arc<Inner>, priority: Priority) -> Self {
        Self { inner, priority }
    }

    /// Lets a change of the range in, does it in the parts that are the user's, and lets it out.
    fn change(&self, offset: u64, length: u64, what: impl Fn(Range<u64>) -> io::Result<()>) -> io::Result<()> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size());
        let Some(end) = end else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "past the end of the volume"));
        };
        for part in self.parts(offset..end) {
            let admission = self.inner.admit(part.start, part.end - part.start, self.priority);
            let result = what(part);
            self.inner.leave(admission);
            result?;
        }
        Ok(())
    }

    /// The range without what users do not write.
    fn parts(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut parts = Vec::with_capacity(2);
        let inside =
            self.inner.has_header.load(Ordering::Acquire) && range.start < HEADER.end && HEADER.start < range.end;
        if inside {
            parts.push(range.start..HEADER.start.max(range.start));
            parts.push(HEADER.end.min(range.end)..range.end);
            parts.retain(|part| part.start < part.end);
        } else {
            parts.push(range);
        }
        if self.inner.shielding.load(Ordering::SeqCst) {
            return parts.into_iter().flat_map(|part| self.unshielded(part)).collect();
        }
        parts
    }

    /// The parts of a range that are outside the diff area.
    fn unshielded(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut parts: Vec<Range<u64>> = Vec::new();
        let state = self.inner.lock();
        let mut at = range.start;
        while at < range.end {
            let next = range.end.min((at / BLOCK_SIZE + 1) * BLOCK_SIZE);
            if !state.engine.in_diff_area(at) {
                match parts.last_mut() {
                    Some(last) if last.end == at => last.end = next,
                    _ => parts.push(at..next),
                }
            }
            at = next;
        }
        parts
    }
}

impl BlockDevice for LiveDevice {
    fn size(&self) -> u64 {
        self.inner.live.size()
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.inner.live.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64, fua: bool) -> io::Result<()> {
        if self.inner.reserves(buf) {
            return Ok(());
        }
        self.change(offset, buf.len() as u64, |part| {
            let from = usize::try_from(part.start - offset).unwrap_or(usize::MAX);
            let to = usize::try_from(part.end - offset).unwrap_or(usize::MAX);
            self.inner.live.write_at(buf.get(from..to).unwrap_or(&[]), part.start, fua)
        })
    }

    fn write_zeroes(&self, offset: u64, length: u64, may_trim: bool, fua: bool) -> io::Result<()> {
        self.change(offset, length, |part| {
            self.inner.live.write_zeroes(part.start, part.end - part.start, may_trim, fua)
        })
    }

    fn trim(&self, offset: u64, length: u64, fua: bool) -> io::Result<()> {
        self.change(offset, length, |part| self.inner.live.trim(part.start, part.end - part.start, fua))
    }

    fn flush(&self) -> io::Result<()> {
        self.inner.live.flush()
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        self.inner.live.block_status(offset, length)
    }
}

/// A snapshot.
pub struct SnapshotDevice {
    inner: Arc<Inner>,
    store: Guid,
    size: u64,
}

impl SnapshotDevice {
    pub(super) fn new(inner: Arc<Inner>, store: Guid, size: u64) -> Self {
        Self { inner, store, size }
    }

    fn segments(&self, offset: u64, length: u64, segments: &mut Vec<Segment>) -> io::Result<()> {
        self.inner.lock().engine.read(&self.inner.gate, self.store, offset, length, segments).map_err(error)
    }

    fn devices(&self) -> Devices<'_> {
        Devices { live: &self.inner.live, storage: &self.inner.storage }
    }
}

impl BlockDevice for SnapshotDevice {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut segments = Vec::new();
        loop {
            self.segments(offset, buf.len() as u64, &mut segments)?;
            self.devices().read(buf, &segments)?;
            // A block may have been saved and overwritten, or moved, while it was read.
            if self.inner.lock().engine.read_is_current(&self.inner.gate, self.store, offset, &segments) {
                return Ok(());
            }
        }
    }

    fn write_at(&self, _: &[u8], _: u64, _: bool) -> io::Result<()> {
        Err(read_only())
    }

    fn write_zeroes(&self, _: u64, _: u64, _: bool, _: bool) -> io::Result<()> {
        Err(read_only())
    }

    fn trim(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        Err(read_only())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn block_status(&self, offset: u64, length: u64) -> io::Result<Vec<StatusExtent>> {
        let mut segments = Vec::new();
        self.segments(offset, length.min(STATUS_SPAN), &mut segments)?;
        // Told from the index alone: holes of the image underneath may be filled at any moment.
        let zero = |segment: &Segment| segment.source == engine::Source::Zero;
        Ok(segments.iter().map(|s| StatusExtent { length: s.length, hole: zero(s), zero: zero(s) }).collect())
    }
}
