//! The effective configurations of the last starts, kept in the store's directory by their digests: what audit records name can be read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::replace::{OWNER, Outlives, replace};

/// Within the store's directory.
const DIR: &str = "configs";
/// Configurations that are kept; the oldest give way.
const MOST: usize = 20;
/// Octets of one that is read.
const LONGEST: u64 = 4 << 20;

/// Keeps a configuration, which holds no secret. The one that was kept before is touched, so that it counts as the newest.
///
/// # Errors
/// The directory can't be written to.
pub fn keep(store: &Path, digest: &str, text: &str) -> io::Result<()> {
    let dir = store.join(DIR);
    fs::create_dir_all(&dir)?;
    let path = file(store, digest).ok_or(io::ErrorKind::InvalidInput)?;
    replace(&path, text.as_bytes(), OWNER, Outlives::Half)?;
    thin(&dir)
}

/// The configuration with that digest, if it is still there.
pub fn read(store: &Path, digest: &str) -> Option<String> {
    let path = file(store, digest)?;
    let fits = fs::metadata(&path).is_ok_and(|found| found.len() <= LONGEST);
    fits.then(|| fs::read_to_string(path).ok()).flatten()
}

/// Digests come out of records, which may come from elsewhere: nothing but hexadecimal digits goes into a path.
fn file(store: &Path, digest: &str) -> Option<PathBuf> {
    let is_digest = !digest.is_empty() && digest.len() <= 64 && digest.bytes().all(|octet| octet.is_ascii_hexdigit());
    is_digest.then(|| store.join(DIR).join(format!("{digest}.toml")))
}

fn thin(dir: &Path) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            kept.push((fs::metadata(&path)?.modified()?, path));
        }
    }
    kept.sort();
    let many = kept.len().saturating_sub(MOST);
    kept.into_iter().take(many).try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept_and_nothing_else_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..MOST + 5 {
            keep(dir.path(), &format!("{number:016x}"), &format!("workers = {number}\n")).unwrap();
        }
        let files = fs::read_dir(dir.path().join(DIR)).unwrap().count();
        assert_eq!(files, MOST);
        assert_eq!(read(dir.path(), &format!("{:016x}", MOST + 4)).unwrap(), format!("workers = {}\n", MOST + 4));
        assert_eq!(read(dir.path(), "0000000000000000x"), None);
        assert_eq!(read(dir.path(), "../../etc/passwd"), None);
        assert!(keep(dir.path(), "../x", "").is_err());
    }
}
