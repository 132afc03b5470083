//! What is kept of transactions and sessions, in memory and (through [`super::stored`]) in the journal.
//!
//! Times: one wall-clock reading a session ([`WallMicros`]), everything else monotonic µs since then. Text from the wire
//! is kept as it came apart from invalid UTF-8 (replaced), redaction (by the recorder) and bounds; whoever shows it escapes it.
//! The field order is the stored form: change it only together with [`super::stored::VERSION`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use super::amendment::{AmendedRecipient, Amendment};
pub use super::audit::Audit;
use super::digest::Digest;
pub use super::gap::Gap;
use super::id::RecordId;
pub use super::incident::{About, Change, Incident, Mute};
use super::kept::Kept;
use super::kinds::{
    Act, Actor, Cause, Circuit, Direction, Dnssec, EndHow, Flag, LookupOutcome, RecordKind, Stage, State, Told, UpstreamKind, ViaHow,
};
pub use super::log::Log;
pub use super::mark::{Mark, MarkView};
pub use super::report::{Report, Reported};
use super::timeline::Timeline;
pub use crate::message::dkim::Signature;

/// Unix time in µs.
pub type WallMicros = u64;

/// Anything the journal can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    Transaction(Box<Transaction>),
    Session(Box<Session>),
    Amendment(Box<Amendment>),
    Gap(Gap),
    Mark(Box<Mark>),
    Log(Box<Log>),
    Audit(Box<Audit>),
    Incident(Box<Incident>),
}

impl Record {
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Transaction(_) => RecordKind::Transaction,
            Self::Session(_) => RecordKind::Session,
            Self::Amendment(_) => RecordKind::Amendment,
            Self::Gap(_) => RecordKind::Gap,
            Self::Mark(_) => RecordKind::Mark,
            Self::Log(_) => RecordKind::Log,
            Self::Audit(_) => RecordKind::Audit,
            Self::Incident(_) => RecordKind::Incident,
        }
    }

    pub fn id(&self) -> RecordId {
        match self {
            Self::Transaction(transaction) => transaction.id,
            Self::Session(session) => session.id,
            Self::Amendment(amendment) => amendment.id,
            Self::Gap(gap) => gap.id,
            Self::Mark(mark) => mark.id,
            Self::Log(log) => log.id,
            Self::Audit(audit) => audit.id,
            Self::Incident(incident) => incident.id,
        }
    }

    /// How what the record tells of went, if it tells of such a thing.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Transaction(it) => Some(&it.outcome),
            Self::Session(it) => it.outcome.as_ref(),
            Self::Log(it) => it.outcome.as_ref(),
            Self::Amendment(_) | Self::Gap(_) | Self::Mark(_) | Self::Audit(_) | Self::Incident(_) => None,
        }
    }

    /// Says that the dialogue is no longer kept.
    pub fn drop_dialogue(&mut self) {
        match self {
            Self::Transaction(transaction) => transaction.timeline = Timeline::dropped(),
            Self::Session(session) => session.timeline = Timeline::dropped(),
            Self::Amendment(_) | Self::Gap(_) | Self::Mark(_) | Self::Log(_) | Self::Audit(_) | Self::Incident(_) => {}
        }
    }
}

/// Facts that every record of a process shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of this proxy (`node` in the config, the host name by default).
    pub node: String,
    pub proxy_version: String,
    /// First 16 hex digits of the BLAKE3 of the effective configuration.
    pub config_digest: String,
}

/// One mail transaction: MAIL FROM to the reply that ended it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    pub id: RecordId,
    pub session_id: RecordId,
    /// 1 for the first transaction of its session.
    pub transaction_no: u32,
    #[serde(deserialize_with = "super::kept::shared")]
    pub origin: Arc<Kept<Origin>>,
    pub route_rule: Option<String>,
    /// When MAIL FROM arrived.
    pub at: WallMicros,
    /// MAIL FROM to the end of the transaction.
    pub duration_us: u64,
    pub listener: String,
    pub direction: Direction,
    #[serde(deserialize_with = "super::kept::shared")]
    pub client: Arc<Kept<Client>>,
    #[serde(deserialize_with = "super::kept::shared")]
    pub upstream: Arc<Kept<Upstream>>,
    pub envelope: Envelope,
    pub message: Message,
    pub phases: Phases,
    pub outcome: Outcome,
    pub flags: Vec<Flag>,
    /// Last, so that it can be kept apart: see [`super::stored`].
    pub timeline: Timeline,
}

/// A session that ended without any transaction, or otherwise than by QUIT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The session id itself.
    pub id: RecordId,
    #[serde(deserialize_with = "super::kept::shared")]
    pub origin: Arc<Kept<Origin>>,
    pub route_rule: Option<String>,
    /// When the client's connection was accepted.
    pub at: WallMicros,
    pub duration_us: u64,
    pub listener: String,
    pub direction: Direction,
    #[serde(deserialize_with = "super::kept::shared")]
    pub client: Arc<Kept<Client>>,
    #[serde(deserialize_with = "super::kept::shared")]
    pub upstream: Arc<Kept<Upstream>>,
    pub phases: Phases,
    /// How many transactions it had (each has a record of its own).
    pub transactions: u32,
    pub outcome: Option<Outcome>,
    pub ended: Ended,
    pub flags: Vec<Flag>,
    pub timeline: Timeline,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub ip: IpAddr,
    pub port: u16,
    /// The argument of the last EHLO or HELO.
    pub helo: Option<String>,
    pub tls: Option<Tls>,
    pub auth: Option<Auth>,
    /// How the connection came here if not straight from the client.
    pub via: Option<Box<Via>>,
}

/// What stands between the client and the proxy: a load balancer that told of it (PROXY protocol), or a rule that diverted its connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    pub how: ViaHow,
    /// The load balancer's own address.
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    /// Where the client had connected to.
    pub destination: Option<SocketAddr>,
    /// The load balancer's id of the connection (PROXY v2 PP2_TYPE_UNIQUE_ID).
    pub unique_id: Option<String>,
    /// The host name that the client asked the load balancer for (PP2_TYPE_AUTHORITY).
    pub authority: Option<String>,
    /// TLS that the load balancer ended: version, cipher, client certificate's common name, as far as it tells.
    pub tls: Option<String>,
    /// Further type-length-values of the header: counted, not kept.
    pub more: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Upstream {
    /// Name of the upstream in the configuration.
    pub name: String,
    /// Host as configured (or found by MX).
    pub host: Option<String>,
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub mx_preference: Option<u16>,
    /// First line of the greeting, without its code.
    pub banner: Option<String>,
    /// What the greeting says the server is: "Postfix", "Exim", "Microsoft ESMTP MAIL Service", …
    pub software: Option<String>,
    /// EHLO keyword lines as the upstream sent them, last EHLO.
    pub offered: Vec<String>,
    /// Keywords not passed on to the client, and why.
    pub hidden: Vec<Hidden>,
    pub tls: Option<Tls>,
    /// Set when the proxy itself logs in.
    pub auth: Option<Auth>,
    /// Every connection attempt that failed before this one.
    pub tried: Vec<Tried>,
    pub dns: Option<Dns>,
    pub kind: UpstreamKind,
    /// What DNS answered on the way to the host.
    pub lookups: Vec<Lookup>,
    /// The TLS policy in force, and where it came from. Absent where TLS was not looked at.
    pub tls_policy: Option<TlsPolicy>,
    /// Why this host was taken: "first of the list", "mx preference 10, one of 2", …
    pub choice: Option<String>,
    /// The host's circuit when it was chosen.
    pub circuit: Option<Circuit>,
    /// How the upstream was told who the client is.
    pub told: Option<Told>,
    /// A session whose octets were passed on without being read.
    pub spliced: Option<Spliced>,
    /// Whose server it is, by its name and greeting: "gmail", "exchange_online", …
    pub provider: Option<String>,
}

/// One question to DNS and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    pub name: String,
    /// "MX", "A", "AAAA", "TLSA", "TXT", …
    pub query: String,
    pub outcome: LookupOutcome,
    /// In words where it failed.
    pub why: Option<String>,
    pub answers: Vec<Answer>,
    /// Answers beyond the record's bound: counted, not kept.
    pub answers_cut: u32,
    /// The name server asked.
    pub server: Option<String>,
    pub dnssec: Option<Dnssec>,
    /// When it was asked, since the session began, and how long that took.
    pub at_us: u64,
    pub took_us: u64,
}

/// One record of an answer, in presentation form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub kind: String,
    /// Seconds.
    pub ttl: u32,
    pub data: String,
}

/// What TLS to the upstream had to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPolicy {
    /// As effective for this host: "off", "opportunistic", "required", "dane", "mta_sts", …
    pub policy: String,
    /// What decided: the configuration, a TLSA record set, an MTA-STS policy and its id.
    pub source: String,
    /// How the certificate was found good: "trusted authority", "DANE-EE 3 1 1", …
    pub verified_by: Option<String>,
}

/// A session that was passed through unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spliced {
    /// Octets from the client, and from the upstream.
    pub client_octets: u64,
    pub upstream_octets: u64,
    /// Since the session began; absent if it never began in clear.
    pub starttls_at_us: Option<u64>,
    /// What the TLS hello offers beyond the host name: application protocols.
    pub alpn: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    pub keyword: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    pub host: String,
    pub ip: Option<IpAddr>,
    pub port: u16,
    pub stage: Stage,
    /// Our words for what went wrong, or the upstream's reply.
    pub error: String,
    /// Since the session began.
    pub at_us: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    pub name: String,
    pub addresses: Vec<IpAddr>,
}

/// TLS of one leg. Certificate fields are the peer's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tls {
    /// "TLSv1.3", …
    pub version: String,
    /// IANA name of the cipher suite.
    pub cipher: String,
    pub sni: Option<String>,
    pub subject: Option<String>,
    pub issuer: Option<String>,
    pub expires_at: Option<WallMicros>,
    /// Absent where there is nothing to verify (a client without a certificate).
    pub verified: Option<bool>,
    pub why_not: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    pub mechanism: String,
    /// Where the mechanism shows it.
    pub user: Option<String>,
    /// "succeeded", "failed", "cancelled", "refused".
    pub outcome: String,
    pub reply: Option<Reply>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Envelope {
    /// Without angle brackets; empty for the null sender.
    pub reverse_path: String,
    /// ESMTP parameters of MAIL FROM, as sent.
    pub params: Vec<String>,
    pub size_declared: Option<u64>,
    pub envid: Option<String>,
    pub reply: Option<Reply>,
    pub recipients: Vec<Recipient>,
    /// Recipients beyond the record's bound: counted, not kept.
    pub recipients_cut: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Without angle brackets.
    pub address: String,
    pub params: Vec<String>,
    pub orcpt: Option<String>,
    /// The reply to RCPT TO.
    pub reply: Option<Reply>,
    /// Where this recipient's fate was decided.
    pub stage: Stage,
    pub by: Actor,
    pub state: State,
    /// Why it was not accepted; [`Outcome::rules_version`] says by which rules.
    pub cause: Option<Cause>,
    pub act: Option<Act>,
    pub rule: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Message {
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// RFC 2047 decoded.
    pub subject: Option<String>,
    /// Header From, decoded.
    pub from: Option<String>,
    pub to: Option<String>,
    pub date: Option<String>,
    pub in_reply_to: Option<String>,
    pub auto_submitted: Option<String>,
    pub received_count: u32,
    /// The client's own queue id, from its topmost Received line or ENVID.
    pub client_queue_id: Option<String>,
    /// Octets of the message as sent on, dot-stuffing removed, terminator excluded.
    pub size: u64,
    /// BLAKE3 of the header section as captured (up to 64 KiB).
    pub header_digest: Option<Digest>,
    /// BLAKE3 of the message octets as sent on (as on the wire, terminator excluded). Absent if the message did not end.
    pub body_digest: Option<Digest>,
    /// How many CR or LF stood alone.
    pub bare_newlines: u32,
    /// What the message tells of another one, if it is a delivery report or a complaint.
    pub report: Option<Box<Report>>,
    /// DKIM signatures as they stand in the header, unverified: whose keys a receiver looks up.
    pub signatures: Vec<Signature>,
}

/// Durations of the phases in µs; absent if the phase did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Phases {
    pub dns_us: Option<u64>,
    pub connect_us: Option<u64>,
    pub banner_us: Option<u64>,
    pub tls_us: Option<u64>,
    pub auth_us: Option<u64>,
    pub mail_from_us: Option<u64>,
    /// Sum over the RCPT TO commands.
    pub rcpt_to_us: Option<u64>,
    /// DATA to 354.
    pub data_us: Option<u64>,
    /// 354 to the client's end-of-data.
    pub body_us: Option<u64>,
    /// End-of-data to the final reply.
    pub end_of_data_us: Option<u64>,
}

/// A reply as received: code, enhanced status code of the first line, every line's text (without code and separator,
/// the enhanced code left in place).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub code: u16,
    pub enhanced: Option<(u8, u16, u16)>,
    pub lines: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub state: State,
    pub stage: Stage,
    pub by: Actor,
    /// The reply that decided. Where recipients differ: the end-of-data reply if there was one.
    pub reply: Option<Reply>,
    /// Why it was not accepted.
    pub cause: Option<Cause>,
    pub act: Option<Act>,
    /// What to do, in one sentence.
    pub advice: Option<String>,
    pub rule: Option<String>,
    pub rules_version: Option<String>,
    pub upstream_queue_id: Option<String>,
    /// One sentence in our words where no reply says why: "client closed the connection in the message", …
    pub detail: Option<String>,
    /// Whose reply it was, as far as it can be told: "gmail", "exchange_online", "spamhaus", …
    pub provider: Option<String>,
}

impl Outcome {
    /// As the relay knows it: without a diagnosis, and without an id of the upstream's.
    pub fn of(state: State, stage: Stage, by: Actor, reply: Option<Reply>, detail: Option<String>) -> Self {
        Self {
            state,
            stage,
            by,
            reply,
            cause: None,
            act: None,
            advice: None,
            rule: None,
            rules_version: None,
            upstream_queue_id: None,
            detail,
            provider: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub by: Actor,
    pub stage: Stage,
    pub how: EndHow,
    /// Commands the client sent.
    pub commands: u32,
    pub detail: Option<String>,
}
