//! The questions that the command line and the API both ask of a store, and their answers as programs read them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Hole};
use super::explained::Explained;
use super::find::{self, Manner, Traces};
use super::reading::Reading;
use super::what::What;
use crate::store::{Cursor, Field, Health, Page, PageRequest, Query, Reader, Store, StoreError, Tally};
use crate::trace::json::{Record, Time};
use crate::trace::{Mark, RecordId, WallMicros};

/// A store as a place to ask.
#[derive(Debug, Clone)]
pub struct StoreTraces {
    store: Store,
    running: bool,
}

/// Records that match, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Listing {
    pub records: Vec<Record>,
    /// Where the next page begins; absent if this was the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The search was broken off after some seconds: there may be more, even if `records` is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
    /// How many in a hundred of the records in question the search has behind it; present where it was broken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Nothing older than this is kept, although it was asked for, or might have been the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_since: Option<Time>,
    /// Of what was before this only failures are kept, although all was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_since: Option<Time>,
    /// The hole that is being made: records are lost now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hole_now: Option<Hole>,
    /// How it was found; present if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
}

/// Which records are listed, and how.
#[derive(Debug, Clone, Copy)]
pub struct ListRequest {
    pub limit: usize,
    /// [`Listing::next`] of the page before.
    pub before: Option<Cursor>,
    pub explain: bool,
}

/// The store in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoreNumbers {
    pub records: u64,
    pub days: u64,
    /// UTC days, `2026-11-23`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_day: Option<String>,
    /// The first day whose records are all kept; of those before it, only what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_whole_day: Option<String>,
    /// The first day with dialogues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_dialogue_day: Option<String>,
    pub journal_octets: u64,
    /// Of these, the dialogues of sealed files.
    #[serde(default)]
    pub dialogue_octets: u64,
    pub index_octets: u64,
    pub active_files: u64,
    pub sealed_files: u64,
    pub runs: u64,
    /// Written and not yet indexed: found all the same.
    pub unindexed: u64,
    /// Of this process: records that could not be stored.
    pub records_lost: u64,
    /// Why records can't be stored at present; absent while they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failing {
    pub since: Time,
    pub why: String,
}

impl StoreTraces {
    /// `running`: a proxy in this process is adding to the store.
    pub fn new(store: Store, running: bool) -> Self {
        Self { store, running }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where a message stopped.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn locate(&self, what: &What, manner: Manner<'_>) -> Result<Answer, StoreError> {
        find::find(&OneAnswer { traces: self, reader: self.store.reader() }, what, manner)
    }

    /// A page of the records that match.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn list(&self, what: &What, request: ListRequest) -> Result<Listing, StoreError> {
        let ListRequest { limit, before, explain } = request;
        let (reading, page) = match before {
            // The reading that found the first page goes on; it must not change in the middle of a listing.
            Some(_) => {
                let meant = meant(self, what)?;
                let page = meant.page(self, &PageRequest { limit, before })?;
                (meant.name, page)
            }
            None => first_page(self, what, limit)?,
        };
        // A first page that isn't full has gone through all that there is.
        let may_be_beyond = page.next.is_none() && (what.since.is_some() || page.records.is_empty());
        let (oldest, whole) = match may_be_beyond {
            true => (self.oldest()?, self.store.whole_since()?.map(|day| Time(day.start()))),
            false => (None, None),
        };
        let is_beyond = |start: &Time| what.since.is_none_or(|since| since < start.0);
        Ok(Listing {
            records: page.records.iter().map(Record::from).collect(),
            next: page.next.map(|cursor| cursor.to_string()),
            cut_short: page.cut_short,
            percent: page.cut_short.then(|| (page.explained.passed * 100).checked_div(page.explained.of).unwrap_or(100).min(100) as u8),
            kept_since: oldest.filter(&is_beyond),
            whole_since: whole.filter(is_beyond),
            hole_now: self.hole_now(),
            explained: explain.then(|| Explained { reading: reading.to_owned(), ..(&page.explained).into() }),
        })
    }

    fn oldest(&self) -> Result<Option<Time>, StoreError> {
        let (oldest, _) = self.store.follow(None, 1)?;
        Ok(oldest.first().map(|record| Record::from(record).at()))
    }

    /// The store in numbers.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn store_stats(&self) -> Result<StoreNumbers, StoreError> {
        let stats = self.store.stats()?;
        Ok(StoreNumbers {
            records: stats.records,
            days: stats.days,
            oldest_day: stats.oldest.map(|day| day.to_string()),
            newest_day: stats.newest.map(|day| day.to_string()),
            oldest_whole_day: stats.oldest_whole.map(|day| day.to_string()),
            oldest_dialogue_day: stats.oldest_dialogue.map(|day| day.to_string()),
            journal_octets: stats.journal_octets,
            dialogue_octets: stats.dialogue_octets,
            index_octets: stats.index_octets,
            active_files: stats.active_files,
            sealed_files: stats.sealed_files,
            runs: stats.runs,
            unindexed: stats.unindexed,
            records_lost: stats.records_lost,
            failing: match stats.health {
                Health::Ok => None,
                Health::Failed { since, why, .. } => Some(Failing { since: Time(since), why }),
            },
        })
    }

    /// The record as a follower of the question sees it, if it is for them. A later word counts by what it amends.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn follows(&self, what: &What, record: crate::trace::Record) -> Result<Option<Record>, StoreError> {
        let matches = match &record {
            _ if what.is_empty() => true,
            crate::trace::Record::Amendment(amendment) => self.store.fetch(amendment.of)?.is_some_and(|amended| what.may_mean(&amended)),
            record => what.may_mean(record),
        };
        Ok(matches.then(|| Record::from(&record)))
    }

    /// One record whole, with what became known later.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn record(&self, id: RecordId) -> Result<Option<Record>, StoreError> {
        Ok(self.store.fetch(id)?.as_ref().map(Record::from))
    }
}

impl Traces for StoreTraces {
    type Error = StoreError;

    fn query(&self, query: &Query, page: &PageRequest) -> Result<Page, StoreError> {
        self.store.query(query, page)
    }

    fn tally(&self, query: &Query, by: &[Field]) -> Result<Tally, StoreError> {
        self.store.tally(query, by)
    }

    fn reach(&self) -> Result<Option<(WallMicros, WallMicros)>, StoreError> {
        let oldest = self.oldest()?;
        let newest = self.store.query(&Query::default(), &PageRequest::newest(1))?.records;
        let time = |record: &crate::trace::Record| Record::from(record).at().0;
        Ok(oldest.map(|oldest| oldest.0).zip(newest.first().map(time)))
    }

    fn is_running(&self) -> bool {
        self.running
    }

    fn hole_now(&self) -> Option<Hole> {
        match self.store.health() {
            Health::Ok => None,
            Health::Failed { since, why, records_lost } => {
                Some(Hole { at: Time(since), until: Time(self.store.now()), records_lost, down: false, why })
            }
        }
    }
}

/// A store while one answer is made of it.
struct OneAnswer<'a> {
    traces: &'a StoreTraces,
    reader: Reader,
}

impl Traces for OneAnswer<'_> {
    type Error = StoreError;

    fn query(&self, query: &Query, page: &PageRequest) -> Result<Page, StoreError> {
        self.reader.query(query, page)
    }

    fn tally(&self, query: &Query, by: &[Field]) -> Result<Tally, StoreError> {
        self.traces.tally(query, by)
    }

    fn reach(&self) -> Result<Option<(WallMicros, WallMicros)>, StoreError> {
        self.traces.reach()
    }

    fn under_way(&self, query: &Query) -> Result<Vec<Mark>, StoreError> {
        self.traces.store.under_way(query)
    }

    fn is_running(&self) -> bool {
        self.traces.is_running()
    }

    fn hole_now(&self) -> Option<Hole> {
        self.traces.hole_now()
    }
}

/// The first page of the first reading that finds anything, and what that reading is called.
fn first_page<T: Traces>(traces: &T, what: &What, limit: usize) -> Result<(&'static str, Page), T::Error> {
    let mut last = ("nothing", Page::default());
    for reading in what.readings() {
        last = (reading.name, reading.page(traces, &PageRequest::newest(limit))?);
        if !last.1.records.is_empty() {
            break;
        }
    }
    Ok(last)
}

/// The first reading that finds anything.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn meant<T: Traces>(traces: &T, what: &What) -> Result<Reading, T::Error> {
    let readings = what.readings();
    let only = readings.len() == 1;
    let mut last = Reading::default();
    for reading in readings {
        if only {
            return Ok(reading);
        }
        let page = reading.page(traces, &PageRequest::newest(1))?;
        last = reading;
        if !page.records.is_empty() {
            break;
        }
    }
    Ok(last)
}
