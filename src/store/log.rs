//! An active journal file: frames as they came.
//!
//! The writer appends at the end it knows and publishes the new end; readers never look beyond it. What a dead process left
//! behind is scanned once at start: a torn tail is cut off; damage with whole frames after it is stepped over and kept.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Instant;

use super::batch::{Batch, Dialogue, Part, Slot};
use super::descriptor::Descriptor;
use super::frame::{self, Frame, NoFrame};
use super::locks::{locked, reading, writing};
use super::marks::{OpenMarks, tells_more};
use super::private;
use super::resume::next_frame;
use super::segment::passes;
use super::unreadable::Unreadable;
use crate::trace::{RecordId, RecordKind, stored};

const MAGIC: &[u8; 8] = b"rscopelg";
/// Version of the file format, apart from that of the records in it.
const FORMAT: u16 = 1;
pub(super) const HEADER: usize = 32;
/// Octets of frames that one read brings in, unless a single frame is longer.
const READ_OCTETS: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogHeader {
    /// Version of the stored form of the records.
    pub version: u16,
    /// Number of the file within its day.
    pub file: u32,
    /// Number, within the day, of the file's first record.
    pub first: u32,
    pub salt: u32,
}

/// Why a file isn't an active journal file that this build reads.
#[derive(Debug, thiserror::Error)]
pub enum NoLog {
    #[error("it is shorter than its header")]
    Short,
    #[error("its header is damaged")]
    Header,
    #[error("its format is {found}; this build reads {FORMAT}: use a newer relayscope")]
    Format { found: u16 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Octets that are no frame, with whole frames after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    pub offset: u64,
    pub octets: u64,
    pub what: String,
}

#[derive(Debug)]
pub(super) struct Log {
    pub path: PathBuf,
    pub header: LogHeader,
    /// `None`: opened for each read. There may be many that can't be sealed, and descriptors are wanted for mail.
    file: Option<File>,
    extent: RwLock<Extent>,
    /// Stands for the damage found in it; 0: none.
    pub damage: u64,
    /// Nothing will be appended any more.
    finished: AtomicBool,
    /// Found to have lost its name: writes to a removed file succeed, and are lost.
    gone: AtomicBool,
    /// A sync failed: what follows had better go elsewhere.
    unsound: AtomicBool,
    /// Written to since the last sync began.
    unsynced: AtomicBool,
    unreadable: Mutex<Unreadable>,
}

#[derive(Debug, Clone, Default)]
struct Extent {
    /// Where each record's frame begins. Marks have no number: they are of use only until their record comes.
    starts: Vec<u32>,
    /// Where the last whole frame ends.
    end: u64,
}

/// What a scan found out.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub starts: Vec<u32>,
    pub end: u64,
    pub damage: Vec<Damage>,
    /// Octets after the last whole frame.
    pub torn: u64,
    pub torn_why: Option<NoFrame>,
    pub kinds: [u64; RecordKind::ALL.len()],
    /// Transactions, and marks that none of them follows: id and where the mark's octets are.
    pub transactions: HashSet<RecordId>,
    pub open_marks: BTreeMap<RecordId, Range<usize>>,
}

impl LogHeader {
    fn encode(&self) -> [u8; HEADER] {
        let mut octets = [0; HEADER];
        octets[..8].copy_from_slice(MAGIC);
        octets[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        octets[10..12].copy_from_slice(&self.version.to_le_bytes());
        octets[12..16].copy_from_slice(&self.file.to_le_bytes());
        octets[16..20].copy_from_slice(&self.first.to_le_bytes());
        octets[20..24].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32c::crc32c(&octets[..28]);
        octets[28..].copy_from_slice(&checksum.to_le_bytes());
        octets
    }

    pub fn decode(octets: &[u8]) -> Result<Self, NoLog> {
        let octets: &[u8; HEADER] = octets.first_chunk().ok_or(NoLog::Short)?;
        let u16_at = |at: usize| u16::from_le_bytes([octets[at], octets[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
        if &octets[..8] != MAGIC || u32_at(28) != crc32c::crc32c(&octets[..28]) {
            return Err(NoLog::Header);
        }
        match u16_at(8) {
            FORMAT => Ok(Self { version: u16_at(10), file: u32_at(12), first: u32_at(16), salt: u32_at(20) }),
            found => Err(NoLog::Format { found }),
        }
    }
}

impl Log {
    /// Makes a new file. Its name is durable when this returns.
    pub fn create(path: PathBuf, header: LogHeader) -> io::Result<Self> {
        let handle = private::for_writing().read(true).create_new(true).open(&path)?;
        let named = || path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all());
        if let Err(error) = handle.write_all_at(&header.encode(), 0).and_then(|()| named()) {
            // A full disk, or one that answers with errors: leave no file behind for each attempt.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        let extent = Extent { starts: Vec::new(), end: HEADER as u64 };
        Ok(Self::with(path, header, handle, extent, 0, false))
    }

    /// Opens what another process left, and finds its frames. Changes nothing.
    pub fn open(path: PathBuf, marks: &mut OpenMarks) -> Result<(Self, Scan), NoLog> {
        let octets = std::fs::read(&path)?;
        let header = LogHeader::decode(&octets)?;
        let mut scan = scan(&path, header.salt, &octets);
        marks.note(header.version, header.salt, &octets, &scan);
        drop(octets);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => File::open(&path)?,
            opened => opened?,
        };
        let extent = Extent { starts: std::mem::take(&mut scan.starts), end: scan.end };
        let damage = scan.damage.iter().fold(0, |sum, damage| sum * 31 + damage.offset * 7 + damage.octets);
        Ok((Self::with(path, header, file, extent, damage, true), scan))
    }

    fn with(path: PathBuf, header: LogHeader, file: File, extent: Extent, damage: u64, finished: bool) -> Self {
        let flag = AtomicBool::new;
        Self {
            path,
            header,
            file: Some(file),
            extent: RwLock::new(extent),
            damage,
            finished: flag(finished),
            gone: flag(false),
            unsound: flag(false),
            unsynced: flag(false),
            unreadable: Mutex::default(),
        }
    }

    /// The same finished file, without a descriptor.
    pub fn closed(&self) -> Self {
        let flag = |flag: &AtomicBool| AtomicBool::new(flag.load(Ordering::Acquire));
        Self {
            path: self.path.clone(),
            header: self.header,
            file: None,
            extent: RwLock::new(reading(&self.extent).clone()),
            damage: self.damage,
            finished: flag(&self.finished),
            gone: flag(&self.gone),
            unsound: flag(&self.unsound),
            unsynced: flag(&self.unsynced),
            unreadable: Mutex::default(),
        }
    }

    /// Whether it has no descriptor: it can be read as long as it has its name.
    pub fn is_closed(&self) -> bool {
        self.file.is_none()
    }

    /// Whether nothing of it can be read any more: somebody removed it, and it has no descriptor.
    pub fn is_lost(&self) -> bool {
        self.is_closed() && std::fs::metadata(&self.path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    fn file(&self) -> io::Result<Descriptor<'_>> {
        match &self.file {
            Some(file) => Ok(Descriptor::Kept(file)),
            None => File::open(&self.path).map(Descriptor::Opened),
        }
    }

    /// Writes whole frames at the end. Nobody reads them before [`Log::publish`].
    pub fn write(&self, frames: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(frames, self.end())
    }

    /// Makes frames readable that [`Log::write`] has written.
    pub fn publish(&self, frames: &[u8]) {
        let mut extent = writing(&self.extent);
        let mut at = 0;
        while let Some((kind, length)) = frames.get(at..).and_then(frame::own) {
            let start = extent.end + at as u64;
            if kind != RecordKind::Mark as u8 {
                extent.starts.push(start as u32);
            }
            at += length;
        }
        extent.end += frames.len() as u64;
    }

    /// Takes back octets that were written, at least in part, but not published.
    pub fn cut_to_end(&self) -> io::Result<()> {
        self.file()?.set_len(self.end())
    }

    pub fn sync(&self) -> io::Result<()> {
        self.unsynced.store(false, Ordering::SeqCst);
        self.sync_now()
    }

    /// The same, by the writer itself: the sync thread still looks after the file now and then.
    pub fn sync_now(&self) -> io::Result<()> {
        let file = match self.file() {
            // It is sealed by now, and was synced then.
            Err(error) if self.is_closed() && error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        sync_data(&file, &self.path).inspect_err(|_| self.unsound.store(true, Ordering::Release))
    }

    /// Held until the file is closed: it says that more may come.
    pub fn lock(&self) -> io::Result<()> {
        Ok(self.file()?.try_lock()?)
    }

    pub fn is_unsound(&self) -> bool {
        self.unsound.load(Ordering::Acquire)
    }

    /// Notes that there is something to sync; true if that is news.
    pub fn needs_sync(&self) -> bool {
        !self.unsynced.swap(true, Ordering::SeqCst)
    }

    /// Notes that the sync thread has looked, and that nothing is to be synced.
    pub fn looked_at(&self) {
        self.unsynced.store(false, Ordering::SeqCst);
    }

    /// Asks the file system whether the file still has its name.
    pub fn look_for_name(&self) {
        let linked = self.file().and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.nlink() > 0);
        self.gone.store(!linked, Ordering::Release);
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    pub fn end(&self) -> u64 {
        reading(&self.extent).end
    }

    /// Whether nothing was ever written to it.
    pub fn is_empty(&self) -> bool {
        self.end() == HEADER as u64
    }

    /// How many records can be read.
    pub fn records(&self) -> u32 {
        reading(&self.extent).starts.len() as u32
    }

    /// Records from `index` on, as many as one read brings in; empty beyond the end.
    pub fn read(&self, index: u32, most: u32, part: Part) -> io::Result<Batch> {
        self.read_at(index, most, part, Instant::now())
    }

    /// The same at that time. What can't be read for a minute, between others that can, is left out: whoever goes through the journal must
    /// get behind it.
    pub(super) fn read_at(&self, index: u32, most: u32, part: Part, now: Instant) -> io::Result<Batch> {
        let number = self.header.first.saturating_add(index);
        let (starts, end) = {
            let extent = reading(&self.extent);
            let from = index as usize;
            let Some(&start) = extent.starts.get(from) else {
                return Ok(Batch::empty(number..number));
            };
            let after = extent.starts[from..].partition_point(|&at| (at - start) as usize <= READ_OCTETS);
            let count = after.clamp(1, (most as usize).max(1));
            let end = extent.starts.get(from + count).map_or(extent.end, |&at| u64::from(at));
            (extent.starts[from..from + count].to_vec(), end)
        };
        let start = u64::from(starts.first().copied().unwrap_or_default());
        let mut octets = vec![0; end.saturating_sub(start) as usize];
        let file = match self.file() {
            Err(_) if self.is_lost() => return Ok(Batch::empty(number..self.header.first.saturating_add(self.records()))),
            file => file?,
        };
        if let Err(error) = file.read_exact_at(&mut octets, start) {
            if passes(&error) || !locked(&self.unreadable).is_hopeless(index, now) {
                return Err(error);
            }
            let ends = starts.iter().skip(1).map(|&at| u64::from(at)).chain([end]);
            let mut lost = 0;
            for (at, end) in starts.iter().map(|&at| u64::from(at)).zip(ends) {
                let frame = octets.get_mut((at - start) as usize..(end - start) as usize).unwrap_or_default();
                if file.read_exact_at(frame, at).is_err() {
                    frame.fill(0); // no frame
                    lost += 1;
                }
            }
            if lost == starts.len() && !self.is_read_beside(index as usize, starts.len()) {
                return Err(error); // it may be the whole disk
            }
            tracing::error!(%error, file = %self.path.display(), records = lost, "these can't be read and are left out");
        } else {
            locked(&self.unreadable).was_read(index);
        }
        let dialogue = if part == Part::Whole { Dialogue::Here } else { Dialogue::LeftOut };
        let slot = |(number, &at): (u32, &u32)| self.slot(number, dialogue, &octets, (u64::from(at) - start) as usize);
        let slots = (number..).zip(&starts).filter_map(slot).collect();
        Ok(Batch::new(self.header.version, number..number.saturating_add(starts.len() as u32), octets, slots))
    }

    /// The first of so many records at most, up to that one, that one read brings in together.
    pub fn first_before(&self, index: u32, most: u32) -> u32 {
        let extent = reading(&self.extent);
        let first = (index + 1).saturating_sub(most);
        let (Some(&last), Some(before)) = (extent.starts.get(index as usize), extent.starts.get(first as usize..index as usize)) else {
            return index;
        };
        first + before.partition_point(|&at| (last - at) as usize > READ_OCTETS) as u32
    }

    /// Copies what can be read now: the header and whole frames.
    pub fn copy_to(&self, target: &mut impl io::Write) -> io::Result<u64> {
        let end = self.end();
        let file = self.file()?;
        let mut octets = vec![0; READ_OCTETS];
        let mut at = 0;
        while at < end {
            let piece = octets.len().min((end - at) as usize);
            file.read_exact_at(&mut octets[..piece], at)?;
            target.write_all(&octets[..piece])?;
            at += piece as u64;
        }
        Ok(end)
    }

    /// Shows every frame in order, marks as well.
    pub fn each_frame(&self, mut see: impl FnMut(Frame<'_>) -> io::Result<()>) -> io::Result<()> {
        let (end, file) = (self.end(), self.file()?);
        let mut octets = Vec::new();
        let mut at = HEADER as u64;
        while at < end {
            // Enough for many frames, or for the one that did not fit.
            let wanted = (octets.len() * 2).clamp(READ_OCTETS, frame::LONGEST * 2).min((end - at) as usize);
            octets.resize(wanted, 0);
            file.read_exact_at(&mut octets, at)?;
            let mut done = 0;
            while done < octets.len() {
                match frame::parse(self.header.salt, &octets[done..]) {
                    Ok(frame) => {
                        done += frame.len();
                        see(frame)?;
                    }
                    Err(NoFrame::Cut) if done > 0 || (at + octets.len() as u64) < end => break,
                    Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, format!("at octet {}: {error}", at + done as u64))),
                }
            }
            at += done as u64;
            if done > 0 {
                octets.truncate(READ_OCTETS);
            }
        }
        Ok(())
    }

    /// Whether the record before so many from `index` on, or the one behind them, can be read.
    fn is_read_beside(&self, index: usize, count: usize) -> bool {
        let beside = {
            let extent = reading(&self.extent);
            let frame = |index: usize| {
                let at = u64::from(*extent.starts.get(index)?);
                Some((at, extent.starts.get(index + 1).map_or(extent.end, |&next| u64::from(next))))
            };
            [index.checked_sub(1).and_then(frame), frame(index + count)]
        };
        beside.into_iter().flatten().any(|(at, end)| {
            let mut octets = vec![0; end.saturating_sub(at) as usize];
            self.file().and_then(|file| file.read_exact_at(&mut octets, at)).is_ok()
        })
    }

    fn slot(&self, number: u32, dialogue: Dialogue, octets: &[u8], at: usize) -> Option<Slot> {
        let damaged = |error: &dyn std::fmt::Display| {
            tracing::error!(file = %self.path.display(), %error, "a journal frame that was whole before is damaged");
        };
        let frame = frame::parse(self.header.salt, octets.get(at..)?).inspect_err(|error| damaged(error)).ok()?;
        let (summary, timeline) = stored::split(frame.kind, frame.octets).inspect_err(|error| damaged(error)).ok()?;
        let start = at + frame.len() - frame.octets.len();
        let until = start + summary.len();
        Some(Slot { number, kind: frame.kind, summary: start..until, timeline: until..until + timeline.len(), dialogue })
    }
}

/// Finds the frames of a whole file.
pub(super) fn scan(path: &Path, salt: u32, octets: &[u8]) -> Scan {
    let mut scan = Scan { end: HEADER as u64, ..Scan::default() };
    let mut at = HEADER;
    while at < octets.len() {
        match frame::parse(salt, &octets[at..]) {
            Ok(frame) => {
                scan.kinds[frame.kind as usize] += 1;
                match frame.kind {
                    RecordKind::Mark if tells_more(frame.octets, scan.open_marks.get(&frame.id).map(Range::len)) => {
                        scan.open_marks.insert(frame.id, at + frame.len() - frame.octets.len()..at + frame.len());
                    }
                    RecordKind::Transaction => {
                        scan.open_marks.remove(&frame.id);
                        scan.transactions.insert(frame.id);
                    }
                    _ => {}
                }
                if frame.kind != RecordKind::Mark {
                    scan.starts.push(at as u32);
                }
                at += frame.len();
                scan.end = at as u64;
            }
            Err(why) => match next_frame(salt, octets, at + 1) {
                Some(next) => {
                    scan.damage.push(Damage {
                        file: path.to_owned(),
                        offset: at as u64,
                        octets: (next - at) as u64,
                        what: why.to_string(),
                    });
                    at = next;
                }
                None => {
                    scan.torn = (octets.len() - at) as u64;
                    scan.torn_why = Some(why);
                    break;
                }
            },
        }
    }
    scan
}

fn sync_data(file: &File, _path: &Path) -> io::Result<()> {
    #[cfg(test)]
    super::tests::disk_of(_path)?;
    file.sync_data()
}
