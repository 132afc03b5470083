//! Asks today's rules about records made by yesterday's: what they say otherwise is appended as amendments, the records stay as they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ask::{StoreTraces, meant};
use super::what::What;
use crate::diagnose::{Cause, Rules};
use crate::store::{Cursor, PageRequest, StoreError, TakeInError};
use crate::trace::diagnosis::{amendment, diagnose};
use crate::trace::{Record, State, WallMicros};

/// Records of one step.
const PAGE: usize = 1000;
/// Of a message in doubt for less than this the reply may still come, and amend its record itself.
const MAY_BE_LATE_US: WallMicros = 15 * 60 * 1_000_000;

/// What one step found, and where the next one begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclassified {
    pub records: u64,
    /// Amended, or with `dry_run` to be amended.
    pub changed: u64,
    pub changes: Vec<Change>,
    /// Of the rules that were asked.
    pub rules_version: String,
    /// [`Cursor`] of the next step; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Records whose cause (a word of [`Cause`]) was one thing and is another. Both alike: only the rule, the advice or a single recipient's cause is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    pub records: u64,
}

/// Why a step could not be made. What earlier steps appended stays.
#[derive(Debug, Error)]
pub enum ReclassifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Append(#[from] TakeInError),
}

impl Reclassified {
    /// Adds what a later step found.
    pub fn add(&mut self, step: Self) {
        self.records += step.records;
        self.changed += step.changed;
        for Change { from, to, records } in step.changes {
            match self.changes.iter_mut().find(|it| (&it.from, &it.to) == (&from, &to)) {
                Some(change) => change.records += records,
                None => self.changes.push(Change { from, to, records }),
            }
        }
        self.rules_version = step.rules_version;
        self.next = step.next;
    }
}

/// Goes through a page of the records that match, newest first, from `before` on.
///
/// # Errors
/// The store can't be read or written.
pub fn step(
    traces: &StoreTraces,
    what: &What,
    rules: &Rules,
    before: Option<Cursor>,
    dry_run: bool,
) -> Result<Reclassified, ReclassifyError> {
    let store = traces.store();
    let page = meant(traces, what)?.page(traces, &PageRequest { limit: PAGE, before })?;
    let now = store.now();
    let (mut changes, mut amendments) = (BTreeMap::new(), Vec::new());
    for old in page.records.iter().filter(|record| !may_change_itself(record, now)) {
        let mut new = old.clone();
        diagnose(&mut new, rules);
        if let Some(amendment) = amendment(old, &new, store.record_id(), now) {
            *changes.entry((word(cause(old)), word(cause(&new)))).or_insert(0) += 1;
            amendments.push(Record::Amendment(Box::new(amendment)));
        }
    }
    if !dry_run && !amendments.is_empty() {
        store.take_in(&amendments)?;
    }
    Ok(Reclassified {
        records: page.records.len() as u64,
        changed: amendments.len() as u64,
        changes: changes.into_iter().map(|((from, to), records)| Change { from, to, records }).collect(),
        rules_version: rules.version().to_owned(),
        next: page.next.map(|cursor| cursor.to_string()),
    })
}

fn may_change_itself(record: &Record, now: WallMicros) -> bool {
    let Record::Transaction(it) = record else { return false };
    it.outcome.state == State::Unknown && it.at.saturating_add(it.duration_us).saturating_add(MAY_BE_LATE_US) > now
}

fn cause(record: &Record) -> Option<Cause> {
    record.outcome().and_then(|outcome| outcome.cause)
}

fn word(cause: Option<Cause>) -> Option<String> {
    cause.map(|cause| cause.word().to_owned())
}
