//! How moments and durations are written for people: in which zone, and how much of the date.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::trace::json::Time;
use crate::wording::number;

/// A way of writing moments. Programs get [`Clock::utc`]; people get their zone, and the date only where it isn't today's.
#[derive(Debug, Clone)]
pub struct Clock {
    zone: TimeZone,
    today: Option<Date>,
}

impl Clock {
    /// Whole dates in UTC, each naming its zone: for text that may be read anywhere.
    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, today: None }
    }

    /// Moments as seen in `zone`; those of the day of `now` without their date. The zone is named by [`Clock::zone_name`], once.
    pub fn local(zone: TimeZone, now: Timestamp) -> Self {
        let today = Some(now.to_zoned_datetime(zone.clone()).date());
        Self { zone, today }
    }

    /// `10:02:11` today, `2026-11-22 10:02:11` on other days.
    pub fn moment(&self, at: Time) -> String {
        self.written(at, self.is_today(at))
    }

    /// `10:02:11 to 10:40:00` where both are today; otherwise each with its day.
    pub fn range(&self, from: Time, until: Time) -> String {
        let are_today = self.is_today(from) && self.is_today(until);
        format!("{} to {}", self.written(from, are_today), self.written(until, are_today))
    }

    fn zoned(&self, at: Time) -> ZonedDateTime {
        at.timestamp().to_zoned_datetime(self.zone.clone())
    }

    fn is_today(&self, at: Time) -> bool {
        self.today == Some(self.zoned(at).date())
    }

    fn written(&self, at: Time, without_day: bool) -> String {
        let form = match (self.today, without_day) {
            (None, _) => "%F %T UTC",
            (_, true) => "%T",
            (_, false) => "%F %T",
        };
        self.zoned(at).strftime(form).to_string()
    }

    /// With milliseconds where there is no date: `10:02:11.100` today, `2026-11-22 10:02:11` on other days.
    pub fn precise(&self, at: Time) -> String {
        if self.is_today(at) { self.zoned(at).strftime("%T%.3f").to_string() } else { self.moment(at) }
    }

    /// The zone as people know it at that moment: `CET`, or `+01` where it has no name.
    pub fn zone_name(&self, at: Time) -> String {
        self.zoned(at).strftime("%Z").to_string()
    }
}

/// `163 µs`, `12 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn span(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{:.1} ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
        60_000_000..3_600_000_000 => format!("{} min {} s", us / 60_000_000, us / 1_000_000 % 60),
        3_600_000_000..86_400_000_000 => format!("{} h {} min", us / 3_600_000_000, us / 60_000_000 % 60),
        _ => format!("{} d {} h", us / 86_400_000_000, us / 3_600_000_000 % 24),
    }
}

/// `1 octet`, `12,345 octets`.
pub fn octets(count: u64) -> String {
    format!("{} octet{}", number(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-11-23T10:02:11.000042Z
    const AT: Time = Time(1_763_892_131_000_042);

    #[test]
    fn utc_names_day_and_zone() {
        assert_eq!(Clock::utc().moment(AT), "2025-11-23 10:02:11 UTC");
    }

    #[test]
    fn local_leaves_out_today() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let same_day = Clock::local(zone.clone(), AT.timestamp());
        assert_eq!(same_day.moment(AT), "11:02:11");
        assert_eq!(same_day.precise(AT), "11:02:11.000");
        assert_eq!(same_day.zone_name(AT), "+01");
        let next_day = Clock::local(zone, Time(AT.0 + 86_400_000_000).timestamp());
        assert_eq!(next_day.moment(AT), "2025-11-23 11:02:11");
        assert_eq!(next_day.precise(AT), "2025-11-23 11:02:11");
        let later = |seconds: u64| Time(AT.0 + seconds * 1_000_000);
        assert_eq!(same_day.range(AT, later(60)), "11:02:11 to 11:03:11");
        assert_eq!(next_day.range(AT, later(86_400)), "2025-11-23 11:02:11 to 2025-11-24 11:02:11");
        assert_eq!(Clock::utc().range(AT, later(1)), "2025-11-23 10:02:11 UTC to 2025-11-23 10:02:12 UTC");
    }

    #[test]
    fn spans_read_at_a_glance() {
        let cases = [
            (0, "0 µs"),
            (163, "163 µs"),
            (1_500, "1.5 ms"),
            (12_999, "12 ms"),
            (1_250_000, "1.2 s"),
            (200_000_000, "3 min 20 s"),
            (7_500_000_000, "2 h 5 min"),
            (273_600_000_000, "3 d 4 h"),
        ];
        for (us, expected) in cases {
            assert_eq!(span(us), expected);
        }
    }

    #[test]
    fn octets_are_counted() {
        assert_eq!((octets(1), octets(12_345)), ("1 octet".to_owned(), "12,345 octets".to_owned()));
    }
}
