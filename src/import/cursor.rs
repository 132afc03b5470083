//! How far a log that is followed has been read, kept in a small file of the store's directory.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source;
use crate::replace::{ANYBODY, Outlives, replace};

/// Octets of a file that tell it from others.
pub const HEAD: usize = 1_024;
/// In the store's directory.
const FOLDER: &str = "imports";

/// The first octets of a file, as far as they were read: what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub octets: usize,
    /// Their BLAKE3.
    digest: String,
}

impl Head {
    pub fn of(octets: &[u8]) -> Self {
        Self { octets: octets.len(), digest: digest(octets) }
    }

    /// Whether the content of that file begins so. Every file begins with nothing.
    fn is_of(&self, path: &Path) -> bool {
        source::head(path, self.octets).is_ok_and(|head| head.len() == self.octets && digest(&head) == self.digest)
    }
}

/// A place in a file that may be renamed, copied or compressed meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// What was asked to be followed.
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    pub head: Head,
    /// Of the content: all before it is in the store.
    pub offset: u64,
    /// The file that was read before, of which something was known.
    pub before: Option<Head>,
}

impl Cursor {
    /// Which of the files has the content in which the cursor stands, the oldest first.
    pub fn position(&self, files: &[PathBuf]) -> Option<usize> {
        let is_itself = |path: &PathBuf| fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (self.device, self.inode));
        if self.head.octets > 0 {
            let fits = |path: &PathBuf| self.head.is_of(path) && self.is_long_enough(path);
            return files.iter().rposition(|path| is_itself(path) && fits(path)).or_else(|| files.iter().rposition(fits));
        }
        // Nothing had been read of it: it is the one behind the file before.
        let behind = self.before.as_ref().and_then(|before| files.iter().rposition(|path| before.is_of(path))).map(|at| at + 1);
        behind.filter(|at| *at < files.len()).or_else(|| files.iter().rposition(is_itself))
    }

    /// What is compressed says its length at its end only.
    fn is_long_enough(&self, path: &Path) -> bool {
        source::is_packed(path) || fs::metadata(path).is_ok_and(|it| it.len() >= self.offset)
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
        replace(file, &serde_json::to_vec(self).map_err(io::Error::other)?, ANYBODY, Outlives::Half)
    }
}

fn digest(octets: &[u8]) -> String {
    blake3::hash(octets).to_hex().to_string()
}
