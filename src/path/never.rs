//! No match is an answer too: what comes near, what ended before it could carry a message, and whether anybody was looking.

use std::collections::HashMap;

use super::answer::{EarlyEnd, Headerless, Nearest, NeverSeen, Tracing};
use super::clock::Clock;
use super::fate::{hop_client, hop_upstream};
use super::find::Traces;
use super::gaps;
use super::join::{is_headerless, key};
use super::nearest::address_distance;
use super::what::What;
use super::words;
use crate::store::{PageRequest, Query, Term};
use crate::trace::json::{Id, Reply, Time, Word};
use crate::trace::{EndHow, Record, RecordKind, Session, Stage, Transaction, WallMicros};

/// Where the question names no time, sessions of this span before now are shown.
const RECENT_US: u64 = 86_400_000_000;
/// Records looked through for addresses that look alike.
const LOOKED_THROUGH: usize = 300;
const NEAREST: usize = 5;
const SESSIONS: usize = 10;
const HEADERLESS: usize = 10;
/// Client addresses that one sender is taken to have.
const HOSTS: usize = 4;

/// What can be said where nothing matched.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn never_seen<T: Traces>(traces: &T, what: &What, now: WallMicros) -> Result<NeverSeen, T::Error> {
    let reach = traces.reach()?;
    let mut seen = NeverSeen {
        verdict: String::new(),
        nearest: nearest(traces, what)?,
        without_header: without_header(traces, what, now)?,
        sessions: sessions(traces, what, now)?,
        tracing: Tracing {
            since: what.since.map(Time),
            until: what.until.map(Time),
            oldest_at: reach.map(|(oldest, _)| Time(oldest)),
            newest_at: reach.map(|(_, newest)| Time(newest)),
            running: traces.is_running(),
            gaps: gaps::between(traces, what.since, what.until)?,
        },
        next: Vec::new(),
    };
    seen.verdict = verdict(&seen, &what.text, &Clock::utc());
    seen.next = next(&seen, &Clock::utc());
    Ok(seen)
}

/// Addresses a slip or two away, by the domain, then by the local part, then among the newest records.
fn nearest<T: Traces>(traces: &T, what: &What) -> Result<Vec<Nearest>, T::Error> {
    let mut found: HashMap<String, Nearest> = HashMap::new();
    for wanted in what.addresses() {
        let Some((local_part, domain)) = wanted.rsplit_once('@') else { continue };
        let places = [vec![Term::Domain(domain.to_owned())], vec![Term::Address(local_part.to_owned())], Vec::new()];
        for all in places {
            let page = traces.query(&Query { all, since: None, until: None }, &PageRequest::newest(LOOKED_THROUGH))?;
            for record in &page.records {
                let Record::Transaction(transaction) = record else { continue };
                for address in addresses(transaction) {
                    let Some(distance) = address_distance(wanted, address).filter(|far| *far > 0) else { continue };
                    let near = Nearest {
                        address: address.to_owned(),
                        distance: u32::try_from(distance).unwrap_or(u32::MAX),
                        last_at: Time(transaction.at),
                        id: Id(transaction.id),
                    };
                    let known = found.entry(key(address)).or_insert_with(|| near.clone());
                    if known.last_at < near.last_at {
                        *known = near;
                    }
                }
            }
            if !found.is_empty() {
                break;
            }
        }
    }
    let mut nearest: Vec<Nearest> = found.into_values().collect();
    nearest.sort_by(|one, other| {
        (one.distance, std::cmp::Reverse(one.last_at), &one.address).cmp(&(
            other.distance,
            std::cmp::Reverse(other.last_at),
            &other.address,
        ))
    });
    nearest.truncate(NEAREST);
    Ok(nearest)
}

fn addresses(transaction: &Transaction) -> impl Iterator<Item = &str> {
    let recipients = transaction.envelope.recipients.iter().map(|recipient| recipient.address.as_str());
    std::iter::once(transaction.envelope.reverse_path.as_str()).chain(recipients)
}

/// Refused at MAIL FROM or RCPT TO, a message leaves neither Message-ID nor subject. By a Message-ID's domain they can be
/// told apart from others'; without one the newest are shown.
fn without_header<T: Traces>(traces: &T, what: &What, now: WallMicros) -> Result<Vec<Headerless>, T::Error> {
    let Some(domain) = what.needs_header() else { return Ok(Vec::new()) };
    let mut found: Vec<Headerless> = Vec::new();
    for stage in [Stage::MailFrom, Stage::RcptTo] {
        let query =
            Query { all: vec![Term::Kind(RecordKind::Transaction), Term::Stage(stage)], since: recent(what, now), until: what.until };
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
    let within = |name: &str, domain: &str| {
        let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
        name == domain || name.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
    };
    let sender = transaction.envelope.reverse_path.rsplit_once('@').map(|(_, domain)| domain);
    let names = sender.into_iter().chain(transaction.client.helo.as_deref());
    names.into_iter().any(|name| within(name, domain) || within(domain, name))
}

/// From when on it is looked for what surrounds a message that wasn't found.
fn recent(what: &What, now: WallMicros) -> Option<WallMicros> {
    what.since.or_else(|| Some(what.until.unwrap_or(now).saturating_sub(RECENT_US)))
}

/// Sessions that never came to MAIL FROM, of the sender's hosts if those are known.
fn sessions<T: Traces>(traces: &T, what: &What, now: WallMicros) -> Result<Vec<EarlyEnd>, T::Error> {
    let mut hosts = Vec::new();
    if let Some(sender) = what.sender() {
        let page = traces.query(&Query::of(Term::From(sender.to_owned())), &PageRequest::newest(20))?;
        for record in &page.records {
            if let Record::Transaction(transaction) = record
                && !hosts.contains(&transaction.client.ip)
                && hosts.len() < HOSTS
            {
                hosts.push(transaction.client.ip);
            }
        }
    }
    let since = recent(what, now);
    let in_span = |terms: Vec<Term>| {
        let all = std::iter::once(Term::Kind(RecordKind::Session)).chain(terms).collect();
        Query { all, since, until: what.until }
    };
    let queries = match hosts.is_empty() {
        true => vec![in_span(Vec::new())],
        false => hosts.into_iter().map(|ip| in_span(vec![Term::ClientIp(ip)])).collect(),
    };
    let mut found = Vec::new();
    for query in queries {
        let page = traces.query(&query, &PageRequest::newest(SESSIONS * 10))?;
        found.extend(page.records.iter().filter_map(early_end));
    }
    found.sort_by_key(|end| std::cmp::Reverse((end.at, end.id)));
    found.truncate(SESSIONS);
    Ok(found)
}

fn early_end(record: &Record) -> Option<EarlyEnd> {
    let Record::Session(session) = record else { return None };
    let Session { ended, outcome, .. } = session.as_ref();
    // A client that looks in and leaves with QUIT is a probe, not a message that failed.
    if session.transactions > 0 || (ended.how == EndHow::Quit && outcome.is_none()) {
        return None;
    }
    let outcome = outcome.as_ref();
    Some(EarlyEnd {
        id: Id(session.id),
        at: Time(session.at),
        client: hop_client(&session.client, None),
        upstream: hop_upstream(&session.upstream),
        stage: Word(outcome.map_or(ended.stage, |outcome| outcome.stage)),
        by: Word(outcome.map_or(ended.by, |outcome| outcome.by)),
        reply: outcome.and_then(|outcome| outcome.reply.as_ref()).map(Reply::from),
        detail: outcome.and_then(|outcome| outcome.detail.clone()).or_else(|| ended.detail.clone()),
    })
}

/// The one sentence for "nothing".
pub fn verdict(seen: &NeverSeen, query: &str, clock: &Clock) -> String {
    let tracing = &seen.tracing;
    let span = match (tracing.since, tracing.until) {
        (Some(since), Some(until)) => format!(" between {} and {}", clock.moment(since), clock.moment(until)),
        (Some(since), None) => format!(" since {}", clock.moment(since)),
        (None, Some(until)) => format!(" before {}", clock.moment(until)),
        (None, None) => String::new(),
    };
    let mut text = format!("Never seen: no message that passed Relayscope{span} matches {query}");
    match (tracing.oldest_at, tracing.since) {
        (None, _) => text.push_str("; the trace is empty"),
        (Some(oldest), None) => text.push_str(&format!("; the trace begins {}", clock.moment(oldest))),
        (Some(oldest), Some(since)) if since < oldest => text.push_str(&format!("; the trace begins only {}", clock.moment(oldest))),
        _ => {}
    }
    text.push('.');
    if let Some(near) = seen.nearest.first() {
        text.push_str(&format!(" Did you mean {} (last seen {})?", near.address, clock.moment(near.last_at)));
    }
    match seen.without_header.len() {
        0 => {}
        1 => text.push_str(" A message that is refused before its text leaves no Message-ID or subject here: one such attempt is listed."),
        many => text.push_str(&format!(
            " A message that is refused before its text leaves no Message-ID or subject here: {many} such attempts are listed."
        )),
    }
    if let Some(last) = seen.sessions.first() {
        let why = early_end_words(last);
        let who = words::client_of(&last.client);
        match seen.sessions.len() {
            1 => text.push_str(&format!(" One session ended before MAIL FROM: {who}, {}: {why}.", clock.moment(last.at))),
            many => text.push_str(&format!(
                " {}{many} sessions ended before MAIL FROM, the last from {who}, {}: {why}.",
                if many == SESSIONS { "At least " } else { "" },
                clock.moment(last.at)
            )),
        }
    }
    let lost: u64 = tracing.gaps.iter().map(|gap| gap.records_lost).sum();
    if lost > 0 {
        text.push_str(&format!(
            " The trace has holes: {} went unrecorded.",
            words::count(usize::try_from(lost).unwrap_or(usize::MAX), "record")
        ));
    }
    if !tracing.running {
        text.push_str(" No proxy is adding to this trace now.");
    }
    text
}

/// Why a session came to nothing, as part of a sentence.
pub fn early_end_words(end: &EarlyEnd) -> String {
    let stage = words::stage(end.stage.0);
    let detail = end.detail.as_deref().map(|detail| detail.trim_end_matches('.'));
    match (&end.reply, detail) {
        (Some(reply), Some(detail)) => format!("{stage}: {detail} (the client got {})", words::code(reply)),
        (Some(reply), None) => format!("{stage}: {}", words::reply(reply)),
        (None, Some(detail)) => format!("{stage}: {detail}"),
        (None, None) => format!("{stage}: ended by the {}", end.by),
    }
}

/// What to do next where nothing was found.
pub fn next(seen: &NeverSeen, clock: &Clock) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(near) = seen.nearest.first() {
        steps.push(format!("If {} was meant: relayscope where {}", near.address, near.address));
    }
    if !seen.without_header.is_empty() {
        steps.push("Ask by recipient or sender: those are seen before the message text.".to_owned());
    }
    if let Some(last) = seen.sessions.first() {
        steps.push(format!("What became of the last of those sessions: relayscope show {}", last.id));
    }
    if let Some(gap) = seen.tracing.gaps.first() {
        steps.push(format!(
            "Between {} and {} mail passed without a record ({}): for that time, ask the smart host and the sending server.",
            clock.moment(gap.at),
            clock.moment(gap.until),
            gap.why.trim_end_matches('.')
        ));
    }
    if !seen.tracing.running {
        steps.push("Start the proxy (relayscope run), or name the right store with --store.".to_owned());
    }
    steps.push("Look in the sending server's log for the message: which host and port did it hand it to? If that isn't Relayscope, the message never came here.".to_owned());
    steps
}
