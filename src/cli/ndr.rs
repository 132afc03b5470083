//! `relayscope ndr`: what a bounce, a delivery status notification or a complaint says, read from files.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::failure::Status;
use super::in_shell;
use super::screen::{Look, Screen, Style, show_json, visible};
use crate::diagnose::{Act, Rules, Verdict};
use crate::message::report::{self, Action, Report, ReportKind, Reported};
use crate::path::lex;

/// Octets of a file that are read. A message is looked at no further than `report::MOST_OCTETS`; this bounds mailboxes.
const MOST_FILE: u64 = 256 * 1024 * 1024;

/// Reads files with messages in them. A report is told as it is told: nothing in it is proven.
#[derive(Debug, Args)]
pub struct Ndr {
    /// Messages (.eml) or mailboxes (mbox); "-" is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Answer in JSON, one object a line for each message
    #[arg(long)]
    json: bool,
}

/// A message, as `--json` tells it.
#[derive(Debug, Serialize)]
struct Told<'x> {
    file: &'x str,
    /// Which message of a mailbox, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    recipients: Vec<ToldRecipient<'x>>,
    /// A person passed it on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forwarded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_message_id: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reporting_mta: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envid: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_id: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrival: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_subject: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_from: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_to: Option<&'x str>,
    /// Recipients beyond those that are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients_cut: Option<u32>,
    /// A bound ended the reading early.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

#[derive(Debug, Serialize)]
struct ToldRecipient<'x> {
    address: &'x str,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'x str>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_mta: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<&'x str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    will_retry_until: Option<&'x str>,
}

impl Ndr {
    pub fn run(self) -> ExitCode {
        let look = Look::of_stdout(Timestamp::now());
        let mut status = Status::Done;
        for file in &self.files {
            let name = file.to_string_lossy();
            let octets = match read(file) {
                Ok(octets) => octets,
                Err(error) => {
                    eprintln!("relayscope: {}: {error}", visible(&name));
                    status = Status::Failed;
                    continue;
                }
            };
            let messages = messages(&octets);
            let several = messages.len() > 1;
            for (at, message) in messages.into_iter().enumerate() {
                let number = several.then_some(at + 1);
                let own = report::read(&message);
                let forwarded = own.is_none();
                let report = own.or_else(|| report::read_forwarded(&message));
                if report.is_none() {
                    eprintln!("relayscope: {}: no delivery report: {NO_REPORT}", visible(&place(&name, number)));
                    if status == Status::Done {
                        status = Status::NotFound;
                    }
                }
                if self.json {
                    if let Err(error) = show_json(&Told::of(&name, number, report.as_ref(), forwarded)) {
                        eprintln!("relayscope: standard output: {error}");
                        return Status::Failed.into();
                    }
                } else if let Some(report) = &report {
                    let mut screen = Screen::new(&look);
                    tell(&mut screen, &look, &place(&name, number), report, forwarded);
                    if let Err(error) = screen.show() {
                        eprintln!("relayscope: standard output: {error}");
                        return Status::Failed.into();
                    }
                }
            }
        }
        status.into()
    }
}

const NO_REPORT: &str =
    "it is not report-typed, or not from a mail system, or names no recipient; was the message saved whole, with its headers?";

fn place<'x>(name: &'x str, number: Option<usize>) -> Cow<'x, str> {
    number.map_or(Cow::Borrowed(name), |number| Cow::Owned(format!("{name}, message {number}")))
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let source: Box<dyn io::Read> = if file == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(file)?) };
    source.take(MOST_FILE + 1).read_to_end(&mut octets)?;
    match octets.len() as u64 > MOST_FILE {
        true => Err(io::Error::other("larger than 256 MiB; split the mailbox")),
        false => Ok(octets),
    }
}

/// The messages of a file: one, or those of an mbox (RFC 4155), without the mark that keeps a "From " line in a body.
fn messages(octets: &[u8]) -> Vec<Cow<'_, [u8]>> {
    if !octets.starts_with(b"From ") {
        return vec![Cow::Borrowed(octets)];
    }
    let mut starts = vec![0];
    let mut blank = false;
    let mut at = 0;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let next = at + line.len();
        if blank && at > 0 && line.starts_with(b"From ") && begins_header(octets.get(next..).unwrap_or_default()) {
            starts.push(at);
        }
        blank = line.trim_ascii().is_empty();
        at = next;
    }
    let ends = starts.iter().skip(1).copied().chain([octets.len()]);
    starts.iter().zip(ends).filter_map(|(&start, end)| octets.get(start..end)).map(|message| unmark(message, starts.len() > 1)).collect()
}

/// Whether the line at the front is a header field's first: what tells a separator from a sentence that begins with "From".
fn begins_header(octets: &[u8]) -> bool {
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
    name.len() < line.len() && !name.is_empty() && name.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
}

fn unmark(message: &[u8], several: bool) -> Cow<'_, [u8]> {
    if !several || !message.windows(7).any(|window| window == b"\n>From ") {
        return Cow::Borrowed(message);
    }
    let lines = message.split_inclusive(|octet| *octet == b'\n');
    Cow::Owned(lines.flat_map(|line| if line.starts_with(b">From ") { line.get(1..).unwrap_or_default() } else { line }).copied().collect())
}

impl<'x> Told<'x> {
    fn of(file: &'x str, message: Option<usize>, report: Option<&'x Report>, forwarded: bool) -> Self {
        Self {
            file,
            message,
            error: report.is_none().then_some("no delivery report"),
            kind: report.map(|it| it.kind.word()),
            format: report.map(|it| it.format),
            forwarded: forwarded && report.is_some(),
            recipients: report
                .map(|it| it.recipients.iter().map(|recipient| ToldRecipient::of(it, recipient)).collect())
                .unwrap_or_default(),
            original_message_id: report.and_then(|it| it.original_message_id.as_deref()),
            reporting_mta: report.and_then(|it| it.reporting_mta.as_deref()),
            envid: report.and_then(|it| it.envid.as_deref()),
            queue_id: report.and_then(|it| it.queue_id.as_deref()),
            arrival: report.and_then(|it| it.arrival.as_deref()),
            original_subject: report.and_then(|it| it.original_subject.as_deref()),
            original_from: report.and_then(|it| it.original_from.as_deref()),
            original_to: report.and_then(|it| it.original_to.as_deref()),
            recipients_cut: report.map(|it| it.recipients_cut).filter(|&it| it > 0),
            cut: report.is_some_and(|it| it.cut),
        }
    }
}

impl<'x> ToldRecipient<'x> {
    fn of(report: &Report, recipient: &'x Reported) -> Self {
        let verdict = Rules::builtin().classify_reported(report, recipient);
        Self {
            address: &recipient.address,
            original: recipient.original.as_deref(),
            action: recipient.action.word(),
            status: recipient.status.map(written),
            reply_code: recipient.reply_code,
            cause: verdict.map(|it| it.cause.word()),
            act: verdict.map(|it| it.act.word()),
            rule: verdict.map(|it| it.rule),
            provider: verdict.and_then(|it| it.provider),
            text: recipient.text.as_deref(),
            remote_mta: recipient.remote_mta.as_deref(),
            last_attempt: recipient.last_attempt.as_deref(),
            will_retry_until: recipient.will_retry_until.as_deref(),
        }
    }
}

fn written((class, subject, detail): (u8, u16, u16)) -> String {
    format!("{class}.{subject}.{detail}")
}

/// Who, what became of it, by whom, and which message.
fn tell(screen: &mut Screen, look: &Look, place: &str, report: &Report, forwarded: bool) {
    let what = match report.kind {
        ReportKind::DeliveryStatus => "delivery report",
        ReportKind::Complaint => "complaint",
    };
    screen.styled(Style::Bold, place).put(": ").put(what);
    if let Some(mta) = &report.reporting_mta {
        screen.put(" by ").put(mta);
    }
    screen.styled(Style::Faint, &format!(" (form: {})", report.format)).newline();
    if forwarded {
        screen.line("  A person passed it on; what is quoted may have been changed.");
    }
    for recipient in &report.recipients {
        tell_recipient(screen, look, report, recipient);
    }
    if report.recipients.is_empty() {
        screen.line("  It names no recipient.");
    }
    if report.recipients_cut > 0 {
        screen.line(&format!("  … and {} more recipients", report.recipients_cut));
    }
    tell_original(screen, report);
    if report.cut {
        screen.line("  The report was not read to its end: it is cut off, or larger or deeper than is looked at.");
    }
}

fn tell_recipient(screen: &mut Screen, look: &Look, report: &Report, recipient: &Reported) {
    let (style, word) = match recipient.action {
        _ if report.kind == ReportKind::Complaint => (Style::Bad, "complained"),
        Action::Failed => (Style::Bad, "failed"),
        Action::Delayed => (Style::Wait, "delayed, still tried"),
        Action::Delivered => (Style::Good, "delivered"),
        Action::Relayed => (Style::Good, "relayed to a server that sends no such reports"),
        Action::Expanded => (Style::Good, "expanded to the members of a list"),
    };
    screen.put("  ").styled(Style::Bold, &recipient.address).put(": ").styled(style, word);
    let codes: Vec<String> = recipient.reply_code.map(|it| it.to_string()).into_iter().chain(recipient.status.map(written)).collect();
    if !codes.is_empty() {
        screen.put(", ").put(&codes.join(" "));
    }
    if let Some(host) = &recipient.remote_mta {
        screen.put(", said by ").put(host);
    }
    screen.newline();
    if let Some(original) = &recipient.original {
        screen.put("    sent as ").put(original).newline();
    }
    if let Some(text) = &recipient.text {
        screen.put("    ").paragraph(Style::Plain, text, look.width.map(|width| width.saturating_sub(4)), 4);
    }
    if let Some(verdict) = Rules::builtin().classify_reported(report, recipient) {
        tell_verdict(screen, look, &verdict);
    }
    for (name, value) in [("last tried", &recipient.last_attempt), ("tried until", &recipient.will_retry_until)] {
        if let Some(value) = value {
            screen.put("    ").put(name).put(" ").put(value).newline();
        }
    }
}

/// Why, who must act, and what to do.
fn tell_verdict(screen: &mut Screen, look: &Look, verdict: &Verdict<'_>) {
    let who = match verdict.act {
        Act::Sender => "the sender must act",
        Act::LocalAdmin => "you must act: the sending server's admin",
        Act::SmartHost => "the smart host's provider must act",
        Act::RecipientSide => "the recipient's side must act",
        Act::Network => "the network must be looked at",
        Act::Nobody => "nobody has to act",
    };
    screen.put("    cause ").styled(Style::Bold, verdict.cause.word()).put("; ").put(who);
    screen.styled(Style::Faint, &format!(" (rule {})", verdict.rule)).newline();
    if !verdict.advice.is_empty() {
        screen.put("    ").paragraph(Style::Plain, verdict.advice, look.width.map(|width| width.saturating_sub(4)), 4);
    }
}

fn tell_original(screen: &mut Screen, report: &Report) {
    let rows = [
        ("message-id", &report.original_message_id),
        ("subject", &report.original_subject),
        ("from", &report.original_from),
        ("to", &report.original_to),
        ("queue id", &report.queue_id),
        ("envid", &report.envid),
        ("arrived", &report.arrival),
    ];
    if rows.iter().all(|(_, value)| value.is_none()) {
        screen.line("  It does not say which message it is about.");
        return;
    }
    screen.line("  about the message");
    for (name, value) in rows {
        if let Some(value) = value {
            screen.put(&format!("    {name:<11} ")).put(value).newline();
        }
    }
    if let Some(id) = &report.original_message_id {
        proposal(screen, "message-id", id);
    } else if let Some(id) = &report.queue_id {
        proposal(screen, "queue", id);
    }
}

/// What is in a report is anybody's words: neither the shell nor the grammar may take it for more.
fn proposal(screen: &mut Screen, field: &str, id: &str) {
    let question = in_shell(&format!("{field}:{}", lex::written(id, false)));
    screen.styled(Style::Faint, &format!("  next: relayscope where {question}")).newline();
}
