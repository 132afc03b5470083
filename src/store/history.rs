//! A record and what became known of it later.

use super::cursor::Cursor;
use super::facts::Facts;
use super::fold;
use super::order::Laps;
use crate::trace::{Amendment, Record, State};

#[derive(Debug, Default)]
pub(super) struct History {
    pub base: Option<Record>,
    /// Oldest first, each with the place where it stands.
    pub amendments: Vec<(Cursor, Amendment)>,
    /// Where all of them stand.
    pub places: Vec<Cursor>,
}

impl History {
    /// What of it was written before that place.
    pub fn before(mut self, at: Cursor, laps: &Laps) -> Self {
        self.amendments.retain(|(place, _)| laps.compare(*place, at).is_lt());
        self.places.retain(|place| laps.compare(*place, at).is_lt());
        self
    }

    /// The newest amendment.
    pub fn newest(&self) -> Option<&Amendment> {
        self.amendments.last().map(|(_, amendment)| amendment)
    }

    /// The record as it is now.
    pub fn folded(&self) -> Option<Record> {
        let mut record = self.base.clone()?;
        self.amendments.iter().for_each(|(_, amendment)| fold::amend(&mut record, amendment));
        Some(record)
    }

    /// The record as one more amendment leaves it.
    pub fn folded_with(&self, amendment: &Amendment) -> Option<Record> {
        let mut record = self.folded()?;
        fold::amend(&mut record, amendment);
        Some(record)
    }

    /// Every state that it, or one of its recipients, was in so far.
    pub fn states(&self) -> Vec<State> {
        let base = self.base.iter().flat_map(|record| Facts::of(record).states().collect::<Vec<_>>());
        let mut states: Vec<State> = base.chain(self.amendments.iter().map(|(_, amendment)| amendment.outcome.state)).collect();
        states.sort_unstable_by_key(|state| *state as u8);
        states.dedup();
        states
    }
}
