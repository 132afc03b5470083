//! One record as one log record.

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ScopeLogs, SeverityNumber};
use prost::Message;

use super::{SAMPLED, facts, span_id, span_of, trace_id, trace_of};
use crate::export::format::named::Severity;
use crate::export::format::view::View;

/// Appends it as the field of `ScopeLogs` that it is.
pub fn write(out: &mut Vec<u8>, view: &View<'_>, body: String) {
    let trace = trace_of(view.record);
    let log = LogRecord {
        time_unix_nano: view.at().saturating_mul(1_000),
        observed_time_unix_nano: view.dialogue().map_or(view.at(), |it| it.ended_us()).saturating_mul(1_000),
        severity_number: of(view.named.severity).into(),
        severity_text: view.named.severity.word().to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(body)) }),
        attributes: facts(view).0,
        flags: if trace.is_some() { SAMPLED } else { 0 },
        trace_id: trace.map(trace_id).unwrap_or_default(),
        span_id: span_of(view.record).map(|(id, span)| span_id(id, span)).unwrap_or_default(),
        event_name: format!("relayscope.{}", view.named.msgid),
        ..LogRecord::default()
    };
    // A Vec refuses no octets.
    let _ = ScopeLogs { log_records: vec![log], ..ScopeLogs::default() }.encode(out);
}

/// As OpenTelemetry's logs data model maps syslog's severities.
fn of(severity: Severity) -> SeverityNumber {
    match severity {
        Severity::Critical => SeverityNumber::Error2,
        Severity::Error => SeverityNumber::Error,
        Severity::Warning => SeverityNumber::Warn,
        Severity::Notice => SeverityNumber::Info2,
        Severity::Informational => SeverityNumber::Info,
    }
}
