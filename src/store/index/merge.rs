//! Makes one run file of several that lie side by side: a look-up then asks one instead of all.
//!
//! Runs of about one size are merged, eight at a time, and the results again: each record's terms are written three times in all.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::file::RunFile;
use super::page::Page;
use super::times::Times;
use super::writer::{RunMeta, RunWriter, unfinished};
use crate::store::day::Day;

/// Runs that are merged at once.
const FAN: usize = 8;
/// How often a run of full size is merged: 32,768 records become 262,144 and then 2,097,152.
const LEVELS: u32 = 2;

/// Which neighbours are to be merged, as a range of the runs given; `None` if they are well as they are.
///
/// `is_over`: nothing will be added, so that small ones are worth merging as well.
pub fn choose(runs: &[Arc<RunMeta>], run_records: u32, is_over: bool) -> Option<std::ops::Range<usize>> {
    let size = |level: u32| run_records.saturating_mul((FAN as u32).saturating_pow(level));
    if is_over {
        return neighbours(runs, 0, size(LEVELS), size(LEVELS)).filter(|range| range.len() > 1);
    }
    (0..LEVELS).find_map(|level| {
        let least = if level == 0 { 0 } else { size(level) / 2 };
        neighbours(runs, least, size(level + 1) - 1, size(level + 1)).filter(|range| range.len() >= FAN)
    })
}

/// The first neighbours of a size in `least..=most`, several of which make no more than `all` together.
fn neighbours(runs: &[Arc<RunMeta>], least: u32, most: u32, all: u32) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    let mut longest: Option<std::ops::Range<usize>> = None;
    while start < runs.len() {
        let (mut end, mut span) = (start, 0u32);
        while let Some(run) = runs.get(end).filter(|run| (least..=most).contains(&run.span)) {
            let more = span.saturating_add(run.span);
            if more > all || (end > start && runs.get(end - 1).is_some_and(|before| before.end() != run.first)) {
                break;
            }
            span = more;
            end += 1;
        }
        if end - start > longest.as_ref().map_or(1, ExactSizeIterator::len) {
            longest = Some(start..end);
        }
        start = end.max(start + 1);
    }
    longest
}

struct Input {
    file: Arc<RunFile>,
    /// What its places are moved by.
    by: u32,
    next: usize,
    page: Page,
    is_over: bool,
}

impl Input {
    /// Steps to its next term.
    fn step(&mut self) -> io::Result<()> {
        while !self.page.step()? {
            match self.file.nth_page(self.next)? {
                Some(page) => (self.page, self.next) = (page, self.next + 1),
                None => {
                    self.is_over = true;
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Merges runs of a day, in the order of their numbers, into a file at `path`; `goes_on` is asked now and then.
///
/// # Errors
/// The files can't be read or written, or it was broken off: nothing is left then.
pub fn merge(path: &Path, day: Day, files: &[Arc<RunFile>], tag: u32, goes_on: &dyn Fn() -> bool) -> io::Result<RunMeta> {
    write(path, day, files, tag, goes_on).inspect_err(|_| drop(fs::remove_file(unfinished(path))))
}

fn write(path: &Path, day: Day, files: &[Arc<RunFile>], tag: u32, goes_on: &dyn Fn() -> bool) -> io::Result<RunMeta> {
    let Some(first) = files.first().map(|file| file.meta().first) else { return Err(io::Error::other("there is nothing to merge")) };
    let mut meta = RunMeta { first, span: 0, tag, amendments: 0, damage: 0, times: Times::default() };
    let mut superseded = Vec::new();
    let mut inputs = Vec::with_capacity(files.len());
    let most = files.iter().map(|file| file.footer.terms).sum();
    let mut writer = RunWriter::create(path.to_owned(), day, first, most)?;
    for file in files {
        let of = file.meta();
        let by = of.first - first;
        meta.span = of.end() - first;
        meta.amendments += of.amendments;
        meta.damage = of.damage;
        meta.times.append(by, &of.times);
        superseded.extend_from_slice(&file.footer.superseded);
        for (column, chunk) in file.footer.columns.iter().enumerate().flat_map(|(column, chunks)| chunks.iter().map(move |it| (column, it)))
        {
            writer.chunk(column, *chunk, chunk.first + by, &file.packed_chunk(chunk)?)?;
        }
        let mut input = Input { file: file.clone(), by, next: 0, page: Page::default(), is_over: false };
        input.step()?;
        inputs.push(input);
    }
    inputs.retain(|input| !input.is_over);
    let (mut term, mut places, mut terms) = (Vec::new(), Vec::new(), 0u32);
    while let Some(least) = inputs.iter().map(|input| input.page.term.as_slice()).min() {
        term.clear();
        term.extend_from_slice(least);
        places.clear();
        let mut one_is_over = false;
        for input in &mut inputs {
            if input.page.term == term {
                input.file.places_onto(input.page.list(), input.by, &mut places)?;
                input.step()?;
                one_is_over |= input.is_over;
            }
        }
        writer.push(&term, &places)?;
        if one_is_over {
            inputs.retain(|input| !input.is_over);
        }
        terms = terms.wrapping_add(1);
        if terms.is_multiple_of(4096) && !goes_on() {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "the store is being closed"));
        }
    }
    writer.finish(meta.clone(), superseded)?;
    Ok(meta)
}
