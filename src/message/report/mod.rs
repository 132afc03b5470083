//! Delivery reports: what a non-delivery notice, a delivery status notification or a complaint says of another message.
//!
//! What is read here was written by whoever sent it. A report proves nothing: that the message it speaks of passed
//! is for the caller to find out.

mod address;
mod complaint;
mod delivery;
mod fields;
mod format;
mod forwarded;
mod lines;
mod merged;
mod notice;
mod original;
mod parts;
mod read;
mod reply;
mod sender;
mod ses;
#[cfg(test)]
mod tests;

use crate::vocabulary::vocabulary;

pub use forwarded::read_forwarded;
pub use read::read;

/// Recipients kept of a report; the rest is counted in [`Report::recipients_cut`].
pub const MOST_RECIPIENTS: usize = 100;
/// Octets kept of each text of a report, as of a header field (RFC 5322 §2.1.1).
pub const MOST_TEXT: usize = 998;
/// Octets of a message that are looked at. What lies behind is left unread, and [`Report::cut`] says so.
pub const MOST_OCTETS: usize = 256 * 1024;

vocabulary! {
    /// What a report is about.
    ReportKind {
        /// What became of a message (RFC 3464), in whatever form it is told.
        DeliveryStatus = "delivery_status",
        /// A recipient's complaint about a message that arrived (ARF, RFC 5965).
        Complaint = "complaint",
    }
}

vocabulary! {
    /// What became of a recipient (RFC 3464 §2.3.3).
    Action {
        /// It will not be delivered.
        Failed = "failed",
        /// It is still tried.
        Delayed = "delayed",
        /// It is in the mailbox, or in the hands of what counts as one.
        Delivered = "delivered",
        /// It went on to a server that sends no such notices.
        Relayed = "relayed",
        /// It went on to the members of a list.
        Expanded = "expanded",
    }
}

impl Action {
    /// The recipient wasn't reached, or not yet. No complaint says so: what it is about was delivered.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Delayed)
    }
}

/// What a report says. All texts are as their sender wrote them: hostile wherever they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub kind: ReportKind,
    /// Which form it has: "rfc3464", "exchange", "qmail", "arf", "text" …
    pub format: &'static str,
    /// The server that made the report; of a complaint, the one that passes it on.
    pub reporting_mta: Option<String>,
    /// Of the message that it speaks of, without angle brackets.
    pub original_message_id: Option<String>,
    /// The ENVID parameter of the message (RFC 3461 §4.4).
    pub envid: Option<String>,
    /// The id that the reporting server gave the message.
    pub queue_id: Option<String>,
    /// When the reporting server got the message, as written.
    pub arrival: Option<String>,
    pub original_subject: Option<String>,
    pub original_from: Option<String>,
    pub original_to: Option<String>,
    /// At most [`MOST_RECIPIENTS`], in the order of the report.
    pub recipients: Vec<Reported>,
    /// Recipients beyond those.
    pub recipients_cut: u32,
    /// The capture or a bound ended it early.
    pub cut: bool,
}

/// What a report says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The final recipient; the original one if only that is known.
    pub address: String,
    /// The recipient as the sender wrote it, where that is another.
    pub original: Option<String>,
    pub action: Action,
    /// The enhanced status code (RFC 3463): class, subject, detail.
    pub status: Option<(u8, u16, u16)>,
    /// The three digits of the reply that it quotes.
    pub reply_code: Option<u16>,
    /// The diagnostic, decoded, unfolded, at most [`MOST_TEXT`] octets.
    pub text: Option<String>,
    /// The server that said so.
    pub remote_mta: Option<String>,
    /// As written.
    pub last_attempt: Option<String>,
    /// As written.
    pub will_retry_until: Option<String>,
}

impl Reported {
    /// A failure of which nothing is known but whom it hit.
    fn of(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            original: None,
            action: Action::Failed,
            status: None,
            reply_code: None,
            text: None,
            remote_mta: None,
            last_attempt: None,
            will_retry_until: None,
        }
    }
}

/// A text as it is kept: white space as one blank, at most [`MOST_TEXT`] octets; `None` where nothing is left.
fn bounded(text: &str) -> Option<String> {
    let mut kept = String::with_capacity(text.len().min(MOST_TEXT));
    for word in text.split_whitespace() {
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(word);
        if kept.len() >= MOST_TEXT {
            kept.truncate(super::char_boundary(&kept, MOST_TEXT));
            break;
        }
    }
    (!kept.is_empty()).then_some(kept)
}
