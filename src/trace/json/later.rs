//! The public shape of what is told of a message by others, or later: amendments, reports, lines of logs; and of the proxy's own life.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mirrored::{Shown, is_zero, mirrored, nested};
use super::shape::{Outcome, Reply};
use super::values::{Enhanced, Id, Time, Version, Word};
use crate::trace::kinds::{Act, Action, AuditEvent, Cause, Flag, LogEvent, RecordKind, ReportKind};
use crate::trace::record;

fn is_false(value: &bool) -> bool {
    !value
}

mirrored! {
    /// A DKIM signature: its key is at `selector._domainkey.domain`.
    Signature {
        domain: String,
        selector: String,
    }
}

mirrored! {
    /// What a message that passed tells of another one. What it says was written by whoever sent it.
    Report {
        kind: Word<ReportKind>,
        /// How it was written: "rfc3464", "exchange", "qmail", …
        format: String,
        /// Who says so.
        #[serde(skip_serializing_if = "Option::is_none")]
        reporting_mta: Option<String>,
        /// Of the message it speaks of, without angle brackets.
        #[serde(skip_serializing_if = "Option::is_none")]
        original_message_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        original_subject: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        original_from: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        original_to: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        envid: Option<String>,
        /// Its queue id at the reporting server.
        #[serde(skip_serializing_if = "Option::is_none")]
        queue_id: Option<String>,
        /// When it arrived there, as written.
        #[serde(skip_serializing_if = "Option::is_none")]
        arrival: Option<String>,
        recipients: Vec<Reported>,
        /// Recipients beyond the record's bound: counted, not kept.
        #[serde(default, skip_serializing_if = "is_zero")]
        recipients_cut: u32,
        /// The report was longer than what is looked at.
        #[serde(default, skip_serializing_if = "is_false")]
        cut: bool,
    }
}

mirrored! {
    /// What a report says of one recipient.
    Reported {
        address: String,
        /// The address the sender had named, where it is another.
        #[serde(skip_serializing_if = "Option::is_none")]
        original: Option<String>,
        action: Word<Action>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<Enhanced>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_code: Option<u16>,
        /// The diagnostic.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Whose reply that was.
        #[serde(skip_serializing_if = "Option::is_none")]
        remote_mta: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        last_attempt: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        will_retry_until: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<Word<Cause>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        act: Option<Word<Act>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        provider: Option<String>,
    }
}

mirrored! {
    /// A recipient's new diagnosis.
    AmendedRecipient {
        /// Its place among the record's recipients, from 0.
        place: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<Word<Cause>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        act: Option<Word<Act>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    }
}

nested!(Signature, Report, Reported, AmendedRecipient, Outcome, Reply);

/// Declares a kind of record: its version, its id, its kind and the fields that it has of the record's.
macro_rules! record_kind {
    ($(#[$meta:meta])* $name:ident = $kind:literal { $($(#[$field_meta:meta])* $field:ident: $type:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            pub v: Version,
            pub id: Id,
            #[schemars(extend("const" = $kind))]
            pub kind: Word<RecordKind>,
            $($(#[$field_meta])* pub $field: $type),+
        }

        impl From<&record::$name> for $name {
            fn from(it: &record::$name) -> Self {
                Self { v: Version, id: Id(it.id), kind: Word(RecordKind::$name), $($field: Shown::shown(&it.$field)),+ }
            }
        }

        impl From<$name> for record::$name {
            fn from(it: $name) -> Self {
                Self { id: it.id.0, $($field: Shown::kept(it.$field)),+ }
            }
        }
    };
}

record_kind! {
    /// Facts that came after a record was written; the newest amendment wins.
    Amendment = "amendment" {
        /// The record that is amended.
        of: Id,
        at: Time,
        outcome: Outcome,
        flags: Vec<Word<Flag>>,
        /// Recipients that are diagnosed otherwise than before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        recipients: Vec<AmendedRecipient>,
        /// The same of the recipients that a report tells of.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reported: Vec<AmendedRecipient>,
    }
}

record_kind! {
    /// What a line of another server's log says of a message.
    Log = "log" {
        /// The line's own time.
        at: Time,
        /// Whose log: "postfix", "exchange", "exim", "sendmail", "courier", "hmailserver", "domino", "james".
        format: String,
        /// The server that wrote it.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        event: Word<LogEvent>,
        #[serde(skip_serializing_if = "Option::is_none")]
        queue_id: Option<String>,
        /// At the next hop.
        #[serde(skip_serializing_if = "Option::is_none")]
        next_queue_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<String>,
        /// Empty for the null sender; absent where no line told it.
        #[serde(skip_serializing_if = "Option::is_none")]
        reverse_path: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recipient: Option<String>,
        /// What the recipient was before an alias or a list.
        #[serde(skip_serializing_if = "Option::is_none")]
        original_recipient: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_host: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_ip: Option<IpAddr>,
        #[serde(skip_serializing_if = "Option::is_none")]
        relay_host: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        relay_ip: Option<IpAddr>,
        #[serde(skip_serializing_if = "Option::is_none")]
        relay_port: Option<u16>,
        /// Since the message came to that server.
        #[serde(skip_serializing_if = "Option::is_none")]
        delay_us: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply: Option<Reply>,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
    }
}

/// An event in the proxy's own life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    pub v: Version,
    pub id: Id,
    #[schemars(extend("const" = "audit"))]
    pub kind: Word<RecordKind>,
    pub node: String,
    pub proxy_version: String,
    pub config_digest: String,
    pub at: Time,
    pub event: Word<AuditEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Where the event is the end of a span: its beginning. Of a crash, the last sign of life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl From<&record::Audit> for Audit {
    fn from(it: &record::Audit) -> Self {
        Self {
            v: Version,
            id: Id(it.id),
            kind: Word(RecordKind::Audit),
            node: it.origin.node.clone(),
            proxy_version: it.origin.proxy_version.clone(),
            config_digest: it.origin.config_digest.clone(),
            at: Time(it.at),
            event: Word(it.event),
            who: it.who.clone(),
            since: it.since.map(Time),
            detail: it.detail.clone(),
        }
    }
}

impl From<Audit> for record::Audit {
    fn from(it: Audit) -> Self {
        let origin = record::Origin { node: it.node, proxy_version: it.proxy_version, config_digest: it.config_digest };
        Self {
            id: it.id.0,
            at: it.at.0,
            origin: std::sync::Arc::new(origin.into()),
            event: it.event.0,
            who: it.who,
            since: it.since.map(|at| at.0),
            detail: it.detail,
        }
    }
}
