//! Takes in what processes write that have given this store away and are still draining: their records are found here, with numbers of
//! this journal, while they come.
//!
//! Each record is appended as if it had been made here; its file goes once the process has ended and all of it is on the disk. What an
//! owner that died had already taken in is told by the ids in the journal from the hand-over on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::batch::Part;
use super::bell::Bell;
use super::cursor::Cursor;
use super::drain::{self, Named};
use super::frame::{self, Frame, NoFrame};
use super::intake::{AppendError, Appender};
use super::journal::Form;
use super::live::Live;
use super::locks::locked;
use super::log::{HEADER, LogHeader};
use super::queue::Ticket;
use super::resume::next_frame;
use crate::trace::{Mark, Record, RecordId, RecordKind, stored};

/// Between two looks at the files.
const ROUND: Duration = Duration::from_millis(200);
/// How long the writer may take for what was handed in.
const PATIENCE: Duration = Duration::from_secs(10);
/// Octets taken in at once, unless a single frame is longer.
const READ_OCTETS: usize = 1 << 20;

type Marks = Mutex<BTreeMap<RecordId, Mark>>;

/// How far the taking in has come, for those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    pub bell: Bell,
    state: Mutex<State>,
    changed: Condvar,
    /// Marks taken in without a record so far, of other processes.
    open: Marks,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    begun: u64,
    done: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// The first look is not over.
    #[default]
    Beginning,
    /// A process that drains may still write.
    Following,
    /// Nobody else will write.
    Over,
}

impl Adoption {
    pub fn stage(&self) -> Stage {
        locked(&self.state).stage
    }

    /// Waits for a look that begins now, so long at most.
    pub fn refresh(&self, patience: Duration) {
        let state = locked(&self.state);
        if state.stage == Stage::Over || self.bell.is_closed() {
            return;
        }
        let wanted = state.begun + 1;
        self.bell.ring();
        let waits = |state: &mut State| state.stage != Stage::Over && state.done < wanted;
        drop(self.changed.wait_timeout_while(state, patience, waits).unwrap_or_else(PoisonError::into_inner));
    }

    /// What processes left open, once all of them have ended.
    pub fn left_open(&self) -> Vec<Mark> {
        std::mem::take(&mut *locked(&self.open)).into_values().collect()
    }

    fn begin(&self) {
        locked(&self.state).begun += 1;
    }

    fn done(&self, stage: Stage) {
        let mut state = locked(&self.state);
        state.done = state.begun;
        state.stage = stage;
        self.changed.notify_all();
    }
}

pub(super) struct Adopter {
    live: Arc<Live>,
    appender: Appender,
    /// Of this process, which may have given the store away and taken it back.
    salt: u32,
    followed: BTreeMap<PathBuf, Followed>,
}

/// A file, and what of it was taken in.
struct Followed {
    file: File,
    header: LogHeader,
    offset: u64,
    /// Ids that the journal has.
    known: HashSet<RecordId>,
    /// What was handed in and is neither stored nor given up yet.
    undecided: HashMap<RecordId, Ticket>,
    /// Octets in it were no frame, with others behind them.
    damaged: bool,
}

/// Why the taking in stands still for now.
#[derive(Debug, thiserror::Error)]
enum Stuck {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the journal doesn't take them: {0}")]
    Append(#[from] AppendError),
    #[error("the journal could not be written")]
    NotStored,
}

impl Adopter {
    pub fn new(live: Arc<Live>, appender: Appender, salt: u32) -> Self {
        Self { live, appender, salt, followed: BTreeMap::new() }
    }

    pub fn run(mut self) {
        let mut said = false;
        loop {
            self.live.adoption.begin();
            let stage = match self.look() {
                Ok(true) => Stage::Over,
                Ok(false) => Stage::Following,
                Err(error) => {
                    if !said {
                        tracing::error!(%error, "records of a process that drains can't be taken in at present; it is tried again");
                    }
                    said = true;
                    Stage::Following
                }
            };
            self.live.adoption.done(stage);
            // The index thread decides about open marks.
            self.live.indexer.ring();
            if stage == Stage::Over || !self.live.adoption.bell.wait_at_most(ROUND) {
                return;
            }
        }
    }

    /// Takes in what has come; whether nobody else will write.
    fn look(&mut self) -> Result<bool, Stuck> {
        loop {
            let files = drain::files(&self.live.options.dir)?;
            if files.is_empty() {
                return Ok(true);
            }
            let mut ended = false;
            for (path, named) in files {
                ended |= self.take_in(&path, named)?;
            }
            // A process makes its next file before it lets go of the last: only no file at all means that it has gone.
            if !ended {
                return Ok(false);
            }
        }
    }

    /// Takes in what a file has more; whether it was all, and the file is gone.
    fn take_in(&mut self, path: &Path, named: Named) -> Result<bool, Stuck> {
        if !self.followed.contains_key(path) {
            match Followed::open(path, named.from, &self.live) {
                Ok(Some(followed)) => drop(self.followed.insert(path.to_owned(), followed)),
                Ok(None) => return remove(path).map(|()| true).map_err(Stuck::Io),
                // Its process had nothing to say, and took it away.
                Err(Stuck::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        let Some(followed) = self.followed.get_mut(path) else { return Ok(false) };
        // Before the last look: what is written until the lock is free is seen by it.
        let ended = followed.file.try_lock().is_ok();
        let open = (named.salt != self.salt).then_some(&self.live.adoption.open);
        while followed.step(&self.appender, open, path, ended)? {}
        if !ended {
            return Ok(false);
        }
        // Before it goes, all of it is on the disk here.
        sync_journal(&self.live)?;
        if followed.damaged {
            let aside = path.with_extension("damaged");
            tracing::error!(file = %aside.display(), "it is kept, as not all of it could be read");
            std::fs::rename(path, aside)?;
        } else {
            remove(path)?;
        }
        self.followed.remove(path);
        tracing::info!(file = %path.display(), "what a process wrote that had handed this store over is taken in");
        Ok(true)
    }
}

impl Followed {
    /// `None` if there can't be a record in it: its process died before the header was whole.
    fn open(path: &Path, from: Cursor, live: &Live) -> Result<Option<Self>, Stuck> {
        // For writing only because a lock over NFS wants that.
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut octets = [0; HEADER];
        let read = file.read_at(&mut octets, 0)?;
        let header = match LogHeader::decode(octets.get(..read).unwrap_or_default()) {
            Ok(header) => header,
            Err(error) if file.try_lock().is_ok() => {
                tracing::error!(file = %path.display(), %error, "not a file of a process that drains: removed");
                return Ok(None);
            }
            Err(error) => return Err(io::Error::other(error.to_string()).into()),
        };
        let mut followed = Self { file, header, offset: HEADER as u64, known: HashSet::new(), undecided: HashMap::new(), damaged: false };
        followed.known = known(live, from, &followed.ids()?)?;
        Ok(Some(followed))
    }

    /// Of all that stands in it now.
    fn ids(&self) -> io::Result<HashSet<RecordId>> {
        let mut ids = HashSet::new();
        let mut offset = self.offset;
        loop {
            let (octets, more) = self.read(offset)?;
            let mut rest = octets.as_slice();
            while let Ok(frame) = frame::parse(self.header.salt, rest) {
                ids.insert(frame.id);
                rest = rest.get(frame.len()..).unwrap_or_default();
            }
            let read = octets.len() - rest.len();
            let skipped = if read == 0 { self.past_damage(rest, more) } else { 0 };
            if read + skipped == 0 {
                return Ok(ids);
            }
            offset += (read + skipped) as u64;
        }
    }

    /// How many octets are no frame before the next that is one. `more`: behind these there may be others.
    fn past_damage(&self, octets: &[u8], more: bool) -> usize {
        match next_frame(self.header.salt, octets, 1) {
            Some(at) => at,
            // A frame that begins behind these may not be whole in it.
            None if more => octets.len().saturating_sub(frame::PREFIX + frame::LONGEST).max(1),
            None => octets.len(),
        }
    }

    /// What stands from there on: a whole frame at least, if there is one. And whether there may be more.
    fn read(&self, offset: u64) -> io::Result<(Vec<u8>, bool)> {
        let mut octets = vec![0; READ_OCTETS];
        let mut read = self.file.read_at(&mut octets, offset)?;
        // Behind damage, too, a frame may be longer.
        if read == READ_OCTETS && frame::parse(self.header.salt, &octets).is_err() {
            octets.resize(frame::PREFIX + frame::LONGEST + READ_OCTETS, 0);
            read = self.file.read_at(&mut octets, offset)?;
        }
        let more = read == octets.len();
        octets.truncate(read);
        Ok((octets, more))
    }

    /// Takes in some of what has come; whether there may be more.
    fn step(&mut self, appender: &Appender, open: Option<&Marks>, path: &Path, ended: bool) -> Result<bool, Stuck> {
        let (octets, more) = self.read(self.offset)?;
        let whole = octets.as_slice();
        let mut rest = whole;
        // A mark has the id of the record that will follow it.
        let mut taken: Vec<(Option<RecordId>, Ticket)> = Vec::new();
        let mut refused = None;
        let mut torn = None;
        while !rest.is_empty() {
            match frame::parse(self.header.salt, rest) {
                Ok(frame) => {
                    match self.append(&frame, appender, open, path) {
                        Ok(ticket) => {
                            let id = (frame.kind != RecordKind::Mark).then_some(frame.id);
                            taken.extend(ticket.map(|ticket| (id, ticket)));
                        }
                        Err(error) => {
                            refused = Some(error);
                            break;
                        }
                    }
                    rest = rest.get(frame.len()..).unwrap_or_default();
                }
                Err(error) => {
                    torn = Some(error);
                    break;
                }
            }
        }
        // What is stored is known, whatever becomes of the rest: it isn't taken in twice.
        let mut all = true;
        for (id, ticket) in taken {
            // To the end, even if this thread is to end: what is on its way must not go elsewhere.
            let deadline = Instant::now() + PATIENCE;
            while appender.is_pending(ticket) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            match (id, appender.outcome(ticket)) {
                (Some(id), None) => drop(self.undecided.insert(id, ticket)),
                (Some(id), _) => drop(self.undecided.remove(&id)),
                (None, _) => {}
            }
            if appender.is_stored(ticket) {
                self.known.extend(id);
            } else {
                all = false;
            }
        }
        if !all {
            return Err(Stuck::NotStored);
        }
        self.offset += (whole.len() - rest.len()) as u64;
        if let Some(error) = refused {
            return Err(error.into());
        }
        match torn {
            // A frame that is being written, or the end of what was read.
            Some(NoFrame::Cut) if !ended || (more && rest.len() < whole.len()) => {}
            Some(error) if ended => {
                let skipped = self.past_damage(rest, more);
                let is_end = skipped == rest.len() && !more;
                self.offset += skipped as u64;
                self.damaged |= !is_end;
                if is_end {
                    tracing::warn!(file = %path.display(), octets = skipped, %error, "the end of it is not whole and was left out");
                } else {
                    tracing::error!(file = %path.display(), octets = skipped, %error, "these are no records and were left out");
                }
                return Ok(!is_end);
            }
            _ => {}
        }
        Ok(rest.len() < whole.len() && more)
    }

    /// Hands a record in, if the journal doesn't have it.
    fn append(&self, frame: &Frame<'_>, appender: &Appender, open: Option<&Marks>, path: &Path) -> Result<Option<Ticket>, AppendError> {
        let record = match stored::decode(self.header.version, frame.kind, frame.octets) {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "a record does not decode and is left out");
                return Ok(None);
            }
        };
        match (&record, open) {
            (Record::Mark(mark), Some(open)) => drop(locked(open).insert(frame.id, Mark::clone(mark))),
            (Record::Transaction(_), Some(open)) => drop(locked(open).remove(&frame.id)),
            _ => {}
        }
        if frame.kind != RecordKind::Mark && self.known.contains(&frame.id) {
            return Ok(None);
        }
        // It is on its way since the last time: the disk stands still.
        if let Some(&ticket) = self.undecided.get(&frame.id).filter(|_| frame.kind != RecordKind::Mark) {
            return Ok(Some(ticket));
        }
        // What is refused would count as lost, while it still stands in the file.
        if !appender.is_healthy() {
            return Err(AppendError::Failing);
        }
        match appender.append(&record) {
            Err(AppendError::Unframeable(error)) => {
                tracing::error!(file = %path.display(), %error, "a record can't be taken in");
                Ok(None)
            }
            appended => appended.map(Some),
        }
    }
}

/// Which of these ids the journal has from a place on.
fn known(live: &Live, from: Cursor, ids: &HashSet<RecordId>) -> io::Result<HashSet<RecordId>> {
    let mut known = HashSet::new();
    if ids.is_empty() {
        return Ok(known);
    }
    let mut at = from;
    while let Some((day, numbers, batch)) = live.journal.read_from(at, Part::Summary)? {
        // Every kind of record begins with its id.
        let id = |slot| Some(postcard::take_from_bytes::<RecordId>(batch.octets(slot).0).ok()?.0);
        known.extend(batch.slots().iter().filter_map(id).filter(|id| ids.contains(id)));
        at = Cursor { day, number: numbers.end };
    }
    Ok(known)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_journal(live: &Live) -> io::Result<()> {
    for file in live.journal.days().iter().flat_map(|day| day.files()) {
        if let Form::Log(log) = file.form() {
            log.sync()?;
        }
    }
    Ok(())
}
