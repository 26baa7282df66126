// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the targets share: making blocks of fuzzer input, so that time goes into fields and not into the identifier.

use ondisk::{BLOCK_LEN, BlockHeader, BlockType};

/// Splits `data` into a volume offset and the rest.
pub fn at(data: &[u8]) -> (u64, &[u8]) {
    match data.split_first_chunk() {
        Some((at, rest)) => (u64::from_le_bytes(*at), rest),
        None => (0, data),
    }
}

/// A 16 KiB block of type `kind` and its volume offset.
///
/// An even first byte asks for a block with a valid frame, of which the input gives offsets and content; with an odd
/// one the input is the block as it stands.
pub fn block(data: &[u8], kind: BlockType) -> (u64, Vec<u8>) {
    let (how, rest) = data.split_first().unwrap_or((&1, data));
    let (at, rest) = self::at(rest);
    let mut bytes = rest.to_vec();
    bytes.resize(BLOCK_LEN, 0);
    if !how.is_multiple_of(2) {
        return (at, bytes);
    }
    let frame = BlockHeader { kind, relative: 0, current: at, next: 0, info_size: 0 };
    let header = frame.to_bytes();
    // Identifier, version and type, then the block's own place; relative, next and info size stay the input's.
    bytes[..24].copy_from_slice(&header[..24]);
    bytes[32..40].copy_from_slice(&header[32..40]);
    (at, bytes)
}
