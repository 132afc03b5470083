//! The stored runs of each day, as they were found at the start, and as they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use super::file::read_footer;
use super::ledger::Ledger;
use super::writer::RunMeta;
use super::{dir, run_path};
use crate::store::day::Day;
use crate::store::journal::DayJournal;
use crate::store::locks::{locked, reading, writing};

/// A search may still be about to open a file that was merged: it is removed later.
const LINGER: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Shelf {
    store_dir: PathBuf,
    ledger: Ledger,
    /// In order and side by side, from the first record of each day on.
    runs: RwLock<BTreeMap<Day, Vec<Arc<RunMeta>>>>,
    merged: Mutex<Vec<(Instant, PathBuf)>>,
    lost: BTreeSet<Day>,
    catalog_was_lost: bool,
}

impl Shelf {
    /// Finds the runs of the days of a journal that are in order; what else lies there is removed.
    pub fn open(store_dir: &Path, days: &[Arc<DayJournal>]) -> Self {
        let (ledger, noted) = Ledger::open(store_dir);
        let mut shelf = Self {
            store_dir: store_dir.to_owned(),
            ledger,
            runs: RwLock::default(),
            merged: Mutex::default(),
            lost: BTreeSet::new(),
            catalog_was_lost: noted.was_lost,
        };
        let mut by_day: BTreeMap<Day, Vec<RunMeta>> = BTreeMap::new();
        noted.runs.into_iter().for_each(|(day, run)| by_day.entry(day).or_default().push(run));
        for day in days {
            shelf.take_in(day, by_day.remove(&day.day).unwrap_or_default());
        }
        // Days that were removed while the catalog couldn't be written.
        by_day.keys().for_each(|&day| shelf.ledger.forget(day, 0));
        shelf
    }

    /// The files count; the catalog only spares reading what each says of itself.
    fn take_in(&mut self, day: &DayJournal, noted: Vec<RunMeta>) {
        remove_unfinished(&self.store_dir, day.day);
        let files = run_files(&self.store_dir, day.day);
        let of = |run: &RunMeta| (run.first, run.end(), run.tag);
        let known = |named: (u32, u32, u32)| noted.iter().find(|run| of(run) == named).cloned();
        let meta = |(path, named): &(PathBuf, (u32, u32, u32))| {
            known(*named).or_else(|| Some(read_footer(&File::open(path).ok()?).ok()?.meta).filter(|run| of(run) == *named))
        };
        let is_sound = |run: &RunMeta| run.damage == day.damage() && run.end() <= day.end();
        let runs = in_order(files.iter().filter_map(meta).collect(), is_sound, |from, until| day.is_hole(from..until));
        let until = runs.last().map_or(0, RunMeta::end);
        if noted.iter().any(|run| run.end() > until) || files.iter().any(|&(_, (_, end, _))| end > until) {
            self.lost.insert(day.day);
        }
        for (path, named) in &files {
            if !runs.iter().any(|run| of(run) == *named) {
                let _ = fs::remove_file(path);
            }
        }
        if runs != noted {
            self.ledger.forget(day.day, 0);
            runs.iter().for_each(|run| self.ledger.put(day.day, run.clone(), Vec::new()));
        }
        writing(&self.runs).insert(day.day, runs.into_iter().map(Arc::new).collect());
    }

    pub fn close(&self) {
        self.ledger.close();
    }

    pub fn days(&self) -> Vec<Day> {
        reading(&self.runs).keys().copied().collect()
    }

    pub fn runs(&self, day: Day) -> Vec<Arc<RunMeta>> {
        reading(&self.runs).get(&day).cloned().unwrap_or_default()
    }

    pub fn lost(&self) -> &BTreeSet<Day> {
        &self.lost
    }

    pub fn catalog_was_lost(&self) -> bool {
        self.catalog_was_lost
    }

    /// Puts a run in, in the place of others; false if those aren't there any more.
    pub fn put(&self, day: Day, run: RunMeta, instead_of: &[Arc<RunMeta>]) -> bool {
        let mut all = writing(&self.runs);
        let runs = all.entry(day).or_default();
        if !instead_of.iter().all(|gone| runs.iter().any(|run| Arc::ptr_eq(run, gone))) {
            return false;
        }
        runs.retain(|run| !instead_of.iter().any(|gone| Arc::ptr_eq(run, gone)));
        let at = runs.partition_point(|before| before.first < run.first);
        let run = Arc::new(run);
        runs.insert(at, run.clone());
        drop(all);
        let firsts: Vec<u32> = instead_of.iter().map(|run| run.first).collect();
        self.ledger.put(day, RunMeta::clone(&run), firsts);
        let merged = instead_of.iter().map(|run| (Instant::now(), run_path(&self.store_dir, day, run.first, run.end(), run.tag)));
        locked(&self.merged).extend(merged);
        true
    }

    /// Removes the runs of a day that reach beyond that number, and their files.
    pub fn cut(&self, day: Day, from: u32) {
        let gone: Vec<_> = match writing(&self.runs).get_mut(&day) {
            Some(runs) => {
                let kept = runs.iter().take_while(|run| run.end() <= from).count();
                runs.split_off(kept)
            }
            None => Vec::new(),
        };
        self.ledger.forget(day, gone.first().map_or(from, |run| run.first));
        for run in gone {
            let _ = fs::remove_file(run_path(&self.store_dir, day, run.first, run.end(), run.tag));
        }
    }

    pub fn forget(&self, day: Day) {
        writing(&self.runs).remove(&day);
        self.ledger.forget(day, 0);
    }

    /// Removes the files of runs that were merged a while ago.
    pub fn sweep(&self) {
        locked(&self.merged).retain(|(since, path)| {
            let waits = since.elapsed() < LINGER;
            if !waits {
                let _ = fs::remove_file(path);
            }
            waits
        });
    }
}

/// Run files of a day, and what their names say: the first number, the one after the last, and the tag.
pub fn run_files(store_dir: &Path, day: Day) -> Vec<(PathBuf, (u32, u32, u32))> {
    let named = |path: PathBuf| {
        let mut parts = path.file_name()?.to_str()?.strip_suffix(".run")?.split('-');
        let (first, end, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let named = (first.parse().ok()?, end.parse().ok()?, u32::from_str_radix(tag, 16).ok()?);
        Some((path, named))
    };
    let Ok(entries) = fs::read_dir(dir(store_dir, day)) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| named(entry.ok()?.path())).collect();
    files.sort_by_key(|&(_, (first, end, _))| (first, std::cmp::Reverse(end)));
    files
}

/// Removes what a dead process left unfinished.
fn remove_unfinished(store_dir: &Path, day: Day) {
    let Ok(entries) = fs::read_dir(dir(store_dir, day)) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == "unfinished") {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The runs that lie side by side from the first record on, but for numbers that the journal hasn't; of those that begin together, the
/// longest.
fn in_order(mut runs: Vec<RunMeta>, is_sound: impl Fn(&RunMeta) -> bool, is_hole: impl Fn(u32, u32) -> bool) -> Vec<RunMeta> {
    runs.sort_by_key(|run| (run.first, std::cmp::Reverse(run.span)));
    let mut kept: Vec<RunMeta> = Vec::new();
    for run in runs {
        let end = kept.last().map_or(0, RunMeta::end);
        if run.first >= end && is_hole(end, run.first) && run.span > 0 && is_sound(&run) {
            kept.push(run);
        }
    }
    kept
}
