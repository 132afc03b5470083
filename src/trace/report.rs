//! What a message that passed tells of another one: a delivery report (RFC 3464 and its forerunners) or a complaint (RFC 5965).

use serde::{Deserialize, Serialize};

use super::kinds::{Act, Action, Cause, ReportKind};
use crate::message::report;

/// A report's fields; of its text nothing is kept but the diagnostics of its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub kind: ReportKind,
    /// How it was written: "rfc3464", "exchange", "qmail", …
    pub format: String,
    /// Who says so.
    pub reporting_mta: Option<String>,
    /// Of the message it speaks of, without angle brackets.
    pub original_message_id: Option<String>,
    pub original_subject: Option<String>,
    pub original_from: Option<String>,
    pub original_to: Option<String>,
    /// The ENVID of its transaction (RFC 3461 §4.4).
    pub envid: Option<String>,
    /// Its queue id at the reporting server.
    pub queue_id: Option<String>,
    /// When it arrived there, as written.
    pub arrival: Option<String>,
    pub recipients: Vec<Reported>,
    /// Recipients beyond the record's bound: counted, not kept.
    pub recipients_cut: u32,
    /// The report was longer than what is looked at.
    pub cut: bool,
}

/// What a report says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    pub address: String,
    /// The address the sender had named, where it is another.
    pub original: Option<String>,
    pub action: Action,
    pub status: Option<(u8, u16, u16)>,
    pub reply_code: Option<u16>,
    /// The diagnostic.
    pub text: Option<String>,
    /// Whose reply that was.
    pub remote_mta: Option<String>,
    pub last_attempt: Option<String>,
    pub will_retry_until: Option<String>,
    pub cause: Option<Cause>,
    pub act: Option<Act>,
    pub rule: Option<String>,
    pub provider: Option<String>,
}

/// As it was read, not yet diagnosed.
impl From<report::Report> for Report {
    fn from(it: report::Report) -> Self {
        Self {
            kind: it.kind,
            format: it.format.to_owned(),
            reporting_mta: it.reporting_mta,
            original_message_id: it.original_message_id,
            original_subject: it.original_subject,
            original_from: it.original_from,
            original_to: it.original_to,
            envid: it.envid,
            queue_id: it.queue_id,
            arrival: it.arrival,
            recipients: it.recipients.into_iter().map(Reported::from).collect(),
            recipients_cut: it.recipients_cut,
            cut: it.cut,
        }
    }
}

impl From<report::Reported> for Reported {
    fn from(it: report::Reported) -> Self {
        Self {
            address: it.address,
            original: it.original,
            action: it.action,
            status: it.status,
            reply_code: it.reply_code,
            text: it.text,
            remote_mta: it.remote_mta,
            last_attempt: it.last_attempt,
            will_retry_until: it.will_retry_until,
            cause: None,
            act: None,
            rule: None,
            provider: None,
        }
    }
}
