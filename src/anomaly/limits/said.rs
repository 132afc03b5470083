//! What a refusal says of the limit: "Daily sending quota of 2000 messages", "10,000 a day", "(120/100) emails per hour".

use super::options::{Counts, Period};

/// Words of a reply that are looked at.
const MOST_WORDS: usize = 120;
/// A number may stand so many words from what makes it a limit.
const REACH: usize = 4;

/// A limit as a reply tells it; each part may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Said {
    pub limit: Option<u64>,
    pub per: Option<Period>,
    pub counts: Option<Counts>,
}

/// Reads a reply's lines.
pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Said {
    let words: Vec<String> = lines.flat_map(str::split_whitespace).take(MOST_WORDS).map(plain).filter(|word| !word.is_empty()).collect();
    let mut said = Said::default();
    for (place, word) in words.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|at| words.get(at)).map(String::as_str).unwrap_or_default();
        let after = words.get(place + 1).map(String::as_str).unwrap_or_default();
        said.per = said.per.or(period(before, word, after));
        said.counts = said.counts.or(counted(word));
        if said.limit.is_none() && !is_duration(after) && limits(&words, place) {
            said.limit = value(word);
        }
    }
    said
}

/// In small letters, without what stands around a word.
fn plain(word: &str) -> String {
    word.trim_matches(|it: char| !it.is_alphanumeric() && it != '%').chars().take(40).collect::<String>().to_lowercase()
}

/// A number that can be a limit: "2000", "10,000", "10.000", of "120/100" the second. No status code, no percentage, no address.
fn value(word: &str) -> Option<u64> {
    let word = word.rsplit_once('/').filter(|(first, _)| grouped(first).is_some()).map_or(word, |(_, second)| second);
    let word = word.split('/').next().unwrap_or(word);
    grouped(word).filter(|&value| (5..=100_000_000).contains(&value))
}

fn grouped(word: &str) -> Option<u64> {
    let mut parts = word.split([',', '.', '\'']);
    let first = parts.next()?;
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|octet| octet.is_ascii_digit());
    let rest: Vec<&str> = parts.collect();
    let whole = digits(first) && (rest.is_empty() || first.len() <= 3) && rest.iter().all(|it| it.len() == 3 && digits(it));
    whole.then(|| word.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()).flatten()
}

/// What a limit's number stands near to.
fn limits(words: &[String], place: usize) -> bool {
    let near = |words: &[String], known: &[&str]| words.iter().any(|word| known.iter().any(|known| word.starts_with(known)));
    let before = words.get(place.saturating_sub(REACH)..place).unwrap_or_default();
    let behind = words.get(place + 1..(place + 1 + REACH).min(words.len())).unwrap_or_default();
    let own = words.get(place).is_some_and(|word| word.contains('/') && !word.starts_with('/'));
    let (limit, unit) = (["limit", "quota", "max", "exceed", "allow", "credit", "contingent", "cap"], UNITS);
    near(before, &limit) && (own || place > 0) || near(behind.get(..2.min(behind.len())).unwrap_or_default(), unit) || near_period(behind)
}

/// What is counted, and by what.
const UNITS: &[&str] = &["message", "mail", "email", "e-mail", "recipient", "rcpt", "destinat"];

fn near_period(behind: &[String]) -> bool {
    match behind {
        [word, ..] if ["daily", "hourly", "/day", "/hour"].contains(&word.as_str()) => true,
        [word, next, ..] => ["per", "a", "an", "each", "every", "in"].contains(&word.as_str()) && is_period(next),
        _ => false,
    }
}

fn is_period(word: &str) -> bool {
    ["day", "hour", "24"].iter().any(|known| word.starts_with(known))
}

fn is_duration(word: &str) -> bool {
    ["hour", "hr", "h", "min", "minute", "sec", "second", "day", "week"].iter().any(|known| word == *known || word == format!("{known}s"))
}

fn period(before: &str, word: &str, after: &str) -> Option<Period> {
    match word {
        "daily" | "day" | "per-day" | "24h" | "24-hour" | "täglich" | "jour" | "día" => Some(Period::Day),
        "hourly" | "hour" | "per-hour" | "1h" => Some(Period::Hour),
        "hours" | "hrs" | "h" if before == "24" => Some(Period::Day),
        "24" if after.starts_with("hour") => Some(Period::Day),
        _ if word.ends_with("/day") => Some(Period::Day),
        _ if word.ends_with("/hour") || word.ends_with("/hr") => Some(Period::Hour),
        _ => None,
    }
}

fn counted(word: &str) -> Option<Counts> {
    match word {
        _ if word.starts_with("recipient") || word.starts_with("rcpt") => Some(Counts::Recipients),
        _ if ["message", "email", "e-mail", "mails"].iter().any(|known| word.starts_with(known)) => Some(Counts::Messages),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, limit: Option<u64>, per: Option<Period>, counts: Option<Counts>) {
        assert_eq!(read(text.lines()), Said { limit, per, counts }, "{text}");
    }

    #[test]
    fn limits_are_read_out_of_refusals() {
        use Counts::{Messages, Recipients};
        use Period::{Day, Hour};
        check("4.7.1 Daily sending quota of 2000 messages is used up", Some(2_000), Some(Day), Some(Messages));
        check("5.7.1 you may send 10,000 a day, try tomorrow", Some(10_000), Some(Day), None);
        check("5.7.0 limit of 500 recipients per day reached for user bob@our.example", Some(500), Some(Day), Some(Recipients));
        check("our.example has exceeded the max emails per hour (120/100 (120%)) allowed", Some(100), Some(Hour), Some(Messages));
        check("4.7.0 rate limit: 300 messages in the past hour", Some(300), Some(Hour), Some(Messages));
        check("Sie dürfen höchstens 1.000 E-Mails senden", Some(1_000), None, Some(Messages));
        check("5.4.5 Daily user sending limit exceeded. See https://help.example/a/166852", None, Some(Day), None);
        check("4.5.3 too many recipients in the last 24 hours", None, Some(Day), Some(Recipients));
        check("too many messages, wait 60 minutes", None, None, Some(Messages));
        check("5.7.1 client 192.0.2.25 exceeded its quota", None, None, None);
        check("451 4.7.650 the mail server [198.51.100.7] has been limited", None, None, None);
        check("quota exceeded (500/500)", Some(500), None, None);
        check("550 too much 100% of quota", None, None, None);
        check("", None, None, None);
    }
}
