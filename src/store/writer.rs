//! The writer thread: takes what is queued, writes it with one call, says so.
//!
//! It alone appends to the journal. When the disk refuses, what was in its hands is lost and counted, the queue refuses
//! further records, and the writer tries a new file every second; its first frame is the gap record.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::day::Day;
use super::drain::Drain;
use super::frame;
use super::intake::Intake;
use super::live::{Live, Opening, Use};
use super::log::Log;
use super::options::Durability;
use super::queue::{Loss, Taken};
use crate::trace::{Gap, Record, stored};

/// Between attempts to write again after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// So many records in a batch, marks among them, are worth gathering for.
const SEVERAL: u64 = 4;
/// From one batch to the next: a disk that takes longer gathers by itself.
const GATHERING: Duration = Duration::from_micros(600);
/// A file that large is finished whatever the options say: offsets in it take 32 bits.
const LARGEST: u64 = 1 << 30;

pub(super) struct Writer {
    intake: Arc<Intake>,
    opening: Opening,
    active: Option<Active>,
    /// Once the store was given away: where records go instead of the journal.
    drain: Option<Drain>,
    /// The sync thread failed: until the disk takes something, what is written counts once it is there.
    doubted: bool,
    /// Tickets below this have been dealt with.
    end: u64,
}

struct Active {
    day: Day,
    log: Arc<Log>,
}

impl Writer {
    pub fn new(intake: Arc<Intake>, opening: Opening) -> Self {
        Self { intake, opening, active: None, drain: None, doubted: false, end: 0 }
    }

    pub fn run(mut self) {
        self.write();
        // Nobody waits for a turn that isn't made any more.
        drop(self.intake.queue.withdraw());
    }

    fn write(&mut self) {
        if self.opening.live().is_none() && !self.recover() {
            return;
        }
        let mut spent = Vec::new();
        let mut gather = Duration::ZERO;
        loop {
            let mut taken = self.intake.queue.take(std::mem::take(&mut spent), gather);
            let (began, first) = (Instant::now(), self.end);
            let has_lost = taken.loss.is_some();
            if let Some(loss) = taken.loss.clone() {
                self.tell(loss, &mut taken.frames);
            }
            frame::drop_answered_marks(&mut taken.frames);
            match self.store(&taken.frames) {
                Ok(()) => {
                    if has_lost {
                        self.opening.live().iter().for_each(|live| live.under_way.forget());
                    }
                    self.end = taken.end;
                    self.intake.queue.done(taken.generation);
                    self.intake.decide(taken.end, None);
                    self.ring();
                    self.turn(&mut taken);
                    gather = self.gathering(taken.end - first, began.elapsed());
                }
                Err(error) => {
                    self.fail(&taken, &error);
                    // Whoever asked for the turn learns that it isn't made.
                    drop(taken.turn.take());
                    if let Some(mut staging) = taken.unstaged.take() {
                        taken.generation.into_iter().for_each(|generation| staging.done(generation));
                        self.intake.queue.stage_in(staging);
                    }
                    if !self.recover() {
                        return;
                    }
                }
            }
            if taken.closed {
                self.finish();
                return;
            }
            // One huge batch must not be paid for ever after.
            spent = if taken.frames.capacity() > 4 << 20 { Vec::new() } else { taken.frames };
        }
    }

    /// Writes elsewhere from now on, if that was asked for.
    fn turn(&mut self, taken: &mut Taken) {
        let Some(turn) = taken.turn.take() else { return };
        if let Some(active) = &self.active
            && let Err(error) = active.log.sync()
        {
            tracing::error!(%error, file = %active.log.path.display(), "the journal could not be synced at its hand-over");
        }
        if let Some(live) = self.opening.live() {
            self.retire(&live);
        }
        taken.unstaged.take().into_iter().for_each(super::staging::Staging::remove);
        self.end_drain();
        self.drain = turn.to;
        let _ = turn.done.send(());
    }

    fn end_drain(&mut self) {
        if let Some(drain) = self.drain.take() {
            let path = drain.path().to_owned();
            if let Err(error) = drain.end() {
                tracing::error!(%error, file = %path.display(), "the last records could not be synced");
            }
        }
    }

    /// How long the next batch is let grow. A sync costs the same for one record as for twenty: where several came while the last one
    /// took its time, more will come, and waiting a little for them costs less than another sync.
    fn gathering(&self, records: u64, took: Duration) -> Duration {
        let synced = self.is_synced();
        if synced && records >= SEVERAL { GATHERING.saturating_sub(took) } else { Duration::ZERO }
    }

    fn is_synced(&self) -> bool {
        self.opening.options().durability == Durability::Synced
    }

    fn store(&mut self, frames: &[u8]) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let synced = self.is_synced();
        if let Some(drain) = &mut self.drain {
            return drain.write(frames, synced);
        }
        let Some(live) = self.opening.live() else { return Err(io::Error::other("the store is not open")) };
        let log = self.active(&live)?;
        let written = log.write(frames).and_then(|()| if synced || self.doubted { log.sync_now().map_err(not_synced) } else { Ok(()) });
        if let Err(error) = written {
            // What may stand there in part must not be taken for records later.
            let _ = log.cut_to_end();
            self.take_away_if_empty(&live);
            return Err(error);
        }
        self.doubted = false;
        log.publish(frames);
        live.under_way.note(frames);
        live.note_written(&log, frames.len() as u64);
        Ok(())
    }

    /// The file to append to: a new one when the day has changed, or the old one is full or gone.
    fn active(&mut self, live: &Arc<Live>) -> io::Result<Arc<Log>> {
        let today = Day::of(self.intake.clock.now());
        if let Some(active) = &self.active {
            if active.log.is_gone() {
                let (records, now) = (u64::from(active.log.records()), self.intake.clock.now());
                tracing::error!(file = %active.log.path.display(), records, "the journal file was removed while in use: its records are lost");
                self.intake.health.lost(records);
                self.intake.queue.lost(records, now, "the journal file was removed while in use".into());
            }
            self.doubted |= active.log.is_unsound();
            let full = active.log.end() >= live.options.segment_octets.min(LARGEST);
            let usable = !full && !active.log.is_gone() && !active.log.is_unsound();
            // A clock that is set back doesn't reopen a day.
            if usable && today <= active.day {
                return Ok(active.log.clone());
            }
            self.retire(live);
        }
        let day = match live.journal.last_day() {
            // A clock that was a little ahead; one that was years ahead must not name our days for ever.
            Some(last) if last > today && last.number() - today.number() <= 1 => last,
            Some(last) if last > today => {
                tracing::error!(
                    %today, last_written = %last,
                    "records go to a day before the one that was written last: the clock is wrong, or was. Those of the days ahead keep their \
                     wrong times"
                );
                today
            }
            _ => today,
        };
        let log = live.journal.start_file(day, stored::VERSION, self.intake.salt)?;
        self.active = Some(Active { day, log: log.clone() });
        Ok(log)
    }

    fn retire(&mut self, live: &Live) {
        if let Some(active) = self.active.take() {
            active.log.finish();
            live.keeper.ring();
        }
    }

    /// No file is left behind for each attempt on a disk that fails.
    fn take_away_if_empty(&mut self, live: &Live) {
        if let Some(active) = self.active.take_if(|active| active.log.is_empty()) {
            live.journal.take_away(active.day, &active.log);
            live.keeper.ring();
        }
    }

    fn ring(&self) {
        if let Some(live) = self.opening.live() {
            live.indexer.ring();
        }
    }

    /// Gives up what is in hand and in the queue.
    fn fail(&mut self, taken: &Taken, error: &io::Error) {
        let now = self.intake.clock.now();
        let why: Arc<str> = error.to_string().into();
        let given_up = self.intake.queue.failing(why.clone());
        self.intake.queue.done(given_up.generation);
        let lost = frame::telling(&taken.frames) + frame::telling(&given_up.frames);
        self.end = given_up.end.max(taken.end);
        // It was told in what could not be written.
        taken.loss.clone().into_iter().for_each(|loss| self.intake.queue.lost_again(loss));
        tracing::error!(%error, records_lost = lost, "the trace store can't be written: mail goes on, records are dropped until it can");
        self.intake.health.lost(lost);
        self.intake.health.fail(now, &why);
        self.intake.queue.lost(lost, now, why.to_string().into());
        self.intake.decide(self.end, Some(&why));
        if let Some(live) = self.opening.live() {
            live.under_way.forget();
            self.retire(&live);
            // Perhaps the disk is full, and there is something to remove.
            live.keeper.ring();
        }
    }

    /// Tries until the store takes a record again; false if it was closed meanwhile.
    fn recover(&mut self) -> bool {
        let mut attempts = 0u64;
        loop {
            let closed = self.intake.queue.pause(RETRY);
            attempts += 1;
            match self.attempt() {
                Ok(()) => {
                    self.intake.health.mend();
                    self.intake.queue.mended();
                    tracing::warn!(records_lost = self.intake.health.records_lost(), "the trace store can be written again");
                    return true;
                }
                Err(error) => {
                    // Who asked for it hears that it doesn't come about now.
                    drop(self.intake.queue.withdraw());
                    self.intake.health.fail(self.intake.clock.now(), &error);
                    // Loud, but not so loud that the log fills the disk as well.
                    if attempts.is_multiple_of(60) {
                        tracing::error!(error, "the trace store still can't be written");
                    }
                }
            }
            if closed {
                return false;
            }
        }
    }

    fn attempt(&mut self) -> Result<(), String> {
        if self.drain.is_none() {
            self.opening.open(&self.intake, Use::Serving).map_err(|error| error.to_string())?;
        }
        let now = self.intake.clock.now();
        // A failure without a single loss (the disk failed at a sync) leaves no gap, but is tried with something.
        let loss =
            self.intake.queue.loss().unwrap_or(Loss { from: now, until: now, records: 0, why: "the store failed and lost nothing".into() });
        let mut frames = Vec::new();
        self.tell(loss.clone(), &mut frames);
        match self.store(&frames) {
            Ok(()) => {
                self.ring();
                Ok(())
            }
            Err(error) => {
                if loss.records > 0 {
                    self.intake.queue.lost_again(loss);
                }
                if let Some(live) = self.opening.live() {
                    self.retire(&live);
                }
                Err(error.to_string())
            }
        }
    }

    /// Adds the gap record of a loss.
    fn tell(&self, loss: Loss, frames: &mut Vec<u8>) {
        let Loss { from, until, records, why } = loss;
        tracing::warn!(records_lost = records, why = %why, "records are missing from the trace");
        let id = self.intake.clock.record_id();
        let gap = Record::Gap(Gap { id, from, until, records_lost: records, why: why.into_owned() });
        let mut octets = Vec::new();
        match frame::write(self.intake.salt, &gap, &mut octets) {
            Ok(()) => frames.extend_from_slice(&octets),
            Err(error) => tracing::error!(%error, "a gap record could not be framed"),
        }
    }

    fn finish(&mut self) {
        if let Some(active) = &self.active
            && let Err(error) = active.log.sync()
        {
            tracing::error!(%error, file = %active.log.path.display(), "the journal could not be synced at the end");
        }
        self.end_drain();
        self.intake.queue.end_staging();
    }
}

fn not_synced(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("it could not be synced: {error}"))
}
