//! A store directory in use: what its threads and its readers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::adopt::{Adopter, Adoption};
use super::backup;
use super::bell::Bell;
use super::cursor::Cursor;
use super::index::Index;
use super::index::indexer::Indexer;
use super::intake::Intake;
use super::journal::Journal;
use super::keeper::Keeper;
use super::lock::StoreLock;
use super::locks::{locked, reading, writing};
use super::log::Log;
use super::open::OpenError;
use super::options::{Durability, Options};
use super::recover::{self, Loaded, Recovery, RecoveryReport};
use super::staging::Staging;
use super::under_way::UnderWay;
use super::{retention, tables};
use crate::trace::Mark;

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Serving,
    /// By a command, to be asked a few questions or imported into: nothing is sealed or removed.
    Offline,
}

#[derive(Debug)]
pub(super) struct Live {
    pub options: Options,
    pub journal: Journal,
    pub index: Index,
    pub indexer: Bell,
    pub keeper: Bell,
    pub written: Written,
    pub under_way: UnderWay,
    pub recovery: Recovery,
    pub adoption: Adoption,
    /// Held while files are sealed or removed, and while a backup must see none of that.
    pub keeping: Mutex<()>,
    /// Held by the one backup there may be at a time.
    pub backing_up: Mutex<()>,
    /// Records of a full run; fewer only in tests.
    pub run_records: u32,
    /// Bumped when new records can be read and found.
    pub news: watch::Sender<u64>,
    syncer: Bell,
    unsynced: Mutex<Vec<Arc<Log>>>,
    /// Those that add to the journal by themselves, and those that follow it.
    tending: Mutex<Vec<JoinHandle<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<StoreLock>>,
}

/// What was written since the start.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub octets: AtomicU64,
    pub batches: AtomicU64,
    pub syncs: AtomicU64,
}

/// A store that is open, or will be once it can be.
#[derive(Debug, Clone)]
pub(super) struct Opening {
    options: Options,
    news: watch::Sender<u64>,
    run_records: u32,
    live: Arc<RwLock<Option<Arc<Live>>>>,
}

impl Opening {
    pub fn new(options: Options, run_records: u32, news: watch::Sender<u64>) -> Self {
        Self { options, news, run_records, live: Arc::default() }
    }

    pub fn live(&self) -> Option<Arc<Live>> {
        reading(&self.live).clone()
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Opens the directory, recovers what is in it and starts the threads that serve it; nothing if that is done already.
    pub fn open(&self, intake: &Arc<Intake>, purpose: Use) -> Result<(), OpenError> {
        if self.live().is_some() {
            return Ok(());
        }
        let (live, marks) = Live::open(self.options.clone(), self.run_records, self.news.clone(), intake, purpose)?;
        if purpose == Use::Serving {
            self.stage(intake);
        }
        live.start(intake, marks);
        live.tend(intake, purpose);
        *writing(&self.live) = Some(live);
        Ok(())
    }

    /// Opens the directory again that this process has given away; its records go there once the writer is told.
    ///
    /// To be tended only then.
    pub fn reopen(&self, intake: &Arc<Intake>) -> Result<Arc<Live>, OpenError> {
        let (live, marks) = Live::open(self.options.clone(), self.run_records, self.news.clone(), intake, Use::Serving)?;
        live.start(intake, marks);
        *writing(&self.live) = Some(live.clone());
        Ok(live)
    }

    /// From now on records are staged, where that is wanted and can be.
    pub fn stage(&self, intake: &Intake) {
        if let Some(dir) = self.options.staging.as_deref() {
            match Staging::create(dir, &self.options.dir, intake.salt) {
                Ok(staging) => {
                    tracing::info!(file = %staging.path().display(), "records are staged in memory on their way to the journal");
                    intake.queue.stage_in(staging);
                }
                Err(error) => {
                    tracing::warn!(dir = %dir.display(), %error, "records can't be staged in memory: replies wait for the journal")
                }
            }
        }
    }

    /// Lets go of the store, for another process.
    pub fn release(&self) {
        let live = writing(&self.live).take();
        if let Some(live) = live {
            live.close();
            live.index.close();
            drop(locked(&live.lock).take());
        }
    }

    pub fn close(&self) {
        if let Some(live) = self.live() {
            live.close();
        }
    }
}

/// Has this thread wait for those that serve mail, where they want the same processor. A nice value is a thread's own on Linux only.
fn stand_back(by: i32) {
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::nice(by)
    {
        tracing::debug!(%error, "a thread of the trace store could not be made to stand back");
    }
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    let threads = std::mem::take(&mut *locked(threads));
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of the trace store panicked");
        }
    }
}

impl Live {
    fn open(
        options: Options,
        run_records: u32,
        news: watch::Sender<u64>,
        intake: &Intake,
        purpose: Use,
    ) -> Result<(Arc<Self>, Vec<Mark>), OpenError> {
        let lock = super::open::take_lock(&options.dir, purpose)?;
        retention::sweep(&options.dir);
        tables::limit(options.cache_octets / 2);
        backup::sweep(&options.dir);
        let Loaded { journal, marks, report } = recover::load(&options.dir, intake.clock.now(), intake.salt)?;
        let index = Index::open(&options.dir, options.cache_octets / 2, &journal.days());
        let report = RecoveryReport { catalog_rebuilt: index.catalog_was_lost(), ..report };
        let live = Self {
            index,
            options,
            journal,
            indexer: Bell::default(),
            keeper: Bell::default(),
            written: Written::default(),
            under_way: UnderWay::default(),
            recovery: Recovery::begin(report),
            adoption: Adoption::default(),
            keeping: Mutex::default(),
            backing_up: Mutex::default(),
            run_records,
            news,
            syncer: Bell::default(),
            unsynced: Mutex::default(),
            tending: Mutex::default(),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        };
        Ok((Arc::new(live), marks))
    }

    fn start(self: &Arc<Self>, intake: &Arc<Intake>, marks: Vec<Mark>) {
        let indexer = Indexer::new(self.clone(), intake.appender(), intake.began, marks);
        self.spawn(&self.threads, "store-index", move |_| {
            stand_back(5);
            indexer.run();
        });
        self.spawn(&self.threads, "store-sync", |live| live.sync_now_and_then());
    }

    /// Starts the threads that add to the journal.
    pub fn tend(self: &Arc<Self>, intake: &Arc<Intake>, purpose: Use) {
        let keeper = Keeper::new(self.clone(), intake.appender());
        if purpose == Use::Serving {
            self.spawn(&self.tending, "store-keep", move |_| {
                stand_back(10);
                keeper.run();
            });
        }
        let adopter = Adopter::new(self.clone(), intake.appender(), intake.salt);
        self.spawn(&self.tending, "store-adopt", move |_| adopter.run());
    }

    fn spawn(self: &Arc<Self>, among: &Mutex<Vec<JoinHandle<()>>>, name: &str, work: impl FnOnce(Arc<Self>) + Send + 'static) {
        let live = self.clone();
        match std::thread::Builder::new().name(name.to_owned()).spawn(move || work(live)) {
            Ok(thread) => locked(among).push(thread),
            Err(error) => tracing::error!(%error, thread = name, "a thread of the trace store could not be started"),
        }
    }

    /// Ends the threads that add to the journal, for now or for good.
    pub fn end_tending(&self) {
        self.keeper.close();
        self.adoption.bell.close();
        join(&self.tending);
    }

    /// Starts them again.
    pub fn tend_again(self: &Arc<Self>, intake: &Arc<Intake>) {
        self.keeper.open();
        self.adoption.bell.open();
        self.tend(intake, Use::Serving);
    }

    fn close(&self) {
        self.end_tending();
        self.indexer.close();
        self.syncer.close();
        join(&self.threads);
    }

    /// Where the next record will stand.
    pub fn end(&self) -> Option<Cursor> {
        self.journal.end()
    }

    pub fn note_written(&self, log: &Arc<Log>, octets: u64) {
        self.written.octets.fetch_add(octets, Ordering::Relaxed);
        self.written.batches.fetch_add(1, Ordering::Relaxed);
        if log.needs_sync() {
            locked(&self.unsynced).push(log.clone());
            self.syncer.ring();
        }
    }

    /// The sync thread: a slow disk delays it, and nobody else.
    fn sync_now_and_then(self: Arc<Self>) {
        let pause = self.options.sync_every.max(Duration::from_millis(1));
        loop {
            // At the end, what was retired within the last pause is still to be synced.
            let goes_on = self.syncer.wait() && self.syncer.rest(pause);
            for log in std::mem::take(&mut *locked(&self.unsynced)) {
                log.look_for_name();
                if self.options.durability == Durability::Synced {
                    log.looked_at();
                    continue;
                }
                self.written.syncs.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = log.sync() {
                    tracing::error!(%error, file = %log.path.display(), "the journal could not be synced: a power cut would lose records");
                }
            }
            if !goes_on {
                return;
            }
        }
    }
}
