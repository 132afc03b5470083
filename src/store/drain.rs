//! Where a process writes that has given its store away and still has sessions to end: a file of its own in `STORE/draining`.
//!
//! The file is a journal file as to its form; its records get their numbers when the store's new owner takes them in (`adopt`). The
//! lock on it says that more may come. A file that could not be written is left as it is and followed by another: whoever reads it must
//! never see octets change.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::cursor::Cursor;
use super::log::{HEADER, Log, LogHeader};
use super::private;
use super::seal::sync_dir;
use crate::trace::stored;

/// In the store's directory.
pub(super) const DIR: &str = "draining";
/// A file under another name until it is locked: nobody may take it for one whose process has died.
const UNFINISHED: &str = "new";
/// Octets of a file: offsets in it take 32 bits.
const LARGEST: u64 = 1 << 30;

/// The files of this process, of which the last is being written.
#[derive(Debug)]
pub(super) struct Drain {
    dir: PathBuf,
    named: Named,
    log: Log,
    /// A write failed: the next goes into another file.
    failed: bool,
}

/// What the name of a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// Where the journal ended when the store was given away: what is taken in stands there or later.
    pub from: Cursor,
    /// Of the process that writes it.
    pub salt: u32,
    pub file: u32,
}

impl Named {
    pub fn of(path: &Path) -> Option<Self> {
        let mut parts = path.file_name()?.to_str()?.strip_suffix(".log")?.rsplitn(3, '-');
        let (file, salt, from) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { from: from.parse().ok()?, salt: u32::from_str_radix(salt, 16).ok()?, file: file.parse().ok()? })
    }

    fn name(self) -> String {
        format!("{}-{:08x}-{}.log", self.from, self.salt, self.file)
    }
}

/// The files that lie there, in order.
pub(super) fn files(store_dir: &Path) -> io::Result<Vec<(PathBuf, Named)>> {
    let entries = match fs::read_dir(store_dir.join(DIR)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        files.extend(Named::of(&path).map(|named| (path, named)));
    }
    files.sort_by_key(|(_, named)| (named.from, named.salt, named.file));
    Ok(files)
}

impl Drain {
    pub fn begin(store_dir: &Path, from: Cursor, salt: u32) -> io::Result<Self> {
        let dir = store_dir.join(DIR);
        if !dir.is_dir() {
            private::make_dir(&dir)?;
            File::open(store_dir)?.sync_all()?;
        }
        let named = Named { from, salt, file: 1 };
        let (log, named) = start(&dir, named)?;
        Ok(Self { dir, named, log, failed: false })
    }

    pub fn path(&self) -> &Path {
        &self.log.path
    }

    /// Writes whole frames.
    pub fn write(&mut self, frames: &[u8], synced: bool) -> io::Result<()> {
        self.renew()?;
        let log = &self.log;
        let written = log.write(frames).and_then(|()| if synced { log.sync_now() } else { Ok(()) });
        match written {
            Ok(()) => log.publish(frames),
            Err(_) => self.failed = true,
        }
        written
    }

    /// Goes on with another file after a failure, or when this one is full. The one before keeps its lock until then: there is always one that tells that this
    /// process lives.
    fn renew(&mut self) -> io::Result<()> {
        if self.failed || self.log.end() >= LARGEST {
            let next = Named { file: self.named.file + 1, ..self.named };
            (self.log, self.named) = start(&self.dir, next)?;
            self.failed = false;
        }
        Ok(())
    }

    /// No more will come. One without records is taken away.
    pub fn end(self) -> io::Result<()> {
        if self.log.end() == HEADER as u64 && !self.failed {
            return fs::remove_file(&self.log.path);
        }
        self.log.sync()
    }
}

fn start(dir: &Path, mut named: Named) -> io::Result<(Log, Named)> {
    loop {
        let path = dir.join(named.name());
        let fresh = path.with_extension(UNFINISHED);
        // A store may be given away more than once, without a record in between.
        if path.exists() {
            named.file += 1;
            continue;
        }
        let _ = fs::remove_file(&fresh);
        let header = LogHeader { version: stored::VERSION, file: named.file, first: 0, salt: named.salt };
        let mut log = Log::create(fresh.clone(), header)?;
        let placed = log.lock().and_then(|()| fs::rename(&fresh, &path)).and_then(|()| sync_dir(&path));
        if let Err(error) = placed {
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
        log.path = path;
        return Ok((log, named));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back() {
        let named = Named { from: "2026-11-23.17".parse().unwrap(), salt: 0xab, file: 3 };
        assert_eq!(named.name(), "2026-11-23.17-000000ab-3.log");
        assert_eq!(Named::of(Path::new(&format!("/x/{}", named.name()))), Some(named));
        for name in ["000017.log", "2026-11-23.17-ab.log", "2026-11-23.17-000000ab-3.new", "2026-11-23.17-xx-3.log"] {
            assert_eq!(Named::of(Path::new(name)), None, "{name}");
        }
    }
}
