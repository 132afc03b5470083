//! OTLP: the spans of dialogues that went wrong, that are sessions, or that lie about themselves; what has none.

use opentelemetry_proto::tonic::logs::v1::{ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, status::StatusCode};
use prost::Message;
use relayscope::export::format::otlp::{Signals, parts};
use relayscope::export::format::{Encoder, Format};
use relayscope::trace::Record;

use super::context;
use super::records::{self, AT, IntoRecord};

const BOTH: Signals = Signals { logs: true, traces: true };

fn wrapped(record: &Record, signals: Signals) -> Option<(ScopeLogs, Vec<Span>)> {
    let mut out = Vec::new();
    Encoder::new(Format::Json, context()).wrapped(signals).encode(record, &mut out)?;
    let (logs, spans) = parts(&out);
    Some((ScopeLogs::decode(logs).unwrap(), ScopeSpans::decode(spans).unwrap().spans))
}

fn spans(record: &Record) -> Vec<Span> {
    wrapped(record, BOTH).unwrap().1
}

#[track_caller]
fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap()
}

fn lies_within(span: &Span, parent: &Span) -> bool {
    parent.start_time_unix_nano <= span.start_time_unix_nano && span.end_time_unix_nano <= parent.end_time_unix_nano
}

#[test]
fn a_rejection_stands_at_the_whole_and_at_the_phase_that_decided() {
    let record = records::rejected().into_record();
    let spans = spans(&record);
    let stage = record.outcome().unwrap().stage.word();
    for span in &spans {
        let is_error = span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
        assert_eq!(is_error, span.name == "smtp.transaction" || span.name == format!("smtp.{stage}"), "{}", span.name);
    }
    let status = named(&spans, "smtp.transaction").status.clone().unwrap();
    let reply = record.outcome().unwrap().reply.clone().unwrap();
    assert!(status.message.starts_with(&format!("{} {}", reply.code, &reply.lines[0][..8])), "{status:?}");
}

#[test]
fn a_session_without_a_transaction_has_its_phases_within() {
    let record = Record::Session(Box::new(records::auth_failure()));
    let spans = spans(&record);
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["smtp.session", "smtp.connect", "smtp.auth"]);
    assert_eq!(named(&spans, "smtp.auth").status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(spans[0].trace_id, record.id().as_u128().to_be_bytes());
    assert_eq!(spans[0].start_time_unix_nano, AT * 1_000);
}

#[test]
fn whatever_a_record_says_spans_have_ids_and_lie_within_their_parents() {
    for record in records::drawn(300).chain(records::all().into_iter().map(|(_, record)| record)) {
        let (logs, spans) = wrapped(&record, BOTH).unwrap();
        let is_dialogue = matches!(record, Record::Transaction(_) | Record::Session(_));
        assert_eq!((logs.log_records.len(), spans.is_empty()), (1, !is_dialogue));
        assert_ne!(logs.log_records[0].severity_number(), SeverityNumber::Unspecified);
        for span in &spans {
            assert!(span.trace_id.len() == 16 && span.span_id.len() == 8 && span.start_time_unix_nano <= span.end_time_unix_nano);
            assert_eq!(spans.iter().filter(|other| other.span_id == span.span_id).count(), 1);
            if !span.parent_span_id.is_empty() {
                let parent = spans.iter().find(|other| other.span_id == span.parent_span_id).unwrap();
                assert!(lies_within(span, parent), "{span:?}\n{parent:?}");
            }
            let shown = span.status.iter().map(|status| &status.message).chain([&span.name]);
            assert!(shown.into_iter().all(|text| !text.chars().any(relayscope::export::format::inert::is_hostile)));
        }
    }
}

#[test]
fn what_has_no_dialogue_is_nothing_to_a_receiver_of_traces() {
    let mut out = b"before".to_vec();
    let audit = Record::Audit(Box::new(records::audit()));
    let mut encoder = Encoder::new(Format::Json, context()).wrapped(Signals { logs: false, traces: true });
    assert_eq!(encoder.encode(&audit, &mut out), None);
    assert_eq!(out, b"before");
    let (logs, spans) = wrapped(&records::accepted().into_record(), Signals { logs: false, traces: true }).unwrap();
    assert!(logs.log_records.is_empty() && !spans.is_empty());
}
