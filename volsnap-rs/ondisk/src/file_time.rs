// SPDX-License-Identifier: MIT OR Apache-2.0
//! FILETIME: the clock that Windows writes into catalog entries.

/// A time as 100 ns steps since 1601-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime(pub u64);

/// Steps of 100 ns in one second.
const STEPS_PER_SECOND: u64 = 10_000_000;
/// Seconds from 1601-01-01 to 1970-01-01.
const UNIX_EPOCH_SECONDS: i64 = 11_644_473_600;

impl FileTime {
    /// From seconds since 1970-01-01 UTC and nanoseconds within the second (rounded down to 100 ns).
    ///
    /// `None` before 1601, beyond the range of the format, or when `nanos` is a second or more.
    pub fn from_unix(seconds: i64, nanos: u32) -> Option<FileTime> {
        if nanos >= 1_000_000_000 {
            return None;
        }
        let since_1601 = u64::try_from(seconds.checked_add(UNIX_EPOCH_SECONDS)?).ok()?;
        let steps = since_1601.checked_mul(STEPS_PER_SECOND)?;
        steps.checked_add(u64::from(nanos / 100)).map(FileTime)
    }

    /// Seconds since 1970-01-01 UTC (negative before) and the nanoseconds within that second.
    pub fn to_unix(self) -> (i64, u32) {
        // Both narrowings hold for every value: u64::MAX / 10^7 is far below i64::MAX, and the rest below 10^9.
        let since_1601 = (self.0 / STEPS_PER_SECOND).cast_signed();
        let nanos = (self.0 % STEPS_PER_SECOND).saturating_mul(100);
        (since_1601.saturating_sub(UNIX_EPOCH_SECONDS), nanos as u32)
    }
}
