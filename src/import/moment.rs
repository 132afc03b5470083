//! The times that logs write: with and without year, time zone and fractions.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::dates::Dates;
use crate::trace::WallMicros;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// The clock of the file's system may go a little behind that of the log's.
const AHEAD: i64 = DAY;

/// Turns what a log writes into Unix time. It remembers the year, which syslog leaves out, the zone's offset, which rarely changes, and
/// whether day or month comes first.
#[derive(Debug, Clone)]
pub struct Clock {
    zone: TimeZone,
    known: Hour,
    /// The last stamp without a zone. Unix seconds.
    last: Option<i64>,
    years: Years,
    pub dates: Dates,
}

/// An hour of local time since 1970, and what the zone is ahead of UTC in it, in seconds; in autumn it comes twice.
#[derive(Debug, Clone, Copy, Default)]
struct Hour {
    number: Option<i64>,
    ahead: i64,
    again: Option<i64>,
    /// Lines have gone back within it.
    is_again: bool,
}

/// A line so much older than the one before isn't late: the hour has come again. Seconds.
const BACK: i64 = 600;
/// Once it has, a line of the first one is at most so late. Seconds.
const LATE: i64 = 60;

/// The year of stamps without one: the newest that isn't in the future where the file begins, then on across New Year.
#[derive(Debug, Clone)]
struct Years {
    /// When the last line was written, at the latest: seconds of local time since 1970.
    until: i64,
    /// How often the year changes from the first line to the last.
    turns: i64,
    current: Option<(i64, i64)>,
}

impl Clock {
    /// `until`: when the file was last written to. `turns`: how often its months begin anew ([`Turns`]).
    pub fn new(zone: TimeZone, until: WallMicros, turns: i64) -> Self {
        let until = i64::try_from(until).unwrap_or(i64::MAX) / SECOND;
        // The stamps are of the zone, and so is the year: on New Year's morning it is another than UTC's.
        let ahead = Timestamp::from_second(until).map_or(0, |it| i64::from(zone.to_offset(it).seconds()));
        let until = until.saturating_add(ahead);
        Self { zone, known: Hour::default(), last: None, years: Years { until, turns, current: None }, dates: Dates::default() }
    }

    /// `2026-11-26T10:02:03.123456+01:00` and its relatives: a blank for the T, a comma for the point, no fraction, no zone, a zone behind a
    /// blank. With what follows.
    pub fn iso<'a>(&mut self, text: &'a str) -> Option<(WallMicros, &'a str)> {
        let octets = text.as_bytes();
        if octets.get(4) != Some(&b'-') || octets.get(7) != Some(&b'-') || !matches!(octets.get(10), Some(b'T' | b' ')) {
            return None;
        }
        let (year, month, day) = (number(octets, 0, 4)?, number(octets, 5, 2)?, number(octets, 8, 2)?);
        let (seconds, rest) = time_of_day(text.get(11..)?)?;
        let (fraction, rest) = fraction(rest);
        let local = civil(year, month, day)? * DAY + seconds;
        let (offset, rest) = match zone(rest) {
            Some((offset, rest)) => (offset, rest),
            None => (self.offset(local), rest),
        };
        Some((micros(local - offset, fraction)?, rest))
    }

    /// `Nov 26 10:02:03` (RFC 3164 4.1.2), also with a fraction. With what follows.
    pub fn traditional<'a>(&mut self, text: &'a str) -> Option<(WallMicros, &'a str)> {
        let (month, day, behind) = month_and_day(text)?;
        let (seconds, rest) = time_of_day(text.get(behind..)?)?;
        let (fraction, rest) = fraction(rest);
        let year = self.years.of(month, day);
        // A 29th of February in another year: the nearest that has one.
        let date = civil(year, month, day).or_else(|| (1..4).find_map(|back| civil(year - back, month, day)))?;
        let local = date * DAY + seconds;
        let offset = self.offset(local);
        Some((micros(local - offset, fraction)?, rest))
    }

    /// `11/26/2026 10:02:03 AM`, `26.11.2026 10:02:03`, `11/26/26 10:02:03`, `2026/11/26 10:02:03`, `26-11-2026 10:02:03`: as systems write
    /// times for people. With slashes the lines of the log tell whether day or month comes first ([`Dates`]). With what follows.
    pub fn civil<'a>(&mut self, text: &'a str) -> Option<(WallMicros, &'a str)> {
        let end = text.find(|c: char| !c.is_ascii_digit() && !"/.-".contains(c))?;
        let date = text.get(..end)?;
        let mark = date.chars().find(|c| !c.is_ascii_digit())?;
        let mut parts = date.split(mark).map(|it| (it.len() <= 4).then(|| it.parse::<i64>().ok()).flatten());
        let (first, second, third) = (parts.next()??, parts.next()??, parts.next()??);
        let behind = text.get(end..)?.strip_prefix([' ', 'T'])?.trim_start();
        // One digit for the hour is enough for people.
        let padded = if behind.as_bytes().get(1) == Some(&b':') { Some(format!("0{}", behind.get(..7)?)) } else { None };
        let (mut seconds, rest) = match &padded {
            Some(padded) => (time_of_day(padded)?.0, behind.get(7..)?),
            None => time_of_day(behind)?,
        };
        let (fraction, rest) = fraction(rest);
        let half = rest.get(..3).unwrap_or_default();
        let rest = match half {
            " AM" | " PM" => rest.get(3..)?,
            _ => rest,
        };
        match half {
            " PM" if seconds < 12 * 3_600 => seconds += 12 * 3_600,
            " AM" if seconds >= 12 * 3_600 => seconds -= 12 * 3_600,
            _ => {}
        }
        let (year, month, day) = match mark {
            _ if first > 31 => (first, second, third),
            '/' => {
                let (month, day) = self.dates.month_and_day(first, second);
                (third, month, day)
            }
            _ => (third, second, first),
        };
        let year = if year < 100 { year + 2_000 } else { year };
        Some((self.local(year, month, day, seconds, fraction)?, rest))
    }

    /// The zone's own reading of a day and a time of day, in seconds.
    fn local(&mut self, year: i64, month: i64, day: i64, seconds: i64, fraction: i64) -> Option<WallMicros> {
        let local = civil(year, month, day)? * DAY + seconds;
        let offset = self.offset(local);
        micros(local - offset, fraction)
    }

    /// Seconds that local time is ahead of UTC then. Of the hour that comes twice the first one counts, until lines go back within it.
    fn offset(&mut self, local: i64) -> i64 {
        let hour = local.div_euclid(3_600);
        if self.known.number != Some(hour) {
            let (ahead, again) = self.look_up(local).unwrap_or_default();
            self.known = Hour { number: Some(hour), ahead, again, is_again: false };
        }
        let behind = self.last.map_or(0, |last| last.saturating_sub(local - self.known.ahead));
        self.known.is_again |= behind > BACK;
        let is_again = self.known.is_again && !(0..=LATE).contains(&behind);
        let ahead = self.known.again.filter(|_| is_again).unwrap_or(self.known.ahead);
        self.last = Some(local - ahead);
        ahead
    }

    fn look_up(&self, local: i64) -> Option<(i64, Option<i64>)> {
        let read: DateTime = TimeZone::UTC.to_datetime(Timestamp::from_second(local).ok()?);
        let read = self.zone.to_ambiguous_timestamp(read);
        let again = match read.offset() {
            AmbiguousOffset::Fold { after, .. } => Some(i64::from(after.seconds())),
            _ => None,
        };
        Some((local - read.compatible().ok()?.as_second(), again))
    }
}

impl Years {
    fn of(&mut self, month: i64, day: i64) -> i64 {
        let year = match self.current {
            None => {
                let year = year_of(self.until.saturating_add(AHEAD));
                let is_to_come = civil(year, month, day).is_none_or(|date| date.saturating_mul(DAY) > self.until.saturating_add(AHEAD));
                // With a turn in the file it is the last line that must not be in the future.
                if self.turns > 0 { year_of(self.until) - self.turns } else { year - i64::from(is_to_come) }
            }
            // Half a year back is New Year; half a year on is a line that came late.
            Some((year, before)) if month + 6 <= before => year + 1,
            Some((year, before)) if month > before + 6 => year - 1,
            Some((year, _)) => year,
        };
        self.current = Some((year, month));
        year
    }
}

/// Counts how often the months of a syslog file begin anew, without reading more of it than its stamps.
#[derive(Debug, Default)]
pub struct Turns {
    month: Option<i64>,
    turns: i64,
}

impl Turns {
    pub fn see(&mut self, line: &[u8]) {
        let Some(month) = line.get(..3).and_then(month_of) else { return };
        match self.month {
            Some(before) if month + 6 <= before => self.turns += 1,
            Some(before) if month > before + 6 => self.turns -= 1,
            _ => {}
        }
        self.month = Some(month);
    }

    pub fn count(&self) -> i64 {
        self.turns.max(0)
    }
}

/// Whether the line begins as traditional syslog does.
pub fn is_traditional(line: &[u8]) -> bool {
    line.get(..3).and_then(month_of).is_some() && line.get(3) == Some(&b' ')
}

fn month_of(name: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    MONTHS.iter().position(|it| it.as_slice() == name).map(|at| at as i64 + 1)
}

/// Month, day, and where the time begins.
fn month_and_day(text: &str) -> Option<(i64, i64, usize)> {
    let octets = text.as_bytes();
    let month = month_of(octets.get(..3)?)?;
    let (day, behind) = match octets.get(3..7)? {
        [b' ', b' ', day @ b'1'..=b'9', b' '] => (i64::from(day - b'0'), 7),
        [b' ', tens @ b'0'..=b'3', ones @ b'0'..=b'9', b' '] => (i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), 7),
        [b' ', day @ b'1'..=b'9', b' ', _] => (i64::from(day - b'0'), 6),
        _ => return None,
    };
    Some((month, day, behind))
}

/// `10:02:03` in seconds, and what follows. A leap second counts as the one before.
pub fn time_of_day(text: &str) -> Option<(i64, &str)> {
    let octets = text.as_bytes();
    let colons = octets.get(2) == Some(&b':') && octets.get(5) == Some(&b':');
    let (hour, minute, second) = (number(octets, 0, 2)?, number(octets, 3, 2)?, number(octets, 6, 2)?);
    if !colons || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some((hour * 3_600 + minute * 60 + second.min(59), text.get(8..)?))
}

/// `.123` or `,123456` in microseconds.
pub fn fraction(text: &str) -> (i64, &str) {
    let Some(digits) = text.strip_prefix(['.', ',']) else { return (0, text) };
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    if length == 0 {
        return (0, text);
    }
    let value = digits.bytes().take(length.min(6)).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let scale = (length..6).fold(1, |scale, _| scale * 10);
    (value * scale, digits.get(length..).unwrap_or_default())
}

/// `Z`, `+01:00`, ` +0100`: seconds ahead of UTC.
fn zone(text: &str) -> Option<(i64, &str)> {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return Some((0, rest));
    }
    let signed = text.strip_prefix(' ').unwrap_or(text);
    let sign = match signed.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let octets = signed.as_bytes();
    let (minutes, length) = if octets.get(3) == Some(&b':') { (number(octets, 4, 2)?, 6) } else { (number(octets, 3, 2)?, 5) };
    let hours = number(octets, 1, 2)?;
    let rest = signed.get(length..)?;
    if hours > 23 || minutes > 59 || rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    Some((sign * (hours * 3_600 + minutes * 60), rest))
}

fn number(octets: &[u8], from: usize, length: usize) -> Option<i64> {
    octets.get(from..from + length)?.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Days since 1970 of a day in the Gregorian calendar; `None` where there is no such day.
fn civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || !(1970..=9_999).contains(&year) {
        return None;
    }
    // Years begin in March, so that the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn year_of(seconds: i64) -> i64 {
    Timestamp::from_second(seconds).map_or(1970, |it| i64::from(TimeZone::UTC.to_datetime(it).year()))
}

fn micros(seconds: i64, fraction: i64) -> Option<WallMicros> {
    u64::try_from(seconds.checked_mul(SECOND)?.checked_add(fraction)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::dates::DateOrder;

    fn at(text: &str) -> WallMicros {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_microsecond()).unwrap()
    }

    fn berlin() -> Clock {
        Clock::new(TimeZone::get("Europe/Berlin").unwrap(), at("2026-11-26T23:00:00Z"), 0)
    }

    #[track_caller]
    fn check_iso(text: &str, expected: &str, rest: &str) {
        assert_eq!(berlin().iso(text), Some((at(expected), rest)), "{text}");
    }

    #[test]
    fn iso_times_are_read() {
        check_iso("2026-11-26T10:02:03.123456+01:00 host", "2026-11-26T09:02:03.123456Z", " host");
        check_iso("2026-11-26T10:02:03Z,x", "2026-11-26T10:02:03Z", ",x");
        check_iso("2026-11-26 10:02:03 1r5abc", "2026-11-26T09:02:03Z", " 1r5abc");
        check_iso("2026-07-26 10:02:03,5 x", "2026-07-26T08:02:03.5Z", " x");
        check_iso("2026-11-26 10:02:03.123 -0530 x", "2026-11-26T15:32:03.123Z", " x");
        check_iso("2026-11-26T10:02:03.1234567Z", "2026-11-26T10:02:03.123456Z", "");
        check_iso("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z", "");
        for wrong in ["2026-13-26T10:02:03Z", "2026-02-29T10:02:03Z", "2026-11-26T24:02:03Z", "2026-11-26", "2026/11/26 10:02:03", "", "ü"]
        {
            assert_eq!(berlin().iso(wrong), None, "{wrong}");
        }
    }

    /// Stamps in the order of a file, with what comes out in UTC.
    #[track_caller]
    fn check_years(until: &str, turns: i64, stamps: &[(&str, &str)]) {
        let mut clock = Clock::new(TimeZone::UTC, at(until), turns);
        for (stamp, expected) in stamps {
            assert_eq!(clock.traditional(stamp), Some((at(expected), "")), "{stamp}");
        }
    }

    #[test]
    fn the_year_comes_from_the_file() {
        check_years(
            "2026-11-26T23:00:00Z",
            0,
            &[("Nov 26 10:02:03", "2026-11-26T10:02:03Z"), ("Nov  6 10:02:03.5", "2026-11-06T10:02:03.5Z")],
        );
        // Rotated in January, written to in December only.
        check_years("2026-01-02T00:00:00Z", 0, &[("Dec 31 23:59:59", "2025-12-31T23:59:59Z")]);
        check_years("2026-01-02T00:00:00Z", 1, &[("Dec 31 23:59:59", "2025-12-31T23:59:59Z"), ("Jan  1 00:00:01", "2026-01-01T00:00:01Z")]);
        // Two of them in one file, and a line that comes late.
        let long = [
            ("Nov 30 00:00:00", "2024-11-30T00:00:00Z"),
            ("Feb 28 00:00:00", "2025-02-28T00:00:00Z"),
            ("Jul 28 00:00:00", "2025-07-28T00:00:00Z"),
            ("Jan  1 00:00:00", "2026-01-01T00:00:00Z"),
            ("Dec 31 23:59:59", "2025-12-31T23:59:59Z"),
            ("Jan  1 00:00:02", "2026-01-01T00:00:02Z"),
        ];
        check_years("2026-01-02T00:00:00Z", 2, &long);
        // A clock that is a little ahead of the file's.
        check_years("2025-12-31T23:59:00Z", 0, &[("Jan  1 00:00:05", "2026-01-01T00:00:05Z")]);
        check_years("2026-11-26T23:00:00Z", 0, &[("Feb 29 10:00:00", "2024-02-29T10:00:00Z")]);
        assert_eq!(berlin().traditional("Nov 32 10:00:00"), None);
        assert_eq!(berlin().traditional("Nov 26 10:00"), None);
    }

    /// East of UTC a year begins earlier.
    #[test]
    fn the_year_is_the_zones() {
        let mut clock = Clock::new(TimeZone::get("Asia/Tokyo").unwrap(), at("2025-12-31T21:25:00Z"), 1);
        assert_eq!(clock.traditional("Dec 31 23:59:59"), Some((at("2025-12-31T14:59:59Z"), "")));
        assert_eq!(clock.traditional("Jan  1 06:25:00"), Some((at("2025-12-31T21:25:00Z"), "")));
        let mut clock = Clock::new(TimeZone::get("America/New_York").unwrap(), at("2026-01-01T03:00:00Z"), 0);
        assert_eq!(clock.traditional("Dec 31 22:00:00"), Some((at("2026-01-01T03:00:00Z"), "")));
    }

    #[test]
    fn times_for_people_are_read() {
        let of = |text| berlin().civil(text).map(|(time, rest)| (time, rest.to_owned()));
        let expected = |time, rest: &str| Some((at(time), rest.to_owned()));
        assert_eq!(of("11/26/2026 10:02:03 AM  Router"), expected("2026-11-26T09:02:03Z", "  Router"));
        assert_eq!(of("11/26/2026 12:02:03 AM x"), expected("2026-11-25T23:02:03Z", " x"));
        assert_eq!(of("11/26/26  1:02:03 PM x"), expected("2026-11-26T12:02:03Z", " x"));
        assert_eq!(of("26/11/2026 10:02:03   x"), expected("2026-11-26T09:02:03Z", "   x"));
        assert_eq!(of("26.11.2026 10:02:03 x"), expected("2026-11-26T09:02:03Z", " x"));
        assert_eq!(of("2026.11.26 10:02:03.5 x"), expected("2026-11-26T09:02:03.5Z", " x"));
        for wrong in ["", "x", "1/2", "13/13/2026 10:02:03", "11/26/2026", "11/26/2026 10:02", "11/26/2026 1:ü"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn day_and_month_keep_their_places() {
        let (mut clock, noon) = (berlin(), |date: &str| Some((at(&format!("{date}T11:00:00Z")), "")));
        assert_eq!(clock.civil("11/12/2026 12:00:00"), noon("2026-11-12"));
        assert_eq!((clock.dates.order(), clock.dates.guessed), (None, 1));
        assert_eq!(clock.civil("13/11/2026 12:00:00"), noon("2026-11-13"));
        assert_eq!(clock.civil("01/12/2026 12:00:00"), noon("2026-12-01"));
        assert_eq!((clock.dates.order(), clock.dates.guessed), (Some(DateOrder::DayFirst), 1));
        clock.dates = Dates::new(Some(DateOrder::DayFirst));
        assert_eq!(clock.civil("11/26/2026 12:00:00"), noon("2026-11-26"));
        assert_eq!(clock.civil("01/12/2026 12:00:00"), noon("2026-12-01"));
        assert_eq!(clock.dates.guessed, 0);
        clock.dates = Dates::default();
        assert_eq!(clock.civil("12/12/2026 12:00:00"), noon("2026-12-12"));
        assert_eq!(clock.dates.guessed, 0);
    }

    #[test]
    fn turns_are_counted() {
        let mut turns = Turns::default();
        for line in ["Nov 30 x", "Feb 28 x", "rubbish", "Jul 1", "Jan 1", "Dec 31", "Jan 1"] {
            turns.see(line.as_bytes());
        }
        assert_eq!(turns.count(), 2);
    }

    #[test]
    fn summer_time_is_known() {
        let mut clock = berlin();
        assert_eq!(clock.local(2026, 3, 29, 3 * 3_600, 0), Some(at("2026-03-29T01:00:00Z")));
        assert_eq!(clock.local(2026, 3, 29, 3_600, 0), Some(at("2026-03-29T00:00:00Z")));
        assert_eq!(clock.local(2026, 10, 25, 2 * 3_600, 7), Some(at("2026-10-25T00:00:00.000007Z")));
        assert_eq!(clock.local(1970, 1, 1, 0, 0), None); // before 1970 in UTC
    }

    #[test]
    fn the_hour_that_comes_twice_comes_twice() {
        let mut clock = berlin();
        for (stamp, expected) in [
            ("Oct 25 01:59:00", "2026-10-24T23:59:00Z"),
            ("Oct 25 02:50:00", "2026-10-25T00:50:00Z"),
            ("Oct 25 02:49:58", "2026-10-25T00:49:58Z"), // late
            ("Oct 25 02:59:59", "2026-10-25T00:59:59Z"),
            ("Oct 25 02:00:05", "2026-10-25T01:00:05Z"),
            ("Oct 25 02:59:59", "2026-10-25T00:59:59Z"), // late
            ("Oct 25 02:05:00", "2026-10-25T01:05:00Z"),
            ("Oct 25 02:59:00", "2026-10-25T01:59:00Z"),
            ("Oct 25 03:00:00", "2026-10-25T02:00:00Z"),
        ] {
            assert_eq!(clock.traditional(stamp), Some((at(expected), "")), "{stamp}");
        }
    }
}
