//! Feedback reports (ARF, RFC 5965): what a recipient's provider says of a message that a recipient complained about.

use super::fields::Fields;
use super::{Action, MOST_RECIPIENTS, Reported, address, bounded, delivery};

/// What the feedback part says.
#[derive(Debug, Default)]
pub struct Complaint {
    pub reporting_mta: Option<String>,
    pub envid: Option<String>,
    pub arrival: Option<String>,
    pub mail_from: Option<String>,
    pub recipients: Vec<Reported>,
    pub recipients_cut: u32,
}

/// Reads a message/feedback-report part.
pub fn read(text: &str, whole: bool) -> Complaint {
    let text = if whole { text } else { text.rsplit_once('\n').map_or("", |(before, _)| before) };
    let (fields, _) = Fields::read(text.trim_start().as_bytes());
    let mut complaint = Complaint {
        reporting_mta: fields.first("Reporting-MTA").and_then(delivery::host),
        envid: fields.first("Original-Envelope-Id").and_then(bounded),
        arrival: fields.first("Arrival-Date").or(fields.first("Received-Date")).and_then(bounded),
        mail_from: fields.first("Original-Mail-From").and_then(|it| bounded(it.trim_matches(['<', '>']))),
        ..Complaint::default()
    };
    let kind = fields.first("Feedback-Type").unwrap_or("unknown");
    let source = fields.first("Source-IP").map(|it| format!(", sent from {it}")).unwrap_or_default();
    let agent = fields.first("User-Agent").map(|it| format!(", told by {it}")).unwrap_or_default();
    for value in fields.all("Original-Rcpt-To") {
        let Some(found) = address::in_line(value).next() else { continue };
        if complaint.recipients.iter().any(|it| address::same(&it.address, found.address)) {
            continue;
        }
        if complaint.recipients.len() >= MOST_RECIPIENTS {
            complaint.recipients_cut = complaint.recipients_cut.saturating_add(1);
            continue;
        }
        // A complaint is made about what arrived.
        complaint.recipients.push(Reported {
            text: bounded(&format!("feedback-type {kind}{source}{agent}")),
            action: Action::Delivered,
            ..Reported::of(found.address)
        });
    }
    complaint
}
