//! Counts what answers a query, and by what it has in common, out of the index: records are read only where that doesn't say enough.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::histogram::Histogram;
use super::index::RunView;
use super::index::columns::{Column, numbers_of};
use super::index::lookup::Lookup;
use super::index::places::Places;
use super::index::terms::{self, TermKind};
use super::live::Live;
use super::query::{Query, time_of};
use super::search::{Explained, Part, Search};
use crate::trace::{Flag, Record, RecordKind, WallMicros};

/// What transactions can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    State,
    Stage,
    By,
    Act,
    Cause,
    /// Of the deciding reply.
    Code,
    Enhanced,
    /// Of the recipients.
    Domain,
    /// Of the reverse-path.
    SenderDomain,
    /// Its host.
    Upstream,
    Listener,
    Client,
    Helo,
    AuthUser,
    /// Of the upstream leg: its version, or "none".
    Tls,
    Flag,
    Rule,
    /// Of the upstream, or of the reply.
    Provider,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    pub transactions: u64,
    pub sessions: u64,
    pub recipients: u64,
    /// Of message text.
    pub octets: u64,
    pub records_lost: u64,
    /// µs from end-of-data to its reply: within these are half of them, and 99 in a hundred.
    pub end_of_data: Option<(u64, u64)>,
    /// For each field asked for: value and transactions, the many before the few.
    pub by: Vec<Vec<(String, u64)>>,
    /// Values beyond [`HELD`], with their transactions uncounted.
    pub others: Vec<u64>,
    /// Counting took too long: only what is not older than this is counted.
    pub cut_short_at: Option<WallMicros>,
    pub explained: Explained,
}

/// Most values of a field that are told apart.
pub const HELD: usize = 100_000;
/// More records than that aren't looked up one by one.
const LOOKED_UP: usize = 1000;
/// Counting is broken off after this time.
const PATIENCE: Duration = Duration::from_secs(10);

impl Field {
    pub const ALL: [Self; 18] = [
        Self::State,
        Self::Stage,
        Self::By,
        Self::Act,
        Self::Cause,
        Self::Code,
        Self::Enhanced,
        Self::Domain,
        Self::SenderDomain,
        Self::Upstream,
        Self::Listener,
        Self::Client,
        Self::Helo,
        Self::AuthUser,
        Self::Tls,
        Self::Flag,
        Self::Rule,
        Self::Provider,
    ];

    /// As it is asked for.
    pub fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Stage => "stage",
            Self::By => "by",
            Self::Act => "act",
            Self::Cause => "cause",
            Self::Code => "code",
            Self::Enhanced => "enhanced",
            Self::Domain => "domain",
            Self::SenderDomain => "sender-domain",
            Self::Upstream => "upstream",
            Self::Listener => "listener",
            Self::Client => "client",
            Self::Helo => "helo",
            Self::AuthUser => "auth-user",
            Self::Tls => "tls",
            Self::Flag => "flag",
            Self::Rule => "rule",
            Self::Provider => "provider",
        }
    }

    fn kind(self) -> TermKind {
        match self {
            Self::State => TermKind::State,
            Self::Stage => TermKind::Stage,
            Self::By => TermKind::By,
            Self::Act => TermKind::Act,
            Self::Cause => TermKind::Cause,
            Self::Code => TermKind::Code,
            Self::Enhanced => TermKind::Enhanced,
            Self::Domain => TermKind::ToDomain,
            Self::SenderDomain => TermKind::FromDomain,
            Self::Upstream => TermKind::UpstreamHost,
            Self::Listener => TermKind::Listener,
            Self::Client => TermKind::ClientIp,
            Self::Helo => TermKind::Helo,
            Self::AuthUser => TermKind::AuthUser,
            Self::Tls => TermKind::UpstreamTls,
            Self::Flag => TermKind::Flag,
            Self::Rule => TermKind::Rule,
            Self::Provider => TermKind::Provider,
        }
    }

    /// What a term's octets stand for; `None` if it doesn't count.
    fn value(self, octets: &[u8]) -> Option<String> {
        match self {
            Self::Client => Some(IpAddr::from(Ipv6Addr::from(*octets.first_chunk::<16>()?)).to_canonical().to_string()),
            Self::Enhanced => Some(String::from_utf8_lossy(octets.strip_suffix(b".")?).into_owned()),
            Self::Tls => {
                let word = String::from_utf8_lossy(octets).into_owned();
                (![terms::TLS_ANY, terms::TLS_VERIFIED, terms::TLS_UNVERIFIED].contains(&word.as_str()))
                    .then(|| word.replace("tlsv", "TLSv"))
            }
            _ => Some(String::from_utf8_lossy(octets).into_owned()),
        }
    }
}

/// Counts what answers the query.
///
/// # Errors
/// The journal can't be read.
pub(super) fn tally(live: &Live, query: &Query, by: &[Field]) -> io::Result<Tally> {
    let begun = Instant::now();
    let mut counting = Counting {
        query,
        tally: Tally::default(),
        end_of_data: Histogram::default(),
        by: by.iter().map(|&field| (field, HashMap::new(), 0)).collect(),
        deadline: begun + PATIENCE,
    };
    let mut search = Search::new(live);
    search.parts(query, None, &mut |search, part| counting.part(search, part))?;
    search.explained.took = begun.elapsed();
    Ok(counting.finish(search.explained))
}

struct Counting<'a> {
    query: &'a Query,
    tally: Tally,
    end_of_data: Histogram,
    by: Vec<(Field, HashMap<Vec<u8>, u64>, u64)>,
    deadline: Instant,
}

/// What of a run is counted by its terms, and what must be looked at.
#[derive(Default)]
struct Split {
    certain: Places,
    doubtful: Vec<u32>,
}

/// Places, to be asked for each of millions.
struct Bits(Vec<u64>);

impl Bits {
    fn of(places: &Places) -> Self {
        let mut bits = vec![0u64; places.max().map_or(0, |last| last as usize / 64 + 1)];
        for place in places {
            bits.get_mut(place as usize / 64).into_iter().for_each(|word| *word |= 1 << (place % 64));
        }
        Self(bits)
    }

    fn has(&self, place: u32) -> bool {
        self.0.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
}

/// Which of these places have records of which something became known that isn't indexed yet.
fn amended_lately(search: &Search<'_>, run: &RunView, places: &Places) -> io::Result<Places> {
    if search.amended().len() > LOOKED_UP {
        return Ok(places.clone());
    }
    let mut lately = Places::new();
    for id in search.amended() {
        for kind in [TermKind::Id, TermKind::Amends] {
            lately |= search.live.index.ask(run, &Lookup::Term(terms::of_id(kind, *id)))?.places()?;
        }
    }
    Ok(lately & places)
}

impl Counting<'_> {
    /// Counts a part; whether it is time to stop.
    fn part(&mut self, search: &mut Search<'_>, part: &Part) -> io::Result<bool> {
        let split = match (&part.run, &part.set) {
            (Some(run), Some(_)) => search.unless_broken(part.day, run, self.split(search, part, run)),
            _ => None,
        };
        let mut split = split.unwrap_or_else(|| {
            let superseded = search.live.index.superseded(part.day);
            let stands = |number: &u32| !superseded.as_ref().is_some_and(|places| places.contains(*number));
            Split { certain: Places::new(), doubtful: part.numbers.clone().rev().filter(stands).collect() }
        });
        if let Some(run) = part.run.as_ref().filter(|_| !split.certain.is_empty()) {
            search.explained.candidates += split.certain.len();
            let mut of_run = self.afresh();
            match of_run.certain(search.live, run, &split.certain) {
                Ok(()) => self.take_in(of_run),
                Err(error) => {
                    search.unless_broken::<()>(part.day, run, Err(error));
                    // What it had said until then is worth nothing: its records are looked at.
                    split.doubtful.extend(split.certain.iter().map(|place| run.first() + place));
                    split.doubtful.sort_unstable_by(|one, other| other.cmp(one));
                }
            }
        }
        let mut oldest = None;
        for (seen, number) in split.doubtful.into_iter().enumerate() {
            let place = Cursor { day: part.day, number };
            if let Some(record) = search.verified(place, self.query, true)? {
                oldest = Some(time_of(&record));
                self.one(&record);
            }
            if seen % 256 == 255 && Instant::now() > self.deadline {
                break;
            }
        }
        if Instant::now() > self.deadline {
            let reached = part.run.as_ref().map(|run| run.times().span().0);
            self.tally.cut_short_at = oldest.or(reached).or(self.query.since);
            return Ok(true);
        }
        Ok(false)
    }

    /// With nothing counted yet.
    fn afresh(&self) -> Self {
        let by = self.by.iter().map(|(field, ..)| (*field, HashMap::new(), 0)).collect();
        Self { query: self.query, tally: Tally::default(), end_of_data: Histogram::default(), by, deadline: self.deadline }
    }

    fn take_in(&mut self, other: Self) {
        self.tally.transactions += other.tally.transactions;
        self.tally.sessions += other.tally.sessions;
        self.tally.octets = self.tally.octets.saturating_add(other.tally.octets);
        self.tally.recipients += other.tally.recipients;
        self.tally.records_lost += other.tally.records_lost;
        self.end_of_data.take_in(&other.end_of_data);
        for ((_, counts, others), (_, of_run, more)) in self.by.iter_mut().zip(other.by) {
            *others += more;
            of_run.iter().for_each(|(value, count)| add(counts, others, value, *count));
        }
    }

    fn split(&self, search: &Search<'_>, part: &Part, run: &RunView) -> io::Result<Split> {
        let live = search.live;
        let (first, since, until) = (run.first(), self.query.since, self.query.until);
        let Some(set) = &part.set else { return Ok(Split::default()) };
        let mut places = match &set.places {
            Some(places) => places.clone(),
            None => Places::from_iter(part.numbers.clone().map(|number| number - first)),
        };
        places.remove_range(part.numbers.end - first..);
        if let Some(superseded) = live.index.superseded(part.day) {
            places -= Places::from_sorted_iter(superseded.range(part.numbers.clone()).map(|number| number - first)).unwrap_or_default();
        }
        // What is no record that can be found isn't counted.
        places &= live.index.ask(run, &Lookup::kind(TermKind::Kind))?.places()?;
        let times = run.times();
        if !set.exact {
            let doubtful = places.iter().rev().filter(|&place| times.may_hold(place, since, until));
            return Ok(Split { certain: Places::new(), doubtful: doubtful.map(|place| first + place).collect() });
        }
        let mut doubtful = amended_lately(search, run, &places)?;
        places -= &doubtful;
        let mut certain = Places::new();
        if since.is_none() && until.is_none() {
            certain = places;
        } else {
            for place in &places {
                if times.is_within(place, since, until) {
                    certain.insert(place);
                } else if times.may_hold(place, since, until) {
                    doubtful.insert(place);
                }
            }
        }
        Ok(Split { certain, doubtful: doubtful.iter().rev().map(|place| first + place).collect() })
    }

    fn certain(&mut self, live: &Live, run: &RunView, places: &Places) -> io::Result<()> {
        let index = &live.index;
        let of_kind = |kind: RecordKind| -> io::Result<Places> {
            let term = terms::of_text(TermKind::Kind, kind.word());
            Ok(index.ask(run, &Lookup::Term(term))?.places()? & places)
        };
        let transactions = of_kind(RecordKind::Transaction)?;
        // A run in memory grows meanwhile: what it has as a whole is more than what was chosen.
        let length = if matches!(run, RunView::Stored(..)) { u64::from(run.end() - run.first()) } else { u64::MAX };
        self.tally.transactions += transactions.len();
        let synthetic = index.ask(run, &Lookup::Term(terms::of_text(TermKind::Flag, Flag::Synthetic.word())))?.places()?;
        self.tally.sessions += (of_kind(RecordKind::Session)? - synthetic).len();
        let all = 0..=u64::MAX;
        let of_some = (places.len() < length).then(|| Bits::of(places));
        let of = |place: u32| of_some.as_ref().is_none_or(|bits| bits.has(place));
        // Lines of logs tell a message's size again, and again.
        let logs = of_kind(RecordKind::Log)?;
        let sized = (!logs.is_empty()).then(|| Bits::of(&transactions));
        let tally = &mut self.tally;
        index.numbers(run, Column::Size, &all, &mut |place, number| {
            let counts = sized.as_ref().is_none_or(|bits| bits.has(place));
            tally.octets = tally.octets.saturating_add(number.filter(|_| counts && of(place)).unwrap_or(0));
        })?;
        index.numbers(run, Column::Recipients, &all, &mut |place, number| tally.recipients += number.filter(|_| of(place)).unwrap_or(0))?;
        index.numbers(run, Column::RecordsLost, &all, &mut |place, number| {
            tally.records_lost += number.filter(|_| of(place)).unwrap_or(0)
        })?;
        let end_of_data = &mut self.end_of_data;
        index.numbers(run, Column::EndOfData, &all, &mut |place, number| {
            number.filter(|_| of(place)).into_iter().for_each(|number| end_of_data.add(number));
        })?;
        // Where all of a run counts, its own counts will do.
        let whole = transactions.len() == length;
        let of_transactions = (!whole).then(|| Bits::of(&transactions));
        for (field, counts, others) in &mut self.by {
            let kind = vec![field.kind() as u8];
            let mut of_term = Vec::new();
            index.terms(run, &kind, terms::after(&kind).as_deref(), &mut |term, count, add_to| {
                let mut count = u64::from(count);
                if let Some(bits) = &of_transactions {
                    of_term.clear();
                    add_to(&mut of_term)?;
                    count = of_term.iter().filter(|&&place| bits.has(place)).count() as u64;
                }
                add(counts, others, term.get(1..).unwrap_or_default(), count);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Counts a record that was read.
    fn one(&mut self, record: &Record) {
        match record.kind() {
            RecordKind::Transaction => self.tally.transactions += 1,
            RecordKind::Session => self.tally.sessions += u64::from(!is_synthetic(record)),
            _ => {}
        }
        let [size, _, end_of_data, recipients, lost] = numbers_of(record);
        let size = size.filter(|_| record.kind() == RecordKind::Transaction);
        self.tally.octets = self.tally.octets.saturating_add(size.unwrap_or(0));
        self.tally.recipients += recipients.unwrap_or(0);
        self.tally.records_lost += lost.unwrap_or(0);
        end_of_data.into_iter().for_each(|number| self.end_of_data.add(number));
        if record.kind() != RecordKind::Transaction {
            return;
        }
        let mut of_record = terms::Terms::default();
        of_record.add(record);
        let mut found: Vec<&[u8]> = of_record.iter().collect();
        found.sort_unstable();
        found.dedup();
        for (field, counts, others) in &mut self.by {
            let kind = field.kind() as u8;
            for value in found.iter().filter_map(|term| term.strip_prefix(&[kind])) {
                add(counts, others, value, 1);
            }
        }
    }

    fn finish(self, explained: Explained) -> Tally {
        let end_of_data = self.end_of_data.at(50).zip(self.end_of_data.at(99));
        let mut tally = Tally { end_of_data, explained, ..self.tally };
        for (field, counts, others) in self.by {
            let mut counts: Vec<(String, u64)> =
                counts.into_iter().filter_map(|(octets, count)| Some((field.value(&octets)?, count))).collect();
            counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
            tally.by.push(counts);
            tally.others.push(others);
        }
        tally
    }
}

/// The proxy's own probes are nobody's sessions.
fn is_synthetic(record: &Record) -> bool {
    matches!(record, Record::Session(it) if it.flags.contains(&Flag::Synthetic))
}

fn add(counts: &mut HashMap<Vec<u8>, u64>, others: &mut u64, value: &[u8], count: u64) {
    if count == 0 {
        return;
    }
    let held = counts.len();
    match counts.get_mut(value) {
        Some(known) => *known += count,
        None if held < HELD => drop(counts.insert(value.to_vec(), count)),
        None => *others += 1,
    }
}
