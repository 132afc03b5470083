//! Ranges as people write them: `>10M`, `<=50ms`, `10k..1M`.

use std::ops::RangeInclusive;

const SIZES: &[(&str, u64)] = &[("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("", 1)];
const DURATIONS: &[(&str, u64)] = &[("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

/// Octets.
pub fn size(text: &str) -> Option<RangeInclusive<u64>> {
    range(text, SIZES)
}

/// µs.
pub fn duration(text: &str) -> Option<RangeInclusive<u64>> {
    range(text, DURATIONS)
}

/// Without a sign: at least.
fn range(text: &str, units: &[(&str, u64)]) -> Option<RangeInclusive<u64>> {
    let number = |text: &str| number(text, units);
    if let Some((least, most)) = text.split_once("..") {
        let (least, most) = (if least.is_empty() { 0 } else { number(least)? }, if most.is_empty() { u64::MAX } else { number(most)? });
        return (least <= most && text.len() > 2).then_some(least..=most);
    }
    if let Some(most) = text.strip_prefix("<=") {
        return Some(0..=number(most)?);
    }
    if let Some(most) = text.strip_prefix('<') {
        return Some(0..=number(most)?.checked_sub(1)?);
    }
    if let Some(least) = text.strip_prefix(">=") {
        return Some(number(least)?..=u64::MAX);
    }
    match text.strip_prefix('>') {
        Some(least) => Some(number(least)?.checked_add(1)?..=u64::MAX),
        None => Some(number(text)?..=u64::MAX),
    }
}

fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor)?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_have_units_and_two_ends() {
        let cases = [
            (">10M", Some((10 << 20) + 1..=u64::MAX)),
            (">=10M", Some(10 << 20..=u64::MAX)),
            ("<4k", Some(0..=4095)),
            ("<=4k", Some(0..=4096)),
            ("12", Some(12..=u64::MAX)),
            ("1k..2K", Some(1024..=2048)),
            ("..5", Some(0..=5)),
            ("5..", Some(5..=u64::MAX)),
            ("2k..1k", None),
            ("..", None),
            ("<0", None),
            (">", None),
            ("10x", None),
            ("-1", None),
            ("99999999999999999999", None),
            (">18446744073709551615", None),
            ("18446744073709551615k", None),
        ];
        for (text, expected) in cases {
            assert_eq!(size(text), expected, "{text}");
        }
        assert_eq!(duration("1s..5s"), Some(1_000_000..=5_000_000));
        assert_eq!(duration("5"), None, "5 of what?");
    }
}
