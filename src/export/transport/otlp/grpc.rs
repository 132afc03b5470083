//! What an answer of gRPC means for a batch, as OTLP has it ("OTLP/gRPC Response", "Failures").

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use super::collector::Signal;
use crate::export::transport::shown;
use crate::export::transport::{Failure, FailureKind};
use crate::net::grpc_client::GrpcError;
use crate::net::http_client::HttpUrl;

/// Words of servers that refuse a message for its size; it may be smaller than they want ("received message larger than max").
const TOO_LARGE: [&str; 4] = ["larger than", "too large", "maximum size", "exceeds"];

/// `google.rpc.Status`, in which a server explains itself.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Signal {
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }
}

pub(super) fn failure(url: &HttpUrl, error: GrpcError) -> Failure {
    let GrpcError::Status(status) = error else { return Failure::passing(error) };
    let said = shown(status.message());
    let (code, words) = (status.code(), status.code().description());
    let name = format!("{code:?}");
    let why = format!("{url} answered {} {name} ({words}){}{said}", i32::from(code), if said.is_empty() { "" } else { ": " });
    let kind = match code {
        // Something is wrong with the message, or one event of it.
        Code::InvalidArgument => FailureKind::TooMuch,
        // Servers say with either that a message is too large for them, and with the first that they have too much to do.
        Code::ResourceExhausted | Code::OutOfRange if TOO_LARGE.iter().any(|words| said.contains(words)) => FailureKind::TooMuch,
        // With the credential, the address, or the server: the events are not to blame.
        _ => FailureKind::Passing,
    };
    Failure { why, kind, retry_after: retry_after(&status), resume: None, taken: 0 }
}

/// How long the server asks to be left alone.
fn retry_after(status: &Status) -> Option<Duration> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let info = details.iter().find(|detail| detail.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&info.value[..]).ok()?.retry_delay?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?.min(999_999_999)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: Code, message: &str, kind: FailureKind, words: &str) {
        let url = HttpUrl::parse("https://otel.example:4317").unwrap();
        let failure = failure(&url, GrpcError::Status(Box::new(Status::new(code, message))));
        assert_eq!((failure.kind, failure.why.as_str()), (kind, words));
    }

    #[test]
    fn only_a_message_that_is_to_blame_is_made_smaller() {
        let of = |rest: &str| format!("https://otel.example:4317/ answered {rest}");
        check(Code::Unavailable, "busy\u{1b}", FailureKind::Passing, &of("14 Unavailable (The service is currently unavailable): busy"));
        check(Code::InvalidArgument, "", FailureKind::TooMuch, &of("3 InvalidArgument (Client specified an invalid argument)"));
        let large = "grpc: received message larger than max (5000000 vs. 4194304)";
        check(
            Code::ResourceExhausted,
            large,
            FailureKind::TooMuch,
            &of(&format!("8 ResourceExhausted (Some resource has been exhausted): {large}")),
        );
        check(
            Code::ResourceExhausted,
            "slow down",
            FailureKind::Passing,
            &of("8 ResourceExhausted (Some resource has been exhausted): slow down"),
        );
    }

    #[test]
    fn a_pause_that_is_asked_for_is_read() {
        let info = RetryInfo { retry_delay: Some(Delay { seconds: 7, nanos: 5 }) }.encode_to_vec();
        let detail = Detail { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info };
        let details = RpcStatus { code: 14, message: String::new(), details: vec![detail] }.encode_to_vec();
        let status = Status::with_details(Code::Unavailable, "", details.into());
        assert_eq!(retry_after(&status), Some(Duration::new(7, 5)));
        assert_eq!(retry_after(&Status::with_details(Code::Unavailable, "", bytes::Bytes::from_static(b"\xff\xff"))), None);
    }
}
