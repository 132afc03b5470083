//! The facts of a record that a search looks at, whatever its kind.

use super::text;
use crate::trace::{Actor, Client, Digest, Flag, Leg, Outcome, Record, RecordId, Reply, Session, Stage, State, Tls, Transaction, Upstream};

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
                ended: None,
            },
            Record::Session(it) => Self {
                client: Some(&it.client),
                upstream: Some(&it.upstream),
                listener: Some(&it.listener),
                outcome: it.outcome.as_ref(),
                session: Some(it.id),
                flags: &it.flags,
                transaction: None,
                ended: Some(it),
            },
            Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) => Self::default(),
        }
    }

    pub fn message_id(&self) -> Option<&'a str> {
        self.transaction?.message.message_id.as_deref()
    }

    pub fn subject(&self) -> Option<&'a str> {
        self.transaction?.message.subject.as_deref()
    }

    pub fn body_digest(&self) -> Option<Digest> {
        self.transaction?.message.body_digest
    }

    pub fn reverse_path(&self) -> Option<&'a str> {
        Some(&self.transaction?.envelope.reverse_path)
    }

    pub fn header_from(&self) -> Option<&'a str> {
        self.transaction?.message.from.as_deref().map(text::address_in)
    }

    pub fn recipients(&self) -> impl Iterator<Item = &'a str> {
        self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).map(|recipient| recipient.address.as_str())
    }

    pub fn queue_ids(&self) -> impl Iterator<Item = &'a str> {
        let upstream = self.outcome.and_then(|outcome| outcome.upstream_queue_id.as_deref());
        let client = self.transaction.and_then(|it| it.message.client_queue_id.as_deref());
        upstream.into_iter().chain(client)
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

    pub fn causes(&self) -> impl Iterator<Item = &'a str> {
        let recipients = self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).filter_map(|it| it.cause.as_deref());
        self.outcome.and_then(|outcome| outcome.cause.as_deref()).into_iter().chain(recipients)
    }

    /// Replies that decided.
    pub fn replies(&self) -> impl Iterator<Item = &'a Reply> {
        let recipients = self.transaction.into_iter().flat_map(|it| &it.envelope.recipients).filter_map(|it| it.reply.as_ref());
        let outcome = self.outcome.and_then(|outcome| outcome.reply.as_ref());
        outcome.into_iter().chain(recipients)
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
        upstream.map(|it| it.name.as_str()).into_iter().chain(upstream.and_then(|it| it.host.as_deref()))
    }

    /// Octets of the message.
    pub fn size(&self) -> Option<u64> {
        Some(self.transaction?.message.size)
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
