//! The stored runs of each day: what the catalog says, checked against what lies there at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use super::catalog::{self, Catalog, CatalogError};
use super::file::read_footer;
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
    /// `None`: it can't be opened at present.
    catalog: Mutex<Option<Catalog>>,
    /// In order and side by side, from the first record of each day on.
    runs: RwLock<BTreeMap<Day, Vec<Arc<RunMeta>>>>,
    merged: Mutex<Vec<(Instant, PathBuf)>>,
    lost: BTreeSet<Day>,
    catalog_was_lost: bool,
}

impl Shelf {
    /// Finds the runs of the days of a journal that are in order; what else lies there is removed.
    pub fn open(store_dir: &Path, days: &[Arc<DayJournal>]) -> Self {
        let (catalog, catalog_was_lost) = open_catalog(store_dir);
        let noted = catalog.as_ref().and_then(|catalog| catalog.runs().ok()).unwrap_or_default();
        let mut shelf = Self {
            store_dir: store_dir.to_owned(),
            catalog: Mutex::new(catalog),
            runs: RwLock::default(),
            merged: Mutex::default(),
            lost: BTreeSet::new(),
            catalog_was_lost,
        };
        let mut by_day: BTreeMap<Day, Vec<RunMeta>> = BTreeMap::new();
        noted.into_iter().for_each(|(day, run)| by_day.entry(day).or_default().push(run));
        for day in days {
            shelf.take_in(day, by_day.remove(&day.day));
        }
        // Days that were removed while the catalog couldn't be written.
        by_day.keys().for_each(|&day| shelf.note(|catalog| catalog.forget(day, 0)));
        shelf
    }

    fn take_in(&mut self, day: &DayJournal, noted: Option<Vec<RunMeta>>) {
        remove_unfinished(&self.store_dir, day.day);
        let files = run_files(&self.store_dir, day.day);
        let is_noted = noted.is_some();
        // A catalog that knows nothing of the day was lost: the files speak for themselves.
        let runs =
            noted.unwrap_or_else(|| files.iter().filter_map(|(path, ..)| Some(read_footer(&File::open(path).ok()?).ok()?.meta)).collect());
        let all = runs.len();
        let is_sound = |run: &RunMeta| {
            run.damage == day.damage()
                && run.end() <= day.end()
                && files.iter().any(|&(_, first, end)| (first, end) == (run.first, run.end()))
        };
        let runs = in_order(runs, is_sound, |from, until| day.is_hole(from..until));
        let until = runs.last().map_or(0, RunMeta::end);
        if is_noted && runs.len() < all || !is_noted && until < files.iter().map(|file| file.2).max().unwrap_or(0) {
            self.lost.insert(day.day);
            self.note(|catalog| catalog.forget(day.day, until));
        }
        for (path, first, end) in &files {
            if !runs.iter().any(|run| (run.first, run.end()) == (*first, *end)) {
                let _ = fs::remove_file(path);
            }
        }
        if !is_noted {
            runs.iter().for_each(|run| self.note(|catalog| catalog.put(day.day, run, &[])));
        }
        writing(&self.runs).insert(day.day, runs.into_iter().map(Arc::new).collect());
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
        self.note(|catalog| catalog.put(day, &run, &firsts));
        let merged = instead_of.iter().map(|run| (Instant::now(), run_path(&self.store_dir, day, run.first, run.end())));
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
        self.note(|catalog| catalog.forget(day, gone.first().map_or(from, |run| run.first)));
        for run in gone {
            let _ = fs::remove_file(run_path(&self.store_dir, day, run.first, run.end()));
        }
    }

    pub fn forget(&self, day: Day) {
        writing(&self.runs).remove(&day);
        self.note(|catalog| catalog.forget(day, 0));
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

    /// Changes the catalog. It only says what the files say: a failure costs the next start some time, and nothing else.
    fn note(&self, change: impl Fn(&Catalog) -> Result<(), CatalogError>) {
        let mut catalog = locked(&self.catalog);
        if catalog.is_none() {
            *catalog = Catalog::open(&self.store_dir).ok();
            // It missed what was changed meanwhile.
            if let Some(opened) = catalog.as_ref().filter(|opened| self.write_all(opened).is_ok()) {
                let _ = change(opened);
                return;
            }
        }
        if let Some(Err(error)) = catalog.as_ref().map(change) {
            tracing::warn!(%error, "the catalog of the index can't be written; it is tried again with the next run");
            // Sled refuses everything after an error until it is opened anew.
            *catalog = None;
        }
    }

    fn write_all(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        let all = reading(&self.runs);
        for (&day, runs) in all.iter() {
            catalog.forget(day, 0)?;
            runs.iter().try_for_each(|run| catalog.put(day, run, &[]))?;
        }
        Ok(())
    }
}

/// The catalog, or `None` if it can't be opened at present; and whether it was broken and begun anew.
fn open_catalog(store_dir: &Path) -> (Option<Catalog>, bool) {
    let opened = Catalog::open(store_dir).and_then(|catalog| catalog.runs().map(|_| catalog));
    match opened {
        Ok(catalog) => (Some(catalog), false),
        Err(error) if error.is_passing() => {
            tracing::warn!(%error, "the catalog of the index can't be opened at present: the run files are asked themselves");
            (None, false)
        }
        Err(error) => match catalog::move_aside(store_dir) {
            Ok(aside) => {
                tracing::error!(%error, aside = %aside.display(), "the catalog of the index is broken: it was moved aside and is made anew from the run files");
                (Catalog::open(store_dir).ok(), true)
            }
            Err(aside) => {
                tracing::error!(%error, %aside, "the catalog of the index is broken and could not be moved aside");
                (None, true)
            }
        },
    }
}

/// Run files of a day, with the numbers in their names.
pub fn run_files(store_dir: &Path, day: Day) -> Vec<(PathBuf, u32, u32)> {
    let named = |path: PathBuf| {
        let (first, end) = path.file_name()?.to_str()?.strip_suffix(".run")?.split_once('-')?;
        let (first, end) = (first.parse().ok()?, end.parse().ok()?);
        Some((path, first, end))
    };
    let Ok(entries) = fs::read_dir(dir(store_dir, day)) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| named(entry.ok()?.path())).collect();
    files.sort_by_key(|&(_, first, end)| (first, std::cmp::Reverse(end)));
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
