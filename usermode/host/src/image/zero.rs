// SPDX-License-Identifier: MIT OR Apache-2.0
//! Zeroing and discarding a range of a file, by the file system's own means where it has them.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Source of the zeros where they must be written.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Makes the range read as zeros. `punch` releases the space underneath, otherwise it stays allocated.
pub(super) fn zero(file: &File, offset: u64, length: u64, punch: bool) -> io::Result<()> {
    let mode = if punch { FallocateFlags::PUNCH_HOLE } else { FallocateFlags::ZERO_RANGE };
    match fallocate(file, mode | FallocateFlags::KEEP_SIZE, offset, length) {
        Err(error) if is_unsupported(error) => write_zeros(file, offset, length),
        done => Ok(done?),
    }
}

/// Releases the space of the range where that is possible; otherwise nothing happens.
pub(super) fn discard(file: &File, offset: u64, length: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length) {
        Err(error) if is_unsupported(error) => Ok(()),
        done => Ok(done?),
    }
}

/// INVAL: a block device wants whole sectors.
fn is_unsupported(error: Errno) -> bool {
    matches!(error, Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
}

fn write_zeros(file: &File, mut offset: u64, mut length: u64) -> io::Result<()> {
    while length > 0 {
        let step = usize::try_from(length).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(&ZEROS[..step], offset)?;
        offset += step as u64;
        length -= step as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_zeros_reach_exactly_the_range() {
        let file = tempfile::tempfile().expect("a temporary file");
        file.write_all_at(&[7; 200_000], 0).expect("written");
        write_zeros(&file, 1000, 150_001).expect("zeroed");
        let mut bytes = vec![0; 200_000];
        file.read_exact_at(&mut bytes, 0).expect("read");
        assert!(bytes[..1000].iter().chain(&bytes[151_001..]).all(|byte| *byte == 7));
        assert!(bytes[1000..151_001].iter().all(|byte| *byte == 0));
    }
}
