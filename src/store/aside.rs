//! A store that can't be written is asked through a directory beside it: a backup on a read-only mount, the store of another user.
//!
//! What doesn't change any more is linked to, what may have a torn end is copied: nothing is written where the store lies.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use super::open::OpenError;
use super::{drain, order, recover, staging};

/// Whether a store that can't be opened for this reason can be asked all the same.
pub(super) fn is_unwritable(error: &OpenError) -> bool {
    matches!(error, OpenError::Io { error, .. } if matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied))
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
    let drained = drain::files(&dir).map_err(OpenError::io(&dir))?.into_iter().map(|(path, _)| path);
    for path in drained.chain([dir.join(order::NAME)]) {
        let Some(name) = path.file_name() else { continue };
        match copy(&path, &scratch.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(OpenError::io(&path)(error)),
            _ => {}
        }
    }
    // What a dead process had staged is found where it lies.
    if let Ok(staged) = fs::read_link(dir.join(staging::LINK)) {
        symlink(staged, scratch.join(staging::LINK)).map_err(OpenError::io(scratch))?;
    }
    Ok(())
}

/// A copy that can be written, whatever the permissions there.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    io::copy(&mut fs::File::open(from)?, &mut fs::File::create_new(to)?).map(drop)
}
