//! A log that grows: read on at its end, through rotation, and from where it was left.

use std::collections::VecDeque;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::cursor::{self, Cursor};
use super::entry::Identified;
use super::format::Format;
use super::journal;
use super::lines::{Encoding, HEAD};
use super::reader::{Counts, Options, Reader, Unreadable};
use super::source::{self, PIECE, Source};

/// What stands before the place where reading goes on is read again so far back, to know the open queue ids. Nothing comes of it.
const WARM: u64 = 4 << 20;
/// Other files of the log that are looked at for the one that was being read.
const SIBLINGS: usize = 200;

/// Something that whoever runs the follower wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Read from there: 0 is the beginning.
    Began { path: PathBuf, at: u64 },
    /// The rest of a file that was rotated away meanwhile is read first.
    Rest { path: PathBuf, at: u64 },
    /// The file that was being read is nowhere: what it held behind that place is missed.
    Missed { at: u64 },
    /// Another file is in its place.
    Rotated { path: PathBuf },
    /// It was emptied where it stands.
    Truncated { path: PathBuf },
    /// There is no such file yet.
    Absent,
}

/// Follows one log: a path, or a pattern with one `*` in its last part, of which the newest file grows.
pub struct Follower {
    log: PathBuf,
    options: Options,
    reader: Reader,
    /// The file being read.
    current: Option<Open>,
    /// Files to be read before, oldest first.
    pending: VecDeque<(PathBuf, u64)>,
    /// What stood at the end of a reader's life.
    counts: Counts,
    buffer: Vec<u8>,
}

struct Open {
    path: PathBuf,
    source: Source,
    /// As it was when it was opened.
    device: u64,
    inode: u64,
    /// Octets of its content that were read.
    read: u64,
    /// Its first octets, as far as they were read.
    head: Vec<u8>,
    /// Another file has its place; whoever writes may not have noticed yet.
    is_left: bool,
}

impl Follower {
    /// Finds the place to go on, or begins at the beginning.
    ///
    /// # Errors
    /// What is there can't be read.
    pub fn start(log: &Path, options: Options, cursor: Option<Cursor>, news: &mut Vec<News>) -> io::Result<Self> {
        let reader = Reader::new(options.clone());
        let mut this = Self {
            log: log.to_owned(),
            options,
            reader,
            current: None,
            pending: VecDeque::new(),
            counts: Counts::default(),
            buffer: vec![0; PIECE],
        };
        let files = this.files()?;
        let found = cursor.as_ref().and_then(|cursor| position(&files, cursor));
        match (&cursor, found) {
            (Some(cursor), Some(at)) => {
                let rest = files.get(at..).unwrap_or_default();
                this.pending =
                    rest.iter().enumerate().map(|(index, path)| (path.clone(), if index == 0 { cursor.offset } else { 0 })).collect();
            }
            (Some(cursor), None) => {
                news.push(News::Missed { at: cursor.offset });
                this.pending = files.last().map(|path| (path.clone(), 0)).into_iter().collect();
            }
            (None, _) => this.pending = files.last().map(|path| (path.clone(), 0)).into_iter().collect(),
        }
        if this.pending.is_empty() {
            news.push(News::Absent);
        }
        this.open_next(news)?;
        Ok(this)
    }

    /// Reads what has come, a piece at most, and appends what it says; whether there may be more at once.
    ///
    /// # Errors
    /// The file can't be read. It can be tried again.
    pub fn read(&mut self, out: &mut Vec<Identified>, news: &mut Vec<News>) -> io::Result<bool> {
        let Some(current) = &mut self.current else {
            self.pending = self.files()?.last().map(|path| (path.clone(), 0)).into_iter().collect();
            self.open_next(news)?;
            return Ok(self.current.is_some());
        };
        let read = current.source.read(&mut self.buffer)?;
        if read > 0 {
            let octets = self.buffer.get(..read).unwrap_or_default();
            let wanted = cursor::HEAD.saturating_sub(current.head.len()).min(read);
            current.head.extend_from_slice(octets.get(..wanted).unwrap_or_default());
            current.read += read as u64;
            self.reader.feed(octets, out);
            return Ok(true);
        }
        if !self.pending.is_empty() {
            return self.next(out, news);
        }
        self.at_end(out, news)
    }

    /// Nothing more stands in the newest file: is it still that?
    fn at_end(&mut self, out: &mut Vec<Identified>, news: &mut Vec<News>) -> io::Result<bool> {
        let files = self.files()?;
        let Some(current) = &mut self.current else { return Ok(false) };
        let Some(newest) = files.last() else { return Ok(false) };
        let now = fs::metadata(newest)?;
        if !is_same(current, &now) {
            // Whoever wrote to the old one may not have ended yet: it has once the new one grows. Then one more look, later.
            if now.len() == 0 {
                return Ok(false);
            }
            if !std::mem::replace(&mut current.is_left, true) {
                return Ok(false);
            }
            news.push(News::Rotated { path: newest.clone() });
            self.pending.push_back((newest.clone(), 0));
            return self.next(out, news);
        }
        if now.len() < current.read && !current.source.is_gzip {
            news.push(News::Truncated { path: newest.clone() });
            // What was written between the last look and the emptying is in the copy, if there is one.
            let place = cursor_of(&self.log, current, self.reader.whole_until());
            let copy = position(files.get(..files.len() - 1).unwrap_or_default(), &place);
            if let Some(copy) = copy.and_then(|at| files.get(at)) {
                self.pending.push_back((copy.clone(), place.offset));
            }
            self.pending.push_back((newest.clone(), 0));
            return self.next(out, news);
        }
        Ok(false)
    }

    /// Ends the file at hand, its last line with it, and goes on with the next.
    fn next(&mut self, out: &mut Vec<Identified>, news: &mut Vec<News>) -> io::Result<bool> {
        let goes_on = self.pending.front().is_some_and(|(_, at)| *at > 0);
        if !goes_on {
            self.reader.finish(out);
        }
        self.current = None;
        self.open_next(news)?;
        Ok(true)
    }

    fn open_next(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        let Some((path, at)) = self.pending.pop_front() else { return Ok(()) };
        let options = Options { until: now(), turns: 0, ..self.options.clone() };
        let is_last = self.pending.is_empty();
        if at == 0 {
            self.reader.go_on(&Options { turns: source::turns(&path, 0)?, ..options });
        } else {
            self.warm_up(&path, at, options)?;
        }
        news.push(if is_last { News::Began { path: path.clone(), at } } else { News::Rest { path: path.clone(), at } });
        let source = Source::open(&path, at)?;
        let metadata = fs::metadata(&path)?;
        let head = if at == 0 { Vec::new() } else { source::head(&path, cursor::HEAD)? };
        self.current = Some(Open { path, source, device: metadata.dev(), inode: metadata.ino(), read: at, head, is_left: false });
        Ok(())
    }

    /// Makes a reader that knows what stands before a place.
    fn warm_up(&mut self, path: &Path, at: u64, options: Options) -> io::Result<()> {
        let first = source::head(path, PIECE)?;
        let (encoding, mark) = Encoding::of(first.get(..HEAD.min(first.len())).unwrap_or_default());
        let is_export = journal::is_export(&first);
        let is_wide = encoding != Encoding::Octets;
        let mut from = at.saturating_sub(WARM).max(mark as u64);
        if from > mark as u64 && !is_export && !is_wide {
            // From the next line's beginning on.
            let mut piece = Vec::new();
            Source::open(path, from)?.take(1 << 20).read_to_end(&mut piece)?;
            from = memchr::memchr(b'\n', &piece).map_or(at, |line| (from + line as u64 + 1).min(at));
        } else {
            from = mark as u64;
        }
        let turns = source::turns(path, from)?;
        let options = Options { from: Some((from, encoding)), turns, ..options };
        self.counts.add(&self.reader.counts());
        self.reader = if is_export { Reader::of_export(options, from) } else { Reader::new(options) };
        if self.options.format == Format::Exchange {
            self.reader.prime(&String::from_utf8_lossy(&first));
        }
        let mut before = Source::open(path, from)?.take(at - from);
        let mut dropped = Vec::new();
        loop {
            let read = before.read(&mut self.buffer)?;
            if read == 0 {
                break;
            }
            self.reader.feed(self.buffer.get(..read).unwrap_or_default(), &mut dropped);
            dropped.clear();
        }
        self.reader.forget_counts();
        Ok(())
    }

    /// The place up to which all entries were given: keep it once they are stored.
    pub fn cursor(&self) -> Option<Cursor> {
        self.current.as_ref().map(|current| cursor_of(&self.log, current, self.reader.whole_until()))
    }

    pub fn counts(&self) -> Counts {
        let mut counts = self.counts.clone();
        counts.add(&self.reader.counts());
        counts
    }

    /// The first lines of the file at hand that could not be read, and its name.
    pub fn unreadable(&mut self) -> Vec<(PathBuf, Unreadable)> {
        let path = self.current.as_ref().map_or_else(|| self.log.clone(), |current| current.path.clone());
        self.reader.take_unreadable().into_iter().map(|line| (path.clone(), line)).collect()
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        files(&self.log)
    }
}

/// The file of a log, or of a pattern, that grows.
///
/// # Errors
/// Its folder can't be read.
pub fn newest(log: &Path) -> io::Result<Option<PathBuf>> {
    Ok(files(log)?.pop())
}

/// The files of the log, the one that grows last.
fn files(log: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = log.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let pattern = name.split_once('*');
    let (start, end) = pattern.unwrap_or((&name, ""));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let fits = file.len() >= start.len() + end.len() && file.starts_with(start) && file.ends_with(end);
        if fits && entry.path().is_file() {
            let modified = entry.metadata()?.modified().unwrap_or(UNIX_EPOCH);
            let grows = pattern.is_none() && file == name;
            files.push((grows, modified, entry.path()));
        }
    }
    files.sort();
    if pattern.is_none() && files.last().is_some_and(|(grows, _, _)| !grows) {
        // Only rotated ones: the log itself is yet to come.
        files.clear();
    }
    let skip = files.len().saturating_sub(SIBLINGS);
    Ok(files.into_iter().skip(skip).map(|(_, _, path)| path).collect())
}

/// The newest of the files that has the content in which the cursor stands.
fn position(files: &[PathBuf], cursor: &Cursor) -> Option<usize> {
    let is_long_enough = |path: &Path| {
        let gzip = source::head(path, 2).is_ok() && path.extension().is_some_and(|it| it == "gz");
        gzip || fs::metadata(path).is_ok_and(|it| it.len() >= cursor.offset)
    };
    let fits = |path: &PathBuf| cursor.is_of(path).unwrap_or(false) && is_long_enough(path);
    let is_itself = |path: &PathBuf| fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (cursor.device, cursor.inode));
    // An empty beginning is every file's.
    let by_content = || files.iter().rposition(|path| cursor.head_octets > 0 && fits(path));
    files.iter().rposition(|path| is_itself(path) && fits(path)).or_else(by_content)
}

fn cursor_of(log: &Path, current: &Open, offset: u64) -> Cursor {
    let (head_octets, head) = (current.head.len(), cursor::digest(&current.head));
    Cursor { path: log.to_owned(), device: current.device, inode: current.inode, head_octets, head, offset }
}

fn is_same(current: &Open, now: &Metadata) -> bool {
    (current.device, current.inode) == (now.dev(), now.ino())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX))
}
