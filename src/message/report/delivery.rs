//! Delivery status fields (RFC 3464, RFC 6533), also where they stand in running text, or lack what should part them.

use super::fields::split;
use super::reply::{self, Codes, Status};
use super::{Action, MOST_RECIPIENTS, Reported, address, bounded};

/// What a delivery status says.
#[derive(Debug, Default)]
pub struct Delivery {
    pub reporting_mta: Option<String>,
    pub envid: Option<String>,
    pub queue_id: Option<String>,
    pub arrival: Option<String>,
    pub message_id: Option<String>,
    pub recipients: Vec<Reported>,
    pub recipients_cut: u32,
    /// At least one field was one.
    pub found: bool,
}

/// One recipient's group while it is read.
#[derive(Debug, Default)]
struct Group {
    last: Option<String>,
    original: Option<String>,
    action: Option<Action>,
    status: Option<Status>,
    comment: Option<String>,
    diagnostic: Option<String>,
    remote_mta: Option<String>,
    last_attempt: Option<String>,
    will_retry_until: Option<String>,
    /// An empty line came behind the address.
    ended: bool,
}

/// Reads the fields. `whole`: nothing is cut off at the end.
pub fn read(text: &str, whole: bool) -> Delivery {
    let mut delivery = Delivery::default();
    let mut group = Group::default();
    for (name, value) in logical_lines(text, whole) {
        delivery.take(&mut group, &name, value);
    }
    // Of a group that is cut, the final recipient may be what is missing.
    if whole || group.last.is_some() {
        delivery.close(&mut group);
    }
    delivery
}

/// Where the fields begin in a running text.
pub fn start(text: &str) -> Option<usize> {
    let mut at = 0;
    text.split_inclusive('\n').find_map(|line| {
        let start = at;
        at += line.len();
        let (name, _) = split(line.trim_start().as_bytes())?;
        ["reporting-mta", "final-recipient", "original-recipient"].iter().any(|it| name.eq_ignore_ascii_case(it)).then_some(start)
    })
}

/// Unfolded fields; an empty line is a field without a name. A line that is no field goes on with the one before.
fn logical_lines(text: &str, whole: bool) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let end = if whole { text.len() } else { text.rfind('\n').unwrap_or(0) };
    for line in text.get(..end).unwrap_or_default().lines().take(20_000) {
        let line = line.trim_end();
        let field = split(line.trim_start().as_bytes()).filter(|(name, _)| is_known(name) || !line.starts_with([' ', '\t']));
        match field {
            Some((name, value)) => fields.push((name.to_ascii_lowercase(), String::from_utf8_lossy(value).trim().to_owned())),
            None if line.trim().is_empty() => fields.push(Default::default()),
            None => {
                if let Some((_, value)) = fields.last_mut().filter(|(name, value)| !name.is_empty() && value.len() < 4096) {
                    value.push(' ');
                    value.push_str(line.trim());
                }
            }
        }
    }
    fields
}

/// Fields of a delivery status: what may be indented in running text and is one all the same.
fn is_known(name: &str) -> bool {
    const NAMES: &[&str] =
        &["final-recipient", "original-recipient", "reporting-mta", "remote-mta", "diagnostic-code", "arrival-date", "action", "status"];
    NAMES.iter().any(|it| name.eq_ignore_ascii_case(it))
}

impl Delivery {
    fn take(&mut self, group: &mut Group, name: &str, value: String) {
        match name {
            "" => group.ended |= group.last.is_some() || group.original.is_some(),
            "final-recipient" | "original-recipient" | "x-actual-recipient" | "x-original-recipient" => {
                self.found = true;
                let taken =
                    if name == "final-recipient" { group.last.is_some() } else { name == "original-recipient" && group.original.is_some() };
                if group.ended || taken {
                    self.close(group);
                }
                let slot = match name {
                    "final-recipient" => &mut group.last,
                    _ => &mut group.original,
                };
                if slot.is_none() {
                    *slot = address::typed(&value);
                }
            }
            "action" => set(&mut group.action, action(&value)),
            "status" => {
                set(&mut group.status, reply::of_field(&value));
                set(&mut group.comment, value.split_once('(').map(|(_, comment)| comment.trim_end_matches(')').to_owned()));
            }
            "diagnostic-code" | "x-supplementary-info" | "x-notes" => set(&mut group.diagnostic, diagnostic(&value)),
            "remote-mta" => set(&mut group.remote_mta, host(&value)),
            "last-attempt-date" => set(&mut group.last_attempt, bounded(&value)),
            "will-retry-until" => set(&mut group.will_retry_until, bounded(&value)),
            "reporting-mta" => {
                self.found = true;
                set(&mut self.reporting_mta, host(&value));
            }
            "original-envelope-id" => set(&mut self.envid, bounded(&xtext(&value))),
            "x-postfix-queue-id" | "x-qmail-queue-id" | "x-queue-id" | "queue-id" | "x-sendmail-queue-id" => {
                set(&mut self.queue_id, bounded(&value))
            }
            "arrival-date" => set(&mut self.arrival, bounded(&value)),
            "x-original-message-id" | "original-message-id" => set(&mut self.message_id, bounded(value.trim_matches(['<', '>']))),
            _ => {}
        }
    }

    fn close(&mut self, group: &mut Group) {
        let group = std::mem::take(group);
        let Some(address) = group.last.clone().or_else(|| group.original.clone()) else { return };
        let codes = group.diagnostic.as_deref().map(reply::codes).unwrap_or_default();
        let reported = Reported {
            original: group.original.filter(|it| !address::same(it, &address)),
            address,
            action: group.action.unwrap_or_else(|| of_status(group.status)),
            status: reply::better(group.status, codes),
            reply_code: codes.reply,
            text: group.diagnostic.or(group.comment).and_then(|it| bounded(&it)),
            remote_mta: group.remote_mta,
            last_attempt: group.last_attempt,
            will_retry_until: group.will_retry_until,
        };
        if let Some(known) = self.recipients.iter_mut().find(|it| address::same(&it.address, &reported.address)) {
            fill(known, reported);
        } else if self.recipients.len() < MOST_RECIPIENTS {
            self.recipients.push(reported);
        } else {
            self.recipients_cut = self.recipients_cut.saturating_add(1);
        }
    }
}

fn set<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}

/// The better status of what is known of a recipient and of what a second telling says.
pub fn told_status(known: Option<Status>, more: &Reported) -> Option<Status> {
    let codes = more.text.as_deref().map(reply::codes).unwrap_or_default();
    let placed = codes.placed && codes.status == more.status;
    reply::better(known, Codes { reply: more.reply_code, status: more.status, placed })
}

/// Adds to what is known of a recipient what a second telling says beyond it.
pub fn fill(known: &mut Reported, more: Reported) {
    known.status = told_status(known.status, &more);
    if known.reply_code.is_none() {
        known.reply_code = more.reply_code;
    }
    set(&mut known.text, more.text);
    set(&mut known.remote_mta, more.remote_mta);
    set(&mut known.last_attempt, more.last_attempt);
    set(&mut known.will_retry_until, more.will_retry_until);
    set(&mut known.original, more.original.filter(|it| !address::same(it, &known.address)));
}

fn action(value: &str) -> Option<Action> {
    let word: String = value.trim().chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    Action::from_word(&word).or(match word.as_str() {
        "fail" | "failure" | "error" => Some(Action::Failed),
        "delay" | "deferred" => Some(Action::Delayed),
        _ => None,
    })
}

fn of_status(status: Option<Status>) -> Action {
    match status {
        Some((2, ..)) => Action::Delivered,
        _ => Action::Failed,
    }
}

/// A diagnostic without the type in front: `smtp; 550 …`.
fn diagnostic(value: &str) -> Option<String> {
    let value = value.trim();
    let text = match value.split_once(';') {
        Some((kind, rest)) if !kind.is_empty() && kind.len() <= 30 && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => rest,
        _ => value,
    };
    bounded(&reply::joined(text))
}

/// A host without its type, address and comment: `dns; mx.y.example (192.0.2.1)`.
pub fn host(value: &str) -> Option<String> {
    let value = value.split_once(';').map_or(value, |(_, rest)| rest);
    let value = value.trim().trim_start_matches('<');
    let name = value.split([' ', '\t', '(', '>', ',']).next().unwrap_or_default().trim_end_matches('.');
    bounded(name)
}

/// Decodes xtext (RFC 3461 §4).
fn xtext(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once('+') {
        out.push_str(before);
        let octet = behind.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii_graphic);
        out.push(octet.map_or('+', char::from));
        rest = if octet.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    out.push_str(rest);
    out
}
