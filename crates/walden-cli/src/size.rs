//! Sizes and durations as people write them.

use std::time::Duration;

const KIB: u64 = 1024;

/// Units of size; binary ones have an `i` or stand alone, as with coreutils.
const SIZES: [(&str, u64); 14] = [
    ("", 1),
    ("B", 1),
    ("K", KIB),
    ("KiB", KIB),
    ("KB", 1000),
    ("M", KIB * KIB),
    ("MiB", KIB * KIB),
    ("MB", 1_000_000),
    ("G", KIB * KIB * KIB),
    ("GiB", KIB * KIB * KIB),
    ("GB", 1_000_000_000),
    ("T", KIB * KIB * KIB * KIB),
    ("TiB", KIB * KIB * KIB * KIB),
    ("TB", 1_000_000_000_000),
];

const DURATIONS: [(&str, u64); 5] =
    [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60), ("w", 7 * 24 * 60 * 60)];

/// `64MiB`, `10MB`, `4096`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, &SIZES).ok_or_else(|| {
        "a size is a whole number with a unit or none: 4096, 64KiB, 10MB, 1GiB".to_owned()
    })
}

/// A size that a segment can have.
pub(crate) fn parse_segment_size(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("a segment needs room for a record".to_owned()),
        bytes if bytes > 128 << 40 => Err("a segment has at most 128 TiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// `7d`, `12h`, `30m`, `10s`, `2w`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, &DURATIONS)
        .map(Duration::from_secs)
        .ok_or_else(|| "a duration is a whole number with a unit: 30s, 15m, 12h, 7d, 2w".to_owned())
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.trim_start();
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Bytes for a person: `64.0 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    if bytes < KIB {
        return format!("{bytes} B");
    }
    let mut unit = KIB;
    for name in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        match unit.checked_mul(KIB) {
            Some(next) if bytes >= next && name != "PiB" => unit = next,
            _ => {
                let tenths = u128::from(bytes) * 10 / u128::from(unit);
                return format!("{}.{} {name}", tenths / 10, tenths % 10);
            }
        }
    }
    format!("{bytes} B")
}

/// A number for a person: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration for a person: `1.5 ms`.
pub(crate) fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    let tenths = |unit: u128, name: &str| {
        let tenths = micros * 10 / unit;
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    };
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => tenths(1_000, "ms"),
        _ => tenths(1_000_000, "s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("4096", 4096),
            ("0", 0),
            ("1B", 1),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("10MB", 10_000_000),
            ("1k", 1024),
            ("2T", 2 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5GiB", "1 x", "18446744073709551616", "99999999TiB", "１"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        for text in ["7", "", "d", "1y", "-1d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_numbers_are_shown() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(10 << 20), "10.0 MiB");
        assert_eq!(bytes((10 << 20) - 1), "9.9 MiB");
        assert_eq!(bytes(u64::MAX), "16383.9 PiB");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(time(Duration::from_micros(999)), "999 µs");
        assert_eq!(time(Duration::from_micros(1_500)), "1.5 ms");
        assert_eq!(time(Duration::from_millis(2_350)), "2.3 s");
    }
}
