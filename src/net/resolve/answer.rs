//! What DNS said to one question, as the record keeps it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::{RData, RecordType};
use thiserror::Error;

/// The types of record that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Ptr,
    Soa,
    Tlsa,
    Txt,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Ptr => "PTR",
            Self::Soa => "SOA",
            Self::Tlsa => "TLSA",
            Self::Txt => "TXT",
        }
    }

    pub(super) fn of_hickory(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Cname => RecordType::CNAME,
            Self::Mx => RecordType::MX,
            Self::Ns => RecordType::NS,
            Self::Ptr => RecordType::PTR,
            Self::Soa => RecordType::SOA,
            Self::Tlsa => RecordType::TLSA,
            Self::Txt => RecordType::TXT,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What DNSSEC says of an answer (RFC 4035 4.3), by the word of a validating server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dnssec {
    /// Signed, and the signatures hold.
    Secure,
    /// Not signed (or the server doesn't validate, which looks the same).
    Insecure,
    /// Signed, and the signatures don't hold: forged, expired, or broken by its owner.
    Bogus,
    /// The server's word isn't taken: see [`super::TrustAd`].
    Unchecked,
}

impl Dnssec {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Insecure => "insecure",
            Self::Bogus => "bogus",
            Self::Unchecked => "unchecked",
        }
    }

    /// Of two answers that stand together, the one that is worth less counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let worth = |it| match it {
            Self::Bogus => 0,
            Self::Unchecked => 1,
            Self::Insecure => 2,
            Self::Secure => 3,
        };
        if worth(self) <= worth(other) { self } else { other }
    }
}

impl fmt::Display for Dnssec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a question has no records for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    #[error("no such name in DNS (NXDOMAIN)")]
    NoSuchName,
    #[error("the name exists in DNS but has no such record (NODATA)")]
    NoRecord,
    #[error("the DNS server answered {rcode}{}", explained_in_words(.explained))]
    ServerFailure { rcode: String, explained: Option<String> },
    #[error("DNS did not answer within {} s", .after.as_secs_f64())]
    TimedOut { after: Duration },
    #[error("the answer fails DNSSEC validation (bogus): {why}")]
    Bogus { why: String },
    #[error("no DNS server can be reached: {why}")]
    Unreachable { why: String },
    #[error("not a name that DNS could be asked for: {why}")]
    NotAName { why: String },
}

fn explained_in_words(explained: &Option<String>) -> String {
    explained.as_ref().map_or_else(String::new, |why| format!(" ({why})"))
}

impl Failure {
    /// One word for the record and for counting.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoSuchName => "nxdomain",
            Self::NoRecord => "nodata",
            Self::ServerFailure { .. } => "servfail",
            Self::TimedOut { .. } => "timeout",
            Self::Bogus { .. } => "bogus",
            Self::Unreachable { .. } => "unreachable",
            Self::NotAName { .. } => "not_a_name",
        }
    }

    /// Whether asking again later may help: false where DNS has said that there is nothing.
    pub fn is_temporary(&self) -> bool {
        !self.is_denial() && !matches!(self, Self::NotAName { .. })
    }

    /// Whether DNS answered that there is no such record.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::NoSuchName | Self::NoRecord)
    }
}

/// One record as text. Names and texts in it are hostile; what can't be printed is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// "MX", "CNAME", …
    pub record_type: &'static str,
    /// Seconds, as the server gave it.
    pub ttl: u32,
    /// The data in presentation format, at most [`MOST_TEXT`] octets.
    pub text: String,
}

/// Records of one answer that are kept as text.
pub const MOST_RECORDS: usize = 50;
/// Octets of one record's text.
pub const MOST_TEXT: usize = 512;

/// The answer to one question. Shared between all who asked it while it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As asked: A-labels, no final dot.
    pub name: String,
    pub kind: Kind,
    /// Absent if there are records.
    pub failure: Option<Failure>,
    /// Where CNAMEs led, if any were followed.
    pub canonical_name: Option<String>,
    /// The aliases followed, then the records: the first [`MOST_RECORDS`] of them.
    pub records: Vec<Record>,
    /// How many more there are.
    pub records_beyond: usize,
    /// Who answered; absent if nobody did.
    pub server: Option<SocketAddr>,
    /// Whether the answer was too long for UDP.
    pub tcp: bool,
    pub dnssec: Dnssec,
    /// How long the servers took, when they were asked.
    pub took: Duration,
    /// How long it may be kept.
    pub(super) lifetime: Duration,
    /// All data of the asked type.
    pub(super) data: Vec<RData>,
}

impl Answer {
    /// One that came about without a server's word.
    pub(super) fn failed(name: &str, kind: Kind, failure: Failure, took: Duration) -> Self {
        let dnssec = if matches!(failure, Failure::Bogus { .. }) { Dnssec::Bogus } else { Dnssec::Unchecked };
        Self {
            name: name.to_owned(),
            kind,
            failure: Some(failure),
            canonical_name: None,
            records: Vec::new(),
            records_beyond: 0,
            server: None,
            tcp: false,
            dnssec,
            took,
            lifetime: Duration::ZERO,
            data: Vec::new(),
        }
    }
}

/// One look-up, for the record: the answer and how it was come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    pub answer: Arc<Answer>,
    /// How old the answer was, if nobody had to be asked. Its TTLs have run down by as much.
    pub cached_for: Option<Duration>,
    /// How long this look-up took.
    pub took: Duration,
}

impl Lookup {
    pub fn failure(&self) -> Option<&Failure> {
        self.answer.failure.as_ref()
    }

    pub fn dnssec(&self) -> Dnssec {
        self.answer.dnssec
    }

    /// Seconds that a record of this answer is still good for.
    pub fn ttl_left(&self, record: &Record) -> u32 {
        let age = self.cached_for.map_or(0, |age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX));
        record.ttl.saturating_sub(age)
    }

    pub(in crate::net) fn data(&self) -> &[RData] {
        &self.answer.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_answers_are_worth_what_the_weaker_is() {
        let cases = [
            (Dnssec::Secure, Dnssec::Secure, Dnssec::Secure),
            (Dnssec::Secure, Dnssec::Insecure, Dnssec::Insecure),
            (Dnssec::Unchecked, Dnssec::Secure, Dnssec::Unchecked),
            (Dnssec::Insecure, Dnssec::Bogus, Dnssec::Bogus),
        ];
        for (one, other, both) in cases {
            assert_eq!((one.and(other), other.and(one)), (both, both));
        }
    }

    #[test]
    fn only_a_denial_is_final() {
        let later = [
            Failure::ServerFailure { rcode: "SERVFAIL".to_owned(), explained: None },
            Failure::TimedOut { after: Duration::from_secs(5) },
            Failure::Bogus { why: String::new() },
            Failure::Unreachable { why: String::new() },
        ];
        assert!(later.iter().all(Failure::is_temporary));
        assert!(![Failure::NoSuchName, Failure::NoRecord].iter().any(Failure::is_temporary));
    }
}
