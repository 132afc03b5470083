//! What came in and never left: a server that passes such mail on through here, or whose log goes on, still has it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::answer::{Fate, Inside, LogHop, MessagePath, PathState, RelayHop, Side};
use super::super::fate::{retell, whole_of};
use super::super::join::TOLD_US;
use super::Traces;
use crate::store::{PageRequest, Query, Term};
use crate::trace::json::{Id, Time, Word};
use crate::trace::{LogEvent, Record, RecordKind, State, WallMicros};

/// A server that hasn't passed on a message after this time is stuck with it; before, it is busy with it.
const PATIENCE_US: u64 = 10 * 60_000_000;
/// Mail of this span before tells whether a server passes mail for a domain on through here.
const LOOKED_BACK_US: u64 = 14 * 86_400_000_000;
/// Messages of one answer for which it is found out.
const MESSAGES: usize = 200;
/// Messages by which it is judged.
const SAMPLES: usize = 20;
/// Newest lines of logs among which the end of one log is looked for.
const LOG_LINES: usize = 200;
const LOG_PAGES: usize = 5;
/// Servers and domains that one answer asks for.
const QUESTIONS: usize = 10;

/// Marks the recipients for whom the message is stuck.
pub fn look<T: Traces>(traces: &T, paths: &mut [MessagePath], now: WallMicros) -> Result<(), T::Error> {
    let mut ways = Ways { known: Vec::new() };
    let mut ends = LogEnds::default();
    for path in paths.iter_mut().take(MESSAGES) {
        let mut stuck: Vec<(String, Inside)> = Vec::new();
        for fate in path.recipients.iter().filter(|fate| fate.state.0 == PathState::Accepted) {
            let relay = path.relays().find(|hop| hop.id == fate.hop).filter(|hop| is_old(hop.until, now));
            let taken = last_taken(path, fate);
            let way = match (relay, taken) {
                // Its log tells more than the custom.
                (_, Some(line)) => ends.goes_on(traces, line)?.then(|| by_log(line, now)),
                (Some(hop), None) => match ways.leads_on(traces, hop, &fate.address)? {
                    true => Some(by_custom(hop, now)),
                    false => None,
                },
                (None, None) => None,
            };
            stuck.extend(way.map(|way| (fate.address.clone(), way)));
        }
        if stuck.is_empty() {
            continue;
        }
        for (address, way) in stuck {
            for fate in path.recipients.iter_mut().filter(|fate| fate.address == address) {
                fate.state = Word(PathState::Stuck);
                fate.accepted = Some(fate.hop);
                fate.host = Some(way.server.clone());
            }
            if !path.inside.contains(&way) {
                path.inside.push(way);
            }
        }
        path.state = Word(whole_of(&path.recipients).unwrap_or(PathState::Stuck));
        retell(path);
    }
    Ok(())
}

fn is_old(at: Time, now: WallMicros) -> bool {
    now.saturating_sub(at.0) >= PATIENCE_US
}

/// The line with which a server took the message, if nothing further of that recipient follows in its log, and nothing passed here since.
fn last_taken<'a>(path: &'a MessagePath, fate: &Fate) -> Option<&'a LogHop> {
    let of_it = |line: &&LogHop| line.recipient.as_ref().is_none_or(|to| to.eq_ignore_ascii_case(&fate.address));
    let last = path.logs().filter(|line| line.side != Some(Side::Before)).filter(of_it).last()?;
    let by_our_clock = last.at.0.saturating_add_signed(last.clock_ahead_us.unwrap_or(0).saturating_neg());
    let is_of_earlier = path.relays().any(|hop| hop.id == fate.hop && by_our_clock.saturating_add(TOLD_US) < hop.at.0);
    let takes = matches!(last.event.0, LogEvent::Received | LogEvent::Queued | LogEvent::Submitted);
    (takes && !is_of_earlier).then_some(last)
}

/// A server's log: its format and the host that it names.
type Log = (String, Option<String>);

/// Where logs end: of each the newest line, among the newest of all; read once an answer.
#[derive(Default)]
struct LogEnds {
    newest: Option<Vec<(Log, WallMicros)>>,
    asked: usize,
}

impl LogEnds {
    /// Whether the log that this line is of goes on after a server would be late.
    fn goes_on<T: Traces>(&mut self, traces: &T, line: &LogHop) -> Result<bool, T::Error> {
        let (format, host) = (&line.format, &line.host);
        let late = line.at.0.saturating_add(PATIENCE_US);
        let newest = match &mut self.newest {
            Some(newest) => newest,
            None => self.newest.insert(ends_of(traces, None)?),
        };
        let is_it = |((of, by), _): &&(Log, WallMicros)| of == format && by == host;
        if let Some((_, end)) = newest.iter().find(is_it) {
            return Ok(*end >= late);
        }
        // Others write so much that this one isn't among the newest: it is looked for where it would be late.
        self.asked += 1;
        Ok(self.asked <= QUESTIONS && ends_of(traces, Some((late, late.saturating_add(PATIENCE_US))))?.iter().any(|it| is_it(&it)))
    }
}

/// Of each log the newest line, as far as the newest lines of that span tell.
fn ends_of<T: Traces>(traces: &T, span: Option<(WallMicros, WallMicros)>) -> Result<Vec<(Log, WallMicros)>, T::Error> {
    let (since, until) = span.unzip();
    let query = Query { since, until, ..Query::of(Term::Kind(RecordKind::Log)) };
    let mut ends: Vec<(Log, WallMicros)> = Vec::new();
    let mut before = None;
    for _ in 0..LOG_PAGES {
        let page = traces.query(&query, &PageRequest { limit: LOG_LINES, before })?;
        for record in &page.records {
            let Record::Log(it) = record else { continue };
            if !ends.iter().any(|((format, host), _)| *format == it.format && *host == it.host) {
                ends.push(((it.format.clone(), it.host.clone()), it.at));
            }
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    Ok(ends)
}

fn by_log(line: &LogHop, now: WallMicros) -> Inside {
    let server = line.host.clone().unwrap_or_else(|| line.format.clone());
    Inside { server, into: line.id, out: None, in_at: line.at, out_at: None, took_us: now.saturating_sub(line.at.0) }
}

fn by_custom(hop: &RelayHop, now: WallMicros) -> Inside {
    let server = hop.upstream.host.clone().unwrap_or_else(|| hop.upstream.name.clone());
    Inside { server, into: Id(hop.id.0), out: None, in_at: hop.until, out_at: None, took_us: now.saturating_sub(hop.until.0) }
}

/// Which servers pass on mail for which domains through here.
struct Ways {
    known: Vec<(IpAddr, String, bool)>,
}

impl Ways {
    fn leads_on<T: Traces>(&mut self, traces: &T, hop: &RelayHop, address: &str) -> Result<bool, T::Error> {
        let (Some(ip), Some((_, domain))) = (hop.upstream.ip, address.rsplit_once('@')) else { return Ok(false) };
        let (ip, domain) = (ip.to_canonical(), domain.to_ascii_lowercase());
        // Where client and server share an address, what comes from there may be the client's.
        if hop.client.ip.to_canonical() == ip {
            return Ok(false);
        }
        if let Some((.., leads_on)) = self.known.iter().find(|(known, of, _)| *known == ip && *of == domain) {
            return Ok(*leads_on);
        }
        if self.known.len() >= QUESTIONS {
            return Ok(false);
        }
        let leads_on = usually_leads_on(traces, hop, ip, &domain)?;
        self.known.push((ip, domain, leads_on));
        Ok(leads_on)
    }
}

/// Whether of the mail for that domain that went to that server before, at least half came by again.
fn usually_leads_on<T: Traces>(traces: &T, hop: &RelayHop, ip: IpAddr, domain: &str) -> Result<bool, T::Error> {
    let of = |more: Term, since: WallMicros| Query {
        all: vec![Term::Kind(RecordKind::Transaction), more, Term::To(format!("@{domain}"))],
        since: Some(since),
        until: Some(hop.at.0.saturating_sub(1)),
    };
    let looked_back = hop.at.0.saturating_sub(LOOKED_BACK_US);
    let taken = of(Term::All(vec![Term::UpstreamNet(IpNet::from(ip)), Term::State(State::Accepted)]), looked_back);
    let taken = traces.query(&taken, &PageRequest::newest(SAMPLES))?.records;
    let taken = messages(&taken);
    // What went in at the beginning of the span may have come out before; what comes out later than the last is not waited for.
    let since = taken.iter().map(|(at, _)| *at).min().unwrap_or(looked_back);
    let passed_on = traces.query(&of(Term::ClientIp(ip), since), &PageRequest::newest(SAMPLES))?.records;
    let passed_on = messages(&passed_on);
    Ok(!passed_on.is_empty() && 2 * passed_on.len() >= taken.len())
}

/// The different messages among records: when the first attempt of each began, and its Message-ID.
fn messages(records: &[Record]) -> Vec<(WallMicros, Option<&str>)> {
    let mut messages: Vec<(WallMicros, Option<&str>)> = Vec::new();
    for record in records {
        let Record::Transaction(it) = record else { continue };
        let id = it.message.message_id.as_deref();
        match messages.iter_mut().find(|(_, known)| id.is_some() && *known == id) {
            Some((at, _)) => *at = (*at).min(it.at),
            None => messages.push((it.at, id)),
        }
    }
    messages
}
