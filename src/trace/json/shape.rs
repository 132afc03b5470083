//! The structs of the public JSON shape, version 1: what each field is called and when it is absent.
//!
//! A list that is absent is empty; any other value that is absent is unknown. Nothing is ever null.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{Enhanced, Id, Time, Version, Word};
use super::{Lookup, Report, Signature, Spliced, TlsPolicy, Via};
use crate::trace::kinds::{Act, Actor, Cause, Circuit, Direction, EndHow, Flag, Flow, Leg, RecordKind, Stage, State, Told, UpstreamKind};

fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

/// One mail transaction: MAIL FROM to the reply that ended it.
// Whoever writes many may give `client` and `upstream` in a form of its own: those of one session have them in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Transaction")]
pub struct Transaction<C = Client, U = Upstream, S = String> {
    pub v: Version,
    pub id: Id,
    #[schemars(extend("const" = "transaction"))]
    pub kind: Word<RecordKind>,
    pub session_id: Id,
    /// 1 for the first transaction of its session.
    pub transaction_no: u32,
    pub node: S,
    pub proxy_version: S,
    pub config_digest: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_rule: Option<S>,
    /// When MAIL FROM arrived.
    pub at: Time,
    pub duration_us: u64,
    pub listener: S,
    pub direction: Word<Direction>,
    pub client: C,
    pub upstream: U,
    pub envelope: Envelope<S>,
    pub message: Message<S>,
    pub phases: Phases,
    pub outcome: Outcome<S>,
    pub flags: Vec<Word<Flag>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Line<S>>,
    /// Lines of the timeline that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeline_cut: u32,
    /// The timeline was kept for a time, and no longer is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub timeline_dropped: bool,
}

/// A session that ended without any transaction, or otherwise than by QUIT.
// As for `Transaction`, `client` and `upstream` may have another form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Session")]
pub struct Session<C = Client, U = Upstream, S = String> {
    pub v: Version,
    /// The session's id.
    pub id: Id,
    #[schemars(extend("const" = "session"))]
    pub kind: Word<RecordKind>,
    /// The same as `id`.
    pub session_id: Id,
    pub node: S,
    pub proxy_version: S,
    pub config_digest: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_rule: Option<S>,
    /// When the client's connection was accepted.
    pub at: Time,
    pub duration_us: u64,
    pub listener: S,
    pub direction: Word<Direction>,
    pub client: C,
    pub upstream: U,
    pub phases: Phases,
    /// How many transactions it had (each has a record of its own).
    pub transactions: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome<S>>,
    pub ended: Ended<S>,
    pub flags: Vec<Word<Flag>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Line<S>>,
    /// Lines of the timeline that did not fit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeline_cut: u32,
    /// The timeline was kept for a time, and no longer is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub timeline_dropped: bool,
}

/// Records that were lost to the store: tracing had a hole here while mail flowed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    pub v: Version,
    pub id: Id,
    #[schemars(extend("const" = "gap"))]
    pub kind: Word<RecordKind>,
    pub at: Time,
    pub until: Time,
    pub records_lost: u64,
    pub why: String,
}

/// A transaction was about to pass end-of-data; its record follows, unless the process died.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    pub v: Version,
    pub id: Id,
    #[schemars(extend("const" = "mark"))]
    pub kind: Word<RecordKind>,
    pub session_id: Id,
    pub transaction_no: u32,
    pub node: String,
    pub proxy_version: String,
    pub config_digest: String,
    pub at: Time,
    pub listener: String,
    pub direction: Word<Direction>,
    pub client: Client,
    pub upstream: Upstream,
    pub envelope: Envelope,
    /// Once the whole message went upstream, and its reply took longer than a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<Message>>,
}

/// The mail server (or program) that connected to the proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    pub ip: IpAddr,
    pub port: u16,
    /// The argument of the last EHLO or HELO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What its connection came through, if not straight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
}

/// The server the proxy spoke to, as far as it got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Upstream {
    /// Name of the upstream in the configuration.
    pub name: String,
    /// Host as configured, or found by MX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mx_preference: Option<u16>,
    /// First line of the greeting, without its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// EHLO keyword lines as the upstream sent them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offered: Vec<String>,
    /// Keywords not passed on to the client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<Hidden>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Set when the proxy itself logs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Connection attempts that failed before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// How the upstream was found; a smart host where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Word<UpstreamKind>>,
    /// What DNS answered on the way to the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<Lookup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_policy: Option<TlsPolicy>,
    /// Why this host was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// The host's circuit when it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<Word<Circuit>>,
    /// How the upstream was told who the client is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<Word<Told>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spliced: Option<Spliced>,
    /// Whose server it is, by its name and greeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hidden {
    pub keyword: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tried {
    pub host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    pub port: u16,
    pub stage: Word<Stage>,
    pub error: String,
    /// Since the session began.
    pub at_us: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dns {
    pub name: String,
    pub addresses: Vec<IpAddr>,
}

/// TLS of one leg; certificate fields are the peer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tls {
    pub version: String,
    /// IANA name of the cipher suite.
    pub cipher: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Absent where there is nothing to verify.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Auth {
    pub mechanism: String,
    /// Where the mechanism shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// "succeeded", "failed", "cancelled", "refused".
    pub outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Envelope")]
pub struct Envelope<S = String> {
    /// Without angle brackets; empty for the null sender.
    pub reverse_path: S,
    /// ESMTP parameters of MAIL FROM, as sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_declared: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envid: Option<S>,
    /// The reply to MAIL FROM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply<S>>,
    pub recipients: Vec<Recipient<S>>,
    /// Recipients beyond the record's bound: counted, not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recipients_cut: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Recipient")]
pub struct Recipient<S = String> {
    /// Without angle brackets.
    pub address: S,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<S>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orcpt: Option<S>,
    /// The reply to RCPT TO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply<S>>,
    /// Where this recipient's fate was decided.
    pub stage: Word<Stage>,
    pub by: Word<Actor>,
    pub state: Word<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Word<Act>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<S>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Message")]
pub struct Message<S = String> {
    /// Without angle brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_submitted: Option<S>,
    pub received_count: u32,
    /// The client's own queue id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_queue_id: Option<S>,
    /// Octets of the message as sent on, dot-stuffing removed, terminator excluded.
    pub size: u64,
    /// BLAKE3, hex, of the header section as captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_digest: Option<String>,
    /// BLAKE3, hex, of the message octets as sent on. Absent if the message did not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_digest: Option<String>,
    /// How many CR or LF stood alone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bare_newlines: u32,
    /// Present if the message is a delivery report or a complaint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// DKIM signatures as they stand in the header, unverified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
}

/// Durations of the phases in µs; absent if the phase did not happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
pub struct Phases {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banner_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_from_us: Option<u64>,
    /// Sum over the RCPT TO commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcpt_to_us: Option<u64>,
    /// DATA to 354.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_us: Option<u64>,
    /// 354 to the client's end-of-data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_us: Option<u64>,
    /// End-of-data to the final reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_of_data_us: Option<u64>,
}

/// A reply as received: every line's text without code and separator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Reply")]
pub struct Reply<S = String> {
    pub code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<Enhanced>,
    pub lines: Vec<S>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Outcome")]
pub struct Outcome<S = String> {
    pub state: Word<State>,
    pub stage: Word<Stage>,
    pub by: Word<Actor>,
    /// The reply that decided; where recipients differ, the end-of-data reply if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply<S>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Word<Act>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules_version: Option<S>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_queue_id: Option<S>,
    /// Our own words where no reply says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<S>,
    /// Whose reply it was, as far as it can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<S>,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Ended")]
pub struct Ended<S = String> {
    pub by: Word<Actor>,
    pub stage: Word<Stage>,
    pub how: Word<EndHow>,
    /// Commands the client sent.
    pub commands: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<S>,
}

/// One command or reply on one leg, redacted and bounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Line")]
pub struct Line<S = String> {
    /// Since the session's start.
    pub t_us: u64,
    pub leg: Word<Leg>,
    pub dir: Word<Flow>,
    pub text: S,
}
