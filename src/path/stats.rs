//! Counts over a span of time: how many messages, and how they fared by state, stage, upstream, domain.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::Hole;
use super::explained::Explained;
use super::find::Traces;
use super::what::What;
pub use crate::store::Field as By;
use crate::trace::WallMicros;
use crate::trace::json::Time;

/// What is counted where nothing is asked for.
pub const USUAL: [By; 4] = [By::State, By::Stage, By::Upstream, By::Domain];

/// Reads `state,stage`.
///
/// # Errors
/// In words for the one who typed it.
pub fn by_list(text: &str) -> Result<Vec<By>, String> {
    let one = |word: &str| {
        let known = By::ALL.iter().copied().find(|by| by.word() == word || by.word().replace('-', "_") == word);
        known.ok_or_else(|| format!("{word:?} can't be counted by: {} can", By::ALL.map(By::word).join(", ")))
    };
    let mut list = Vec::new();
    for by in text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(one) {
        let by = by?;
        if !list.contains(&by) {
            list.push(by);
        }
    }
    Ok(list)
}

/// Counts of the transactions in a span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    pub since: Time,
    pub until: Time,
    pub transactions: u64,
    /// Sessions that ended without any transaction, or otherwise than by QUIT.
    pub sessions: u64,
    pub recipients: u64,
    /// Octets of message text.
    pub octets: u64,
    /// Time from end-of-data to its reply, over the transactions that had one, within one in a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_data_median_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_data_p99_us: Option<u64>,
    /// Records that were lost to the store.
    pub records_lost: u64,
    /// The hole that is being made: records are lost now, and aren't counted above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hole_now: Option<Hole>,
    pub by: Vec<Counts>,
    /// Counting was broken off after some seconds: only the newest are counted, from `since` on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
    /// How it was counted; present if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    pub by: By,
    /// The many before the few; at most [`KINDS`].
    pub counts: Vec<Count>,
    /// Kinds beyond those.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    pub key: String,
    pub transactions: u64,
}

/// Most kinds that one count tells apart in its answer.
pub const KINDS: usize = 20;
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What is to be counted.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub by: &'a [By],
    /// Unless the question itself names a time.
    pub since: WallMicros,
    pub until: WallMicros,
    pub explain: bool,
}

/// Counts what matches in a span.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn stats<T: Traces>(traces: &T, what: &What, asked: &Asked<'_>) -> Result<Stats, T::Error> {
    let &Asked { by, since, until, explain } = asked;
    let meant = super::ask::meant(traces, what)?;
    let mut query = meant.query;
    let span = until.saturating_sub(since);
    let until = *query.until.get_or_insert(until);
    // Where the question names an end before that, it is the span that ends there.
    let since = *query.since.get_or_insert(if since < until { since } else { until.saturating_sub(span) });
    let tally = traces.tally(&query, by)?;
    let counts = by.iter().zip(tally.by).zip(tally.others).map(|((&by, counts), others)| ranked(by, counts, others)).collect();
    Ok(Stats {
        since: Time(tally.cut_short_at.unwrap_or(since)),
        until: Time(until),
        transactions: tally.transactions,
        sessions: tally.sessions,
        recipients: tally.recipients,
        octets: tally.octets,
        end_of_data_median_us: tally.end_of_data.map(|(median, _)| median),
        end_of_data_p99_us: tally.end_of_data.map(|(_, p99)| p99),
        records_lost: tally.records_lost,
        hole_now: traces.hole_now(),
        by: counts,
        cut_short: tally.cut_short_at.is_some(),
        explained: explain.then(|| Explained { reading: meant.name.to_owned(), ..(&tally.explained).into() }),
    })
}

fn ranked(by: By, mut counts: Vec<(String, u64)>, others: u64) -> Counts {
    let others = others + counts.len().saturating_sub(KINDS) as u64;
    counts.truncate(KINDS);
    Counts { by, counts: counts.into_iter().map(|(key, transactions)| Count { key, transactions }).collect(), others }
}
