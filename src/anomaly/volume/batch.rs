//! Batches: somebody who sends much within the same hours, day after day or week after week, and didn't this time.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::habits::Habit;
use super::holidays::Quiet;
use super::usual::{Usual, WEEK_HOURS};
use super::whose::Whose;
use super::{Options, Volume};
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::window::{DAY, HOUR};
use crate::trace::{Act, Anomaly, Severity, WallMicros};
use crate::wording::{clock, mean, number};

/// A batch takes at most so many hours.
const LONGEST: u32 = 3;
/// An hour with less than this share of the batch's busiest one is none of it.
const SHARE: f32 = 0.1;
/// It must have come so often in a row at that hour of the day, and at least once more on that day of the week…
const DAILY: u8 = 5;
/// …or so often in a row on that day of the week.
const WEEKLY: u8 = 3;

/// How often batches came in a row, by the hour of the week and of the day in which they begin; and one that is missing.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Batches {
    weekly: BTreeMap<u8, u8>,
    daily: BTreeMap<u8, u8>,
    missing: Option<Missing>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Missing {
    window: Window,
    weekly: u8,
    daily: u8,
    fresh: bool,
    /// Nearly nobody sent anything then.
    quiet: Option<Quiet>,
}

/// Hours since 1970: the first of it, and the first after it; and how much usually comes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Window {
    first: u32,
    end: u32,
    usual: f32,
}

impl Window {
    /// The window that ends with that hour, if there is one.
    fn ending(usual: &Usual, end: u32, least: f32) -> Option<Self> {
        let hours = || (1..=LONGEST).map(|back| end.saturating_sub(back));
        let busiest = hours().map(|hour| usual.at_hour(hour)).fold(0.0, f32::max);
        let belongs = |hour: u32| usual.at_hour(hour) >= (SHARE * busiest).max(1.0);
        let first = hours().take_while(|hour| belongs(*hour)).last()?;
        let sum = (first..end).map(|hour| usual.at_hour(hour)).sum();
        let apart = !belongs(end) && !belongs(first.saturating_sub(1));
        (apart && sum >= least).then_some(Self { first, end, usual: sum })
    }

    fn from(self) -> WallMicros {
        u64::from(self.first) * HOUR
    }

    fn until(self) -> WallMicros {
        u64::from(self.end) * HOUR
    }
}

impl Batches {
    /// Whether one is missing, and told.
    pub(super) fn is_missing(&self) -> bool {
        self.missing.is_some()
    }

    /// A window is over, its margin too: did it come?
    fn over(&mut self, window: Window, came: bool, quiet: Option<Quiet>) {
        let (slot, hour) = ((u64::from(window.first) % WEEK_HOURS) as u8, (window.first % 24) as u8);
        let (weekly, daily) = (self.weekly.entry(slot).or_default(), self.daily.entry(hour).or_default());
        if came {
            (*weekly, *daily) = (weekly.saturating_add(1), daily.saturating_add(1));
            self.missing = None;
            return;
        }
        if *weekly >= WEEKLY || (*weekly >= 1 && *daily >= DAILY) {
            self.missing = Some(Missing { window, weekly: *weekly, daily: *daily, fresh: true, quiet });
        }
        (*weekly, *daily) = (0, 0);
    }
}

impl Volume {
    /// Looks at the windows that ended one margin ago: asked once an hour.
    pub(super) fn judge_batches(&mut self, now: WallMicros, findings: &mut Findings) {
        let Self { options, habits, batched, whole, .. } = self;
        let hour = (now / HOUR) as u32;
        let is_new = *batched != hour;
        *batched = hour;
        let (up_since, late) = (habits.up_since, options.batch_late_us);
        let end = (now.saturating_sub(late) / HOUR) as u32;
        // Looked at before any habit is changed.
        let mut quiet: HashMap<Whose, Quiet> = HashMap::new();
        if is_new {
            let listeners = habits.by.iter().filter(|(whose, _)| matches!(whose, Whose::Listener(_)));
            whole.begin(hour, listeners.map(|(_, habit)| habit.usual.at_hour(hour)).sum());
            for (whose, habit) in habits.by.iter().filter(|(_, habit)| may_send_batches(habit, options)) {
                let window = Window::ending(&habit.usual, end, options.batch_messages);
                let missing = window.filter(|window| habit.last < window.from().saturating_sub(HOUR));
                let found = missing.and_then(|window| whole.quiet(&habit.usual, window.first..hour, habits.up_since));
                quiet.extend(found.map(|found| (whose.clone(), found)));
            }
        }
        let mut told: Vec<(&Whose, &mut Habit, Missing)> = Vec::new();
        for (whose, habit) in &mut habits.by {
            if let Some(missing) = habit.batches.as_ref().and_then(|it| it.missing)
                && (habit.last >= missing.window.from().saturating_sub(HOUR) || now >= missing.window.until() + DAY)
            {
                habit.batches.iter_mut().for_each(|it| it.missing = None);
                let why = if now >= missing.window.until() + DAY {
                    "the next one is due".to_owned()
                } else {
                    format!("it came at {}", clock(habit.last, now))
                };
                // Whoever is silent altogether goes on being told.
                if !habit.silent {
                    findings.clear(Anomaly::Silence, vec![whose.about()], why);
                }
            }
            if is_new
                && may_send_batches(habit, options)
                && matches!(whose, Whose::Client(_) | Whose::Sender(_))
                && let Some(window) = Window::ending(&habit.usual, end, options.batch_messages)
                && up_since <= window.from().saturating_sub(HOUR)
            {
                let came = habit.last >= window.from().saturating_sub(HOUR);
                // A holiday without one breaks no row.
                if came || !options.holidays.touch(window.from(), window.until()) {
                    habit.batches.get_or_insert_default().over(window, came, quiet.get(whose).copied());
                }
            }
            if let Some(missing) = habit.batches.as_ref().and_then(|it| it.missing) {
                told.push((whose, habit, missing));
            }
        }
        // A machine before its sender: the same batch is told once.
        told.sort_by(|one, other| (matches!(one.0, Whose::Sender(_)), one.0).cmp(&(matches!(other.0, Whose::Sender(_)), other.0)));
        let mut windows: Vec<u32> = Vec::new();
        for (whose, habit, missing) in told {
            let is_told = matches!(whose, Whose::Sender(_)) && windows.contains(&missing.window.first);
            if !is_told {
                windows.push(missing.window.first);
                findings.raise(finding(whose, habit, missing, now, late));
            }
            if let Some(missing) = habit.batches.as_mut().and_then(|it| it.missing.as_mut()) {
                missing.fresh = false;
            }
        }
    }
}

/// Whether batches are looked for at all.
fn may_send_batches(habit: &Habit, options: &Options) -> bool {
    LONGEST as f32 * habit.usual.peak >= options.batch_messages && habit.usual.weeks() > 0
}

fn finding(whose: &Whose, habit: &Habit, missing: Missing, now: WallMicros, late: WallMicros) -> Finding {
    let (window, about) = (missing.window, whose.about());
    let (from, until) = (clock(window.from(), now), clock(window.until(), now));
    let summary = format!(
        "{} sent nothing between {from} and {until}: usually {} come in these hours; the last one was at {}",
        whose.words(),
        number(window.usual as u64),
        clock(habit.last, now)
    );
    let everybody = missing.quiet.map(|it| {
        let (came, usual) = (number(u64::from(it.came)), mean(it.usual));
        format!(
            "; and so is everybody: {came} of usually {usual} other messages came in all from {} on, as on a holiday",
            clock(it.since, now)
        )
    });
    let arithmetic = format!(
        "0 since an hour before {from}, looked at {} min after {until}; usual {} {} in these hours of the week; it came {} times in a row at that hour, {} times on that day of the week; told from {DAILY} and 1, or {WEEKLY} on that day on{}",
        late / crate::anomaly::window::MINUTE,
        mean(window.usual),
        whose.unit(),
        missing.daily,
        missing.weekly,
        everybody.unwrap_or_default(),
    );
    let severity = if missing.quiet.is_some() { Severity::Notice } else { Severity::Warning };
    let mut finding = Finding::new(Anomaly::Silence, severity, summary, arithmetic)
        .about(about.kind, about.value)
        .advising(Act::LocalAdmin, "Look at the program that sends it: did its job run, did it fail, is it waiting for something? If it isn't to send any more, mute this; if it is a holiday, name it in `[anomaly] holidays`.")
        .evidence(window.from(), now, u64::from(missing.fresh), Vec::new());
    finding.baseline = Some(format!("{} {} in these hours, from {} weeks", mean(window.usual), whose.unit(), habit.usual.weeks()));
    finding
}
