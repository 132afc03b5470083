//! A record as detectors look at it: the facts that most of them ask for, read once.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::trace::{
    Cause, Client, Direction, Flag, Outcome, Recipient, Record, RecordId, RecordKind, Reply, Session, State, Transaction, Upstream,
    WallMicros,
};

/// Where mail servers usually listen.
const MAIL_PORTS: [u16; 3] = [25, 465, 587];

/// The domain of an address, as written; empty where there is none.
pub fn domain_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// The reply that failed the recipient: its own, or after RCPT TO was taken the one to the message.
pub fn last_word<'a>(transaction: &'a Transaction, recipient: &'a Recipient) -> Option<&'a Reply> {
    recipient.reply.as_ref().filter(|reply| reply.code >= 400).or(transaction.outcome.reply.as_ref())
}

/// What one record says, without copies.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub record: &'a Record,
    pub id: RecordId,
    /// When it was over.
    pub at: WallMicros,
    pub transaction: Option<&'a Transaction>,
    pub session: Option<&'a Session>,
    pub client: Option<&'a Client>,
    pub upstream: Option<&'a Upstream>,
    pub outcome: Option<&'a Outcome>,
    pub flags: &'a [Flag],
}

impl<'a> Seen<'a> {
    pub fn of(record: &'a Record) -> Self {
        let bare = |at| Self {
            record,
            id: record.id(),
            at,
            transaction: None,
            session: None,
            client: None,
            upstream: None,
            outcome: record.outcome(),
            flags: &[],
        };
        match record {
            Record::Transaction(it) => Self {
                transaction: Some(it),
                client: Some(&it.client),
                upstream: Some(&it.upstream),
                flags: &it.flags,
                ..bare(it.at.saturating_add(it.duration_us))
            },
            Record::Session(it) => Self {
                session: Some(it),
                client: Some(&it.client),
                upstream: Some(&it.upstream),
                flags: &it.flags,
                ..bare(it.at.saturating_add(it.duration_us))
            },
            Record::Amendment(it) => bare(it.at),
            Record::Gap(it) => bare(it.until),
            Record::Mark(it) => bare(it.at),
            Record::Log(it) => bare(it.at),
            Record::Audit(it) => bare(it.at),
            Record::Incident(it) => bare(it.at),
        }
    }

    pub fn kind(&self) -> RecordKind {
        self.record.kind()
    }

    /// A probe of the proxy's own: no client's doing.
    pub fn is_synthetic(&self) -> bool {
        self.has(Flag::Synthetic)
    }

    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    pub fn direction(&self) -> Option<Direction> {
        self.transaction.map(|it| it.direction).or(self.session.map(|it| it.direction))
    }

    pub fn listener(&self) -> Option<&'a str> {
        self.transaction.map(|it| it.listener.as_str()).or(self.session.map(|it| it.listener.as_str()))
    }

    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client.map(|it| it.ip)
    }

    /// Who logged in, or tried to, on the client's side.
    pub fn user(&self) -> Option<&'a str> {
        self.client?.auth.as_ref()?.user.as_deref()
    }

    /// Who the proxy itself logs in as.
    pub fn upstream_user(&self) -> Option<&'a str> {
        self.upstream?.auth.as_ref()?.user.as_deref()
    }

    /// The upstream's name in the configuration; none for sessions that never had one.
    pub fn upstream_name(&self) -> Option<&'a str> {
        self.upstream.map(|it| it.name.as_str()).filter(|name| !name.is_empty())
    }

    /// The next hop's name, or else the upstream's.
    pub fn host(&self) -> Option<&'a str> {
        self.upstream?.host.as_deref().or(self.upstream_name())
    }

    /// The server there: its name, and its port where that isn't one that every mail server has. Several may share a machine.
    pub fn server(&self) -> Option<Cow<'a, str>> {
        let host = self.host()?;
        match self.upstream?.port.filter(|port| !MAIL_PORTS.contains(port)) {
            Some(port) => Some(Cow::Owned(format!("{host}:{port}"))),
            None => Some(Cow::Borrowed(host)),
        }
    }

    /// Whose server or reply it was.
    pub fn provider(&self) -> Option<&'a str> {
        self.outcome.and_then(|it| it.provider.as_deref()).or(self.upstream.and_then(|it| it.provider.as_deref()))
    }

    /// Empty for the null sender.
    pub fn reverse_path(&self) -> Option<&'a str> {
        self.transaction.map(|it| it.envelope.reverse_path.as_str())
    }

    /// The first recipient's domain; empty where there is none.
    pub fn destination(&self) -> &'a str {
        self.transaction.and_then(|it| it.envelope.recipients.first()).map_or("", |it| domain_of(&it.address))
    }

    pub fn state(&self) -> Option<State> {
        self.outcome.map(|it| it.state)
    }

    pub fn cause(&self) -> Option<Cause> {
        self.outcome.and_then(|it| it.cause)
    }

    /// The text of the reply that decided, line by line.
    pub fn reply_lines(&self) -> impl Iterator<Item = &'a str> {
        let lines = self.outcome.and_then(|it| it.reply.as_ref()).map(|reply| reply.lines.as_slice());
        lines.unwrap_or_default().iter().map(String::as_str)
    }

    /// Recipients that this transaction was to reach.
    pub fn recipient_count(&self) -> u64 {
        self.transaction.map_or(0, |it| it.envelope.recipients.len() as u64 + u64::from(it.envelope.recipients_cut))
    }
}
