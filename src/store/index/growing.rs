//! A run in memory: the terms of neighbouring records as they come, each with the places of its records, until they are stored.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::columns::{Columns, Numbers};
use super::places::{self, Places};
use super::terms::Terms;
use super::times::Times;
use crate::store::cursor::Cursor;
use crate::trace::WallMicros;

/// Records of a full run.
pub const RUN_RECORDS: u32 = 1 << 15;
/// Octets in memory from which on a run is stored before it is full: twice of what a usual one takes.
const HEAVY: usize = 48 << 20;

#[derive(Debug)]
pub struct GrowingRun {
    /// Number, within the day, of the first record.
    pub first: u32,
    /// Numbers that it spans; some may be without record.
    pub span: u32,
    pub times: Times,
    /// How many of its records amend others.
    pub amendments: u32,
    /// Records for which a later one stands.
    pub superseded: Vec<Cursor>,
    pub columns: Columns,
    /// All terms, one after the other.
    octets: Vec<u8>,
    terms: Vec<Term>,
    /// Places in `terms` of those of each kind, by its number: a beginning is looked for among its own kind only.
    kinds: Vec<Vec<u32>>,
    /// From a term's hash to its place in `terms`.
    table: HashTable<u32>,
    postings: Vec<Posting>,
    /// The term of each posting, by its place in `terms`.
    of: Vec<u32>,
    hasher: DefaultHashBuilder,
}

/// Room for the terms of a run: the next one is like the one before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Room {
    octets: usize,
    terms: usize,
    postings: usize,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    start: u32,
    length: u8,
    count: u32,
    /// Its newest posting.
    newest: u32,
}

/// One record of a term. They are chained backwards.
#[derive(Debug, Clone, Copy)]
struct Posting {
    place: u32,
    before: u32,
}

/// Is shown a term, the count of its records, and how to get at their places.
pub type See<'a> = dyn FnMut(&[u8], u32, &dyn Fn() -> Vec<u32>) + 'a;

const NONE: u32 = u32::MAX;

impl GrowingRun {
    /// A run from that number on, with room for as much as another one took.
    pub fn new(first: u32, room: Room) -> Self {
        let hasher = DefaultHashBuilder::default();
        Self {
            first,
            span: 0,
            times: Times::default(),
            amendments: 0,
            superseded: Vec::new(),
            columns: Columns::default(),
            octets: Vec::with_capacity(room.octets),
            terms: Vec::with_capacity(room.terms),
            kinds: Vec::new(),
            table: HashTable::with_capacity(room.terms),
            postings: Vec::with_capacity(room.postings),
            of: Vec::with_capacity(room.postings),
            hasher,
        }
    }

    /// Whether it takes more memory than a run should: messages to a thousand recipients have a hundred times the usual terms.
    pub fn is_heavy(&self) -> bool {
        let terms = self.terms.len() * (size_of::<Term>() + 2 * size_of::<u32>() + 1);
        let postings = self.postings.len() * (size_of::<Posting>() + size_of::<u32>());
        self.octets.len() + terms + postings > HEAVY
    }

    /// Different terms.
    pub fn terms(&self) -> u64 {
        self.terms.len() as u64
    }

    /// What it takes.
    pub fn room(&self) -> Room {
        Room { octets: self.octets.len(), terms: self.terms.len(), postings: self.postings.len() }
    }

    /// The number after its last.
    pub fn end(&self) -> u32 {
        self.first.saturating_add(self.span)
    }

    /// Adds the record of that number with its terms, or without any.
    pub fn add(&mut self, number: u32, at: Option<WallMicros>, terms: &Terms, numbers: Numbers) {
        let place = number.saturating_sub(self.first);
        self.span = place + 1;
        self.columns.push(place, numbers);
        if let Some(at) = at {
            self.times.note(place, at);
        }
        terms.iter().for_each(|term| self.post(term, place));
    }

    fn post(&mut self, term: &[u8], place: u32) {
        let hash = self.hasher.hash_one(term);
        let (octets, terms, hasher) = (&self.octets, &self.terms, &self.hasher);
        let same = |&at: &u32| terms.get(at as usize).is_some_and(|known| known.octets(octets) == term);
        let rehash = |&at: &u32| terms.get(at as usize).map_or(0, |known| hasher.hash_one(known.octets(octets)));
        let posting = self.postings.len() as u32;
        let (of, before) = match self.table.entry(hash, same, rehash) {
            hashbrown::hash_table::Entry::Occupied(entry) => {
                let Some(known) = self.terms.get_mut(*entry.get() as usize) else { return };
                // A record has a term once, however often it says it.
                if self.postings.get(known.newest as usize).is_some_and(|newest| newest.place == place) {
                    return;
                }
                known.count += 1;
                (*entry.get(), std::mem::replace(&mut known.newest, posting))
            }
            hashbrown::hash_table::Entry::Vacant(entry) => {
                let at = self.terms.len() as u32;
                entry.insert(at);
                let kind = term.first().map_or(0, |&kind| usize::from(kind));
                if self.kinds.len() <= kind {
                    self.kinds.resize(kind + 1, Vec::new());
                }
                self.kinds.get_mut(kind).into_iter().for_each(|kind| kind.push(at));
                self.terms.push(Term { start: self.octets.len() as u32, length: term.len() as u8, count: 1, newest: posting });
                self.octets.extend_from_slice(term);
                (at, NONE)
            }
        };
        self.postings.push(Posting { place, before });
        self.of.push(of);
    }

    /// How many records have the term.
    pub fn count(&self, term: &[u8]) -> u32 {
        self.find(term).map_or(0, |term| term.count)
    }

    /// The places of the records that have the term.
    pub fn places(&self, term: &[u8]) -> Places {
        let mut places: Vec<u32> = self.find(term).into_iter().flat_map(|term| self.chain(term)).collect();
        places.reverse();
        places::of_ascending(&places)
    }

    /// Shows every term in `from..until` with the count of its records and how to get at them; in no order.
    pub fn range(&self, from: &[u8], until: Option<&[u8]>, see: &mut See<'_>) {
        let kind = |term: &[u8]| term.first().map_or(0, |&kind| usize::from(kind));
        let kinds = kind(from)..=until.map_or(usize::MAX, kind);
        let terms = self.kinds.iter().enumerate().filter(|(kind, _)| kinds.contains(kind)).flat_map(|(_, terms)| terms);
        for term in terms.filter_map(|&at| self.terms.get(at as usize)) {
            let octets = term.octets(&self.octets);
            if octets >= from && until.is_none_or(|until| octets < until) {
                see(octets, term.count, &|| self.chain(*term).collect());
            }
        }
    }

    /// Shows every term in order with its places, ascending: for packing.
    pub fn sorted(&self, mut see: impl FnMut(&[u8], &[u32]) -> std::io::Result<()>) -> std::io::Result<()> {
        // Most comparisons end with the first octets, which lie side by side here.
        let mut order: Vec<(u64, u32)> =
            self.terms.iter().enumerate().map(|(at, term)| (beginning(term.octets(&self.octets)), at as u32)).collect();
        let octets_of = |at: u32| self.terms.get(at as usize).map_or(&[][..], |term| term.octets(&self.octets));
        order.sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| octets_of(one.1).cmp(octets_of(other.1))));
        // One pass over the postings as they lie, which following the chains wouldn't be.
        let mut ends = Vec::with_capacity(self.terms.len());
        let mut end = 0;
        for term in &self.terms {
            ends.push(end);
            end += term.count as usize;
        }
        let mut places = vec![0u32; end];
        for (posting, &of) in self.postings.iter().zip(&self.of) {
            if let Some(end) = ends.get_mut(of as usize) {
                places.get_mut(*end).into_iter().for_each(|place| *place = posting.place);
                *end += 1;
            }
        }
        for (_, at) in order {
            let (Some(term), Some(&end)) = (self.terms.get(at as usize), ends.get(at as usize)) else { continue };
            let start = end.saturating_sub(term.count as usize);
            see(term.octets(&self.octets), places.get(start..end).unwrap_or_default())?;
        }
        Ok(())
    }

    fn find(&self, term: &[u8]) -> Option<Term> {
        let same = |&at: &u32| self.terms.get(at as usize).is_some_and(|known| known.octets(&self.octets) == term);
        let at = *self.table.find(self.hasher.hash_one(term), same)?;
        self.terms.get(at as usize).copied()
    }

    /// Places, newest first.
    fn chain(&self, term: Term) -> impl Iterator<Item = u32> {
        let mut next = term.newest;
        std::iter::from_fn(move || {
            let posting = self.postings.get(next as usize)?;
            next = posting.before;
            Some(posting.place)
        })
    }
}

impl Term {
    fn octets(self, all: &[u8]) -> &[u8] {
        let start = self.start as usize;
        all.get(start..start + usize::from(self.length)).unwrap_or_default()
    }
}

/// The first octets of a term as a number that sorts like them.
fn beginning(term: &[u8]) -> u64 {
    let mut octets = [0; 8];
    let length = term.len().min(8);
    octets[..length].copy_from_slice(&term[..length]);
    u64::from_be_bytes(octets)
}
