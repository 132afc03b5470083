//! The keeper thread: seals finished files and removes what is no longer to be kept, in its own time.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::intake::Appender;
use super::journal::{DayJournal, Form, JournalFile};
use super::live::Live;
use super::locks::locked;
use super::log::Log;
use super::marks;
use super::queue::Ticket;
use super::retention::Retention;
use super::seal::{self, LeftOpen};
use super::search::Search;
use crate::trace::{Record, RecordId, RecordKind, stored};

/// Days end even when nothing is written.
const ROUND: Duration = Duration::from_secs(600);
/// How long sealing waits for the index to catch up at the start.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before a file that could not be sealed is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// A mark that was open for so long will have no record any more: it was lost. No wall clock tells that: one that leaps ahead would make a
/// record of a message whose own is still to come. Marks of processes that ended are dealt with when the store is opened.
const OPEN_FOR_EVER: Duration = Duration::from_secs(24 * 3600);
/// A mark is met again when the next file is sealed, a day later at most.
const REMEMBERED: Duration = Duration::from_secs(3 * 24 * 3600);
const LOST: &str = "no record of the reply to end-of-data could be stored";

pub(super) struct Keeper {
    live: Arc<Live>,
    appender: Appender,
    retention: Retention,
    retry_at: Option<Instant>,
    /// Open marks, and since when they were met.
    met: RefCell<HashMap<RecordId, Instant>>,
}

impl Keeper {
    pub fn new(live: Arc<Live>, appender: Appender) -> Self {
        Self { retention: Retention::new(live.clone()), live, appender, retry_at: None, met: RefCell::default() }
    }

    pub fn run(mut self) {
        // Sealing reads what the index is reading, and asks it about open marks.
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && !self.live.keeper.is_closed() && self.live.recovery.wait(Duration::from_millis(100)).unfinished
        {
        }
        loop {
            self.round();
            if !self.live.keeper.wait_at_most(ROUND) {
                return;
            }
        }
    }

    fn round(&mut self) {
        {
            let _held = locked(&self.live.keeping);
            self.retention.remove_old(self.appender.now());
        }
        if self.retry_at.is_none_or(|at| at <= Instant::now()) {
            self.retry_at = None;
            self.seal_finished();
        }
        self.merge_runs();
        // After sealing, which makes files smaller; and before it where it wanted for space.
        let has_room = {
            let _held = locked(&self.live.keeping);
            self.retention.apply(self.appender.now())
        };
        if has_room && self.retry_at.take().is_some() {
            self.seal_finished();
        }
        if self.retry_at.is_some() {
            self.close_finished();
        }
    }

    /// Merges index runs, as many as there are worth it.
    fn merge_runs(&mut self) {
        let live = self.live.clone();
        let last = live.journal.last_day();
        for day in live.journal.days() {
            let goes_on = || !live.keeper.is_closed();
            let is_over = Some(day.day) != last && live.index.stored_until(day.day) == day.end();
            loop {
                match live.index.merge(day.day, live.run_records, is_over, &goes_on) {
                    Ok(true) => self.seal_finished(),
                    Ok(false) => break,
                    Err(error) => {
                        if goes_on() {
                            tracing::error!(day = %day.day, %error, "runs of the index could not be merged; it is tried again");
                        }
                        break;
                    }
                }
            }
        }
        live.index.sweep();
    }

    fn seal_finished(&mut self) {
        'days: for day in self.live.journal.days() {
            for file in day.files() {
                let Form::Log(log) = file.form() else { continue };
                // What is left of a damaged file is for people to look at; what somebody removed stays removed.
                if log.damage != 0 || !log.is_finished() || log.is_gone() || log.is_lost() {
                    continue;
                }
                if self.live.keeper.is_closed() {
                    return;
                }
                if !self.seal(&day, &file, &log) {
                    // The chain of the next file begins where this one's ends.
                    continue 'days;
                }
            }
        }
    }

    /// What can't be sealed for a while keeps no descriptors, unless they are all that is left of it.
    fn close_finished(&self) {
        let _held = locked(&self.live.keeping);
        for file in self.live.journal.days().iter().flat_map(|day| day.files()) {
            if let Form::Log(log) = file.form()
                && log.is_finished()
                && !log.is_closed()
            {
                log.look_for_name();
                if !log.is_gone() {
                    file.become_form(Form::Log(Arc::new(log.closed())));
                }
            }
        }
    }

    /// Seals a file; whether that succeeded.
    fn seal(&mut self, day: &DayJournal, file: &JournalFile, log: &Arc<Log>) -> bool {
        let version = log.header.version;
        let _held = locked(&self.live.keeping);
        if let Err(error) = seal::seal(day, file, log, |left_open| self.keep_open(version, left_open)) {
            tracing::error!(file = %log.path.display(), %error, "a journal file could not be sealed; it is tried again");
            self.retry_at = Some(Instant::now() + RETRY);
            return false;
        }
        true
    }

    /// Marks whose record has not come are written once more, into the file that is active now; whether that succeeded.
    fn keep_open(&self, version: u16, left_open: LeftOpen) -> bool {
        if !self.appender.is_healthy() {
            return false; // what is refused would count as lost
        }
        let mut met = self.met.borrow_mut();
        let now = Instant::now();
        met.retain(|_, since| now.duration_since(*since) < REMEMBERED);
        let mut tickets = Vec::new();
        for (id, octets) in left_open {
            let Ok(Record::Mark(mark)) = stored::decode(version, RecordKind::Mark, &octets) else { continue };
            // Where the index lags behind, the record may be there all the same: the mark is found to be answered next time.
            match Search::of_indexed(&self.live).fetch(id) {
                Ok(Some(_)) => {
                    met.remove(&id);
                    continue;
                }
                Ok(None) => {}
                Err(_) => return false,
            }
            let lost = now.duration_since(*met.entry(id).or_insert(now)) > OPEN_FOR_EVER;
            let kept = if lost { self.appender.append(&marks::in_doubt(&mark, LOST)) } else { self.appender.append(&Record::Mark(mark)) };
            match kept {
                Ok(ticket) => tickets.push(ticket),
                Err(_) => return false,
            }
        }
        self.are_stored(&tickets)
    }

    fn are_stored(&self, tickets: &[Ticket]) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        tickets.iter().all(|&ticket| {
            while self.appender.is_pending(ticket) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.appender.is_stored(ticket)
        })
    }
}
