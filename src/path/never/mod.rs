//! No match is an answer too: what comes near, what ended before it could carry a message, and whether anybody was looking.

mod incidents;
pub(super) mod near;
pub mod outside;
mod reports;
mod sessions;
pub(super) mod well_known;
mod words;

pub use words::{dns_lines, early_end_words, incident, next, verdict};

use super::answer::{Headerless, NearDomain, NeverSeen, OfId, Tracing};
use super::clock::Clock;
use super::find::Traces;
use super::gaps;
use super::join::is_headerless;
use super::what::What;
use crate::smtp::are_related;
use crate::store::{PageRequest, Query, Term};
use crate::trace::json::{self, Id, Reply, Time, Word};
use crate::trace::{Flag, Record, RecordKind, Stage, State, Transaction, WallMicros};
use outside::{Dns, Outside};

/// Where the question names no time, sessions of this span before now are shown.
const RECENT_US: u64 = 86_400_000_000;
const SESSIONS: usize = 10;
const HEADERLESS: usize = 10;
/// Domains of one question that DNS is asked about, on each side.
const DOMAINS: usize = 2;

/// What can be said where nothing matched. `outside` is asked only where it may explain something.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn never_seen<T: Traces>(traces: &T, what: &What, now: WallMicros, outside: Option<&dyn Outside>) -> Result<NeverSeen, T::Error> {
    let reach = traces.reach()?;
    let (senders, recipients) = (what.sender_domains(), what.recipient_domains());
    let dns = outside.filter(|_| !senders.is_empty() || !recipients.is_empty()).map(|outside| Dns {
        senders: senders.iter().take(DOMAINS).map(|domain| outside.senders(domain)).collect(),
        exchangers: recipients.iter().take(DOMAINS).map(|domain| outside.exchangers(domain)).collect(),
    });
    let hosts = sessions::hosts(traces, what, dns.as_ref())?;
    let sessions = sessions::sessions(traces, what, now, &hosts, outside)?;
    let (incidents, incidents_more) = incidents::incidents(traces, what, now, &hosts, &sessions)?;
    let mut seen = NeverSeen {
        verdict: String::new(),
        of_id: of_id(traces, what)?,
        nearest: near::nearest(traces, what)?,
        domains: domains(&senders, &recipients),
        without_header: without_header(traces, what, now)?,
        reports: reports::reports(traces, what)?,
        sessions,
        incidents,
        incidents_more,
        dns,
        tracing: Tracing {
            since: what.since.map(Time),
            until: what.until.map(Time),
            oldest_at: reach.map(|(oldest, _)| Time(oldest)),
            newest_at: reach.map(|(_, newest)| Time(newest)),
            running: traces.is_running(),
            stopped_at: gaps::stopped(traces)?.map(Time),
            gaps: gaps::between(traces, what.since, what.until)?,
        },
        next: Vec::new(),
    };
    seen.verdict = verdict(&seen, &what.text, &Clock::utc());
    seen.next = next(&seen, &Clock::utc());
    Ok(seen)
}

/// What an id that was asked for is of, if it is of no message: `search` lists sessions and others.
fn of_id<T: Traces>(traces: &T, what: &What) -> Result<Option<OfId>, T::Error> {
    let Some(id) = what.id() else { return Ok(None) };
    let records = traces.query(&Query::of(Term::Id(id)), &PageRequest::newest(1))?.records;
    let other = records.first().filter(|record| !matches!(record.kind(), RecordKind::Transaction | RecordKind::Mark));
    Ok(other.map(|record| OfId { id: Id(record.id()), at: json::Record::from(record).at(), kind: Word(record.kind()) }))
}

/// Well-known domains that look like those asked for.
fn domains(senders: &[&str], recipients: &[&str]) -> Vec<NearDomain> {
    let mut near: Vec<NearDomain> = Vec::new();
    for asked in senders.iter().chain(recipients) {
        for (domain, distance) in well_known::like(asked) {
            if !near.iter().any(|known| known.asked == *asked && known.domain == domain) {
                let distance = u32::try_from(distance).unwrap_or(u32::MAX);
                near.push(NearDomain { asked: (*asked).to_owned(), domain: domain.to_owned(), distance });
            }
        }
    }
    near
}

/// Refused at MAIL FROM or RCPT TO, or without a record of its end, a message leaves neither Message-ID nor subject. By a Message-ID's domain they can be
/// told apart from others'; without one the newest are shown.
fn without_header<T: Traces>(traces: &T, what: &What, now: WallMicros) -> Result<Vec<Headerless>, T::Error> {
    let Some(domain) = what.needs_header() else { return Ok(Vec::new()) };
    let mut found: Vec<Headerless> = Vec::new();
    // Nor is it recorded of one that was under way when the proxy was killed, or whose record couldn't be stored.
    let cut_off = vec![Term::Stage(Stage::EndOfData), Term::State(State::Unknown), Term::Flag(Flag::InDoubt)];
    for of_kind in [vec![Term::Stage(Stage::MailFrom)], vec![Term::Stage(Stage::RcptTo)], cut_off] {
        let all = std::iter::once(Term::Kind(RecordKind::Transaction)).chain(of_kind).collect();
        let query = Query { all, since: recent(what, now), until: what.until };
        for record in traces.query(&query, &PageRequest::newest(HEADERLESS * 20))?.records {
            let Record::Transaction(it) = record else { continue };
            let known = found.iter().any(|other| other.id.0 == it.id);
            if !known && is_headerless(&it) && domain.is_none_or(|domain| is_of_domain(&it, domain)) {
                found.push(Headerless {
                    id: Id(it.id),
                    at: Time(it.at),
                    from: it.envelope.reverse_path.clone(),
                    recipients: it.envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
                    state: Word(it.outcome.state),
                    stage: Word(it.outcome.stage),
                    reply: it.outcome.reply.as_ref().map(Reply::from),
                });
            }
        }
    }
    found.sort_by_key(|it| std::cmp::Reverse((it.at, it.id)));
    found.truncate(HEADERLESS);
    Ok(found)
}

/// Message-IDs bear the sender's domain, or the name of the host that made them.
fn is_of_domain(transaction: &Transaction, domain: &str) -> bool {
    let sender = transaction.envelope.reverse_path.rsplit_once('@').map(|(_, domain)| domain);
    let names = sender.into_iter().chain(transaction.client.helo.as_deref());
    names.into_iter().any(|name| are_related(name, domain))
}

/// From when on it is looked for what surrounds a message that wasn't found.
fn recent(what: &What, now: WallMicros) -> Option<WallMicros> {
    what.since.or_else(|| Some(what.until.unwrap_or(now).saturating_sub(RECENT_US)))
}
