//! Small files that are replaced as a whole: whoever reads one finds what stood there before or what stands there now, and never half of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What a power cut may undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlives {
    /// Anything: on some file systems the file is empty then, and its reader begins anew.
    Process,
    /// The replacement as such: the old or the new octets are there.
    Half,
    /// Nothing.
    PowerCut,
}

/// The mode of files that hold no secret; what the process masks is taken away.
pub const ANYBODY: u32 = 0o666;
/// The mode of files that are their owner's alone.
pub const OWNER: u32 = 0o600;
/// The mode of files that their owner's group may read as well.
pub const GROUP: u32 = 0o640;

/// Puts octets in the place of the file at `path`, which has that mode from its first octet on.
///
/// # Errors
/// The file can't be written or renamed; the older one stays, and no draft of the new one.
pub fn replace(path: &Path, octets: &[u8], mode: u32, outlives: Outlives) -> io::Result<()> {
    let draft = draft_of(path);
    let placed = write(&draft, octets, mode, outlives).and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        let _ = fs::remove_file(&draft); // the first error is the one to tell
    }
    placed?;
    match path.parent().filter(|_| outlives == Outlives::PowerCut) {
        Some(dir) if dir.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Each process has its own: at a hand-over two of them write the same files.
fn draft_of(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".new.{}", std::process::id()));
    PathBuf::from(draft)
}

fn write(draft: &Path, octets: &[u8], mode: u32, outlives: Outlives) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(draft)?;
    file.write_all(octets)?;
    if outlives == Outlives::Process { Ok(()) } else { file.sync_all() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        for (octets, outlives) in [("one", Outlives::Process), ("two", Outlives::Half), ("three", Outlives::PowerCut)] {
            replace(&path, octets.as_bytes(), OWNER, outlives).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), octets);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, OWNER);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn where_that_fails_everything_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        // A directory that isn't empty is replaced by no file.
        let path = dir.path().join("taken");
        fs::create_dir_all(path.join("by")).unwrap();
        assert!(replace(&path, b"x", ANYBODY, Outlives::Process).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("absent/state"), b"x", ANYBODY, Outlives::PowerCut).is_err());
    }
}
