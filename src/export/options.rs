//! What a sink is told: whom it sends to, what, and in which form.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::format::Format;
use super::redact::Redaction;
use super::transport::Target;
use crate::trace::Record;

/// One sink's options.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name in logs, metrics and on the command line, and of the file with its place.
    pub name: String,
    pub target: Target,
    pub format: Format,
    /// What is sent; without one, everything.
    pub include: Option<Filter>,
    /// What is not sent of that.
    pub exclude: Option<Filter>,
    /// Whether events have the dialogue, where their format has room for it.
    pub timeline: bool,
    pub redaction: Redaction,
    pub batching: Batching,
    /// Octets of one event; what is longer is cut, and says so.
    pub max_event: usize,
    /// Where a sink begins that has no place yet.
    pub start: Start,
    /// An outage of the receiver is recorded when it lasts so long.
    pub report_after: Duration,
}

/// How events are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    pub events: usize,
    pub octets: usize,
    /// How long the first waits for others.
    pub linger: Duration,
}

/// Where a sink begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what is recorded from now on.
    Now,
    /// With the oldest record that is kept.
    Oldest,
}

/// Says whether a record is meant.
#[derive(Clone)]
pub struct Filter(Arc<dyn Fn(&Record) -> bool + Send + Sync>);

impl Filter {
    pub fn new(is_meant: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_meant))
    }

    pub fn is_meant(&self, record: &Record) -> bool {
        (self.0)(record)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}
