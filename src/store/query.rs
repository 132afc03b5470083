//! What can be asked: terms that all have to hold, within a span of time.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::cursor::Cursor;
use super::search::Explained;
use crate::trace::{Act, Actor, Anomaly, Digest, Flag, Leg, LogEvent, Record, RecordId, RecordKind, Stage, State, WallMicros};

/// One thing a record must have, or how several are tied. Texts are compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// In angle brackets: exactly this Message-ID. Otherwise some of its words, one after the other, the last perhaps only begun: `abc.7@mai`.
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
    ClientNet(IpNet),
    UpstreamNet(IpNet),
    /// Of the whole or of one recipient.
    State(State),
    /// The same, now or before something became known later.
    Ever(State),
    /// Of the whole, of one recipient, or where the session ended.
    Stage(Stage),
    /// Who decided, for the whole or for one recipient, or ended the session.
    By(Actor),
    Act(Act),
    /// Of the whole or of one recipient.
    Cause(String),
    /// The rule that said so, of the whole or of one recipient.
    Rule(String),
    /// Whose server it was, or whose reply.
    Provider(String),
    Flag(Flag),
    Kind(RecordKind),
    /// What a line of a log says.
    Event(LogEvent),
    /// Reports of the message with exactly this Message-ID.
    ReportOf(String),
    /// Reports that name this ENVID or queue id.
    ReportOfQueueId(String),
    /// Reports on this recipient. Forms as for [`Term::Address`].
    ReportTo(String),
    /// Its name or its host.
    Upstream(String),
    Listener(String),
    /// A reply code that decided, for the whole or for one recipient.
    Code(u16),
    /// An enhanced status code that did, or its beginning: `5.7`.
    Enhanced(String),
    /// Words of a reply that did, one after the other, the last perhaps only begun.
    Reply(String),
    /// Words of the subject, in any order, the last perhaps only begun.
    Subject(String),
    Session(RecordId),
    /// Entries of this incident.
    Incident(RecordId),
    Anomaly(Anomaly),
    /// The record itself.
    Id(RecordId),
    AuthUser(String),
    Helo(String),
    BodyDigest(Digest),
    Tls(Leg, TlsIs),
    /// Octets of the message.
    Size(RangeInclusive<u64>),
    /// µs.
    Duration(RangeInclusive<u64>),
    /// A value that begins so.
    Begins(TextField, String),
    /// A value of that form, `*` standing for anything.
    Like(TextField, String),
    All(Vec<Term>),
    Any(Vec<Term>),
    Not(Box<Term>),
}

/// Fields that can be asked for by a part of their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextField {
    Address,
    From,
    To,
    Domain,
    MessageId,
    QueueId,
    Subject,
    Reply,
    Helo,
    AuthUser,
    Upstream,
    Listener,
    Cause,
    Rule,
    Provider,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsIs {
    None,
    Any,
    Verified,
    Unverified,
    /// `TLSv1.2`
    Version(String),
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
    /// How it was found.
    pub explained: Explained,
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

    /// Whether a record is an answer, as it is now.
    pub fn matches(&self, record: &Record) -> bool {
        self.matches_one_that_was(record, &[])
    }

    /// Whether a record is an answer that was in these states before.
    pub(super) fn matches_one_that_was(&self, record: &Record, earlier: &[State]) -> bool {
        if matches!(record.kind(), RecordKind::Mark | RecordKind::Amendment) {
            return false;
        }
        let at = time_of(record);
        self.since.is_none_or(|since| since <= at)
            && self.until.is_none_or(|until| at < until)
            && self.all.iter().all(|term| term.matches(record, earlier))
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
        Record::Log(it) => it.at,
        Record::Audit(it) => it.at,
        Record::Incident(it) => it.at,
    }
}
