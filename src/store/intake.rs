//! Where records are handed in, and where whoever handed them in learns that they are stored.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use thiserror::Error;

use super::clock::Clock;
use super::frame::{self, Unframeable};
use super::health::HealthBoard;
use super::locks::locked;
use super::options::Durability;
use super::queue::{Push, Queue, Refused, Ticket};
use crate::trace::{MarkView, Record, WallMicros};

/// Shared by all appenders and the writer.
#[derive(Debug)]
pub(super) struct Intake {
    pub queue: Queue,
    pub clock: Clock,
    /// When this process began to take records.
    pub began: WallMicros,
    pub health: HealthBoard,
    durability: Durability,
    /// Frames' checksums start from it; every file of this process names it.
    pub salt: u32,
    /// Tickets below this are decided.
    decided: AtomicU64,
    failed: Failed,
    groups: Mutex<Vec<Weak<Group>>>,
    /// How many threads wait for records to be decided.
    settling: Mutex<usize>,
    settled: Condvar,
}

/// Hands records in. One per worker thread, cloned for its sessions: clones share a list of waiters.
#[derive(Debug, Clone)]
pub struct Appender {
    intake: Arc<Intake>,
    group: Arc<Group>,
}

/// The waiters of one worker.
#[derive(Debug, Default)]
struct Group {
    waiters: Mutex<Vec<(u64, Waker)>>,
    frame: Mutex<Vec<u8>>,
}

/// Why a record was not taken. It is counted; a gap record will say so.
#[derive(Debug, Error)]
pub enum AppendError {
    #[error("the store can't be written at present")]
    Failing,
    #[error("the store's queue is full: the disk does not keep up")]
    Full,
    #[error("the store is closed")]
    Closed,
    #[error(transparent)]
    Unframeable(#[from] Unframeable),
}

/// The record was taken, and then could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the record could not be stored: {why}")]
pub struct StoreFailure {
    pub why: Arc<str>,
}

/// Tickets whose writing failed, the latest few ranges.
#[derive(Debug, Default)]
struct Failed {
    any: AtomicBool,
    ranges: Mutex<VecDeque<(Range<u64>, Arc<str>)>>,
}

/// Whoever asks later than that many failures learns that all is well; nobody waits that long.
const FAILURES_KEPT: usize = 256;

impl Intake {
    pub fn new(queue_octets: usize, durability: Durability, clock: Clock, salt: u32) -> Arc<Self> {
        Arc::new(Self {
            durability,
            queue: Queue::new(queue_octets),
            began: clock.now(),
            clock,
            health: HealthBoard::default(),
            salt,
            decided: AtomicU64::new(0),
            failed: Failed::default(),
            groups: Mutex::default(),
            settling: Mutex::default(),
            settled: Condvar::new(),
        })
    }

    /// Waits until what has been handed in so far is in the journal, so long at most: who asks after a reply finds its record.
    /// Whether it is.
    pub fn settle(&self, patience: Duration) -> bool {
        let end = self.queue.nudge();
        let is_settled = || self.decided.load(Ordering::SeqCst) >= end;
        if is_settled() {
            return true;
        }
        let mut settling = locked(&self.settling);
        *settling += 1;
        let waited = self.settled.wait_timeout_while(settling, patience, |_| !is_settled());
        *waited.unwrap_or_else(PoisonError::into_inner).0 -= 1;
        is_settled()
    }

    /// Refuses records from now on, before any could be written.
    pub fn fails(&self, why: &str) {
        self.queue.failing(why.into());
        self.health.fail(self.clock.now(), why);
    }

    pub fn appender(self: &Arc<Self>) -> Appender {
        let group = Arc::new(Group::default());
        let mut groups = locked(&self.groups);
        groups.retain(|group| group.strong_count() > 0);
        groups.push(Arc::downgrade(&group));
        Appender { intake: self.clone(), group }
    }

    /// Tickets up to `end` are stored, or have failed for the given reason; tells those who wait.
    pub fn decide(&self, end: u64, failure: Option<&Arc<str>>) {
        if let Some(why) = failure {
            self.failed.add(self.decided.load(Ordering::Relaxed)..end, why.clone());
        }
        self.decided.store(end, Ordering::SeqCst);
        if *locked(&self.settling) > 0 {
            self.settled.notify_all();
        }
        let groups = locked(&self.groups);
        for group in groups.iter().filter_map(Weak::upgrade) {
            group.wake(end);
        }
    }

    fn outcome(&self, ticket: Ticket) -> Poll<Result<(), StoreFailure>> {
        if ticket.staged {
            return Poll::Ready(Ok(()));
        }
        if self.decided.load(Ordering::SeqCst) <= ticket.number {
            return Poll::Pending;
        }
        Poll::Ready(match self.failed.why(ticket.number) {
            None => Ok(()),
            Some(why) => Err(StoreFailure { why }),
        })
    }
}

impl Appender {
    /// Hands in a record. Never blocks.
    ///
    /// # Errors
    /// At once when the queue is full or the store can't be written; the loss is counted, and told by a gap record.
    pub fn append(&self, record: &Record) -> Result<Ticket, AppendError> {
        self.push(record, Push::Loud)
    }

    /// Hands in a record without a wake-up of its own under load: it is written within a millisecond or two, sooner if somebody waits for
    /// it. Where records are staged it is stored at once, under [`Durability::Written`].
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub fn append_staged(&self, record: &Record) -> Result<Ticket, AppendError> {
        self.push(record, if self.intake.durability == Durability::Written { Push::Staged } else { Push::Quiet })
    }

    /// Hands in a record that nobody waits for: it is written with what comes along, or when [`Intake::settle`] is asked.
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub(super) fn append_quietly(&self, record: &Record) -> Result<Ticket, AppendError> {
        self.push(record, Push::Quiet)
    }

    /// Hands in a mark as quietly. Where records are staged it is stored at once, whatever the durability: it is of use after the death of
    /// the process. After a power cut nobody has heard of the message, and its sender tries again.
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub fn append_mark(&self, mark: &MarkView<'_>) -> Result<Ticket, AppendError> {
        self.push_frame(Push::Staged, |salt, octets| frame::write_mark(salt, mark, octets))
    }

    /// Ready once the record is stored to the configured degree, or could not be.
    pub fn poll_stored(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), StoreFailure>> {
        if let Poll::Ready(outcome) = self.intake.outcome(ticket) {
            return Poll::Ready(outcome);
        }
        if self.group.register(ticket.number, cx.waker()) {
            self.intake.queue.nudge();
        }
        // The writer may have decided between the first look and the registration.
        self.intake.outcome(ticket)
    }

    /// Whether the record is stored: two atomic loads.
    pub fn is_stored(&self, ticket: Ticket) -> bool {
        matches!(self.intake.outcome(ticket), Poll::Ready(Ok(())))
    }

    /// Whether the record was stored (true) or could not be (false); `None`: not decided yet.
    pub fn outcome(&self, ticket: Ticket) -> Option<bool> {
        match self.intake.outcome(ticket) {
            Poll::Ready(outcome) => Some(outcome.is_ok()),
            Poll::Pending => None,
        }
    }

    /// Neither stored nor failed yet.
    pub(super) fn is_pending(&self, ticket: Ticket) -> bool {
        self.intake.outcome(ticket).is_pending()
    }

    pub(super) fn now(&self) -> WallMicros {
        self.intake.clock.now()
    }

    /// Whether the store can be written at present. One atomic load.
    pub fn is_healthy(&self) -> bool {
        self.intake.health.health().is_ok()
    }

    fn push(&self, record: &Record, how: Push) -> Result<Ticket, AppendError> {
        self.push_frame(how, |salt, octets| frame::write(salt, record, octets))
    }

    fn push_frame(&self, how: Push, write: impl FnOnce(u32, &mut Vec<u8>) -> Result<(), Unframeable>) -> Result<Ticket, AppendError> {
        let mut octets = locked(&self.group.frame);
        octets.clear();
        let at = self.intake.clock.now();
        if let Err(error) = write(self.intake.salt, &mut octets) {
            self.intake.queue.lost(1, at, "a record could not be encoded".into());
            self.intake.health.lost(1);
            return Err(error.into());
        }
        let records = frame::telling(&octets);
        self.intake.queue.push(&octets, at, how, records).map_err(|refused| {
            self.intake.health.lost(records);
            match refused {
                Refused::Full => AppendError::Full,
                Refused::Failing => AppendError::Failing,
                Refused::Closed => AppendError::Closed,
            }
        })
    }
}

impl Group {
    /// True if the ticket is new to the list.
    fn register(&self, ticket: u64, waker: &Waker) -> bool {
        let mut waiters = locked(&self.waiters);
        match waiters.iter_mut().find(|(waiting, known)| *waiting == ticket && known.will_wake(waker)) {
            Some(_) => false,
            None => {
                waiters.push((ticket, waker.clone()));
                true
            }
        }
    }

    fn wake(&self, end: u64) {
        let mut waiters = locked(&self.waiters);
        let mut at = 0;
        while at < waiters.len() {
            if waiters[at].0 < end {
                waiters.swap_remove(at).1.wake();
            } else {
                at += 1;
            }
        }
    }
}

impl Failed {
    fn add(&self, tickets: Range<u64>, why: Arc<str>) {
        if tickets.is_empty() {
            return;
        }
        let mut ranges = locked(&self.ranges);
        match ranges.back_mut() {
            Some((last, before)) if last.end == tickets.start && *before == why => last.end = tickets.end,
            _ => ranges.push_back((tickets, why)),
        }
        if ranges.len() > FAILURES_KEPT {
            ranges.pop_front();
        }
        self.any.store(true, Ordering::Release);
    }

    fn why(&self, ticket: u64) -> Option<Arc<str>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        locked(&self.ranges).iter().find(|(range, _)| range.contains(&ticket)).map(|(_, why)| why.clone())
    }
}
