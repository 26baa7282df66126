// SPDX-License-Identifier: MIT OR Apache-2.0
//! The multi-sector protection of FILE and INDX records.
//!
//! NTFS replaces the last two bytes of every 512 bytes of a record by a sequence number and keeps the real bytes in an
//! array in its header; a torn write shows as a difference. The `ntfs` crate does this for itself but hands out no
//! record bytes, and its index reader cannot be used (see [`super::index`]), so it is done here once more.

/// The protection covers 512 bytes at a time, whatever the sector size of the disk.
const STRIDE: usize = 512;

/// Little-endian u16 at `at`, or `None` past the end.
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Little-endian u32 at `at`, or `None` past the end.
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Little-endian u64 at `at`, or `None` past the end.
pub(super) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Checks `signature` and puts the protected bytes back. `record` is the whole record as it is on the disk.
///
/// Header (published NTFS layouts): +0 signature, +4 u16 offset of the array, +6 u16 its length in u16 (first the
/// sequence number, then one per 512 bytes).
pub(super) fn apply_fixup(record: &mut [u8], signature: &[u8; 4]) -> Result<(), String> {
    if record.get(..4) != Some(signature) {
        return Err(format!("signature is not {}", String::from_utf8_lossy(signature)));
    }
    let strides = record.len() / STRIDE;
    let (array, count) = le16(record, 4).zip(le16(record, 6)).ok_or("record too short")?;
    if strides == 0 || !record.len().is_multiple_of(STRIDE) || usize::from(count) != strides + 1 {
        return Err(format!("update sequence of {count} entries in a record of {} bytes", record.len()));
    }
    let array = usize::from(array);
    let sequence = le16(record, array).ok_or("update sequence outside the record")?;
    for stride in 0..strides {
        let saved = le16(record, array + 2 * (stride + 1)).ok_or("update sequence outside the record")?;
        let tail = (stride + 1) * STRIDE - 2;
        if le16(record, tail) != Some(sequence) {
            return Err(format!("torn write: update sequence number differs in its sector {stride}"));
        }
        record[tail..tail + 2].copy_from_slice(&saved.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[..4].copy_from_slice(b"INDX");
        bytes[4] = 0x28;
        bytes[6] = 3;
        bytes[0x28..0x2e].copy_from_slice(&[7, 0, 0xaa, 0xbb, 0xcc, 0xdd]);
        bytes[510] = 7;
        bytes[1022] = 7;
        bytes
    }

    #[test]
    fn restores_the_protected_bytes() {
        let mut bytes = record();
        apply_fixup(&mut bytes, b"INDX").unwrap();
        assert_eq!((&bytes[510..512], &bytes[1022..]), (&[0xaa, 0xbb][..], &[0xcc, 0xdd][..]));
    }

    #[test]
    fn refuses_torn_and_foreign_records() {
        let mut torn = record();
        torn[1022] = 6;
        assert!(apply_fixup(&mut torn, b"INDX").unwrap_err().contains("torn"));
        assert!(apply_fixup(&mut record(), b"FILE").is_err());
        let mut outside = record();
        outside[4..6].copy_from_slice(&u16::MAX.to_le_bytes());
        assert!(apply_fixup(&mut outside, b"INDX").is_err());
        assert!(apply_fixup(&mut [], b"INDX").is_err());
        assert!(apply_fixup(&mut record()[..700], b"INDX").is_err());
    }
}
