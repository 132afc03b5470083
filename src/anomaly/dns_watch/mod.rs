//! Watches what domains publish for mail: MX, NS, SPF, DKIM keys, DMARC, and the names of the own addresses. A change is told with before and
//! after, and beside the failures that it explains.
//!
//! No I/O: [`DnsWatch::questions`] says what to ask, [`DnsWatch::answered`] takes what came back; `domain` is one of them, `known` holds what was published so
//! far, `words` the sentences. Answers that sessions got anyway count as well, so that an MX that mail goes to is watched at every message.

mod domain;
mod failing;
mod known;
mod words;

use std::net::IpAddr;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::finding::Findings;
use super::room;
use super::seen::{Seen, domain_of};
use super::window::{HOUR, MINUTE};
use crate::smtp::are_related;
use crate::trace::{Cause, Direction, LookupOutcome, State, Transaction, Upstream, WallMicros};
use domain::{Domain, Domain2, INTEREST};
use failing::{FRESH, Failing};
use known::Known;

/// How DNS is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub enabled: bool,
    /// Between two looks at the same name. µs.
    pub every_us: u64,
    /// Domains that are watched at the same time; those that mail passed for longest ago go first.
    pub domains: usize,
    /// Addresses that this site sends from: their names are watched.
    pub addresses: Vec<IpAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Self { enabled: true, every_us: HOUR, domains: 2_000, addresses: Vec::new() }
    }
}

/// A server that doesn't answer is asked again after so long, then after twice as long, and so on.
const RETRY: u64 = 10 * MINUTE;
/// What is published, by the name that people have for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sort {
    Mx,
    Ns,
    Spf,
    Dkim,
    Dmarc,
    Ptr,
}

/// The type of record that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DnsType {
    Mx,
    Ns,
    Txt,
    Ptr,
}

/// Whose records are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Name(String),
    /// The name that belongs to an address.
    Reverse(IpAddr),
}

/// One thing to ask DNS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Question {
    pub sort: Sort,
    /// The domain, or the address for a PTR, that it is asked for.
    pub of: String,
    /// For a DKIM key.
    pub selector: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// Each record in presentation form; an MX as "10 mx.example.org".
    Records(Vec<String>),
    /// No such name, or no record of that type.
    Nothing,
    /// Nobody can say at present.
    Unknown,
}

impl Question {
    /// What to ask for.
    pub fn asked(&self) -> Asked {
        match self.sort {
            Sort::Mx | Sort::Ns | Sort::Spf => Asked::Name(self.of.clone()),
            Sort::Dmarc => Asked::Name(format!("_dmarc.{}", self.of)),
            Sort::Dkim => Asked::Name(format!("{}._domainkey.{}", self.selector.as_deref().unwrap_or_default(), self.of)),
            Sort::Ptr => self.of.parse().map_or_else(|_| Asked::Name(self.of.clone()), Asked::Reverse),
        }
    }

    pub fn dns_type(&self) -> DnsType {
        match self.sort {
            Sort::Mx => DnsType::Mx,
            Sort::Ns => DnsType::Ns,
            Sort::Spf | Sort::Dkim | Sort::Dmarc => DnsType::Txt,
            Sort::Ptr => DnsType::Ptr,
        }
    }
}

/// What outlives the process.
type Kept<D> = (Vec<(String, D)>, Vec<(Question, Known)>);

/// All that is watched.
#[derive(Debug)]
pub struct DnsWatch {
    options: Options,
    domains: HashMap<String, Domain>,
    addresses: Vec<(Question, Known)>,
    /// Mail is refused for the name of the address that it comes from.
    unnamed: Option<Failing>,
    now: WallMicros,
    pub(super) forgotten: u64,
}

impl DnsWatch {
    pub fn new(options: Options) -> Self {
        let question = |ip: &IpAddr| Question { sort: Sort::Ptr, of: ip.to_string(), selector: None };
        let addresses = options.addresses.iter().map(|ip| (question(ip), Known::default())).collect();
        Self { options, domains: HashMap::new(), addresses, unnamed: None, now: 0, forgotten: 0 }
    }

    /// Takes notice of whom mail passes for, of how it fares, and of what DNS said on the way.
    pub fn observe(&mut self, seen: &Seen<'_>) {
        if !self.options.enabled || seen.is_synthetic() {
            return;
        }
        self.now = self.now.max(seen.at);
        if let Some(it) = seen.transaction
            && it.direction == Direction::Outbound
        {
            self.transaction(seen, it);
        }
        if seen.direction() == Some(Direction::Outbound) && seen.cause() == Some(Cause::ReverseDnsMissing) {
            let pause = failing::note(&mut self.unnamed, seen.at, seen.id);
            self.addresses.iter_mut().for_each(|(_, known)| known.sooner(seen.at, pause));
        }
        if let Some(upstream) = seen.upstream {
            self.look_ups(upstream, seen.at);
        }
    }

    fn transaction(&mut self, seen: &Seen<'_>, it: &Transaction) {
        let unproven = |cause: Option<Cause>| cause == Some(Cause::SpfDkimDmarcFailure);
        let refused = unproven(it.outcome.cause) || it.envelope.recipients.iter().any(|recipient| unproven(recipient.cause));
        let note = |domain: &mut Domain| {
            if refused {
                domain.is_refused(seen.at, seen.id);
            }
        };
        self.passes(domain_of(&it.envelope.reverse_path), seen.at, true, note);
        for signature in &it.message.signatures {
            // Whoever signed may be a stranger whose message is passed on: the reverse-path says whose mail it is. Bounces often go to a domain
            // below the one that signs (relaxed alignment, RFC 7489 3.1).
            let is_own = are_related(domain_of(&it.envelope.reverse_path), &signature.domain);
            self.passes(&signature.domain, seen.at, is_own, |domain| {
                domain.signs(&signature.selector, seen.at);
                note(domain);
            });
        }
        for recipient in &it.envelope.recipients {
            let failed = match recipient.state {
                State::Accepted => Some(false),
                State::Deferred | State::Rejected => Some(true),
                _ => None,
            };
            self.passes(domain_of(&recipient.address), seen.at, false, |domain| match failed {
                Some(true) => domain.fails(seen.at, seen.id),
                Some(false) => domain.failing = None,
                None => {}
            });
        }
    }

    fn passes(&mut self, domain: &str, at: WallMicros, sends: bool, note: impl FnOnce(&mut Domain)) {
        let mut lower = String::new();
        let domain = if domain.bytes().any(|octet| octet.is_ascii_uppercase()) {
            lower.push_str(&domain.to_ascii_lowercase());
            lower.as_str()
        } else {
            domain
        };
        if !self.domains.contains_key(domain) {
            if !is_name(domain) {
                return;
            }
            self.make_room();
            self.domains.insert(domain.to_owned(), Domain::default());
        }
        if let Some(entry) = self.domains.get_mut(domain) {
            entry.interest = entry.interest.max(at);
            entry.sends |= sends;
            note(entry);
        }
    }

    /// The domain that was of interest longest ago goes.
    fn make_room(&mut self) {
        if self.domains.len() < self.options.domains.max(1) {
            return;
        }
        self.forgotten += room::make(&mut self.domains, |domain| domain.interest);
    }

    /// What a session was told about MX records on its way.
    fn look_ups(&mut self, upstream: &Upstream, at: WallMicros) {
        for look_up in upstream.lookups.iter().filter(|it| it.query == "MX") {
            let published = match look_up.outcome {
                LookupOutcome::Found if look_up.answers_cut == 0 => {
                    Published::Records(look_up.answers.iter().filter(|it| it.kind == "MX").map(|it| it.data.clone()).collect())
                }
                LookupOutcome::NoSuchName | LookupOutcome::NoData => Published::Nothing,
                _ => continue,
            };
            let question = Question { sort: Sort::Mx, of: look_up.name.trim_end_matches('.').to_ascii_lowercase(), selector: None };
            self.answered(&question, published, at);
        }
    }

    /// What is to be asked now, so many at most.
    pub fn questions(&mut self, now: WallMicros, most: usize) -> Vec<Question> {
        if !self.options.enabled {
            return Vec::new();
        }
        self.domains.retain(|_, domain| domain.interest.saturating_add(INTEREST) > now);
        let every_us = self.options.every_us;
        let mut others: Vec<_> = Vec::new();
        for (of, domain) in &mut self.domains {
            domain.retire(now);
            domain.complete(of);
            others.extend(domain.published.iter_mut().filter(|(_, known)| known.is_due(now, every_us)));
        }
        // What waited longest comes first, so that no number of dead domains keeps the others from being asked.
        others.sort_by_key(|(_, known)| known.due());
        let own = self.addresses.iter_mut().filter(|(_, known)| known.is_due(now, every_us));
        own.chain(others)
            .take(most)
            .map(|(question, known)| {
                known.asked(now);
                question.clone()
            })
            .collect()
    }

    /// What DNS said.
    pub fn answered(&mut self, question: &Question, published: Published, now: WallMicros) {
        let slot = match question.sort {
            Sort::Ptr => self.addresses.iter_mut().find(|(it, _)| it == question).map(|(_, known)| known),
            _ => self.domains.get_mut(&question.of).filter(|domain| domain.watches(question)).map(|domain| domain.slot(question)),
        };
        let Some(known) = slot else { return };
        match published {
            Published::Unknown => known.later(now, RETRY.min(self.options.every_us), self.options.every_us),
            Published::Nothing => known.learn(String::new(), now, self.options.every_us),
            Published::Records(records) => known.learn(canonical(question.sort, records), now, self.options.every_us),
        }
    }

    /// Tells of what changed.
    pub fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        for (question, known) in &mut self.addresses {
            if let Some(turn) = known.turn(now, FRESH) {
                let failing = self.unnamed.as_mut().filter(|failing| failing.is_explained(turn));
                findings.raise(words::changed(question, turn, failing, now));
            }
        }
        for domain in self.domains.values_mut() {
            for (question, known) in &mut domain.published {
                let Some(turn) = known.turn(now, FRESH) else { continue };
                let failing = match question.sort {
                    Sort::Mx | Sort::Ns | Sort::Ptr => &mut domain.failing,
                    Sort::Spf | Sort::Dkim | Sort::Dmarc => &mut domain.refused,
                };
                let failing = failing.as_mut().filter(|failing| failing.is_explained(turn));
                findings.raise(words::changed(question, turn, failing, now));
            }
        }
    }

    /// What must outlive the process.
    pub fn keep(&self) -> Vec<u8> {
        postcard::to_extend(&(&self.domains.iter().collect::<Vec<_>>(), &self.addresses), vec![3]).unwrap_or_default()
    }

    /// Takes it back.
    pub fn restore(&mut self, octets: &[u8]) -> bool {
        let kept = match octets.split_first() {
            Some((2, rest)) => postcard::from_bytes::<Kept<Domain2>>(rest)
                .ok()
                .map(|(domains, addresses)| (domains.into_iter().map(|(name, domain)| (name, Domain::from(domain))).collect(), addresses)),
            Some((3, rest)) => postcard::from_bytes::<Kept<Domain>>(rest).ok(),
            _ => None,
        };
        let Some((domains, addresses)) = kept else { return false };
        self.domains = domains.into_iter().take(self.options.domains).collect();
        for (question, known) in addresses {
            if let Some(slot) = self.addresses.iter_mut().find(|(it, _)| *it == question) {
                slot.1 = known;
            }
        }
        true
    }
}

/// The records of an answer as one text that differs only if what is published does.
fn canonical(sort: Sort, records: Vec<String>) -> String {
    let is_wanted = |record: &String| match sort {
        Sort::Spf => starts(record, "v=spf1"),
        Sort::Dmarc => starts(record, "v=dmarc1"),
        _ => true,
    };
    let mut records: Vec<String> = records.into_iter().filter(is_wanted).collect();
    if matches!(sort, Sort::Mx | Sort::Ns | Sort::Ptr) {
        records.iter_mut().for_each(|record| *record = record.trim_end_matches('.').to_ascii_lowercase());
    }
    records.sort();
    records.dedup();
    records.join(", ")
}

fn starts(record: &str, with: &str) -> bool {
    record.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// Whether DNS can be asked for it: no address literal, no single label, nothing odd.
fn is_name(domain: &str) -> bool {
    let is_usual = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    domain.len() <= 253 && domain.contains('.') && domain.bytes().all(is_usual) && domain.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests;
