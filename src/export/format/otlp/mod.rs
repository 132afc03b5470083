//! An event as OpenTelemetry has it: a log record whose body is the event in the sink's format, and the spans of a dialogue.
//!
//! On the wire a list of messages is one message behind the other, each with its tag and length: what is made here of single records can be
//! put together by joining octets. An event is [`LENGTH`] octets with the length of its log record, that log record, then its spans.

mod attributes;
mod log;
mod spans;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::view::View;
use crate::trace::{Record, RecordId};
use attributes::Attributes;

/// Octets of the length before a log record: a `u32`, least octet first.
const LENGTH: usize = 4;
/// W3C Trace Context: nothing is sampled away.
const SAMPLED: u32 = 1;

/// What is sent of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signals {
    pub logs: bool,
    pub traces: bool,
}

impl Signals {
    /// Whether records are of any use.
    pub fn any(self) -> bool {
        self.logs || self.traces
    }
}

/// Appends the event: `body` is what its log record says, if there is to be one. `false`, and nothing is appended, if nothing of the record is wanted.
pub(super) fn write(out: &mut Vec<u8>, view: &View<'_>, body: Option<String>, traces: bool) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    if let Some(body) = body {
        log::write(out, view, body);
    }
    let length = u32::try_from(out.len() - start - LENGTH).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + LENGTH) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    if traces {
        spans::write(out, view);
    }
    let is_empty = out.len() == start + LENGTH;
    if is_empty {
        out.truncate(start);
    }
    !is_empty
}

/// An event's log record, and its spans: fields of `ScopeLogs` and `ScopeSpans`.
pub fn parts(event: &[u8]) -> (&[u8], &[u8]) {
    let parts = event.split_first_chunk::<LENGTH>().and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
    parts.unwrap_or_default()
}

/// Who sends: `Resource` as octets.
pub fn resource(node: &str) -> Vec<u8> {
    let mut attributes = Attributes::default();
    attributes.text("service.name", "relayscope");
    attributes.text("service.version", env!("CARGO_PKG_VERSION"));
    attributes.text("service.instance.id", node);
    Resource { attributes: attributes.0, ..Resource::default() }.encode_to_vec()
}

/// What made the records: `InstrumentationScope` as octets.
pub fn scope() -> Vec<u8> {
    let (name, version) = ("relayscope".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }.encode_to_vec()
}

/// The trace of a record: all that one session did. Both ids have 128 bits.
fn trace_of(record: &Record) -> Option<RecordId> {
    match record {
        Record::Transaction(it) => Some(it.session_id),
        Record::Session(it) => Some(it.id),
        _ => None,
    }
}

fn trace_id(session: RecordId) -> Vec<u8> {
    session.as_u128().to_be_bytes().to_vec()
}

/// Always the same for the same span, so that one that comes twice is recognised.
fn span_id(record: RecordId, span: &str) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&record.as_u128().to_be_bytes()).update(span.as_bytes());
    hasher.finalize().as_bytes().iter().copied().take(8).collect()
}

/// The span that stands for a whole record.
fn span_of(record: &Record) -> Option<(RecordId, &'static str)> {
    match record {
        Record::Transaction(it) => Some((it.id, "transaction")),
        Record::Session(it) => Some((it.id, "session")),
        _ => None,
    }
}

/// What logs and spans say in common. Names are OpenTelemetry's where it has one, else begin with `relayscope.`.
fn facts(view: &View<'_>) -> Attributes {
    let mut it = Attributes::default();
    it.text("relayscope.id", &view.id().to_string());
    it.text("relayscope.kind", view.record.kind().word());
    it.text("relayscope.node", view.node());
    if let Record::Amendment(amendment) = view.record {
        it.text("relayscope.of", &amendment.of.to_string());
    }
    if let Some(outcome) = view.outcome() {
        it.text("relayscope.state", outcome.state.word());
        it.text("relayscope.stage", outcome.stage.word());
        it.text("relayscope.by", outcome.by.word());
        it.some("error.type", outcome.cause.map(|cause| cause.word()));
        it.some("relayscope.cause", outcome.cause.map(|cause| cause.word()));
        it.some("relayscope.act", outcome.act.map(|act| act.word()));
        if let Some(reply) = &outcome.reply {
            it.number("relayscope.reply.code", u64::from(reply.code));
            it.some("relayscope.reply.enhanced_code", super::view::enhanced(reply).map(|code| code.to_string()).as_deref());
        }
    }
    let Some(dialogue) = view.dialogue() else { return it };
    it.text("relayscope.session_id", &dialogue.session_id.to_string());
    it.text("relayscope.listener", dialogue.listener);
    it.text("relayscope.direction", dialogue.direction.word());
    it.text("network.protocol.name", "smtp");
    it.text("client.address", &dialogue.client.ip.to_string());
    it.number("client.port", u64::from(dialogue.client.port));
    it.text("relayscope.upstream", &dialogue.upstream.name);
    it.some("server.address", dialogue.upstream.host.as_deref());
    if let Some(port) = dialogue.upstream.port {
        it.number("server.port", u64::from(port));
    }
    it.some("network.peer.address", dialogue.upstream.ip.map(|ip| ip.to_string()).as_deref());
    it
}
