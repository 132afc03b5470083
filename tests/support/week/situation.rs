//! A situation: what happens within ordinary mail, and what it must be called.

use relayscope::trace::{Anomaly, Record, WallMicros};

use super::{HOUR, MINUTE, end};

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Monday at ten: the busiest hour.
    Busy,
    /// Tuesday at three in the morning, after the newsletter.
    Night,
    /// Saturday at one in the afternoon.
    Weekend,
}

/// What becomes of an ordinary record while it lasts; `None`: it doesn't come.
pub type Instead = Box<dyn Fn(Record) -> Option<Record> + Send + Sync>;

/// Records within ordinary mail.
pub struct Situation {
    pub name: String,
    /// What it must be called; nothing where it is none.
    pub anomaly: Option<Anomaly>,
    /// What is true as well.
    pub beside: &'static [Anomaly],
    pub records: Vec<Record>,
    pub instead: Option<Instead>,
    /// From when on ordinary mail fares otherwise, and until when it is looked on.
    pub from: WallMicros,
    pub until: WallMicros,
}

impl Situation {
    fn new(name: &str, anomaly: Option<Anomaly>, records: Vec<Record>) -> Self {
        let from = records.iter().map(end).min().unwrap_or_default();
        let last = records.iter().map(end).max().unwrap_or_default();
        Self { name: name.to_owned(), anomaly, beside: &[], records, instead: None, from, until: last + 10 * MINUTE }
    }

    /// A trouble.
    pub fn trouble(anomaly: Anomaly, name: &str, records: Vec<Record>) -> Self {
        Self::new(name, Some(anomaly), records)
    }

    /// Something that looks like trouble and is none.
    pub fn none(name: &str, records: Vec<Record>) -> Self {
        Self::new(name, None, records)
    }

    /// These are true as well.
    pub fn beside(self, beside: &'static [Anomaly]) -> Self {
        Self { beside, ..self }
    }

    /// Ordinary mail fares otherwise from its first record on, or from `from`.
    pub fn instead(self, instead: impl Fn(Record) -> Option<Record> + Send + Sync + 'static) -> Self {
        Self { instead: Some(Box::new(instead)), ..self }
    }

    /// Without records of its own: only ordinary mail fares otherwise, for an hour.
    pub fn hour(self, from: WallMicros) -> Self {
        Self { from, until: from + HOUR, ..self }
    }

    /// The last record that may be needed to name it.
    pub fn last(&self) -> WallMicros {
        self.records.iter().map(end).max().unwrap_or(self.from)
    }
}
