//! A run file open for reading: which page has a term is known in memory, the rest is read when asked for.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::columns::{self, Chunk, Column};
use super::page::{List, Page, There};
use super::places::{self, Places};
use super::writer::{FORMAT, Footer, HEADER, MAGIC, PageAt, RunMeta, TRAILER, WITHOUT_FILTER};
use crate::store::day::Day;
use crate::store::locks::locked;
use crate::store::unpack::decompress;

/// Why a file isn't a run file that this build reads.
#[derive(Debug, thiserror::Error)]
pub enum NoRun {
    #[error("its header is damaged")]
    Header,
    #[error("its format is {found}; this build reads {FORMAT}: use the relayscope that wrote it, or delete it and have it made anew")]
    Format { found: u16 },
    #[error("its footer is damaged")]
    Footer,
    #[error("the directory of its pages is damaged")]
    Directory,
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug)]
pub struct RunFile {
    file: File,
    pub footer: Footer,
    pages: Vec<PageAt>,
    /// Pages unpacked last, by their offsets: the questions of one answer come back to them.
    recent: Mutex<VecDeque<(u64, Arc<Page>)>>,
}

/// A term that is there.
#[derive(Debug)]
pub struct Found {
    /// How many records have it.
    pub count: u32,
    list: Stands,
}

#[derive(Debug)]
enum Stands {
    Here(Places),
    There(There),
}

/// Is shown a term, the count of its records and their places; says whether to go on.
pub type SeeList<'a> = dyn FnMut(&[u8], u32, List<'_>) -> io::Result<bool> + 'a;

/// Pages kept unpacked of each file, and what one takes in memory, about.
const RECENT: usize = 8;
const PAGE_WEIGHT: usize = 16 << 10;

/// No list or page is longer: anything else is damage.
const MOST_OCTETS: usize = 16 << 20;

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} of the index is damaged"))
}

/// What stands at the end of a run file.
pub fn read_footer(file: &File) -> Result<Footer, NoRun> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).map_err(|_| NoRun::Header)?;
    let checksum = u32::from_le_bytes([header[28], header[29], header[30], header[31]]);
    if &header[..8] != MAGIC || checksum != crc32c::crc32c(&header[..28]) {
        return Err(NoRun::Header);
    }
    let format = u16::from_le_bytes([header[8], header[9]]);
    if format != FORMAT && format != WITHOUT_FILTER {
        return Err(NoRun::Format { found: format });
    }
    let trailer_at = file.metadata()?.len().checked_sub(TRAILER as u64).ok_or(NoRun::Footer)?;
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, trailer_at)?;
    let [a, b, c, d, e, f, g, h, magic @ ..] = trailer;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let start = trailer_at.checked_sub(length).filter(|_| magic == *MAGIC).ok_or(NoRun::Footer)?;
    let mut octets = vec![0; length as usize];
    file.read_exact_at(&mut octets, start)?;
    if crc32c::crc32c(&octets) != u32::from_le_bytes([e, f, g, h]) {
        return Err(NoRun::Footer);
    }
    let (mut footer, rest): (Footer, _) = postcard::take_from_bytes(&octets).map_err(|_| NoRun::Footer)?;
    if format != WITHOUT_FILTER {
        footer.filter = postcard::from_bytes(rest).map_err(|_| NoRun::Footer)?;
    }
    Ok(footer)
}

impl RunFile {
    pub fn open(path: &Path) -> Result<Self, NoRun> {
        let file = File::open(path)?;
        let footer = read_footer(&file)?;
        let octets = read(&file, footer.directory_at, footer.directory_packed, footer.directory_checksum).map_err(|_| NoRun::Directory)?;
        let octets = decompress(&octets, footer.directory_raw as usize).map_err(|_| NoRun::Directory)?;
        let pages = postcard::from_bytes(&octets).map_err(|_| NoRun::Directory)?;
        Ok(Self { file, footer, pages, recent: Mutex::default() })
    }

    pub fn meta(&self) -> &RunMeta {
        &self.footer.meta
    }

    /// Octets it takes in memory, about.
    pub fn weight(&self) -> usize {
        self.pages.len() * 96 + self.footer.meta.times.weight() + 4096 + RECENT * PAGE_WEIGHT
    }

    /// Whether it may have the term; mostly, if it hasn't, this knows.
    pub fn may_have(&self, term: &[u8]) -> io::Result<bool> {
        self.footer.filter.may_have(&self.file, term)
    }

    pub fn find(&self, term: &[u8]) -> io::Result<Option<Found>> {
        let at = self.pages.partition_point(|page| page.from.as_slice() <= term);
        let Some(page) = at.checked_sub(1).and_then(|at| self.pages.get(at)) else { return Ok(None) };
        let page = self.recent_page(page)?;
        let Some((count, list)) = page.find(term)? else { return Ok(None) };
        let list = match list {
            List::There(there) => Stands::There(there),
            here => Stands::Here(here.places().ok_or_else(|| damaged("a list"))?),
        };
        Ok(Some(Found { count, list }))
    }

    /// Shows every term in `from..until`, in order, with the count of its records, until `see` says false.
    pub fn range(&self, from: &[u8], until: Option<&[u8]>, see: &mut SeeList<'_>) -> io::Result<()> {
        let at = self.pages.partition_point(|page| page.from.as_slice() <= from).saturating_sub(1);
        for page in self.pages.iter().skip(at) {
            if until.is_some_and(|until| page.from.as_slice() >= until) {
                break;
            }
            let mut page = self.page(page)?;
            while page.step()? {
                if page.term.as_slice() < from {
                    continue;
                }
                if until.is_some_and(|until| page.term.as_slice() >= until) || !see(&page.term, page.count, page.list())? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The places of a term that was found.
    pub fn places(&self, found: Found) -> io::Result<Places> {
        match found.list {
            Stands::Here(places) => Ok(places),
            Stands::There(there) => places::unpack(&self.list(there)?).ok_or_else(|| damaged("a list")),
        }
    }

    fn list(&self, there: There) -> io::Result<Vec<u8>> {
        let octets = read(&self.file, there.offset, there.octets, there.checksum)?;
        let (raw, packed) = octets.split_first_chunk::<4>().ok_or_else(|| damaged("a list"))?;
        let raw = u32::from_le_bytes(*raw) as usize;
        if raw > MOST_OCTETS {
            return Err(damaged("a list"));
        }
        decompress(packed, raw)
    }

    fn recent_page(&self, at: &PageAt) -> io::Result<Arc<Page>> {
        let mut recent = locked(&self.recent);
        if let Some(place) = recent.iter().position(|(offset, _)| *offset == at.offset)
            && let Some(known) = recent.remove(place)
        {
            let page = known.1.clone();
            recent.push_back(known);
            return Ok(page);
        }
        drop(recent);
        let page = Arc::new(self.page(at)?);
        let mut recent = locked(&self.recent);
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back((at.offset, page.clone()));
        Ok(page)
    }

    fn page(&self, at: &PageAt) -> io::Result<Page> {
        Page::unpack(&read(&self.file, at.offset, at.octets, at.checksum)?)
    }

    pub fn chunks(&self, column: Column) -> &[Chunk] {
        self.footer.columns.get(column as usize).map_or(&[], Vec::as_slice)
    }

    /// A piece of a column as it is packed.
    pub fn packed_chunk(&self, chunk: &Chunk) -> io::Result<Vec<u8>> {
        read(&self.file, chunk.offset, chunk.packed, chunk.checksum)
    }

    /// The numbers of a piece of a column, with their places.
    pub fn numbers(&self, chunk: &Chunk) -> io::Result<impl Iterator<Item = (u32, Option<u64>)> + use<>> {
        if chunk.raw as usize > MOST_OCTETS {
            return Err(damaged("a column"));
        }
        let octets = decompress(&self.packed_chunk(chunk)?, chunk.raw as usize)?;
        let numbers: Vec<_> = columns::read(&octets).collect();
        Ok((chunk.first..).zip(numbers))
    }

    /// One of its pages, in order, for merging; `None` after the last.
    pub fn nth_page(&self, at: usize) -> io::Result<Option<Page>> {
        self.pages.get(at).map(|page| self.page(page)).transpose()
    }

    /// Adds the places of a list that was shown, moved by `by`.
    pub fn places_onto(&self, list: List<'_>, by: u32, places: &mut Vec<u32>) -> io::Result<()> {
        match list {
            List::One(place) => {
                places.push(place + by);
                Some(())
            }
            List::Here(octets) => places::unpack_onto(octets, by, places),
            List::There(there) => places::unpack_onto(&self.list(there)?, by, places),
        }
        .ok_or_else(|| damaged("a list"))
    }

    /// Reads every part; the first that is wrong, and where.
    pub fn verify(&self) -> Result<(), (u64, String)> {
        for at in &self.pages {
            let wrong = |error: io::Error| (at.offset, error.to_string());
            let mut page = self.page(at).map_err(wrong)?;
            while page.step().map_err(wrong)? {
                self.places_onto(page.list(), 0, &mut Vec::new()).map_err(wrong)?;
            }
        }
        self.footer.filter.verify(&self.file).map_err(|(at, error)| (at, error.to_string()))?;
        for chunk in self.footer.columns.iter().flatten() {
            self.packed_chunk(chunk).map_err(|error| (chunk.offset, error.to_string()))?;
        }
        Ok(())
    }

    /// The records for which one of this run stands.
    pub fn superseded(&self) -> impl Iterator<Item = (Day, u32)> {
        self.footer.superseded.iter().map(|&(day, number)| (Day::numbered(day), number))
    }
}

fn read(file: &File, offset: u64, octets: u32, checksum: u32) -> io::Result<Vec<u8>> {
    if octets as usize > MOST_OCTETS {
        return Err(damaged("a part"));
    }
    let mut part = vec![0; octets as usize];
    file.read_exact_at(&mut part, offset)?;
    match crc32c::crc32c(&part) == checksum {
        true => Ok(part),
        false => Err(damaged("a part")),
    }
}
