// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading what the engine says a snapshot's content is.

use crate::device::{BlockDevice, StatusExtent};
use crate::image::Volume;
use engine::{RequestError, Segment, Source, Target};
use std::io;

/// The two devices that hold a snapshot's content.
pub(super) struct Devices<'a> {
    pub(super) live: &'a Volume,
    pub(super) storage: &'a Volume,
}

impl Devices<'_> {
    fn device(&self, target: Target) -> &Volume {
        match target {
            Target::Live => self.live,
            Target::Storage => self.storage,
        }
    }

    /// Fills `buf` from the segments, which are as long as it.
    pub(super) fn read(&self, mut buf: &mut [u8], segments: &[Segment]) -> io::Result<()> {
        for segment in segments {
            let length = usize::try_from(segment.length).unwrap_or(usize::MAX).min(buf.len());
            let (part, rest) = buf.split_at_mut(length);
            match segment.source {
                Source::Zero => part.fill(0),
                Source::At(place) => self.device(place.target).read_at(part, place.offset)?,
            }
            buf = rest;
        }
        Ok(())
    }

    /// Which parts are holes: zeros by definition, or holes of the image underneath.
    pub(super) fn status(&self, segments: &[Segment]) -> io::Result<Vec<StatusExtent>> {
        let mut extents: Vec<StatusExtent> = Vec::new();
        let mut push = |extent: StatusExtent| match extents.last_mut() {
            Some(last) if (last.hole, last.zero) == (extent.hole, extent.zero) => last.length += extent.length,
            _ => extents.push(extent),
        };
        for segment in segments {
            match segment.source {
                Source::Zero => push(StatusExtent { length: segment.length, hole: true, zero: true }),
                Source::At(place) => {
                    let mut done = 0;
                    while done < segment.length {
                        let left = segment.length - done;
                        let found = self.device(place.target).block_status(place.offset + done, left)?;
                        for extent in found {
                            let length = extent.length.min(segment.length - done);
                            if length > 0 {
                                push(StatusExtent { length, ..extent });
                                done += length;
                            }
                        }
                    }
                }
            }
        }
        Ok(extents)
    }
}

/// What a client of the device is told.
pub(super) fn error(error: RequestError) -> io::Error {
    match error {
        RequestError::NotFound => io::Error::new(io::ErrorKind::NotFound, "the snapshot is deleted"),
        RequestError::OutOfRange => io::Error::new(io::ErrorKind::InvalidInput, "past the end of the snapshot"),
        other => io::Error::other(format!("{other:?}")),
    }
}

pub(super) fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a snapshot is read-only")
}
