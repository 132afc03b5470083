//! A transaction or a session as spans: one for the whole, and below it one for each phase.
//!
//! A record has the phases' durations, not when each began; that follows from their order. What precedes MAIL FROM (DNS, connect, banner, TLS,
//! AUTH) begins with the session, commands follow each other from MAIL FROM on, and the message and its reply stand at the end. Where
//! commands were pipelined, or the upstream was reached in the midst of a transaction, starts are the nearest that fit.

use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, Status, span, status};
use prost::Message;

use super::attributes::{Attributes, shown};
use super::{SAMPLED, facts, span_id, span_of, trace_id};
use crate::export::format::named::Went;
use crate::export::format::view::{Dialogue, View};
use crate::smtp::Stage;
use crate::trace::{RecordId, WallMicros};

/// A phase: its name, the stage it is of, how long it took.
type Phase = (&'static str, Stage, Option<u64>);

/// A span to be: name, stage, from when to when.
type Placed = (&'static str, Stage, WallMicros, WallMicros);

/// Appends them as fields of `ScopeSpans`; nothing for records without a dialogue.
pub fn write(out: &mut Vec<u8>, view: &View<'_>) {
    let (Some(dialogue), Some((record, name))) = (view.dialogue(), span_of(view.record)) else { return };
    let it = Dialog { view, dialogue: &dialogue, record };
    let mut spans = Vec::new();
    let (begin, end) = (dialogue.at, dialogue.ended_us());
    let whole = it.span(name, (record, name), None, (begin, end));
    spans.push(Span { kind: span::SpanKind::Server.into(), attributes: facts(view).0, status: it.status(), ..whole });
    // The phases of a whole session lie within it. Those before a transaction have a span of their own beside it.
    let began = dialogue.session_id.unix_ms().saturating_mul(1_000);
    let took = it.opening().iter().filter_map(|(.., took)| *took).fold(0, u64::saturating_add);
    let is_before = dialogue.transaction_no == Some(1) && took > 0 && took <= begin.saturating_sub(began);
    if is_before {
        let mut opening = it.span("opening", (record, "opening"), None, (began, begin));
        opening.attributes = it.own_facts();
        spans.push(opening);
        it.children(&mut spans, "opening", forwards(&it.opening(), began, begin));
        it.children(&mut spans, name, it.transaction(begin, end));
    } else {
        let opening = forwards(&it.opening(), begin, end);
        let next = opening.last().map_or(begin, |(.., end)| *end);
        it.children(&mut spans, name, opening);
        it.children(&mut spans, name, it.transaction(next, end));
    }
    // A Vec refuses no octets.
    let _ = ScopeSpans { spans, ..ScopeSpans::default() }.encode(out);
}

struct Dialog<'a, 'v> {
    view: &'a View<'v>,
    dialogue: &'a Dialogue<'v>,
    record: RecordId,
}

impl Dialog<'_, '_> {
    fn opening(&self) -> [Phase; 5] {
        let it = self.dialogue.phases;
        [
            ("dns", Stage::Connect, it.dns_us),
            ("connect", Stage::Connect, it.connect_us),
            ("banner", Stage::Banner, it.banner_us),
            ("tls", Stage::StartTls, it.tls_us),
            ("auth", Stage::Auth, it.auth_us),
        ]
    }

    fn transaction(&self, begin: WallMicros, end: WallMicros) -> Vec<Placed> {
        let it = self.dialogue.phases;
        let commands = [("mail_from", Stage::MailFrom, it.mail_from_us), ("rcpt_to", Stage::RcptTo, it.rcpt_to_us)];
        let message =
            [("data", Stage::Data, it.data_us), ("body", Stage::Body, it.body_us), ("end_of_data", Stage::EndOfData, it.end_of_data_us)];
        let mut placed = forwards(&commands, begin, end);
        let next = placed.last().map_or(begin, |(.., end)| *end);
        // A message that came so far ends the transaction; an answer to DATA alone may be followed by anything.
        let ends = it.body_us.is_some() || it.end_of_data_us.is_some();
        placed.extend(if ends { backwards(&message, begin, end) } else { forwards(&message, next, end) });
        placed
    }

    fn children(&self, spans: &mut Vec<Span>, parent: &str, placed: Vec<Placed>) {
        let decided = self.dialogue.outcome.filter(|_| self.view.named.went == Went::Failure).map(|outcome| outcome.stage);
        let last = placed.iter().rposition(|(_, stage, ..)| Some(*stage) == decided);
        for (place, (name, _, begin, end)) in placed.into_iter().enumerate() {
            let mut child = self.span(name, (self.record, name), Some(parent), (begin, end));
            child.kind = if name == "body" { span::SpanKind::Server } else { span::SpanKind::Client }.into();
            child.attributes = self.own_facts();
            let mut attributes = Attributes(std::mem::take(&mut child.attributes));
            attributes.text("relayscope.leg", if name == "body" { "client" } else { "upstream" });
            child.attributes = attributes.0;
            child.status = if last == Some(place) { self.status() } else { None };
            spans.push(child);
        }
    }

    fn span(&self, name: &str, (record, own): (RecordId, &str), parent: Option<&str>, (begin, end): (WallMicros, WallMicros)) -> Span {
        Span {
            trace_id: trace_id(self.dialogue.session_id),
            span_id: span_id(record, own),
            parent_span_id: parent.map(|parent| span_id(record, parent)).unwrap_or_default(),
            flags: SAMPLED,
            name: format!("smtp.{name}"),
            kind: span::SpanKind::Internal.into(),
            start_time_unix_nano: begin.saturating_mul(1_000),
            end_time_unix_nano: end.saturating_mul(1_000),
            ..Span::default()
        }
    }

    fn own_facts(&self) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
        let mut attributes = Attributes::default();
        attributes.text("relayscope.id", &self.record.to_string());
        attributes.0
    }

    /// What went wrong, in the reply's words, else in ours. Success is left unsaid, as instrumentation should.
    fn status(&self) -> Option<Status> {
        if self.view.named.went != Went::Failure {
            return None;
        }
        let reply = self.dialogue.outcome.and_then(|outcome| outcome.reply.as_ref());
        let message = match reply {
            Some(reply) => format!("{} {}", reply.code, reply.lines.join(" ")),
            None => self.view.sentence.to_owned(),
        };
        Some(Status { message: shown(&message), code: status::StatusCode::Error.into() })
    }
}

/// One after the other from `begin` on, none beyond `end`.
fn forwards(phases: &[Phase], begin: WallMicros, end: WallMicros) -> Vec<Placed> {
    let mut at = begin;
    let mut placed = Vec::new();
    for (name, stage, took) in phases {
        if let Some(took) = took {
            let until = at.saturating_add(*took).min(end).max(at);
            placed.push((*name, *stage, at, until));
            at = until;
        }
    }
    placed
}

/// The last ends with `end`, none begins before `begin`.
fn backwards(phases: &[Phase], begin: WallMicros, end: WallMicros) -> Vec<Placed> {
    let mut at = end;
    let mut placed = Vec::new();
    for (name, stage, took) in phases.iter().rev() {
        if let Some(took) = took {
            let from = at.saturating_sub(*took).max(begin).min(at);
            placed.push((*name, *stage, from, at));
            at = from;
        }
    }
    placed.reverse();
    placed
}
