//! What the watch knows, in one file beside the store: where it stands in the journal, and what is usual. Lost, it is learned anew.
//!
//! `magic "rscopean" | crc32c u32 of what follows | version u8 | postcard of (cursor, parts)`

use std::io;
use std::path::{Path, PathBuf};

use crate::replace::{ANYBODY, Outlives, replace};
use crate::store::Cursor;

const MAGIC: &[u8; 8] = b"rscopean";
const VERSION: u8 = 1;

/// What outlives the process.
#[derive(Debug, PartialEq)]
pub(super) struct State {
    pub at: Cursor,
    /// Of each detector, and of the book, by name.
    pub parts: Vec<(String, Vec<u8>)>,
}

fn file(dir: &Path) -> PathBuf {
    dir.join("anomaly.state")
}

impl State {
    /// What an earlier process wrote, if that can be read.
    pub fn read(dir: &Path) -> Option<Self> {
        let path = file(dir);
        let octets = match std::fs::read(&path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "what is usual can't be read: it is learned anew from the journal");
                return None;
            }
        };
        let state = Self::decode(&octets);
        if state.is_none() {
            tracing::warn!(file = %path.display(), "what is usual is damaged, or of another relayscope: it is learned anew from the journal");
        }
        state
    }

    fn decode(octets: &[u8]) -> Option<Self> {
        let rest = octets.strip_prefix(MAGIC)?;
        let (sum, rest) = rest.split_first_chunk::<4>()?;
        let (version, body) = rest.split_first()?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*sum) || *version != VERSION {
            return None;
        }
        let (at, parts): (String, Vec<(String, Vec<u8>)>) = postcard::from_bytes(body).ok()?;
        Some(Self { at: at.parse().ok()?, parts })
    }

    /// Puts it in the place of what was written before.
    ///
    /// # Errors
    /// It can't be written; the older one stays.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let rest = postcard::to_extend(&(self.at.to_string(), &self.parts), vec![VERSION]).map_err(io::Error::other)?;
        let octets = [MAGIC, crc32c::crc32c(&rest).to_le_bytes().as_slice(), &rest].concat();
        replace(&file(dir), &octets, ANYBODY, Outlives::Process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(State::read(dir.path()), None);
        let state = State { at: "2026-11-23.17".parse().unwrap(), parts: vec![("volume".to_owned(), vec![1, 2, 3])] };
        state.write(dir.path()).unwrap();
        let octets = std::fs::read(file(dir.path())).unwrap();
        assert_eq!(State::read(dir.path()).as_ref(), Some(&state));
        for at in 0..octets.len() {
            let mut damaged = octets.clone();
            damaged[at] ^= 1;
            assert_eq!(State::decode(&damaged), None, "octet {at}");
            assert_eq!(State::decode(&octets[..at]), None, "cut at {at}");
        }
    }
}
