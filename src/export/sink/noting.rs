//! What a sink notes: its place, what waits, what was left out and what became of it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{Sink, micros};
use crate::export::batch::Batch;
use crate::export::feed::Feed;
use crate::export::format::at as made_at;
use crate::export::options::{Options, Start};
use crate::export::place::Place;
use crate::store::{Cursor, Day, Store, StoreError};
use crate::trace::{Audit, AuditEvent, Record, WallMicros};

impl Sink {
    /// An event that its receiver will never take is left out, and said.
    pub(super) fn give_up(&mut self, batch: &Batch, number: usize, why: &str) {
        let id = batch.events().get(number).map(|event| event.meta.id.to_string()).unwrap_or_default();
        self.leave_out(1, &format!("record {id}"), why);
    }

    pub(super) fn leave_out(&self, events: u64, what: &str, why: &str) {
        let before = self.status.refused.load(Relaxed);
        let refused = before.saturating_add(events);
        self.status.were_refused(events, format!("{what}: {why}"));
        // Each power of two: a receiver that refuses everything must not fill the journal.
        if refused.checked_ilog2() > before.checked_ilog2() {
            tracing::warn!(export = self.options.name, what, why, refused, "an event is refused for good and left out");
            self.record(AuditEvent::ExportSkipped, None, format!("{what}: refused and left out ({refused} so far): {why}"));
        }
    }

    /// The first events of a batch were taken, and the others not.
    pub(super) fn took_first(&mut self, batch: &Batch, events: usize, now: WallMicros) {
        let Some(part) = batch.first(events) else { return };
        self.status.took(events as u64, part.octets as u64, now);
        self.status.filtered.fetch_add(part.left_out, Relaxed);
        if part.missing > 0 {
            self.expired(part.missing);
        }
    }

    /// Up to where the receiver has everything.
    pub(super) fn safe(&self) -> Cursor {
        self.feed.store().earlier(self.transport.safe(Instant::now()), self.position.at)
    }

    /// Everything before that place was sent once.
    pub(super) fn sent_before(&mut self, at: Cursor) {
        let is_further = self.position.had.is_none_or(|had| self.is_behind(at, had));
        if is_further {
            self.position.had = Some(at);
        }
    }

    /// Whether a record that stood before that place, and is gone, was to be sent.
    pub(super) fn is_missed(&self, after: Cursor) -> bool {
        self.is_unsent(after) && self.position.began.is_none_or(|began| self.is_behind(after, began))
    }

    /// Whether what stood before that place was never sent.
    fn is_unsent(&self, after: Cursor) -> bool {
        self.position.had.is_none_or(|had| self.is_behind(after, had))
    }

    fn is_behind(&self, at: Cursor, other: Cursor) -> bool {
        at != other && self.feed.store().earlier(other, at) == other
    }

    /// Writes down how far the receiver is, and counts what waits.
    pub(super) fn note(&mut self) {
        let since = self.noted.elapsed();
        self.noted = Instant::now();
        self.transport.settle();
        let safe = self.safe();
        self.status.stands_at(safe);
        let now = self.feed.store().now();
        if let Err(error) = self.position.write(safe, now, &self.store_dir, &self.options.name) {
            tracing::warn!(export = self.options.name, %error, "the place of an export can't be written down");
        }
        self.resume_if_further();
        self.count(since);
    }

    /// A receiver that has more than it had when it failed doesn't fail any more.
    pub(super) fn resume_if_further(&mut self) {
        let safe = self.safe();
        if self.stuck.is_some_and(|stuck| self.is_behind(safe, stuck)) {
            self.resumed();
        }
    }

    /// What waits, and what retention removed before its turn came. `since`: how long ago that was counted last.
    pub(super) fn count(&mut self, since: Duration) {
        // What was sent and isn't known to be received waits, too.
        let at = if self.transport.is_doubtful() { self.safe() } else { self.position.at };
        let store = self.feed.store();
        let counted = store.places_from(at).and_then(|ahead| {
            let backlog: u64 = ahead.iter().map(|(_, records)| records).sum();
            Ok((self.lag(at, backlog)?, backlog, ahead))
        });
        let Ok((lag, backlog, ahead)) = counted else {
            // It goes on waiting, and nobody can tell how much there is.
            if self.status.backlog.load(Relaxed) > 0 {
                self.status.lag_us.fetch_add(micros(since), Relaxed);
            }
            return;
        };
        let is_passed = |day: &Day| store.earlier(at, Cursor::at_end_of(*day)) != at;
        let removed = |day: &Day| !is_passed(day) && !ahead.iter().any(|(kept, _)| kept == day);
        let missed = |day: &Day| removed(day) && self.is_unsent(Cursor::at_end_of(*day));
        let expired: u64 = self.ahead.iter().filter(|(day, _)| missed(day)).map(|(_, records)| records).sum();
        if expired > 0 {
            self.expired(expired);
        }
        self.status.backlog.store(backlog, Relaxed);
        self.status.lag_us.store(lag, Relaxed);
        self.ahead = ahead;
    }

    /// Notes that so many records were gone before their turn came. Each power of two is said.
    pub(super) fn expired(&self, records: u64) {
        let before = self.status.expired.fetch_add(records, Relaxed);
        let all = before.saturating_add(records);
        if all.checked_ilog2() > before.checked_ilog2() {
            tracing::error!(
                export = self.options.name,
                records,
                all,
                "records were gone before they were sent: removed by retention, or unreadable"
            );
            self.record(
                AuditEvent::ExportSkipped,
                None,
                format!("{records} records were removed by retention before they were sent ({all} so far)"),
            );
        }
    }

    /// Age of the first record that waits from `at` on, µs.
    fn lag(&self, at: Cursor, backlog: u64) -> Result<u64, StoreError> {
        if backlog == 0 {
            return Ok(0);
        }
        let first = self.feed.store().first_from(at)?;
        Ok(first.map_or(0, |record| self.feed.store().now().saturating_sub(made_at(&record))))
    }

    pub(super) fn record(&self, event: AuditEvent, since: Option<WallMicros>, detail: String) {
        let store = self.feed.store();
        let audit = Audit {
            id: store.record_id(),
            at: store.now(),
            origin: self.origin.clone(),
            event,
            who: Some(self.options.name.clone()),
            since,
            detail: Some(detail),
        };
        if let Err(error) = store.appender().append(&Record::Audit(Box::new(audit))) {
            tracing::debug!(%error, "what became of an export can't be recorded");
        }
    }
}

/// Where a sink takes up its work.
pub(super) fn beginning(options: &Options, feed: &Feed, place: Option<Place>, began: Option<Cursor>) -> (Cursor, Option<WallMicros>) {
    let name = &options.name;
    // What this process recorded before it came to its exports may have been given numbers again that a power cut took.
    let end = began.or_else(|| end_of(feed.store()));
    match (place, options.start) {
        (Some(place), _) => {
            // A power cut can take the end of the journal, and its numbers are given again.
            let at = end.map_or(place.at, |end| feed.store().earlier(place.at, end));
            let behind = feed.store().places_from(at).map_or(0, |days| days.iter().map(|(_, records)| records).sum::<u64>());
            tracing::info!(export = name, place = %at, waiting = behind, "the export goes on where it was");
            (at, place.since)
        }
        (None, Start::Oldest) => {
            tracing::info!(export = name, "a new export begins with the oldest record that is kept");
            (Cursor::at_start_of(Day::of(0)), None)
        }
        (None, Start::Now) => {
            tracing::info!(export = name, "a new export begins with what is recorded from now on");
            (end.unwrap_or_else(|| Cursor::at_start_of(Day::of(feed.store().now()))), None)
        }
    }
}

/// The journal's end.
pub(super) fn end_of(store: &Store) -> Option<Cursor> {
    store.end().ok()
}
