//! Writes a run file: terms in order, columns, and what must be known of the run; whole or not at all.
//!
//! `header 32 | pages, long lists, columns | filter | directory | footer | footer length u32 | crc32c u32 | magic 8`. The directory says
//! where each page stands and where its terms begin; the footer where everything else does. Every part has a checksum.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::columns::{COLUMNS, Chunk};
use super::filter::{Filter, FilterWriter};
use super::growing::GrowingRun;
use super::page::{List, PageWriter, There};
use super::places;
use super::times::Times;
use crate::store::cursor::Cursor;
use crate::store::day::Day;
use crate::store::private;
use crate::store::seal::sync_dir;

pub const MAGIC: &[u8; 8] = b"rscopeix";
/// Version of the file format, of the terms in it and of how texts are folded.
pub const FORMAT: u16 = 3;
/// The same without a filter; read as well.
pub const WITHOUT_FILTER: u16 = 2;
pub const HEADER: usize = 32;
pub const TRAILER: usize = 16;
/// Packed places longer than this stand by themselves: a page with them would be slow to read for its other terms.
const LONG_LIST: usize = 512;
const LEVEL: i32 = 1;

/// What must be known about a run before it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMeta {
    /// Number, within the day, of its first record.
    pub first: u32,
    /// Numbers that it spans; some may be without record.
    pub span: u32,
    /// By chance: a file that is made again never has the name of the one before, which a search may still be reading.
    pub tag: u32,
    /// How many of its records amend others.
    pub amendments: u32,
    /// Stands for the damage known in the day's files when it was made: numbers shift when it changes.
    pub damage: u64,
    pub times: Times,
}

impl RunMeta {
    /// The number after its last.
    pub fn end(&self) -> u32 {
        self.first.saturating_add(self.span)
    }
}

/// All that isn't a page.
#[derive(Debug, Serialize, Deserialize)]
pub struct Footer {
    pub meta: RunMeta,
    /// Days since 1970 and numbers of records for which one of this run stands.
    pub superseded: Vec<(u32, u32)>,
    pub columns: [Vec<Chunk>; COLUMNS],
    pub directory_at: u64,
    pub directory_packed: u32,
    pub directory_raw: u32,
    pub directory_checksum: u32,
    pub terms: u64,
    /// Not in the footer of a file of format 2.
    #[serde(skip)]
    pub filter: Filter,
}

/// A page in the directory.
#[derive(Debug, Serialize, Deserialize)]
pub struct PageAt {
    /// Enough of its first term to tell it from the page before.
    pub from: Vec<u8>,
    pub offset: u64,
    pub octets: u32,
    pub checksum: u32,
}

pub struct RunWriter {
    path: PathBuf,
    out: BufWriter<File>,
    offset: u64,
    page: PageWriter,
    filter: FilterWriter,
    packer: zstd::bulk::Compressor<'static>,
    directory: Vec<PageAt>,
    columns: [Vec<Chunk>; COLUMNS],
    /// The last term of the page before.
    before: Vec<u8>,
    last: Vec<u8>,
    list: Vec<u8>,
    terms: u64,
}

/// Where a file is written until it is whole.
pub fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("run.unfinished")
}

pub fn header(day: Day, first: u32) -> [u8; HEADER] {
    let mut octets = [0; HEADER];
    octets[..8].copy_from_slice(MAGIC);
    octets[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    octets[12..16].copy_from_slice(&day.number().to_le_bytes());
    octets[16..20].copy_from_slice(&first.to_le_bytes());
    let checksum = crc32c::crc32c(&octets[..28]);
    octets[28..].copy_from_slice(&checksum.to_le_bytes());
    octets
}

impl RunWriter {
    /// Begins a file for that many terms, or fewer.
    pub fn create(path: PathBuf, day: Day, first: u32, terms: u64) -> io::Result<Self> {
        if let Some(dir) = path.parent().filter(|dir| !dir.is_dir()) {
            // Only within a day that is there: retention may have removed it just now.
            private::make_dir(dir)?;
        }
        let mut out = BufWriter::with_capacity(256 << 10, private::for_writing().create(true).truncate(true).open(unfinished(&path))?);
        let header: [u8; HEADER] = header(day, first);
        out.write_all(&header)?;
        Ok(Self {
            path,
            out,
            offset: HEADER as u64,
            page: PageWriter::default(),
            filter: FilterWriter::new(terms),
            packer: PageWriter::compressor()?,
            directory: Vec::new(),
            columns: Default::default(),
            before: Vec::new(),
            last: Vec::new(),
            list: Vec::new(),
            terms: 0,
        })
    }

    /// Adds a term, greater than the one before, with its places, ascending.
    pub fn push(&mut self, term: &[u8], places: &[u32]) -> io::Result<()> {
        let count = places.len() as u32;
        let mut list = std::mem::take(&mut self.list);
        match places {
            [] => {}
            [place] => self.page.push(term, 1, List::One(*place)),
            _ => {
                list.clear();
                places::pack(places, &mut list);
                let list = if list.len() > LONG_LIST { List::There(self.put_list(&list)?) } else { List::Here(&list) };
                self.page.push(term, count, list);
            }
        }
        self.list = list;
        self.filter.add(term);
        self.terms += 1;
        self.last.clear();
        self.last.extend_from_slice(term);
        if self.page.is_full() { self.close_page() } else { Ok(()) }
    }

    fn put_list(&mut self, list: &[u8]) -> io::Result<There> {
        // The length stands before it: whoever unpacks must know it.
        let mut octets = (list.len() as u32).to_le_bytes().to_vec();
        octets.extend_from_slice(&zstd::bulk::compress(list, LEVEL)?);
        let there = There { offset: self.offset, octets: octets.len() as u32, checksum: crc32c::crc32c(&octets) };
        self.put(&octets)?;
        Ok(there)
    }

    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.out.write_all(octets)?;
        self.offset += octets.len() as u64;
        Ok(())
    }

    fn close_page(&mut self) -> io::Result<()> {
        if self.page.is_empty() {
            return Ok(());
        }
        let (first, octets) = self.page.close(&mut self.packer)?;
        let differs = first.iter().zip(&self.before).take_while(|(one, other)| one == other).count();
        let from = first.get(..=differs).unwrap_or(&first).to_vec();
        self.directory.push(PageAt { from, offset: self.offset, octets: octets.len() as u32, checksum: crc32c::crc32c(&octets) });
        std::mem::swap(&mut self.before, &mut self.last);
        self.put(&octets)
    }

    /// Adds a packed piece of a column, whose first number belongs to that place.
    pub fn chunk(&mut self, column: usize, chunk: Chunk, first: u32, packed: &[u8]) -> io::Result<()> {
        let chunk = Chunk { first, offset: self.offset, ..chunk };
        self.columns.get_mut(column).into_iter().for_each(|chunks| chunks.push(chunk));
        self.put(packed)
    }

    /// Ends the file, brings it to the disk and gives it its name.
    pub fn finish(mut self, meta: RunMeta, superseded: Vec<(u32, u32)>) -> io::Result<()> {
        self.close_page()?;
        let filter = std::mem::replace(&mut self.filter, FilterWriter::new(0));
        let at = Filter { offset: self.offset, blocks: filter.blocks() };
        self.put(&filter.finish())?;
        let encode = |error: postcard::Error| io::Error::other(error.to_string());
        let directory = postcard::to_allocvec(&self.directory).map_err(encode)?;
        let packed = zstd::bulk::compress(&directory, LEVEL)?;
        let footer = Footer {
            meta,
            superseded,
            columns: std::mem::take(&mut self.columns),
            directory_at: self.offset,
            directory_packed: packed.len() as u32,
            directory_raw: directory.len() as u32,
            directory_checksum: crc32c::crc32c(&packed),
            terms: self.terms,
            filter: at,
        };
        self.put(&packed)?;
        let footer = postcard::to_allocvec(&(&footer, footer.filter)).map_err(encode)?;
        self.put(&footer)?;
        self.put(&(footer.len() as u32).to_le_bytes())?;
        self.put(&crc32c::crc32c(&footer).to_le_bytes())?;
        self.put(MAGIC)?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(unfinished(&self.path), &self.path)?;
        sync_dir(&self.path)
    }
}

/// Writes a run that grew in memory.
pub fn write(path: &Path, day: Day, run: &GrowingRun, tag: u32, damage: u64) -> io::Result<RunMeta> {
    let written = || {
        let mut writer = RunWriter::create(path.to_owned(), day, run.first, run.terms())?;
        run.sorted(|term, places| writer.push(term, places))?;
        for (column, (chunk, packed)) in run.columns.pack()?.into_iter().enumerate() {
            writer.chunk(column, chunk, 0, &packed)?;
        }
        let meta = RunMeta { first: run.first, span: run.span, tag, amendments: run.amendments, damage, times: run.times.clone() };
        let superseded = run.superseded.iter().map(|at: &Cursor| (at.day.number(), at.number)).collect();
        writer.finish(meta.clone(), superseded)?;
        Ok(meta)
    };
    written().inspect_err(|_| drop(fs::remove_file(unfinished(path))))
}
