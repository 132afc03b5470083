//! A page of a run file: some hundred neighbouring terms, each with the places of its records.
//!
//! `raw u32 | packed u32 | zstd(heads | texts) | lists`. A head is `shared | length | count`, LEB128: octets shared with the term before,
//! octets that follow in the texts, records. A list is the place itself where there is one record; else `octets·2` and so many octets as
//! [`super::places`] packs them; else, of long ones, `octets·2 + 1 | offset | crc32c u32` of where they stand in the file.

use std::cmp::Ordering;
use std::io;
use std::ops::Range;

use super::places::{self, Places, number};
use crate::store::unpack::decompress;
use crate::trace::leb128;

/// Octets of heads and texts from which on a page is closed.
const PAGE_OCTETS: usize = 8 << 10;
/// No page unpacks to more: one term more than [`PAGE_OCTETS`], and room.
const MOST_OCTETS: usize = 64 << 10;
const LEVEL: i32 = 1;

/// A page in the making.
#[derive(Debug, Default)]
pub struct PageWriter {
    heads: Vec<u8>,
    texts: Vec<u8>,
    lists: Vec<u8>,
    first: Vec<u8>,
    last: Vec<u8>,
}

/// How a term's places stand in its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List<'a> {
    One(u32),
    Here(&'a [u8]),
    /// Elsewhere in the file.
    There(There),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct There {
    pub offset: u64,
    pub octets: u32,
    pub checksum: u32,
}

/// An unpacked page, and the term stood on.
#[derive(Debug, Default)]
pub struct Page {
    heads: Vec<u8>,
    lists: Vec<u8>,
    head_at: usize,
    text_at: usize,
    list_at: usize,
    texts: usize,
    /// The term stood on.
    pub term: Vec<u8>,
    /// How many records have it.
    pub count: u32,
    list: Stands,
}

/// [`List`], owned.
#[derive(Debug, Clone)]
enum Stands {
    One(u32),
    Here(Range<usize>),
    There(There),
}

impl Default for Stands {
    fn default() -> Self {
        Self::Here(0..0)
    }
}

impl PageWriter {
    pub fn push(&mut self, term: &[u8], count: u32, list: List<'_>) {
        let shared = term.iter().zip(&self.last).take_while(|(one, other)| one == other).count();
        if self.heads.is_empty() {
            self.first = term.to_vec();
        }
        let shared = if self.heads.is_empty() { 0 } else { shared };
        let text = term.get(shared..).unwrap_or_default();
        leb128::put(&mut self.heads, shared as u64);
        leb128::put(&mut self.heads, text.len() as u64);
        leb128::put(&mut self.heads, u64::from(count));
        self.texts.extend_from_slice(text);
        match list {
            List::One(place) => leb128::put(&mut self.lists, u64::from(place)),
            List::Here(octets) => {
                leb128::put(&mut self.lists, (octets.len() as u64) << 1);
                self.lists.extend_from_slice(octets);
            }
            List::There(there) => {
                leb128::put(&mut self.lists, u64::from(there.octets) << 1 | 1);
                leb128::put(&mut self.lists, there.offset);
                self.lists.extend_from_slice(&there.checksum.to_le_bytes());
            }
        }
        self.last.clear();
        self.last.extend_from_slice(term);
    }

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.heads.len() + self.texts.len() >= PAGE_OCTETS
    }

    /// The page's first term and its octets; a new page begins.
    pub fn close(&mut self, packer: &mut zstd::bulk::Compressor<'static>) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let heads = self.heads.len() as u32;
        self.heads.extend_from_slice(&self.texts);
        self.heads.extend_from_slice(&heads.to_le_bytes());
        let packed = packer.compress(&self.heads)?;
        let mut octets = Vec::with_capacity(8 + packed.len() + self.lists.len());
        octets.extend_from_slice(&(self.heads.len() as u32).to_le_bytes());
        octets.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        octets.extend_from_slice(&packed);
        octets.extend_from_slice(&self.lists);
        for part in [&mut self.heads, &mut self.texts, &mut self.lists] {
            part.clear();
        }
        Ok((std::mem::take(&mut self.first), octets))
    }

    pub fn compressor() -> io::Result<zstd::bulk::Compressor<'static>> {
        zstd::bulk::Compressor::new(LEVEL)
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a page of the index does not read")
}

impl Page {
    /// The page, before its first term.
    pub fn unpack(octets: &[u8]) -> io::Result<Self> {
        let (raw, rest) = octets.split_first_chunk::<4>().ok_or_else(damaged)?;
        let (packed, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let raw = u32::from_le_bytes(*raw) as usize;
        let (packed, lists) = rest.split_at_checked(u32::from_le_bytes(*packed) as usize).ok_or_else(damaged)?;
        if raw > MOST_OCTETS {
            return Err(damaged());
        }
        let mut heads = decompress(packed, raw)?;
        let (rest, at) = heads.split_last_chunk::<4>().ok_or_else(damaged)?;
        let (texts, end) = (u32::from_le_bytes(*at) as usize, rest.len());
        heads.truncate(end);
        if texts > end {
            return Err(damaged());
        }
        Ok(Self { heads, lists: lists.to_vec(), text_at: texts, texts, ..Self::default() })
    }

    /// How many records have the term, and which; `None` if the page hasn't got it.
    pub fn find(&self, term: &[u8]) -> io::Result<Option<(u32, List<'_>)>> {
        self.find_whole(term).ok_or_else(damaged)
    }

    /// The terms passed by are not put together: how much one shares with the one before tells mostly where it stands.
    fn find_whole(&self, wanted: &[u8]) -> Option<Option<(u32, List<'_>)>> {
        let (mut heads, mut texts, mut lists) = (self.heads.get(..self.texts)?, self.heads.get(self.texts..)?, self.lists.as_slice());
        // Octets that the term before, which was less, has in common with the wanted one.
        let mut alike = 0;
        while !heads.is_empty() {
            let head = Head::take(&mut heads)?;
            let text = take(&mut texts, head.length)?;
            let list = take_list(head.count, &mut lists)?;
            match head.shared.cmp(&alike) {
                // It is less where the one before was.
                Ordering::Greater => continue,
                Ordering::Less => break,
                Ordering::Equal => {}
            }
            let rest = wanted.get(alike..)?;
            let more = text.iter().zip(rest).take_while(|(one, other)| one == other).count();
            match (text.get(more), rest.get(more)) {
                (None, None) => return Some(Some((head.count, list))),
                (Some(octet), Some(wanted)) if octet > wanted => break,
                (Some(_), None) => break,
                _ => alike += more,
            }
        }
        Some(None)
    }

    /// Steps to the next term; false at the end.
    pub fn step(&mut self) -> io::Result<bool> {
        if self.head_at >= self.texts {
            return Ok(false);
        }
        self.step_whole().ok_or_else(damaged)?;
        Ok(true)
    }

    fn step_whole(&mut self) -> Option<()> {
        let mut heads = self.heads.get(self.head_at..self.texts)?;
        let Head { shared, length, count } = Head::take(&mut heads)?;
        self.count = count;
        self.head_at = self.texts - heads.len();
        if shared > self.term.len() {
            return None;
        }
        self.term.truncate(shared);
        let text_end = self.text_at.checked_add(length)?;
        self.term.extend_from_slice(self.heads.get(self.text_at..text_end)?);
        self.text_at = text_end;
        let mut lists = self.lists.get(self.list_at..)?;
        let list = take_list(count, &mut lists)?;
        let end = self.lists.len() - lists.len();
        self.list = match list {
            List::One(place) => Stands::One(place),
            List::Here(octets) => Stands::Here(end - octets.len()..end),
            List::There(there) => Stands::There(there),
        };
        self.list_at = end;
        Some(())
    }

    /// The places of the term stood on.
    pub fn list(&self) -> List<'_> {
        match &self.list {
            Stands::One(place) => List::One(*place),
            Stands::Here(range) => List::Here(self.lists.get(range.clone()).unwrap_or_default()),
            Stands::There(there) => List::There(*there),
        }
    }
}

impl List<'_> {
    /// The places, if they stand in the page.
    pub fn places(self) -> Option<Places> {
        match self {
            Self::One(place) => Some(Places::from_iter([place])),
            Self::Here(octets) => places::unpack(octets),
            Self::There(_) => None,
        }
    }
}

/// What stands of a term before its text.
struct Head {
    shared: usize,
    length: usize,
    count: u32,
}

impl Head {
    fn take(heads: &mut &[u8]) -> Option<Self> {
        let shared = usize::try_from(number(heads)?).ok()?;
        let length = usize::try_from(number(heads)?).ok()?;
        Some(Self { shared, length, count: u32::try_from(number(heads)?).ok()? })
    }
}

fn take_list<'a>(count: u32, lists: &mut &'a [u8]) -> Option<List<'a>> {
    let first = number(lists)?;
    Some(match (count, first & 1) {
        (1, _) => List::One(u32::try_from(first).ok()?),
        (_, 0) => List::Here(take(lists, usize::try_from(first >> 1).ok()?)?),
        _ => {
            let offset = number(lists)?;
            let checksum = u32::from_le_bytes(*take(lists, 4)?.first_chunk()?);
            List::There(There { offset, octets: u32::try_from(first >> 1).ok()?, checksum })
        }
    })
}

fn take<'a>(from: &mut &'a [u8], octets: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(octets)?;
    *from = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_terms_read_back(terms in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..20), 0..1u32 << 21, 1..60)) {
            let terms: BTreeMap<Vec<u8>, u32> = terms;
            let mut writer = PageWriter::default();
            for (term, &place) in &terms {
                match place % 3 {
                    0 => writer.push(term, 1, List::One(place)),
                    1 => writer.push(term, 2, List::Here(&[0, 1, 2])),
                    _ => writer.push(term, 9, List::There(There { offset: u64::from(place) << 20, octets: place, checksum: !place })),
                }
            }
            let (first, octets) = writer.close(&mut PageWriter::compressor().unwrap()).unwrap();
            prop_assert_eq!(Some(&first), terms.keys().next());
            let mut page = Page::unpack(&octets).unwrap();
            for (term, &place) in &terms {
                prop_assert!(page.step().unwrap());
                prop_assert_eq!(&page.term, term);
                match place % 3 {
                    0 => prop_assert_eq!(page.list(), List::One(place)),
                    1 => prop_assert_eq!(page.list(), List::Here(&[0, 1, 2])),
                    _ => prop_assert_eq!(page.list(), List::There(There { offset: u64::from(place) << 20, octets: place, checksum: !place })),
                }
            }
            prop_assert!(!page.step().unwrap());
            let page = Page::unpack(&octets).unwrap();
            for (term, &place) in &terms {
                let count = [1, 2, 9][place as usize % 3];
                prop_assert_eq!(page.find(term).unwrap().map(|(found, _)| found), Some(count));
                for absent in [&term[..term.len() - 1], &[term.as_slice(), &[7]].concat()[..], &[&term[1..], &term[..1]].concat()[..]] {
                    prop_assert_eq!(page.find(absent).unwrap().is_some(), terms.contains_key(absent));
                }
            }
        }

        #[test]
        fn a_damaged_page_is_harmless(octets in prop::collection::vec(any::<u8>(), 0..200), texts in 0..200usize) {
            let _ = Page::unpack(&octets);
            let texts = texts.min(octets.len());
            let mut page = Page { heads: octets.clone(), lists: octets, text_at: texts, texts, ..Page::default() };
            while page.step().unwrap_or(false) {
                page.list().places();
            }
            let _ = page.find(b"\x07term");
        }
    }
}
