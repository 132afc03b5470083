//! One sink from its first record to its last: reads on, sends, goes back where it must, and notes how far the receiver is.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::backoff::Backoff;
use super::batch::Batch;
use super::feed::Feed;
use super::format::{Encoder, at};
use super::options::{Options, Start};
use super::place::{NotAPlace, Place};
use super::position::Position;
use super::status::{State, Status};
use super::transport::{Failure, FailureKind, Transport};
use crate::store::{Cursor, Day, Store, StoreError};
use crate::trace::{Audit, AuditEvent, Kept, Origin, Record, RecordKind, WallMicros};

/// How often the place is written down and the backlog counted.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Reading goes on at the latest after so long, whether anything is new or not.
const IDLE: Duration = Duration::from_secs(5);
/// A store that can't be read is tried again.
const UNREADABLE: Duration = Duration::from_secs(2);

/// A receiver that fails is said so often.
const SAY_EVERY: Duration = Duration::from_secs(600);

/// What a sink is told while it runs.
#[derive(Debug)]
pub enum Order {
    /// Send everything again that was recorded since then. `done`: it is written down, or can't be.
    Replay { since: WallMicros, done: oneshot::Sender<io::Result<()>> },
}

/// How others see a sink that runs.
#[derive(Debug, Clone)]
pub struct Handle {
    pub status: Arc<Status>,
    pub orders: mpsc::Sender<Order>,
}

impl Handle {
    /// Of what keeps no place in the journal and can't be told to go back.
    pub fn without_place(status: Arc<Status>) -> Self {
        Self { status, orders: mpsc::channel(1).0 }
    }
}

/// One sink.
#[derive(Debug)]
pub struct Sink {
    options: Options,
    feed: Arc<Feed>,
    store_dir: PathBuf,
    status: Arc<Status>,
    encoder: Encoder,
    origin: Arc<Kept<Origin>>,
    orders: mpsc::Receiver<Order>,
    stopped: watch::Receiver<bool>,
    transport: Transport,
    position: Position,
    backoff: Backoff,
    /// At most so many events in a batch: fewer while the receiver takes no more.
    most: usize,
    /// What is in the journal from there on, when it was counted last.
    ahead: Vec<(Day, u64)>,
    noted: Instant,
    reported: bool,
    /// When a failure was said last.
    said: Option<Instant>,
}

/// Why nothing is sent at present.
enum Pause {
    Stop,
    Go,
}

impl Sink {
    /// Takes up its place; a new one takes `began`, or the journal's end. Said: where it goes on, and how that came.
    ///
    /// # Errors
    /// Its place can't be read: nothing may be sent twice or left out without somebody's word.
    pub fn new(
        options: Options,
        feed: Arc<Feed>,
        store_dir: PathBuf,
        encoder: Encoder,
        origin: Arc<Kept<Origin>>,
        began: Option<Cursor>,
        stopped: watch::Receiver<bool>,
    ) -> Result<(Self, Handle), NotAPlace> {
        let status = Arc::new(Status::new(options.name.clone(), options.target.kind(), options.target.to()));
        let (told, orders) = mpsc::channel(4);
        let place = Place::read(&store_dir, &options.name)?;
        let (at, since) = beginning(&options, &feed, place, began);
        let transport = Transport::new(&options.target, at);
        status.stands_at(at);
        let most = options.batching.events;
        let sink = Self {
            options,
            feed,
            store_dir,
            status: status.clone(),
            encoder,
            origin,
            orders,
            stopped,
            transport,
            position: Position::new(at, since),
            backoff: Backoff::default(),
            most,
            ahead: Vec::new(),
            noted: Instant::now(),
            reported: false,
            said: None,
        };
        Ok((sink, Handle { status, orders: told }))
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) {
        let mut news = self.feed.store().notified();
        let mut batch = Batch::new(self.position.at);
        self.note();
        loop {
            news.mark_unchanged();
            let filled = self.fill(&mut batch);
            let pause = match filled {
                Err(error) => {
                    tracing::debug!(export = self.options.name, %error, "the store can't be read at present");
                    self.rest(UNREADABLE).await
                }
                Ok(()) if !batch.is_empty() => self.deliver(&batch).await,
                Ok(()) if batch.after != self.position.at => {
                    self.advance(&batch);
                    self.transport.pass(self.position.at);
                    Pause::Go
                }
                Ok(()) => {
                    self.feed.rest();
                    self.idle(&mut news).await
                }
            };
            self.obey();
            if matches!(pause, Pause::Stop) || *self.stopped.borrow() {
                break;
            }
            if self.noted.elapsed() >= NOTE_EVERY {
                self.note();
            }
        }
        self.transport.finish().await;
        self.note();
    }

    /// Takes in what follows, up to a batch's bounds.
    fn fill(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        batch.begin(self.position.at);
        let bounds = self.options.batching;
        let most = self.most.min(self.transport.most());
        let most_octets = bounds.octets.min(self.transport.most_octets());
        let is_full = |batch: &Batch| batch.events().len() >= most || batch.len() >= most_octets;
        while !is_full(batch)
            && let Some(window) = self.feed.after(batch.after, self.options.timeline)?
        {
            window.each(batch.after, |after, record| {
                match record {
                    Some(record) => {
                        let is_meant = self.is_meant(after, &record);
                        let Self { encoder, options, .. } = self;
                        batch.add(after, |out| if is_meant { encoder.encode(&options.redaction.apply(&record), out) } else { None });
                    }
                    None => batch.after = after,
                }
                if is_full(batch) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        Ok(())
    }

    /// Whether a record is for this receiver. What became known later counts by the record that it is of.
    fn is_meant(&mut self, after: Cursor, record: &Record) -> bool {
        if matches!(record.kind(), RecordKind::Mark | RecordKind::Log) {
            return false;
        }
        if self.position.is_limited() && self.position.is_too_old(after, at(record)) {
            return false;
        }
        let Options { include, exclude, .. } = &self.options;
        if include.is_none() && exclude.is_none() {
            return true;
        }
        let amended = match record {
            Record::Amendment(amendment) => self.feed.store().fetch(amendment.of).unwrap_or_default(),
            _ => None,
        };
        let record = amended.as_ref().unwrap_or(record);
        include.as_ref().is_none_or(|filter| filter.is_meant(record)) && !exclude.as_ref().is_some_and(|filter| filter.is_meant(record))
    }

    /// Sends a batch, and looks to what comes of it.
    async fn deliver(&mut self, batch: &Batch) -> Pause {
        let sent = {
            let mut sending = std::pin::pin!(self.transport.send(batch));
            loop {
                tokio::select! {
                    biased;
                    sent = &mut sending => break sent,
                    () = ended(&mut self.stopped) => return Pause::Stop,
                    // What was begun is ended first, so that no receiver gets half an event.
                    Some(order) = self.orders.recv() => take(order, &mut self.position, &self.feed, &self.store_dir, &self.options.name),
                }
            }
        };
        let now = self.feed.store().now();
        match sent {
            Ok(taken) => {
                for (number, why) in taken.refused.iter() {
                    self.give_up(batch, *number, why);
                }
                let mut refused = taken.refused.len() as u64;
                if let Some((events, why)) = &taken.untold {
                    refused += events;
                    self.leave_out(*events, &format!("{events} of {} events, it doesn't say which", batch.events().len()), why);
                }
                self.advance(batch);
                self.status.took((batch.events().len() as u64).saturating_sub(refused), batch.len() as u64, now);
                self.backoff.reset();
                self.most = (self.most * 2).min(self.options.batching.events);
                self.resumed();
                self.linger(batch).await
            }
            Err(failure) => {
                if failure.kind == FailureKind::TooMuch && batch.events().len() == 1 {
                    self.give_up(batch, 0, &failure.why);
                    self.advance(batch);
                    self.transport.pass(self.position.at);
                    return Pause::Go;
                }
                self.failed(failure).await
            }
        }
    }

    /// A batch is done with: only now its records are counted, because one that fails is made again.
    fn advance(&mut self, batch: &Batch) {
        self.position.at = batch.after;
        self.status.filtered.fetch_add(batch.left_out, Relaxed);
    }

    /// A batch that wasn't full is followed by a pause, so that the next one has more than one event.
    async fn linger(&mut self, batch: &Batch) -> Pause {
        let linger = self.options.batching.linger;
        let is_full = batch.len() >= self.options.batching.octets.min(self.transport.most_octets());
        if is_full || batch.events().len() >= self.most.min(self.transport.most()).min(64) || linger.is_zero() {
            return Pause::Go;
        }
        self.rest(linger).await
    }

    /// Notes what went wrong, goes back where that is due, and waits before the next try.
    async fn failed(&mut self, failure: Failure) -> Pause {
        let now = self.feed.store().now();
        let since = self.status.failed(failure.why.clone(), now);
        match failure.kind {
            FailureKind::Passing => {}
            FailureKind::TooMuch => self.most = (self.most / 2).max(1),
        }
        if let Some(resume) = failure.resume {
            self.position.at = resume;
        }
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::warn!(export = self.options.name, to = self.status.to, why = failure.why, "an export isn't taken; it is tried again");
        }
        if !self.reported && now.saturating_sub(since) >= micros(self.options.report_after) {
            self.reported = true;
            self.record(AuditEvent::ExportFailed, Some(since), failure.why.clone());
        }
        self.note();
        if failure.kind == FailureKind::TooMuch {
            return Pause::Go; // at once, with less
        }
        let pause = self.backoff.next(failure.retry_after);
        self.rest(pause).await
    }

    fn resumed(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(export = self.options.name, "the export is taken again");
        }
        if std::mem::take(&mut self.reported) {
            self.record(AuditEvent::ExportResumed, None, "its receiver takes events again".to_owned());
        }
    }

    /// An event that its receiver will never take is left out, and said.
    fn give_up(&mut self, batch: &Batch, number: usize, why: &str) {
        let id = batch.events().get(number).map(|event| event.meta.id.to_string()).unwrap_or_default();
        self.leave_out(1, &format!("record {id}"), why);
    }

    fn leave_out(&self, events: u64, what: &str, why: &str) {
        let before = self.status.refused.load(Relaxed);
        let refused = before.saturating_add(events);
        self.status.were_refused(events, format!("{what}: {why}"));
        // Each power of two: a receiver that refuses everything must not fill the journal.
        if refused.checked_ilog2() > before.checked_ilog2() {
            tracing::warn!(export = self.options.name, what, why, refused, "an event is refused for good and left out");
            self.record(AuditEvent::ExportSkipped, None, format!("{what}: refused and left out ({refused} so far): {why}"));
        }
    }

    /// Waits for something new.
    async fn idle(&mut self, news: &mut watch::Receiver<u64>) -> Pause {
        let attended = tokio::select! {
            changed = news.changed() => {
                if changed.is_err() {
                    return Pause::Stop;
                }
                return Pause::Go;
            }
            attended = self.transport.attend() => attended,
            Some(order) = self.orders.recv() => {
                self.take(order);
                return Pause::Go;
            }
            () = tokio::time::sleep(if self.position.is_settled() { IDLE } else { NOTE_EVERY }) => return Pause::Go,
            () = ended(&mut self.stopped) => return Pause::Stop,
        };
        let looked = match attended {
            Ok(()) => self.transport.look_after().await,
            Err(failure) => Err(failure),
        };
        match looked {
            Ok(()) => Pause::Go,
            Err(failure) => self.failed(failure).await,
        }
    }

    async fn rest(&mut self, pause: Duration) -> Pause {
        if self.position.is_ordered() {
            return Pause::Go;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Pause::Go,
            Some(order) = self.orders.recv() => {
                self.take(order);
                Pause::Go
            }
            () = ended(&mut self.stopped) => Pause::Stop,
        }
    }

    fn take(&mut self, order: Order) {
        take(order, &mut self.position, &self.feed, &self.store_dir, &self.options.name);
    }

    /// Does what was ordered meanwhile.
    fn obey(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            self.take(order);
        }
        let Some(since) = self.position.go_back() else { return };
        self.ahead.clear();
        self.backoff.reset();
        self.transport.restart(self.position.at);
        self.record(AuditEvent::ExportReplayed, Some(since), "set back: what was recorded since then is sent again".to_owned());
        self.note();
    }

    /// Writes down how far the receiver is, and counts what waits.
    fn note(&mut self) {
        self.noted = Instant::now();
        let safe = self.transport.safe(self.noted).min(self.position.at);
        self.status.stands_at(safe);
        let now = self.feed.store().now();
        if let Err(error) = self.position.write(safe, now, &self.store_dir, &self.options.name) {
            tracing::warn!(export = self.options.name, %error, "the place of an export can't be written down");
        }
        self.count();
    }

    /// What waits, and what retention removed before its turn came.
    fn count(&mut self) {
        let Ok(ahead) = self.feed.store().places_from(self.position.at) else { return };
        let removed = |day: &Day| *day >= self.position.at.day() && !ahead.iter().any(|(kept, _)| kept == day);
        let expired: u64 = self.ahead.iter().filter(|(day, _)| removed(day)).map(|(_, records)| records).sum();
        if expired > 0 {
            self.status.expired.fetch_add(expired, Relaxed);
            tracing::error!(export = self.options.name, records = expired, "records were removed by retention before they were sent");
            self.record(AuditEvent::ExportSkipped, None, format!("{expired} records were removed by retention before they were sent"));
        }
        let backlog: u64 = ahead.iter().map(|(_, records)| records).sum();
        self.status.backlog.store(backlog, Relaxed);
        self.status.lag_us.store(self.lag(backlog), Relaxed);
        self.ahead = ahead;
    }

    /// Age of the first record that waits, µs.
    fn lag(&self, backlog: u64) -> u64 {
        if backlog == 0 {
            return 0;
        }
        let first = self.feed.store().first_from(self.position.at).unwrap_or_default();
        first.map_or(0, |record| self.feed.store().now().saturating_sub(at(&record)))
    }

    fn record(&self, event: AuditEvent, since: Option<WallMicros>, detail: String) {
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

/// Writes an order down; it is obeyed once what is under way is done.
fn take(order: Order, position: &mut Position, feed: &Feed, store: &Path, name: &str) {
    let Order::Replay { since, done } = order;
    let written = position.order(since, feed.store().now(), store, name);
    if let Err(error) = &written {
        tracing::warn!(export = name, %error, "the export can't be set back: its place can't be written down");
    }
    let _ = done.send(written);
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

async fn ended(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Where a sink takes up its work.
fn beginning(options: &Options, feed: &Feed, place: Option<Place>, began: Option<Cursor>) -> (Cursor, Option<WallMicros>) {
    let name = &options.name;
    let end = end_of(feed.store());
    match (place, options.start) {
        (Some(place), _) => {
            // A power cut can take the end of the journal, and its numbers are given again.
            let at = end.map_or(place.at, |end| place.at.min(end));
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
            (began.or(end).unwrap_or_else(|| Cursor::at_start_of(Day::of(feed.store().now()))), None)
        }
    }
}

fn end_of(store: &Store) -> Option<Cursor> {
    store.end().ok()
}

/// For the health page: whether a state is one to worry about.
impl State {
    pub fn is_failing(&self) -> bool {
        matches!(self, Self::Failing { .. })
    }
}
