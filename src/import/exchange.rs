//! Exchange: message tracking logs, and what `Get-MessageTrackingLog | Export-Csv` makes of them.
//!
//! Columns and events as in Microsoft's page "Message tracking" (learn.microsoft.com/exchange/mail-flow/transport-logs/message-tracking).
//! The header says where which column stands; without one, they stand as since Exchange 2013.

use std::ops::Range;

use super::entry::{Entry, Fate, LogEvent};
use super::facts::{Verdict, some};
use super::moment::Clock;
use super::said::{self, bare};
use crate::message::upstream_queue_id;
use crate::trace::{Actor, Reply, Stage, State};

/// The order of the columns where no header names them.
const USUAL: &str = "date-time,client-ip,client-hostname,server-ip,server-hostname,source-context,connector-id,source,event-id,\
internal-message-id,message-id,network-message-id,recipient-address,recipient-status,total-bytes,recipient-count,related-recipient-address,\
reference,message-subject,sender-address,return-path,message-info,directionality,tenant-id,original-client-ip,original-server-ip,custom-data";
/// Recipients of one record.
const RECIPIENTS: usize = 5_000;

#[derive(Debug)]
pub struct Exchange {
    columns: Columns,
    fields: csv::StringRecord,
}

/// Where each column stands.
#[derive(Debug, Default)]
struct Columns {
    time: Option<usize>,
    client_ip: Option<usize>,
    client_host: Option<usize>,
    server_ip: Option<usize>,
    server_host: Option<usize>,
    context: Option<usize>,
    source: Option<usize>,
    event: Option<usize>,
    internal_id: Option<usize>,
    message_id: Option<usize>,
    recipients: Option<usize>,
    statuses: Option<usize>,
    size: Option<usize>,
    related: Option<usize>,
    reference: Option<usize>,
    subject: Option<usize>,
    sender: Option<usize>,
    return_path: Option<usize>,
    info: Option<usize>,
}

impl Default for Exchange {
    fn default() -> Self {
        Self { columns: Columns::of(USUAL.split(',')), fields: csv::StringRecord::new() }
    }
}

impl Columns {
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut columns = Self::default();
        for (at, name) in names.enumerate() {
            // The export writes EventId for event-id.
            let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
            let column = match plain.as_str() {
                "datetime" | "timestamp" => &mut columns.time,
                "clientip" => &mut columns.client_ip,
                "clienthostname" => &mut columns.client_host,
                "serverip" => &mut columns.server_ip,
                "serverhostname" => &mut columns.server_host,
                "sourcecontext" => &mut columns.context,
                "source" => &mut columns.source,
                "eventid" => &mut columns.event,
                "internalmessageid" => &mut columns.internal_id,
                "messageid" => &mut columns.message_id,
                "recipientaddress" | "recipients" => &mut columns.recipients,
                "recipientstatus" => &mut columns.statuses,
                "totalbytes" => &mut columns.size,
                "relatedrecipientaddress" => &mut columns.related,
                "reference" => &mut columns.reference,
                "messagesubject" => &mut columns.subject,
                "senderaddress" | "sender" => &mut columns.sender,
                "returnpath" => &mut columns.return_path,
                "messageinfo" => &mut columns.info,
                _ => continue,
            };
            *column = Some(at);
        }
        columns
    }
}

impl Exchange {
    /// Reads a record; its quoted fields may hold line ends.
    pub fn read(&mut self, text: &str, clock: &mut Clock, out: &mut Vec<Entry>) -> Verdict {
        if let Some(names) = text.strip_prefix("#Fields:") {
            self.columns = Columns::of(names.trim().split(','));
            return if self.columns.event.is_some() { Verdict::Read } else { Verdict::Foreign };
        }
        if text.starts_with('#') {
            return Verdict::Foreign;
        }
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(text.len().clamp(64, 1 << 16))
            .from_reader(text.as_bytes());
        if !matches!(reader.read_record(&mut self.fields), Ok(true)) {
            return Verdict::Unreadable("no record of comma-separated values");
        }
        let fields = std::mem::take(&mut self.fields);
        let verdict = self.record(&fields, clock, out);
        self.fields = fields;
        verdict
    }

    fn record(&mut self, fields: &csv::StringRecord, clock: &mut Clock, out: &mut Vec<Entry>) -> Verdict {
        let columns = &self.columns;
        let get = |column: Option<usize>| column.and_then(|at| fields.get(at)).unwrap_or_default();
        let stamp = get(columns.time);
        let Some((at, _)) = clock.iso(stamp).or_else(|| clock.civil(stamp)) else {
            // Export-Csv has its header in the first line.
            let header = Columns::of(fields.iter());
            if header.event.is_some() && header.time.is_some() {
                self.columns = header;
                return Verdict::Read;
            }
            return Verdict::Unreadable("no time in the column date-time");
        };
        if [columns.recipients, columns.statuses, columns.reference].iter().any(|column| is_type_name(get(*column))) {
            return Verdict::Unreadable(
                "Export-Csv has written the name of a list instead of its values: export as deploy/import.md shows",
            );
        }
        let (name, source) = (get(columns.event), get(columns.source));
        let Some(event) = event_of(name, source) else {
            let is_word = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphabetic());
            return if is_word { Verdict::Read } else { Verdict::Unreadable("no event in the column event-id") };
        };
        // Who speaks is the server of what came in, and the client of what went out.
        let (ours, theirs) =
            if event == LogEvent::Sent { (columns.client_host, columns.server_host) } else { (columns.server_host, columns.client_host) };
        let host = some(get(ours)).or_else(|| some(get(theirs)).filter(|_| !matches!(event, LogEvent::Received | LogEvent::Sent)));
        let mut entry = Entry::new(at, host.as_deref(), event);
        entry.queue_id = some(get(columns.internal_id)).filter(|it| it != "0");
        entry.message_id = some(bare(get(columns.message_id)));
        entry.reverse_path = some(get(columns.return_path)).or_else(|| some(get(columns.sender))).map(|it| bare(&it).to_owned());
        entry.subject = said::subject(get(columns.subject));
        entry.size = get(columns.size).parse().ok();
        match event {
            LogEvent::Received | LogEvent::Submitted => {
                entry.client_host = some(get(columns.client_host));
                entry.client_ip = said::ip(get(columns.client_ip));
            }
            LogEvent::Sent => {
                entry.relay_host = some(get(columns.server_host));
                entry.relay_ip = said::ip(get(columns.server_ip));
            }
            _ => {}
        }
        if matches!(event, LogEvent::Sent | LogEvent::Delivered) {
            let came = clock.iso(get(columns.info)).map(|(came, _)| came);
            entry.delay_us = came.and_then(|came| at.checked_sub(came));
        }
        let context = get(columns.context);
        if matches!(event, LogEvent::Redirected | LogEvent::Expanded) {
            entry.original_recipient = some(get(columns.related));
        }
        if event == LogEvent::ReportSent {
            // The report's own Message-ID; the message that it is about is in the reference.
            entry.next_queue_id = entry.message_id.take();
            entry.message_id = some(bare(get(columns.reference)));
        }
        entry.detail =
            some(context).filter(|_| !matches!(event, LogEvent::Received | LogEvent::Sent | LogEvent::Delivered | LogEvent::Submitted));
        if matches!(event, LogEvent::Queued | LogEvent::Quarantined | LogEvent::Discarded) {
            entry.detail = Some(format!("{} {source}", name.to_ascii_lowercase()));
        }
        let final_reply = context.split(';').find_map(said::reply);
        let recipients: Vec<&str> = get(columns.recipients).split(';').map(str::trim).filter(|it| !it.is_empty()).collect();
        let whole = get(columns.statuses);
        let statuses = statuses_of(whole, recipients.len());
        // What is too long is cut before it is copied.
        entry.bound();
        for (index, to) in recipients.iter().take(RECIPIENTS).enumerate() {
            let mut entry = Entry { recipient: Some((*to).to_owned()), ..entry.clone() };
            match statuses.as_ref().map(|it| it.get(index).copied().unwrap_or_default()) {
                Some(status) => judge(&mut entry, source, status, said_in(status), final_reply.as_ref()),
                // Nobody can tell which part is whose.
                None => judge(&mut entry, source, whole, None, final_reply.as_ref()),
            }
            entry.bound();
            out.push(entry);
        }
        if recipients.is_empty() {
            judge(&mut entry, source, whole, said_in(whole), final_reply.as_ref());
            out.push(entry);
        }
        Verdict::Read
    }
}

/// What an event says of a message; `None` for those that say nothing of its way (agents at work, shadow copies, notices to mailboxes).
fn event_of(event: &str, source: &str) -> Option<LogEvent> {
    Some(match event {
        "RECEIVE" if source == "SMTP" => LogEvent::Received,
        "RECEIVE" if source == "STOREDRIVER" => LogEvent::Submitted,
        "RECEIVE" | "TRANSFER" | "RESUBMIT" => LogEvent::Queued,
        "SUBMIT" => LogEvent::Submitted,
        "SEND" | "SENDEXTERNAL" => LogEvent::Sent,
        "DELIVER" => LogEvent::Delivered,
        "DEFER" | "SUBMITDEFER" => LogEvent::Deferred,
        "FAIL" | "SUBMITFAIL" => LogEvent::Bounced,
        "DSN" => LogEvent::ReportSent,
        "EXPAND" => LogEvent::Expanded,
        "REDIRECT" | "RESOLVE" | "INITMESSAGECREATED" => LogEvent::Redirected,
        "POISONMESSAGE" | "BADMAIL" => LogEvent::Quarantined,
        "DROP" | "DUPLICATEDELIVER" | "DUPLICATEEXPAND" | "DUPLICATEREDIRECT" => LogEvent::Discarded,
        _ => return None,
    })
}

fn judge(entry: &mut Entry, source: &str, status: &str, reply: Option<Reply>, final_reply: Option<&Reply>) {
    match entry.event {
        LogEvent::Sent => {
            // The recipient's own reply counts for less than that to the message.
            entry.reply = final_reply.cloned().or(reply);
            entry.next_queue_id = entry.reply.as_ref().and_then(|it| upstream_queue_id(it.code, &it.lines)).map(|it| it.id);
            entry.fate = Some(said::SENT);
        }
        LogEvent::Delivered => entry.fate = Some(said::DELIVERED),
        LogEvent::Deferred | LogEvent::Bounced => {
            let state = if entry.event == LogEvent::Deferred { State::Deferred } else { State::Rejected };
            entry.reply = reply.or_else(|| final_reply.cloned());
            entry.detail = some(status).or(entry.detail.take());
            let fate = said::failed(state, entry.reply.is_some(), status);
            entry.fate = Some(match source {
                "SMTP" => fate,
                // The server's own rules, agents and mailboxes: what it quotes are replies of its own.
                "ROUTING" if entry.reply.is_none() && !quotes_reply(status) => Fate { state, stage: Stage::Connect, by: Actor::Dns },
                _ => Fate { state, stage: Stage::AfterAcceptance, by: Actor::Recipient },
            });
        }
        _ => entry.reply = reply,
    }
}

/// `550 5.1.1 …`, or `[{LED=450 4.4.316 …};{MSG=…};{FQDN=mx.example};{IP=192.0.2.1};{LRT=…}]` (last error of a queue).
fn said_in(status: &str) -> Option<Reply> {
    let status = status.trim();
    let led = status.find("{LED=").and_then(|at| status.get(at + 5..));
    said::reply(led.map_or(status, |it| it.split('}').next().unwrap_or(it)))
}

/// Whether a reply stands in it, whoever's it is.
fn quotes_reply(status: &str) -> bool {
    at_depth_zero(status).into_iter().filter_map(|part| status.get(part)).any(|part| said_in(part).is_some())
}

/// `System.String[]`, `System.Collections.ArrayList`: what Export-Csv makes of a property with several values.
fn is_type_name(value: &str) -> bool {
    value.strip_prefix("System.").is_some_and(|rest| rest.ends_with("[]") || rest.starts_with("Collections."))
}

/// The status of each recipient; `None` where there are not as many. A status may hold semicolons itself: what begins with neither a reply
/// code nor a bracket belongs to the one before.
fn statuses_of(whole: &str, recipients: usize) -> Option<Vec<&str>> {
    if recipients == 1 {
        return Some(vec![whole]);
    }
    let mut statuses: Vec<Range<usize>> = Vec::new();
    for part in at_depth_zero(whole) {
        let text = whole.get(part.clone()).unwrap_or_default().trim();
        let is_new = text.is_empty() || text.starts_with(['[', '{']) || said::reply(text).is_some();
        match statuses.last_mut().filter(|_| !is_new) {
            Some(last) => last.end = part.end,
            None => statuses.push(part),
        }
    }
    let mut statuses: Vec<&str> = statuses.into_iter().map(|it| whole.get(it).unwrap_or_default().trim()).collect();
    if statuses.len() != recipients {
        statuses.retain(|status| !status.is_empty());
    }
    (statuses.len() == recipients).then_some(statuses)
}

/// The parts between semicolons that stand in no brackets.
fn at_depth_zero(text: &str) -> Vec<Range<usize>> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => {
                parts.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(start..text.len());
    parts
}
