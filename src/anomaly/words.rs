//! Numbers, times and foreign words as incidents say them.

use crate::anomaly::window::{DAY, HOUR, MINUTE};
use crate::trace::WallMicros;

/// "14:05 UTC" of the same day as `now`, else "Mon 2026-11-23 14:05 UTC".
pub(super) fn clock(at: WallMicros, now: WallMicros) -> String {
    let form = if at / DAY == now / DAY { "%H:%M UTC" } else { "%a %Y-%m-%d %H:%M UTC" };
    match i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok()) {
        Some(time) => time.strftime(form).to_string(),
        None => format!("{at} µs"),
    }
}

/// "45 s", "12 min", "3 h", "2 days".
pub(super) fn span(us: u64) -> String {
    match us {
        _ if us < 2 * MINUTE => format!("{} s", us / 1_000_000),
        _ if us < 3 * HOUR => format!("{} min", us / MINUTE),
        _ if us < 3 * DAY => format!("{} h", us / HOUR),
        _ => format!("{} days", us / DAY),
    }
}

/// "1,240".
pub(super) fn count(number: impl Into<u64>) -> String {
    super::wording::number(number.into())
}

/// A mean: whole where it is large, with one digit behind the point where it isn't.
pub(super) fn mean(number: f32) -> String {
    if number >= 10.0 || number == 0.0 { count(number.round() as u64) } else { format!("{number:.1}") }
}

/// Foreign text, in one line and short. Whoever shows it escapes it.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 160;
    let short: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(MOST).collect();
    if text.chars().nth(MOST).is_some() { format!("{short}…") } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::MONDAY;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!((count(7u64), count(1_240u64), count(1_234_567u64)), ("7".into(), "1,240".into(), "1,234,567".into()));
        assert_eq!((mean(0.0), mean(3.26), mean(1_239.6)), ("0".into(), "3.3".into(), "1,240".into()));
        assert_eq!(clock(MONDAY + 14 * HOUR + 5 * MINUTE, MONDAY + 15 * HOUR), "14:05 UTC");
        assert_eq!(clock(MONDAY, MONDAY + DAY), "Mon 2026-11-23 00:00 UTC");
        assert_eq!([span(45_000_000), span(12 * MINUTE), span(5 * HOUR), span(4 * DAY)], ["45 s", "12 min", "5 h", "4 days"]);
        assert_eq!(quoted(&"x\n".repeat(100)).chars().count(), 161);
    }
}
