//! `relayscope where -`: what was pasted is asked for by the ids in it, the strongest first.

use std::io::Read;

use jiff::Timestamp;

use crate::cli::backend::Backend;
use crate::cli::failure::Failure;
use crate::cli::search;
use crate::path::field::is_term;
use crate::path::pasted::{Clue, MOST_OCTETS, clues, looks_pasted};
use crate::path::{Answer, What, words};

/// Where and how it is asked.
pub(super) struct Ask {
    pub backend: Backend,
    pub limit: usize,
    pub now: Timestamp,
    pub dns: bool,
}

impl Ask {
    pub(super) fn question(&self, what: &What, dns: bool) -> Result<Answer, Failure> {
        self.backend.locate(what, self.limit, self.now, dns)
    }

    /// What stands on the command line: a question, or, where that is none or finds nothing, perhaps something pasted.
    pub(super) fn asked(&self, words: &[String]) -> Result<Answer, Failure> {
        // What is asked besides holds for what is pasted as well.
        let (others, pasted): (Vec<String>, Vec<String>) = words.iter().cloned().partition(|word| is_whole_term(word));
        let text = pasted.join(" ");
        let clues = if looks_pasted(&text) { clues(text.as_bytes()) } else { Vec::new() };
        let what = match search::question(words, self.now) {
            Err(_) if !clues.is_empty() => return self.clued(&clues, &others, false),
            what => what?,
        };
        if what.is_empty() {
            return Err(Failure::usage("nothing is asked: name a Message-ID, a queue id, an address or words of a subject"));
        }
        let answer = self.question(&what, self.dns && clues.is_empty())?;
        if is_found(&answer) || clues.is_empty() { Ok(answer) } else { self.clued(&clues, &others, false) }
    }

    /// `others`: terms that have to hold besides, such as `since:2d`.
    pub(super) fn pasted(&self, input: impl Read, others: &[String]) -> Result<Answer, Failure> {
        let mut octets = Vec::new();
        let limit = MOST_OCTETS as u64;
        input
            .take(limit + 1)
            .read_to_end(&mut octets)
            .map_err(|error| Failure::failed(error).advise("nothing could be read from standard input"))?;
        let is_cut = octets.len() > MOST_OCTETS;
        let clues = clues(&octets);
        self.clued(&clues, others, is_cut)
    }

    fn clued(&self, clues: &[Clue], others: &[String], is_cut: bool) -> Result<Answer, Failure> {
        let Some(first) = clues.first() else {
            let advice = "paste a bounce, the header fields of a message, or a reply with a trace id or queue id in it";
            return Err(Failure::usage("no id, address or trace id is in what was pasted").advise(advice));
        };
        for (place, clue) in clues.iter().enumerate() {
            let mut answer = self.question(&self.what(clue, others)?, false)?;
            if is_found(&answer) {
                let note = format!("Found by {} ({}), of what was pasted.", clue.what, clue.question);
                let before = match place {
                    0 => String::new(),
                    asked => format!(" Nothing was seen of {} asked before: {}.", words::count(asked, "clue"), said(clues, asked)),
                };
                answer.notes.insert(0, note + &before);
                answer.notes.extend(is_cut.then(cut_note));
                return Ok(answer);
            }
        }
        let mut answer = self.question(&self.what(first, others)?, self.dns)?;
        if clues.len() > 1 {
            answer.notes.insert(
                0,
                format!(
                    "Nothing was seen of any of {} in what was pasted: {}.",
                    words::count(clues.len(), "clue"),
                    said(clues, clues.len())
                ),
            );
        }
        answer.notes.extend(is_cut.then(cut_note));
        Ok(answer)
    }

    fn what(&self, clue: &Clue, others: &[String]) -> Result<What, Failure> {
        let terms: Vec<String> = std::iter::once(&clue.question).chain(others).cloned().collect();
        search::question(&terms, self.now)
    }
}

pub(super) fn is_found(answer: &Answer) -> bool {
    !answer.messages.is_empty() || !answer.under_way.is_empty()
}

/// `since:2d`, and not a piece of a header or a log.
fn is_whole_term(word: &str) -> bool {
    is_term(word) && !word.ends_with(':')
}

fn said(clues: &[Clue], count: usize) -> String {
    clues.iter().take(count).map(|clue| clue.question.clone()).collect::<Vec<_>>().join(", ")
}

fn cut_note() -> String {
    format!("Only the first {} KiB of what was pasted were looked at.", MOST_OCTETS / 1024)
}
