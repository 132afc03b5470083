//! Reads a message as a report: what kind it is, which of its parts tell what, and how the tellings fit together.

use crate::message::Headers;

use super::delivery::{self, Delivery, fill};
use super::fields::Fields;
use super::parts::{self, Part, Parts};
use super::sender::{self, Sender};
use super::{
    MOST_OCTETS, MOST_RECIPIENTS, Report, ReportKind, Reported, address, bounded, complaint, format, notice, original, reply, ses,
};

/// Reads a message; `None` if it is no report.
///
/// `octets` may be cut off anywhere (bounded capture), with CRLF or LF line ends, dot-stuffing already removed.
/// Time and memory are bounded: [`MOST_OCTETS`] are looked at, of at most 64 parts and six levels of multiparts.
pub fn read(octets: &[u8]) -> Option<Report> {
    let looked_at = octets.get(..MOST_OCTETS).unwrap_or(octets);
    let (fields, parts) = parts::read(looked_at);
    if fields.is_empty() {
        return None;
    }
    let cut = looked_at.len() < octets.len() || parts.cut;
    let mut report = of_parts(&fields, &parts)?;
    report.cut |= cut;
    Some(report)
}

fn of_parts(fields: &Fields<'_>, parts: &Parts<'_>) -> Option<Report> {
    if let Some(part) = parts.leaves.iter().find(|it| it.kind == "message/feedback-report") {
        return Some(of_complaint(part, parts));
    }
    let status = parts.leaves.iter().find(|it| is_delivery_status(it));
    let from = match status {
        Some(_) => Sender::Reporter,
        None => sender::of(fields, parts.report_type.as_deref(), &parts.outer),
    };
    if from == Sender::Person {
        return None;
    }
    if let Some(notification) = parts.leaves.first().and_then(|it| ses::read(&it.text)) {
        return Some(of_notification(notification));
    }
    let said = told(parts);
    let ends: Vec<&str> =
        ["From", "To"].iter().filter_map(|name| fields.first(name)).flat_map(address::in_line).map(|it| it.address).collect();
    let notice = notice::read(&said.text, said.whole, &ends);
    let mut delivery = match status {
        Some(part) => delivery::read(&part.text, part.whole),
        None => delivery::read(notice.said, said.whole && notice.original.is_none()),
    };
    if status.is_none() && delivery.recipients.is_empty() {
        delivery =
            notice.original.map(|it| delivery::read(it, said.whole)).filter(|it| it.found && !it.recipients.is_empty()).unwrap_or(delivery);
    }
    // A boundary that isn't the message's own may leave the original within the part before it.
    let inline = notice.original.or_else(|| status.and_then(|it| notice::part(&it.text).1));
    let headers = original_headers(parts, inline);
    let subject = fields.first("Subject").unwrap_or_default();
    let mut recipients = std::mem::take(&mut delivery.recipients);
    let mut recipients_cut = delivery.recipients_cut;
    match recipients.is_empty() {
        false => {
            complete(&mut recipients, &notice.recipients);
            if let ([only], Some(loose)) = (recipients.as_mut_slice(), &notice.loose)
                && only.reply_code.is_none()
            {
                only.reply_code = reply::codes(loose).reply;
            }
        }
        true => {
            recipients = notice.recipients;
            recipients_cut = notice.recipients_cut;
        }
    }
    if recipients.is_empty() {
        recipients = elsewhere(fields, from, &headers, notice.said, said.whole);
    }
    let fails = || sender::says_failure(subject) || sender::says_failure(notice.said);
    let codes = || recipients.iter().any(|it| it.status.is_some() || it.reply_code.is_some());
    let speaks = match from {
        Sender::Reporter => true,
        Sender::Daemon => !recipients.is_empty() && (codes() || fails()) && (codes() || !sender::challenges(notice.said)),
        Sender::Other => {
            !recipients.is_empty() && fails() && (codes() || (headers.message_id.is_some() && sender::says_failure(notice.said)))
        }
        Sender::Person => false,
    };
    if !speaks {
        return None;
    }
    let diagnostics: String = recipients.iter().take(3).filter_map(|it| it.text.as_deref()).collect();
    let mut report = Report {
        kind: ReportKind::DeliveryStatus,
        format: format::of(fields, notice.said, &diagnostics, delivery.found),
        recipients,
        recipients_cut,
        cut: notice.cut,
        ..Report::from_headers(headers)
    };
    report.tell(delivery, notice.said);
    if report.original_message_id.is_none() {
        report.original_message_id = fields.first("In-Reply-To").and_then(message_id);
    }
    Some(report)
}

fn is_delivery_status(part: &Part<'_>) -> bool {
    matches!(part.kind.as_str(), "message/delivery-status" | "message/global-delivery-status")
}

/// The running text of a report.
struct Told {
    text: String,
    whole: bool,
}

/// The text for people: all plain text parts in front of the original; HTML only where there is no other.
fn told(parts: &Parts<'_>) -> Told {
    let before = |it: &&Part<'_>| !original::is_original(it) && !is_delivery_status(it);
    let leaves = || parts.leaves.iter().take_while(|it| !original::is_original(it)).filter(before);
    let plain = leaves().any(|it| it.kind == "text/plain" && !it.text.trim().is_empty());
    let wanted = |it: &&Part<'_>| if plain { it.kind == "text/plain" } else { it.kind.starts_with("text/") };
    let mut told = Told { text: String::new(), whole: true };
    for part in leaves().filter(wanted) {
        if !told.text.is_empty() && !told.text.ends_with('\n') {
            told.text.push('\n');
        }
        told.text.push_str(&part.text);
        told.whole &= part.whole;
    }
    told
}

fn original_headers(parts: &Parts<'_>, inline: Option<&str>) -> Headers {
    let of_part = parts.leaves.iter().find(|it| original::is_original(it)).map(original::of_part);
    match (of_part, inline) {
        (Some(headers), _) if headers.message_id.is_some() || inline.is_none() => headers,
        (_, Some(text)) => original::of_text(text),
        (Some(headers), None) => headers,
        (None, None) => Headers::default(),
    }
}

/// Adds to the fields of a delivery status what only the text says.
fn complete(recipients: &mut [Reported], told: &[Reported]) {
    let alone = recipients.len() == 1 && told.len() == 1;
    for recipient in recipients {
        let same = told.iter().find(|it| {
            alone
                || address::same(&it.address, &recipient.address)
                || recipient.original.as_ref().is_some_and(|original| address::same(&it.address, original))
        });
        let Some(same) = same else { continue };
        let says_more = same.reply_code.is_some() || same.status.is_some();
        let is_bare = recipient.reply_code.is_none() && recipient.text.as_deref().is_none_or(|it| it.len() < 60);
        let is_expired = recipient.status.is_some_and(reply::is_expiry);
        if recipient.text.is_none() || ((is_bare || is_expired) && says_more) {
            let status = reply::better(recipient.status, same.status);
            let text = if says_more { same.text.clone().or(recipient.text.take()) } else { recipient.text.take().or(same.text.clone()) };
            fill(recipient, same.clone());
            (recipient.status, recipient.text) = (status, text);
        }
    }
}

/// Recipients of a notice that names none in a way that can be read: those that Exim's and Gmail's header names, or the original's.
fn elsewhere(fields: &Fields<'_>, from: Sender, headers: &Headers, said: &str, whole: bool) -> Vec<Reported> {
    let failed = || fields.all("X-Failed-Recipients").flat_map(address::in_line);
    let of = |address: &str| {
        let codes = reply::codes(said);
        let action = notice::delays(said);
        Reported { text: bounded(said), status: codes.status, reply_code: codes.reply, action, ..Reported::of(address) }
    };
    let mut recipients: Vec<Reported> = Vec::new();
    for found in failed().take(MOST_RECIPIENTS) {
        if !recipients.iter().any(|it| address::same(&it.address, found.address)) {
            recipients.push(of(found.address));
        }
    }
    if recipients.is_empty() && whole && from != Sender::Other && (sender::says_failure(said) || !reply::codes(said).is_empty()) {
        let to: Vec<_> = headers.to.as_deref().map(|it| address::in_line(it).take(2).collect()).unwrap_or_default();
        // Of several, it isn't known which.
        if let [only] = to.as_slice() {
            recipients.push(of(only.address));
        }
    }
    recipients
}

fn of_complaint(part: &Part<'_>, parts: &Parts<'_>) -> Report {
    let told = complaint::read(&part.text, part.whole);
    let headers = original_headers(parts, None);
    let mut report = Report {
        kind: ReportKind::Complaint,
        format: "arf",
        reporting_mta: told.reporting_mta,
        envid: told.envid,
        arrival: told.arrival,
        recipients: told.recipients,
        recipients_cut: told.recipients_cut,
        ..Report::from_headers(headers)
    };
    if report.recipients.is_empty() && part.whole {
        // Most providers leave the recipient out of the feedback part; some leave it in the copy.
        let to = report.original_to.as_deref().and_then(|it| address::in_line(it).next()).map(|it| it.address.to_owned());
        report.recipients.extend(to.map(|it| Reported { action: super::Action::Delivered, ..Reported::of(&it) }));
    }
    if report.original_from.is_none() {
        report.original_from = told.mail_from;
    }
    report
}

fn of_notification(told: ses::Notification) -> Report {
    Report {
        kind: if told.complaint { ReportKind::Complaint } else { ReportKind::DeliveryStatus },
        format: "ses",
        reporting_mta: told.reporting_mta,
        original_message_id: told.message_id,
        arrival: told.arrival,
        original_subject: told.subject,
        original_from: told.from,
        recipients: told.recipients,
        recipients_cut: told.recipients_cut,
        ..Report::from_headers(Headers::default())
    }
}

impl Report {
    fn from_headers(headers: Headers) -> Self {
        Self {
            kind: ReportKind::DeliveryStatus,
            format: "text",
            reporting_mta: None,
            original_message_id: headers.message_id,
            envid: None,
            queue_id: None,
            arrival: None,
            original_subject: headers.subject,
            original_from: headers.from,
            original_to: headers.to,
            recipients: Vec::new(),
            recipients_cut: 0,
            cut: false,
        }
    }

    /// What the delivery status and the text say of the message.
    fn tell(&mut self, delivery: Delivery, said: &str) {
        self.reporting_mta = delivery.reporting_mta.or_else(|| reporter(said));
        self.envid = delivery.envid;
        self.queue_id = delivery.queue_id;
        self.arrival = delivery.arrival;
        if self.original_message_id.is_none() {
            self.original_message_id = delivery.message_id.or_else(|| named(said, "message-id").and_then(message_id));
        }
    }
}

/// The host that the notice introduces itself as.
fn reporter(said: &str) -> Option<String> {
    const FRONTS: &[&str] = &[
        "this is the mail system at host ",
        "this is the qmail-send program at ",
        "generating server: ",
        "message from ",
        "this is the dragonfly mail agent",
    ];
    said.lines().take(40).find_map(|line| {
        let lower = line.to_ascii_lowercase();
        let at = FRONTS.iter().find_map(|front| lower.find(front).map(|at| at + front.len()))?;
        let rest = line.get(at..)?;
        let rest = rest.rsplit_once(" at ").map_or(rest, |(_, host)| host);
        let host = rest.split_whitespace().next()?.trim_end_matches(['.', ',', ':', ';']);
        (host.contains('.') && host.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-'))).then(|| host.to_owned())
    })
}

/// The value of a line `name: value`, indented or not.
fn named<'x>(said: &'x str, name: &str) -> Option<&'x str> {
    said.lines().find_map(|line| {
        let (before, value) = line.split_once(':')?;
        before.trim().trim_start_matches(['>', '*', '-', ' ']).eq_ignore_ascii_case(name).then(|| value.trim()).filter(|it| !it.is_empty())
    })
}

fn message_id(value: &str) -> Option<String> {
    let value = value.split_once('<').map_or(value, |(_, behind)| behind);
    bounded(value.split(['>', ' ']).next().unwrap_or_default())
}
