//! What can be asked: terms that all have to hold, within a span of time.

use std::net::IpAddr;

use super::cursor::Cursor;
use super::facts::Facts;
use super::keys::{Key, KeyKind};
use super::text;
use crate::trace::{Digest, Flag, Record, RecordId, RecordKind, Stage, State, WallMicros};

/// One thing a record must have. Texts are compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// In angle brackets: exactly this Message-ID. Otherwise some of its words, one after the other: `abc.7@mail`.
    MessageId(String),
    /// The upstream's or the client's.
    QueueId(String),
    /// An address anywhere: reverse-path, recipient, header From. Without `@` a local part, with nothing before it a domain.
    Address(String),
    /// The reverse-path; empty for the null sender. Forms as for [`Term::Address`].
    From(String),
    /// A recipient. Forms as for [`Term::Address`].
    To(String),
    /// The domain of the reverse-path or of a recipient.
    Domain(String),
    ClientIp(IpAddr),
    /// Of the whole or of one recipient.
    State(State),
    /// Of the whole, of one recipient, or where the session ended.
    Stage(Stage),
    Flag(Flag),
    Kind(RecordKind),
    /// Its name or its host.
    Upstream(String),
    Listener(String),
    /// A reply code that decided, for the whole or for one recipient.
    Code(u16),
    /// Words of the subject, in any order.
    Subject(String),
    Session(RecordId),
    /// The record itself.
    Id(RecordId),
    AuthUser(String),
    Helo(String),
    BodyDigest(Digest),
}

/// All terms hold, and the record's time is in `since..until`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pub all: Vec<Term>,
    pub since: Option<WallMicros>,
    pub until: Option<WallMicros>,
}

/// Which part of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    pub limit: usize,
    /// [`Page::next`] of the page before; `None` for the newest.
    pub before: Option<Cursor>,
}

/// Records, newest first, amendments folded in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    pub records: Vec<Record>,
    /// Where the next page begins; `None` if this was the last.
    pub next: Option<Cursor>,
    /// The search took too long and was broken off at `next`: there may be more, even if `records` is empty.
    pub cut_short: bool,
}

impl PageRequest {
    pub fn newest(limit: usize) -> Self {
        Self { limit, before: None }
    }
}

impl Query {
    pub fn of(term: Term) -> Self {
        Self { all: vec![term], ..Self::default() }
    }

    /// Whether a record is an answer.
    pub fn matches(&self, record: &Record) -> bool {
        if matches!(record.kind(), RecordKind::Mark | RecordKind::Amendment) {
            return false;
        }
        let at = time_of(record);
        self.since.is_none_or(|since| since <= at)
            && self.until.is_none_or(|until| at < until)
            && self.all.iter().all(|term| term.matches(record))
    }

    /// What the index is asked: of each inner list at least one key must be there.
    pub(super) fn clauses(&self) -> Vec<Vec<Key>> {
        self.all.iter().flat_map(Term::clauses).collect()
    }
}

/// The time that a search goes by.
pub(super) fn time_of(record: &Record) -> WallMicros {
    match record {
        Record::Transaction(it) => it.at,
        Record::Session(it) => it.at,
        Record::Amendment(it) => it.at,
        Record::Gap(it) => it.until,
        Record::Mark(it) => it.at,
    }
}

impl Term {
    fn clauses(&self) -> Vec<Vec<Key>> {
        let one = |key| vec![vec![key]];
        match self {
            Self::MessageId(id) if is_exact(id) => one(Key::text(KeyKind::MessageId, text::bare(id))),
            Self::MessageId(part) => each(text::tokens(part), KeyKind::MessageIdToken),
            Self::QueueId(id) => one(Key::text(KeyKind::QueueId, id)),
            Self::Address(address) => by_address(address, &[KeyKind::ReversePath, KeyKind::Recipient, KeyKind::HeaderFrom]),
            Self::From(address) => by_address(address, &[KeyKind::ReversePath]),
            Self::To(address) => by_address(address, &[KeyKind::Recipient]),
            Self::Domain(domain) => one(Key::text(KeyKind::Domain, domain)),
            Self::ClientIp(ip) => one(Key::octets(KeyKind::ClientIp, &text::address_octets(*ip))),
            Self::State(state) => one(Key::number(KeyKind::State, *state as u16)),
            Self::Stage(stage) => one(Key::number(KeyKind::Stage, *stage as u16)),
            Self::Flag(flag) => one(Key::number(KeyKind::Flag, *flag as u16)),
            Self::Kind(kind) => one(Key::number(KeyKind::Kind, *kind as u16)),
            Self::Upstream(upstream) => one(Key::text(KeyKind::Upstream, upstream)),
            Self::Listener(listener) => one(Key::text(KeyKind::Listener, listener)),
            Self::Code(code) => one(Key::number(KeyKind::Code, *code)),
            Self::Subject(words) => each(text::tokens(words), KeyKind::SubjectWord),
            Self::Session(id) => one(Key::id(KeyKind::Session, *id)),
            Self::Id(id) => one(Key::id(KeyKind::Id, *id)),
            Self::AuthUser(user) => one(Key::text(KeyKind::AuthUser, user)),
            Self::Helo(helo) => one(Key::text(KeyKind::Helo, helo)),
            Self::BodyDigest(digest) => one(Key::digest(digest)),
        }
    }

    fn matches(&self, record: &Record) -> bool {
        let facts = Facts::of(record);
        match self {
            Self::MessageId(wanted) => facts.message_id().is_some_and(|id| match is_exact(wanted) {
                true => text::same(id, text::bare(wanted)),
                false => text::contains_words(id, wanted),
            }),
            Self::QueueId(id) => facts.queue_ids().any(|known| text::same(known, id)),
            Self::Address(address) => facts
                .reverse_path()
                .into_iter()
                .chain(facts.recipients())
                .chain(facts.header_from())
                .any(|known| is_address(known, address)),
            Self::From(address) => facts.reverse_path().is_some_and(|known| is_address(known, address)),
            Self::To(address) => facts.recipients().any(|known| is_address(known, address)),
            Self::Domain(domain) => {
                let of = |address| text::split_address(address).1;
                facts.reverse_path().into_iter().chain(facts.recipients()).filter_map(of).any(|known| text::same(known, domain))
            }
            Self::ClientIp(ip) => facts.client.is_some_and(|client| client.ip.to_canonical() == ip.to_canonical()),
            Self::State(state) => facts.states().any(|known| known == *state),
            Self::Stage(stage) => facts.stages().any(|known| known == *stage),
            Self::Flag(flag) => facts.flags.contains(flag),
            Self::Kind(kind) => record.kind() == *kind,
            Self::Upstream(upstream) => facts.upstream.is_some_and(|known| {
                text::same(&known.name, upstream) || known.host.as_ref().is_some_and(|host| text::same(host, upstream))
            }),
            Self::Listener(listener) => facts.listener.is_some_and(|known| text::same(known, listener)),
            Self::Code(code) => facts.codes().any(|known| known == *code),
            Self::Subject(words) => facts.subject().is_some_and(|subject| text::has_words(subject, words)),
            Self::Session(id) => facts.session == Some(*id),
            Self::Id(id) => record.id() == *id,
            Self::AuthUser(user) => facts.auth_users().any(|known| text::same(known, user)),
            Self::Helo(helo) => facts.client.and_then(|client| client.helo.as_ref()).is_some_and(|known| text::same(known, helo)),
            Self::BodyDigest(digest) => facts.body_digest() == Some(*digest),
        }
    }
}

fn is_exact(message_id: &str) -> bool {
    let id = message_id.trim();
    id.starts_with('<') && id.ends_with('>')
}

fn each<'a>(tokens: impl Iterator<Item = &'a str>, kind: KeyKind) -> Vec<Vec<Key>> {
    tokens.map(|token| vec![Key::text(kind, token)]).collect()
}

/// `a@b`, `@b` or `a`.
fn by_address(wanted: &str, kinds: &[KeyKind]) -> Vec<Vec<Key>> {
    let wanted = text::bare(wanted);
    match text::split_address(wanted) {
        ("", Some(domain)) => vec![vec![Key::text(KeyKind::Domain, domain)]],
        ("", None) | (_, Some(_)) => vec![kinds.iter().map(|&kind| Key::text(kind, wanted)).collect()],
        (local_part, None) => vec![vec![Key::text(KeyKind::LocalPart, local_part)]],
    }
}

fn is_address(known: &str, wanted: &str) -> bool {
    let wanted = text::bare(wanted);
    let (local_part, domain) = text::split_address(known);
    match wanted.strip_prefix('@') {
        Some(wanted) => domain.is_some_and(|domain| text::same(domain, wanted)),
        None if wanted.is_empty() || wanted.contains('@') => text::same(known, wanted),
        None => text::same(local_part, wanted),
    }
}
