// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a structure is being read, and the checks that fields of several structures share.
//!
//! Every check knows its place, so that no parser can forget to say where it failed.

use crate::error::{FormatError, Problem, Structure};
use crate::geometry::MAX_OFFSET;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// A structure at an offset of a volume.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    structure: Structure,
    at: u64,
}

impl Place {
    pub(crate) fn new(structure: Structure, at: u64) -> Place {
        Place { structure, at }
    }

    /// An error in `field`, which lies `delta` bytes into the structure.
    pub(crate) fn error(self, field: &'static str, delta: usize, problem: Problem) -> FormatError {
        let offset = self.at.saturating_add(delta as u64);
        FormatError { structure: self.structure, field, offset, problem }
    }

    /// The start of `bytes` as the layout `T`.
    pub(crate) fn view<T>(self, bytes: &[u8]) -> Result<&T, FormatError>
    where
        T: FromBytes + Immutable + KnownLayout + Unaligned,
    {
        // An unaligned layout can fail for its size only.
        T::ref_from_prefix(bytes).map(|(view, _)| view).map_err(|_| {
            let (have, need) = (bytes.len() as u64, size_of::<T>() as u64);
            self.error("length", 0, Problem::TooShort { have, need })
        })
    }

    pub(crate) fn equal(self, field: &'static str, delta: usize, found: u64, expected: u64) -> Result<(), FormatError> {
        if found == expected {
            return Ok(());
        }
        Err(self.error(field, delta, Problem::Unexpected { found, expected }))
    }

    pub(crate) fn at_most(self, field: &'static str, delta: usize, value: u64, limit: u64) -> Result<(), FormatError> {
        if value <= limit {
            return Ok(());
        }
        Err(self.error(field, delta, Problem::TooLarge { value, limit }))
    }

    pub(crate) fn not_zero(self, field: &'static str, delta: usize, value: u64) -> Result<(), FormatError> {
        if value != 0 {
            return Ok(());
        }
        Err(self.error(field, delta, Problem::Zero))
    }

    /// `value` is an offset or length within [`MAX_OFFSET`] and a multiple of `UNIT`.
    pub(crate) fn offset<const UNIT: u64>(
        self,
        field: &'static str,
        delta: usize,
        value: u64,
    ) -> Result<(), FormatError> {
        const { assert!(UNIT.is_power_of_two()) };
        if !value.is_multiple_of(UNIT) {
            return Err(self.error(field, delta, Problem::NotAligned { value, unit: UNIT }));
        }
        self.at_most(field, delta, value, MAX_OFFSET)
    }
}
