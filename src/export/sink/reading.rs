//! What a sink reads of the journal: which records are for its receiver, and what it does where none can be read.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::Sink;
use crate::export::batch::Batch;
use crate::export::format::at;
use crate::export::options::Options;
use crate::store::{Cursor, StoreError};
use crate::trace::{Record, RecordId, RecordKind};

/// What the filters leave out is read for so long before anything else is looked at.
const AT_A_STRETCH: Duration = Duration::from_millis(100);
/// A store that couldn't be read so often in a row is said to be unreadable.
const SAID_AFTER: u32 = 3;
/// A record that can't be read for so long, while others can, is taken for gone.
const GONE: Duration = Duration::from_secs(60);

/// What couldn't be read.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    tries: u32,
    /// The amended record that couldn't be read, and since when.
    amended: Option<(RecordId, Instant)>,
}

impl Unreadable {
    /// Reading got on.
    pub(super) fn is_past(&mut self) {
        self.amended = None;
    }

    /// Whether that record can't be read for so long that it won't be waited for any more.
    fn is_gone(&mut self, id: RecordId, now: Instant) -> bool {
        let since = self.amended.filter(|(before, _)| *before == id).map_or(now, |(_, since)| since);
        self.amended = Some((id, since));
        now.duration_since(since) >= GONE
    }
}

impl Sink {
    /// Takes in what follows, up to a batch's bounds.
    ///
    /// # Errors
    /// Not even the first record can be read.
    pub(super) fn fill(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.begin(self.position.at);
        let read = self.read(batch);
        match read {
            Err(error) if batch.after == batch.before => return Err(error),
            Err(error) => tracing::debug!(export = self.options.name, %error, "what was read before is sent"),
            Ok(()) => self.can_read(),
        }
        Ok(())
    }

    fn read(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let bounds = self.options.batching;
        let most = self.most.min(self.transport.most());
        let most_octets = bounds.octets.min(self.transport.most_octets());
        let is_full = |batch: &Batch| batch.events().len() >= most || batch.len() >= most_octets;
        // Filters may leave out millions: orders, the end and the place aren't kept waiting.
        let began = Instant::now();
        while !is_full(batch)
            && began.elapsed() < AT_A_STRETCH
            && let Some(window) = self.feed.after(batch.after, self.options.timeline)?
        {
            let mut failed = None;
            window.each(batch.after, |after, record| {
                let Some(record) = record else {
                    batch.miss(after, self.is_missed(after));
                    return ControlFlow::Continue(());
                };
                match self.is_meant(after, &record) {
                    Ok(is_meant) => {
                        let Self { encoder, options, .. } = self;
                        batch.add(after, |out| {
                            is_meant.and_then(|amended| encoder.encode(&options.redaction.apply(&record, amended.as_ref()), out))
                        });
                    }
                    Err(error) => failed = Some(error),
                }
                if failed.is_some() || is_full(batch) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether a record is for this receiver (`None`: it isn't), with the one that it amends where that is of use. What became known later counts
    /// by the record that it is of.
    ///
    /// # Errors
    /// That record can't be read at present.
    fn is_meant(&mut self, after: Cursor, record: &Record) -> Result<Option<Option<Record>>, StoreError> {
        if matches!(record.kind(), RecordKind::Mark | RecordKind::Log) {
            return Ok(None);
        }
        if self.position.is_limited() && self.position.is_too_old(after, at(record)) {
            return Ok(None);
        }
        let Options { include, exclude, redaction, .. } = &self.options;
        let amended = match record {
            Record::Amendment(amendment) if include.is_some() || exclude.is_some() || !redaction.is_none() => {
                match self.feed.store().fetch(amendment.of) {
                    Ok(amended) => amended,
                    Err(error) if self.unreadable.is_gone(amendment.of, Instant::now()) => {
                        tracing::error!(export = self.options.name, record = %amendment.of, %error, "what was amended can't be read, and counts as gone");
                        None
                    }
                    Err(error) => return Err(error),
                }
            }
            _ => None,
        };
        let judged = amended.as_ref().unwrap_or(record);
        let is_excluded = || exclude.as_ref().is_some_and(|filter| filter.is_meant(judged));
        let is_meant = include.as_ref().is_none_or(|filter| filter.is_meant(judged)) && !is_excluded();
        Ok(is_meant.then_some(amended))
    }

    /// The store can't be read: nothing is sent, which is an outage like any other once it lasts.
    pub(super) fn cannot_read(&mut self, error: &StoreError) {
        tracing::debug!(export = self.options.name, %error, "the store can't be read at present");
        self.unreadable.tries = self.unreadable.tries.saturating_add(1);
        if self.unreadable.tries >= SAID_AFTER {
            self.status.failed(format!("the store can't be read: {error}"), self.feed.store().now());
            if self.unreadable.tries == SAID_AFTER {
                tracing::warn!(export = self.options.name, %error, "the store can't be read, so that nothing is exported; it is tried again");
            }
            self.report();
        }
    }

    pub(super) fn can_read(&mut self) {
        if std::mem::take(&mut self.unreadable.tries) >= SAID_AFTER {
            tracing::info!(export = self.options.name, "the store can be read again");
            // A receiver that failed before still has to show that it is there.
            if self.stuck.is_none() {
                self.resumed();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cant_be_read_holds_up_the_others_for_a_minute() {
        let (mut unreadable, now) = (Unreadable::default(), Instant::now());
        let [one, other] = [1, 2].map(|number| RecordId::from_parts(number, 1));
        assert!(!unreadable.is_gone(one, now));
        assert!(!unreadable.is_gone(one, now + GONE / 2));
        assert!(unreadable.is_gone(one, now + GONE));
        assert!(!unreadable.is_gone(other, now + GONE), "each by itself");
        unreadable.is_past();
        assert!(!unreadable.is_gone(one, now + 2 * GONE));
    }
}
