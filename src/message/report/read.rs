//! Reads a message as a report: what kind it is, which of its parts tell what, and how the tellings fit together.

use crate::message::Headers;

use super::delivery::{self, Delivery};
use super::fields::Fields;
use super::merged::{complete, continue_text};
use super::parts::{self, Part, Parts};
use super::sender::{self, Sender};
use super::{
    Action, MOST_OCTETS, MOST_RECIPIENTS, Report, ReportKind, Reported, address, bounded, complaint, format, notice, original, reply, ses,
};

/// Reads a message; `None` if it is no report.
///
/// `octets` may be cut off anywhere (bounded capture), with CRLF or LF line ends, dot-stuffing already removed.
/// Time and memory are bounded: [`MOST_OCTETS`] are looked at, of at most 64 parts and six levels of multiparts.
pub fn read(octets: &[u8]) -> Option<Report> {
    let looked_at = octets.get(..MOST_OCTETS).unwrap_or(octets);
    read_at(looked_at, octets.len(), true)
}

/// `outermost`: a report within is looked at too.
fn read_at(looked_at: &[u8], length: usize, outermost: bool) -> Option<Report> {
    let (fields, parts) = parts::read(looked_at);
    // Of a header section alone nothing follows.
    if fields.is_empty() || (!parts.leaves.is_empty() && parts.leaves.iter().all(|it| it.text.trim().is_empty())) {
        return None;
    }
    let cut = looked_at.len() < length || parts.cut;
    let mut report = of_parts(&fields, &parts, outermost)?;
    report.cut |= cut;
    Some(report)
}

fn of_parts(fields: &Fields<'_>, parts: &Parts<'_>, outermost: bool) -> Option<Report> {
    if let Some(part) = parts.leaves.iter().find(|it| it.kind == "message/feedback-report") {
        return Some(of_complaint(part, parts));
    }
    let status = parts.leaves.iter().find(|it| is_delivery_status(it));
    if status.is_none()
        && parts.leaves.iter().any(|it| it.kind.ends_with("disposition-notification") || it.kind.starts_with("application/tlsrpt"))
    {
        return None;
    }
    let from = match status {
        Some(_) => Sender::Reporter,
        None => sender::of(fields, parts.report_type.as_deref(), &parts.outer),
    };
    if from == Sender::Person {
        return None;
    }
    if let Some(text) = parts.leaves.first().map(|it| it.text.trim_start()).filter(|it| it.starts_with('{')) {
        return ses::read(text).map(of_notification);
    }
    let said = told(parts);
    let ends: Vec<&str> =
        ["From", "To"].iter().filter_map(|name| fields.first(name)).flat_map(address::in_line).map(|it| it.address).collect();
    let mut notice = notice::read(&said.text, said.whole, &ends);
    let subject = fields.first("Subject").unwrap_or_default();
    if from != Sender::Reporter && !sender::is_of_notice(subject) {
        let signs = fields.first("From").and_then(|it| address::in_line(it).last());
        // Whoever wrote it and stands below, as a signature does, is nobody who wasn't reached. A server says why.
        notice.recipients.retain(|it| {
            it.status.is_some() || it.reply_code.is_some() || signs.is_none_or(|signs| !address::same(signs.address, &it.address))
        });
    }
    // A gateway's notice about a report: what it holds is the report.
    if outermost
        && status.is_none()
        && notice.recipients.is_empty()
        && let Some(within) = parts.leaves.iter().find(|it| it.kind == "message/rfc822")
        && let Some(report) = read_at(within.text.as_bytes(), within.text.len(), false).filter(|it| !it.recipients.is_empty())
    {
        return Some(report);
    }
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
    let headers = original_headers(parts, inline, said.whole);
    let mut recipients = std::mem::take(&mut delivery.recipients);
    let mut recipients_cut = delivery.recipients_cut;
    // What was cut off may name others than the text for people does; that is then no substitute.
    let missing = match status {
        Some(part) => !part.whole,
        None => {
            parts.cut && parts.outer == "multipart/report" && parts.leaves.iter().filter(|it| it.whole || !it.text.is_empty()).count() < 2
        }
    };
    match recipients.is_empty() {
        true if missing => {}
        false => {
            let before = notice.said.get(..delivery::start(notice.said).filter(|_| status.is_none()).unwrap_or(notice.said.len()));
            match before.filter(|it| it.len() < notice.said.len()) {
                // What follows are the fields themselves.
                Some(before) => complete(&mut recipients, &notice::read(before, true, &ends).recipients),
                None => complete(&mut recipients, &notice.recipients),
            }
            if let ([only], Some(loose)) = (recipients.as_mut_slice(), notice.loose.as_deref()) {
                continue_text(only, loose);
            }
            if let ([only], Some(loose)) = (recipients.as_mut_slice(), notice.loose)
                && only.reply_code.is_none()
            {
                only.reply_code = reply::codes(&loose).reply;
                if !only.text.as_ref().is_some_and(|it| it.contains(char::is_alphabetic)) {
                    only.text = Some(loose);
                }
            }
        }
        true => {
            recipients = notice.recipients;
            recipients_cut = notice.recipients_cut;
        }
    }
    if recipients.is_empty() && !missing {
        recipients = elsewhere(fields, from, &headers, notice.said);
    }
    // A person's answer may be delayed as well.
    let delays = || sender::is_named_daemon(fields) && notice.said.to_lowercase().contains("delayed");
    let fails = || sender::subject_says_failure(subject) || sender::says_failure(notice.said) || delays();
    let codes = || recipients.iter().any(|it| it.status.is_some() || it.reply_code.is_some());
    let speaks = match from {
        Sender::Reporter => !recipients.is_empty() || delivery.found || parts.cut,
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
        format: format::of(fields, notice.said, &diagnostics, &delivery),
        recipients,
        recipients_cut,
        cut: notice.cut,
        ..Report::from_headers(headers)
    };
    report.tell(delivery, notice.said);
    if report.reporting_mta.is_none() {
        report.reporting_mta = fields.first("From").and_then(daemon_host);
    }
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

fn original_headers(parts: &Parts<'_>, inline: Option<&str>, whole: bool) -> Headers {
    let of_text = |text| {
        let mut headers = original::of_text(text);
        headers.cut &= !whole;
        headers
    };
    let of_part = parts.leaves.iter().find(|it| original::is_original(it)).map(original::of_part);
    match (of_part, inline) {
        (Some(headers), _) if headers.message_id.is_some() || inline.is_none() => headers,
        (_, Some(text)) => of_text(text),
        (Some(headers), None) => headers,
        (None, None) => Headers::default(),
    }
}

/// Recipients of a notice that names none in a way that can be read: those that Exim's and Gmail's header names, or the original's.
fn elsewhere(fields: &Fields<'_>, from: Sender, headers: &Headers, said: &str) -> Vec<Reported> {
    let failed = || fields.all("X-Failed-Recipients").flat_map(address::in_line);
    // The same for all of them, and read once: the text is as long as its sender likes.
    let (codes, action, listed) = (reply::codes(said), notice::delays(said), bounded(notice::listed(said)));
    let of =
        |address: &str| Reported { text: listed.clone(), status: codes.status, reply_code: codes.reply, action, ..Reported::of(address) };
    let mut recipients: Vec<Reported> = Vec::new();
    for found in failed().take(MOST_RECIPIENTS) {
        if !recipients.iter().any(|it| address::same(&it.address, found.address)) {
            recipients.push(of(found.address));
        }
    }
    if recipients.is_empty() && !headers.cut && from != Sender::Other && (sender::says_failure(said) || !codes.is_empty()) {
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
    let headers = original_headers(parts, None, part.whole);
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
        report.recipients.extend(to.map(|it| Reported { action: Action::Delivered, ..Reported::of(&it) }));
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
        self.queue_id = delivery.queue_id.or_else(|| named(said, "the message identifier is").and_then(bounded));
        if self.original_subject.is_none() {
            self.original_subject = named(said, "the subject of the message is").or(named(said, "subject")).and_then(bounded);
        }
        self.arrival = delivery.arrival;
        if self.original_message_id.is_none() {
            self.original_message_id = delivery.message_id.or_else(|| named(said, "message-id").and_then(message_id));
        }
    }
}

/// The domain whose mailer daemon wrote.
fn daemon_host(from: &str) -> Option<String> {
    let found = address::in_line(from).last()?;
    let (local, domain) = found.address.rsplit_once('@')?;
    let daemon = ["mailer-daemon", "postmaster"].iter().any(|it| local.eq_ignore_ascii_case(it));
    (daemon && domain.contains('.')).then(|| bounded(domain)).flatten()
}

/// The host that the notice introduces itself as.
fn reporter(said: &str) -> Option<String> {
    const FRONTS: &[&str] =
        &["this is the mail system at host ", "this is the qmail-send program at ", "message from ", "this is the dragonfly mail agent"];
    /// As a label, in the languages that Exchange speaks.
    const LABELS: &[&str] = &[
        "generating server",
        "reporting-mta",
        "dsn generated by",
        "generierender server",
        "generierungsserver",
        "serveur de génération",
        "generando servidor",
        "servidor de generación",
        "server di generazione",
        "server die de fout genereert",
        "genererende server",
        "gerando servidor",
        "serwer generujący",
        "genererande server",
        "формирующий сервер",
        "oluşturan sunucu",
        "生成元サーバー",
        "正在生成服务器",
        "產生伺服器",
    ];
    let host_of = |rest: &str| {
        let host = rest.split_whitespace().next()?.trim_matches(['.', ',', ':', ';', '<', '>']);
        (host.contains('.') && host.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-'))).then(|| host.to_owned())
    };
    let labelled = said.lines().find_map(|line| {
        let (label, rest) = line.split_once([':', '：']).filter(|(label, _)| label.len() <= 60)?;
        let label = label.trim().to_lowercase();
        LABELS.contains(&label.as_str()).then(|| host_of(rest)).flatten()
    });
    labelled.or_else(|| {
        said.lines().take(40).find_map(|line| {
            let lower = line.to_ascii_lowercase();
            let at = FRONTS.iter().find_map(|front| lower.find(front).map(|at| at + front.len()))?;
            let rest = line.get(at..)?;
            let rest = rest.rsplit_once(" at ").map_or(rest, |(_, host)| host);
            host_of(rest)
        })
    })
}

/// The value of `name: value` at the end of a line, indented or behind the time of a log.
fn named<'x>(said: &'x str, name: &str) -> Option<&'x str> {
    said.lines().find_map(|line| {
        let at = line.to_ascii_lowercase().find(name)?;
        let starts = line.get(..at)?.chars().next_back().is_none_or(|c| matches!(c, ' ' | '\t' | '>' | '*' | '-'));
        let value = line.get(at + name.len()..)?.strip_prefix(':')?.trim();
        (starts && !value.is_empty()).then_some(value)
    })
}

fn message_id(value: &str) -> Option<String> {
    let value = value.split_once('<').map_or(value, |(_, behind)| behind);
    bounded(value.split(['>', ' ']).next().unwrap_or_default())
}
