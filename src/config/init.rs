//! The file with every option explained, and how to write it out.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// `config/relayscope.toml` as it is shipped.
pub const TEMPLATE: &str = include_str!("../../config/relayscope.toml");

/// Why the file was not written.
#[derive(Debug, Error)]
pub enum InitError {
    #[error("{}: exists already, and is left as it is: name another path, or move it away", .path.display())]
    Exists { path: PathBuf },
    #[error("{}: cannot be written: {source}", .path.display())]
    Unwritable { path: PathBuf, source: io::Error },
}

/// Writes the template to a file that doesn't exist yet, with its directory.
pub fn init(path: &Path) -> Result<(), InitError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists { path: path.to_owned() },
        _ => InitError::Unwritable { path: path.to_owned(), source },
    };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(fail)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(fail)?;
    file.write_all(TEMPLATE.as_bytes()).map_err(fail)
}
