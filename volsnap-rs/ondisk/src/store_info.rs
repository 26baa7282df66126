// SPDX-License-Identifier: MIT OR Apache-2.0
//! The store information: which snapshot a store is of, of which set, made by whom.

use crate::error::{FormatError, Problem, Structure};
use crate::geometry::{BLOCK_LEN, HEADER_LEN};
use crate::guid::Guid;
use crate::place::Place;
use crate::wide_string::WideString;
use core::mem::offset_of;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What user mode handed down when the snapshot was made; opaque to the driver.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StoreInfo {
    /// The kind of snapshot: [`crate::APP_PERSISTENT`] and the like.
    pub application: Guid,
    /// The shadow copy.
    pub snapshot: Guid,
    /// The set that it was made with.
    pub set: Guid,
    /// [`crate::context`].
    pub context: u32,
    /// Snapshots in the set.
    pub set_count: u32,
    /// [`crate::attributes`].
    pub attributes: u32,
    /// Host name of the machine that the volume was of.
    pub originating: WideString,
    /// Host name of the machine that made the snapshot.
    pub service: WideString,
}

/// Layout of the part with fixed places.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawStoreInfo {
    application: Guid,
    snapshot: Guid,
    set: Guid,
    context: U32,
    set_count: U32,
    attributes: U32,
}

/// Where the strings begin.
const FIXED_LEN: usize = 60;
const _: () = assert!(size_of::<RawStoreInfo>() == FIXED_LEN && offset_of!(RawStoreInfo, context) == 48);

/// Bytes behind a block header: the most that the information can take.
const SPACE: usize = BLOCK_LEN - HEADER_LEN;

impl StoreInfo {
    /// Reads the information from `bytes`, all of which lie at volume offset `at`.
    ///
    /// Four strings follow the fixed part. The first two are empty on every volume measured (four zero bytes); a
    /// Server 2012 R2 volume with something in that place is known by hearsay, so that they are read as the exposed
    /// name and path, which stand beside the machine names in Windows' own snapshot properties, and passed over.
    pub(crate) fn parse(bytes: &[u8], at: u64) -> Result<StoreInfo, FormatError> {
        let raw: &RawStoreInfo = Place::new(Structure::StoreInfo, at).view(bytes)?;
        let mut strings = Strings { place: Place::new(Structure::StoreInfo, at), bytes, used: FIXED_LEN };
        strings.next("exposed name")?;
        strings.next("exposed path")?;
        Ok(StoreInfo {
            application: raw.application,
            snapshot: raw.snapshot,
            set: raw.set,
            context: raw.context.get(),
            set_count: raw.set_count.get(),
            attributes: raw.attributes.get(),
            originating: strings.next_wide("originating machine")?,
            service: strings.next_wide("service machine")?,
        })
    }

    /// Fills `out`, the part of a block behind its header, and tells how many bytes the information took.
    pub(crate) fn write(&self, out: &mut [u8; SPACE], at: u64) -> Result<u64, FormatError> {
        let place = Place::new(Structure::StoreInfo, at);
        out.fill(0);
        let raw = RawStoreInfo {
            application: self.application,
            snapshot: self.snapshot,
            set: self.set,
            context: U32::new(self.context),
            set_count: U32::new(self.set_count),
            attributes: U32::new(self.attributes),
        };
        let mut rest: &mut [u8] = out;
        let strings: [(&str, &[u8]); 4] = [
            ("exposed name", &[]),
            ("exposed path", &[]),
            ("originating machine", self.originating.as_bytes()),
            ("service machine", self.service.as_bytes()),
        ];
        append(&mut rest, raw.as_bytes(), "length", place)?;
        for (field, text) in strings {
            let too_long = Problem::TooLarge { value: text.len() as u64, limit: u16::MAX.into() };
            let len = u16::try_from(text.len()).map_err(|_| place.error(field, 0, too_long))?;
            append(&mut rest, U16::new(len).as_bytes(), field, place)?;
            append(&mut rest, text, field, place)?;
        }
        Ok(SPACE.saturating_sub(rest.len()) as u64)
    }
}

/// Puts `part` at the start of `rest` and leaves in `rest` what is behind it.
fn append(rest: &mut &mut [u8], part: &[u8], field: &'static str, place: Place) -> Result<(), FormatError> {
    let have = rest.len() as u64;
    let Some((target, behind)) = core::mem::take(rest).split_at_mut_checked(part.len()) else {
        return Err(place.error(field, 0, Problem::TooLarge { value: part.len() as u64, limit: have }));
    };
    target.copy_from_slice(part);
    *rest = behind;
    Ok(())
}

/// Reads one length-prefixed string after the other.
struct Strings<'a> {
    place: Place,
    bytes: &'a [u8],
    used: usize,
}

impl<'a> Strings<'a> {
    fn next(&mut self, field: &'static str) -> Result<&'a [u8], FormatError> {
        let have = self.bytes.len() as u64;
        let cut_off = |need: usize| self.place.error(field, self.used, Problem::TooShort { have, need: need as u64 });
        let start = self.used.saturating_add(size_of::<U16>());
        let rest = self.bytes.get(self.used..).unwrap_or_default();
        let (len, text) = U16::ref_from_prefix(rest).map_err(|_| cut_off(start))?;
        let end = start.saturating_add(len.get().into());
        let text = text.get(..len.get().into()).ok_or_else(|| cut_off(end))?;
        self.used = end;
        Ok(text)
    }

    fn next_wide(&mut self, field: &'static str) -> Result<WideString, FormatError> {
        let begin = self.used;
        let stored = self.next(field)?;
        WideString::try_from_bytes(stored).map_err(|problem| self.place.error(field, begin, problem))
    }
}
