//! The day by which ages are told: a clock that leaps ahead isn't believed at once, for what is removed for its age is gone.

use std::time::{Duration, Instant};

use super::day::Day;

/// Days that a clock may go on at once, or a store may lie unused, without a question.
const BELIEVED: u32 = 7;
/// How long a clock that went on by more has to be set right.
const DOUBT: Duration = Duration::from_secs(3_600);

/// What is held for today.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    today: Option<Day>,
    /// Since when the clock has been elsewhere.
    doubted: Option<Instant>,
}

impl Calendar {
    /// Today, the clock being at `clock`. `days`: those that have records, in order; what lies far behind the others may have been written
    /// by a clock that was wrong.
    pub fn today(&mut self, clock: Day, days: impl IntoIterator<Item = Day>, now: Instant) -> Day {
        for day in days {
            let known = self.today.get_or_insert(day);
            if day > *known && day <= known.later(BELIEVED) {
                *known = day;
            }
        }
        let Some(today) = self.today.filter(|today| clock > today.later(BELIEVED)) else {
            (self.today, self.doubted) = (Some(clock), None);
            return clock;
        };
        let since = *self.doubted.get_or_insert_with(|| {
            tracing::warn!(
                %clock, last_known = %today,
                "the clock went on by more than {BELIEVED} days, or the store lay unused for so long: for an hour nothing is removed for its \
                 age, in case the clock is wrong"
            );
            now
        });
        if now.saturating_duration_since(since) < DOUBT {
            return today;
        }
        (self.today, self.doubted) = (Some(clock), None);
        clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_is_believed_after_an_hour() {
        let day = Day::numbered;
        let begun = Instant::now();
        let after = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        let mut calendar = Calendar::default();
        let mut today = |clock: u32, days: &[u32], minutes: u64| {
            calendar.today(day(clock), days.iter().map(|&number| day(number)), after(minutes)).number()
        };
        assert_eq!(today(4_000, &[98, 100, 3_990], 0), 100);
        assert_eq!(today(107, &[98, 100, 3_990], 1), 107, "a week's leave");
        assert_eq!(today(4_000, &[98, 100, 3_990], 2), 107);
        assert_eq!(today(4_000, &[98, 100, 3_990], 61), 107);
        assert_eq!(today(108, &[98, 100, 3_990], 62), 108, "it was wrong");
        assert_eq!(today(120, &[98, 100, 108, 115, 119], 63), 120, "nobody looked for some days");
        assert_eq!(today(4_000, &[119], 64), 120);
        assert_eq!(today(4_001, &[119], 124), 4_001, "it was right");
        assert_eq!(today(90, &[119], 125), 90, "earlier: nothing is removed by that");
        assert_eq!(Calendar::default().today(day(4_000), [], begun), day(4_000), "nothing to lose");
    }
}
