//! Which hosts a record tried to reach, and what became of each try.

use serde::{Deserialize, Serialize};

use super::contains;
use crate::anomaly::seen::Seen;
use crate::trace::{Actor, Cause, LookupOutcome, Stage, State, WallMicros};

/// What became of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Why {
    Refused,
    TimedOut,
    NoRoute,
    /// A router or firewall says so, or nobody has that address.
    Unreachable,
    Reset,
    /// Its name can't be looked up.
    Dns,
    /// DNS has no such name, or no address of it.
    NoSuchName,
    /// 421 in the greeting's place.
    Closing,
    /// Another refusal in the greeting's place.
    Greeting,
    /// The same because of who asks: a matter of reputation.
    Unwelcome,
    Tls,
    /// It took the connection, and said nothing sensible.
    Silent,
    Other,
}

impl Why {
    pub const COUNT: usize = 13;

    pub fn words(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::TimedOut => "no answer (timed out)",
            Self::NoRoute => "no route",
            Self::Unreachable => "unreachable, says a router or firewall",
            Self::Reset => "connection reset",
            Self::Dns => "its name can't be looked up",
            Self::NoSuchName => "DNS has no address of that name",
            Self::Closing => "421 in the greeting's place",
            Self::Greeting => "a refusal in the greeting's place",
            Self::Unwelcome => "a refusal because of this machine's reputation",
            Self::Tls => "TLS fails",
            Self::Silent => "connected, and then silent or closed",
            Self::Other => "another failure",
        }
    }

    pub fn cause(self) -> Cause {
        match self {
            Self::Dns => Cause::DnsFailure,
            Self::NoSuchName => Cause::DomainNotFound,
            Self::Tls => Cause::TlsFailure,
            Self::Closing | Self::Greeting => Cause::RemoteSystemError,
            Self::Unwelcome => Cause::PoorReputation,
            _ => Cause::ConnectionFailed,
        }
    }

    /// Whether it proves that the port can be reached.
    pub fn reached(self) -> bool {
        !matches!(self, Self::TimedOut | Self::NoRoute | Self::Unreachable | Self::Dns | Self::NoSuchName | Self::Other)
    }
}

/// One try that failed.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    pub host: &'a str,
    pub port: u16,
    /// Tells the addresses of a host apart.
    pub ip: Option<std::net::IpAddr>,
    /// When it was begun: one that timed out has found nobody there ever since.
    pub began: WallMicros,
    pub why: Why,
    pub words: &'a str,
}

/// Calls for each failed try that this record is the first to tell of.
pub fn failures<'a>(seen: &Seen<'a>, mut each: impl FnMut(Failed<'a>)) {
    let Some(upstream) = seen.upstream else { return };
    let Some(from_us) = first_told(seen) else { return };
    let cause = seen.cause();
    let session_began = session_began(seen);
    let mut began = session_began.saturating_add(from_us).min(seen.at);
    let mut last = None;
    for tried in upstream.tried.iter().filter(|it| it.at_us >= from_us) {
        last = Some(tried.stage);
        // It is well, for other mail.
        if tried.stage == Stage::Ehlo && contains(&tried.error, "it doesn't take") {
            continue;
        }
        let why = why(tried.stage, &tried.error, cause);
        each(Failed { host: &tried.host, port: tried.port, ip: tried.ip, began, why, words: &tried.error });
        began = session_began.saturating_add(tried.at_us).min(seen.at);
    }
    // What ends a session is not always among the tries.
    let (Some(session), Some(outcome)) = (seen.session, seen.outcome) else { return };
    let on_the_way = matches!(outcome.stage, Stage::Connect | Stage::Banner | Stage::Ehlo | Stage::StartTls);
    let by_peer = matches!(outcome.by, Actor::Network | Actor::Upstream | Actor::Dns);
    if session.transactions == 0 && on_the_way && by_peer && last != Some(outcome.stage) && outcome.state != State::Accepted {
        let words = session.ended.detail.as_deref().or(outcome.detail.as_deref()).unwrap_or_default();
        let host = upstream.host.as_deref().unwrap_or_default();
        let why = why(outcome.stage, words, cause);
        each(Failed { host, port: upstream.port.unwrap_or_default(), ip: upstream.ip, began, why, words });
    }
}

/// When the session began, on whose clock the tries are.
fn session_began(seen: &Seen<'_>) -> WallMicros {
    let of_transaction = seen.transaction.map(|it| it.session_id.unix_ms().saturating_mul(1_000));
    of_transaction.or(seen.session.map(|it| it.at)).unwrap_or(seen.at)
}

/// From when in the session on tries are news; `None`: this record has none.
pub fn first_told(seen: &Seen<'_>) -> Option<u64> {
    if let Some(transaction) = seen.transaction {
        return Some(if transaction.transaction_no <= 1 { 0 } else { transaction.at.saturating_sub(session_began(seen)) });
    }
    seen.session.filter(|it| it.transactions == 0).map(|_| 0)
}

/// Whether the record proves that its host answered, sensibly, lately.
pub fn reached(seen: &Seen<'_>) -> bool {
    let Some(upstream) = seen.upstream.filter(|it| it.host.is_some()) else { return false };
    let early = |stage| matches!(stage, Stage::Connect | Stage::Banner | Stage::Ehlo | Stage::StartTls);
    match (seen.transaction, seen.session) {
        (Some(transaction), _) => {
            let outcome = &transaction.outcome;
            let taken = matches!(outcome.state, State::Accepted | State::Partial | State::Unknown);
            taken || matches!(outcome.by, Actor::Upstream | Actor::Recipient) && !early(outcome.stage)
        }
        (_, Some(session)) => {
            let failed = session.outcome.as_ref().is_some_and(|it| early(it.stage) && it.by != Actor::Client);
            // Passed through from its first octet, it offered nothing that could be read, and agreed on TLS.
            let agreed = upstream.spliced.is_some() && upstream.tls.as_ref().is_some_and(|tls| !tls.version.is_empty());
            !failed && upstream.ip.is_some() && (agreed || !upstream.offered.is_empty())
        }
        _ => false,
    }
}

/// When that was.
pub fn at(seen: &Seen<'_>) -> WallMicros {
    seen.at
}

fn why(stage: Stage, words: &str, cause: Option<Cause>) -> Why {
    let has = |known: &str| contains(words, known);
    match stage {
        Stage::StartTls => Why::Tls,
        Stage::Banner | Stage::Ehlo if has("greeted with 421") || has("answered 421") => Why::Closing,
        Stage::Banner if has("greeted with") => match cause {
            Some(Cause::Blocklisted | Cause::PoorReputation | Cause::ReverseDnsMissing | Cause::RateLimited) => Why::Unwelcome,
            _ => Why::Greeting,
        },
        Stage::Banner | Stage::Ehlo => Why::Silent,
        _ if has("no such name in DNS") || has("but has no address") || has("NXDOMAIN") => Why::NoSuchName,
        _ if has("DNS") || has("looked up") => Why::Dns,
        _ if has("timed out") || has("no connection within") => Why::TimedOut,
        _ if has("refused the connection") => Why::Refused,
        _ if has("no route") => Why::NoRoute,
        _ if has("is unreachable") => Why::Unreachable,
        _ if has("reset") => Why::Reset,
        _ if has("closed the connection") => Why::Silent,
        _ if has("TLS failed") => Why::Tls,
        _ => Why::Other,
    }
}

/// A look-up's name and whether the resolver gave an answer, be it that there is nothing.
pub fn lookups<'a>(seen: &Seen<'a>, mut each: impl FnMut(&'a str, bool)) {
    let (Some(upstream), Some(from_us)) = (seen.upstream, first_told(seen)) else { return };
    for lookup in upstream.lookups.iter().filter(|it| it.at_us >= from_us) {
        let answered = match lookup.outcome {
            LookupOutcome::Found | LookupOutcome::NoSuchName | LookupOutcome::NoData => true,
            LookupOutcome::ServerFailure | LookupOutcome::Timeout | LookupOutcome::Failed => false,
            // The resolver works, and tells of a zone that doesn't.
            LookupOutcome::Bogus => continue,
        };
        each(&lookup.name, answered);
    }
}
