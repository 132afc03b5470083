//! OpenTelemetry by OTLP: each batch a request with its logs, and one with its spans.
//!
//! A batch counts when both requests are taken; what one of them took already is left out of the next try.

mod collector;
mod grpc;

use prost::encoding::decode_varint;

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
    /// So many events of the batch before have their logs taken, if that batch is to be sent again.
    logs_behind: usize,
    /// What was refused of the batch under way.
    refused: Option<Refused>,
}

/// Log records or spans of a batch that were refused; which, isn't told.
#[derive(Debug)]
struct Refused {
    /// Events that are touched, at most.
    events: u64,
    /// All log records were, or all spans.
    all: bool,
    why: String,
}

impl Otlp {
    pub fn new(options: Options, at: Cursor) -> Self {
        Self { collector: Collector::new(options), at, logs_ahead: 0, logs_behind: 0, refused: None }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        self.logs_behind = 0;
        let logs = batch.iter().skip(self.logs_ahead).map(|(_, octets)| parts(octets).0);
        self.post(Signal::Logs, logs.filter(|log| !log.is_empty()).collect()).await?;
        let events = batch.events().len();
        self.logs_ahead = self.logs_ahead.max(events);
        let logs_are_taken = self.refused.as_ref().is_none_or(|refused| !refused.all);
        let spans = batch.iter().map(|(_, octets)| parts(octets).1);
        self.post(Signal::Traces, spans.filter(|spans| !spans.is_empty()).collect()).await?;
        self.at = batch.after;
        self.logs_ahead -= events;
        self.logs_behind = if logs_are_taken { events } else { 0 };
        let mut taken = Taken::default();
        if let Some(Refused { events, all, why }) = self.refused.take() {
            taken.nothing = Some(all);
            match batch.events() {
                [_] => taken.refused.push((0, why)),
                _ => taken.untold = Some((events, why)),
            }
        }
        Ok(taken)
    }

    /// Posts what is of so many events.
    async fn post(&mut self, signal: Signal, of_events: Vec<&[u8]>) -> Result<(), Failure> {
        let events = of_events.len() as u64;
        if events == 0 {
            return Ok(());
        }
        // Spans are several to an event.
        let items: u64 = of_events.iter().map(|items| fields(items)).sum();
        let Some(Rejected { count, why }) = self.collector.send(signal, of_events.into_iter()).await? else { return Ok(()) };
        let (count, all) = (count.min(events), count >= items);
        self.refused = Some(match self.refused.take() {
            Some(before) => Refused { events: before.events.max(count), all: before.all || all, why: format!("{}; {why}", before.why) },
            None => Refused { events: count, all, why },
        });
        Ok(())
    }

    /// The batch that was sent last is to be sent once more, whatever was said of it: the log records that were taken are not.
    pub fn again(&mut self, before: Cursor) {
        self.at = before;
        self.logs_ahead += std::mem::take(&mut self.logs_behind);
        self.refused = None;
    }

    /// Nothing up to `after` is for this receiver.
    pub fn pass(&mut self, after: Cursor) {
        self.at = after;
        // An event that was given up for its spans had its log taken; those behind it may not have.
        self.logs_ahead = self.logs_ahead.saturating_sub(1);
        self.logs_behind = 0;
        self.refused = None;
    }

    pub fn restart(&mut self, at: Cursor) {
        (self.at, self.logs_ahead, self.logs_behind) = (at, 0, 0);
        self.refused = None;
    }
}

/// How many fields stand behind one another, each a tag, a length and its octets: as this program encodes log records and spans.
fn fields(mut octets: &[u8]) -> u64 {
    let mut count = 0;
    while !octets.is_empty() {
        count += 1;
        let length = decode_varint(&mut octets).and_then(|_| decode_varint(&mut octets));
        octets = length.ok().and_then(|length| octets.get(usize::try_from(length).ok()?..)).unwrap_or_default();
    }
    count
}
