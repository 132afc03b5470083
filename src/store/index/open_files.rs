//! Run files that are open, as many as the budget allows: the one used last stays longest.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::file::{NoRun, RunFile};
use crate::store::locks::locked;

/// Descriptors are scarcer than memory.
const MOST: usize = 256;

#[derive(Debug)]
pub struct OpenFiles {
    budget: usize,
    /// In the order of their use.
    files: Mutex<Vec<(PathBuf, Arc<RunFile>)>>,
}

impl OpenFiles {
    /// `octets`: what their directories may take in memory.
    pub fn new(octets: u64) -> Self {
        Self { budget: usize::try_from(octets).unwrap_or(usize::MAX), files: Mutex::default() }
    }

    pub fn file(&self, path: &Path) -> Result<Arc<RunFile>, NoRun> {
        let mut files = locked(&self.files);
        if let Some(at) = files.iter().rposition(|(of, _)| of == path) {
            let entry = files.remove(at);
            let file = entry.1.clone();
            files.push(entry);
            return Ok(file);
        }
        drop(files);
        let file = Arc::new(RunFile::open(path)?);
        let mut files = locked(&self.files);
        files.push((path.to_owned(), file.clone()));
        let mut weight: usize = files.iter().map(|(_, file)| file.weight()).sum();
        while (weight > self.budget || files.len() > MOST) && files.len() > 1 {
            weight -= files.remove(0).1.weight();
        }
        Ok(file)
    }

    /// Closes the files below a directory.
    pub fn forget(&self, dir: &Path) {
        locked(&self.files).retain(|(path, _)| !path.starts_with(dir));
    }
}
