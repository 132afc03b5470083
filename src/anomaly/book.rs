//! Makes incidents of findings: one for each thing that is wrong, from its opening to its end.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::finding::{Cleared, Finding, Findings};
use super::window::{DAY, HOUR, MINUTE, SAMPLES};
use crate::trace::{About, AboutKind, Anomaly, Incident, IncidentStep, Kept, Origin, RecordId, Severity, WallMicros};

/// How incidents live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Without a finding for so long, an incident is over. µs.
    pub quiet_us: u64,
    /// The same again within so long after its end is the same incident. µs.
    pub reopen_us: u64,
    /// A growing incident is written again after so long, then after twice as long, and so on, but at least once a day. µs.
    pub repeat_us: u64,
    /// So many open incidents of one anomaly stand for themselves; what comes after is one incident together.
    pub most_alike: usize,
    /// People are told of what is as grave as that.
    pub told_from: Severity,
}

impl Default for Options {
    fn default() -> Self {
        Self { quiet_us: 30 * MINUTE, reopen_us: HOUR, repeat_us: 15 * MINUTE, most_alike: 20, told_from: Severity::Warning }
    }
}

/// Incidents that ended lately and may come back: so many at most.
const MOST_ENDED: usize = 1_000;

/// How the summary begins of what stands for many.
const TOGETHER: &str = "Several at once; the latest: ";

/// The last says whether it stands for many: what concerns everything is about nothing in particular, too.
type Key = (Anomaly, Vec<About>, bool);

/// An open incident, and when it was last written and said.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    entry: Incident,
    written: WallMicros,
    pause_us: u64,
    said: WallMicros,
    quiet_us: Option<u64>,
    /// Entries so far: makes the ids of its entries differ.
    entries: u32,
    /// The severity last written. Kept beside the rest: version 1 had none.
    #[serde(skip)]
    told: Option<Severity>,
    /// An entry of it was one for people. Kept beside the rest, too: version 2 had none.
    #[serde(skip)]
    for_people: bool,
}

/// What must outlive the process: all that version 1 had.
#[derive(Serialize, Deserialize)]
struct Kept1 {
    open: Vec<Open>,
    ended: Vec<Open>,
}

/// The severity last written, and whether people were told: what versions after the first have beside it.
type Told = (Option<Severity>, bool);

/// All incidents that are open, and those that ended lately.
#[derive(Debug)]
pub struct Book {
    options: Options,
    origin: Arc<Kept<Origin>>,
    open: HashMap<Key, Open>,
    ended: VecDeque<Open>,
}

impl Book {
    pub fn new(options: Options, origin: Arc<Kept<Origin>>) -> Self {
        Self { options, origin, open: HashMap::new(), ended: VecDeque::new() }
    }

    /// Open incidents as they stand, the oldest first.
    pub fn open(&self) -> Vec<&Incident> {
        let mut open: Vec<&Incident> = self.open.values().map(|it| &it.entry).collect();
        open.sort_by_key(|entry| (entry.since, entry.incident));
        open
    }

    /// Whether people were told of an incident that is open, or ended lately.
    pub fn was_told(&self, incident: RecordId) -> bool {
        self.open.values().chain(&self.ended).any(|open| open.entry.incident == incident && open.for_people)
    }

    /// An entry that somebody else put into the journal: a person who mutes, or an earlier process.
    pub fn learn(&mut self, entry: &Incident) {
        let key = key_of(entry);
        match entry.step {
            IncidentStep::Muted | IncidentStep::Unmuted => {
                if let Some(open) = self.open.values_mut().find(|open| open.entry.incident == entry.incident) {
                    open.entry.mute = entry.mute.clone();
                    open.entries += 1;
                }
            }
            // What was kept had it open still: its end could not be recorded at once.
            IncidentStep::Resolved => {
                if self.open.get(&key).is_some_and(|open| open.entry.incident == entry.incident)
                    && let Some(open) = self.open.remove(&key)
                {
                    self.retire(open);
                }
            }
            // Its own words come back from the journal.
            _ if self.open.contains_key(&key) => {
                let is_for_people = entry.is_for_people(self.options.told_from);
                let heard_before = entry.step != IncidentStep::Reopened;
                self.open.get_mut(&key).into_iter().for_each(|open| open.for_people = is_for_people || heard_before && open.for_people);
            }
            _ if self.ended.iter().any(|ended| ended.entry.incident == entry.incident) => {}
            _ => {
                let open = Open {
                    written: entry.at,
                    said: entry.at,
                    pause_us: self.options.repeat_us,
                    quiet_us: None,
                    entries: 1,
                    told: Some(entry.severity),
                    for_people: entry.is_for_people(self.options.told_from),
                    entry: entry.clone(),
                };
                self.open.insert(key, open);
            }
        }
    }

    /// Enters what was judged; entries to be written are appended. `findings` is empty afterwards.
    pub(super) fn enter(&mut self, now: WallMicros, findings: &mut Findings, entries: &mut Vec<Incident>) {
        for open in self.open.values_mut().chain(&mut self.ended) {
            open.is_not_after(now);
        }
        for cleared in std::mem::take(&mut findings.cleared) {
            self.clear(now, cleared, entries);
        }
        let mut raised = std::mem::take(&mut findings.raised);
        // What explains others comes first, so that they are part of it.
        raised.sort_by_key(|finding| !wider_kinds(finding.anomaly).is_empty());
        for finding in raised {
            self.raise(now, finding, entries);
        }
        self.end_quiet(now, entries);
    }

    fn raise(&mut self, now: WallMicros, finding: Finding, entries: &mut Vec<Incident>) {
        let mut key = (finding.anomaly, finding.about.clone(), false);
        if !self.open.contains_key(&key) {
            let back = self.ended.iter().position(|ended| {
                let entry = &ended.entry;
                entry.anomaly == key.0 && entry.about == key.1 && !is_together(entry)
            });
            // What was written last is its end.
            if let Some(mut open) =
                back.and_then(|at| self.ended.remove(at)).filter(|it| now < it.written.saturating_add(self.options.reopen_us))
            {
                open.entry.part_of = self.wider(&finding);
                open.update(now, finding);
                // They have heard of its end: of another one only if they hear of this.
                open.for_people = false;
                entries.push(open.write(now, IncidentStep::Reopened, self.options.told_from));
                open.pause_us = self.options.repeat_us;
                self.open.insert(key, open);
                return;
            }
            let alike = || self.open.keys().filter(|(anomaly, ..)| *anomaly == key.0).count();
            if !key.1.is_empty() && alike() >= self.options.most_alike {
                key = (key.0, Vec::new(), true);
            }
        }
        let part_of = self.explained(&key, &finding);
        match self.open.get_mut(&key) {
            Some(open) => {
                // What stands for many has a change and an explanation for each of them: neither is news of the whole.
                let together = key.2;
                let (count, told, was_part) = (open.entry.count, open.told.unwrap_or(open.entry.severity), open.entry.part_of);
                let changed = !together && finding.change.is_some() && finding.change != open.entry.change;
                open.update(now, finding);
                open.entry.part_of = if together { was_part.and(part_of) } else { part_of };
                let worse = open.entry.severity > told;
                // Nobody was told of it as long as another incident explained it.
                let unexplained = was_part.is_some() && open.entry.part_of.is_none();
                let grew = open.entry.count > count && now >= open.written.saturating_add(open.pause_us);
                if worse || changed || unexplained || grew {
                    open.pause_us = open.pause_us.saturating_mul(2).min(DAY);
                    entries.push(open.write(now, IncidentStep::Changed, self.options.told_from));
                }
            }
            None => {
                let mut open = Open::first(now, key.1.clone(), finding, self.origin.clone(), self.options.repeat_us);
                open.entry.part_of = part_of;
                entries.push(open.write(now, IncidentStep::Opened, self.options.told_from));
                self.open.insert(key, open);
            }
        }
    }

    /// What explains an incident that goes on: what did so before, as long as that lasts. Of many together, each must be explained itself.
    fn explained(&self, key: &Key, finding: &Finding) -> Option<RecordId> {
        let before = self.open.get(key).and_then(|open| open.entry.part_of);
        let lasts = |id: &RecordId| !key.2 && self.open.values().any(|open| open.entry.incident == *id);
        before.filter(lasts).or_else(|| self.wider(finding))
    }

    /// The open incident that explains this one, if there is any.
    fn wider(&self, finding: &Finding) -> Option<RecordId> {
        let upstream = finding.about.iter().find(|about| about.kind == AboutKind::Upstream);
        let is_named = |part: &About| finding.about.iter().any(|about| is_place(about) && about.value == part.value);
        let explains = |open: &&Open| {
            let entry = &open.entry;
            // One host that is down is no reason why the upstream's others are slow.
            let of_upstream = upstream.is_some_and(|upstream| entry.about.contains(upstream))
                && entry.about.iter().filter(|about| is_place(about)).all(is_named);
            let of_all = entry.about.is_empty() && !is_together(entry);
            // How much a domain refuses, whichever way mail goes there, is explained by whatever it is refused for.
            let of_cause = finding.anomaly == Anomaly::RejectRatio && finding.cause.is_some() && finding.cause == entry.cause;
            wider_kinds(finding.anomaly).contains(&entry.anomaly) && (of_upstream || of_all || of_cause)
        };
        self.open.values().find(explains).map(|open| open.entry.incident)
    }

    fn clear(&mut self, now: WallMicros, cleared: Cleared, entries: &mut Vec<Incident>) {
        if let Some(open) = self.open.remove(&(cleared.anomaly, cleared.about, false)) {
            self.end(now, open, cleared.why, entries);
        }
    }

    fn end_quiet(&mut self, now: WallMicros, entries: &mut Vec<Incident>) {
        let quiet_us = self.options.quiet_us;
        let over = |open: &Open| now >= open.said.saturating_add(open.quiet_us.unwrap_or(quiet_us));
        let mut keys: Vec<Key> = self.open.iter().filter(|(_, open)| over(open)).map(|(key, _)| key.clone()).collect();
        keys.sort();
        for key in keys {
            if let Some(open) = self.open.remove(&key) {
                let minutes = open.quiet_us.unwrap_or(quiet_us) / MINUTE;
                self.end(now, open, format!("not seen again for {minutes} min"), entries);
            }
        }
    }

    fn end(&mut self, now: WallMicros, mut open: Open, why: String, entries: &mut Vec<Incident>) {
        open.entry.note = Some(why);
        entries.push(open.write(now, IncidentStep::Resolved, self.options.told_from));
        open.entry.note = None;
        self.retire(open);
    }

    fn retire(&mut self, open: Open) {
        self.ended.push_back(open);
        if self.ended.len() > MOST_ENDED {
            self.ended.pop_front();
        }
    }

    /// What must outlive the process: postcard, the form's version in front.
    pub fn keep(&self) -> Vec<u8> {
        let kept = Kept1 { open: self.open.values().cloned().collect(), ended: self.ended.iter().cloned().collect() };
        let told: Vec<Told> = kept.open.iter().chain(&kept.ended).map(|open| (open.told, open.for_people)).collect();
        postcard::to_extend(&(kept, told), vec![3]).unwrap_or_default()
    }

    /// Takes it back. Whether it could be read.
    pub fn restore(&mut self, octets: &[u8]) -> bool {
        let kept = match octets.split_first() {
            Some((1, rest)) => postcard::from_bytes::<Kept1>(rest).ok().map(|kept| (kept, Vec::new())),
            Some((2, rest)) => postcard::from_bytes::<(Kept1, Vec<Option<Severity>>)>(rest).ok().map(|(kept, told)| {
                let for_people = |severity: &Severity| *severity >= self.options.told_from;
                (kept, told.into_iter().map(|told| (told, told.as_ref().is_some_and(for_people))).collect())
            }),
            Some((3, rest)) => postcard::from_bytes::<(Kept1, Vec<Told>)>(rest).ok(),
            _ => None,
        };
        let Some((mut kept, told)) = kept else { return false };
        for (open, told) in kept.open.iter_mut().chain(&mut kept.ended).zip(told) {
            (open.told, open.for_people) = told;
        }
        self.open = kept.open.into_iter().map(|open| (key_of(&open.entry), open)).collect();
        self.ended = kept.ended.into();
        true
    }
}

fn key_of(entry: &Incident) -> Key {
    (entry.anomaly, entry.about.clone(), is_together(entry))
}

/// Whether it stands for many. Entries say so in words alone.
fn is_together(entry: &Incident) -> bool {
    entry.about.is_empty() && entry.summary.starts_with(TOGETHER)
}

/// A part of what an upstream leads to. The name of a host that can't be looked up is told as a domain.
fn is_place(about: &About) -> bool {
    matches!(about.kind, AboutKind::Host | AboutKind::Domain)
}

/// Anomalies that explain this one where they concern the same upstream, or all.
fn wider_kinds(anomaly: Anomaly) -> &'static [Anomaly] {
    match anomaly {
        Anomaly::UpstreamSlow | Anomaly::UpstreamFlapping | Anomaly::UpstreamClosing | Anomaly::ConnectionLimit => {
            &[Anomaly::UpstreamDown, Anomaly::PortBlocked, Anomaly::DnsFailing]
        }
        Anomaly::UpstreamDown => &[Anomaly::PortBlocked, Anomaly::DnsFailing],
        Anomaly::AuthAccountFails => &[Anomaly::AuthAllFail],
        Anomaly::RejectRatio => &[
            Anomaly::Blocklisted,
            Anomaly::ReverseDnsRefused,
            Anomaly::SenderAuthRefused,
            Anomaly::SpamVerdicts,
            Anomaly::SendingLimitReached,
            Anomaly::AuthAllFail,
        ],
        Anomaly::RateLimited | Anomaly::SendingLimitNear => &[Anomaly::SendingLimitReached],
        _ => &[],
    }
}

impl Open {
    fn first(now: WallMicros, about: Vec<About>, finding: Finding, origin: Arc<Kept<Origin>>, pause_us: u64) -> Self {
        let together = about.is_empty() && !finding.about.is_empty();
        let entry = Incident {
            id: RecordId::from_parts(0, 0),
            incident: RecordId::from_parts(0, 0),
            step: IncidentStep::Opened,
            at: now,
            origin,
            anomaly: finding.anomaly,
            severity: finding.severity,
            about,
            summary: if together { format!("{TOGETHER}{}", finding.summary) } else { finding.summary },
            arithmetic: finding.arithmetic,
            baseline: finding.baseline,
            cause: finding.cause,
            act: finding.act,
            advice: finding.advice,
            since: finding.since,
            last: finding.last,
            count: finding.fresh,
            samples: finding.samples,
            change: finding.change,
            part_of: None,
            mute: None,
            who: None,
            note: None,
        };
        let mut open =
            Self { entry, written: now, pause_us, said: now, quiet_us: finding.quiet_after_us, entries: 0, told: None, for_people: false };
        open.entry.incident = open.entry_id(now);
        open
    }

    /// A clock that was ahead doesn't keep it open, nor silent, until that time comes again.
    fn is_not_after(&mut self, now: WallMicros) {
        (self.said, self.written) = (self.said.min(now), self.written.min(now));
        self.entry.last = self.entry.last.min(now);
    }

    fn update(&mut self, now: WallMicros, finding: Finding) {
        let entry = &mut self.entry;
        // Of those that are told together in one judgement, the worst counts.
        let with_others = entry.about != finding.about && self.said == now;
        entry.severity = if with_others { entry.severity.max(finding.severity) } else { finding.severity };
        self.said = now;
        self.quiet_us = finding.quiet_after_us;
        entry.summary = if entry.about == finding.about { finding.summary } else { format!("{TOGETHER}{}", finding.summary) };
        entry.arithmetic = finding.arithmetic;
        entry.baseline = finding.baseline.or(entry.baseline.take());
        entry.cause = finding.cause.or(entry.cause);
        (entry.act, entry.advice) = (finding.act, finding.advice);
        entry.last = entry.last.max(finding.last);
        entry.count = entry.count.saturating_add(finding.fresh);
        for id in finding.samples {
            if !entry.samples.contains(&id) {
                if entry.samples.len() >= SAMPLES {
                    entry.samples.remove(SAMPLES / 2);
                }
                entry.samples.push(id);
            }
        }
        entry.change = finding.change.or(entry.change.take());
    }

    fn write(&mut self, now: WallMicros, step: IncidentStep, told_from: Severity) -> Incident {
        self.entry.id = if self.entries == 0 { self.entry.incident } else { self.entry_id(now) };
        self.entry.step = step;
        self.entry.at = now;
        self.entries += 1;
        (self.written, self.told) = (now, Some(self.entry.severity));
        if self.entry.mute.as_ref().is_some_and(|mute| mute.until <= now) {
            self.entry.mute = None;
        }
        self.for_people |= self.entry.is_for_people(told_from);
        self.entry.clone()
    }

    /// Follows from what it is an id of: an entry that is made again after a crash is the same.
    fn entry_id(&self, now: WallMicros) -> RecordId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.entry.anomaly.word().as_bytes());
        for about in &self.entry.about {
            hasher.update(about.kind.word().as_bytes()).update(&[0]).update(about.value.as_bytes()).update(&[0]);
        }
        if is_together(&self.entry) {
            hasher.update(b"together");
        }
        hasher.update(&self.entries.to_le_bytes()).update(&now.to_le_bytes()).update(self.entry.origin.node.as_bytes());
        let hash = *hasher.finalize().as_bytes();
        let (first, _) = hash.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        RecordId::from_parts(now / 1_000, u128::from_le_bytes(*first) >> 48)
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
