//! OpenTelemetry by OTLP: each batch a request with its logs, and one with its spans.
//!
//! A batch counts when both requests are taken; what one of them took already is left out of the next try.

mod collector;
mod grpc;

use super::{Failure, Taken};
use crate::export::batch::Batch;
use crate::export::format::otlp::parts;
use crate::store::Cursor;
pub use collector::{Collector, Options, Protocol, Rejected, Signal};

/// A receiver of what records say.
#[derive(Debug)]
pub struct Otlp {
    collector: Collector,
    pub at: Cursor,
    /// So many events from there on have their logs taken, and not yet their spans.
    logs_ahead: usize,
    /// Events of the batch under way that were refused, which aren't told apart, and why.
    refused: Option<(u64, String)>,
}

impl Otlp {
    pub fn new(options: Options, at: Cursor) -> Self {
        Self { collector: Collector::new(options), at, logs_ahead: 0, refused: None }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let logs = batch.iter().skip(self.logs_ahead).map(|(_, octets)| parts(octets).0);
        self.post(Signal::Logs, logs.filter(|log| !log.is_empty()).collect()).await?;
        let events = batch.events().len();
        self.logs_ahead = self.logs_ahead.max(events);
        let spans = batch.iter().map(|(_, octets)| parts(octets).1);
        self.post(Signal::Traces, spans.filter(|spans| !spans.is_empty()).collect()).await?;
        self.at = batch.after;
        self.logs_ahead -= events;
        let mut taken = Taken::default();
        match self.refused.take() {
            Some((_, why)) if batch.events().len() == 1 => taken.refused.push((0, why)),
            untold => taken.untold = untold,
        }
        Ok(taken)
    }

    /// Posts what is of so many events.
    async fn post(&mut self, signal: Signal, of_events: Vec<&[u8]>) -> Result<(), Failure> {
        let events = of_events.len() as u64;
        if events == 0 {
            return Ok(());
        }
        let Some(Rejected { count, why }) = self.collector.send(signal, of_events.into_iter()).await? else { return Ok(()) };
        // Spans are several to an event.
        let count = count.min(events);
        self.refused = Some(match self.refused.take() {
            Some((before, other)) => (before.max(count), format!("{other}; {why}")),
            None => (count, why),
        });
        Ok(())
    }

    /// Nothing up to `after` is for this receiver.
    pub fn pass(&mut self, after: Cursor) {
        self.at = after;
        // An event that was given up for its spans had its log taken; those behind it may not have.
        self.logs_ahead = self.logs_ahead.saturating_sub(1);
        self.refused = None;
    }

    pub fn restart(&mut self, at: Cursor) {
        (self.at, self.logs_ahead) = (at, 0);
        self.refused = None;
    }
}
