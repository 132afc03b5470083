//! Sessions that ended before MAIL FROM, and whether their client is a host of the sender's.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::answer::EarlyEnd;
use super::super::fate::{hop_client, hop_upstream};
use super::super::find::Traces;
use super::super::what::What;
use super::outside::{Dns, Outside};
use super::{SESSIONS, recent};
use crate::smtp::is_within;
use crate::store::{PageRequest, Query, Term};
use crate::trace::json::{Id, Reply, Time, Word};
use crate::trace::{EndHow, Flag, Record, RecordKind, Session, WallMicros};

/// Client addresses that one sender is taken to have by what it sent before.
const HOSTS: usize = 4;
/// Records of a sender that are looked through for them.
const LOOKED_THROUGH: usize = 20;
/// Networks that the store is asked for at once.
const NETWORKS: usize = 64;
/// Addresses whose names DNS is asked for.
const NAMES: usize = 5;

/// A network of the sender's, and why it is held to be one.
pub(super) struct Host {
    pub network: IpNet,
    why: String,
}

/// Where the sender's mail comes from: by what it sent before, and by what DNS says.
pub(super) fn hosts<T: Traces>(traces: &T, what: &What, dns: Option<&Dns>) -> Result<Vec<Host>, T::Error> {
    let mut hosts = by_history(traces, what)?;
    for known in dns.iter().flat_map(|dns| &dns.senders) {
        let of_domain = |by: &str| if what.sender_domains().len() > 1 { format!("{by} ({})", known.domain) } else { by.to_owned() };
        hosts.extend(known.networks.iter().map(|it| Host { network: it.network, why: of_domain(&it.by) }));
    }
    Ok(hosts)
}

/// Sessions that never came to MAIL FROM, newest first: of the sender's hosts if those are known, or else of anybody.
pub(super) fn sessions<T: Traces>(
    traces: &T,
    what: &What,
    now: WallMicros,
    hosts: &[Host],
    outside: Option<&dyn Outside>,
) -> Result<Vec<EarlyEnd>, T::Error> {
    let in_span = |terms: Vec<Term>| {
        let all = std::iter::once(Term::Kind(RecordKind::Session)).chain(terms).collect();
        Query { all, since: recent(what, now), until: what.until }
    };
    let page = PageRequest::newest(SESSIONS * 10);
    let mut found: Vec<EarlyEnd> = traces.query(&in_span(Vec::new()), &page)?.records.iter().filter_map(early_end).collect();
    if hosts.is_empty() {
        found.truncate(SESSIONS);
        return Ok(found);
    }
    // Beside the newest of all, the newest of theirs: many strangers must not crowd them out.
    let theirs = hosts.iter().take(NETWORKS).map(|host| Term::ClientNet(host.network)).collect();
    for end in traces.query(&in_span(vec![Term::Any(theirs)]), &page)?.records.iter().filter_map(early_end) {
        if !found.iter().any(|known| known.id == end.id) {
            found.push(end);
        }
    }
    let mut names = Names { outside, known: Vec::new() };
    for end in &mut found {
        let by_network = hosts.iter().find(|host| host.network.contains(&end.client.ip.to_canonical()));
        end.of_sender = match by_network {
            Some(host) => Some(host.why.clone()),
            None => names.of_sender(end.client.ip, &what.sender_domains()),
        };
    }
    found.retain(|end| end.of_sender.is_some());
    found.sort_by_key(|end| std::cmp::Reverse((end.at, end.id)));
    found.truncate(SESSIONS);
    Ok(found)
}

/// The addresses from which the sender's mail came before.
fn by_history<T: Traces>(traces: &T, what: &What) -> Result<Vec<Host>, T::Error> {
    let Some(sender) = what.sender() else { return Ok(Vec::new()) };
    let mut hosts: Vec<Host> = Vec::new();
    let page = traces.query(&Query::of(Term::From(sender.to_owned())), &PageRequest::newest(LOOKED_THROUGH))?;
    for record in &page.records {
        if let Record::Transaction(it) = record
            && !hosts.iter().any(|host| host.network.contains(&it.client.ip))
            && hosts.len() < HOSTS
        {
            hosts.push(Host { network: it.client.ip.to_canonical().into(), why: format!("it sent for {sender} before") });
        }
    }
    Ok(hosts)
}

/// Names of addresses in DNS, each asked for once.
struct Names<'a> {
    outside: Option<&'a dyn Outside>,
    known: Vec<(IpAddr, Option<String>)>,
}

impl Names<'_> {
    /// Whether an address has a name within one of the domains.
    fn of_sender(&mut self, address: IpAddr, domains: &[&str]) -> Option<String> {
        let outside = self.outside?;
        let place = match self.known.iter().position(|(known, _)| *known == address) {
            Some(place) => place,
            None if self.known.len() < NAMES => {
                self.known.push((address, outside.name_of(address)));
                self.known.len() - 1
            }
            None => return None,
        };
        let name = self.known.get(place)?.1.as_ref()?;
        domains.iter().find(|domain| is_within(name, domain)).map(|_| format!("its name in DNS is {name}"))
    }
}

fn early_end(record: &Record) -> Option<EarlyEnd> {
    let Record::Session(session) = record else { return None };
    let Session { ended, outcome, .. } = session.as_ref();
    // A client that looks in and leaves with QUIT is a probe, not a message that failed; the proxy itself is no client.
    if session.transactions > 0 || session.flags.contains(&Flag::Synthetic) || (ended.how == EndHow::Quit && outcome.is_none()) {
        return None;
    }
    let outcome = outcome.as_ref();
    Some(EarlyEnd {
        id: Id(session.id),
        at: Time(session.at),
        client: hop_client(&session.client, None),
        of_sender: None,
        upstream: hop_upstream(&session.upstream),
        stage: Word(outcome.map_or(ended.stage, |outcome| outcome.stage)),
        by: Word(outcome.map_or(ended.by, |outcome| outcome.by)),
        reply: outcome.and_then(|outcome| outcome.reply.as_ref()).map(Reply::from),
        detail: outcome.and_then(|outcome| outcome.detail.clone()).or_else(|| ended.detail.clone()),
    })
}
