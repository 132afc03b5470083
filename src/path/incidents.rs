//! Incidents as they stand: the newest entry of each, and who asked not to hear of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::store::{Health, PageRequest, Query, Store, StoreError, TakeInError, Term};
use crate::trace::json;
use crate::trace::{Act, Anomaly, Incident, IncidentStep, Mute, Origin, Record, RecordId, RecordKind, Severity, WallMicros};
use crate::wording::{clock, number};

/// Entries that are looked at, newest first, before the older ones are left out, and said to be.
const MOST_ENTRIES: usize = 20_000;
const PAGE: usize = 500;

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// Those that are over as well, if they were so at or after this time.
    pub ended_since: Option<WallMicros>,
    pub anomaly: Option<Anomaly>,
    pub limit: usize,
}

/// Incidents, open ones first, the gravest before the others, then the newest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incidents {
    pub incidents: Vec<json::Incident>,
    /// Incidents that are open, those beyond the limit too.
    #[serde(default)]
    pub open: usize,
    /// Incidents beyond the limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
    /// So many entries were looked at that the oldest were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// One incident from its opening on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Course {
    /// Oldest first.
    pub entries: Vec<json::Incident>,
}

/// Why an incident could not be muted.
#[derive(Debug, Error)]
pub enum MuteError {
    #[error("there is no incident {0}")]
    Unknown(RecordId),
    #[error("incident {0} is over")]
    Over(RecordId),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Append(#[from] TakeInError),
}

/// The incidents that are open, and those that ended lately if asked for.
///
/// # Errors
/// The store can't be read.
pub fn list(store: &Store, asked: &Asked) -> Result<Incidents, StoreError> {
    let term = asked.anomaly.map_or(Term::Kind(RecordKind::Incident), Term::Anomaly);
    let (mut known, mut found, mut looked_at, mut cut_short) = (BTreeSet::new(), Vec::new(), 0, false);
    let mut look_at = |entry: Incident| {
        looked_at += 1;
        cut_short = looked_at > MOST_ENTRIES;
        if known.insert(entry.incident) && (entry.is_open() || asked.ended_since.is_some_and(|since| entry.at >= since)) {
            found.push(entry);
        }
        !cut_short
    };
    // Newer than all that is in the journal.
    for entry in store.unrecorded().into_iter().rev().filter(|it| asked.anomaly.is_none_or(|anomaly| anomaly == it.anomaly)) {
        look_at(entry);
    }
    each_entry(store, term, look_at)?;
    // The watch knows of it, or one that is open because of an earlier loss stands for this one too.
    if asked.anomaly.is_none_or(|anomaly| anomaly == Anomaly::TracingGap)
        && !found.iter().any(|it| it.anomaly == Anomaly::TracingGap && it.is_open())
    {
        found.extend(loss_now(store));
    }
    found.sort_by_key(|it| (!it.is_open(), std::cmp::Reverse(it.severity), std::cmp::Reverse(it.last)));
    let open = found.iter().filter(|it| it.is_open()).count();
    let more = found.len().saturating_sub(asked.limit);
    found.truncate(asked.limit);
    Ok(Incidents { incidents: found.iter().map(json::Incident::from).collect(), open, more, cut_short })
}

/// While records are lost, no incident of that can be recorded: where nobody watches, it is made up here as long as it lasts.
fn loss_now(store: &Store) -> Option<Incident> {
    let Health::Failed { since, why, records_lost } = store.health() else { return None };
    let (now, id) = (store.now(), RecordId::from_parts(since / 1_000, 0));
    let origin = Origin { node: String::new(), proxy_version: env!("CARGO_PKG_VERSION").to_owned(), config_digest: String::new() };
    Some(Incident {
        id,
        incident: id,
        step: IncidentStep::Opened,
        at: since,
        origin: Arc::new(origin.into()),
        anomaly: Anomaly::TracingGap,
        severity: Severity::Critical,
        about: Vec::new(),
        summary: format!("records are being lost since {}: the store can't be written", clock(since, now)),
        arithmetic: format!("{} lost since the start; the store says: {why}", number(records_lost)),
        baseline: None,
        cause: None,
        act: Act::LocalAdmin,
        advice:
            "Make room or mend the disk of the store: writing is tried again every second, no restart is needed. What passes until then \
                 can't be found, nor is this incident recorded."
                .to_owned(),
        since,
        last: now,
        count: records_lost,
        samples: Vec::new(),
        change: None,
        part_of: None,
        mute: None,
        who: None,
        note: None,
    })
}

/// All entries of the incident that has this id, or that an entry of this id belongs to.
///
/// # Errors
/// The store can't be read.
pub fn course(store: &Store, id: RecordId) -> Result<Option<Course>, StoreError> {
    let mut entries = match entries(store, id) {
        // Whoever was notified of it finds it, although the store isn't open.
        Err(StoreError::Unavailable { .. }) if is_unrecorded(store, id) => {
            store.unrecorded().into_iter().filter(|it| it.incident == id || it.id == id).collect()
        }
        entries => entries?,
    };
    entries.extend(loss_now(store).filter(|loss| loss.id == id));
    Ok((!entries.is_empty()).then(|| Course { entries: entries.iter().map(json::Incident::from).collect() }))
}

/// Has nobody notified of an incident until then; `until` in the past ends that. Gives the entry that says so.
///
/// # Errors
/// There is no such incident, it is over, or the store can't be written.
pub fn mute(store: &Store, id: RecordId, until: WallMicros, who: &str, note: Option<String>) -> Result<json::Incident, MuteError> {
    let last = entries(store, id)?.pop().ok_or(MuteError::Unknown(id))?;
    if !last.is_open() {
        return Err(MuteError::Over(id));
    }
    let now = store.now();
    let mute = (until > now).then(|| Mute { who: who.to_owned(), until });
    let step = if mute.is_some() { IncidentStep::Muted } else { IncidentStep::Unmuted };
    let entry = Incident { id: store.record_id(), step, at: now, mute, who: Some(who.to_owned()), note, ..last };
    store.take_in(&[Record::Incident(Box::new(entry.clone()))])?;
    Ok(json::Incident::from(&entry))
}

fn is_unrecorded(store: &Store, id: RecordId) -> bool {
    store.unrecorded().iter().any(|it| it.incident == id || it.id == id)
}

/// Oldest first.
fn entries(store: &Store, id: RecordId) -> Result<Vec<Incident>, StoreError> {
    let unrecorded = store.unrecorded();
    let id = match store.fetch(id)? {
        Some(Record::Incident(entry)) => entry.incident,
        _ => unrecorded.iter().find(|it| it.id == id).map_or(id, |it| it.incident),
    };
    let mut entries = Vec::new();
    each_entry(store, Term::Incident(id), |entry| {
        entries.push(entry);
        entries.len() < MOST_ENTRIES
    })?;
    entries.reverse();
    for entry in unrecorded.into_iter().filter(|it| it.incident == id) {
        // It may have been written just now.
        if entries.iter().all(|it| it.id != entry.id) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Newest first, until `each` has enough.
fn each_entry(store: &Store, term: Term, mut each: impl FnMut(Incident) -> bool) -> Result<(), StoreError> {
    let query = Query::of(term);
    let mut page = PageRequest::newest(PAGE);
    loop {
        let found = store.query(&query, &page)?;
        for record in found.records {
            if let Record::Incident(entry) = record
                && !each(*entry)
            {
                return Ok(());
            }
        }
        match found.next {
            Some(next) => page.before = Some(next),
            None => return Ok(()),
        }
    }
}
