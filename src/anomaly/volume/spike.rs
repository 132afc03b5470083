//! Much more mail than usual at this hour of the week, and whether it looks like a stolen account.

use super::Volume;
use super::habits::Habit;
use super::whose::Whose;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::window::HOUR;
use crate::trace::{Act, Anomaly, Severity, WallMicros};
use crate::wording::{clock, mean, number, several};

/// So much of the mail fails, or goes to so many places, where somebody else uses an account.
const FAILED: f32 = 0.2;
const DESTINATIONS: usize = 30;

/// How a judgement came about.
struct Limit {
    least: f32,
    usual: f32,
    limit: f32,
    words: String,
}

impl Volume {
    pub(super) fn judge_spikes(&mut self, now: WallMicros, findings: &mut Findings) {
        // Who causes it before what it passes through: a user's spike is no news of his client's.
        self.hot.sort_unstable();
        let (options, habits) = (&self.options, &mut self.habits);
        let mut raised: Vec<Whose> = Vec::new();
        let mut stolen: Vec<Whose> = Vec::new();
        self.hot.retain(|whose| {
            let Some(habit) = habits.pass(whose, now) else { return false };
            let counted = habit.usual.last_hour() as f32;
            if counted < options.watched(whose.as_ref()) as f32 {
                habit.hot = None;
                habit.frozen = habit.frozen.filter(|_| habit.silent);
                return false;
            }
            let limit = options.limit(whose, habit, now);
            let Some(hot) = &mut habit.hot else { return false };
            let by_another = hot.mostly_by().is_some_and(|by| raised.contains(by));
            let (destinations, more) = hot.destinations();
            let is_person = matches!(whose, Whose::User(_) | Whose::Sender(_));
            let signs = is_person && hot.failed_share() >= FAILED && destinations >= DESTINATIONS;
            let by_stolen = hot.mostly_by().is_some_and(|by| stolen.contains(by));
            let spikes = counted >= limit.limit || (signs && counted >= limit.least && counted > 3.0 * limit.usual);
            let fresh = hot.take_fresh();
            if !spikes {
                // What isn't unusual any more may be learnt.
                habit.frozen = habit.frozen.filter(|_| habit.silent);
                return true;
            }
            // The first time, all that make it much are news.
            let fresh = if habit.frozen.is_none() { habit.usual.last_hour() } else { fresh };
            // What comes again becomes usual within weeks, since each time it raises the limit; a theft doesn't.
            let goes_on = habit.frozen.is_some();
            habit.learns_most = match () {
                () if signs || by_stolen => 0,
                () if goes_on => habit.learns_most.min(limit.limit as u32),
                () => limit.limit as u32,
            };
            habit.frozen = habit.frozen.or(Some((hot.since / HOUR) as u32));
            if signs || by_stolen {
                stolen.push(whose.clone());
            }
            raised.push(whose.clone());
            if by_another {
                return true;
            }
            let severity = match () {
                () if signs => Severity::Critical,
                () if counted > 1.2 * habit.usual.peak => Severity::Warning,
                () => Severity::Notice,
            };
            let failed = 100.0 * hot.failed_share();
            let (about, unit, words) = (whose.about(), whose.unit(), whose.words());
            let at_least = if more { "at least " } else { "" };
            let summary = format!(
                "{words} sent {} {unit} within the last hour, usual at this time are {} an hour{}",
                number(counted as u64),
                mean(limit.usual),
                if signs {
                    format!("; {failed:.0} % of them fail, to {at_least}{destinations} domains: as if somebody else used the account")
                } else {
                    String::new()
                }
            );
            let arithmetic = format!(
                "{} {unit} in 60 min; {}; in detail since {}: {} recipients in {at_least}{destinations} domains, {} refused or deferred ({failed:.0} %); a stolen account is suspected from {:.0} % and {DESTINATIONS} domains on",
                number(counted as u64),
                limit.words,
                clock(hot.since, now),
                number(hot.recipients),
                number(hot.failed),
                100.0 * FAILED,
            );
            let advice = match whose {
                Whose::User(_) if signs => "Lock the account or change its password now, end its sessions, and look at the samples: who wrote these messages, from which address did the login come? Then ask the providers that refused for delisting.",
                Whose::Sender(_) if signs => "Find out which machine or web application sends as this address (the samples name the client) and stop it; look for a stolen password or a form that is abused.",
                Whose::User(_) | Whose::Sender(_) => "Look at the samples: a newsletter or a program that runs wild explains it, else change the account's password. If it is meant to be, mute this; it becomes usual within weeks.",
                Whose::Client(_) => "Look at the samples: which program on this machine sends, and does it repeat itself? If it is meant to be, mute this; it becomes usual within weeks.",
                Whose::Listener(_) => "Look at the samples for a common sender, recipient or network; if a flood is aimed at you, lower the limits per client in the configuration.",
            };
            let mut finding = Finding::new(Anomaly::VolumeSpike, severity, summary, arithmetic)
                .about(about.kind, about.value)
                .advising(Act::LocalAdmin, advice)
                .evidence(hot.since, hot.last, u64::from(fresh), hot.samples());
            finding.baseline = Some(limit.baseline(habit, unit));
            finding.quiet_after_us = Some(HOUR);
            findings.raise(finding);
            true
        });
    }
}

impl Limit {
    fn baseline(&self, habit: &Habit, unit: &str) -> String {
        let known = match (habit.usual.weeks(), habit.usual.days()) {
            (0, 0) => return "known for less than a day".to_owned(),
            (0, days) => several(days.into(), "day", "days"),
            (weeks, _) => several(weeks.into(), "week", "weeks"),
        };
        let (usual, peak) = (mean(self.usual), mean(habit.usual.peak));
        format!("{usual} {unit} an hour at this hour of the week, {peak} in the busiest hour, from {known}")
    }
}

impl super::Options {
    fn limit(&self, whose: &Whose, habit: &Habit, now: WallMicros) -> Limit {
        let least = self.least(whose.as_ref()) as f32;
        let usual = habit.usual.around(now);
        let (factor, spread) = (self.spike_factor, habit.usual.spread());
        let (limit, words) = match (habit.usual.weeks(), habit.usual.days()) {
            (0, 0) if matches!(whose, Whose::Client(_) | Whose::Listener(_)) => (f32::INFINITY, String::new()),
            (0, 0) => {
                let most = self.newcomer_recipients.max(self.spike_recipients) as f32;
                (most, format!("known for less than a day, so the limit is {}", number(most as u64)))
            }
            (0, _) => {
                let by_peak = 2.0 * habit.usual.peak;
                let limit = (2.0 * least).max(factor * usual).max(by_peak);
                let words = format!(
                    "limit {}: known for less than a week, so the largest of 2 × {least:.0}, {factor} × {} usual and twice the busiest hour ({})",
                    number(limit as u64),
                    mean(usual),
                    mean(by_peak)
                );
                (limit, words)
            }
            _ => {
                let by_chance = usual + 6.0 * (usual * spread).sqrt();
                let limit = least.max(factor * usual).max(by_chance);
                let words = format!(
                    "limit {}: the largest of {least:.0}, {factor} × {} usual, and usual + 6 × √(usual × spread {spread:.1}) = {}",
                    number(limit as u64),
                    mean(usual),
                    mean(by_chance)
                );
                (limit, words)
            }
        };
        Limit { least, usual, limit, words }
    }
}
