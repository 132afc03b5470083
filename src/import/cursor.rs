//! How far a log that is followed has been read, kept in a small file of the store's directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source;

/// Octets of a file that tell it from others.
pub const HEAD: usize = 1_024;
/// In the store's directory.
const FOLDER: &str = "imports";

/// A place in a file that may be renamed, copied or compressed meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// What was asked to be followed.
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    /// How many of the file's first octets `head` is the BLAKE3 of.
    pub head_octets: usize,
    pub head: String,
    /// Of the content: all before it is in the store.
    pub offset: u64,
}

impl Cursor {
    /// Whether that file has the content that this one had.
    ///
    /// # Errors
    /// It can't be read.
    pub fn is_of(&self, path: &Path) -> io::Result<bool> {
        let head = source::head(path, self.head_octets)?;
        Ok(head.len() == self.head_octets && digest(&head) == self.head)
    }

    /// Where the cursor of a log is kept.
    pub fn file(store: &Path, log: &Path) -> PathBuf {
        let name: String = log
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' })
            .take(80)
            .collect();
        let hash = digest(log.as_os_str().as_encoded_bytes());
        store.join(FOLDER).join(format!("{name}-{}.json", hash.get(..8).unwrap_or_default()))
    }

    /// The cursor that was kept, if one was.
    ///
    /// # Errors
    /// There is one, and it can't be read.
    pub fn load(file: &Path) -> io::Result<Option<Self>> {
        match fs::read(file) {
            Ok(octets) => serde_json::from_slice(&octets).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps it, whole or not at all.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = file.with_extension("new");
        fs::write(&new, serde_json::to_vec(self).map_err(io::Error::other)?)?;
        fs::rename(&new, file)
    }
}

/// The BLAKE3 of a file's first octets.
pub fn digest(octets: &[u8]) -> String {
    blake3::hash(octets).to_hex().to_string()
}
