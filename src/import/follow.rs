//! A log that grows: read on at its end, through rotation, and from where it was left.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::slice;
use std::time::{SystemTime, UNIX_EPOCH};

use super::cursor::{self, Cursor, Head};
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

/// How the names of files end that may be packed in a way that isn't read.
const PACKED: [&str; 6] = ["bz2", "lz", "lz4", "Z", "zip", "7z"];

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
    /// A file that was to be read is nowhere any more: what it held is missed.
    Gone { path: PathBuf },
    /// A file of the log that was rotated away meanwhile is packed in a way that isn't read: what it held is missed. With the reason.
    Packed { path: PathBuf, why: String },
    /// A file that was read to its end, and left for a newer one, grows: what is added is missed. Told once.
    Returned { path: PathBuf },
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
    /// Files to be read next, oldest first.
    pending: VecDeque<Waiting>,
    /// The one read before.
    before: Option<Head>,
    /// Of a pattern: the files that were read to their ends.
    done: VecDeque<Cursor>,
    /// That one of them grows was told.
    is_return_told: bool,
    /// What stood at the end of a reader's life.
    counts: Counts,
    buffer: Vec<u8>,
}

/// A file to be read, known by what it holds: it may be renamed or compressed before its turn comes.
struct Waiting {
    /// What it was called.
    path: PathBuf,
    place: Cursor,
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
    /// All was read when it was last looked at.
    is_idle: bool,
    /// To look at its beginning; `None` if it can't change.
    probe: Option<File>,
}

impl Open {
    fn cursor(&self, log: &Path, offset: u64, before: &Option<Head>) -> Cursor {
        let (path, head) = (log.to_owned(), Head::of(&self.head));
        Cursor { path, device: self.device, inode: self.inode, head, offset, before: before.clone() }
    }

    /// Whether something else stands now where octets were read.
    fn is_emptied(&self) -> io::Result<bool> {
        let Some(probe) = &self.probe else { return Ok(false) };
        if probe.metadata()?.len() < self.read {
            return Ok(true);
        }
        let mut head = vec![0; self.head.len()];
        Ok(probe.read_exact_at(&mut head, 0).is_err() || head != self.head)
    }
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
            before: cursor.as_ref().and_then(|it| it.before.clone()),
            done: VecDeque::new(),
            is_return_told: false,
            counts: Counts::default(),
            buffer: vec![0; PIECE],
        };
        let mut files = this.files()?;
        let found = cursor.as_ref().and_then(|cursor| cursor.position(&files));
        let (rest, offset) = match (&cursor, found) {
            (Some(cursor), Some(at)) => {
                let rest = files.split_off(at);
                let modified = rest.first().and_then(|path| fs::metadata(path).ok()).and_then(|it| it.modified().ok());
                tell_packed(log, modified, news)?;
                (rest, cursor.offset)
            }
            (Some(cursor), None) => {
                news.push(News::Missed { at: cursor.offset });
                (files.pop().into_iter().collect(), 0)
            }
            (None, _) => (files.pop().into_iter().collect(), 0),
        };
        this.wait_for(rest, offset)?;
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
            if self.pending.is_empty() {
                let newest = self.files()?.pop();
                self.wait_for(newest.into_iter().collect(), 0)?;
            }
            self.open_next(news)?;
            return Ok(self.current.is_some());
        };
        if std::mem::take(&mut current.is_idle) && current.is_emptied()? {
            return self.start_over(out, news);
        }
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
        let Some(newest) = files.last().cloned() else { return Ok(false) };
        let now = fs::metadata(&newest)?;
        if is_same(current, &now) {
            current.is_idle = true;
            return Ok(false);
        }
        // Whoever wrote to the old one may not have ended yet: it has once the new one grows. Then one more look, later.
        if now.len() == 0 {
            return Ok(false);
        }
        // It may have been rotated more than once.
        let place = current.cursor(&self.log, self.reader.whole_until(), &self.before);
        let behind = place.position(&files).map_or(files.len() - 1, |at| (at + 1).min(files.len() - 1));
        let is_done = |path: &PathBuf| self.done.iter().any(|it| it.position(slice::from_ref(path)).is_some());
        let rest: Vec<PathBuf> = files.into_iter().skip(behind).filter(|path| !is_done(path)).collect();
        if rest.is_empty() {
            current.is_idle = true;
            let grows = self.done.iter().any(|it| it.offset < now.len() && it.position(slice::from_ref(&newest)).is_some());
            if grows && !std::mem::replace(&mut self.is_return_told, true) {
                news.push(News::Returned { path: newest });
            }
            return Ok(false);
        }
        if !std::mem::replace(&mut current.is_left, true) {
            return Ok(false);
        }
        let modified = current.probe.as_ref().and_then(|it| it.metadata().ok()).and_then(|it| it.modified().ok());
        tell_packed(&self.log, modified, news)?;
        self.wait_for(rest, 0)?;
        news.push(News::Rotated { path: newest });
        self.next(out, news)
    }

    /// The file was emptied where it stands: what was written between the last look and then is in the copy, if there is one.
    fn start_over(&mut self, out: &mut Vec<Identified>, news: &mut Vec<News>) -> io::Result<bool> {
        let mut files = self.files()?;
        let Some(current) = &self.current else { return Ok(false) };
        let emptied = News::Truncated { path: current.path.clone() };
        let place = current.cursor(&self.log, self.reader.whole_until(), &self.before);
        let before = files.get(..files.len().saturating_sub(1)).unwrap_or_default();
        match place.position(before) {
            Some(copy) => self.wait_for(files.split_off(copy), place.offset)?,
            None => self.wait_for(files.pop().into_iter().collect(), 0)?,
        }
        news.push(emptied);
        self.next(out, news)
    }

    /// Has files read, the oldest first: all of them or, with an error, none. The first from an offset on, the others from their beginnings.
    fn wait_for(&mut self, files: Vec<PathBuf>, offset: u64) -> io::Result<()> {
        let of_current = self.current.as_ref().map(|it| Head::of(&it.head)).filter(|head| head.octets > 0);
        let mut before = of_current.or_else(|| self.before.clone());
        let mut waiting = Vec::with_capacity(files.len());
        for (index, path) in files.into_iter().enumerate() {
            let looked_at = fs::metadata(&path).and_then(|it| Ok((it, source::head(&path, cursor::HEAD)?)));
            let (metadata, head) = looked_at.map_err(|error| named(&path, &error))?;
            let (head, offset) = (Head::of(&head), if index == 0 { offset } else { 0 });
            let next = Some(&head).filter(|head| head.octets > 0).cloned().or_else(|| before.clone());
            let place = Cursor { path: self.log.clone(), device: metadata.dev(), inode: metadata.ino(), head, offset, before };
            waiting.push(Waiting { path, place });
            before = next;
        }
        self.pending.extend(waiting);
        Ok(())
    }

    /// Ends the file at hand, its last line with it, and goes on with the next.
    fn next(&mut self, out: &mut Vec<Identified>, news: &mut Vec<News>) -> io::Result<bool> {
        let goes_on = self.pending.front().is_some_and(|next| next.place.offset > 0);
        if !goes_on {
            self.reader.finish(out);
        }
        if let Some(done) = self.current.take().filter(|done| !done.head.is_empty()) {
            self.before = Some(Head::of(&done.head));
            if is_pattern(&self.log) {
                self.done.push_back(done.cursor(&self.log, done.read, &None));
                self.done.drain(..self.done.len().saturating_sub(SIBLINGS));
            }
        }
        self.open_next(news)?;
        Ok(true)
    }

    /// Opens the next file that waits; it goes on waiting if it can't be opened.
    fn open_next(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        while let Some(next) = self.pending.front() {
            let (files, at) = (siblings(&self.log)?, next.place.offset);
            if let Some(path) = next.place.position(&files).and_then(|found| files.into_iter().nth(found)) {
                let open = self.open(&path, at).map_err(|error| named(&path, &error))?;
                self.current = Some(open);
                self.pending.pop_front();
                news.push(if self.pending.is_empty() { News::Began { path, at } } else { News::Rest { path, at } });
                return Ok(());
            }
            // One that was empty is no loss.
            if next.place.head.octets > 0 {
                news.push(News::Gone { path: next.path.clone() });
            }
            self.pending.pop_front();
        }
        Ok(())
    }

    /// Opens a file, and has the reader go on there. Nothing has changed if that fails.
    fn open(&mut self, path: &Path, at: u64) -> io::Result<Open> {
        // What is open stays the same file, however it is called by the time that the rest is read.
        let source = Source::open(path, at)?;
        let metadata = fs::metadata(path)?;
        let head = source::head(path, cursor::HEAD.min(usize::try_from(at).unwrap_or(usize::MAX)))?;
        let probe = if source.is_packed { None } else { Some(File::open(path)?) };
        let dates = source::dates(path, &self.options)?.or(self.reader.date_order());
        let options = Options { until: now(), turns: 0, dates, ..self.options.clone() };
        if at == 0 {
            self.reader.go_on(&Options { turns: source::turns(path, 0)?, ..options });
        } else {
            let warm = self.warm_up(path, at, options)?;
            self.counts.add(&std::mem::replace(&mut self.reader, warm).counts());
        }
        let (device, inode) = (metadata.dev(), metadata.ino());
        Ok(Open { path: path.to_owned(), source, device, inode, read: at, head, is_left: false, is_idle: false, probe })
    }

    /// Makes a reader that knows what stands before a place.
    fn warm_up(&mut self, path: &Path, at: u64, options: Options) -> io::Result<Reader> {
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
        let mut reader = if is_export { Reader::of_export(options, from) } else { Reader::new(options) };
        if self.options.format == Format::Exchange {
            reader.prime(&String::from_utf8_lossy(&first));
        }
        let mut before = Source::open(path, from)?.take(at - from);
        let mut dropped = Vec::new();
        loop {
            let read = before.read(&mut self.buffer)?;
            if read == 0 {
                break;
            }
            reader.feed(self.buffer.get(..read).unwrap_or_default(), &mut dropped);
            dropped.clear();
        }
        reader.forget_counts();
        Ok(reader)
    }

    /// The place up to which all entries were given: keep it once they are stored.
    pub fn cursor(&self) -> Option<Cursor> {
        self.current.as_ref().map(|current| current.cursor(&self.log, self.reader.whole_until(), &self.before))
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

/// The files of the log, the one that grows last; none while there are only rotated ones, and the log itself is yet to come.
fn files(log: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = siblings(log)?;
    if !is_pattern(log) && files.last().is_some_and(|last| last.file_name() != log.file_name()) {
        files.clear();
    }
    Ok(files)
}

/// All that belong to the log and can be unpacked, the oldest first, and last the log itself.
fn siblings(log: &Path) -> io::Result<Vec<PathBuf>> {
    let files: Vec<_> = listed(log)?.into_iter().map(|(_, path)| path).filter(|path| packed(path).is_none()).collect();
    let skip = files.len().saturating_sub(SIBLINGS);
    Ok(files.into_iter().skip(skip).collect())
}

/// Tells files of the log that can't be unpacked, and were written to after the one that was being read.
fn tell_packed(log: &Path, since: Option<SystemTime>, news: &mut Vec<News>) -> io::Result<()> {
    let later = listed(log)?.into_iter().filter(|(modified, _)| since.is_some_and(|since| *modified > since));
    news.extend(later.filter_map(|(_, path)| packed(&path).map(|why| News::Packed { path, why })));
    Ok(())
}

/// Why a file can't be unpacked, if it is packed as its name says.
fn packed(path: &Path) -> Option<String> {
    path.extension().filter(|it| PACKED.iter().any(|name| it == name)).and_then(|_| source::not_unpacked(path))
}

/// All that belong to the log with the time of their last change, the oldest first, and last the log itself.
fn listed(log: &Path) -> io::Result<Vec<(SystemTime, PathBuf)>> {
    let folder = log.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = name_of(log);
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
    Ok(files.into_iter().map(|(_, modified, path)| (modified, path)).collect())
}

fn name_of(log: &Path) -> Cow<'_, str> {
    log.file_name().unwrap_or_default().to_string_lossy()
}

fn is_pattern(log: &Path) -> bool {
    name_of(log).contains('*')
}

/// Says which of the files it is.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn is_same(current: &Open, now: &Metadata) -> bool {
    (current.device, current.inode) == (now.dev(), now.ino())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX))
}
