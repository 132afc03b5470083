//! Times as people write them in `since:` and `until:`.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::trace::WallMicros;

/// Which end of a span a time is for: a bare date begins it, or ends it inclusively.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Since,
    Until,
}

/// Reads `2h` (ago), `10:02` (the last time it was), `today`, `yesterday`, `2026-11-23`, `2026-11-23T10:02[:11][Z]`.
///
/// # Errors
/// In words for the one who typed it.
pub fn parse(text: &str, edge: Edge, now: Timestamp, zone: &TimeZone) -> Result<WallMicros, String> {
    let refuse = || format!("{text:?} is not a time: 2h, 30m, 3d, 10:02, today, yesterday, 2026-11-23 or 2026-11-23T10:02 are");
    let at = read(text, edge, now, zone).ok_or_else(refuse)?;
    u64::try_from(at.as_microsecond()).map_err(|_| refuse())
}

/// Reads a time to come: `30m`, `2h`, `3d` from now, or a date or moment as for [`parse`].
///
/// # Errors
/// In words for the one who typed it.
pub fn ahead(text: &str, now: Timestamp, zone: &TimeZone) -> Result<WallMicros, String> {
    let refuse = || format!("{text:?} is not a time to come: 30m, 2h, 3d, 2026-11-23 or 2026-11-23T10:02 are");
    let at = match ago(text) {
        Some(span) => now.checked_add(span).ok(),
        None => read(text, Edge::Until, now, zone),
    };
    let at = at.filter(|at| *at > now).ok_or_else(refuse)?;
    u64::try_from(at.as_microsecond()).map_err(|_| refuse())
}

fn read(text: &str, edge: Edge, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let today = now.to_zoned_datetime(zone.clone()).date();
    let on = |moment: DateTime| moment.to_zoned_datetime(zone.clone()).ok().map(|zoned| zoned.timestamp());
    let day = |date: Date| on(if edge == Edge::Until { date.tomorrow().ok()? } else { date }.to_datetime(Time::midnight()));
    match text {
        "now" => return Some(now),
        "today" => return day(today),
        "yesterday" => return day(today.yesterday().ok()?),
        _ => {}
    }
    if let Some(ago) = ago(text) {
        return now.checked_sub(ago).ok();
    }
    if text.len() == 10
        && let Ok(date) = text.parse::<Date>()
    {
        return day(date);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if text.contains('-')
        && let Ok(moment) = text.parse::<DateTime>()
    {
        return on(moment);
    }
    if text.contains(':')
        && let Ok(time) = text.parse::<Time>()
    {
        let at = on(today.to_datetime(time))?;
        return if at <= now { Some(at) } else { on(today.yesterday().ok()?.to_datetime(time)) };
    }
    None
}

/// `90s`, `30m`, `2h`, `3d`, `1w`.
fn ago(text: &str) -> Option<SignedDuration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let seconds = match unit {
        "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(seconds).map(SignedDuration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, edge: Edge, expected: &str) {
        // One hour east of UTC; 11:30 on the wall.
        let now: Timestamp = "2026-11-23T10:30:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let found = parse(text, edge, now, &zone).map(|at| crate::trace::json::Time(at).to_string()[..19].to_owned());
        assert_eq!(found, Ok(expected.to_owned()), "{text}");
    }

    #[test]
    fn people_write_times_in_many_ways() {
        use Edge::{Since, Until};
        check("2h", Since, "2026-11-23T08:30:00");
        check("90s", Since, "2026-11-23T10:28:30");
        check("1w", Since, "2026-11-16T10:30:00");
        check("today", Since, "2026-11-22T23:00:00");
        check("yesterday", Since, "2026-11-21T23:00:00");
        check("yesterday", Until, "2026-11-22T23:00:00");
        check("2026-11-20", Since, "2026-11-19T23:00:00");
        check("2026-11-20", Until, "2026-11-20T23:00:00");
        check("2026-11-20T10:02", Since, "2026-11-20T09:02:00");
        check("2026-11-20 10:02:03", Since, "2026-11-20T09:02:03");
        check("2026-11-20T10:02:00Z", Since, "2026-11-20T10:02:00");
        check("10:02", Since, "2026-11-23T09:02:00");
        check("23:59", Since, "2026-11-22T22:59:00");
        check("now", Until, "2026-11-23T10:30:00");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "h", "2x", "99999999999999999999d", "9223372036854775807w", "25:00", "2026-13-01", "tomorrow", "1960-01-01"] {
            assert!(parse(text, Edge::Since, Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_err(), "{text}");
        }
    }
}
