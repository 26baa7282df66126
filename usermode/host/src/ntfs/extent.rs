// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs of a file on the volume, and the 16 KiB blocks inside them that a store can use.

/// One block of the shadow copy format, bytes (spec section 1).
pub const BLOCK_SIZE: u64 = ondisk::BLOCK_SIZE;

/// A contiguous run of a file. All three are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// From the start of the volume.
    pub volume_offset: u64,
    /// From the start of the file.
    pub file_offset: u64,
    /// Never 0.
    pub length: u64,
}

impl Extent {
    /// First byte on the volume after the run.
    pub fn volume_end(&self) -> u64 {
        self.volume_offset.saturating_add(self.length)
    }

    /// First byte in the file after the run.
    pub fn file_end(&self) -> u64 {
        self.file_offset.saturating_add(self.length)
    }

    /// The run without what lies at or past `size` in the file; `None` when nothing is left.
    pub(super) fn cut_at(&self, size: u64) -> Option<Extent> {
        let length = size.checked_sub(self.file_offset)?.min(self.length);
        (length > 0).then_some(Extent { length, ..*self })
    }
}

/// Appends `next`, as one extent with the last where it continues it both in the file and on the volume.
pub(super) fn push_merged(extents: &mut Vec<Extent>, next: Extent) {
    match extents.last_mut() {
        Some(last) if last.volume_end() == next.volume_offset && last.file_end() == next.file_offset => {
            last.length = last.length.saturating_add(next.length);
        }
        _ => extents.push(next),
    }
}

/// The parts of `extents` that a store can use: whole blocks, aligned to [`BLOCK_SIZE`] on the volume, entirely
/// inside one run and below `size` in the file (spec section 11, step 2).
///
/// `file_offset` of a part is where the file has that volume block. With clusters below 16 KiB a later run of a
/// fragmented file may start anywhere, and `file_offset` is then no multiple of the block size; the format does not
/// ask for that, only the first run has to be aligned.
pub fn usable_blocks(extents: &[Extent], size: u64) -> Vec<Extent> {
    let mut usable = Vec::new();
    for run in extents.iter().filter_map(|extent| extent.cut_at(size)) {
        let Some(start) = run.volume_offset.checked_next_multiple_of(BLOCK_SIZE) else { continue };
        let end = run.volume_end() / BLOCK_SIZE * BLOCK_SIZE;
        if start >= end {
            continue;
        }
        let skipped = start - run.volume_offset;
        push_merged(
            &mut usable,
            Extent { volume_offset: start, file_offset: run.file_offset + skipped, length: end - start },
        );
    }
    usable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(volume_offset: u64, file_offset: u64, length: u64) -> Extent {
        Extent { volume_offset, file_offset, length }
    }

    #[test]
    fn usable_blocks_are_whole_and_aligned_on_the_volume() {
        let runs = [extent(0x4000, 0, 0x8000), extent(0x11000, 0x8000, 0x8000), extent(0x21000, 0x10000, 0x2000)];
        assert_eq!(
            usable_blocks(&runs, u64::MAX),
            [extent(0x4000, 0, 0x8000), extent(0x14000, 0xb000, 0x4000)],
            "the second run loses its misaligned head and tail, the third holds no whole block"
        );
    }

    #[test]
    fn usable_blocks_end_with_the_file() {
        let runs = [extent(0x10000, 0, 0x10000)];
        assert_eq!(usable_blocks(&runs, 0x9000), [extent(0x10000, 0, 0x8000)]);
        assert_eq!(usable_blocks(&runs, 0x3fff), []);
        assert_eq!(usable_blocks(&[extent(u64::MAX - 5, 0, 5)], u64::MAX), []);
    }
}
