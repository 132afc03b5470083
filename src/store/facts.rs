//! The facts of a record that a search looks at, whatever its kind.

use std::net::IpAddr;

use super::text;
use crate::trace::{
    Actor, Cause, Client, Digest, Flag, Incident, Leg, Log, LogEvent, Outcome, Record, RecordId, Reply, Report, Reported, Session, Stage,
    State, Tls, Transaction, Upstream,
};

/// What transactions and sessions have in common, and where to find the rest.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    pub client: Option<&'a Client>,
    pub upstream: Option<&'a Upstream>,
    pub listener: Option<&'a str>,
    pub outcome: Option<&'a Outcome>,
    pub session: Option<RecordId>,
    pub flags: &'a [Flag],
    transaction: Option<&'a Transaction>,
    ended: Option<&'a Session>,
    log: Option<&'a Log>,
    incident: Option<&'a Incident>,
}

impl<'a> Facts<'a> {
    pub fn of(record: &'a Record) -> Self {
        match record {
            Record::Transaction(it) => Self {
                client: Some(&it.client),
                upstream: Some(&it.upstream),
                listener: Some(&it.listener),
                outcome: Some(&it.outcome),
                session: Some(it.session_id),
                flags: &it.flags,
                transaction: Some(it),
                ..Self::default()
            },
            Record::Session(it) => Self {
                client: Some(&it.client),
                upstream: Some(&it.upstream),
                listener: Some(&it.listener),
                outcome: it.outcome.as_ref(),
                session: Some(it.id),
                flags: &it.flags,
                ended: Some(it),
                ..Self::default()
            },
            Record::Log(it) => Self { outcome: it.outcome.as_ref(), log: Some(it), ..Self::default() },
            Record::Incident(it) => Self { incident: Some(it), ..Self::default() },
            Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) | Record::Audit(_) => Self::default(),
        }
    }

    pub fn message_id(&self) -> Option<&'a str> {
        self.transaction.and_then(|it| it.message.message_id.as_deref()).or(self.log.and_then(|it| it.message_id.as_deref()))
    }

    pub fn incident(&self) -> Option<&'a Incident> {
        self.incident
    }

    pub fn subject(&self) -> Option<&'a str> {
        self.transaction.and_then(|it| it.message.subject.as_deref()).or(self.log.and_then(|it| it.subject.as_deref()))
    }

    pub fn body_digest(&self) -> Option<Digest> {
        self.transaction?.message.body_digest
    }

    pub fn reverse_path(&self) -> Option<&'a str> {
        self.transaction.map(|it| it.envelope.reverse_path.as_str()).or(self.log.and_then(|it| it.reverse_path.as_deref()))
    }

    pub fn header_from(&self) -> Option<&'a str> {
        self.transaction?.message.from.as_deref().map(text::address_in)
    }

    pub fn recipients(&self) -> impl Iterator<Item = &'a str> {
        let of_log = self.log.into_iter().flat_map(|it| it.recipient.as_deref().into_iter().chain(it.original_recipient.as_deref()));
        self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).map(|recipient| recipient.address.as_str()).chain(of_log)
    }

    /// Where a client connected from.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client.map(|client| client.ip).or(self.log.and_then(|it| it.client_ip))
    }

    pub fn upstream_ip(&self) -> Option<IpAddr> {
        self.upstream.and_then(|upstream| upstream.ip).or(self.log.and_then(|it| it.relay_ip))
    }

    pub fn log_event(&self) -> Option<LogEvent> {
        self.log.map(|it| it.event)
    }

    /// What the message tells of another one.
    pub fn report(&self) -> Option<&'a Report> {
        self.transaction?.message.report.as_deref()
    }

    fn reported(&self) -> impl Iterator<Item = &'a Reported> {
        self.report().into_iter().flat_map(|report| &report.recipients)
    }

    /// The recipients that a report tells of, and what they were called before.
    pub fn reported_addresses(&self) -> impl Iterator<Item = &'a str> {
        self.reported().flat_map(|it| std::iter::once(it.address.as_str()).chain(it.original.as_deref()))
    }

    /// Ids of the transaction that a report tells of, other than the Message-ID.
    pub fn reported_queue_ids(&self) -> impl Iterator<Item = &'a str> {
        self.report().into_iter().flat_map(|it| it.queue_id.as_deref().into_iter().chain(it.envid.as_deref()))
    }

    pub fn rules(&self) -> impl Iterator<Item = &'a str> {
        let recipients = self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).filter_map(|it| it.rule.as_deref());
        let outcome = self.outcome.and_then(|outcome| outcome.rule.as_deref());
        outcome.into_iter().chain(recipients).chain(self.reported().filter_map(|it| it.rule.as_deref()))
    }

    pub fn providers(&self) -> impl Iterator<Item = &'a str> {
        let upstream = self.upstream.and_then(|upstream| upstream.provider.as_deref());
        let outcome = self.outcome.and_then(|outcome| outcome.provider.as_deref());
        upstream.into_iter().chain(outcome).chain(self.reported().filter_map(|it| it.provider.as_deref()))
    }

    pub fn queue_ids(&self) -> impl Iterator<Item = &'a str> {
        let upstream = self.outcome.and_then(|outcome| outcome.upstream_queue_id.as_deref());
        let client = self.transaction.and_then(|it| it.message.client_queue_id.as_deref());
        let envid = self.transaction.and_then(|it| it.envelope.envid.as_deref());
        let of_log = self.log.into_iter().flat_map(|it| it.queue_id.as_deref().into_iter().chain(it.next_queue_id.as_deref()));
        upstream.into_iter().chain(client).chain(envid).chain(of_log)
    }

    pub fn states(&self) -> impl Iterator<Item = State> {
        let recipients = self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).map(|recipient| recipient.state);
        self.outcome.map(|outcome| outcome.state).into_iter().chain(recipients)
    }

    pub fn stages(&self) -> impl Iterator<Item = Stage> {
        let recipients = self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).map(|recipient| recipient.stage);
        let ended = self.ended.map(|it| it.ended.stage);
        self.outcome.map(|outcome| outcome.stage).into_iter().chain(recipients).chain(ended)
    }

    pub fn actors(&self) -> impl Iterator<Item = Actor> {
        let recipients = self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).map(|recipient| recipient.by);
        let ended = self.ended.map(|it| it.ended.by);
        self.outcome.map(|outcome| outcome.by).into_iter().chain(recipients).chain(ended)
    }

    /// Of the whole, of a recipient, or in a report.
    pub fn causes(&self) -> impl Iterator<Item = Cause> {
        let recipients = self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).filter_map(|it| it.cause);
        self.outcome.and_then(|outcome| outcome.cause).into_iter().chain(recipients).chain(self.reported().filter_map(|it| it.cause))
    }

    /// Replies that decided.
    pub fn replies(&self) -> impl Iterator<Item = &'a Reply> {
        let recipients = self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).filter_map(|it| it.reply.as_ref());
        let outcome = self.outcome.and_then(|outcome| outcome.reply.as_ref());
        let of_log = self.log.and_then(|it| it.reply.as_ref());
        outcome.into_iter().chain(recipients).chain(of_log)
    }

    pub fn reply_lines(&self) -> impl Iterator<Item = &'a str> {
        self.replies().flat_map(|reply| &reply.lines).map(String::as_str)
    }

    /// Whether there are legs at all.
    pub fn has_peer(&self) -> bool {
        self.client.is_some()
    }

    pub fn tls(&self, leg: Leg) -> Option<&'a Tls> {
        match leg {
            Leg::Client => self.client?.tls.as_ref(),
            Leg::Upstream => self.upstream?.tls.as_ref(),
        }
    }

    pub fn helo(&self) -> Option<&'a str> {
        self.client?.helo.as_deref()
    }

    /// The upstream's name and its host.
    pub fn upstreams(&self) -> impl Iterator<Item = &'a str> {
        let upstream = self.upstream;
        let of_log = self.log.and_then(|it| it.relay_host.as_deref());
        upstream.map(|it| it.name.as_str()).into_iter().chain(upstream.and_then(|it| it.host.as_deref())).chain(of_log)
    }

    /// Octets of the message.
    pub fn size(&self) -> Option<u64> {
        self.transaction.map(|it| it.message.size).or(self.log.and_then(|it| it.size))
    }

    pub fn duration_us(&self) -> Option<u64> {
        self.transaction.map(|it| it.duration_us).or(self.ended.map(|it| it.duration_us))
    }

    /// Reverse-path, recipients, header From.
    pub fn addresses(&self) -> impl Iterator<Item = &'a str> {
        self.reverse_path().into_iter().chain(self.recipients()).chain(self.header_from())
    }

    /// Of the reverse-path and of the recipients.
    pub fn domains(&self) -> impl Iterator<Item = &'a str> {
        self.reverse_path().into_iter().chain(self.recipients()).filter_map(|address| text::split_address(address).1)
    }

    pub fn auth_users(&self) -> impl Iterator<Item = &'a str> {
        let client = self.client.and_then(|client| client.auth.as_ref());
        let upstream = self.upstream.and_then(|upstream| upstream.auth.as_ref());
        client.into_iter().chain(upstream).filter_map(|auth| auth.user.as_deref())
    }
}
