//! No mail where some is usual: told where chance would hardly do it.

use super::Volume;
use super::habits::Habit;
use super::whose::Whose;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::window::{DAY, HOUR};
use crate::trace::{Act, Anomaly, Severity, WallMicros};
use crate::wording::{clock, mean, several, span};

/// Who is silent for so long has gone for good: nobody is told any more.
const GONE_US: u64 = 7 * DAY;
/// Hours that are looked ahead.
const AHEAD: u64 = 72;

impl Volume {
    pub(super) fn judge_silence(&mut self, now: WallMicros, findings: &mut Findings) {
        let Self { options, habits, listeners, .. } = self;
        let up_since = habits.up_since;
        let mut silent: Vec<(&Whose, &mut Habit, WallMicros, f32)> = Vec::new();
        let mut silent_listeners: Vec<&str> = Vec::new();
        for (whose, habit) in &mut habits.by {
            if !matches!(whose, Whose::Client(_) | Whose::Listener(_)) {
                continue;
            }
            if habit.silent && (habit.last.max(up_since) + options.silence_us > now || now > habit.last + GONE_US) {
                habit.silent = false;
                habit.frozen = None;
                let why = match () {
                    () if now > habit.last + GONE_US => "silent for a week: taken for gone".to_owned(),
                    () if habit.last > up_since => format!("mail comes again since {}", clock(habit.last, now)),
                    () => "the proxy was started anew".to_owned(),
                };
                // A batch that is missing is told in the same incident.
                if !habit.batches.as_ref().is_some_and(|it| it.is_missing()) {
                    findings.clear(Anomaly::Silence, vec![whose.about()], why);
                }
            }
            if now < habit.due {
                continue;
            }
            let from = habit.last.max(up_since);
            if habit.usual.weeks() == 0 || now > habit.last + GONE_US {
                habit.due = now + HOUR;
                continue;
            }
            if now < from + options.silence_us {
                habit.due = from + options.silence_us;
                continue;
            }
            let expected = habit.usual.expected(from, now);
            let improbable = -habit.usual.silence_log10(expected);
            if improbable < options.silence_improbable {
                habit.due = options.due(habit, from, now);
                continue;
            }
            // Once it was told, the hours that follow don't end it because little is usual in them.
            let is_small = || matches!(whose, Whose::Client(_)) && habit.usual.expected_an_hour(from, now) < options.silence_messages;
            if !habit.silent && is_small() {
                habit.due = now + HOUR / 4;
                continue;
            }
            if let Whose::Listener(name) = whose {
                silent_listeners.push(name);
            }
            silent.push((whose, habit, from, expected));
        }
        for (whose, habit, from, expected) in silent {
            let listener = listeners.get(usize::from(habit.listener)).map(|it| &**it);
            if matches!(whose, Whose::Client(_)) && listener.is_some_and(|listener| silent_listeners.contains(&listener)) {
                continue;
            }
            habit.silent = true;
            (habit.frozen, habit.learns_most) = (habit.frozen.or(Some((from / HOUR) as u32)), 0);
            findings.raise(finding(whose, habit, from, expected, now, options.silence_improbable));
        }
    }
}

impl super::Options {
    /// When silence could be improbable at the earliest, if it goes on.
    fn due(&self, habit: &Habit, from: WallMicros, now: WallMicros) -> WallMicros {
        let mut at = now;
        for _ in 0..AHEAD {
            let next = (at / HOUR + 1) * HOUR;
            if -habit.usual.silence_log10(habit.usual.expected(from, next)) >= self.silence_improbable {
                // Within this hour: look again where the rest of it is due.
                let (so_far, whole) = (habit.usual.expected(from, at), habit.usual.expected(from, next));
                let needed = whole * self.silence_improbable / -habit.usual.silence_log10(whole);
                let part = ((needed - so_far) / (whole - so_far).max(f32::EPSILON)).clamp(0.0, 1.0);
                return at + ((next - at) as f32 * part) as u64;
            }
            at = next;
        }
        at
    }
}

fn finding(whose: &Whose, habit: &Habit, from: WallMicros, expected: f32, now: WallMicros, threshold: f32) -> Finding {
    let about = whose.about();
    let silent_us = now - from;
    let an_hour = habit.usual.expected_an_hour(from, now);
    let since = clock(from, now);
    let where_from = match whose {
        Whose::Listener(name) => format!("no mail at all on listener {name}"),
        _ => format!("no mail from {}", whose.words()),
    };
    let summary = format!("{where_from} since {since}; usual at this time: {} an hour", mean(an_hour));
    let improbable = -habit.usual.silence_log10(expected);
    let spread = habit.usual.spread();
    let arithmetic = format!(
        "0 messages in {}, where {} are usual in these hours of the week; with the usual spread (variance ÷ mean {spread:.1}) chance does that with p = 10^-{improbable:.1}; told below 10^-{threshold:.0}",
        span(silent_us),
        mean(expected),
    );
    let severity = if an_hour < 6.0 { Severity::Notice } else { Severity::Warning };
    let advice = match whose {
        Whose::Listener(_) => {
            "Test whether the port can be reached from where mail comes from: firewall, DNS (MX), network, the proxy's own listener; `relayscope doctor all` does part of it. If the hours are just quiet (a holiday), mute this."
        }
        _ => {
            "Look at that machine: is its mail service running, is its queue growing, can it reach the proxy (network, firewall, DNS)? If it is switched off, mute this."
        }
    };
    let mut finding = Finding::new(Anomaly::Silence, severity, summary, arithmetic)
        .about(about.kind, about.value)
        .advising(Act::LocalAdmin, advice)
        .evidence(from, now, 1, Vec::new());
    finding.baseline = Some(format!(
        "{} an hour in these hours of the week, from {}",
        mean(an_hour),
        several(habit.usual.weeks().into(), "week", "weeks")
    ));
    finding
}
