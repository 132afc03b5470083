//! Events as lines of a file that is turned over by size; older ones are numbered, and the oldest go.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Failure, Taken};
use crate::export::batch::Batch;
use crate::store::Cursor;

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    pub path: PathBuf,
    /// A file of so many octets is turned over.
    pub rotate: u64,
    /// Older files that stay: `NAME.1` is the newest of them.
    pub keep: u32,
}

/// A file that lines are appended to.
#[derive(Debug)]
pub struct File {
    options: Options,
    /// None that holds lines which aren't on the disk is let go.
    open: Option<(fs::File, u64)>,
    lines: Vec<u8>,
    /// Up to here everything is on the disk.
    safe: Cursor,
    /// Up to here everything is written.
    at: Cursor,
}

impl File {
    pub fn new(options: Options, at: Cursor) -> Self {
        Self { options, open: None, lines: Vec::new(), safe: at, at }
    }

    pub fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        self.lines.clear();
        for (_, octets) in batch.iter() {
            self.lines.extend_from_slice(octets);
            self.lines.push(b'\n');
        }
        let before = self.at;
        self.append().map_err(|error| {
            let failure = Failure::passing(format!("{}: {error}", self.options.path.display()));
            Failure { resume: (self.at != before).then_some(self.at), ..failure }
        })?;
        self.at = batch.after;
        Ok(Taken::default())
    }

    /// Nothing of the journal up to `after` is for this file.
    pub fn pass(&mut self, after: Cursor) {
        if self.safe == self.at {
            self.safe = after;
        }
        self.at = after;
    }

    /// Sees to it that what is written outlives a power cut.
    pub fn settle(&mut self) {
        if self.safe == self.at {
            return;
        }
        match self.open.as_ref().map_or(Ok(()), |(file, _)| file.sync_data()) {
            Ok(()) => self.safe = self.at,
            Err(error) => {
                tracing::warn!(file = %self.options.path.display(), %error, "an export can't be synced: after a power cut its last lines are sent again")
            }
        }
    }

    pub fn safe(&self) -> Cursor {
        self.safe
    }

    /// One write, so that a line is there whole or not at all; half of one is taken back.
    fn append(&mut self) -> io::Result<()> {
        let path = &self.options.path;
        // Somebody may have moved it away, or turned it over with a program of their own.
        let is_there = |file: &fs::File| is_same(file, path);
        let (mut file, octets) = match self.open.take() {
            Some((file, octets)) if is_there(&file) => (file, octets),
            // What stands in a file that was moved away must be on the disk as well before it counts.
            Some((moved, _)) => {
                if let Err(error) = moved.sync_data() {
                    // It can't be come by any more: its lines are sent again, into the file that is there.
                    self.at = self.safe;
                    return Err(error);
                }
                open(path)?
            }
            None => open(path)?,
        };
        if octets > 0 && octets + self.lines.len() as u64 > self.options.rotate {
            let_go(&mut self.open, (file, octets))?;
            turn_over(path, self.options.keep)?;
            return self.append();
        }
        if let Err(error) = file.write_all(&self.lines) {
            let _ = file.set_len(octets);
            let _ = let_go(&mut self.open, (file, octets));
            return Err(error);
        }
        self.open = Some((file, octets + self.lines.len() as u64));
        Ok(())
    }
}

/// Syncs a file and closes it; one that can't be synced stays open, to be synced later.
fn let_go(open: &mut Option<(fs::File, u64)>, (file, octets): (fs::File, u64)) -> io::Result<()> {
    let synced = file.sync_data();
    if synced.is_err() {
        *open = Some((file, octets));
    }
    synced
}

/// Opens it for its owner alone; what half a line a crash left is ended.
fn open(path: &Path) -> io::Result<(fs::File, u64)> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(path)?;
    let mut octets = file.metadata()?.len();
    if octets > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            octets += 1;
        }
    }
    Ok((file, octets))
}

fn is_same(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |it: fs::Metadata| (it.dev(), it.ino());
    file.metadata().ok().map(identity) == fs::metadata(path).ok().map(identity)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn turn_over(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, numbered(path, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_never_synced_are_not_safe() {
        let dir = tempfile::tempdir().unwrap();
        let at = |number: u32| format!("2026-11-27.{number}").parse::<Cursor>().unwrap();
        // /dev/full takes nothing and can't be synced: so does a disk that fails with lines in its file.
        for path in [PathBuf::from("/dev/full"), dir.path().join("moved")] {
            let open = Some((OpenOptions::new().append(true).open("/dev/full").unwrap(), 0));
            let options = Options { path, rotate: 1 << 20, keep: 1 };
            let mut file = File { options, open, lines: b"a line\n".to_vec(), safe: at(0), at: at(1) };
            assert!(file.append().is_err(), "{file:?}");
            file.settle();
            assert_eq!(file.safe(), at(0), "{file:?}");
            assert_eq!(
                file.open.is_none(),
                file.at == at(0),
                "a file that can't be come by is let go, and its lines are sent again: {file:?}"
            );
        }
    }

    #[test]
    fn a_file_that_was_synced_before_it_was_let_go_is_safe() {
        let dir = tempfile::tempdir().unwrap();
        let at = |number: u32| format!("2026-11-27.{number}").parse::<Cursor>().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "a line\n").unwrap();
        // Opened for reading, it takes nothing more.
        let open = Some((fs::File::open(&path).unwrap(), 7));
        let options = Options { path, rotate: 1 << 20, keep: 1 };
        let mut file = File { options, open, lines: b"another\n".to_vec(), safe: at(0), at: at(1) };
        assert!(file.append().is_err() && file.open.is_none());
        file.settle();
        assert_eq!(file.safe(), at(1));
    }
}
