// SPDX-License-Identifier: MIT OR Apache-2.0
//! The current and the previous bitmap of a store, and that the previous one lies about no block.

use super::files::StoreFile;
use super::report::Report;
use crate::block_set::BlockSet;
use crate::read::Reader;
use crate::source::Role;
use ondisk::{BITS_PER_BITMAP_BLOCK, BLOCK_SIZE, BitmapBlock, BlockType, HEADER_LEN, Structure, bitmap};

/// Most bytes of one bitmap that are kept: that of a volume of 32 TiB.
const MAX_BYTES: usize = 1 << 28;

/// A whole bitmap, its blocks' payloads one behind the other.
pub(super) struct Bitmap {
    /// Where it starts on the volume.
    first: u64,
    /// Its bits.
    bits: Vec<u8>,
}

/// What the check of a snapshot needs of the next older one.
#[derive(Default)]
pub(super) struct Older {
    /// Its bitmaps, where they could be read.
    pub(super) bitmaps: Option<Bitmaps>,
    /// Blocks that its store has saved.
    pub(super) saved: BlockSet,
    /// Everything of it could be read.
    pub(super) complete: bool,
}

/// Both bitmaps of a store.
pub(super) struct Bitmaps {
    current: Bitmap,
    /// `None`: nothing older is kept, which is as if all bits were set.
    previous: Option<Bitmap>,
}

impl Bitmaps {
    /// Neither this snapshot nor an older one needs the block.
    pub(super) fn not_needed(&self, block: u64) -> bool {
        let previous = self.previous.as_ref().is_none_or(|previous| bitmap::get(&previous.bits, block));
        bitmap::get(&self.current.bits, block) && previous
    }
}

/// Reads both bitmaps. `size` is that of the snapshot in bytes, `None` where the snapshot is another volume's.
pub(super) fn read(
    first: (u64, u64),
    size: Option<u64>,
    file: Option<&StoreFile<'_>>,
    reader: &mut Reader<'_>,
    report: &Report,
) -> Option<Bitmaps> {
    let current = read_one(first.0, size, file, reader, report);
    let previous = read_one(first.1, size, file, reader, report);
    // A previous bitmap that is there but cannot be read is not the same as none.
    if first.0 == 0 || (first.1 != 0 && previous.is_none()) {
        return None;
    }
    Some(Bitmaps { current: current?, previous })
}

fn read_one(
    first: u64,
    size: Option<u64>,
    file: Option<&StoreFile<'_>>,
    reader: &mut Reader<'_>,
    report: &Report,
) -> Option<Bitmap> {
    let role = reader.role;
    let mut bits = Vec::new();
    for block in reader.chain(first, BlockType::Bitmap) {
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                report.unreadable(role, &error);
                return None;
            }
        };
        report.count(|counts| counts.bitmap_blocks += 1);
        if let Some(file) = file {
            file.check(block.at, block.header.relative, (32, 24), report.at(role, Structure::Bitmap, block.at));
        }
        let place = report.at(role, Structure::Bitmap, block.at);
        place.compare(&block.bytes[..HEADER_LEN], &block.header.to_bytes());
        let payload = BitmapBlock::parse(&block.bytes, block.at).map(|block| block.payload()).unwrap_or_default();
        if bits.len() + payload.len() > MAX_BYTES {
            report.at(role, Structure::Bitmap, block.at).error(40, "next: the bitmap is larger than this tool keeps");
            return None;
        }
        bits.extend_from_slice(payload);
    }
    if first == 0 {
        return None;
    }
    if let Some(size) = size {
        check_length(role, first, &bits, size.div_ceil(BLOCK_SIZE), report);
    }
    Some(Bitmap { first, bits })
}

/// There are as many blocks as the volume needs, and no bit is set past its end.
fn check_length(role: Role, first: u64, bits: &[u8], needed: u64, report: &Report) {
    let place = report.at(role, Structure::Bitmap, first);
    let have = bits.len() as u64 * 8;
    let expected = needed.div_ceil(BITS_PER_BITMAP_BLOCK) * BITS_PER_BITMAP_BLOCK;
    if have < needed {
        place.error(40, format!("next: the bitmap ends after {have} bits, {needed} are needed"));
    } else if have != expected {
        place.warning(40, format!("next: the bitmap has {have} bits, {expected} are enough"));
    }
    if let Some(bit) = (needed..have).find(|bit| bitmap::get(bits, *bit)) {
        place.warning(HEADER_LEN as u64, format!("bit {bit} is set past the end of the volume at {needed}"));
    }
}

/// The previous bitmap says which blocks the older snapshots do not need any more. That may only be said of blocks
/// that the next older snapshot did not need, nor anything before it, or that its store has saved: anything else
/// is not copied when it is overwritten, and the older snapshots change.
pub(super) fn check_previous(role: Role, at: u64, this: &Bitmaps, older: &Older, report: &Report) {
    let Some(before) = older.bitmaps.as_ref().filter(|_| older.complete) else { return };
    let Some(previous) = &this.previous else {
        let text = "previous bitmap: none, although there are older snapshots (only a Server 2003 leaves it out)";
        report.at(role, Structure::CatalogEntry, at).warning(72, text);
        return;
    };
    let mut lost = Vec::new();
    let mut count = 0_u64;
    for (byte, set) in previous.bits.iter().enumerate().filter(|(_, bits)| **bits != 0) {
        for bit in (0..8).filter(|bit| set >> bit & 1 != 0) {
            let block = byte as u64 * 8 + bit;
            if !before.not_needed(block) && !older.saved.contains(block) {
                count += 1;
                if lost.len() < 4 {
                    lost.push(format!("{block:#x}"));
                }
            }
        }
    }
    if count > 0 {
        let text = format!(
            "previous bitmap: {count} blocks are marked that the older snapshots still need, and nobody saved ({}{})",
            lost.join(", "),
            if count > 4 { ", ..." } else { "" },
        );
        report.at(role, Structure::Bitmap, previous.first).error(HEADER_LEN as u64, text);
    }
}
