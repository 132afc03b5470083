//! What came in and never left: a server that passes such mail on through here, or whose log goes on, still has it.

use std::net::IpAddr;

use super::super::answer::{Fate, Inside, LogHop, MessagePath, PathState, RelayHop, Side};
use super::super::fate::{retell, whole_of};
use super::Traces;
use crate::store::{PageRequest, Query, Term};
use crate::trace::json::{Id, Time, Word};
use crate::trace::{LogEvent, Record, RecordKind, WallMicros};

/// A server that hasn't passed on a message after this time is stuck with it; before, it is busy with it.
const PATIENCE_US: u64 = 10 * 60_000_000;
/// Mail of this span before tells whether a server passes mail for a domain on through here.
const LOOKED_BACK_US: u64 = 14 * 86_400_000_000;
/// Messages of one answer for which it is found out.
const MESSAGES: usize = 200;
/// Servers and domains that one answer asks for.
const QUESTIONS: usize = 10;

/// Marks the recipients for whom the message is stuck.
pub fn look<T: Traces>(traces: &T, paths: &mut [MessagePath], now: WallMicros) -> Result<(), T::Error> {
    let mut ways = Ways { known: Vec::new() };
    let mut log_end = None;
    for path in paths.iter_mut().take(MESSAGES) {
        let mut stuck: Vec<(String, Inside)> = Vec::new();
        for fate in path.recipients.iter().filter(|fate| fate.state.0 == PathState::Accepted) {
            let relay = path.relays().find(|hop| hop.id == fate.hop).filter(|hop| is_old(hop.until, now));
            let taken = last_taken(path, fate);
            let way = match (relay, taken) {
                // Its log tells more than the custom.
                (_, Some(line)) => {
                    let end = match log_end {
                        Some(end) => end,
                        None => *log_end.insert(newest_log(traces)?),
                    };
                    end.filter(|end| end.saturating_sub(line.at.0) >= PATIENCE_US).map(|_| by_log(line, now))
                }
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

/// The line with which a server took the message, if nothing further of that recipient follows in its log.
fn last_taken<'a>(path: &'a MessagePath, fate: &Fate) -> Option<&'a LogHop> {
    let of_it = |line: &&LogHop| line.recipient.as_ref().is_none_or(|to| to.eq_ignore_ascii_case(&fate.address));
    let last = path.logs().filter(|line| line.side != Some(Side::Before)).filter(of_it).last()?;
    matches!(last.event.0, LogEvent::Received | LogEvent::Queued | LogEvent::Submitted).then_some(last)
}

fn newest_log<T: Traces>(traces: &T) -> Result<Option<WallMicros>, T::Error> {
    let page = traces.query(&Query::of(Term::Kind(RecordKind::Log)), &PageRequest::newest(1))?;
    Ok(page.records.first().and_then(|record| match record {
        Record::Log(it) => Some(it.at),
        _ => None,
    }))
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
        let all = vec![Term::Kind(RecordKind::Transaction), Term::ClientIp(ip), Term::To(format!("@{domain}"))];
        let query = Query { all, since: Some(hop.at.0.saturating_sub(LOOKED_BACK_US)), until: None };
        let leads_on = !traces.query(&query, &PageRequest::newest(1))?.records.is_empty();
        self.known.push((ip, domain, leads_on));
        Ok(leads_on)
    }
}
