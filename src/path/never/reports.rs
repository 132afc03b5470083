//! Reports that passed and speak of what was asked for, though the message itself was never seen.

use super::super::answer::ReportHop;
use super::super::fate;
use super::super::find::Traces;
use super::super::what::What;
use crate::store::{PageRequest, Query, Term, contains_words, has_words};
use crate::trace::{Flag, Record, Report, Transaction};

const REPORTS: usize = 5;
/// Newest reports that are looked through for words: what a report quotes of a message is in the index as a whole only.
const LOOKED_THROUGH: usize = 500;

/// Those on a message with such an id, or on such a recipient; else those on a message with such words in its Message-ID or subject.
pub(super) fn reports<T: Traces>(traces: &T, what: &What) -> Result<Vec<ReportHop>, T::Error> {
    let of = what.in_reports();
    if !of.is_empty() {
        let found = newest(traces, what, vec![Term::Any(of)], REPORTS)?;
        if !found.is_empty() {
            return Ok(told(found.iter()));
        }
    }
    let words = what.words_in_reports();
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let is_meant = |it: &&Transaction| it.message.report.as_deref().is_some_and(|report| words.iter().any(|term| quotes(report, term)));
    let found = newest(traces, what, Vec::new(), LOOKED_THROUGH)?;
    Ok(told(found.iter().filter(is_meant).take(REPORTS)))
}

fn newest<T: Traces>(traces: &T, what: &What, terms: Vec<Term>, limit: usize) -> Result<Vec<Transaction>, T::Error> {
    let all = std::iter::once(Term::Flag(Flag::Report)).chain(terms).collect();
    let records = traces.query(&Query { all, since: what.since, until: what.until }, &PageRequest::newest(limit))?.records;
    Ok(records.into_iter().filter_map(|record| if let Record::Transaction(it) = record { Some(*it) } else { None }).collect())
}

fn told<'a>(found: impl Iterator<Item = &'a Transaction>) -> Vec<ReportHop> {
    found.filter_map(fate::unproven).collect()
}

/// Whether the message that it is on has those words.
fn quotes(report: &Report, term: &Term) -> bool {
    match term {
        Term::MessageId(words) => report.original_message_id.as_deref().is_some_and(|id| contains_words(id, words)),
        Term::Subject(words) => report.original_subject.as_deref().is_some_and(|subject| has_words(subject, words)),
        _ => false,
    }
}
