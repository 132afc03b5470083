//! hMailServer: the log of conversations and of the deliverer.
//!
//! Lines are fields in quotes with tabs between: `"SMTPD" thread session "time" "address" "SENT: 250 OK"`, `"APPLICATION" thread "time" "text"`.
//! In SMTPD the server is the server, in SMTPC the client. Forms as its documentation ("Logging") and sources have them.

use std::collections::VecDeque;

use super::entry::{Entry, LogEvent};
use super::facts::{Verdict, some};
use super::known::Known;
use super::moment::Clock;
use super::said::{self, bare};
use crate::message::upstream_queue_id;
use crate::trace::{Reply, Stage, State, WallMicros};

/// Messages in delivery that are remembered.
const IN_DELIVERY: usize = 500;
/// Recipients of a transaction.
const RECIPIENTS: usize = 1_000;

#[derive(Debug, Default)]
pub struct HMailServer {
    /// By "SMTPD" or "SMTPC" and session.
    sessions: Known<Session>,
    deliveries: VecDeque<Delivery>,
}

#[derive(Debug, Default)]
struct Session {
    /// What was asked last, without its answer.
    asked: Asked,
    reverse_path: Option<String>,
    /// Those that were taken.
    recipients: Vec<String>,
    greeted_as: Option<String>,
}

#[derive(Debug, Default)]
enum Asked {
    #[default]
    Nothing,
    MailFrom,
    RcptTo(String),
    Data,
    /// 354 was said: the next reply is about the message.
    Message,
}

#[derive(Debug)]
struct Delivery {
    id: String,
    reverse_path: String,
    recipients: Vec<String>,
    is_put_off: bool,
}

impl HMailServer {
    pub fn forgotten(&self) -> u64 {
        self.sessions.forgotten()
    }

    pub fn read(&mut self, text: &str, clock: &mut Clock, out: &mut Vec<Entry>) -> Verdict {
        if !text.starts_with('"') {
            return Verdict::Unreadable("no field in quotes at its beginning");
        }
        let fields: Vec<&str> = text.splitn(6, '\t').map(unquoted).collect();
        match fields.as_slice() {
            [leg @ ("SMTPD" | "SMTPC"), _, session, time, ip, said] => match clock.iso(time) {
                Some((at, _)) => self.conversation(at, leg, session, ip, said, out),
                None => Verdict::Unreadable("no time in its fourth field"),
            },
            ["APPLICATION", _, time, said @ ..] => match clock.iso(time) {
                Some((at, _)) => self.application(at, &said.join("\t"), out),
                None => Verdict::Unreadable("no time in its third field"),
            },
            ["SMTPD" | "SMTPC" | "APPLICATION", ..] => Verdict::Unreadable("too few fields"),
            _ => Verdict::Foreign,
        }
    }

    fn conversation(&mut self, at: WallMicros, leg: &str, session: &str, ip: &str, said: &str, out: &mut Vec<Entry>) -> Verdict {
        let is_server = leg == "SMTPD";
        let said = said.replace("[nl]", "\n");
        let (asks, told) = match said.split_once(": ") {
            Some(("RECEIVED", told)) => (is_server, told.trim()),
            Some(("SENT", told)) => (!is_server, told.trim()),
            _ => return Verdict::Read,
        };
        let key = format!("{leg}/{session}");
        let state = self.sessions.of(&key, at);
        if asks {
            state.ask(told);
            return Verdict::Read;
        }
        let Some(reply) = said::reply(told) else { return Verdict::Read };
        if reply.code == 220 && state.reverse_path.is_none() {
            state.greeted_as = reply.lines.first().and_then(|it| it.split(' ').next()).map(str::to_owned);
        }
        let mut entries = Vec::new();
        state.answer(at, is_server, reply, &mut entries);
        for mut entry in entries {
            let peer = said::ip(ip);
            if is_server {
                entry.client_ip = peer;
            } else {
                entry.relay_ip = peer;
                entry.relay_host = state.greeted_as.clone().filter(|it| it.contains('.'));
                entry.queue_id = entry.recipient.as_deref().and_then(|to| delivery_of(&self.deliveries, entry.reverse_path.as_deref(), to));
            }
            out.push(entry);
        }
        Verdict::Read
    }

    /// `SMTPDeliverer - Message 12: Delivering message from a@from.example to b@to.example, c@to.example. File: …`
    fn application(&mut self, at: WallMicros, text: &str, out: &mut Vec<Entry>) -> Verdict {
        let Some((id, told)) = text.strip_prefix("SMTPDeliverer - Message ").and_then(|it| it.split_once(": ")) else {
            return Verdict::Foreign;
        };
        let entry = |event| Entry { queue_id: some(id), ..Entry::new(at, None, event) };
        if let Some((from, behind)) = told.strip_prefix("Delivering message from ").and_then(|it| it.split_once(" to ")) {
            let behind = behind.split(" File: ").next().unwrap_or_default().trim().trim_end_matches('.');
            let recipients: Vec<String> =
                behind.split(", ").filter(|it| !it.is_empty()).take(RECIPIENTS).map(|it| bare(it).to_owned()).collect();
            let from = if from == "<Empty>" { "" } else { bare(from) };
            for to in &recipients {
                out.push(Entry { reverse_path: Some(from.to_owned()), recipient: Some(to.clone()), ..entry(LogEvent::Queued) });
            }
            if self.deliveries.len() >= IN_DELIVERY {
                self.deliveries.pop_front();
            }
            self.deliveries.push_back(Delivery { id: id.to_owned(), reverse_path: from.to_owned(), recipients, is_put_off: false });
            return Verdict::Read;
        }
        let known = self.deliveries.iter().rposition(|it| it.id == id);
        let complete = |entry: &mut Entry, known: Option<&Delivery>| {
            entry.reverse_path = known.map(|it| it.reverse_path.clone());
            entry.recipient = known.and_then(|it| if let [only] = it.recipients.as_slice() { Some(only.clone()) } else { None });
        };
        if told.starts_with("Message could not be delivered.") {
            let is_for_good = told.contains("Returning error log");
            let mut entry = entry(if is_for_good { LogEvent::Bounced } else { LogEvent::Deferred });
            entry.detail = some(told);
            let state = if is_for_good { State::Rejected } else { State::Deferred };
            entry.fate = Some(said::failed(state, false, told));
            complete(&mut entry, known.and_then(|at| self.deliveries.get(at)));
            if let Some(delivery) = known.and_then(|at| self.deliveries.get_mut(at)) {
                delivery.is_put_off |= !is_for_good;
            }
            out.push(entry);
        } else if told.starts_with("Message delivery thread completed") {
            let delivery = known.and_then(|at| self.deliveries.remove(at));
            if !delivery.as_ref().is_some_and(|it| it.is_put_off) {
                let mut entry = entry(LogEvent::Removed);
                complete(&mut entry, delivery.as_ref());
                out.push(entry);
            }
        } else if told.contains("will be deleted") {
            let mut entry = entry(LogEvent::Discarded);
            entry.detail = some(told);
            complete(&mut entry, known.and_then(|at| self.deliveries.get(at)));
            out.push(entry);
        }
        Verdict::Read
    }
}

impl Session {
    fn ask(&mut self, command: &str) {
        let head = command.get(..10).unwrap_or(command).to_ascii_uppercase();
        self.asked = if head.starts_with("MAIL FROM:") {
            self.reverse_path = Some(path(command.get(10..).unwrap_or_default()));
            self.recipients.clear();
            Asked::MailFrom
        } else if head.starts_with("RCPT TO:") {
            Asked::RcptTo(path(command.get(8..).unwrap_or_default()))
        } else if head == "DATA" {
            Asked::Data
        } else if matches!(self.asked, Asked::Message) {
            // The message itself, or its end.
            Asked::Message
        } else {
            Asked::Nothing
        };
    }

    fn answer(&mut self, at: WallMicros, is_server: bool, reply: Reply, out: &mut Vec<Entry>) {
        let asked = std::mem::take(&mut self.asked);
        let is_good = reply.code < 400;
        let of = |to: Option<&String>, stage, reply: &Reply| {
            let mut entry = Entry::new(at, None, LogEvent::Sent);
            (entry.reverse_path, entry.recipient) = (self.reverse_path.clone(), to.cloned());
            judge(&mut entry, is_server, stage, reply);
            entry
        };
        match asked {
            Asked::MailFrom if !is_good => out.push(of(None, Stage::MailFrom, &reply)),
            Asked::RcptTo(to) if !is_good => out.push(of(Some(&to), Stage::RcptTo, &reply)),
            Asked::RcptTo(to) if self.recipients.len() < RECIPIENTS => self.recipients.push(to),
            Asked::Data if reply.code == 354 => self.asked = Asked::Message,
            Asked::Data | Asked::Message => {
                out.extend(self.recipients.iter().map(|to| of(Some(to), Stage::EndOfData, &reply)));
                self.recipients.clear();
            }
            _ => {}
        }
    }
}

fn judge(entry: &mut Entry, is_server: bool, stage: Stage, reply: &Reply) {
    entry.reply = Some(reply.clone());
    (entry.event, entry.fate) = match (is_server, reply.code) {
        (true, ..400) => (LogEvent::Received, None),
        (true, _) => (LogEvent::Rejected, Some(said::refused(Some(reply), stage))),
        (false, ..400) => (LogEvent::Sent, Some(said::SENT)),
        (false, code) => {
            let (event, state) = if code < 500 { (LogEvent::Deferred, State::Deferred) } else { (LogEvent::Bounced, State::Rejected) };
            (event, Some(super::entry::Fate { stage, ..said::failed(state, true, "") }))
        }
    };
    if entry.event == LogEvent::Sent {
        entry.next_queue_id = upstream_queue_id(reply.code, &reply.lines).map(|it| it.id);
    }
}

/// The message that is being delivered from there to there.
fn delivery_of(deliveries: &VecDeque<Delivery>, from: Option<&str>, to: &str) -> Option<String> {
    let is_it = |it: &&Delivery| {
        from.is_none_or(|from| it.reverse_path.eq_ignore_ascii_case(from)) && it.recipients.iter().any(|one| one.eq_ignore_ascii_case(to))
    };
    deliveries.iter().rev().find(is_it).map(|it| it.id.clone())
}

/// The path in a command's argument, without its parameters.
fn path(argument: &str) -> String {
    let argument = argument.trim();
    match argument.strip_prefix('<').and_then(|it| it.split_once('>')) {
        Some((path, _)) => path.to_owned(),
        None => argument.split(' ').next().unwrap_or_default().to_owned(),
    }
}

fn unquoted(field: &str) -> &str {
    let field = field.trim_end_matches('\r');
    field.strip_prefix('"').map_or(field, |it| it.strip_suffix('"').unwrap_or(it))
}
