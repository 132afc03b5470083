//! The local token: who can read the store's directory, its owner and that one's group, can ask over TCP, as on `api.sock`.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::replace::{GROUP, Outlives, replace};

/// In the store's directory.
pub const TOKEN_FILE: &str = "api.token";
/// Shorter ones are guessed, not read.
const SHORTEST: usize = 16;

/// Only its digest is kept: nothing can print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(blake3::Hash);

#[derive(Debug, Error)]
pub enum TokenError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{path}: others can read it (mode {mode:03o}): chmod 640 {path}")]
    Open { path: PathBuf, mode: u32 },
    #[error("{path}: the token is shorter than {SHORTEST} characters: remove the file, a new one is made")]
    Short { path: PathBuf },
}

impl Token {
    pub fn new(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()))
    }

    /// Whether that is the token; the comparison takes the same time for all that aren't.
    pub fn is(&self, text: &str) -> bool {
        self.0 == blake3::hash(text.as_bytes())
    }

    /// Reads the store's token, or makes one where there is none, or an empty file that a full disk or power cut left.
    ///
    /// # Errors
    /// The file can't be read or made, or others can read it.
    pub fn of_store(dir: &Path) -> Result<Self, TokenError> {
        let path = dir.join(TOKEN_FILE);
        let refuse = |error| TokenError::Io { path: path.clone(), error };
        let is_missing = match fs::symlink_metadata(&path) {
            Ok(file) => file.is_file() && file.len() == 0,
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(refuse(error)),
        };
        if is_missing {
            let text = random().map_err(refuse)?;
            replace(&path, format!("{text}\n").as_bytes(), GROUP, Outlives::PowerCut).map_err(refuse)?;
        }
        read_token(&path).map(|text| Self::new(&text))
    }
}

/// The text of a token file that not everybody can read: its group may, as of other secrets (root:relayscope 0640).
///
/// # Errors
/// It can't be read, others can read it, or it is too short.
pub fn read_token(path: &Path) -> Result<String, TokenError> {
    let refuse = |error| TokenError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(refuse)?;
    let mode = file.metadata().map_err(refuse)?.mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(TokenError::Open { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(4_096).read_to_string(&mut text).map_err(refuse)?;
    let text = text.trim();
    if text.len() < SHORTEST { Err(TokenError::Short { path: path.to_owned() }) } else { Ok(text.to_owned()) }
}

fn random() -> io::Result<String> {
    let mut octets = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let made = Token::of_store(dir.path()).unwrap();
        assert_eq!(Token::of_store(dir.path()).unwrap(), made);
        let path = dir.path().join(TOKEN_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        let text = read_token(&path).unwrap();
        assert!(made.is(&text) && !made.is("x") && !format!("{made:?}").contains(&text));

        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(Token::of_store(dir.path()).unwrap(), made);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(Token::of_store(dir.path()), Err(TokenError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn a_token_that_a_full_disk_left_empty_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(TOKEN_FILE);
        std::fs::write(&path, "").unwrap();
        let made = Token::of_store(dir.path()).unwrap();
        assert!(made.is(&read_token(&path).unwrap()));
        assert_eq!(Token::of_store(dir.path()).unwrap(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

        // One that somebody wrote is theirs.
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Token::of_store(dir.path()), Err(TokenError::Short { .. })));
    }
}
