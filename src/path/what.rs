//! What was asked: free words and `field:value` terms, and the ways in which free words can be read.

use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use super::filter::Filter;
use super::nearest::nearest_word;
use super::reading::Reading;
use super::when::{self, Edge};
use crate::store::{Query, Term};
use crate::trace::digest::NotADigest;
use crate::trace::json::Time;
use crate::trace::{Flag, Record, RecordId, RecordKind, Stage, State, WallMicros};

/// The grammar, for `--help` and errors.
pub const GRAMMAR: &str = "\
WHAT is free words, field:value terms, or both; all of them have to hold. Quote values with spaces: subject:\"two words\".

Free words are read as, in this order, whatever finds something first:
  a trace id, a Message-ID (<abc.7@mail.example.org>) or some of its words in a row (abc.7),
  an address (bob@example.org, @example.org), a queue id (the smart host's or your server's),
  a client's IP address, a domain, a local part, words of the subject.

Fields:
  id:          trace id of a transaction or session    message-id:  <whole> or some of its words
  session:     all records of a session                queue:       queue id, either side's
  from:        reverse-path; a@b, @b or a; <> is null  to:          a recipient; a@b, @b or a
  address:     sender or recipient                     domain:      of sender or recipient
  subject:     words, in any order                     digest:      BLAKE3 of the message octets
  client:      IP address of the sending server        helo:        the name it gave
  auth-user:   the name it logged in with              listener:    where it came in
  upstream:    name or host of the smart host          code:        reply code that decided: 550
  state:       accepted deferred rejected aborted unknown partial
  stage:       connect banner ehlo starttls auth mail_from rcpt_to data body end_of_data …
  flag:        in_doubt late_reply bare_newline …      kind:        transaction session gap
  by:          client proxy dns network upstream       enhanced:    5.1.1, or its beginning: 5.7
  reply:       text of a reply that decided            tls:         none any verified unverified TLSv1.2 (upstream leg)
  size:        >10M or <4k, octets of the message      duration:    >10s or <50ms, the whole transaction
  since: until:  2h, 30m, 3d, 10:02, today, yesterday, 2026-11-23, 2026-11-23T10:02, …Z for UTC";

/// What can be asked for by name.
const FIELDS: &[&str] = &[
    "id",
    "session",
    "message-id",
    "queue",
    "from",
    "to",
    "address",
    "domain",
    "subject",
    "digest",
    "client",
    "helo",
    "auth-user",
    "listener",
    "upstream",
    "code",
    "state",
    "stage",
    "flag",
    "kind",
    "by",
    "act",
    "cause",
    "enhanced",
    "reply",
    "tls",
    "size",
    "duration",
    "since",
    "until",
];

/// Whether something can be asked for by that name.
pub fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name))
}

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
    filters: Vec<Filter>,
    free: Vec<String>,
    pub since: Option<WallMicros>,
    pub until: Option<WallMicros>,
    /// The same question, with times that mean the same everywhere.
    canonical: Vec<String>,
}

impl What {
    /// Reads a question; relative times are seen from `now` in `zone`.
    ///
    /// # Errors
    /// An unknown field, or a value that its field can't have: with the column.
    pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Self, NotUnderstood> {
        let mut what = Self { text: text.trim().to_owned(), ..Self::default() };
        for word in words(text)? {
            what.add(&word, now, zone)?;
        }
        if let (Some(since), Some(until)) = (what.since, what.until)
            && since >= until
        {
            return Err(NotUnderstood { column: 1, message: "since: is not before until:, so nothing can match".to_owned() });
        }
        Ok(what)
    }

    fn add(&mut self, word: &Word, now: Timestamp, zone: &TimeZone) -> Result<(), NotUnderstood> {
        let Some(field) = &word.field else {
            self.free.push(word.value.clone());
            self.canonical.push(quoted(&word.value));
            return Ok(());
        };
        let value = word.value.as_str();
        let wrong = |message: String| NotUnderstood { column: word.value_column, message };
        let mut canonical = format!("{field}:{}", quoted(value));
        let ip = || IpAddr::from_str(value.trim_matches(['[', ']'])).map_err(|_| wrong(format!("{value:?} is not an IP address")));
        let id = || RecordId::from_str(value).map_err(|error| wrong(error.to_string()));
        let term = match field.as_str() {
            "id" => Term::Id(id()?),
            "session" => Term::Session(id()?),
            "message-id" => Term::MessageId(value.to_owned()),
            "queue" => Term::QueueId(value.to_owned()),
            "from" => Term::From(if value == "<>" { String::new() } else { value.to_owned() }),
            "to" => Term::To(value.to_owned()),
            "address" => Term::Address(value.to_owned()),
            "domain" => Term::Domain(value.trim_start_matches('@').to_owned()),
            "subject" => Term::Subject(value.to_owned()),
            "digest" => Term::BodyDigest(value.parse().map_err(|error: NotADigest| wrong(error.to_string()))?),
            "client" => Term::ClientIp(ip()?),
            "helo" => Term::Helo(value.to_owned()),
            "auth-user" => Term::AuthUser(value.to_owned()),
            "listener" => Term::Listener(value.to_owned()),
            "upstream" => Term::Upstream(value.to_owned()),
            "code" => match value.parse() {
                Ok(code @ 100..=599) => Term::Code(code),
                _ => return Err(wrong(format!("{value:?} is not a reply code such as 550"))),
            },
            "state" => Term::State(State::from_word(value).ok_or_else(|| wrong(one_of("state", value, State::ALL, State::word)))?),
            "stage" => Term::Stage(Stage::from_word(value).ok_or_else(|| wrong(one_of("stage", value, Stage::ALL, Stage::word)))?),
            "flag" => Term::Flag(Flag::from_word(value).ok_or_else(|| wrong(one_of("flag", value, Flag::ALL, Flag::word)))?),
            "kind" => {
                Term::Kind(RecordKind::from_word(value).ok_or_else(|| wrong(one_of("kind", value, RecordKind::ALL, RecordKind::word)))?)
            }
            "since" | "until" => {
                let edge = if field == "since" { Edge::Since } else { Edge::Until };
                let at = when::parse(value, edge, now, zone).map_err(&wrong)?;
                canonical = format!("{field}:{}", Time(at));
                if edge == Edge::Since {
                    self.since = Some(at)
                } else {
                    self.until = Some(at)
                }
                self.canonical.push(canonical);
                return Ok(());
            }
            other => {
                if let Some(filter) = Filter::parse(other, value) {
                    self.filters.push(filter.map_err(wrong)?);
                    self.canonical.push(canonical);
                    return Ok(());
                }
                let unknown = other;
                let hint = nearest_word(unknown, FIELDS).map(|near| format!("; did you mean {near}:?")).unwrap_or_default();
                let message =
                    format!("no field is called {unknown:?}{hint} (quote it if it is a word of a subject: \"{unknown}:{value}\")");
                return Err(NotUnderstood { column: word.column, message });
            }
        };
        self.canonical.push(canonical);
        self.fields.push(term);
        Ok(())
    }

    /// Nothing at all was asked.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.filters.is_empty() && self.free.is_empty()
    }

    /// The question with absolute times, to be sent to a process with another clock or zone.
    pub fn canonical(&self) -> String {
        self.canonical.join(" ")
    }

    /// The queries that the question can mean, most particular first. The first that finds something is meant.
    pub fn readings(&self) -> Vec<Reading> {
        let reading = |name: &'static str, terms: Vec<Term>| Reading {
            name,
            query: Query { all: self.fields.iter().cloned().chain(terms).collect(), since: self.since, until: self.until },
            filters: self.filters.clone(),
        };
        let [only] = self.free.as_slice() else {
            if self.free.is_empty() {
                return vec![reading("the fields", Vec::new())];
            }
            let (addresses, words): (Vec<_>, Vec<_>) = self.free.iter().partition(|word| word.contains('@'));
            let mut terms: Vec<Term> = addresses.into_iter().cloned().map(Term::Address).collect();
            if !words.is_empty() {
                terms.push(Term::Subject(words.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ")));
            }
            return vec![reading("words of a subject, or addresses", terms)];
        };
        let word = only.clone();
        if word == "<>" {
            return vec![reading("the null sender", vec![Term::From(String::new())])];
        }
        if let Ok(ip) = IpAddr::from_str(word.trim_matches(['[', ']'])) {
            return vec![reading("a client's address", vec![Term::ClientIp(ip)])];
        }
        let mut readings = Vec::new();
        if let Ok(id) = RecordId::from_str(&word) {
            readings.push(reading("a trace id", vec![Term::Id(id)]));
            readings.push(reading("a session's id", vec![Term::Session(id)]));
        }
        if word.contains('@') {
            let bare = word.trim_start_matches('<').trim_end_matches('>');
            readings.push(reading("a Message-ID", vec![Term::MessageId(format!("<{bare}>"))]));
            readings.push(reading("an address", vec![Term::Address(bare.to_owned())]));
            readings.push(reading("words of a Message-ID", vec![Term::MessageId(bare.to_owned())]));
            return readings;
        }
        readings.push(reading("a queue id", vec![Term::QueueId(word.clone())]));
        if word.contains('.') {
            readings.push(reading("a domain", vec![Term::Domain(word.clone())]));
        }
        readings.push(reading("words of a Message-ID", vec![Term::MessageId(word.clone())]));
        readings.push(reading("a local part", vec![Term::Address(word.clone())]));
        readings.push(reading("words of a subject", vec![Term::Subject(word)]));
        readings
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
        let of_words = self.free.iter().map(|word| word.trim_start_matches('<').trim_end_matches('>'));
        of_fields.chain(of_words).filter(|word| word.find('@').is_some_and(|at| at > 0)).collect()
    }

    /// Whether the question is for what only a header tells (a Message-ID, a subject), and the domain of the Message-ID.
    pub fn needs_header(&self) -> Option<Option<&str>> {
        let of_fields = self.fields.iter().find_map(|term| match term {
            Term::MessageId(id) => Some(id.as_str()),
            Term::Subject(_) => Some(""),
            _ => None,
        });
        let asked = of_fields.or(self.free.first().map(String::as_str))?;
        if std::net::IpAddr::from_str(asked).is_ok() || RecordId::from_str(asked).is_ok() {
            return None;
        }
        Some(asked.trim_end_matches('>').rsplit_once('@').map(|(_, domain)| domain))
    }

    /// The sender asked for, if one was.
    pub fn sender(&self) -> Option<&str> {
        self.fields.iter().find_map(|term| match term {
            Term::From(address) if !address.is_empty() => Some(address.as_str()),
            _ => None,
        })
    }
}

/// A word of the question: where it stands, the field before its colon, and its value without quotes.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    column: usize,
    value_column: usize,
    field: Option<String>,
    value: String,
}

fn words(text: &str) -> Result<Vec<Word>, NotUnderstood> {
    let mut words = Vec::new();
    let mut rest = text.chars().zip(1..).peekable();
    while let Some(&(first, column)) = rest.peek() {
        if first.is_whitespace() {
            rest.next();
            continue;
        }
        let mut word = Word { column, value_column: column, field: None, value: String::new() };
        let mut quoted = false;
        while let Some(&(c, at)) = rest.peek() {
            match c {
                '"' => {
                    rest.next();
                    quoted = true;
                    loop {
                        match rest.next() {
                            Some(('"', _)) => break,
                            Some(('\\', _)) if matches!(rest.peek(), Some(('"' | '\\', _))) => {
                                word.value.extend(rest.next().map(|(c, _)| c));
                            }
                            Some((c, _)) => word.value.push(c),
                            None => return Err(NotUnderstood { column: at, message: "this quote is never closed".to_owned() }),
                        }
                    }
                }
                ':' if word.field.is_none() && !quoted && is_field_name(&word.value) && !is_last(&mut rest.clone()) => {
                    rest.next();
                    word.field = Some(std::mem::take(&mut word.value).to_ascii_lowercase());
                    word.value_column = at + 1;
                }
                c if c.is_whitespace() => break,
                c => {
                    word.value.push(c);
                    rest.next();
                }
            }
        }
        // `2001:db8::1` is an address, not a field.
        if let Some(field) = &word.field
            && IpAddr::from_str(&format!("{field}:{}", word.value)).is_ok()
        {
            word.value = format!("{field}:{}", word.value);
            word.field = None;
        }
        if let Some(name) = word.value.strip_suffix(':').filter(|name| word.field.is_none() && !quoted && is_field(name)) {
            let message = format!("{name}: has no value (quote it if it is a word of a subject: \"{name}:\")");
            return Err(NotUnderstood { column: word.column, message });
        }
        words.push(word);
    }
    Ok(words)
}

fn is_field_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// The colon ends its word, as in a subject's `Re:`.
fn is_last(rest: &mut impl Iterator<Item = (char, usize)>) -> bool {
    rest.next();
    rest.next().is_none_or(|(c, _)| c.is_whitespace())
}

fn quoted(value: &str) -> String {
    if value.is_empty() || value.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\' | ':')) {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        value.to_owned()
    }
}

fn one_of<T: Copy>(field: &str, value: &str, all: &[T], word: fn(T) -> &'static str) -> String {
    let words: Vec<&str> = all.iter().copied().map(word).collect();
    let hint = nearest_word(value, &words).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("{value:?} is not a {field}{hint} One of: {}", words.join(" "))
}

#[cfg(test)]
#[path = "what_tests.rs"]
mod tests;
