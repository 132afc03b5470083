//! Holes in the trace: mail flowed, records were lost.

use super::answer::{Hole, MessagePath};
use super::find::Traces;
use crate::store::{PageRequest, Query, Term};
use crate::trace::json::Time;
use crate::trace::{Record, RecordKind, WallMicros};

/// Holes that are told of.
const TOLD: usize = 10;
/// Gap records looked through: those after the asked time must not crowd out those in it.
const LOOKED_THROUGH: usize = 300;
/// After the last word on a message that is settled, nothing more is to be expected of it.
const SETTLED_US: u64 = 60_000_000;

/// The holes in a span of time, newest first, with the one that is being made now.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn between<T: Traces>(traces: &T, since: Option<WallMicros>, until: Option<WallMicros>) -> Result<Vec<Hole>, T::Error> {
    let query = Query { all: vec![Term::Kind(RecordKind::Gap)], since, until: None };
    let page = traces.query(&query, &PageRequest::newest(LOOKED_THROUGH))?;
    let stored = page.records.into_iter().filter_map(|record| match record {
        Record::Gap(gap) => Some(Hole { at: Time(gap.from), until: Time(gap.until), records_lost: gap.records_lost, why: gap.why }),
        _ => None,
    });
    let holes = traces.hole_now().into_iter().chain(stored);
    Ok(holes.filter(|hole| until.is_none_or(|until| hole.at.0 < until)).take(TOLD).collect())
}

/// The holes in which an attempt of one of these messages may be missing.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn around<T: Traces>(traces: &T, messages: &[MessagePath]) -> Result<Vec<Hole>, T::Error> {
    let Some(first) = messages.iter().map(|message| message.first_at.0).min() else { return Ok(Vec::new()) };
    let mut holes = between(traces, Some(first), None)?;
    holes.retain(|hole| messages.iter().any(|message| may_lie_in(message, hole)));
    Ok(holes)
}

fn may_lie_in(message: &MessagePath, hole: &Hole) -> bool {
    let is_settled = message.state.0.is_settled();
    let last = if is_settled { message.last_at.0.saturating_add(SETTLED_US) } else { WallMicros::MAX };
    hole.until >= message.first_at && hole.at.0 <= last
}
