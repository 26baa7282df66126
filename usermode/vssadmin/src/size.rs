// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sizes as people write them: `900MB`, `10GB`, `20%`, `UNBOUNDED`, and as vssadmin prints them: `1.335 GB`.

use vsshost::control::types::Maximum;

const UNITS: [&str; 7] = ["B", "KB", "MB", "GB", "TB", "PB", "EB"];

/// Reads a maximum size. Units are powers of 1024, in any case, with or without the final B; no unit is bytes.
pub(crate) fn parse(text: &str) -> Result<Maximum, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("unbounded") {
        return Ok(Maximum::Unbounded);
    }
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let form = || format!("'{text}' is no size like 900MB, 10GB, 20% or UNBOUNDED");
    let number: u64 = number.parse().map_err(|_| form())?;
    let unit = unit.trim();
    if unit == "%" {
        let percent = u8::try_from(number).ok().filter(|percent| (1..=100).contains(percent));
        return percent.map(Maximum::Percent).ok_or_else(|| format!("{number}% is not between 1% and 100%"));
    }
    let fits = |name: &str| unit.eq_ignore_ascii_case(name) || unit.eq_ignore_ascii_case(&name[..1]);
    let power = if unit.is_empty() { Some(0) } else { UNITS.iter().position(|name| fits(name)) };
    let power = u32::try_from(power.ok_or_else(form)?).map_err(|_| form())?;
    let bytes = 1024_u64.checked_pow(power).and_then(|factor| number.checked_mul(factor));
    bytes.map(Maximum::Bytes).ok_or_else(|| format!("'{text}' is larger than any volume"))
}

/// As vssadmin prints a size: up to three decimals, none that is zero.
pub(crate) fn text(bytes: u64) -> String {
    let mut power = 0;
    while power + 1 < UNITS.len() && bytes >> (10 * (power + 1)) > 0 {
        power += 1;
    }
    if power == 0 {
        return format!("{bytes} bytes");
    }
    let unit = 1_u128 << (10 * power);
    // Cut, not rounded: 1023.9999 MB must not print as 1024 MB.
    let thousandths = u128::from(bytes) * 1000 / unit;
    let decimals = format!("{:03}", thousandths % 1000);
    let decimals = decimals.trim_end_matches('0');
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{}{point}{decimals} {}", thousandths / 1000, UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read() {
        let cases = [
            ("900MB", Maximum::Bytes(900 << 20)),
            ("10gb", Maximum::Bytes(10 << 30)),
            ("10 G", Maximum::Bytes(10 << 30)),
            ("512B", Maximum::Bytes(512)),
            ("335544320", Maximum::Bytes(320 << 20)),
            ("15EB", Maximum::Bytes(15 << 60)),
            ("20%", Maximum::Percent(20)),
            ("Unbounded", Maximum::Unbounded),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for bad in ["", "MB", "-1", "1.5GB", "16EB", "0%", "101%", "20%%", "9 parsec", "99999999999999999999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_print_as_on_windows() {
        let cases = [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (320 << 20, "320 MB"),
            (1_433_445_336, "1.335 GB"),
            ((1 << 30) - 1, "1023.999 MB"),
            (u64::MAX, "15.999 EB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text(bytes), expected);
        }
    }
}
