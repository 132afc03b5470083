//! The queue between those who trace and the one who writes.
//!
//! Pushing is a short critical section: copy the frame, take a ticket, and wake the writer only if it sleeps. While the writer
//! is at the disk whatever comes gathers into the next batch. After a batch the writer dozes for a moment before it falls
//! asleep: what is pushed quietly meanwhile goes along without a wake-up of its own.

use std::borrow::Cow;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::locks::locked;
use crate::trace::WallMicros;

/// Stands for one record on its way to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// Records that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub from: WallMicros,
    pub until: WallMicros,
    pub records: u64,
    pub why: Cow<'static, str>,
}

/// Why the queue took no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    /// The writer can't write at present.
    Failing,
    Closed,
}

/// What the writer takes at once.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub frames: Vec<u8>,
    /// Tickets below this are all in this batch or before it.
    pub end: u64,
    pub loss: Option<Loss>,
    /// No more will come.
    pub closed: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    octets: usize,
}

#[derive(Debug, Default)]
struct Inner {
    frames: Vec<u8>,
    next: u64,
    loss: Option<Loss>,
    failing: bool,
    closed: bool,
    writer: Writer,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Writer {
    #[default]
    Awake,
    /// Looks again soon, whatever happens.
    Dozing,
    Asleep,
}

/// How long a quiet push may lie while the writer dozes.
const DOZE: Duration = Duration::from_millis(1);

impl Queue {
    pub fn new(octets: usize) -> Self {
        Self { inner: Mutex::default(), wake: Condvar::new(), octets }
    }

    pub fn push(&self, frame: &[u8], at: WallMicros, quietly: bool) -> Result<Ticket, Refused> {
        let mut inner = locked(&self.inner);
        let refused = if inner.closed {
            Some((Refused::Closed, "the store was closed"))
        } else if inner.failing {
            Some((Refused::Failing, "the store could not be written"))
        } else if inner.frames.len() + frame.len() > self.octets {
            Some((Refused::Full, "the store's disk did not keep up"))
        } else {
            None
        };
        if let Some((refused, why)) = refused {
            inner.lose(1, at, why.into());
            return Err(refused);
        }
        inner.frames.extend_from_slice(frame);
        let ticket = Ticket(inner.next);
        inner.next += 1;
        let wake = inner.writer == Writer::Asleep || (inner.writer == Writer::Dozing && !quietly);
        if wake {
            inner.writer = Writer::Awake;
        }
        drop(inner);
        if wake {
            self.wake.notify_one();
        }
        Ok(ticket)
    }

    /// Wakes the writer for what was pushed quietly.
    pub fn nudge(&self) {
        let mut inner = locked(&self.inner);
        if inner.writer != Writer::Awake && !inner.frames.is_empty() {
            inner.writer = Writer::Awake;
            drop(inner);
            self.wake.notify_one();
        }
    }

    /// Waits for records, and takes all there are. `spent` is the buffer of the batch before.
    pub fn take(&self, mut spent: Vec<u8>) -> Taken {
        spent.clear();
        let mut inner = locked(&self.inner);
        let mut nap = Writer::Dozing;
        while inner.frames.is_empty() && inner.loss.is_none() && !inner.closed {
            inner.writer = nap;
            inner = if nap == Writer::Dozing {
                self.wake.wait_timeout(inner, DOZE).map_or_else(|poisoned| poisoned.into_inner().0, |(inner, _)| inner)
            } else {
                self.wake.wait(inner).unwrap_or_else(std::sync::PoisonError::into_inner)
            };
            nap = Writer::Asleep;
        }
        inner.writer = Writer::Awake;
        let frames = std::mem::replace(&mut inner.frames, spent);
        Taken { frames, end: inner.next, loss: inner.loss.take(), closed: inner.closed }
    }

    /// Counts records that were taken and then could not be written.
    pub fn lost(&self, records: u64, at: WallMicros, why: Cow<'static, str>) {
        if records > 0 {
            locked(&self.inner).lose(records, at, why);
        }
    }

    /// Puts back a loss whose gap record could not be written.
    pub fn lost_again(&self, loss: Loss) {
        let mut inner = locked(&self.inner);
        let later = inner.loss.take();
        inner.loss = Some(match later {
            Some(later) => {
                Loss { from: loss.from.min(later.from), until: later.until, records: loss.records + later.records, why: loss.why }
            }
            None => loss,
        });
    }

    /// Refuses everything until [`Queue::mended`], and gives up what still lies here.
    pub fn failing(&self) -> Taken {
        let mut inner = locked(&self.inner);
        inner.failing = true;
        Taken { frames: std::mem::take(&mut inner.frames), end: inner.next, loss: None, closed: inner.closed }
    }

    /// What was lost since the last gap record.
    pub fn loss(&self) -> Option<Loss> {
        locked(&self.inner).loss.take()
    }

    pub fn mended(&self) {
        locked(&self.inner).failing = false;
    }

    pub fn close(&self) {
        locked(&self.inner).closed = true;
        self.wake.notify_all();
    }

    /// Waits a while; true if the queue was closed meanwhile.
    pub fn pause(&self, pause: Duration) -> bool {
        let inner = locked(&self.inner);
        self.wake
            .wait_timeout_while(inner, pause, |inner| !inner.closed)
            .map_or_else(|poisoned| poisoned.into_inner().0.closed, |(inner, _)| inner.closed)
    }
}

impl Inner {
    fn lose(&mut self, records: u64, at: WallMicros, why: Cow<'static, str>) {
        match &mut self.loss {
            Some(loss) => {
                loss.records += records;
                loss.from = loss.from.min(at);
                loss.until = loss.until.max(at);
            }
            None => self.loss = Some(Loss { from: at, until: at, records, why }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_taken_at_once_and_in_order() {
        let queue = Queue::new(100);
        assert_eq!(queue.push(b"one", 1, false), Ok(Ticket(0)));
        assert_eq!(queue.push(b"two", 2, true), Ok(Ticket(1)));
        let taken = queue.take(Vec::new());
        assert_eq!((taken.frames.as_slice(), taken.end, taken.loss, taken.closed), (b"onetwo".as_slice(), 2, None, false));
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_counts() {
        let queue = Queue::new(4);
        assert_eq!(queue.push(b"full", 1, false), Ok(Ticket(0)));
        assert_eq!(queue.push(b"x", 5, false), Err(Refused::Full));
        assert_eq!(queue.push(b"y", 9, false), Err(Refused::Full));
        let loss = queue.take(Vec::new()).loss.unwrap();
        assert_eq!((loss.from, loss.until, loss.records), (5, 9, 2));
        assert_eq!(queue.push(b"x", 10, false), Ok(Ticket(1)));
    }

    #[test]
    fn while_failing_everything_is_refused_and_counted() {
        let queue = Queue::new(100);
        queue.push(b"given up", 4, false).unwrap();
        assert_eq!(queue.failing().frames, b"given up");
        assert_eq!(queue.push(b"x", 5, false), Err(Refused::Failing));
        queue.mended();
        assert_eq!(queue.loss().map(|loss| loss.records), Some(1));
        assert!(queue.push(b"x", 6, false).is_ok());
    }

    #[test]
    fn after_closing_the_rest_is_still_taken() {
        let queue = Queue::new(100);
        queue.push(b"last", 1, false).unwrap();
        queue.close();
        assert_eq!(queue.push(b"x", 2, false), Err(Refused::Closed));
        let taken = queue.take(Vec::new());
        assert_eq!((taken.frames.as_slice(), taken.closed), (b"last".as_slice(), true));
    }
}
