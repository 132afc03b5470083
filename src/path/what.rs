//! What was asked: free words and `field:value` terms, and the ways in which free words can be read.

use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use super::answer::PathState;
use super::candidates;
use super::field;
use super::lex::{Word, written};
use super::reading::Reading;
use super::tree::{self, Node};
use super::when::{self, Edge};
use crate::store::{Query, Term, TextField};
use crate::trace::json::Time;
use crate::trace::{Record, RecordId, WallMicros};

/// The grammar, for `--help` and errors.
pub const GRAMMAR: &str = "\
WHAT is free words, field:value terms, or both; all of them have to hold. Quote values with spaces: subject:\"two words\".
Terms are tied with and, or, not and parentheses: state:rejected and not (to:@a.example or to:@b.example). Between plain words
write AND, OR, NOT in capitals: a subject that is pasted in keeps its own.

Free words are read as, in this order, whatever finds something first:
  a trace id, a Message-ID (<abc.7@mail.example.org>) or some of its words in a row (abc.7),
  an address (bob@example.org, @example.org), a queue id (the smart host's or your server's),
  a client's IP address, a domain, a local part, words of the subject.

Words of a Message-ID, a subject or a reply are found whole, the last one (three characters or more) also by its beginning:
subject:inv finds \"invoices\". Other texts are found by their beginning with a star: from:bob*, queue:4XyZ*, domain:exam*.
A star elsewhere (subject:*voice*, to:*b@*.org) goes through all values that there are, which takes longer.

Fields:
  id:          trace id of a transaction or session    message-id:  <whole> or some of its words
  session:     all records of a session                queue:       queue id, either side's
  from:        reverse-path; a@b, @b or a; <> is null  to:          a recipient; a@b, @b or a
  address:     sender or recipient                     domain:      of sender or recipient
  subject:     words, in any order                     digest:      BLAKE3 of the message octets
  client:      IP address or network of the sender     helo:        the name it gave
  auth-user:   the name it logged in with              listener:    where it came in
  upstream:    name, host, address or network          code:        reply code that decided: 550
  state:       accepted deferred rejected aborted unknown partial; bounced delivered stuck discarded, by what reports and logs say
               later. where: of the message at last; elsewhere: of the record (ever: at any time, before a late reply too)
  stage:       connect banner ehlo starttls auth mail_from rcpt_to data body end_of_data …
  flag:        in_doubt late_reply bare_newline …      kind:        transaction session log incident audit gap; report
  by:          client proxy dns network upstream       act:         who must act
  enhanced:    5.1.1, or its beginning: 5.7            reply:       words of a reply that decided, in a row
  cause:       mailbox_full greylisted blocklisted …   rule:        what told the cause
  provider:    whose server or reply: gmail …          event:       of a log's line: sent bounced deferred …
  tls:         none any verified unverified TLSv1.2 (client-tls: too)
  size:        >10M, <4k, 10k..1M, octets              duration:    >10s, <50ms, 1s..5s, the whole transaction
  since: until:  2h, 30m, 3d, 10:02, today, yesterday, 2026-11-23, 2026-11-23T10:02, …Z for UTC";

/// Where and why a question can't be understood.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("column {column}: {message}")]
pub struct NotUnderstood {
    /// Counted in characters from 1.
    pub column: usize,
    pub message: String,
}

/// A parsed question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct What {
    /// As it was asked.
    pub text: String,
    fields: Vec<Term>,
    free: Vec<Word>,
    path_state: Option<PathState>,
    pub since: Option<WallMicros>,
    pub until: Option<WallMicros>,
    /// The same question, with times that mean the same everywhere.
    canonical: Vec<String>,
}

impl What {
    /// Reads a question; relative times are seen from `now` in `zone`.
    ///
    /// # Errors
    /// An unknown field, a value that its field can't have, an operator with nothing to tie: with the column.
    pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Self, NotUnderstood> {
        let mut what = Self { text: text.trim().to_owned(), ..Self::default() };
        let nodes = match tree::read(text)? {
            Node::All(nodes) => nodes,
            only => vec![only],
        };
        for node in nodes {
            what.add(node, now, zone)?;
        }
        if let (Some(since), Some(until)) = (what.since, what.until)
            && since >= until
        {
            return Err(NotUnderstood { column: 1, message: "since: is not before until:, so nothing can match".to_owned() });
        }
        Ok(what)
    }

    /// Takes in one of the things that all have to hold.
    fn add(&mut self, node: Node, now: Timestamp, zone: &TimeZone) -> Result<(), NotUnderstood> {
        let Node::Word(column, word) = &node else {
            self.fields.push(term(&node)?);
            let tied = node.written(&as_written);
            self.canonical.push(if matches!(node, Node::Not(_)) { tied } else { format!("({tied})") });
            return Ok(());
        };
        let edge = match word.field.as_deref() {
            None => {
                self.free.push(word.clone());
                self.canonical.push(as_written(word));
                return Ok(());
            }
            Some("since") => Edge::Since,
            Some("until") => Edge::Until,
            Some("state") if !word.has_star && self.path_state.is_none() && PathState::of_word(&word.value).is_some() => {
                self.path_state = PathState::of_word(&word.value);
                self.canonical.push(as_written(word));
                return Ok(());
            }
            Some(field) => {
                self.fields.push(field::term(*column, field, word)?);
                self.canonical.push(as_written(word));
                return Ok(());
            }
        };
        let wrong = |message| NotUnderstood { column: word.value_column, message };
        let at = when::parse(&word.value, edge, now, zone).map_err(wrong)?;
        let (name, bound) = match edge {
            Edge::Since => ("since", &mut self.since),
            Edge::Until => ("until", &mut self.until),
        };
        *bound = Some(at);
        self.canonical.push(format!("{name}:{}", Time(at)));
        Ok(())
    }

    /// Nothing at all was asked.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.free.is_empty() && self.path_state.is_none()
    }

    /// The question with absolute times, to be sent to a process with another clock or zone.
    pub fn canonical(&self) -> String {
        self.canonical.join(" ")
    }

    /// The queries that the question can mean, most particular first. The first that finds something is meant.
    pub fn readings(&self) -> Vec<Reading> {
        let readings = match self.free.as_slice() {
            [] => vec![("the fields", Vec::new())],
            [only] => readings_of(only).into_iter().map(|(name, term)| (name, vec![term])).collect(),
            several => vec![("words of a subject, or addresses", several_words(several))],
        };
        let whole =
            |terms: Vec<Term>| Query { all: self.fields.iter().cloned().chain(terms).collect(), since: self.since, until: self.until };
        let says_so = self.path_state.map(candidates::says_so);
        let with_state = |terms: Vec<Term>| terms.into_iter().chain(says_so.clone()).collect();
        readings.into_iter().map(|(name, terms)| Reading { name, query: whole(with_state(terms)) }).collect()
    }

    /// The state that the messages asked for are to be in at last.
    pub fn path_state(&self) -> Option<PathState> {
        self.path_state
    }

    /// That no record can be listed for the question, if so.
    pub fn not_for_lists(&self) -> Option<NotUnderstood> {
        let message = "state:stuck: no record says that a message never left; ask `relayscope where state:stuck`".to_owned();
        (self.path_state == Some(PathState::Stuck)).then_some(NotUnderstood { column: 1, message })
    }

    /// The same question without that state, each way it can be read.
    pub fn without_state(&self) -> Vec<Reading> {
        Self { path_state: None, ..self.clone() }.readings()
    }

    /// Records that may lead to messages in that state.
    pub fn candidates(&self, state: PathState) -> Vec<Reading> {
        let plain = self.without_state();
        let query = |reading: &Reading, terms: Vec<Term>| Query { all: terms, ..reading.query.clone() };
        let in_reports = plain.iter().map(|reading| {
            let terms = reading.query.all.iter().filter_map(candidates::in_a_report).chain([candidates::says_so(state)]);
            Reading { name: reading.name, query: query(reading, terms.collect()) }
        });
        let themselves = plain.iter().map(|reading| {
            let terms = reading.query.all.iter().cloned().chain([candidates::may_become(state)]);
            Reading { name: reading.name, query: query(reading, terms.collect()) }
        });
        match (state, self.fields.is_empty() && self.free.is_empty()) {
            (PathState::Bounced | PathState::Delivered | PathState::Discarded, true) => in_reports.collect(),
            (PathState::Bounced | PathState::Delivered | PathState::Discarded, false) => in_reports.chain(themselves).collect(),
            _ => themselves.collect(),
        }
    }

    /// What reports may call what is asked for.
    pub fn in_reports(&self) -> Vec<Term> {
        let free = self.free.iter().filter(|word| !word.has_star).flat_map(readings_of).map(|(_, term)| term);
        self.fields.iter().cloned().chain(free).filter_map(|term| candidates::of_report(&term)).collect()
    }

    /// Words of a Message-ID or a subject that are asked for: a report quotes both.
    pub fn words_in_reports(&self) -> Vec<Term> {
        let free = match self.free.as_slice() {
            [only] => readings_of(only).into_iter().map(|(_, term)| term).collect(),
            several => several_words(several),
        };
        let is_words = |term: &Term| match term {
            Term::MessageId(id) => !id.starts_with('<'),
            other => matches!(other, Term::Subject(_)),
        };
        self.fields.iter().cloned().chain(free).filter(is_words).collect()
    }

    /// Whether a record answers the question in any of its readings: for those who follow, and can't wait which one is meant.
    pub fn may_mean(&self, record: &Record) -> bool {
        self.readings().iter().any(|reading| reading.matches(record))
    }

    /// Whole addresses in the question: what a misspelling can be in.
    pub fn addresses(&self) -> Vec<&str> {
        let of_fields = self.fields.iter().filter_map(|term| match term {
            Term::Address(address) | Term::From(address) | Term::To(address) => Some(address.as_str()),
            _ => None,
        });
        let of_words = self.free.iter().map(|word| word.value.trim_start_matches('<').trim_end_matches('>'));
        of_fields.chain(of_words).filter(|word| word.find('@').is_some_and(|at| at > 0)).collect()
    }

    /// Whether the question is for what only a header tells (a Message-ID, a subject), and the domain of the Message-ID.
    pub fn needs_header(&self) -> Option<Option<&str>> {
        let of_fields = self.fields.iter().find_map(|term| match term {
            Term::MessageId(id) => Some(id.as_str()),
            Term::Subject(_) => Some(""),
            _ => None,
        });
        let asked = of_fields.or(self.free.first().map(|word| word.value.as_str()).filter(|word| !is_plain_address(word)))?;
        if std::net::IpAddr::from_str(asked).is_ok() || RecordId::from_str(asked).is_ok() {
            return None;
        }
        Some(asked.trim_end_matches('>').rsplit_once('@').map(|(_, domain)| domain))
    }

    /// Domains in the question that may be the sender's: of an address, of a Message-ID, or a domain that stands for itself.
    pub fn sender_domains(&self) -> Vec<&str> {
        let of_fields = self.fields.iter().filter_map(|term| match term {
            Term::From(text) | Term::Address(text) | Term::MessageId(text) => domain_of(text),
            Term::Domain(domain) => Some(domain.as_str()),
            _ => None,
        });
        each_once(of_fields.chain(self.free.iter().filter_map(domain_in)))
    }

    /// Domains in the question that may be a recipient's. What stands in angle brackets is a Message-ID, which says nothing of one.
    pub fn recipient_domains(&self) -> Vec<&str> {
        let of_fields = self.fields.iter().filter_map(|term| match term {
            Term::To(text) | Term::Address(text) => domain_of(text),
            Term::Domain(domain) => Some(domain.as_str()),
            _ => None,
        });
        each_once(of_fields.chain(self.free.iter().filter(|word| !word.value.starts_with('<')).filter_map(domain_in)))
    }

    /// The trace id asked for, if nothing else was.
    pub fn id(&self) -> Option<RecordId> {
        if self.path_state.is_some() || self.since.is_some() || self.until.is_some() {
            return None;
        }
        match (self.fields.as_slice(), self.free.as_slice()) {
            ([Term::Id(id) | Term::Session(id)], []) => Some(*id),
            ([], [word]) => RecordId::from_str(&word.value).ok(),
            _ => None,
        }
    }

    /// The sender asked for, if one was.
    pub fn sender(&self) -> Option<&str> {
        self.fields.iter().find_map(|term| match term {
            Term::From(address) if !address.is_empty() => Some(address.as_str()),
            _ => None,
        })
    }
}

/// A person's or a program's address, by its looks: Message-IDs stand in angle brackets, are long, or have digits.
fn is_plain_address(word: &str) -> bool {
    let local = word.split_once('@').map(|(local, _)| local);
    local.is_some_and(|it| !it.is_empty() && !it.starts_with('<') && it.chars().count() < 24 && !it.contains(|c: char| c.is_ascii_digit()))
}

/// The domain of an address or of a Message-ID.
fn domain_of(text: &str) -> Option<&str> {
    let (_, domain) = text.trim_start_matches('<').trim_end_matches('>').rsplit_once('@')?;
    (!domain.is_empty()).then_some(domain)
}

/// The same, or a domain that is a word of its own.
fn domain_in(word: &Word) -> Option<&str> {
    let value = word.value.as_str();
    let alone = || {
        let is_name = value.contains('.') && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-'));
        let ends_as_one = value.rsplit('.').next().is_some_and(|last| last.len() > 1 && last.chars().all(char::is_alphabetic));
        (is_name && ends_as_one).then_some(value)
    };
    if word.has_star { None } else { domain_of(value).or_else(alone) }
}

fn each_once<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut once: Vec<&str> = Vec::new();
    for word in words {
        if !once.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            once.push(word);
        }
    }
    once
}

fn as_written(word: &Word) -> String {
    let value = written(&word.value, word.has_star);
    match &word.field {
        Some(field) => format!("{field}:{value}"),
        None => value,
    }
}

/// What is tied by operators, as a term. A free word in it means all that it can mean at once.
fn term(node: &Node) -> Result<Term, NotUnderstood> {
    let all = |nodes: &[Node]| nodes.iter().map(term).collect::<Result<Vec<_>, _>>();
    Ok(match node {
        Node::All(nodes) => Term::All(all(nodes)?),
        Node::Any(nodes) => Term::Any(all(nodes)?),
        Node::Not(node) => Term::Not(Box::new(term(node)?)),
        Node::Word(column, word) => match word.field.as_deref() {
            None => Term::Any(readings_of(word).into_iter().map(|(_, term)| term).collect()),
            Some(field @ ("since" | "until")) => {
                let message = format!("{field}: is for the whole question; write it outside of \"or\", \"not\" and parentheses");
                return Err(NotUnderstood { column: *column, message });
            }
            Some(field) => field::term(*column, field, word)?,
        },
    })
}

/// Several free words together are words of a subject, or addresses.
fn several_words(words: &[Word]) -> Vec<Term> {
    let (addresses, words): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.value.contains('@'));
    let of = |field: TextField, word: &Word| field::with_star(field, &word.value).unwrap_or_else(|_| Term::Like(field, word.value.clone()));
    let mut terms: Vec<Term> = Vec::new();
    for address in addresses {
        terms.push(if address.has_star { of(TextField::Address, address) } else { Term::Address(address.value.clone()) });
    }
    let (patterns, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.has_star);
    terms.extend(patterns.into_iter().map(|word| of(TextField::Subject, word)));
    if !words.is_empty() {
        terms.push(Term::Subject(words.into_iter().map(|word| word.value.as_str()).collect::<Vec<_>>().join(" ")));
    }
    terms
}

/// What one free word can be, most particular first.
fn readings_of(word: &Word) -> Vec<(&'static str, Term)> {
    if word.has_star {
        return starred(&word.value);
    }
    let word = word.value.clone();
    if word == "<>" {
        return vec![("the null sender", Term::From(String::new()))];
    }
    if let Ok(ip) = IpAddr::from_str(word.trim_matches(['[', ']'])) {
        return vec![("a client's address", Term::ClientIp(ip))];
    }
    if let Ok(net) = word.parse() {
        return vec![("a client's network", Term::ClientNet(field::canonical(net)))];
    }
    let mut readings = Vec::new();
    if let Ok(id) = RecordId::from_str(&word) {
        readings.push(("a trace id", Term::Id(id)));
        readings.push(("a session's id", Term::Session(id)));
    }
    if word.contains('@') {
        let bare = word.trim_start_matches('<').trim_end_matches('>');
        readings.push(("a Message-ID", Term::MessageId(format!("<{bare}>"))));
        readings.push(("an address", Term::Address(bare.to_owned())));
        readings.push(("words of a Message-ID", Term::MessageId(bare.to_owned())));
        return readings;
    }
    readings.push(("a queue id", Term::QueueId(word.clone())));
    if word.contains('.') {
        readings.push(("a domain", Term::Domain(word.clone())));
    }
    readings.push(("words of a Message-ID", Term::MessageId(word.clone())));
    readings.push(("a local part", Term::Address(word.clone())));
    readings.push(("words of a subject", Term::Subject(word)));
    readings
}

/// What a free word with a star can be.
fn starred(word: &str) -> Vec<(&'static str, Term)> {
    let kinds = [
        ("a queue id", TextField::QueueId),
        ("a domain", TextField::Domain),
        ("words of a Message-ID", TextField::MessageId),
        ("an address", TextField::Address),
        ("words of a subject", TextField::Subject),
    ];
    let is_address = word.contains('@');
    let kinds = kinds.into_iter().filter(|(_, field)| !is_address || *field == TextField::Address);
    kinds.filter_map(|(name, field)| Some((name, field::with_star(field, word).ok()?))).collect()
}

#[cfg(test)]
#[path = "what_tests.rs"]
mod tests;
