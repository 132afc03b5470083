//! A change of DNS in words, beside the failures that it explains.

use std::fmt;

use super::failing::Failing;
use super::known::Turn;
use super::{Published, Question, Sort};
use crate::anomaly::finding::Finding;
use crate::anomaly::window::{DAY, MINUTE};
use crate::trace::json::Time;
use crate::trace::{AboutKind, Act, Anomaly, Change, Severity, WallMicros};
use crate::wording::{clock, in_shell, several};

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(records) => f.write_str(&several(records.len() as u64, "record", "records")),
            Self::Nothing => f.write_str("nothing"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// What the administrator is told. `failing`: mail of the domain that fails since.
pub(super) fn changed(question: &Question, turn: &mut Turn, failing: Option<&mut Failing>, now: WallMicros) -> Finding {
    let what = name(question);
    let first = u64::from(turn.tell());
    let when = if turn.seen.saturating_sub(turn.last_before) <= MINUTE {
        format!("at {}", clock(turn.seen, now))
    } else {
        format!("between {} and {}", clock(turn.last_before, now), clock(turn.seen, now))
    };
    let mut summary = format!("{what} of {} changed {when}: {} is now {}", question.of, shown(&turn.before), shown(&turn.after));
    let arithmetic = format!(
        "last seen as before {}, first seen otherwise {}; looked at again and again while mail fails",
        Time(turn.last_before),
        Time(turn.seen)
    );
    let gone = turn.after.is_empty();
    let mut severity = if gone { Severity::Warning } else { Severity::Notice };
    let (mut since, mut last, mut fresh, mut samples) = (turn.seen, turn.seen, first, Vec::new());
    if let Some(failing) = failing {
        summary.push_str(&relation(turn, failing, now));
        severity = Severity::Warning;
        (since, last) = (since.min(failing.since), failing.last);
        fresh += std::mem::take(&mut failing.fresh);
        samples = failing.samples.clone();
    }
    let finding = Finding::new(Anomaly::DnsChanged, severity, summary, arithmetic);
    let kind = if question.sort == Sort::Ptr { AboutKind::Client } else { AboutKind::Domain };
    let (act, advice) = advice(question, gone);
    let mut finding =
        finding.about(kind, &question.of).about(AboutKind::Dns, what.clone()).advising(act, advice).evidence(since, last, fresh, samples);
    finding.change = Some(Change { what, before: shown(&turn.before), after: shown(&turn.after), last_before: Some(turn.last_before) });
    finding.quiet_after_us = Some(DAY.saturating_sub(now.saturating_sub(turn.seen)).max(MINUTE));
    finding
}

/// "; 12 min before the first failure (10:22)".
fn relation(turn: &Turn, failing: &Failing, now: WallMicros) -> String {
    let first = clock(failing.since, now);
    let failures = format!("{} since", several(failing.count, "failure", "failures"));
    match failing.since.checked_sub(turn.seen) {
        Some(after) if after >= MINUTE => format!("; {} min before the first failure ({first}; {failures})", after / MINUTE),
        Some(_) => format!("; less than a minute before the first failure ({first}; {failures})"),
        None => {
            let before = match turn.seen.saturating_sub(failing.since) / MINUTE {
                0 => "less than a minute".to_owned(),
                minutes => format!("{minutes} min"),
            };
            format!("; the first failure was at {first}, {before} before the change was noticed ({failures})")
        }
    }
}

fn name(question: &Question) -> String {
    match (question.sort, &question.selector) {
        (Sort::Mx, _) => "MX".to_owned(),
        (Sort::Ns, _) => "NS".to_owned(),
        (Sort::Spf, _) => "SPF".to_owned(),
        (Sort::Dmarc, _) => "DMARC".to_owned(),
        (Sort::Ptr, _) => "PTR".to_owned(),
        (Sort::Dkim, Some(selector)) => format!("DKIM key {selector}"),
        (Sort::Dkim, None) => "DKIM".to_owned(),
    }
}

fn advice(question: &Question, gone: bool) -> (Act, String) {
    let of = &question.of;
    // In a command it must stay a word, whatever it is made of.
    let domain = in_shell(of);
    match (question.sort, gone) {
        (Sort::Mx | Sort::Ns, false) => (
            Act::RecipientSide,
            format!("If mail to {of} fails since, tell its admin before and after; `relayscope doctor dns {domain}` checks it."),
        ),
        (Sort::Mx | Sort::Ns, true) => (
            Act::RecipientSide,
            format!("{of} publishes none any more: see whether its registration ran out (`relayscope doctor dns {domain}`)."),
        ),
        (Sort::Ptr, _) => (
            Act::Network,
            format!(
                "Have whoever owns the address set its name back: many receivers refuse an address whose name doesn't lead back to {of}."
            ),
        ),
        (_, true) => {
            (Act::LocalAdmin, format!("Publish it again, or receivers can't check mail from {of} (`relayscope doctor dns {domain}`)."))
        }
        (_, false) => (
            Act::LocalAdmin,
            format!("If this wasn't you, find out who changes the zone; `relayscope doctor dns {domain}` checks the new one."),
        ),
    }
}

fn shown(answer: &str) -> String {
    if answer.is_empty() { "nothing".to_owned() } else { answer.to_owned() }
}
