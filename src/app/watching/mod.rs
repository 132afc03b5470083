//! Follows the journal for anomalies, on a thread that stands back for those that serve mail: it may lag, and catches up.
//!
//! `state` is what outlives the process, `dns` asks what domains publish, `notify` tells people, `unrecorded` waits for the store. Entries of incidents go into the journal like all records, so that search,
//! exports and the next process see them.

mod dns;
mod notify;
mod state;
mod unrecorded;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::exporting::{FAREWELL, wait_for};
use crate::anomaly::book::Options as BookOptions;
use crate::anomaly::{Book, Loss, Watch};
use crate::config::WatchOptions;
use crate::metrics::OpenIncidents;
use crate::net::resolve::Resolver;
use crate::relay::Exhausted;
use crate::store::{Cursor, Day, Health, Store, StoreError};
use crate::trace::{Incident, IncidentStep, Kept, Origin, RecordId, WallMicros};
use dns::Asker;
pub use dns::ask as ask_dns;
use notify::Notifier;
pub(super) use notify::{Tellers, tell_the_rest};
use state::State;
use unrecorded::Unrecorded;

/// Between two looks at the journal: judgements are ten seconds apart, so a second more is nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// Records read at once.
const BATCH: usize = 1_000;
/// How often the state is written; what came after is read again from the journal.
const KEEP_EVERY: Duration = Duration::from_secs(600);
/// A store that is watched for the first time teaches what is usual: so many days of it.
const LEARN_DAYS: u32 = 28;
/// What is older than the process by more than that is no news, in µs.
const NEWS: WallMicros = 3_600_000_000;
/// Records reach the journal so long after their time, at most, in µs.
const LAG: WallMicros = 2_000_000;

/// Quotas that are used up, as sessions see them.
type Quotas = Arc<ArcSwap<Vec<Exhausted>>>;

/// Where others read what was found.
pub(super) struct Board {
    pub quotas: Quotas,
    pub incidents: OpenIncidents,
}

/// The thread that watches, for as long as this process has the store.
pub(super) struct Watching {
    /// Dropped to end it.
    stop: SyncSender<()>,
    /// It hung when it was to end: another may watch by now, and it is to write nothing any more.
    left: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    tellers: Tellers,
}

impl Watching {
    /// Starts it; `None` if it is switched off or the thread can't be had, which is said.
    pub fn start(store: &Store, dir: PathBuf, options: &WatchOptions, resolver: Resolver, origin: Origin, board: Board) -> Option<Self> {
        if !options.enabled || !options.enforce_limits {
            board.quotas.store(Arc::default());
        }
        if !options.enabled {
            board.incidents.store(Arc::default());
            store.set_unrecorded(Vec::new());
            return None;
        }
        let (stop, stopped) = sync_channel(1);
        let (notifier, tellers) = Notifier::start(&options.notify);
        let left = Arc::<AtomicBool>::default();
        let asker = options.anomaly.dns.enabled.then(|| Asker::start(resolver));
        let follower = Follower {
            board,
            store: store.clone(),
            asker,
            dir,
            options: options.clone(),
            origin: Arc::new(origin.into()),
            notifier,
            stopped,
            left: left.clone(),
        };
        match std::thread::Builder::new().name("watch".to_owned()).spawn(move || follower.run()) {
            Ok(thread) => Some(Self { stop, left, thread, tellers }),
            Err(error) => {
                tracing::error!(%error, "anomalies are not watched for: the thread could not be started");
                None
            }
        }
    }

    /// Ends it; its state is written, unless the disk hangs: then it is left behind. Gives those who still tell of incidents.
    pub async fn end(self) -> Tellers {
        drop(self.stop);
        wait_for(FAREWELL, || self.thread.is_finished()).await;
        if !self.thread.is_finished() {
            self.left.store(true, Relaxed);
            tracing::error!(
                "the thread that watches for anomalies hangs, on the disk perhaps, and is left behind: it may have to read again"
            );
        } else if self.thread.join().is_err() {
            tracing::error!("the thread that watches for anomalies panicked");
        }
        self.tellers
    }
}

struct Follower {
    board: Board,
    store: Store,
    dir: PathBuf,
    options: WatchOptions,
    origin: Arc<Kept<Origin>>,
    asker: Option<Asker>,
    notifier: Notifier,
    stopped: Receiver<()>,
    left: Arc<AtomicBool>,
}

/// Where the follower stands.
struct Course {
    watch: Watch,
    at: Cursor,
    /// The journal was read to its end: what it doesn't tell is judged by the clock.
    current: bool,
    /// The store could not be opened when it began, and nothing was read yet: only that is known.
    blind: bool,
    unrecorded: Unrecorded,
    /// Nothing is written before the old records are read: they only teach what is usual.
    learning: bool,
    /// Entries older than this may be in the journal already.
    started: WallMicros,
    /// Incidents that were found among old records and haven't ended there: told of if they are still open in the end.
    untold: Vec<RecordId>,
    kept: Instant,
    /// Keys forgotten so far, as last said.
    forgotten: u64,
}

impl Course {
    /// What could not be recorded yet is known to the watch, though it isn't in the journal.
    fn learn_unrecorded(&mut self) {
        for entry in self.unrecorded.refused() {
            self.watch.book.learn(entry);
        }
    }

    /// Whether people are told of it now. After weeks without a watch the old records are read first: what went wrong then, and is over, is
    /// only recorded.
    fn is_news(&mut self, entry: &Incident) -> bool {
        let is_known = self.untold.iter().position(|id| *id == entry.incident);
        let is_new = entry.at.saturating_add(NEWS) >= self.started;
        match is_known {
            Some(at) if is_new || entry.step == IncidentStep::Resolved => drop(self.untold.remove(at)),
            None if !is_new && entry.step != IncidentStep::Resolved => self.untold.push(entry.incident),
            _ => {}
        }
        // People were told of it by a process before this one: of its end as well.
        is_new || (entry.step == IncidentStep::Resolved && is_known.is_none())
    }
}

impl Follower {
    fn run(self) {
        if let Err(error) = rustix::process::nice(10) {
            tracing::debug!(%error, "the thread that watches for anomalies can't stand back");
        }
        let mut course = self.begin();
        if self.is_left() {
            return;
        }
        course.unrecorded = Unrecorded::left_in(&self.store);
        course.learn_unrecorded();
        let mut said = false;
        loop {
            match self.look(&mut course) {
                Ok(()) => said = false,
                Err(error) => {
                    if !said {
                        tracing::warn!(%error, "anomalies can't be watched for at present");
                    }
                    said = true;
                }
            }
            if self.is_left() {
                return;
            }
            self.enforce(&course);
            self.tell(&course);
            if course.kept.elapsed() >= KEEP_EVERY {
                self.keep(&mut course);
            }
            if self.stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                return self.keep(&mut course);
            }
        }
    }

    /// Whether it was left behind: whatever it comes back from, its successor has done the rest.
    fn is_left(&self) -> bool {
        self.left.load(Relaxed)
    }

    fn begin(&self) -> Course {
        let now = self.store.now();
        let mut watch = Watch::new(&self.options.anomaly, self.book());
        let state = State::read(&self.dir);
        let learning = state.is_none();
        let at = match state {
            Some(state) => {
                let failed = watch.restore(&state.parts);
                if !failed.is_empty() {
                    tracing::warn!(?failed, "what some detectors knew can't be read: they learn anew what is usual");
                }
                state.at
            }
            None => Cursor::at_start_of(Day::of(now).earlier(LEARN_DAYS)),
        };
        Course {
            watch,
            at,
            current: false,
            blind: false,
            unrecorded: Unrecorded::default(),
            learning,
            started: now,
            untold: Vec::new(),
            kept: Instant::now(),
            forgotten: 0,
        }
    }

    /// Reads what is new and judges. What can't be read is judged as well while the store fails: that it does.
    fn look(&self, course: &mut Course) -> Result<(), StoreError> {
        if course.blind {
            let opened = self.store.end();
            if opened.is_err() || !self.store.health().is_ok() {
                self.judge_loss(course);
                return opened.map(|_| ());
            }
            // What is usual, and where to read on, lies beside the store.
            let unrecorded = std::mem::take(&mut course.unrecorded);
            *course = Course { unrecorded, ..self.begin() };
            course.learn_unrecorded();
        }
        if self.is_left() {
            return Ok(());
        }
        course.unrecorded.record(&self.store, &course.watch.book);
        let read = self.read(course);
        if let Err(error) = &read {
            if !course.current && matches!(error, StoreError::Unavailable { .. }) {
                course.blind = true;
                course.watch = self.blind_watch();
                course.learn_unrecorded();
            }
            if course.blind || course.current {
                self.judge_loss(course);
            }
        }
        read
    }

    /// Where nothing can be read, nobody is missed and nothing ends: only that it can't is judged.
    fn blind_watch(&self) -> Watch {
        Watch::with(Vec::new(), self.book())
    }

    fn book(&self) -> Book {
        let options = BookOptions { told_from: self.options.notify.severity, ..self.options.anomaly.book.clone() };
        Book::new(options, self.origin.clone())
    }

    /// Nothing can be read: only the clock, and the store's failure, are gone by.
    fn judge_loss(&self, course: &mut Course) {
        course.watch.loss = self.loss();
        if course.watch.loss.is_some() {
            let mut entries = Vec::new();
            course.watch.tick_by_wall_clock(self.store.now().saturating_sub(LAG), &mut entries);
            self.publish(course, entries);
        }
    }

    fn read(&self, course: &mut Course) -> Result<(), StoreError> {
        let mut entries = Vec::new();
        loop {
            let watch = &mut course.watch;
            let (_, next, full) = self.store.follow_summaries(course.at, BATCH, |record| watch.observe(&record, &mut entries))?;
            if self.is_left() {
                return Ok(());
            }
            course.at = next;
            course.current = !full;
            if !full {
                if let Some(asker) = &self.asker {
                    asker.exchange(&mut course.watch.dns, self.store.now());
                }
                course.watch.loss = self.loss();
                course.watch.tick_by_wall_clock(self.store.now().saturating_sub(LAG), &mut entries);
            }
            if course.learning {
                entries.clear();
            } else {
                self.publish(course, std::mem::take(&mut entries));
            }
            if !full {
                break;
            }
            if self.stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Empty) {
                return Ok(());
            }
        }
        if course.learning {
            course.learning = false;
            let open = course.watch.book.open().into_iter();
            let entries = open.map(|entry| Incident { step: IncidentStep::Opened, id: entry.incident, ..entry.clone() }).collect();
            self.publish(course, entries);
        }
        for id in std::mem::take(&mut course.untold) {
            if let Some(entry) = course.watch.book.open().into_iter().find(|entry| entry.incident == id) {
                self.notify(course, entry.clone());
            }
        }
        Ok(())
    }

    fn loss(&self) -> Option<Loss> {
        match self.store.health() {
            Health::Ok => None,
            Health::Failed { since, why, .. } => Some(Loss { since, why }),
        }
    }

    fn publish(&self, course: &mut Course, entries: Vec<Incident>) {
        for entry in entries {
            // After a crash some are made again: their ids say so.
            if course.unrecorded.has(entry.id) || (entry.at < course.started && matches!(self.store.fetch(entry.id), Ok(Some(_)))) {
                continue;
            }
            if self.is_left() {
                return;
            }
            course.unrecorded.push(entry.clone());
            if course.is_news(&entry) {
                self.notify(course, entry);
            }
        }
        if !self.is_left() {
            course.unrecorded.record(&self.store, &course.watch.book);
        }
    }

    fn notify(&self, course: &Course, entry: Incident) {
        notify::log(&entry);
        let was_told = course.watch.book.was_told(entry.incident);
        self.notifier.tell(entry, was_told);
    }

    /// Tells sessions whose quota is used up, if it is to be kept.
    fn enforce(&self, course: &Course) {
        if !self.options.enforce_limits {
            return;
        }
        let of = |it: crate::anomaly::limits::Exhausted| {
            let crate::anomaly::limits::Exhausted { upstream, user, sender, until, reason } = it;
            Exhausted { upstream, user, sender, until, reason }
        };
        let exhausted: Vec<Exhausted> = course.watch.exhausted(self.store.now()).into_iter().map(of).collect();
        if **self.board.quotas.load() != exhausted {
            self.board.quotas.store(Arc::new(exhausted));
        }
    }

    /// How many incidents are open, for those who ask by the minute.
    fn tell(&self, course: &Course) {
        let mut open = BTreeMap::new();
        for incident in course.watch.book.open() {
            *open.entry((incident.anomaly, incident.severity)).or_insert(0) += 1;
        }
        if **self.board.incidents.load() != open {
            self.board.incidents.store(Arc::new(open));
        }
    }

    fn keep(&self, course: &mut Course) {
        if self.is_left() {
            return;
        }
        course.kept = Instant::now();
        course.unrecorded.record(&self.store, &course.watch.book);
        // The next process would take what couldn't be recorded for recorded: it is to find it again.
        if course.learning || course.blind || course.unrecorded.has_refused() {
            return;
        }
        let forgotten = course.watch.forgotten();
        let count = forgotten.iter().map(|(_, count)| count).sum();
        if count > std::mem::replace(&mut course.forgotten, count) {
            let by = forgotten.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
            tracing::warn!(%by, "there are more addresses, hosts and accounts than are watched: those that were quiet longest were forgotten, and what concerns them may not be told");
        }
        let state = State { at: course.at, parts: course.watch.keep() };
        if self.is_left() {
            return;
        }
        if let Err(error) = state.write(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "what is usual can't be written down: a restart learns it from the journal");
        }
    }
}

#[cfg(test)]
mod tests;
