//! The queue between those who trace and the one who writes.
//!
//! Pushing is a short critical section: copy the frame, take a ticket, and wake the writer only if it sleeps. While the writer
//! is at the disk whatever comes gathers into the next batch. After a batch the writer dozes for a moment before it falls
//! asleep: what is pushed quietly meanwhile goes along without a wake-up of its own. Where records are staged nobody waits for the
//! writer, and it takes its time: it looks every few milliseconds, and once more is worth a call.

use std::borrow::Cow;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::drain::Drain;
use super::locks::locked;
use super::staging::Staging;
use crate::trace::WallMicros;

/// Stands for one record on its way to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    pub(super) number: u64,
    /// The kernel has the record already.
    pub(super) staged: bool,
}

impl Ticket {
    /// The kernel has it: there is nothing to wait for.
    pub fn is_staged(self) -> bool {
        self.staged
    }
}

/// How a record is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    /// Wakes the writer unless it is awake.
    Loud,
    /// Leaves a dozing writer alone.
    Quiet,
    /// As quiet, and staged if that can be: to be with the kernel is enough for it.
    Staged,
}

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
    /// What of it is staged; to be called done once it is in the journal.
    pub generation: Option<u64>,
    pub loss: Option<Loss>,
    /// No more will come.
    pub closed: bool,
    /// After this batch the writer writes elsewhere.
    pub turn: Option<Turn>,
    /// With it: nothing is staged any more, and this goes once the batch is in the journal.
    pub unstaged: Option<Staging>,
}

/// Has the writer write elsewhere from the next batch on.
#[derive(Debug)]
pub(super) struct Turn {
    /// The file of a process that has given the store away; `None`: the journal again.
    pub to: Option<Drain>,
    /// Told once that is done.
    pub done: SyncSender<()>,
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
    /// What the disk said, while nothing can be written.
    failing: Option<Arc<str>>,
    closed: bool,
    writer: Writer,
    /// Somebody waits for what lies here.
    hurried: bool,
    staging: Option<Staging>,
    turn: Option<Turn>,
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
/// How long staged records gather.
const GATHER: Duration = Duration::from_millis(2);
/// How often the writer looks for staged records in vain before it falls asleep.
const LOOKS: u32 = 50;
/// Octets of staged records that are worth a call before their time.
const WORTH_A_CALL: usize = 512 << 10;

impl Queue {
    pub fn new(octets: usize) -> Self {
        Self { inner: Mutex::default(), wake: Condvar::new(), octets }
    }

    /// From now on records may be staged.
    pub fn stage_in(&self, staging: Staging) {
        locked(&self.inner).staging = Some(staging);
    }

    /// Takes a frame, or counts the `records` that are lost with it.
    pub fn push(&self, frame: &[u8], at: WallMicros, how: Push, records: u64) -> Result<Ticket, Refused> {
        let mut inner = locked(&self.inner);
        let refused = if inner.closed {
            Some((Refused::Closed, Cow::Borrowed("the store was closed")))
        } else if let Some(why) = &inner.failing {
            Some((Refused::Failing, why.to_string().into()))
        } else if inner.frames.len() + frame.len() > self.octets {
            Some((Refused::Full, "the store's disk did not keep up".into()))
        } else {
            None
        };
        if let Some((refused, why)) = refused {
            if records > 0 {
                inner.lose(records, at, why);
            }
            if inner.writer == Writer::Asleep {
                // A gap is told at once, not with the next record.
                inner.writer = Writer::Awake;
                self.wake.notify_one();
            }
            return Err(refused);
        }
        inner.frames.extend_from_slice(frame);
        let ticket = Ticket { number: inner.next, staged: how == Push::Staged && inner.stage(frame) };
        inner.next += 1;
        let wake = match inner.writer {
            Writer::Awake => false,
            Writer::Dozing => how == Push::Loud || (ticket.staged && inner.frames.len() > WORTH_A_CALL),
            Writer::Asleep => true,
        };
        if how == Push::Loud || inner.frames.len() > WORTH_A_CALL {
            inner.hurried = true;
        }
        if wake {
            inner.writer = Writer::Awake;
        }
        drop(inner);
        if wake {
            self.wake.notify_one();
        }
        Ok(ticket)
    }

    /// Asks the writer to write elsewhere. Who asks hears at once that a writer at its end doesn't.
    pub fn turn(&self, turn: Turn) {
        let mut inner = locked(&self.inner);
        if inner.closed {
            return;
        }
        inner.turn = Some(turn);
        drop(inner);
        self.wake.notify_all();
    }

    /// Takes the request back, unless the writer has it already.
    pub fn withdraw(&self) -> Option<Turn> {
        locked(&self.inner).turn.take()
    }

    /// Wakes the writer for what was pushed quietly. Tickets below what is returned are in its hands then.
    pub fn nudge(&self) -> u64 {
        let mut inner = locked(&self.inner);
        let end = inner.next;
        if !inner.frames.is_empty() {
            inner.hurried = true;
            if inner.writer != Writer::Awake {
                inner.writer = Writer::Awake;
                drop(inner);
                self.wake.notify_one();
            }
        }
        end
    }

    /// Waits for records, and takes all there are. `spent` is the buffer of the batch before. `gather`: lets that much time pass first,
    /// whoever waits, so that more goes along.
    pub fn take(&self, mut spent: Vec<u8>, gather: Duration) -> Taken {
        spent.clear();
        if !gather.is_zero() {
            self.pause(gather);
        }
        let mut inner = locked(&self.inner);
        let (pause, most) = if inner.staging.is_some() { (GATHER, LOOKS) } else { (DOZE, 1) };
        let mut looks = 0;
        loop {
            let some = !inner.frames.is_empty() || inner.loss.is_some();
            let gathers = inner.staging.is_some() && !inner.hurried && looks == 0;
            if inner.closed || inner.turn.is_some() || (some && !gathers) {
                break;
            }
            if some || looks < most {
                inner.writer = Writer::Dozing;
                inner = self.wake.wait_timeout(inner, pause).map_or_else(|poisoned| poisoned.into_inner().0, |(inner, _)| inner);
                looks += 1;
            } else {
                inner.writer = Writer::Asleep;
                inner = self.wake.wait(inner).unwrap_or_else(PoisonError::into_inner);
                looks = 0;
            }
        }
        inner.writer = Writer::Awake;
        inner.hurried = false;
        let frames = std::mem::replace(&mut inner.frames, spent);
        let generation = inner.staging.as_mut().map(Staging::turn);
        let turn = inner.turn.take();
        let unstaged = if turn.is_some() { inner.staging.take() } else { None };
        Taken { frames, end: inner.next, generation, loss: inner.loss.take(), closed: inner.closed, turn, unstaged }
    }

    /// A generation of staged records is in the journal, or was given up.
    pub fn done(&self, generation: Option<u64>) {
        let mut inner = locked(&self.inner);
        if let (Some(staging), Some(generation)) = (&mut inner.staging, generation) {
            staging.done(generation);
        }
    }

    /// Takes the staging file away, once all is written and nothing more is taken.
    pub fn end_staging(&self) {
        let staging = locked(&self.inner).staging.take();
        staging.into_iter().for_each(Staging::remove);
    }

    /// Whether more of it is taken than is good for mail: the rest is for that.
    pub fn is_filling(&self) -> bool {
        locked(&self.inner).frames.len() > self.octets / 4
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

    /// Refuses everything until [`Queue::mended`], and gives up what still lies here. `why` is what the disk said: it goes into the gap
    /// record of whatever is refused, also where nothing was lost with the batch that failed.
    pub fn failing(&self, why: Arc<str>) -> Taken {
        let mut inner = locked(&self.inner);
        inner.failing = Some(why);
        let generation = inner.staging.as_mut().map(Staging::turn);
        Taken { frames: std::mem::take(&mut inner.frames), end: inner.next, generation, closed: inner.closed, ..Taken::default() }
    }

    /// What was lost since the last gap record.
    pub fn loss(&self) -> Option<Loss> {
        locked(&self.inner).loss.take()
    }

    pub fn mended(&self) {
        locked(&self.inner).failing = None;
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
    fn stage(&mut self, frame: &[u8]) -> bool {
        self.staging.as_mut().is_some_and(|staging| staging.keep(frame))
    }

    fn lose(&mut self, records: u64, at: WallMicros, why: Cow<'static, str>) {
        match &mut self.loss {
            Some(loss) => {
                loss.records += records;
                loss.from = loss.from.min(at);
                loss.until = loss.until.max(at);
                // What the disk said tells more than our own words, which a session may have put in first.
                if matches!((&loss.why, &why), (Cow::Borrowed(_), Cow::Owned(_))) {
                    loss.why = why;
                }
            }
            None => self.loss = Some(Loss { from: at, until: at, records, why }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(number: u64) -> Ticket {
        Ticket { number, staged: false }
    }

    #[test]
    fn what_was_pushed_is_taken_at_once_and_in_order() {
        let queue = Queue::new(100);
        assert_eq!(queue.push(b"one", 1, Push::Loud, 1), Ok(ticket(0)));
        assert_eq!(queue.push(b"two", 2, Push::Quiet, 1), Ok(ticket(1)));
        let taken = queue.take(Vec::new(), Duration::ZERO);
        assert_eq!((taken.frames.as_slice(), taken.end, taken.loss, taken.closed), (b"onetwo".as_slice(), 2, None, false));
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_counts() {
        let queue = Queue::new(4);
        assert_eq!(queue.push(b"full", 1, Push::Loud, 1), Ok(ticket(0)));
        assert_eq!(queue.push(b"x", 5, Push::Loud, 1), Err(Refused::Full));
        assert_eq!(queue.push(b"y", 9, Push::Loud, 1), Err(Refused::Full));
        let loss = queue.take(Vec::new(), Duration::ZERO).loss.unwrap();
        assert_eq!((loss.from, loss.until, loss.records), (5, 9, 2));
        assert_eq!(queue.push(b"x", 10, Push::Loud, 1), Ok(ticket(1)));
    }

    #[test]
    fn a_loss_wakes_a_sleeping_writer() {
        let queue = Queue::new(4);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| queue.take(Vec::new(), Duration::ZERO).loss);
            while locked(&queue.inner).writer != Writer::Asleep {
                std::thread::yield_now();
            }
            assert_eq!(queue.push(b"too long", 1, Push::Loud, 1), Err(Refused::Full));
            assert_eq!(writer.join().unwrap().map(|loss| loss.records), Some(1));
        });
    }

    #[test]
    fn while_failing_everything_is_refused_and_counted() {
        let queue = Queue::new(100);
        queue.push(b"given up", 4, Push::Loud, 1).unwrap();
        assert_eq!(queue.failing("No space left".into()).frames, b"given up");
        assert_eq!(queue.push(b"x", 5, Push::Loud, 1), Err(Refused::Failing));
        queue.mended();
        // Nothing that counts was in what was given up: the disk's own word is told all the same.
        let loss = queue.loss().unwrap();
        assert_eq!((loss.records, &*loss.why), (1, "No space left"));
        assert!(queue.push(b"x", 6, Push::Loud, 1).is_ok());
    }

    #[test]
    fn after_closing_the_rest_is_still_taken() {
        let queue = Queue::new(100);
        queue.push(b"last", 1, Push::Loud, 1).unwrap();
        queue.close();
        assert_eq!(queue.push(b"x", 2, Push::Loud, 1), Err(Refused::Closed));
        let taken = queue.take(Vec::new(), Duration::ZERO);
        assert_eq!((taken.frames.as_slice(), taken.closed), (b"last".as_slice(), true));
    }
}
