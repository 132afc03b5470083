//! What is asked of a run, and what it answers.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::columns::Column;
use super::file::{Found, RunFile};
use super::growing::GrowingRun;
use super::places::Places;
use super::terms::{self, TermKind};
use super::{Index, RunView, SharedRun};
use crate::store::locks::reading;

/// One thing that records of a run may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    Term(Vec<u8>),
    /// Any term from the first until before the second.
    Terms(Vec<u8>, Option<Vec<u8>>),
    /// Any term of a kind that has these octets somewhere.
    Having(TermKind, Vec<u8>),
    Number(Column, RangeInclusive<u64>),
}

/// An answer before its places are read.
#[derive(Debug)]
pub struct Answer {
    /// How many places there are, counted double where records have several of the terms.
    pub count: u64,
    places: Stands,
}

#[derive(Debug)]
enum Stands {
    Ready(Places),
    Memory(SharedRun, Vec<u8>),
    File(Arc<RunFile>, Found),
}

/// Is shown a term, the count of its records, and how to have their places added to some.
pub type SeeTerm<'a> = dyn FnMut(&[u8], u32, &dyn Fn(&mut Vec<u32>) -> io::Result<()>) -> io::Result<()> + 'a;

/// Places gathered before they are made a set.
const GATHERED: usize = 1 << 20;

fn set_of(places: &mut Vec<u32>) -> Places {
    places.sort_unstable();
    places.dedup();
    let set = Places::from_sorted_iter(places.iter().copied()).unwrap_or_default();
    places.clear();
    set
}

impl Lookup {
    /// Terms that begin with one.
    pub fn beginning(term: Vec<u8>) -> Self {
        let after = terms::after(&term);
        Self::Terms(term, after)
    }

    /// All terms of a kind.
    pub fn kind(kind: TermKind) -> Self {
        Self::beginning(vec![kind as u8])
    }
}

impl Answer {
    pub fn places(self) -> io::Result<Places> {
        match self.places {
            Stands::Ready(places) => Ok(places),
            Stands::Memory(run, term) => Ok(reading(&run).places(&term)),
            Stands::File(file, found) => file.places(found),
        }
    }
}

impl From<Places> for Answer {
    fn from(places: Places) -> Self {
        Self { count: places.len(), places: Stands::Ready(places) }
    }
}

impl Index {
    /// Whether a run certainly knows nothing of something: that costs much less to find out than what it knows.
    ///
    /// # Errors
    /// Its file can't be read.
    pub fn lacks(&self, run: &RunView, lookup: &Lookup) -> io::Result<bool> {
        match (run, lookup) {
            (RunView::Memory(run), Lookup::Term(term)) => Ok(reading(run).count(term) == 0),
            (RunView::Stored(day, meta), Lookup::Term(term)) => Ok(!self.file(*day, meta)?.may_have(term)?),
            _ => Ok(false),
        }
    }

    /// What a run knows of something.
    ///
    /// # Errors
    /// Its file can't be read.
    pub fn ask(&self, run: &RunView, lookup: &Lookup) -> io::Result<Answer> {
        match (run, lookup) {
            (RunView::Memory(run), Lookup::Term(term)) => {
                let count = u64::from(reading(run).count(term));
                Ok(Answer { count, places: Stands::Memory(run.clone(), term.clone()) })
            }
            (RunView::Stored(day, meta), Lookup::Term(term)) => {
                let file = self.file(*day, meta)?;
                let found = if file.may_have(term)? { file.find(term)? } else { None };
                Ok(match found {
                    Some(found) => Answer { count: u64::from(found.count), places: Stands::File(file, found) },
                    None => Places::new().into(),
                })
            }
            (_, Lookup::Number(column, range)) => {
                let mut places = Places::new();
                self.numbers(run, *column, range, &mut |place, number| {
                    if number.is_some_and(|number| range.contains(&number)) {
                        places.insert(place);
                    }
                })?;
                Ok(places.into())
            }
            (_, Lookup::Terms(from, until)) => self.any(run, from, until.as_deref(), |_| true),
            (_, Lookup::Having(kind, part)) => {
                let kind = vec![*kind as u8];
                let until = terms::after(&kind);
                let finder = memchr::memmem::Finder::new(part);
                // What is cut may go on with it.
                let has = |term: &[u8]| terms::is_cut(term) || term.get(1..).is_some_and(|text| finder.find(text).is_some());
                self.any(run, &kind, until.as_deref(), has)
            }
        }
    }

    fn any(&self, run: &RunView, from: &[u8], until: Option<&[u8]>, is_meant: impl Fn(&[u8]) -> bool) -> io::Result<Answer> {
        let (mut all, mut some) = (Places::new(), Vec::new());
        self.terms(run, from, until, &mut |term, _, add_to| {
            if is_meant(term) {
                add_to(&mut some)?;
            }
            // A record to a thousand recipients is there a thousand times.
            if some.len() > GATHERED {
                all |= set_of(&mut some);
            }
            Ok(())
        })?;
        all |= set_of(&mut some);
        Ok(all.into())
    }

    /// Shows every term of a run in `from..until`, with the count of its records and how to get at them; of runs in memory in no order.
    ///
    /// # Errors
    /// The run's file can't be read, or what `see` says.
    pub fn terms(&self, run: &RunView, from: &[u8], until: Option<&[u8]>, see: &mut SeeTerm<'_>) -> io::Result<()> {
        match run {
            RunView::Memory(run) => {
                let mut seen = Ok(());
                reading(run).range(from, until, &mut |term, count, places| {
                    if seen.is_ok() {
                        seen = see(term, count, &|all| {
                            all.extend(places());
                            Ok(())
                        });
                    }
                });
                seen
            }
            RunView::Stored(day, meta) => {
                let file = self.file(*day, meta)?;
                file.range(from, until, &mut |term, count, list| see(term, count, &|all| file.places_onto(list, 0, all)).map(|()| true))
            }
        }
    }

    /// Shows the numbers of a run's column with their places, where some may be in `range`.
    ///
    /// # Errors
    /// The run's file can't be read.
    pub fn numbers(
        &self,
        run: &RunView,
        column: Column,
        range: &RangeInclusive<u64>,
        see: &mut dyn FnMut(u32, Option<u64>),
    ) -> io::Result<()> {
        match run {
            RunView::Memory(run) => {
                let run: &GrowingRun = &reading(run);
                (0..).zip(run.columns.numbers(column)).for_each(|(place, number)| see(place, number));
            }
            RunView::Stored(day, meta) => {
                let file = self.file(*day, meta)?;
                for chunk in file.chunks(column).iter().filter(|chunk| chunk.least <= *range.end() && *range.start() <= chunk.most) {
                    file.numbers(chunk)?.for_each(|(place, number)| see(place, number));
                }
            }
        }
        Ok(())
    }
}
