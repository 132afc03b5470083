//! Numbers, times and quotations as findings say them.

use jiff::Timestamp;

use super::window::{DAY, HOUR, MINUTE, SECOND};
use crate::trace::WallMicros;

/// Letters of a reply that a summary quotes.
const QUOTED: usize = 200;

/// "10,000".
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// "1 login", "1,200 logins".
pub fn several(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// "15:40 UTC", with the date where it isn't `now`'s.
pub fn clock(at: WallMicros, now: WallMicros) -> String {
    let Some(time) = timestamp(at) else { return "an unknown time".to_owned() };
    if at / DAY == now / DAY { time.strftime("%H:%M UTC").to_string() } else { time.strftime("%Y-%m-%d %H:%M UTC").to_string() }
}

/// "2026-11-23".
pub fn date(at: WallMicros) -> String {
    timestamp(at).map_or_else(String::new, |time| time.strftime("%Y-%m-%d").to_string())
}

fn timestamp(at: WallMicros) -> Option<Timestamp> {
    let micros = i64::try_from(at).ok()?;
    Timestamp::from_microsecond(micros).ok()
}

/// "40 s", "12 min", "3 h", "2 days".
pub fn span(us: u64) -> String {
    match us {
        _ if us < SECOND => format!("{} ms", us / 1_000),
        _ if us < 2 * MINUTE => format!("{} s", us / SECOND),
        _ if us < 2 * HOUR => format!("{} min", us / MINUTE),
        _ if us < 2 * DAY => format!("{} h", us / HOUR),
        _ => format!("{} days", us / DAY),
    }
}

/// "0.35 s", "12 s": how long something took.
pub fn took(us: u64) -> String {
    match us {
        _ if us < 1_000 => format!("{us} µs"),
        _ if us < 100_000 => format!("{} ms", us / 1_000),
        _ if us < 10 * SECOND => format!("{:.2} s", us as f64 / 1e6),
        _ => format!("{} s", us / SECOND),
    }
}

/// "37 of 40 (92 %)".
pub fn share(part: u64, whole: u64) -> String {
    format!("{} of {} ({} %)", number(part), number(whole), part.saturating_mul(100).checked_div(whole).unwrap_or(0))
}

/// A reply's words in one line, shortened: hostile text, escaped where it is shown.
pub fn quoted<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut words = String::new();
    for word in lines.flat_map(str::split_whitespace) {
        if words.chars().count() + word.chars().count() > QUOTED {
            let room = QUOTED.saturating_sub(words.chars().count());
            words.extend(word.chars().take(if words.is_empty() { room } else { 0 }));
            words.push('…');
            break;
        }
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!([number(0), number(999), number(10_000), number(1_234_567)], ["0", "999", "10,000", "1,234,567"]);
        assert_eq!(several(1, "login", "logins"), "1 login");
        let monday = 1_795_392_000_000_000;
        assert_eq!(clock(monday + 15 * HOUR + 40 * MINUTE, monday), "15:40 UTC");
        assert_eq!(clock(monday + DAY, monday), "2026-11-24 00:00 UTC");
        assert_eq!([span(40 * SECOND), span(12 * MINUTE), span(3 * HOUR), span(3 * DAY)], ["40 s", "12 min", "3 h", "3 days"]);
        assert_eq!([took(350_000), took(12 * SECOND), took(45_000)], ["0.35 s", "12 s", "45 ms"]);
        assert_eq!(share(37, 40), "37 of 40 (92 %)");
        assert_eq!(share(0, 0), "0 of 0 (0 %)");
    }

    #[test]
    fn a_long_reply_is_cut_at_a_word() {
        assert_eq!(quoted(["5.4.5 Daily quota", "exceeded"].into_iter()), "5.4.5 Daily quota exceeded");
        let long = "word ".repeat(100);
        let cut = quoted([long.as_str()].into_iter());
        assert!(cut.chars().count() <= QUOTED + 1 && cut.ends_with("word…"), "{cut}");
        assert_eq!(quoted(["x".repeat(500).as_str()].into_iter()).chars().count(), QUOTED + 1);
    }
}
