//! Numbers, times and quotations as sentences for people have them.

use jiff::Timestamp;

/// µs.
const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Letters of a reply that a summary quotes.
const QUOTED: usize = 200;

/// "10,000".
pub fn number(value: impl Into<u64>) -> String {
    let digits = value.into().to_string();
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

/// "3.3", "1,240": a mean is whole where it is large, with one digit behind the point where it isn't.
pub fn mean(value: f32) -> String {
    if value >= 10.0 || value == 0.0 { number(value.round() as u64) } else { format!("{value:.1}") }
}

/// "15:40 UTC", with the date where it isn't `now`'s. Both µs since 1970.
pub fn clock(at: u64, now: u64) -> String {
    let Some(time) = timestamp(at) else { return "an unknown time".to_owned() };
    if at / DAY == now / DAY { time.strftime("%H:%M UTC").to_string() } else { time.strftime("%Y-%m-%d %H:%M UTC").to_string() }
}

/// "2026-11-23".
pub fn date(at: u64) -> String {
    timestamp(at).map_or_else(String::new, |time| time.strftime("%Y-%m-%d").to_string())
}

fn timestamp(at: u64) -> Option<Timestamp> {
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

/// Words of others in one line, shortened, without control characters: hostile text, escaped where it is shown.
pub fn quoted<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> String {
    let between = |letter: char| letter.is_whitespace() || letter.is_control();
    let mut words = String::new();
    for line in lines {
        for word in line.as_ref().split(between).filter(|word| !word.is_empty()) {
            if words.chars().count() + word.chars().count() > QUOTED {
                let room = QUOTED.saturating_sub(words.chars().count());
                words.extend(word.chars().take(if words.is_empty() { room } else { 0 }));
                words.push('…');
                return words;
            }
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
    }
    words
}

/// A word of a command as a shell takes it: whatever it is made of, it stays that word.
pub fn in_shell(word: &str) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/._-:@+=,".contains(&octet);
    if !word.is_empty() && word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!([number(0u64), number(999u64), number(10_000u64), number(1_234_567u64)], ["0", "999", "10,000", "1,234,567"]);
        assert_eq!(several(1, "login", "logins"), "1 login");
        let monday = 1_795_392_000_000_000;
        assert_eq!(clock(monday + 15 * HOUR + 40 * MINUTE, monday), "15:40 UTC");
        assert_eq!(clock(monday + DAY, monday), "2026-11-24 00:00 UTC");
        assert_eq!([span(40 * SECOND), span(12 * MINUTE), span(3 * HOUR), span(3 * DAY)], ["40 s", "12 min", "3 h", "3 days"]);
        assert_eq!([took(350_000), took(12 * SECOND), took(45_000)], ["0.35 s", "12 s", "45 ms"]);
        assert_eq!(share(37, 40), "37 of 40 (92 %)");
        assert_eq!([mean(0.0), mean(3.26), mean(1_239.6)], ["0", "3.3", "1,240"]);
        assert_eq!(share(0, 0), "0 of 0 (0 %)");
    }

    #[test]
    fn a_long_reply_is_cut_at_a_word() {
        assert_eq!(quoted(["5.4.5 Daily quota", "exceeded\u{1b}\r\n"]), "5.4.5 Daily quota exceeded");
        let long = "word ".repeat(100);
        let cut = quoted([&long]);
        assert!(cut.chars().count() <= QUOTED + 1 && cut.ends_with("word…"), "{cut}");
        assert_eq!(quoted(["x".repeat(500)]).chars().count(), QUOTED + 1);
    }

    #[test]
    fn a_word_for_a_shell_stays_a_word() {
        assert_eq!(in_shell("bob+x@example.org"), "bob+x@example.org");
        for (word, written) in
            [("", "''"), ("bo`id`@x.example", "'bo`id`@x.example'"), ("o'brien@x", r"'o'\''brien@x'"), ("$(id)", "'$(id)'"), ("~a", "'~a'")]
        {
            assert_eq!(in_shell(word), written);
        }
    }
}
