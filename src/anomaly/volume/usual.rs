//! What is usual at this hour of the week, for many keys at once, in bounded memory.

use serde::{Deserialize, Serialize};

use crate::anomaly::window::{DAY, HOUR, MINUTE};
use crate::trace::WallMicros;

/// Hours of a week.
pub const WEEK_HOURS: u64 = 168;
/// Slots of the last hour.
const RECENT: usize = 6;
/// Each of them. µs.
const RECENT_US: u64 = 10 * MINUTE;
/// After so many weeks a new one counts a sixth: habits may change within a season.
const MOST_WEEKS: u64 = 6;

/// A count in 16 bits: 5 of exponent, 11 of mantissa; exact to 0.1 %, from 1/64 to a hundred million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Small(u16);

impl Small {
    pub fn of(value: f32) -> Self {
        // Fixed point with six bits behind the point, then as many bits dropped as needed.
        let mut mantissa = (value.clamp(0.0, 1.0e8) * 64.0) as u64;
        let mut exponent = 0;
        while mantissa >= 2_048 && exponent < 31 {
            mantissa = (mantissa + 1) >> 1;
            exponent += 1;
        }
        Self(exponent << 11 | mantissa.min(2_047) as u16)
    }

    pub fn value(self) -> f32 {
        ((u64::from(self.0 & 2_047)) << (self.0 >> 11)) as f32 / 64.0
    }
}

/// One key's habits: how much in each hour of the week, how even, the most in any hour, and the last hour in detail.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usual {
    /// First and last hour seen, in hours since 1970; `hour` isn't over yet.
    pub first: u32,
    pub hour: u32,
    /// So much in it until now.
    count: u32,
    /// Ten-minute slots of the last hour, and the newest one's number since 1970.
    recent: [u32; RECENT],
    newest: u32,
    /// Hours folded into `week`.
    pub folded: u32,
    /// Variance ÷ mean of an hour against its slot: 1 is pure chance, more comes in bursts.
    spread: f32,
    /// The most in one hour; it fades.
    pub peak: f32,
    /// Made when the first hour is over: most keys never see a second one.
    week: Option<Box<Week>>,
}

/// 168 counts. The first hour is a Thursday's, as 1970 began: only the differences matter.
#[derive(Debug, Clone, PartialEq)]
struct Week([Small; WEEK_HOURS as usize]);

impl Serialize for Week {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0)
    }
}

impl<'de> Deserialize<'de> for Week {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let slots = Vec::<Small>::deserialize(deserializer)?;
        slots.try_into().map(Self).map_err(|_| serde::de::Error::custom("a week has 168 hours"))
    }
}

impl Usual {
    pub fn new(at: WallMicros) -> Self {
        let hour = (at / HOUR) as u32;
        Self { first: hour, hour, newest: (at / RECENT_US) as u32, spread: 1.0, ..Self::default() }
    }

    /// Octets that one takes, its week and the allocator's rounding included.
    pub const fn octets() -> usize {
        size_of::<Self>() + size_of::<Week>() + 16
    }

    /// Counts. `learns`: how much of the count of an hour that is over becomes part of the habits, if it does.
    pub fn add(&mut self, at: WallMicros, count: u32, learns: impl Fn(u32, u32) -> Option<u32>) {
        self.pass(at, learns);
        self.count = self.count.saturating_add(count);
        if let Some(slot) = self.recent.first_mut() {
            *slot = slot.saturating_add(count);
        }
    }

    /// Lets time pass: hours that are over become habit, the empty ones as well.
    pub fn pass(&mut self, at: WallMicros, learns: impl Fn(u32, u32) -> Option<u32>) {
        let newest = (at / RECENT_US) as u32;
        if newest > self.newest {
            let by = ((newest - self.newest) as usize).min(RECENT);
            self.recent.rotate_right(by);
            if let Some(passed) = self.recent.get_mut(..by) {
                passed.fill(0);
            }
            self.newest = newest;
        }
        let hour = (at / HOUR) as u32;
        if hour <= self.hour {
            return;
        }
        // What is longer ago than four weeks has been as quiet as those.
        let from = self.hour.max(hour.saturating_sub(4 * WEEK_HOURS as u32));
        for passed in from..hour {
            let count = if passed == self.hour { self.count } else { 0 };
            if let Some(count) = learns(passed, count) {
                self.fold(passed, count as f32);
            }
        }
        (self.hour, self.count) = (hour, 0);
    }

    /// The clock was ahead and is right again: what was counted is of now. Never for a record that is only late, or was imported.
    pub fn set_back(&mut self, now: WallMicros) {
        self.newest = self.newest.min((now / RECENT_US) as u32);
        self.hour = self.hour.min((now / HOUR) as u32);
        self.first = self.first.min(self.hour);
    }

    fn fold(&mut self, hour: u32, count: f32) {
        let weeks = u64::from(self.folded) / WEEK_HOURS + 1;
        self.folded = self.folded.saturating_add(1);
        let usual = self.at_hour(hour);
        let week = self.week.get_or_insert_with(|| Box::new(Week([Small::default(); WEEK_HOURS as usize])));
        if let Some(slot) = week.0.get_mut((u64::from(hour) % WEEK_HOURS) as usize) {
            *slot = Small::of(slot.value() + (count - slot.value()) / weeks.min(MOST_WEEKS) as f32);
        }
        if usual > 1.0 && weeks > 1 {
            let now = (count - usual) * (count - usual) / usual;
            self.spread += (now.min(100.0 * self.spread) - self.spread) * 0.02;
        }
        // Halves within half a year.
        self.peak = (self.peak * 0.99984).max(count);
    }

    /// A mean of that hour of the week; before a whole week is known, of that hour of the days that are.
    pub fn at_hour(&self, hour: u32) -> f32 {
        let Some(week) = &self.week else { return 0.0 };
        let slot = |hour: u64| week.0.get((hour % WEEK_HOURS) as usize).map_or(0.0, |slot| slot.value());
        let hour = u64::from(hour);
        if self.folded >= WEEK_HOURS as u32 {
            return slot(hour);
        }
        let days = u64::from(self.folded) / 24;
        if days == 0 {
            return 0.0;
        }
        (1..=days).map(|day| slot((hour + WEEK_HOURS).saturating_sub(24 * day))).sum::<f32>() / days as f32
    }

    /// The most that is usual around that time: habits don't look at the clock.
    pub fn around(&self, at: WallMicros) -> f32 {
        let hour = (at / HOUR) as u32;
        (hour.saturating_sub(1)..=hour + 1).map(|hour| self.at_hour(hour)).fold(0.0, f32::max)
    }

    /// Counted in the last hour (to ten minutes), and in the last ten to twenty minutes.
    pub fn last_hour(&self) -> u32 {
        self.recent.iter().fold(0, |sum, slot| sum.saturating_add(*slot))
    }

    /// How much usually comes between two times: of hours that are cut in two, a part.
    pub fn between(&self, from: WallMicros, until: WallMicros) -> f32 {
        let (mut sum, mut at) = (0.0, from.max(until.saturating_sub(8 * DAY)));
        while at < until {
            let end = ((at / HOUR + 1) * HOUR).min(until);
            sum += self.at_hour((at / HOUR) as u32) * (end - at) as f32 / HOUR as f32;
            at = end;
        }
        sum
    }

    /// How much would usually have come from then until now, at least: an hour counts as the quietest of itself and its neighbours,
    /// since a batch that fills half an hour says nothing of the other half.
    pub fn expected(&self, from: WallMicros, until: WallMicros) -> f32 {
        self.at_least(from, until).map(|(least, hours)| least * hours).sum()
    }

    /// How much of that would have come in an hour, of those in which something does.
    pub fn expected_an_hour(&self, from: WallMicros, until: WallMicros) -> f32 {
        let busy = self.at_least(from, until).filter(|(least, _)| *least >= 1.0);
        let (sum, hours) = busy.fold((0.0, 0.0), |(sum, all), (least, hours)| (sum + least * hours, all + hours));
        if hours > 0.0 { sum / hours } else { self.expected(from, until) / (until.saturating_sub(from).max(1) as f32 / HOUR as f32) }
    }

    /// How much comes at least in each hour, and how much of that hour lies between the two times.
    fn at_least(&self, from: WallMicros, until: WallMicros) -> impl Iterator<Item = (f32, f32)> {
        let mut at = from.max(until.saturating_sub(8 * DAY));
        std::iter::from_fn(move || {
            let begin = (at < until).then_some(at)?;
            at = ((begin / HOUR + 1) * HOUR).min(until);
            let hour = (begin / HOUR) as u32;
            let least = (hour.saturating_sub(1)..=hour + 1).map(|hour| self.at_hour(hour)).fold(f32::INFINITY, f32::min);
            Some((least, (at - begin) as f32 / HOUR as f32))
        })
    }

    /// The logarithm (base 10) of how probable it is that nothing comes where `expected` would: a negative binomial with
    /// the spread seen, so that what comes in bursts may pause longer.
    pub fn silence_log10(&self, expected: f32) -> f32 {
        let spread = self.spread.max(1.01);
        -expected * spread.ln() / (spread - 1.0) / std::f32::consts::LN_10
    }

    pub fn spread(&self) -> f32 {
        self.spread
    }

    pub fn weeks(&self) -> u32 {
        self.folded / WEEK_HOURS as u32
    }

    pub fn days(&self) -> u32 {
        self.folded / 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::MONDAY;

    #[test]
    fn small_numbers_are_true_to_a_tenth_of_a_percent() {
        for value in [0.0, 0.5, 1.0, 7.25, 31.0, 1_000.0, 65_537.0, 9.0e7] {
            let back = Small::of(value).value();
            assert!((back - value).abs() <= value * 0.002, "{value} {back}");
        }
        assert!(Small::of(f32::NAN).value() < 1.0 && Small::of(f32::INFINITY).value() > 9.0e7);
    }

    /// Forty an hour from 8 to 18 on workdays, for so many weeks.
    fn office(weeks: u64) -> Usual {
        let mut usual = Usual::new(MONDAY);
        for hour in 0..weeks * WEEK_HOURS {
            let busy = hour / 24 % 7 < 5 && (8..18).contains(&(hour % 24));
            usual.add(MONDAY + hour * HOUR, if busy { 40 } else { 0 }, |_, count| Some(count));
        }
        usual.pass(MONDAY + weeks * WEEK_HOURS * HOUR, |_, count| Some(count));
        usual
    }

    #[test]
    fn an_hour_of_the_week_has_its_own_mean() {
        let usual = office(3);
        let monday = MONDAY + 3 * WEEK_HOURS * HOUR;
        assert!((usual.expected(monday + 10 * HOUR, monday + 11 * HOUR + HOUR / 2) - 60.0).abs() < 0.01);
        assert_eq!(usual.expected(monday + 20 * HOUR, monday + 30 * HOUR), 0.0);
        assert_eq!((usual.around(monday + 7 * HOUR), usual.around(monday + 5 * HOUR)), (40.0, 0.0));
        assert_eq!(usual.expected(monday + 5 * DAY, monday + 7 * DAY), 0.0);
        assert!(usual.weeks() == 3 && (39.0..=40.0).contains(&usual.peak), "{}", usual.peak);
    }

    #[test]
    fn before_a_week_is_over_the_days_stand_for_each_other() {
        let mut usual = Usual::new(MONDAY);
        for hour in 0..48 {
            usual.add(MONDAY + hour * HOUR, if (8..18).contains(&(hour % 24)) { 40 } else { 0 }, |_, count| Some(count));
        }
        usual.pass(MONDAY + 2 * DAY, |_, count| Some(count));
        assert_eq!(usual.at_hour(((MONDAY + 2 * DAY) / HOUR) as u32 + 9), 40.0);
        assert_eq!(usual.at_hour(((MONDAY + 2 * DAY) / HOUR) as u32 + 3), 0.0);
    }

    #[test]
    fn the_last_hour_slides() {
        let mut usual = Usual::new(MONDAY);
        for minute in 0..120 {
            usual.add(MONDAY + minute * MINUTE, 1, |_, count| Some(count));
        }
        assert_eq!(usual.last_hour(), 60);
        usual.pass(MONDAY + 150 * MINUTE, |_, count| Some(count));
        assert_eq!(usual.last_hour(), 20);
    }

    #[test]
    fn a_clock_that_was_ahead_stops_nothing() {
        let mut usual = office(3);
        let now = MONDAY + 3 * WEEK_HOURS * HOUR + 9 * HOUR;
        usual.add(now + 5 * DAY, 30, |_, count| Some(count));
        usual.set_back(now);
        let folded = usual.folded;
        for minute in 0..180 {
            usual.add(now + minute * MINUTE, 1, |_, count| Some(count));
        }
        assert_eq!((usual.last_hour(), usual.folded), (60, folded + 2));
    }

    #[test]
    fn a_year_of_quiet_is_passed_at_once_and_hours_without_tracing_teach_nothing() {
        let mut usual = office(2);
        let before = usual.folded;
        usual.pass(MONDAY + 400 * DAY, |_, _| None);
        assert_eq!((usual.folded, usual.at_hour((MONDAY / HOUR) as u32 + 9)), (before, 40.0));
        usual.pass(MONDAY + 800 * DAY, |_, count| Some(count));
        assert!(usual.folded <= before + 4 * WEEK_HOURS as u32);
    }

    #[test]
    fn bursts_make_silence_less_telling() {
        let even = office(4);
        assert!(even.silence_log10(14.0) < -6.0);
        let mut bursts = Usual::new(MONDAY);
        for hour in 0..6 * WEEK_HOURS {
            bursts.add(MONDAY + hour * HOUR, if hour % 5 == hour / 7 % 5 { 200 } else { 0 }, |_, count| Some(count));
        }
        assert!(bursts.spread() > 10.0, "{}", bursts.spread());
        assert!(bursts.silence_log10(40.0) > -6.0);
    }
}
