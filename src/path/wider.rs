//! Which incidents stand beside a message that failed: those that were open at that time and concern the same upstream, host, client,
//! listener, user, sender, recipient or domain, as far as their cause can have to do with the failure's.
//!
//! Messages without a failure cost nothing. For all others of an answer together the store is asked once; a second time only where one of
//! them may have ended after the time that was asked for.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::answer::{Concern, MessagePath, PathState, RelayHop, Wider};
use super::find::Traces;
use super::relevance;
use crate::store::{PageRequest, Query, Term};
use crate::trace::json::{Id, Time, Word};
use crate::trace::{About, AboutKind, Actor, Anomaly, Cause, Incident, IncidentStep, Record, RecordId, RecordKind, State, WallMicros};
use crate::wording::span;

/// Entries of incidents that are looked at, newest first.
const ENTRIES: usize = 500;
/// Incidents that are told of beside one message.
const TOLD: usize = 3;
/// An incident that is open writes an entry at least this often while it grows. µs.
const BEFORE_US: u64 = 48 * HOUR_US;
/// A failure is noticed, and an incident ended, within this time. µs.
const AFTER_US: u64 = HOUR_US;
/// Failures so shortly before an incident's first event, or after its end, are held to be part of it. µs.
pub(super) const SLACK_US: u64 = 10 * 60_000_000;
const HOUR_US: u64 = 3_600_000_000;
/// Refusals of those who doubt that the sender is who it says.
const DOUBTS: [Cause; 6] = [
    Cause::SpfDkimDmarcFailure,
    Cause::SenderRejected,
    Cause::PolicyRejected,
    Cause::PoorReputation,
    Cause::SpamDetected,
    Cause::Unclassified,
];

/// Puts incidents beside the messages that failed; gives what was left out.
pub fn look<T: Traces>(traces: &T, messages: &mut [MessagePath], now: WallMicros) -> Result<Option<String>, T::Error> {
    let failures: Vec<Option<Failure>> = messages.iter().map(Failure::of).collect();
    let spans = || failures.iter().flatten().map(|it| it.span);
    let (Some(since), Some(until)) = (spans().map(|it| it.0).min(), spans().map(|it| it.1).max()) else { return Ok(None) };
    let mut entries = Entries::of(traces, (since, until))?;
    let note = entries
        .cut
        .then(|| format!("more than {ENTRIES} entries of incidents are of this time: older ones may be missing beside these messages"));
    let mut beside: Vec<Vec<(RecordId, Vec<Concern>)>> = Vec::new();
    for (message, failure) in messages.iter().zip(&failures) {
        let matched = failure.as_ref().map(|failure| {
            let of = |it: &Incident| failure.concerns(message, it);
            entries.newest.values().filter_map(|it| of(it).map(|concerns| (it.incident, concerns))).collect()
        });
        beside.push(matched.unwrap_or_default());
    }
    if entries.until < now {
        entries.follow_up(traces, beside.iter().flatten().map(|(id, _)| *id).collect())?;
    }
    for ((message, failure), matched) in messages.iter_mut().zip(&failures).zip(beside) {
        let Some(failure) = failure else { continue };
        put(message, failure, matched, &entries.newest);
    }
    Ok(note)
}

/// The incidents of a time, each by its newest entry.
pub(super) struct Entries {
    pub newest: HashMap<RecordId, Incident>,
    /// Older entries weren't looked at.
    cut: bool,
    /// Where the time ended that was asked for.
    until: WallMicros,
}

impl Entries {
    /// Those that may have been open in a span.
    pub fn of<T: Traces>(traces: &T, (since, until): (WallMicros, WallMicros)) -> Result<Self, T::Error> {
        let (since, until) = (since.saturating_sub(BEFORE_US), until.saturating_add(AFTER_US));
        let query = Query { all: vec![Term::Kind(RecordKind::Incident)], since: Some(since), until: Some(until) };
        let page = traces.query(&query, &PageRequest::newest(ENTRIES))?;
        Ok(Self { cut: page.next.is_some(), newest: newest(page.records), until })
    }

    /// How those of them stand now that were open when the asked time ended.
    pub fn follow_up<T: Traces>(&mut self, traces: &T, mut ids: Vec<RecordId>) -> Result<(), T::Error> {
        ids.retain(|id| self.newest.get(id).is_some_and(Incident::is_open));
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(());
        }
        let terms = ids.into_iter().map(Term::Incident).collect();
        let query = Query { all: vec![Term::Any(terms)], since: Some(self.until), until: None };
        let page = traces.query(&query, &PageRequest::newest(ENTRIES))?;
        self.newest.extend(newest(page.records));
        Ok(())
    }
}

/// The newest entry of each incident; people who mute say nothing new.
fn newest(records: Vec<Record>) -> HashMap<RecordId, Incident> {
    let mut incidents = HashMap::new();
    for record in records {
        if let Record::Incident(entry) = record {
            incidents.entry(entry.incident).or_insert(*entry);
        }
    }
    incidents
}

fn put(message: &mut MessagePath, failure: &Failure, mut matched: Vec<(RecordId, Vec<Concern>)>, incidents: &HashMap<RecordId, Incident>) {
    // One that a wider one explains says nothing more where that stands beside it.
    let ids: Vec<RecordId> = matched.iter().map(|(id, _)| *id).collect();
    let is_explained = |id: &RecordId| incidents.get(id).and_then(|it| it.part_of).is_some_and(|wider| ids.contains(&wider));
    matched.retain(|(id, _)| !is_explained(id));
    let mut found: Vec<(&Incident, Vec<Concern>)> =
        matched.into_iter().filter_map(|(id, concerns)| incidents.get(&id).map(|it| (it, concerns))).collect();
    let rank = |it: &(&Incident, Vec<Concern>)| {
        let named = it.1.iter().any(|concern| concern.kind == Concern::ATTEMPT);
        let same_cause = it.0.cause.is_some_and(|cause| failure.causes(message).any(|of| of == cause));
        (std::cmp::Reverse((named || same_cause, it.0.severity)), it.0.since, it.0.incident)
    };
    found.sort_by_key(rank);
    message.incidents_more = u32::try_from(found.len().saturating_sub(TOLD)).unwrap_or(u32::MAX);
    message.incidents = found.into_iter().take(TOLD).map(|(it, concerns)| told(it, concerns, relation(it, failure.span.0))).collect();
}

pub(super) fn told(it: &Incident, concerns: Vec<Concern>, relation: Option<String>) -> Wider {
    Wider {
        id: Id(it.incident),
        anomaly: Word(it.anomaly),
        severity: Word(it.severity),
        opened_at: Time(it.since),
        resolved_at: (it.step == IncidentStep::Resolved).then_some(Time(it.at)),
        count: it.count,
        summary: it.summary.clone(),
        cause: it.cause.map(Word),
        act: Word(it.act),
        advice: it.advice.clone(),
        concerns,
        change: crate::trace::json::Incident::from(it).change,
        relation,
    }
}

/// When and how a message failed.
struct Failure {
    /// The first failure and the last.
    span: (WallMicros, WallMicros),
    /// Recipients whom it did not reach at once.
    addresses: Vec<String>,
}

impl Failure {
    /// `None`: it went well from the beginning.
    fn of(message: &MessagePath) -> Option<Self> {
        let attempts = failed(message).map(|hop| (hop.at.0, hop.until.0));
        let fates = || message.recipients.iter().filter(|fate| !fate.state.0.is_well());
        let of_fates = fates().map(|fate| (fate.at.0, fate.at.0));
        let whole = (!PathState::is_well(message.state.0)).then_some((message.last_at.0, message.last_at.0));
        let mut spans: Vec<(u64, u64)> = attempts.chain(of_fates).collect();
        if spans.is_empty() {
            spans.extend(whole);
        }
        let span = (spans.iter().map(|it| it.0).min()?, spans.iter().map(|it| it.1).max()?);
        let mut addresses: Vec<String> = fates().map(|fate| fate.address.to_ascii_lowercase()).collect();
        if addresses.is_empty() {
            addresses.extend(message.recipients.iter().map(|fate| fate.address.to_ascii_lowercase()));
        }
        Some(Self { span, addresses })
    }

    fn causes<'a>(&self, message: &'a MessagePath) -> impl Iterator<Item = Cause> + use<'a> {
        let of_hops = failed(message).filter_map(|hop| hop.cause).map(|cause| cause.0);
        of_hops.chain(message.recipients.iter().filter_map(|fate| fate.cause).map(|cause| cause.0))
    }

    /// What the incident and the message have in common, if it was then.
    fn concerns(&self, message: &MessagePath, it: &Incident) -> Option<Vec<Concern>> {
        let (first, last) = self.span;
        let end = if it.is_open() { WallMicros::MAX } else { it.last.max(it.since) };
        let begins = match it.anomaly {
            // A change explains what comes after it.
            Anomaly::DnsChanged | Anomaly::PeerChanged => it.since,
            _ => it.since.saturating_sub(SLACK_US),
        };
        if begins > last || end.saturating_add(SLACK_US) < first {
            return None;
        }
        if it.anomaly == Anomaly::DnsChanged && !self.may_be_of(message, it) {
            return None;
        }
        let named = failed(message).find(|hop| it.samples.contains(&hop.id.0));
        if named.is_none() && !self.may_come_of(message, it) {
            return None;
        }
        let is_counted = named.is_some() && relevance::counts_failures(it.anomaly);
        if !is_counted && !relevance::can_explain(it.anomaly, failed(message), self.causes(message)) {
            return None;
        }
        let mut common: Vec<Concern> =
            named.map(|hop| Concern { kind: Concern::ATTEMPT.to_owned(), value: hop.id.to_string() }).into_iter().collect();
        let mut agrees = true;
        for about in it.about.iter() {
            match self.has(message, it, about) {
                Some(true) => common.push(Concern { kind: about.kind.word().to_owned(), value: about.value.clone() }),
                Some(false) => agrees = false,
                None => {}
            }
        }
        let is_related = named.is_some() || agrees && self.may_have_cause_of(message, it);
        (is_related && !common.is_empty()).then_some(common)
    }

    /// Whether a message that it doesn't name can have failed by it, by what it is and how the message failed.
    fn may_come_of(&self, message: &MessagePath, it: &Incident) -> bool {
        if is_of_its_examples(it.anomaly) {
            return false;
        }
        let mut attempts = failed(message).peekable();
        if attempts.peek().is_none() {
            return true;
        }
        if is_of_reach(it.anomaly) {
            // Whatever the host answered to the message, it was reached.
            let is_same = |hop: &RelayHop| hop.cause.is_some_and(|cause| Some(cause.0) == it.cause);
            return attempts.any(|hop| is_same(hop) || hop.by.0 != Actor::Client && hop.upstream.ip.is_none() || was_cut(hop));
        }
        // Who leaves by itself does so because it waits too long, not because of what others are refused.
        attempts.any(|hop| hop.by.0 != Actor::Client) || it.anomaly == Anomaly::UpstreamSlow
    }

    /// One of another cause stands there only where the same side must act, or where it is of this very recipient or message: a quota that is
    /// used up says nothing of a mailbox that is full, though both are told by the same smart host.
    fn may_have_cause_of(&self, message: &MessagePath, it: &Incident) -> bool {
        let Some(cause) = it.cause else { return true };
        let (first, last) = self.span;
        let was_open = it.since <= last && (it.is_open() || it.last.max(it.since) >= first);
        // What only happened to be in the same hands was there at that very time, or has nothing to do with it.
        let is_near = |of: Cause| of == cause || was_open && (of == Cause::Unclassified || of.act() == cause.act());
        let mut causes = self.causes(message).peekable();
        let is_of_it = |about: &About| matches!(about.kind, AboutKind::Recipient | AboutKind::MessageId);
        causes.peek().is_none() || causes.any(is_near) || it.about.iter().any(is_of_it)
    }

    /// Whether what changed in DNS can explain these failures: where mail goes, or what vouches for where it comes from.
    fn may_be_of(&self, message: &MessagePath, it: &Incident) -> bool {
        let what = it.change.as_ref().map(|change| change.what.as_str()).unwrap_or_default();
        let causes: Vec<Cause> = self.causes(message).collect();
        match what {
            "MX" | "NS" => it.about(AboutKind::Domain).any(|domain| self.is_for(domain)) || causes.contains(&Cause::SenderRejected),
            "PTR" => causes.contains(&Cause::ReverseDnsMissing),
            _ => causes.is_empty() || causes.iter().any(|cause| DOUBTS.contains(cause)),
        }
    }

    fn is_for(&self, domain: &str) -> bool {
        self.addresses.iter().any(|it| domain_of(it).eq_ignore_ascii_case(domain))
    }

    /// Whether the message had to do with it; `None` where messages have no such thing.
    fn has(&self, message: &MessagePath, it: &Incident, about: &About) -> Option<bool> {
        let value = about.value.as_str();
        let is = |it: &str| it.eq_ignore_ascii_case(value);
        let from = message.from.as_deref().unwrap_or_default();
        // The address that mail leaves from is in no record; who refuses it says so.
        if it.anomaly == Anomaly::DnsChanged && about.kind == AboutKind::Client {
            return Some(true);
        }
        Some(match about.kind {
            AboutKind::Upstream => failed(message).any(|hop| is(&hop.upstream.name)),
            AboutKind::Host => failed(message).any(|hop| {
                hop.upstream.host.as_deref().is_some_and(|host| is_server(host, hop.upstream.port, value))
                    || hop.upstream.ip.is_some_and(|ip| same_ip(ip, value))
                    || hop.upstream.tried.iter().any(|tried| is_server(&tried.host, Some(tried.port), value))
            }),
            AboutKind::Client => failed(message).any(|hop| same_ip(hop.client.ip, value)),
            AboutKind::Listener => failed(message).any(|hop| is(&hop.listener)),
            AboutKind::User => failed(message).any(|hop| hop.client.user.as_deref().is_some_and(is)),
            // Some detectors put a sender's domain here.
            AboutKind::Sender => is(from) || is(domain_of(from)),
            AboutKind::Recipient => self.addresses.iter().any(|it| is(it)),
            // All others are of where mail goes to.
            AboutKind::Domain => self.is_for(value) || it.anomaly == Anomaly::DnsChanged && is(domain_of(from)),
            AboutKind::MessageId => message.message_id.as_deref().is_some_and(is),
            AboutKind::Provider => message.recipients.iter().any(|fate| fate.provider.as_deref().is_some_and(is)),
            AboutKind::Export => false,
            AboutKind::Blocklist | AboutKind::Phase | AboutKind::Dns | AboutKind::Period | AboutKind::Part => return None,
        })
    }
}

/// Servers are told by their host, and by the port as well where that is an unusual one.
fn is_server(host: &str, port: Option<u16>, value: &str) -> bool {
    let with_port = |port: u16| value.strip_suffix(&format!(":{port}")).is_some_and(|name| host.eq_ignore_ascii_case(name));
    host.eq_ignore_ascii_case(value) || port.is_some_and(with_port)
}

/// What somebody tried, or what concerns the messages alone that it counts: nothing else fails by it.
fn is_of_its_examples(anomaly: Anomaly) -> bool {
    use Anomaly::*;
    matches!(
        anomaly,
        SmugglingAttempts
            | TlsInjection
            | OpenRelayProbes
            | Scanner
            | AuthGuessing
            | AuthInClear
            | DirectoryHarvest
            | Duplicates
            | ExportFailing
            | ExportSkipping
    )
}

/// That a host can't be had at all.
fn is_of_reach(anomaly: Anomaly) -> bool {
    use Anomaly::*;
    matches!(anomaly, UpstreamDown | UpstreamFlapping | PortBlocked | DnsFailing)
}

/// The connection broke, or was never there.
fn was_cut(hop: &RelayHop) -> bool {
    let is_broken = hop.cause.is_some_and(|cause| cause.0 == Cause::ConnectionFailed);
    matches!(hop.by.0, Actor::Network | Actor::Dns) || hop.by.0 != Actor::Client && (hop.reply.is_none() || is_broken)
}

fn failed(message: &MessagePath) -> impl Iterator<Item = &RelayHop> {
    message.relays().filter(|hop| hop.state.0 != State::Accepted)
}

fn same_ip(ip: IpAddr, text: &str) -> bool {
    text.parse::<IpAddr>().is_ok_and(|it| it.to_canonical() == ip.to_canonical())
}

pub(super) fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// "MX of example.org changed 12 min before the first failure".
fn relation(it: &Incident, first: WallMicros) -> Option<String> {
    let change = it.change.as_ref().filter(|_| it.anomaly == Anomaly::DnsChanged)?;
    let of = it.about.iter().find(|about| matches!(about.kind, AboutKind::Domain | AboutKind::Client)).map(|about| about.value.as_str());
    let whose = of.map(|of| format!("{} of {of}", change.what)).unwrap_or_else(|| change.what.clone());
    Some(match first.checked_sub(it.since) {
        Some(0..60_000_000) => format!("{whose} changed at the time of the first failure"),
        Some(before) => format!("{whose} changed {} before the first failure", span(before)),
        None => format!("{whose} changed {} after the first failure", span(it.since - first)),
    })
}
