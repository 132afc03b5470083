//! One sink from its first record to its last: reads on, sends, goes back where it must, and notes how far the receiver is.

mod noting;
mod reading;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use noting::{beginning, end_of};
use reading::Unreadable;

use super::backoff::Backoff;
use super::batch::Batch;
use super::feed::Feed;
use super::format::{Encoder, at};
use super::options::Options;
use super::place::{NotAPlace, Place};
use super::position::Position;
use super::status::Status;
use super::transport::{Failure, FailureKind, Transport};
use crate::store::{Cursor, Day};
use crate::trace::{AuditEvent, Kept, Origin, WallMicros};

/// How often the place is written down and the backlog counted.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Reading goes on at the latest after so long, whether anything is new or not.
const IDLE: Duration = Duration::from_secs(5);
/// A store that can't be read is tried again.
const UNREADABLE: Duration = Duration::from_secs(2);
/// A receiver that refuses so many events one after the other has something against all of them, and they are not to blame.
const ALL_REFUSED: u64 = 8;
/// A receiver that fails is said so often.
const SAY_EVERY: Duration = Duration::from_secs(600);

/// What a sink is told while it runs.
#[derive(Debug)]
pub enum Order {
    /// Send everything again that was recorded since then. `done`: it is written down, with the time from which on it is, or can't be.
    Replay { since: WallMicros, done: oneshot::Sender<io::Result<WallMicros>> },
}

/// How others see a sink that runs.
#[derive(Debug, Clone)]
pub struct Handle {
    pub status: Arc<Status>,
    pub orders: mpsc::Sender<Order>,
}

impl Handle {
    /// Of a sink to be, with what it is told.
    pub fn new(options: &Options) -> (Self, mpsc::Receiver<Order>) {
        let status = Arc::new(Status::new(options.name.clone(), options.target.kind(), options.target.to()));
        let (told, orders) = mpsc::channel(4);
        (Self { status, orders: told }, orders)
    }

    /// Of what keeps no place in the journal and can't be told to go back.
    pub fn without_place(status: Arc<Status>) -> Self {
        Self { status, orders: mpsc::channel(1).0 }
    }
}

/// Where a sink stands: what it reads, where it keeps its place, and until when.
#[derive(Debug, Clone)]
pub struct Ground {
    pub feed: Arc<Feed>,
    pub store_dir: PathBuf,
    pub origin: Arc<Kept<Origin>>,
    /// Where a new sink begins; without it, at the journal's end.
    pub began: Option<Cursor>,
    pub stopped: watch::Receiver<bool>,
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
    /// When a failure was said last.
    said: Option<Instant>,
    /// Events refused since one was taken.
    refused_in_row: u64,
    /// Up to where the receiver had everything when it failed last, until it has more.
    stuck: Option<Cursor>,
    unreadable: Unreadable,
}

/// Why nothing is sent at present.
enum Pause {
    Stop,
    Go,
}

impl Sink {
    /// Takes up its place; a new one takes [`Ground::began`], or the journal's end. Said: where it goes on, and how that came.
    ///
    /// # Errors
    /// Its place can't be read: nothing may be sent twice or left out without somebody's word.
    pub fn new(
        options: Options,
        encoder: Encoder,
        ground: Ground,
        status: Arc<Status>,
        orders: mpsc::Receiver<Order>,
    ) -> Result<Self, NotAPlace> {
        let Ground { feed, store_dir, origin, began, stopped } = ground;
        let place = Place::read(&store_dir, &options.name)?;
        let end = place.is_none().then(|| began.or_else(|| end_of(feed.store()))).flatten();
        let (at, since) = beginning(&options, &feed, place, began);
        let mut position = Position::new(at, since);
        position.began = end;
        let transport = Transport::new(&options.target, at);
        status.stands_at(at);
        // What stood in its way before it could begin is over.
        status.recovered();
        let most = options.batching.events;
        Ok(Self {
            options,
            feed,
            store_dir,
            status,
            encoder,
            origin,
            orders,
            stopped,
            transport,
            position,
            backoff: Backoff::default(),
            most,
            ahead: Vec::new(),
            noted: Instant::now(),
            said: None,
            refused_in_row: 0,
            stuck: None,
            unreadable: Unreadable::default(),
        })
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
                    self.cannot_read(&error);
                    self.rest(UNREADABLE).await
                }
                Ok(()) if !batch.is_empty() => self.deliver(&batch).await,
                Ok(()) if batch.after != self.position.at => {
                    self.pass_over(&batch);
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
                let events = batch.events().len() as u64;
                self.refused_in_row = if taken.is_nothing(events) { self.refused_in_row.saturating_add(events) } else { 0 };
                if self.refused_in_row > ALL_REFUSED {
                    let why = taken.refused.first().map(|(_, why)| why).or(taken.untold.as_ref().map(|(_, why)| why));
                    return self.refused_all(batch, why.map_or("", String::as_str)).await;
                }
                for (number, why) in taken.refused.iter() {
                    self.give_up(batch, *number, why);
                }
                if let Some((events, why)) = &taken.untold {
                    self.leave_out(*events, &format!("{events} of {} events, it doesn't say which", batch.events().len()), why);
                }
                self.advance(batch);
                self.status.took(events.saturating_sub(taken.refused()), batch.len() as u64, now);
                self.most = (self.most * 2).min(self.options.batching.events);
                if !self.transport.is_doubtful() {
                    self.resumed();
                }
                self.linger(batch).await
            }
            Err(failure) => {
                let events = batch.events().len();
                if failure.kind == FailureKind::TooMuch && events == 1 {
                    self.refused_in_row = self.refused_in_row.saturating_add(1);
                    if self.refused_in_row > ALL_REFUSED {
                        return self.refused_all(batch, &failure.why).await;
                    }
                    self.give_up(batch, 0, &failure.why);
                    self.advance(batch);
                    self.transport.pass(self.position.at);
                    return Pause::Go;
                }
                if failure.kind == FailureKind::TooMuch {
                    self.most = (self.most.min(events) / 2).max(1);
                }
                if failure.taken > 0 {
                    self.took_first(batch, failure.taken, now);
                }
                self.failed(failure).await
            }
        }
    }

    /// Nothing of that batch is for the receiver.
    fn pass_over(&mut self, batch: &Batch) {
        // What it has got since is its own doing.
        self.resume_if_further();
        self.advance(batch);
        self.transport.pass(self.position.at);
        // That it gets on now isn't.
        let stuck = self.stuck.map(|_| self.safe());
        self.stuck = stuck;
    }

    /// Event after event was refused: something is wrong with the receiver or with how it is set up, and what comes now is kept for later.
    async fn refused_all(&mut self, batch: &Batch, why: &str) -> Pause {
        self.transport.again(batch.before);
        let why = format!("it refuses one event after the other, so something other than they must be wrong: {why}");
        self.failed(Failure::passing(why)).await
    }

    /// A batch is done with: only now its records are counted, because one that fails is made again.
    fn advance(&mut self, batch: &Batch) {
        self.position.at = batch.after;
        self.position.safe = self.transport.safe(Instant::now());
        self.unreadable.is_past();
        self.status.filtered.fetch_add(batch.left_out, Relaxed);
        if batch.missing > 0 {
            self.expired(batch.missing);
        }
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
        self.status.failed(failure.why.clone(), now);
        if let Some(resume) = failure.resume {
            self.position.at = resume;
        }
        self.stuck = Some(self.safe());
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::warn!(export = self.options.name, to = self.status.to, why = failure.why, "an export isn't taken; it is tried again");
        }
        self.report();
        self.note();
        if failure.kind == FailureKind::TooMuch {
            return Pause::Go; // at once, with less
        }
        let pause = self.backoff.next(failure.retry_after);
        self.rest(pause).await
    }

    /// The receiver has more than it had when it failed, or may be believed that it has.
    fn resumed(&mut self) {
        self.stuck = None;
        self.backoff.reset();
        self.status.recovered();
        if self.said.take().is_some() {
            tracing::info!(export = self.options.name, "the export is taken again");
        }
        if self.status.reported.swap(false, Relaxed) {
            self.record(AuditEvent::ExportResumed, None, "its receiver takes events again".to_owned());
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
            Ok(()) => tokio::select! {
                looked = self.transport.look_after() => looked,
                () = ended(&mut self.stopped) => return Pause::Stop,
            },
            // It ended a connection that was at rest, and has everything: there is nothing to try again.
            Err(failure) if failure.resume == Some(self.position.at) => {
                tracing::debug!(
                    export = self.options.name,
                    why = failure.why,
                    "nothing is lost: the next event has a connection of its own"
                );
                return Pause::Go;
            }
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
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep(until.saturating_duration_since(Instant::now()).min(NOTE_EVERY)) => {}
                Some(order) = self.orders.recv() => {
                    self.take(order);
                    return Pause::Go;
                }
                () = ended(&mut self.stopped) => return Pause::Stop,
            }
            if Instant::now() >= until {
                return Pause::Go;
            }
            // What waits grows meanwhile, and an outage gets longer.
            self.note();
            self.report();
        }
    }

    /// Records an outage that lasts.
    fn report(&mut self) {
        let Some((since, why)) = self.status.failing() else { return };
        if !self.status.reported.load(Relaxed) && self.feed.store().now().saturating_sub(since) >= micros(self.options.report_after) {
            self.status.reported.store(true, Relaxed);
            self.record(AuditEvent::ExportFailed, Some(since), why);
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
        let reached = self.position.at;
        let Some(since) = self.position.go_back() else { return };
        self.sent_before(reached);
        self.ahead.clear();
        self.backoff.reset();
        self.transport.restart(self.position.at);
        self.stuck = self.stuck.map(|_| self.position.at);
        self.record(AuditEvent::ExportReplayed, Some(since), "set back: what was recorded since then is sent again".to_owned());
        self.note();
    }
}

/// Writes an order down; it is obeyed once what is under way is done.
fn take(order: Order, position: &mut Position, feed: &Feed, store: &Path, name: &str) {
    let Order::Replay { since, done } = order;
    let first_from = |from| feed.store().first_from(from).ok().flatten().map(|record| at(&record));
    let waiting = |safe, read| first_from(feed.store().earlier(safe, read));
    let written = position.order(since, waiting, feed.store().now(), store, name);
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

#[cfg(test)]
mod tests;
