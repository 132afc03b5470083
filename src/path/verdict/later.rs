//! What was decided after the message had passed, or never passed: by reports, by lines of logs, by its not coming out again.

use super::super::answer::{Confidence, Fate, Hop, JoinedBy, LogHop, PathState, RelayHop};
use super::super::clock::span;
use super::super::words;
use super::Subject;
use crate::trace::LogEvent;

impl Subject<'_> {
    pub(super) fn told_later(&self, state: PathState) -> String {
        let (Some(fate), Some(hop)) = (self.fates.first(), self.decisive()) else {
            return "No recipient is recorded".to_owned();
        };
        let text = match (state, hop) {
            (PathState::Bounced, _) => self.bounced(fate, hop),
            (PathState::Delivered, _) => self.delivered(fate, hop),
            (PathState::Stuck, Hop::Log(line)) if line.event.0 == LogEvent::Quarantined => self.held(fate),
            (PathState::Discarded, _) => self.thrown_away(fate, hop),
            (PathState::Stuck, _) => self.stuck(fate),
            (_, Hop::Log(line)) => self.logged(state, fate, line),
            _ => format!("{state} since {}: {}", self.clock.moment(fate.at), why(fate)),
        };
        let member = fate.member.as_ref().map(|member| format!(" (behind it: {member})")).unwrap_or_default();
        format!("{text}{}{member}", self.who_clause())
    }

    /// "Bounced: accepted 10:02:11 by smtp.example.net as queue id 4F1, given back 10:04:00: mailbox full (552 5.2.2 …) by mx.example.org"
    fn bounced(&self, fate: &Fate, hop: &Hop) -> String {
        let accepted = self.accepted_before(fate).map(|text| format!("{text}, ")).unwrap_or_default();
        let by = fate.host.as_ref().map(|host| format!(" by {host}")).unwrap_or_default();
        let why = why(fate);
        let why = if why.is_empty() { "no reason is given".to_owned() } else { why };
        let at = self.clock.moment(fate.at);
        if matches!(hop, Hop::Log(line) if line.event.0 == LogEvent::Expired) {
            return format!("Bounced: {accepted}given up and given back {at}{by}: {why}{}", says(hop));
        }
        format!("Bounced: {accepted}given back {at}: {why}{by}{}", says(hop))
    }

    /// "Delivered 10:02:14 by mx.example.org (250 …), says its log; accepted 10:02:11 by smtp.example.net as queue id 4F1"
    fn delivered(&self, fate: &Fate, hop: &Hop) -> String {
        let by = fate.host.as_ref().map(|host| format!(" by {host}")).unwrap_or_default();
        let reply = fate.reply.as_ref().map(|reply| format!(" ({})", words::reply(reply))).unwrap_or_default();
        let accepted = self.accepted_before(fate).map(|text| format!("; {text}")).unwrap_or_default();
        format!("Delivered {}{by}{reply}{}{accepted}", self.clock.moment(fate.at), says(hop))
    }

    /// "Stuck in mail.example.org for 3 h 5 min: it came in at 10:02:11 as queue id 4F1 and has not left"
    fn stuck(&self, fate: &Fate) -> String {
        let host = fate.host.as_deref().unwrap_or("the server behind");
        let inside = self.path.inside.iter().find(|it| it.out.is_none() && it.server == host);
        let since = inside.map_or(fate.at, |it| it.in_at);
        let long = inside.map(|it| format!(" for {}", span(it.took_us))).unwrap_or_default();
        let id = fate.upstream_queue_id.as_ref().map(|id| format!(" as queue id {id}")).unwrap_or_default();
        format!("Stuck in {host}{long}: it came in at {}{id} and has not left", self.clock.moment(since))
    }

    /// "Held back by mail.example.org, 10:02:14: quarantined (…)"
    fn held(&self, fate: &Fate) -> String {
        let host = fate.host.as_deref().unwrap_or("the server");
        let why = why(fate);
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        let accepted = self.accepted_before(fate).map(|text| format!("; {text}")).unwrap_or_default();
        format!("Held back by {host}, {}: quarantined{why}, says its log{accepted}", self.clock.moment(fate.at))
    }

    /// "Thrown away by mail.example.org, 10:02:14 (…), says its log: nobody will deliver it"
    fn thrown_away(&self, fate: &Fate, hop: &Hop) -> String {
        let host = fate.host.as_deref().unwrap_or("the server");
        let why = why(fate);
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        let accepted = self.accepted_before(fate).map(|text| format!("; {text}")).unwrap_or_default();
        format!("Thrown away by {host}, {}{why}{}: nobody will deliver it{accepted}", self.clock.moment(fate.at), says(hop))
    }

    /// "Passed on by mail.example.org to mx.example.com, 10:02:14: 250 Ok, says its log"
    fn logged(&self, state: PathState, fate: &Fate, line: &LogHop) -> String {
        let host = fate.host.as_deref().unwrap_or("a server");
        let what = match (state, line.event.0) {
            (PathState::Accepted, LogEvent::Sent) => "Passed on by",
            (PathState::Accepted, _) => "Taken in by",
            (PathState::Deferred, LogEvent::Rejected) => "Put off by",
            (PathState::Deferred, _) => "Deferred in the queue of",
            (PathState::Rejected, _) => "Refused by",
            _ => "In doubt at",
        };
        let to = match (&line.relay_host, line.event.0) {
            (Some(to), LogEvent::Sent | LogEvent::Deferred) => format!(" to {to}"),
            _ => String::new(),
        };
        let why = why(fate);
        let why = if why.is_empty() { why } else { format!(": {why}") };
        let accepted = self.accepted_before(fate).map(|text| format!("; {text}")).unwrap_or_default();
        format!("{what} {host}{to}, {}{why}, says its log{accepted}", self.clock.moment(fate.at))
    }

    /// "accepted 10:02:11 by smtp.example.net as queue id 4F1": what was known when it passed here.
    fn accepted_before(&self, fate: &Fate) -> Option<String> {
        let hop: &RelayHop = self.path.relays().find(|hop| Some(hop.id) == fate.accepted)?;
        let id = hop.upstream_queue_id.as_ref().map(|id| format!(" as queue id {id}")).unwrap_or_default();
        Some(format!("accepted {} by {}{id}", self.clock.moment(hop.until), words::upstream(hop)))
    }
}

fn why(fate: &Fate) -> String {
    let said = match (&fate.reply, &fate.detail) {
        (Some(reply), _) => words::reply(reply),
        (None, Some(detail)) => detail.trim_end_matches('.').to_owned(),
        (None, None) => String::new(),
    };
    words::caused(fate.cause.map(|cause| cause.0), &said)
}

/// Who says so, and how sure it is that this message is meant.
fn says(hop: &Hop) -> String {
    let tie = hop.tie();
    match hop {
        Hop::Relay(_) => String::new(),
        Hop::Log(_) if tie.confidence == Confidence::Probable => {
            format!(", says its log in a line that is probably about this message ({})", tie.joined_by.words())
        }
        Hop::Log(_) => ", says its log".to_owned(),
        Hop::Report(_) if tie.confidence == Confidence::Probable || tie.joined_by == JoinedBy::Recipient => {
            format!(", says a report that is probably about this message ({})", tie.joined_by.words())
        }
        Hop::Report(it) => match &it.report.reporting_mta {
            Some(mta) => format!(", says a report of {mta}"),
            None => ", says a report".to_owned(),
        },
    }
}
