//! Servers that show themselves other than they always did.

use std::hash::{BuildHasher, Hasher};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Options;
use super::parts::{PARTS, Part};
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::HOUR;
use crate::trace::{AboutKind, Act, Anomaly, Change, RecordId, Severity, Upstream, WallMicros};
use crate::wording::{clock, span};

/// Servers that are known.
const MOST_HOSTS: usize = 5_000;
/// Variants of one part that a server may have, as a pool behind one name has.
const MOST_VARIANTS: usize = 8;

/// One way to show a part.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Variant {
    hash: u64,
    text: String,
    last: WallMicros,
}

/// A variant that is new, and how often it was seen in a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct New {
    variant: Variant,
    since: WallMicros,
    sightings: u32,
    samples: Vec<RecordId>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Known {
    variants: Vec<Variant>,
    new: Option<Box<New>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Peer {
    first: WallMicros,
    last: WallMicros,
    sessions: u32,
    parts: [Known; 5],
}

#[derive(Debug)]
pub struct Changed {
    options: Options,
    peers: HashMap<String, Peer>,
    /// Changes to be told at the next judgement: the server, the part, before, and what is new.
    found: Vec<(String, Part, Option<Variant>, New)>,
    forgotten: u64,
}

/// Stable from run to run, so that what is kept can be compared: FNV-1a.
#[derive(Debug, Clone, Copy, Default)]
struct Stable;

struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x100_0000_01B3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl BuildHasher for Stable {
    type Hasher = Fnv;

    fn build_hasher(&self) -> Fnv {
        Fnv(0xCBF2_9CE4_8422_2325)
    }
}

impl Changed {
    pub fn new(options: Options) -> Self {
        Self { options, peers: HashMap::new(), found: Vec::new(), forgotten: 0 }
    }
}

impl Known {
    /// Takes notice of a sighting. What was there before, and what is new, once that is certain.
    fn see(
        &mut self,
        part: Part,
        upstream: &Upstream,
        hash: u64,
        seen: &Seen<'_>,
        is_known: bool,
        sightings: u32,
    ) -> Option<(Option<Variant>, New)> {
        if let Some(variant) = self.variants.iter_mut().find(|variant| variant.hash == hash) {
            variant.last = seen.at;
            self.new = None;
            return None;
        }
        let variant = || Variant { hash, text: part.text(upstream), last: seen.at };
        if !is_known || self.variants.is_empty() {
            self.learn(variant());
            return None;
        }
        match &mut self.new {
            Some(new) if new.variant.hash == hash => {
                new.sightings += 1;
                new.variant.last = seen.at;
                new.samples.push(seen.id);
            }
            new => *new = Some(Box::new(New { variant: variant(), since: seen.at, sightings: 1, samples: vec![seen.id] })),
        }
        let new = *self.new.take_if(|new| new.sightings >= sightings)?;
        let before = self.variants.iter().max_by_key(|variant| variant.last).cloned();
        self.learn(new.variant.clone());
        Some((before, new))
    }

    fn learn(&mut self, variant: Variant) {
        if self.variants.len() >= MOST_VARIANTS
            && let Some(oldest) = self.variants.iter().enumerate().min_by_key(|(_, it)| it.last).map(|(at, _)| at)
        {
            self.variants.remove(oldest);
        }
        self.variants.push(variant);
    }
}

impl Detector for Changed {
    fn name(&self) -> &'static str {
        "peer_changed"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let (Some(upstream), Some(host)) = (seen.upstream, seen.server()) else { return };
        let host = &*host;
        // Once a session, and of those that came as far as EHLO.
        if upstream.offered.is_empty() || upstream.spliced.is_some() || seen.transaction.is_some_and(|it| it.transaction_no != 1) {
            return;
        }
        if !self.peers.contains_key(host) {
            if self.peers.len() >= MOST_HOSTS {
                self.forgotten += room::make(&mut self.peers, |peer| peer.last);
            }
            self.peers.insert(host.to_owned(), Peer { first: seen.at, ..Peer::default() });
        }
        let Some(peer) = self.peers.get_mut(host) else { return };
        peer.last = peer.last.max(seen.at);
        peer.sessions = peer.sessions.saturating_add(1);
        let is_known = peer.sessions > self.options.peer_known && seen.at > peer.first.saturating_add(self.options.peer_known_us);
        for (part, known) in PARTS.into_iter().zip(&mut peer.parts) {
            let mut hasher = Stable.build_hasher();
            if !part.feed(upstream, &mut hasher) {
                continue;
            }
            let certain = known.see(part, upstream, hasher.finish(), seen, is_known, self.options.peer_sightings);
            if let Some((before, new)) = certain
                && self.found.len() < 1_000
            {
                self.found.push((host.to_owned(), part, before, new));
            }
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        // Several parts that change together are one change: of other software everything is another.
        while let Some(at) = self.found.iter().map(|(host, ..)| host.clone()).next() {
            let (same, rest) = std::mem::take(&mut self.found).into_iter().partition(|(host, ..)| *host == at);
            self.found = rest;
            if let Some(finding) = self.finding(same, now) {
                findings.raise(finding);
            }
        }
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(2, &(&self.peers, &self.found))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((peers, found)) = kept::read(2, kept) else { return false };
        (self.peers, self.found) = (peers, found);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Changed {
    fn finding(&self, changes: Vec<(String, Part, Option<Variant>, New)>, now: WallMicros) -> Option<Finding> {
        let all: Vec<&str> = changes.iter().map(|(_, part, ..)| part.word()).collect();
        let (host, part, before, new) = changes.first()?;
        let (before_text, last_before) = before.as_ref().map_or(("", None), |it| (it.text.as_str(), Some(it.last)));
        let summary = format!("{host} shows another {} since {}", all.join(", "), clock(new.since, now));
        let peer = self.peers.get(host)?;
        let arithmetic = format!(
            "the last {} sessions in a row show it, none of the {} before (since {}); told from {} in a row, of servers known for {} and {} sessions",
            new.sightings,
            peer.sessions.saturating_sub(new.sightings),
            clock(peer.first, now),
            self.options.peer_sightings,
            span(self.options.peer_known_us),
            self.options.peer_known
        );
        let baseline =
            changes.iter().map(|(_, part, before, _)| format!("{}: {}", part.word(), before.as_ref().map_or("", |it| it.text.as_str())));
        let mut finding = Finding::new(Anomaly::PeerChanged, Severity::Notice, summary, arithmetic)
            .about(AboutKind::Host, host.as_str())
            .advising(Act::Nobody, "Nothing to do if mail flows: the server was updated, replaced or reconfigured. If mail began to fail at that time, this is why: tell its operator.")
            .evidence(new.since, new.variant.last, u64::from(new.sightings), new.samples.clone());
        finding.baseline = Some(baseline.collect::<Vec<_>>().join("; "));
        finding.change =
            Some(Change { what: part.word().to_owned(), before: before_text.to_owned(), after: new.variant.text.clone(), last_before });
        Some(finding.lasting(HOUR))
    }
}
