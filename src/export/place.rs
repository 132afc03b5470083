//! Up to where a receiver has everything: one small file a sink, `STORE/export/NAME.json`, kept when the sink is no longer configured.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::replace::{ANYBODY, Outlives, replace};
use crate::store::Cursor;
use crate::trace::WallMicros;

/// Where a sink stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub at: Cursor,
    /// Records that were made before are not sent: somebody set the sink back to that time.
    pub since: Option<WallMicros>,
    /// When that was written.
    pub written_at: WallMicros,
}

/// Why a place can't be used.
#[derive(Debug, Error)]
pub enum NotAPlace {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path} is no place of an export: {why}")]
    Form { path: String, why: String },
}

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since_us: Option<WallMicros>,
    written_at_us: WallMicros,
}

fn dir_of(store: &Path) -> PathBuf {
    store.join("export")
}

fn file_of(store: &Path, name: &str) -> PathBuf {
    dir_of(store).join(format!("{name}.json"))
}

impl Place {
    /// What was written for a sink of that name; `None` if it never had a place.
    ///
    /// # Errors
    /// There is one that can't be read.
    pub fn read(store: &Path, name: &str) -> Result<Option<Self>, NotAPlace> {
        let file = file_of(store, name);
        let path = || file.display().to_string();
        let octets = match std::fs::read(&file) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(NotAPlace::Io { path: path(), source }),
        };
        let form = |why: String| NotAPlace::Form { path: path(), why };
        let written: Written = serde_json::from_slice(&octets).map_err(|error| form(error.to_string()))?;
        let at = written.at.parse().map_err(|error| form(format!("{error}")))?;
        Ok(Some(Self { at, since: written.since_us, written_at: written.written_at_us }))
    }

    /// Puts it in the place of what was written before.
    ///
    /// # Errors
    /// It can't be written; the older one stays.
    pub fn write(&self, store: &Path, name: &str) -> io::Result<()> {
        self.put(store, name, Outlives::Half)
    }

    /// The same, and it outlives a power cut.
    ///
    /// # Errors
    /// It can't be written; the older one stays.
    pub fn write_synced(&self, store: &Path, name: &str) -> io::Result<()> {
        self.put(store, name, Outlives::PowerCut)
    }

    /// Not every file system writes the octets before the new name, and an empty file would be no place at all.
    fn put(&self, store: &Path, name: &str, outlives: Outlives) -> io::Result<()> {
        let written = Written { at: self.at.to_string(), since_us: self.since, written_at_us: self.written_at };
        let octets = serde_json::to_vec(&written).map_err(io::Error::other)?;
        std::fs::create_dir_all(dir_of(store))?;
        replace(&file_of(store, name), &octets, ANYBODY, outlives)
    }

    /// Forgets it: a sink of that name begins anew.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn forget(store: &Path, name: &str) -> io::Result<()> {
        std::fs::remove_file(file_of(store, name))
    }
}

/// Names of all sinks that ever had a place in the store, in order.
pub fn known_places(store: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir_of(store)).into_iter().flatten().flatten();
    let name = |path: PathBuf| (path.extension()? == "json").then(|| path.file_stem()?.to_str().map(str::to_owned))?;
    let mut names: Vec<String> = entries.filter_map(|entry| name(entry.path())).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Place::read(dir.path(), "siem").unwrap(), None);
        let place = Place { at: "2026-11-23.17".parse().unwrap(), since: Some(7), written_at: 9 };
        place.write(dir.path(), "siem").unwrap();
        Place { since: None, ..place.clone() }.write(dir.path(), "archive").unwrap();
        assert_eq!(Place::read(dir.path(), "siem").unwrap(), Some(place));
        assert_eq!(known_places(dir.path()), ["archive", "siem"]);
        Place::forget(dir.path(), "siem").unwrap();
        assert_eq!(known_places(dir.path()), ["archive"]);
    }

    #[test]
    fn a_damaged_place_is_told_and_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("export")).unwrap();
        for text in ["", "{}", r#"{"at":"yesterday","written_at_us":1}"#, r#"{"at":"2026-11-23.1","written_at_us":1,"x":2}"#] {
            std::fs::write(dir.path().join("export/siem.json"), text).unwrap();
            let error = Place::read(dir.path(), "siem").unwrap_err().to_string();
            assert!(error.contains("siem.json"), "{error}");
        }
    }
}
