//! What a refusal says of the limit: "Daily sending quota of 2000 messages", "10,000 a day", "(120/100) emails per hour".

use super::options::{Counts, Period};
use crate::anomaly::window::{DAY, HOUR, MINUTE, SECOND};

/// Words of a reply that are looked at.
const MOST_WORDS: usize = 120;
/// A number may stand so many words from what makes it a limit.
const REACH: usize = 4;

/// A limit as a reply tells it; each part may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Said {
    pub limit: Option<u64>,
    pub per: Option<Period>,
    /// The limit is one for that span, which is none of the periods that are counted. µs.
    pub span_us: Option<u64>,
    pub counts: Option<Counts>,
}

/// Reads a reply's lines.
pub fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Said {
    let words: Vec<String> = lines.flat_map(str::split_whitespace).take(MOST_WORDS).map(plain).filter(|word| !word.is_empty()).collect();
    let mut said = Said::default();
    for (place, word) in words.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|at| words.get(at)).map(String::as_str).unwrap_or_default();
        let after = words.get(place + 1).map(String::as_str).unwrap_or_default();
        if said.per.is_none() && said.span_us.is_none() {
            said.per = period(before, word, after);
            match span(&words, place) {
                Some(HOUR) => said.per = Some(Period::Hour),
                Some(DAY) => said.per = Some(Period::Day),
                Some(other) => (said.per, said.span_us) = (None, Some(other)),
                None => {}
            }
        }
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

/// The span of "per minute", "in 10 minutes", "10-minute", "2000 a month", "weekly", whose last word is the one at `place`. How long the
/// client is asked to wait is none.
fn span(words: &[String], place: usize) -> Option<u64> {
    let word = words.get(place)?.as_str();
    let earlier = |back: usize| place.checked_sub(back).and_then(|at| words.get(at)).map(String::as_str).unwrap_or_default();
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|octet| octet.is_ascii_digit());
    let (joined, last) = word.rsplit_once(['/', '-']).unwrap_or(("", word));
    let (digits, unit) = last.split_at_checked(last.bytes().take_while(u8::is_ascii_digit).count())?;
    let unit = match unit {
        "weekly" => return Some(7 * DAY),
        "monthly" => return Some(30 * DAY),
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE,
        "h" | "hr" | "hrs" | "hour" | "hours" => HOUR,
        "d" | "day" | "days" => DAY,
        "week" | "weeks" => 7 * DAY,
        "month" | "months" => 30 * DAY,
        _ => return None,
    };
    let (number, back) = match () {
        () if !digits.is_empty() => (digits, 1),
        () if is_number(joined) && word.contains('-') => (joined, 1),
        () if joined.is_empty() && is_number(earlier(1)) => (earlier(1), 2),
        () => ("1", 1),
    };
    let leads = !joined.is_empty() || ["per", "a", "an", "each", "every", "past", "last", "in", "within", "over"].contains(&earlier(back));
    let is_pause = (back..back + 3).any(|back| ["again", "wait", "retry", "later", "after"].contains(&earlier(back)));
    let number = number.parse::<u64>().ok().filter(|number| (1..=1_000).contains(number) && leads && !is_pause)?;
    Some(number * unit)
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
        assert_eq!(read(text.lines()), Said { limit, per, span_us: None, counts }, "{text}");
    }

    #[track_caller]
    fn check_span(text: &str, span_us: Option<u64>, per: Option<Period>) {
        let said = read(text.lines());
        assert_eq!((said.span_us, said.per), (span_us, per), "{text}");
    }

    #[test]
    fn a_limit_for_another_span_is_none_for_a_day() {
        check_span("4.7.1 sending limit of 50 messages per 10 minutes reached", Some(10 * MINUTE), None);
        check_span("4.7.1 rate limit of 30 messages per minute exceeded", Some(MINUTE), None);
        check_span("4.7.1 more than 5 messages/second", Some(SECOND), None);
        check_span("4.7.1 limit 100/min", Some(MINUTE), None);
        check_span("max 200 recipients in 15min", Some(15 * MINUTE), None);
        check_span("10-minute limit of 500 messages", Some(10 * MINUTE), None);
        check_span("quota of 500 messages in the last 2 hours", Some(2 * HOUR), None);
        check_span("weekly limit of 1000 messages reached", Some(7 * DAY), None);
        check_span("you may send 20,000 mails a month", Some(30 * DAY), None);
        check_span("plan allows 3000 emails per month", Some(30 * DAY), None);
        check_span("limit of 100 per 60 minutes", None, Some(Period::Hour));
        check_span("limit of 100 per 24 hours", None, Some(Period::Day));
        // How long to wait says nothing of what is counted.
        check_span("Daily sending quota of 2000 messages exceeded, try again in 10 minutes", None, Some(Period::Day));
        check_span("sending limit exceeded, try again in 10 minutes", None, None);
        check_span("too many messages, wait 60 minutes", None, None);
        check_span("sending limit of 200 messages reached, retry after 30 minutes", None, None);
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
