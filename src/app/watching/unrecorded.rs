//! Entries of incidents on their way to the journal: what it doesn't take is handed in again once the store can be written, and read by
//! others meanwhile.

use std::collections::VecDeque;

use crate::anomaly::Book;
use crate::store::{AppendError, Store, Ticket};
use crate::trace::{Incident, IncidentStep, Record, RecordId};

/// Entries kept; of more, steps in the middle are left out first.
const MOST: usize = 1_000;

/// Entries that aren't known to be in the journal, oldest first.
#[derive(Debug, Default)]
pub(super) struct Unrecorded {
    waiting: VecDeque<Waiting>,
    /// The store holds some for others to read.
    published: bool,
}

#[derive(Debug)]
struct Waiting {
    entry: Incident,
    /// `None`: the store is still to be asked, perhaps again.
    ticket: Option<Ticket>,
    /// It was handed in before.
    tried: bool,
}

impl Unrecorded {
    /// What a watch before this one, in the same process, could not record.
    pub fn left_in(store: &Store) -> Self {
        let waiting = store.unrecorded().into_iter().map(|entry| Waiting { entry, ticket: None, tried: true }).collect();
        Self { waiting, published: true }
    }

    pub fn push(&mut self, entry: Incident) {
        if self.waiting.len() >= MOST {
            let middle = self.waiting.iter().position(|it| it.entry.step == IncidentStep::Changed).unwrap_or(0);
            if let Some(left_out) = self.waiting.remove(middle) {
                tracing::warn!(incident = %left_out.entry.incident, step = %left_out.entry.step, "too many incidents can't be recorded: this step isn't");
            }
        }
        self.waiting.push_back(Waiting { entry, ticket: None, tried: false });
    }

    /// Hands in what waits, unless that would only count as more records lost. `book` says how things stand with what must wait on.
    pub fn record(&mut self, store: &Store, book: &Book) {
        if self.waiting.is_empty() && !self.published {
            return;
        }
        let appender = store.appender();
        self.waiting.retain_mut(|it| match it.ticket.map(|ticket| appender.outcome(ticket)) {
            Some(Some(stored)) => {
                it.ticket = None;
                !stored
            }
            _ => true,
        });
        let mut takes = store.health().is_ok();
        self.waiting.retain_mut(|it| {
            if !takes || it.ticket.is_some() {
                return true;
            }
            // Of a batch that could not be written some records may be in the journal.
            if std::mem::replace(&mut it.tried, true) && matches!(store.fetch(it.entry.id), Ok(Some(_))) {
                return false;
            }
            match appender.append(&Record::Incident(Box::new(it.entry.clone()))) {
                Ok(ticket) => it.ticket = Some(ticket),
                Err(error @ AppendError::Unframeable(_)) => {
                    tracing::warn!(%error, incident = %it.entry.incident, "an incident can't be recorded");
                    return false;
                }
                Err(_) => takes = false,
            }
            true
        });
        self.publish(store, book);
    }

    fn publish(&mut self, store: &Store, book: &Book) {
        let open = if self.has_refused() { book.open() } else { Vec::new() };
        let as_it_stands = |entry: &Incident| open.iter().find(|it| it.id == entry.id).map_or_else(|| entry.clone(), |it| (*it).clone());
        let refused: Vec<_> = self.refused().map(as_it_stands).collect();
        if !refused.is_empty() && !self.published {
            tracing::warn!("incidents can't be recorded at present: they will be once the store can be written");
        }
        self.published = !refused.is_empty();
        store.set_unrecorded(refused);
    }

    /// Whether any is known not to be in the journal: a process that ends now takes it along.
    pub fn has_refused(&self) -> bool {
        self.refused().next().is_some()
    }

    pub fn has(&self, id: RecordId) -> bool {
        self.waiting.iter().any(|it| it.entry.id == id)
    }

    pub fn refused(&self) -> impl Iterator<Item = &Incident> {
        self.waiting.iter().filter(|it| it.ticket.is_none()).map(|it| &it.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::{MONDAY, id};
    use crate::app::watching::notify::tests::entry;
    use crate::trace::Anomaly;

    #[test]
    fn of_too_many_the_steps_in_the_middle_go_first() {
        let mut unrecorded = Unrecorded::default();
        let of = |no, step| Incident { id: id(MONDAY, no), step, ..entry(Anomaly::TracingGap, &[], "") };
        unrecorded.push(of(0, IncidentStep::Opened));
        unrecorded.push(of(1, IncidentStep::Changed));
        (2..=MOST as u64).for_each(|no| unrecorded.push(of(no, IncidentStep::Opened)));
        assert_eq!(unrecorded.waiting.len(), MOST);
        assert!(unrecorded.has(id(MONDAY, 0)) && !unrecorded.has(id(MONDAY, 1)));
        unrecorded.push(of(9_999, IncidentStep::Resolved));
        assert!(!unrecorded.has(id(MONDAY, 0)) && unrecorded.has(id(MONDAY, 9_999)));
    }
}
