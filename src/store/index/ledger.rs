//! Keeps the catalog, on a thread of its own: sled has been seen to wait for ever when it is closed after a failed write, and nobody may
//! wait with it. What a change that is lost would have said, the run files say themselves at the next start.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::catalog::{self, Catalog, CatalogError};
use super::writer::RunMeta;
use crate::store::day::Day;
use crate::store::locks::locked;

/// Changes that may wait.
const WAITING: usize = 4096;
/// How long the end of the store waits for the last of them.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Ledger {
    changes: Mutex<Option<SyncSender<Change>>>,
    /// Ends when the thread does.
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug)]
enum Change {
    /// A run, and the first numbers of those that it stands for.
    Put(Day, RunMeta, Vec<u32>),
    /// The runs of a day from that number on.
    Forget(Day, u32),
}

/// What the catalog said when it was opened.
#[derive(Debug, Default)]
pub struct Noted {
    pub runs: Vec<(Day, RunMeta)>,
    /// It was broken, and begun anew.
    pub was_lost: bool,
}

impl Ledger {
    pub fn open(store_dir: &Path) -> (Self, Noted) {
        let (catalog, noted) = open(store_dir);
        let (changes, waiting) = sync_channel(WAITING);
        let (alive, ended) = sync_channel(0);
        let dir = store_dir.to_owned();
        let keep = move || {
            keep(&dir, catalog, &waiting);
            drop(alive);
        };
        if let Err(error) = std::thread::Builder::new().name("store-catalog".to_owned()).spawn(keep) {
            tracing::warn!(%error, "the thread that keeps the catalog of the index could not be started");
        }
        (Self { changes: Mutex::new(Some(changes)), ended: Mutex::new(ended) }, noted)
    }

    pub fn put(&self, day: Day, run: RunMeta, instead_of: Vec<u32>) {
        self.change(Change::Put(day, run, instead_of));
    }

    pub fn forget(&self, day: Day, from: u32) {
        self.change(Change::Forget(day, from));
    }

    fn change(&self, change: Change) {
        if let Some(changes) = locked(&self.changes).as_ref() {
            // Full: sled is stuck. The run files will do.
            let _ = changes.try_send(change);
        }
    }
}

impl Ledger {
    /// Writes what waits and closes the catalog, so that another process can open it.
    pub fn close(&self) {
        drop(locked(&self.changes).take());
        if locked(&self.ended).recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("the catalog of the index doesn't close; it is left as it is");
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}

fn keep(dir: &Path, mut catalog: Option<Catalog>, changes: &Receiver<Change>) {
    for change in changes {
        if catalog.is_none() {
            catalog = Catalog::open(dir).ok();
        }
        let done = catalog.as_ref().map(|catalog| match &change {
            Change::Put(day, run, instead_of) => catalog.put(*day, run, instead_of),
            Change::Forget(day, from) => catalog.forget(*day, *from),
        });
        if let Some(Err(error)) = done {
            tracing::warn!(%error, "the catalog of the index can't be written; the next start reads the run files instead");
            // Sled refuses everything after an error until it is opened anew.
            catalog = None;
        }
    }
}

/// The catalog and what is in it; no catalog if it can't be opened at present.
fn open(store_dir: &Path) -> (Option<Catalog>, Noted) {
    let opened = Catalog::open(store_dir).and_then(|catalog| catalog.runs().map(|runs| (catalog, runs)));
    match opened {
        Ok((catalog, runs)) => (Some(catalog), Noted { runs, was_lost: false }),
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "the catalog of the index can't be opened at present: the run files are read instead");
            (None, Noted::default())
        }
        Err(error) => (begin_anew(store_dir, &error), Noted { runs: Vec::new(), was_lost: true }),
    }
}

fn begin_anew(store_dir: &Path, error: &CatalogError) -> Option<Catalog> {
    match catalog::move_aside(store_dir) {
        Ok(aside) => {
            let aside: PathBuf = aside;
            tracing::error!(%error, aside = %aside.display(), "the catalog of the index is broken: it was moved aside and is made anew from the run files");
            Catalog::open(store_dir).ok()
        }
        Err(aside) => {
            tracing::error!(%error, %aside, "the catalog of the index is broken and could not be moved aside");
            None
        }
    }
}
