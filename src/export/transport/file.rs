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
        self.append().map_err(|error| Failure::passing(format!("{}: {error}", self.options.path.display())))?;
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
            Some((file, _)) => {
                file.sync_data()?;
                open(path)?
            }
            None => open(path)?,
        };
        if octets > 0 && octets + self.lines.len() as u64 > self.options.rotate {
            file.sync_data()?;
            drop(file);
            turn_over(path, self.options.keep)?;
            self.open = None;
            return self.append();
        }
        if let Err(error) = file.write_all(&self.lines) {
            let _ = file.set_len(octets);
            return Err(error);
        }
        self.open = Some((file, octets + self.lines.len() as u64));
        Ok(())
    }
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
