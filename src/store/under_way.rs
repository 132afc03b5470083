//! Transactions of this process whose mark is in the journal, and whose record isn't: messages that are on their way now.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::handle::{Store, StoreError};
use super::locks::locked;
use super::query::Query;
use super::search::Search;
use super::{frame, marks};
use crate::trace::{Mark, Record, RecordId, RecordKind, stored};

/// What those who ask see of a mark as of a record.
const ON_ITS_WAY: &str = "on its way";

/// The octets of the marks, by id. Most messages are never here: their record is written together with their mark.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<BTreeMap<u128, Vec<u8>>>);

impl UnderWay {
    /// Takes in frames of this process in the order in which they were written.
    pub fn note(&self, frames: &[u8]) {
        let mut all = locked(&self.0);
        let mut at = 0;
        while let Some((kind, length)) = frames.get(at..).and_then(frame::own) {
            let whole = frames.get(at..at + length).unwrap_or_default();
            at += length;
            let is_mark = kind == RecordKind::Mark as u8;
            if !is_mark && (all.is_empty() || kind != RecordKind::Transaction as u8) {
                continue;
            }
            let Some((id, octets)) = frame::own_parts(whole) else { continue };
            if is_mark {
                if marks::tells_more(octets, all.get(&id).map(Vec::len)) {
                    all.insert(id, octets.to_vec());
                }
            } else {
                all.remove(&id);
            }
        }
    }

    /// Records were lost: whose, nobody knows, and what is still under way can't be told from what has ended.
    pub fn forget(&self) {
        locked(&self.0).clear();
    }

    fn has_ended(&self, id: RecordId) {
        locked(&self.0).remove(&id.as_u128());
    }

    fn marks(&self) -> Vec<Mark> {
        let decode = |octets: &Vec<u8>| match stored::decode(stored::VERSION, RecordKind::Mark, octets) {
            Ok(Record::Mark(mark)) => Some(*mark),
            _ => None,
        };
        let all: Vec<Vec<u8>> = locked(&self.0).values().cloned().collect();
        all.iter().filter_map(decode).collect()
    }
}

impl Store {
    /// Messages that are on their way now, and of which the query holds as far as is known; newest first.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn under_way(&self, query: &Query) -> Result<Vec<Mark>, StoreError> {
        let live = self.live()?;
        let is_meant = |mark: &Mark| {
            let record = marks::in_doubt(mark, ON_ITS_WAY);
            query.matches(&record)
        };
        let mut found = Vec::new();
        for mark in live.under_way.marks().into_iter().filter(is_meant) {
            // Marks that are written once more (out of a sealed file, out of a predecessor's) may come behind their record.
            match Search::new(&live).fetch(mark.id)? {
                Some(_) => live.under_way.has_ended(mark.id),
                None => found.push(mark),
            }
        }
        found.sort_by_key(|mark| std::cmp::Reverse(mark.at));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    fn framed(records: &[Record]) -> Vec<u8> {
        let mut octets = Vec::new();
        records.iter().for_each(|record| frame::write(7, record, &mut octets).unwrap());
        octets
    }

    #[test]
    fn a_mark_is_under_way_until_its_record_comes() {
        let all = UnderWay::default();
        all.note(&framed(&[samples::transaction(1), samples::mark(2), samples::session(9), samples::mark(3)]));
        all.note(&framed(&[samples::transaction(2)]));
        let ids: Vec<_> = all.marks().iter().map(|mark| mark.id).collect();
        assert_eq!(ids, [samples::mark(3).id()]);
        all.forget();
        assert!(all.marks().is_empty());
    }

    #[test]
    fn a_mark_that_is_written_once_more_tells_of_the_message() {
        let Record::Mark(mut mark) = samples::mark(4) else { panic!() };
        let Record::Transaction(like) = samples::transaction(4) else { panic!() };
        let all = UnderWay::default();
        all.note(&framed(&[Record::Mark(mark.clone())]));
        assert_eq!(all.marks(), [(*mark).clone()]);
        mark.message = Some(Box::new(like.message.clone()));
        all.note(&framed(&[Record::Mark(mark.clone())]));
        assert_eq!(all.marks(), [(*mark).clone()]);
        // Carried over by sealing the file that it began in.
        all.note(&framed(&[samples::mark(4)]));
        assert_eq!(all.marks(), [*mark]);
    }
}
