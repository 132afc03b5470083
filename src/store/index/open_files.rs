//! Run files that are open, as many as the budget allows: the one used last stays longest.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::file::{NoRun, RunFile};
use super::writer::RunMeta;
use crate::store::day::Day;
use crate::store::locks::locked;

/// Descriptors are scarcer than memory.
const MOST: usize = 256;

#[derive(Debug)]
pub struct OpenFiles {
    budget: usize,
    /// In the order of their use.
    files: Mutex<Vec<(Key, Arc<RunFile>)>>,
}

/// A run's day, first record and tag.
type Key = (Day, u32, u32);

impl OpenFiles {
    /// `octets`: what their directories may take in memory.
    pub fn new(octets: u64) -> Self {
        Self { budget: usize::try_from(octets).unwrap_or(usize::MAX), files: Mutex::default() }
    }

    /// The file of a run, opened at its path if it isn't.
    pub fn file(&self, day: Day, run: &RunMeta, path: impl FnOnce() -> PathBuf) -> Result<Arc<RunFile>, NoRun> {
        let key = (day, run.first, run.tag);
        let mut files = locked(&self.files);
        if let Some(at) = files.iter().rposition(|(of, _)| *of == key) {
            let entry = files.remove(at);
            let file = entry.1.clone();
            files.push(entry);
            return Ok(file);
        }
        drop(files);
        let file = Arc::new(RunFile::open(&path())?);
        let mut files = locked(&self.files);
        files.push((key, file.clone()));
        let mut weight: usize = files.iter().map(|(_, file)| file.weight()).sum();
        while (weight > self.budget || files.len() > MOST) && files.len() > 1 {
            weight -= files.remove(0).1.weight();
        }
        Ok(file)
    }

    /// Closes the files of a day.
    pub fn forget(&self, day: Day) {
        locked(&self.files).retain(|((of, ..), _)| *of != day);
    }
}
