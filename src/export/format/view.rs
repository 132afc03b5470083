//! A record as the formats see it: what its kinds have in common, under one name each.

use super::Context;
use super::named::Named;
use crate::trace::kinds::{Direction, Flag};
use crate::trace::record::{Client, Envelope, Message, Outcome, Phases, Reply, Tls, Upstream};
use crate::trace::{Record, RecordId, Timeline, WallMicros};

/// A record, what it is called, and who says so.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub record: &'a Record,
    pub context: &'a Context,
    pub named: Named,
    /// What happened, in one sentence; hostile like anything else from the wire.
    pub sentence: &'a str,
}

/// What a transaction and a session have in common.
#[derive(Clone, Copy)]
pub struct Dialogue<'a> {
    pub session_id: RecordId,
    pub transaction_no: Option<u32>,
    pub at: WallMicros,
    pub duration_us: u64,
    pub listener: &'a str,
    pub direction: Direction,
    pub route_rule: Option<&'a str>,
    pub client: &'a Client,
    pub upstream: &'a Upstream,
    pub phases: &'a Phases,
    pub outcome: Option<&'a Outcome>,
    pub flags: &'a [Flag],
    pub timeline: &'a Timeline,
    /// Of transactions only.
    pub mail: Option<(&'a Envelope, &'a Message)>,
}

impl<'a> View<'a> {
    pub fn id(&self) -> RecordId {
        self.record.id()
    }

    pub fn at(&self) -> WallMicros {
        at(self.record)
    }

    /// Whose record it is. Those that don't say are this proxy's.
    pub fn node(&self) -> &'a str {
        match self.record {
            Record::Transaction(it) => &it.origin.node,
            Record::Session(it) => &it.origin.node,
            Record::Mark(it) => &it.origin.node,
            Record::Audit(it) => &it.origin.node,
            Record::Incident(it) => &it.origin.node,
            Record::Amendment(_) | Record::Gap(_) | Record::Log(_) => &self.context.node,
        }
    }

    pub fn dialogue(&self) -> Option<Dialogue<'a>> {
        match self.record {
            Record::Transaction(it) => Some(Dialogue {
                session_id: it.session_id,
                transaction_no: Some(it.transaction_no),
                at: it.at,
                duration_us: it.duration_us,
                listener: &it.listener,
                direction: it.direction,
                route_rule: it.route_rule.as_deref(),
                client: &it.client,
                upstream: &it.upstream,
                phases: &it.phases,
                outcome: Some(&it.outcome),
                flags: &it.flags,
                timeline: &it.timeline,
                mail: Some((&it.envelope, &it.message)),
            }),
            Record::Session(it) => Some(Dialogue {
                session_id: it.id,
                transaction_no: None,
                at: it.at,
                duration_us: it.duration_us,
                listener: &it.listener,
                direction: it.direction,
                route_rule: it.route_rule.as_deref(),
                client: &it.client,
                upstream: &it.upstream,
                phases: &it.phases,
                outcome: it.outcome.as_ref(),
                flags: &it.flags,
                timeline: &it.timeline,
                mail: None,
            }),
            _ => None,
        }
    }

    pub fn outcome(&self) -> Option<&'a Outcome> {
        match self.record {
            Record::Amendment(it) => Some(&it.outcome),
            record => record.outcome(),
        }
    }

    pub fn flags(&self) -> &'a [Flag] {
        match self.record {
            Record::Transaction(it) => &it.flags,
            Record::Session(it) => &it.flags,
            Record::Amendment(it) => &it.flags,
            _ => &[],
        }
    }
}

impl<'a> Dialogue<'a> {
    /// User of the client's login, or of ours where the proxy logs in itself.
    pub fn user(&self) -> Option<&'a str> {
        [&self.client.auth, &self.upstream.auth].into_iter().flatten().find_map(|auth| auth.user.as_deref())
    }

    pub fn ended_us(&self) -> WallMicros {
        self.at.saturating_add(self.duration_us)
    }
}

/// When what a record tells of began.
pub fn at(record: &Record) -> WallMicros {
    match record {
        Record::Transaction(it) => it.at,
        Record::Session(it) => it.at,
        Record::Amendment(it) => it.at,
        Record::Gap(it) => it.from,
        Record::Mark(it) => it.at,
        Record::Log(it) => it.at,
        Record::Audit(it) => it.at,
        Record::Incident(it) => it.at,
    }
}

/// "5.1.1".
pub fn enhanced(reply: &Reply) -> Option<crate::trace::json::Enhanced> {
    reply.enhanced.map(crate::trace::json::Enhanced)
}

/// "1.3" of "TLSv1.3": how other vocabularies write a version.
pub fn tls_version(tls: &Tls) -> &str {
    tls.version.strip_prefix("TLSv").unwrap_or(&tls.version)
}

/// The address in a From or To field: what stands between the last angle brackets, or the whole if it is one word with an `@`.
pub fn mailbox(field: &str) -> Option<&str> {
    let inner = field.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(field, |(inner, _)| inner);
    Some(inner.trim()).filter(|it| it.contains('@') && !it.contains(char::is_whitespace))
}
