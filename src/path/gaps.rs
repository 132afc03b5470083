//! Holes in the trace: records were lost while mail flowed, or the proxy itself was down.

use super::answer::{Hole, MessagePath};
use super::find::Traces;
use crate::store::{PageRequest, Query, Term};
use crate::trace::json::Time;
use crate::trace::{AuditEvent, Record, RecordKind, WallMicros};

/// Holes that are told of.
const TOLD: usize = 10;
/// Gap records looked through: those after the asked time must not crowd out those in it.
const LOOKED_THROUGH: usize = 300;
/// Nobody is away for less than this: a mail server tries a connection again within it.
const SHORT_US: u64 = 1_000_000;
/// After the last word on a message that is settled, nothing more is to be expected of it.
const SETTLED_US: u64 = 60_000_000;

/// The holes in a span of time, newest first, with the one that is being made now.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn between<T: Traces>(traces: &T, since: Option<WallMicros>, until: Option<WallMicros>) -> Result<Vec<Hole>, T::Error> {
    let mut holes = all_between(traces, since, until)?;
    holes.truncate(TOLD);
    Ok(holes)
}

fn all_between<T: Traces>(traces: &T, since: Option<WallMicros>, until: Option<WallMicros>) -> Result<Vec<Hole>, T::Error> {
    let kinds = Term::Any(vec![Term::Kind(RecordKind::Gap), Term::Kind(RecordKind::Audit)]);
    let page = traces.query(&Query { all: vec![kinds], since, until: None }, &PageRequest::newest(LOOKED_THROUGH))?;
    let mut holes: Vec<Hole> = traces.hole_now().into_iter().chain(page.records.into_iter().filter_map(hole)).collect();
    holes.retain(|hole| until.is_none_or(|until| hole.at.0 < until));
    holes.sort_by_key(|hole| std::cmp::Reverse(hole.until));
    Ok(holes)
}

/// The hole that a record tells of, if it tells of one that matters.
fn hole(record: Record) -> Option<Hole> {
    let down = |since, until, why: &str| Hole { at: Time(since), until: Time(until), records_lost: 0, down: true, why: why.to_owned() };
    let hole = match record {
        Record::Gap(gap) => Hole { at: Time(gap.from), until: Time(gap.until), records_lost: gap.records_lost, down: false, why: gap.why },
        Record::Audit(it) => match (it.event, it.since) {
            (AuditEvent::Started, Some(since)) => down(since, it.at, "it was stopped, and started again"),
            (AuditEvent::Crashed, Some(since)) => down(since, it.at, "it ended without a word; the beginning is its last sign of life"),
            _ => return None,
        },
        _ => return None,
    };
    // A restart is no hole.
    (!hole.down || hole.until.0.saturating_sub(hole.at.0) >= SHORT_US).then_some(hole)
}

/// When the proxy was stopped, if nothing has happened to it since.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn stopped<T: Traces>(traces: &T) -> Result<Option<WallMicros>, T::Error> {
    if traces.is_running() {
        return Ok(None);
    }
    let page = traces.query(&Query::of(Term::Kind(RecordKind::Audit)), &PageRequest::newest(1))?;
    Ok(page.records.first().and_then(|record| match record {
        Record::Audit(it) if it.event == AuditEvent::Stopped => Some(it.at),
        _ => None,
    }))
}

/// The holes in which an attempt of one of these messages may be missing.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn around<T: Traces>(traces: &T, messages: &[MessagePath]) -> Result<Vec<Hole>, T::Error> {
    let Some(first) = messages.iter().map(|message| message.first_at.0).min() else { return Ok(Vec::new()) };
    let mut holes = all_between(traces, Some(first), None)?;
    // Those that came since must not push out the one that matters.
    holes.retain(|hole| messages.iter().any(|message| may_lie_in(message, hole)));
    holes.truncate(TOLD);
    Ok(holes)
}

fn may_lie_in(message: &MessagePath, hole: &Hole) -> bool {
    let is_settled = message.state.0.is_settled();
    let last = if is_settled { message.last_at.0.saturating_add(SETTLED_US) } else { WallMicros::MAX };
    hole.until >= message.first_at && hole.at.0 <= last
}
