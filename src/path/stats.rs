//! Counts over a span of time: how many messages, and how they fared by state, stage, upstream, domain.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::find::Traces;
use super::what::What;
use crate::store::PageRequest;
use crate::trace::json::Time;
use crate::trace::{Record, RecordKind, Transaction, WallMicros};

/// What transactions can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    State,
    Stage,
    Upstream,
    Domain,
    Code,
    Client,
    Listener,
}

impl By {
    pub const ALL: [Self; 7] = [Self::State, Self::Stage, Self::Upstream, Self::Domain, Self::Code, Self::Client, Self::Listener];
    /// What is counted where nothing is asked for.
    pub const USUAL: [Self; 4] = [Self::State, Self::Stage, Self::Upstream, Self::Domain];

    pub fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Stage => "stage",
            Self::Upstream => "upstream",
            Self::Domain => "domain",
            Self::Code => "code",
            Self::Client => "client",
            Self::Listener => "listener",
        }
    }

    /// Reads `state,stage`.
    ///
    /// # Errors
    /// In words for the one who typed it.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        let one = |word: &str| {
            let known = Self::ALL.iter().copied().find(|by| by.word() == word);
            known.ok_or_else(|| format!("{word:?} can't be counted by: {} can", Self::ALL.map(Self::word).join(", ")))
        };
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(one).collect()
    }
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
    /// Time from end-of-data to its reply, over the transactions that had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_data_median_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_data_p99_us: Option<u64>,
    /// Records that were lost to the store.
    pub records_lost: u64,
    pub by: Vec<Counts>,
    /// Counting was broken off after some seconds: only the newest are counted, from `since` on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
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
/// Most kinds that are held while counting: what comes beyond is counted as other.
const HELD: usize = 100_000;
const PAGE: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(10);

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Counts what matches in a span, newest first.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn stats<T: Traces>(traces: &T, what: &What, by: &[By], since: WallMicros, until: WallMicros) -> Result<Stats, T::Error> {
    let mut meant = super::ask::meant(traces, what)?;
    let since = *meant.query.since.get_or_insert(since);
    let until = *meant.query.until.get_or_insert(until);
    let mut tally = Tally::new(by);
    let mut before = None;
    let mut cut_short = false;
    let mut reached = since;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = meant.page(traces, &PageRequest { limit: PAGE, before })?;
        for record in &page.records {
            tally.add(record);
        }
        before = page.next;
        if before.is_none() {
            break;
        }
        if Instant::now() > deadline {
            cut_short = true;
            reached = page.records.last().map_or(reached, |record| crate::trace::json::Record::from(record).at().0);
            break;
        }
    }
    Ok(tally.stats(Time(reached), Time(until), cut_short))
}

struct Tally {
    transactions: u64,
    sessions: u64,
    recipients: u64,
    octets: u64,
    records_lost: u64,
    end_of_data: Vec<u64>,
    counts: Vec<(By, HashMap<String, u64>)>,
}

impl Tally {
    fn new(by: &[By]) -> Self {
        let counts = by.iter().map(|&by| (by, HashMap::new())).collect();
        Self { transactions: 0, sessions: 0, recipients: 0, octets: 0, records_lost: 0, end_of_data: Vec::new(), counts }
    }

    fn add(&mut self, record: &Record) {
        match record {
            Record::Transaction(transaction) => self.add_transaction(transaction),
            Record::Gap(gap) => self.records_lost += gap.records_lost,
            other if other.kind() == RecordKind::Session => self.sessions += 1,
            _ => {}
        }
    }

    fn add_transaction(&mut self, transaction: &Transaction) {
        self.transactions += 1;
        self.recipients += transaction.envelope.recipients.len() as u64 + u64::from(transaction.envelope.recipients_cut);
        self.octets = self.octets.saturating_add(transaction.message.size);
        self.end_of_data.extend(transaction.phases.end_of_data_us);
        for (by, counts) in &mut self.counts {
            for key in keys(*by, transaction) {
                let held = counts.len();
                match counts.get_mut(&key) {
                    Some(count) => *count += 1,
                    None if held < HELD => {
                        counts.insert(key, 1);
                    }
                    None => {}
                }
            }
        }
    }

    fn stats(mut self, since: Time, until: Time, cut_short: bool) -> Stats {
        self.end_of_data.sort_unstable();
        let end_of_data = self.end_of_data;
        // Nearest rank: of few values, the 99th percentile is the greatest.
        let quantile = |percent: usize| end_of_data.get((end_of_data.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        let by = self.counts.into_iter().map(|(by, counts)| ranked(by, counts)).collect();
        Stats {
            since,
            until,
            transactions: self.transactions,
            sessions: self.sessions,
            recipients: self.recipients,
            octets: self.octets,
            end_of_data_median_us: quantile(50),
            end_of_data_p99_us: quantile(99),
            records_lost: self.records_lost,
            by,
            cut_short,
        }
    }
}

fn ranked(by: By, counts: HashMap<String, u64>) -> Counts {
    let kinds = counts.len();
    let mut counts: Vec<Count> = counts.into_iter().map(|(key, transactions)| Count { key, transactions }).collect();
    counts.sort_by(|one, other| other.transactions.cmp(&one.transactions).then_with(|| one.key.cmp(&other.key)));
    counts.truncate(KINDS);
    Counts { by, counts, others: kinds.saturating_sub(KINDS) as u64 }
}

/// Under what a transaction counts: once for each of its recipients' domains, otherwise once.
fn keys(by: By, transaction: &Transaction) -> HashSet<String> {
    let one = |key: String| HashSet::from([key]);
    match by {
        By::State => one(transaction.outcome.state.to_string()),
        By::Stage => one(transaction.outcome.stage.to_string()),
        By::Upstream => one(transaction.upstream.host.clone().unwrap_or_else(|| transaction.upstream.name.clone())),
        By::Domain => {
            let recipients = transaction.envelope.recipients.iter();
            recipients.filter_map(|it| it.address.rsplit_once('@')).map(|(_, domain)| domain.to_ascii_lowercase()).collect()
        }
        By::Code => transaction.outcome.reply.iter().map(|reply| reply.code.to_string()).collect(),
        By::Client => one(transaction.client.ip.to_string()),
        By::Listener => one(transaction.listener.clone()),
    }
}
