//! The demo's own directory: samples never come among true traces.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Says of a directory that a demo made it.
const MARK: &str = "demo";
const WORDS: &str = "This is a store of `relayscope demo`: its traces are samples. It can be removed as a whole.\n";

/// Takes the directory for a demo: one that isn't there, an empty one, or one that a demo took before.
pub(super) fn claim(dir: &Path) -> Result<(), String> {
    let shown = dir.display();
    let told = |error: io::Error| format!("{shown}: {error}");
    let mark = dir.join(MARK);
    if mark.is_file() {
        return Ok(());
    }
    let is_empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(told(error)),
    };
    if !is_empty {
        return Err(format!(
            "{shown} is neither empty nor of a demo: samples would stand among what is there. Name another directory with --store DIR"
        ));
    }
    fs::create_dir_all(dir).and_then(|()| fs::write(&mark, WORDS)).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_into_a_directory_of_their_own_only() {
        let dir = tempfile::tempdir().unwrap();
        claim(dir.path()).unwrap();
        claim(dir.path()).unwrap();
        let fresh = dir.path().join("deep/down");
        claim(&fresh).unwrap();
        assert!(fresh.join(MARK).is_file());
        let real = tempfile::tempdir().unwrap();
        fs::create_dir(real.path().join("2026-11-23")).unwrap();
        let why = claim(real.path()).unwrap_err();
        assert!(why.contains("neither empty nor of a demo"), "{why}");
        assert!(!real.path().join(MARK).exists());
        let file = real.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(claim(&file).is_err());
    }
}
