//! A store that can't be written is asked through a directory beside it: a backup on a read-only mount, the store of another user.
//!
//! What doesn't change any more is linked to, what may have a torn end is copied: nothing is written where the store lies.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::open::OpenError;
use super::{drain, leftover, order, recover, staging};

/// Of the names of scratch directories; the process follows.
const PREFIX: &str = "relayscope-ask-";

/// Whether a store that can't be opened for this reason can be asked all the same.
pub(super) fn is_unwritable(error: &OpenError) -> bool {
    match error {
        OpenError::Io { error, .. } => matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied),
        OpenError::NotOurs { .. } => true,
        _ => false,
    }
}

/// Makes a store in `scratch`, which is there and empty, that has what the one in `dir` has.
///
/// # Errors
/// A file can't be read, or there is no room for the copies.
pub(super) fn lay_out(dir: &Path, scratch: &Path) -> Result<(), OpenError> {
    let dir = fs::canonicalize(dir).map_err(OpenError::io(dir))?;
    for day in recover::days(&dir)? {
        for part in ["journal", "index"] {
            let (from, to) = (dir.join(day.to_string()).join(part), scratch.join(day.to_string()).join(part));
            let entries = match fs::read_dir(&from) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries.map_err(OpenError::io(&from))?,
            };
            DirBuilder::new().recursive(true).mode(0o700).create(&to).map_err(OpenError::io(&to))?;
            for entry in entries {
                let path = entry.map_err(OpenError::io(&from))?.path();
                let Some(name) = path.file_name() else { continue };
                let is_log = path.extension().is_some_and(|extension| extension == "log");
                let placed = if is_log { copy(&path, &to.join(name)) } else { symlink(&path, to.join(name)) };
                placed.map_err(OpenError::io(&path))?;
            }
        }
    }
    let drained: Vec<PathBuf> = drain::files(&dir).map_err(OpenError::io(&dir))?.into_iter().map(|(path, _)| path).collect();
    if !drained.is_empty() {
        let to = scratch.join(drain::DIR);
        DirBuilder::new().mode(0o700).create(&to).map_err(OpenError::io(&to))?;
    }
    // What a dead process had staged is found where it lies; in a copy of a store it may lie beside.
    let staged = dir.join(staging::LINK);
    match fs::read_link(&staged) {
        Ok(target) => symlink(target, scratch.join(staging::LINK)).map_err(OpenError::io(scratch))?,
        Err(_) => copy_if_there(&staged, &scratch.join(staging::LINK))?,
    }
    copy_if_there(&dir.join(order::NAME), &scratch.join(order::NAME))?;
    drained.iter().try_for_each(|path| {
        let Ok(within) = path.strip_prefix(&dir) else { return Ok(()) };
        copy_if_there(path, &scratch.join(within))
    })
}

fn copy_if_there(from: &Path, to: &Path) -> Result<(), OpenError> {
    match copy(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(OpenError::io(from)(error)),
        _ => Ok(()),
    }
}

/// A directory for it, which goes with the process; those that killed processes left go with the next.
pub(super) fn scratch() -> io::Result<TempDir> {
    let all = std::env::temp_dir();
    for path in fs::read_dir(&all).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let pid = path.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        let is_ours = || fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir() && leftover::is_ours(&it));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) && is_ours() {
            let _ = fs::remove_dir_all(&path);
        }
    }
    tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir()
}

/// A copy that can be written, whatever the permissions there.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    io::copy(&mut fs::File::open(from)?, &mut fs::File::create_new(to)?).map(drop)
}
