// SPDX-License-Identifier: MIT OR Apache-2.0
//! Block status: a device's extents in the form the protocol wants.

use std::io;

use super::proto::{STATE_HOLE, STATE_ZERO, StatusDescriptor};
use crate::device::StatusExtent;

/// Extents in one reply. A client asks again for what is missing; this bounds the reply to 64 KiB.
const MAX_EXTENTS: usize = 8 << 10;

/// Descriptors for `length` bytes at `offset` of a device of `size` bytes: neighbours with the same state merged, and
/// nothing past the end of the device or, with `only_one`, past what was asked for.
///
/// # Errors
/// The device described nothing.
pub(super) fn describe(
    extents: &[StatusExtent],
    (offset, length, size): (u64, u32, u64),
    only_one: bool,
) -> io::Result<Vec<StatusDescriptor>> {
    let limit = if only_one { offset + u64::from(length) } else { size };
    let mut described: Vec<StatusDescriptor> = Vec::new();
    let mut at = offset;
    for extent in extents {
        let end = at.saturating_add(extent.length).min(limit);
        // Only the last extent may reach past the range, so one that starts there is too much.
        if end <= at || at >= offset + u64::from(length) {
            break;
        }
        let state = if extent.hole { STATE_HOLE } else { 0 } | if extent.zero { STATE_ZERO } else { 0 };
        let room = described.len() < if only_one { 1 } else { MAX_EXTENTS };
        match described.last_mut() {
            Some(last) if last.state.get() == state => {
                let merged = u64::from(last.length.get()) + (end - at);
                last.length = clamp(merged).into();
                if merged > u64::from(clamp(merged)) {
                    break;
                }
            }
            _ if room => {
                let whole = end - at;
                described.push(StatusDescriptor { length: clamp(whole).into(), state: state.into() });
                if whole > u64::from(clamp(whole)) {
                    break;
                }
            }
            _ => break,
        }
        at = end;
    }
    if described.is_empty() {
        return Err(io::Error::other(format!("the device says nothing about {length} bytes at {offset}")));
    }
    Ok(described)
}

/// Descriptors have 32 bits; what does not fit is cut at a large block, so that later extents stay aligned.
fn clamp(length: u64) -> u32 {
    const LONGEST: u32 = u32::MAX - 0xffff;
    u32::try_from(length).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(length: u64, hole: bool) -> StatusExtent {
        StatusExtent { length, hole, zero: hole }
    }

    fn pairs(described: &[StatusDescriptor]) -> Vec<(u32, u32)> {
        described.iter().map(|one| (one.length.get(), one.state.get())).collect()
    }

    #[test]
    fn neighbours_merge_and_the_last_may_reach_out() {
        let extents = [extent(10, false), extent(10, false), extent(100, true), extent(5, false)];
        let described = describe(&extents, (0, 30, 1000), false).unwrap();
        assert_eq!(pairs(&described), [(20, 0), (100, 3)]);
        let one = describe(&extents, (0, 15, 1000), true).unwrap();
        assert_eq!(pairs(&one), [(15, 0)]);
    }

    #[test]
    fn huge_extents_are_cut_and_nothing_is_an_error() {
        let described = describe(&[extent(1 << 40, true)], (0, 4096, 1 << 40), false).unwrap();
        assert_eq!(pairs(&described), [(0xffff_0000, 3)]);
        assert!(describe(&[], (0, 1, 1), false).is_err());
        assert!(describe(&[extent(0, false)], (0, 1, 1), false).is_err());
    }

    proptest! {
        #[test]
        fn extents_stay_in_the_device_and_keep_their_state(
            lengths in proptest::collection::vec((1_u64..1 << 34, any::<bool>()), 1..20),
            offset in 0_u64..1 << 20,
            length in 1_u32..,
            only_one in any::<bool>(),
        ) {
            let extents: Vec<_> = lengths.iter().map(|&(length, hole)| extent(length, hole)).collect();
            let size = offset + u64::from(length) + 12345;
            let described = describe(&extents, (offset, length, size), only_one).unwrap();
            prop_assert!(!only_one || described.len() == 1);
            let mut at = offset;
            let last = described.len() - 1;
            for (index, one) in described.iter().enumerate() {
                prop_assert!(one.length.get() > 0);
                // The first byte of each descriptor has the state that the device gave for it.
                let mut start = offset;
                let source = extents.iter().find(|extent| { start += extent.length; start > at }).unwrap();
                prop_assert_eq!(one.state.get(), if source.hole { 3 } else { 0 });
                at += u64::from(one.length.get());
                prop_assert!(index == last || at < offset + u64::from(length));
            }
            let limit = if only_one { offset + u64::from(length) } else { size };
            prop_assert!(at <= limit);
        }
    }
}
