//! Words of logs and reports on one recipient, and which of them decides.

use std::collections::HashSet;

use super::super::answer::PathState;
use super::super::join::{Group, Line, Told, same};
use super::later::{reported_state, state};
use crate::trace::{LogEvent, RecordId, Reported};

/// Where it was said.
#[derive(Clone, Copy)]
pub enum Said<'a> {
    Line(&'a Line),
    Report(&'a Told, &'a Reported),
}

/// Something that was said of a recipient after it was taken.
pub struct Spoken<'a> {
    pub said: Said<'a>,
    pub state: PathState,
    /// The address that it names: of a list or an alias one of those behind it.
    pub member: Option<&'a str>,
}

impl<'a> Spoken<'a> {
    pub fn moment(&self) -> u64 {
        match self.said {
            Said::Line(line) => line.moment(),
            Said::Report(told, _) => told.transaction.at,
        }
    }

    /// The latest that it can have happened: many logs know whole seconds only.
    pub fn latest(&self) -> u64 {
        match self.said {
            Said::Line(line) => line.latest(),
            Said::Report(told, _) => told.transaction.at,
        }
    }

    fn order(&self) -> (u64, u8, RecordId) {
        match self.said {
            Said::Line(line) => line.order(),
            Said::Report(told, _) => (told.transaction.at, u8::MAX, told.transaction.id),
        }
    }

    /// Two words of one entry of a server's queue, or of one report.
    fn is_of_same_source(&self, other: &Self) -> bool {
        match (self.said, other.said) {
            (Said::Line(one), Said::Line(other)) => one.is_of_same_entry(other),
            (Said::Report(one, _), Said::Report(other, _)) => one.transaction.id == other.transaction.id,
            _ => false,
        }
    }

    fn is_on_same_member(&self, other: &Self) -> bool {
        match (self.member, other.member) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            (one, other) => one == other,
        }
    }

    fn of(line: &'a Line, state: PathState, member: Option<&'a str>) -> Self {
        Self { said: Said::Line(line), state, member }
    }
}

/// What a line calls its recipient, now and before.
fn addresses(line: &Line) -> impl Iterator<Item = &String> {
    [&line.log.recipient, &line.log.original_recipient].into_iter().flatten()
}

/// All that puts a recipient of these names in a state.
pub fn words<'a>(group: &'a Group, is_named: impl Fn(&str) -> bool) -> Vec<Spoken<'a>> {
    let names = |line: &Line| addresses(line).any(|it| is_named(it));
    let mut words = Vec::new();
    for line in &group.logs {
        let Some(state) = state(line) else { continue };
        if is_on_whole_entry(line) {
            if !is_over(group, line) && !is_entry_of_others(group, line, &is_named) {
                words.extend(left_in_queue(group, line, &names).into_iter().map(|member| Spoken::of(line, state, member)));
            }
        } else if names(line) {
            words.push(Spoken::of(line, state, line.log.recipient.as_deref()));
        }
    }
    for told in &group.reports {
        let recipients = told.transaction.message.report.iter().flat_map(|report| &report.recipients);
        let on_it = recipients.filter(|it| is_named(&it.address) || it.original.as_deref().is_some_and(&is_named));
        words.extend(on_it.filter_map(|reported| {
            let state = reported_state(told, reported)?;
            Some(Spoken { said: Said::Report(told, reported), state, member: Some(&reported.address) })
        }));
    }
    words
}

/// Whether a line is on a whole entry of a queue. What Postfix's smtpd and cleanup hold or throw away is the whole message, although they
/// name the recipient that came last; only its delivery agents, who mean one recipient, tell a delay.
fn is_on_whole_entry(line: &Line) -> bool {
    let names_nobody = addresses(line).next().is_none();
    match line.log.event {
        LogEvent::Expired => names_nobody,
        LogEvent::Quarantined | LogEvent::Discarded => names_nobody || (line.log.format == "postfix" && line.log.delay_us.is_none()),
        _ => false,
    }
}

/// Whether it was held, and went on: the administrator or the queue's runner let it go.
fn is_over(group: &Group, held: &Line) -> bool {
    let goes_on = |line: &Line| {
        line.is_of_same_entry(held)
            && line.log.at > held.log.at
            && matches!(line.log.event, LogEvent::Queued | LogEvent::Sent | LogEvent::Delivered | LogEvent::Deferred | LogEvent::Bounced)
    };
    held.log.event == LogEvent::Quarantined && group.logs.iter().any(goes_on)
}

/// Whether that entry of a queue came of attempts through this proxy, or of another entry, that were for others than these names.
fn is_entry_of_others(group: &Group, line: &Line, is_named: &impl Fn(&str) -> bool) -> bool {
    let id = line.log.queue_id.as_deref();
    let attempts = group.transactions().filter(|it| same(it.outcome.upstream_queue_id.as_deref(), id));
    let of_attempts = attempts.map(|it| it.envelope.recipients.iter().any(|to| is_named(&to.address)));
    let handed = |it: &&Line| same(it.log.goes_on_as(), id) && !it.is_of_same_entry(line) && it.log.recipient.is_some();
    let of_lines = group.logs.iter().filter(handed).map(|it| addresses(it).any(|it| is_named(it)));
    let mut ways = of_attempts.chain(of_lines).peekable();
    ways.peek().is_some() && !ways.any(|is_ours| is_ours)
}

/// For whom of these names a word on a whole entry is: those that were still in it, by the lines before. `None`: no line names anybody.
fn left_in_queue<'a>(group: &'a Group, word: &'a Line, names: &impl Fn(&Line) -> bool) -> Vec<Option<&'a str>> {
    let mut members: Vec<(Option<&str>, bool)> = Vec::new();
    // Whoever was refused was never in it.
    let of_it = |line: &&Line| {
        line.is_of_same_entry(word)
            && line.log.recipient.is_some()
            && line.order() < word.order()
            && line.log.event != LogEvent::Rejected
            && !is_on_whole_entry(line)
    };
    let mut knows_others = false;
    for line in group.logs.iter().filter(of_it) {
        if !names(line) {
            knows_others = true;
            continue;
        }
        let is_left = state(line).is_none_or(|state| state == PathState::Deferred);
        match members.iter_mut().find(|(member, _)| *member == line.log.recipient.as_deref()) {
            Some((_, left)) => *left = is_left,
            None => members.push((line.log.recipient.as_deref(), is_left)),
        }
    }
    if members.is_empty() && names(word) {
        return vec![word.log.recipient.as_deref()];
    }
    if members.is_empty() && !knows_others {
        return vec![None];
    }
    members.into_iter().filter(|(_, left)| *left).map(|(member, _)| member).collect()
}

/// How often a server tried, by its own lines; of several servers the one that tried most.
pub fn tries(words: &[Spoken<'_>]) -> u32 {
    let is_try = |word: &&Spoken<'_>| {
        let Said::Line(line) = word.said else { return false };
        matches!(line.log.event, LogEvent::Sent | LogEvent::Delivered | LogEvent::Deferred | LogEvent::Bounced | LogEvent::Rejected)
    };
    let of_source = |of: &Spoken<'_>| words.iter().filter(is_try).filter(|word| word.is_of_same_source(of)).count();
    // What has no queue id, as a refusal has none, is a try by itself.
    let most = words.iter().filter(is_try).map(|word| of_source(word).max(1)).max().unwrap_or(0);
    u32::try_from(most).unwrap_or(u32::MAX)
}

/// What kept the recipient waiting in that queue until it was given up: the last reason before.
pub fn reason_before<'w, 'a>(words: &'w [Spoken<'a>], given_up: &Spoken<'a>) -> Option<&'w Line> {
    let is_it = |word: &&Spoken<'a>| {
        word.state == PathState::Deferred
            && word.is_of_same_source(given_up)
            && word.is_on_same_member(given_up)
            && word.order() < given_up.order()
    };
    match words.iter().filter(is_it).max_by_key(|word| word.order())?.said {
        Said::Line(line) => Some(line),
        Said::Report(..) => None,
    }
}

/// The word that counts, and whether it is on one of several behind a list. The latest; where the same server or report speaks of
/// several addresses behind this one, of each the latest, and of those the worst.
pub fn decisive<'w, 'a>(words: &'w [Spoken<'a>]) -> Option<(&'w Spoken<'a>, bool)> {
    let past = handed_on(words);
    let is_past = |word: &Spoken<'_>| {
        past.iter().any(|sent| sent.is_of_same_source(word) && sent.is_on_same_member(word) && word.order() <= sent.order())
    };
    let current: Vec<&Spoken<'_>> = words.iter().filter(|word| !is_past(word)).collect();
    let last = current.iter().max_by_key(|word| word.order())?;
    let mut by_member: Vec<&'w Spoken<'a>> = Vec::new();
    for word in current.iter().filter(|word| word.is_of_same_source(last)) {
        match by_member.iter_mut().find(|known| known.is_on_same_member(word)) {
            Some(known) if known.order() <= word.order() => *known = word,
            Some(_) => {}
            None => by_member.push(word),
        }
    }
    let of_several = by_member.len() > 1;
    let worst = by_member.into_iter().min_by_key(|word| (word.state.urgency(), std::cmp::Reverse(word.order())));
    Some((worst.unwrap_or(last), of_several))
}

/// Words that a server passed the recipient on, where the next server's own words are here: whatever the clocks say, those came later.
fn handed_on<'w, 'a>(words: &'w [Spoken<'a>]) -> Vec<&'w Spoken<'a>> {
    let line = |word: &Spoken<'a>| match word.said {
        Said::Line(line) => Some(line),
        Said::Report(..) => None,
    };
    let entries: HashSet<String> =
        words.iter().filter_map(line).filter_map(|line| Some(line.log.queue_id.as_ref()?.to_ascii_lowercase())).collect();
    let leads_on = |line: &Line| {
        let next =
            line.log.next_queue_id.as_ref().filter(|next| line.log.queue_id.as_ref().is_none_or(|own| !own.eq_ignore_ascii_case(next)));
        line.log.event == LogEvent::Sent && next.is_some_and(|next| entries.contains(&next.to_ascii_lowercase()))
    };
    words.iter().filter(|word| line(word).is_some_and(leads_on)).collect()
}
