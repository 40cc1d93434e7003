// SPDX-License-Identifier: GPL-2.0

//! Sizes as people write them, in the manner of util-linux: `K` and `KiB` are 1024 bytes,
//! `KB` is 1000.

/// Reads a size in bytes. For command lines: the error is a sentence.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    if number.is_empty() {
        return Err("a size is a number with K, M, G, T or P behind it, if any".to_owned());
    }
    let too_large = || "that is larger than any file".to_owned();
    let number: u64 = number.parse().map_err(|_| too_large())?;
    let unit = unit(suffix).ok_or_else(|| {
        format!("what is {suffix}? K, M, G, T and P are known (1024), and KB, MB… (1000)")
    })?;
    number
        .checked_mul(unit)
        .filter(|&bytes| i64::try_from(bytes).is_ok())
        .ok_or_else(too_large)
}

/// The bytes that a suffix stands for.
fn unit(suffix: &str) -> Option<u64> {
    let mut chars = suffix.chars();
    let Some(letter) = chars.next() else {
        return Some(1);
    };
    let power = "KMGTPE".find(letter.to_ascii_uppercase())?;
    let base: u64 = match chars.as_str() {
        "" | "iB" | "ib" => 1024,
        "B" | "b" => 1000,
        _ => return None,
    };
    base.checked_pow(u32::try_from(power).ok()?.checked_add(1)?)
}

/// `bytes` in the largest unit that leaves at least 1, with one digit behind the point
/// unless it is exact.
pub(crate) fn human(bytes: u64) -> String {
    let mut unit = 1_u64;
    let mut name = "";
    for next in ["K", "M", "G", "T", "P"] {
        match unit.checked_mul(1024) {
            Some(larger) if bytes >= larger => (unit, name) = (larger, next),
            _ => break,
        }
    }
    let whole = bytes / unit;
    // Below ten in the last digit: no overflow.
    let tenth = (bytes % unit) / (unit / 10).max(1);
    if name.is_empty() || bytes % unit == 0 {
        format!("{whole}{name}")
    } else {
        format!("{whole}.{}{name}", tenth.min(9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn suffixes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("1K", 1024),
            ("1k", 1024),
            ("3KiB", 3072),
            ("1KB", 1000),
            ("2M", 2 << 20),
            ("2MB", 2_000_000),
            ("1G", 1 << 30),
            ("5T", 5 << 40),
            ("1P", 1 << 50),
            ("7E", 7 << 60),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size() {
        for text in [
            "",
            "K",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1X",
            "1KK",
            "1Ki",
            "0x10",
            "1.5G",
            "8E",
            "16E",
            "9223372036854775808",
            "99999999999999999999",
            "1KiBB",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn for_people() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1K"),
            (1536, "1.5K"),
            ((1 << 20) - 1, "1023.9K"),
            (1 << 20, "1M"),
            (5 << 40, "5T"),
        ] {
            assert_eq!(human(bytes), text);
        }
        assert!(!human(u64::MAX).is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn plain_numbers_are_bytes(bytes in 0..=i64::MAX as u64) {
            prop_assert_eq!(parse(&bytes.to_string()), Ok(bytes));
        }

        #[test]
        fn exact_multiples_survive(number in 1_u64..1024, power in 0_u32..6) {
            let bytes = number << (10 * power);
            prop_assert_eq!(parse(&human(bytes)), Ok(bytes));
        }
    }
}
