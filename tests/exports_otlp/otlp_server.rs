//! A strict receiver of OTLP over HTTP, built from the protocol's own messages.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::packed::unpacked;

/// What it does with the next request for a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Answer(u16),
    /// 200, and no answer of this protocol.
    Garbage,
    /// Takes it, and says that it refused so many.
    Partial(i64),
}

#[derive(Default)]
pub struct Seen {
    pub logs: Vec<LogRecord>,
    pub spans: Vec<Span>,
    /// Each time that metrics came, all of them.
    pub metrics: Vec<Vec<Metric>>,
    /// What wasn't as it should be.
    pub faults: Vec<String>,
    pub headers: Vec<HeaderMap>,
    /// By path.
    pub does: BTreeMap<&'static str, VecDeque<Does>>,
}

pub type Shared = Arc<Mutex<Seen>>;

pub struct Receiver {
    pub address: SocketAddr,
    pub seen: Shared,
    listener: Arc<tokio::net::TcpListener>,
    runtime: tokio::runtime::Runtime,
}

impl Receiver {
    pub fn start() -> Self {
        let this = Self::listening();
        let router = Router::new()
            .route("/base/v1/logs", post(receive::<ExportLogsServiceRequest>))
            .route("/base/v1/traces", post(receive::<ExportTraceServiceRequest>))
            .route("/base/v1/metrics", post(receive::<ExportMetricsServiceRequest>))
            .with_state(this.seen.clone());
        this.serve(move |stream| {
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            async move {
                let stream = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
            }
        });
        this
    }

    /// Clients can connect, and wait for an answer.
    pub fn listening() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        Self { address: listener.local_addr().unwrap(), seen: Shared::default(), listener: listener.into(), runtime }
    }

    /// Serves each connection.
    pub fn serve<F: Future<Output = ()> + Send + 'static>(&self, serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static) {
        let listener = self.listener.clone();
        self.runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    }

    /// What it does with the next requests for a path, one after the other; then it takes them.
    pub fn next(&self, path: &'static str, does: impl IntoIterator<Item = Does>) {
        self.seen.lock().unwrap().does.entry(path).or_default().extend(does);
    }

    /// Ids of the transactions whose logs have come, in order.
    pub fn logged(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let of = |log: &&LogRecord| text(&log.attributes, "relayscope.kind") == "transaction";
        seen.logs.iter().filter(of).map(|log| text(&log.attributes, "relayscope.id")).collect()
    }

    /// Ids of the transactions whose spans have come, in order.
    pub fn traced(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let of = |span: &&Span| span.name == "smtp.transaction";
        seen.spans.iter().filter(of).map(|span| text(&span.attributes, "relayscope.id")).collect()
    }

    #[track_caller]
    pub fn is_content(&self) {
        assert_eq!(self.seen.lock().unwrap().faults, Vec::<String>::new());
    }
}

/// An attribute's text; empty without one.
pub fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|it| it.key == key).and_then(|it| it.value.as_ref()?.value.clone());
    if let Some(Value::StringValue(text)) = value { text } else { String::new() }
}

/// A request of one signal.
pub trait Request: Message + Default + std::fmt::Debug {
    /// Path as the tests name it.
    const OF: &'static str;

    /// Checks it and takes it in.
    fn take(self, seen: &mut Seen);

    fn partial(rejected: i64) -> Vec<u8>;
}

impl Request for ExportLogsServiceRequest {
    const OF: &'static str = "logs";

    fn take(self, seen: &mut Seen) {
        for of_resource in self.resource_logs {
            check_resource(of_resource.resource, seen);
            for of_scope in of_resource.scope_logs {
                check_scope(of_scope.scope, seen);
                for log in of_scope.log_records {
                    check_log(&log, seen);
                    seen.logs.push(log);
                }
            }
        }
    }

    fn partial(rejected: i64) -> Vec<u8> {
        let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: "too old\u{1b}".to_owned() };
        ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    }
}

impl Request for ExportTraceServiceRequest {
    const OF: &'static str = "traces";

    fn take(self, seen: &mut Seen) {
        for of_resource in self.resource_spans {
            check_resource(of_resource.resource, seen);
            for of_scope in of_resource.scope_spans {
                check_scope(of_scope.scope, seen);
                check_spans(&of_scope.spans, seen);
                seen.spans.extend(of_scope.spans);
            }
        }
    }

    fn partial(rejected: i64) -> Vec<u8> {
        let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message: "too many spans".to_owned() };
        ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    }
}

impl Request for ExportMetricsServiceRequest {
    const OF: &'static str = "metrics";

    fn take(self, seen: &mut Seen) {
        for of_resource in self.resource_metrics {
            check_resource(of_resource.resource, seen);
            for of_scope in of_resource.scope_metrics {
                check_scope(of_scope.scope, seen);
                check_metrics(&of_scope.metrics, seen);
                seen.metrics.push(of_scope.metrics);
            }
        }
    }

    fn partial(rejected: i64) -> Vec<u8> {
        let partial = ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message: "too many series".to_owned() };
        ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
    }
}

fn check_resource(resource: Option<Resource>, seen: &mut Seen) {
    let attributes = resource.unwrap_or_default().attributes;
    let found = ["service.name", "service.version", "service.instance.id"].map(|key| text(&attributes, key));
    if found != ["relayscope", env!("CARGO_PKG_VERSION"), "relay.example"] {
        seen.faults.push(format!("resource {found:?}"));
    }
}

fn check_scope(scope: Option<InstrumentationScope>, seen: &mut Seen) {
    if scope.is_none_or(|scope| scope.name != "relayscope" || scope.version.is_empty()) {
        seen.faults.push("scope".to_owned());
    }
}

fn is_id(octets: &[u8], length: usize) -> bool {
    octets.len() == length && octets.iter().any(|octet| *octet != 0)
}

fn check_log(log: &LogRecord, seen: &mut Seen) {
    let body = match log.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(body)) => serde_json::from_str::<serde_json::Value>(body).unwrap_or_default(),
        _ => serde_json::Value::Null,
    };
    if body["id"] != text(&log.attributes, "relayscope.id") || body["kind"] != text(&log.attributes, "relayscope.kind") {
        seen.faults.push(format!("the body isn't the record's: {body}"));
    }
    let has_trace = is_id(&log.trace_id, 16) && is_id(&log.span_id, 8);
    let has_none = log.trace_id.is_empty() && log.span_id.is_empty();
    if !(has_trace || has_none) || log.time_unix_nano == 0 || log.observed_time_unix_nano < log.time_unix_nano {
        seen.faults.push(format!("ids or times of {log:?}"));
    }
    if !(1..=24).contains(&log.severity_number) || !log.event_name.starts_with("relayscope.") {
        seen.faults.push(format!("severity or name of {log:?}"));
    }
}

/// Each family comes once, with points of its own that count from one beginning.
fn check_metrics(metrics: &[Metric], seen: &mut Seen) {
    let is_cumulative = |temporality: i32| temporality == i32::from(AggregationTemporality::Cumulative);
    /// Attributes, beginning and end.
    type Point<'a> = (&'a [KeyValue], u64, u64);
    for metric in metrics {
        let (points, is_good): (Vec<Point<'_>>, bool) = match &metric.data {
            Some(metric::Data::Sum(sum)) => (
                sum.data_points.iter().map(|it| (&it.attributes[..], it.start_time_unix_nano, it.time_unix_nano)).collect(),
                sum.is_monotonic && is_cumulative(sum.aggregation_temporality),
            ),
            Some(metric::Data::Gauge(gauge)) => {
                (gauge.data_points.iter().map(|it| (&it.attributes[..], it.time_unix_nano, it.time_unix_nano)).collect(), true)
            }
            Some(metric::Data::Histogram(histogram)) => (
                histogram.data_points.iter().map(|it| (&it.attributes[..], it.start_time_unix_nano, it.time_unix_nano)).collect(),
                is_cumulative(histogram.aggregation_temporality)
                    && histogram.data_points.iter().all(|it| {
                        it.bucket_counts.len() == it.explicit_bounds.len() + 1
                            && it.bucket_counts.iter().sum::<u64>() == it.count
                            && it.explicit_bounds.is_sorted()
                    }),
            ),
            _ => (Vec::new(), false),
        };
        let namesakes = metrics.iter().filter(|other| other.name == metric.name).count();
        let is_named = !metric.description.is_empty() && metric.name.contains('.') && namesakes == 1;
        let are_different = points.iter().all(|(attributes, ..)| points.iter().filter(|(other, ..)| other == attributes).count() == 1);
        let have_times = points.iter().all(|(_, from, to)| *from > 0 && from <= to);
        if !is_good || !is_named || points.is_empty() || !are_different || !have_times {
            seen.faults.push(format!("metric {metric:?}"));
        }
    }
}

/// Each has ids of its own and lies within its parent, which came with it.
fn check_spans(spans: &[Span], seen: &mut Seen) {
    for span in spans {
        let namesakes = spans.iter().filter(|other| other.trace_id == span.trace_id && other.span_id == span.span_id).count();
        if !is_id(&span.trace_id, 16) || !is_id(&span.span_id, 8) || namesakes != 1 || span.start_time_unix_nano > span.end_time_unix_nano {
            seen.faults.push(format!("ids or times of {span:?}"));
        }
        if span.parent_span_id.is_empty() {
            continue;
        }
        let parent = spans.iter().find(|other| other.trace_id == span.trace_id && other.span_id == span.parent_span_id);
        let lies_within = |parent: &Span| {
            parent.start_time_unix_nano <= span.start_time_unix_nano && span.end_time_unix_nano <= parent.end_time_unix_nano
        };
        if !parent.is_some_and(lies_within) {
            seen.faults.push(format!("the parent of {span:?} is {parent:?}"));
        }
    }
}

async fn receive<R: Request>(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut seen = seen.lock().unwrap();
    seen.headers.push(headers.clone());
    let does = seen.does.entry(R::OF).or_default().pop_front();
    let protobuf = [("content-type", "application/x-protobuf")];
    match does {
        Some(Does::Answer(status)) => {
            let status = StatusCode::from_u16(status).unwrap();
            // google.rpc.Status: its message is field 2.
            let words = b"\x12\x09no thanks".to_vec();
            return (status, [("content-type", "application/x-protobuf"), ("retry-after", "1")], words).into_response();
        }
        Some(Does::Garbage) => return "<html>Please log in</html>".into_response(),
        Some(Does::Partial(_)) | None => {}
    }
    if headers.get("content-type").is_none_or(|it| it != "application/x-protobuf") {
        seen.faults.push("content type".to_owned());
    }
    let plain = unpacked(headers.get("content-encoding").is_some_and(|it| it == "gzip"), &body);
    match R::decode(&plain[..]) {
        // Nothing came that the protocol doesn't know.
        Ok(request) if request.encode_to_vec() == plain => request.take(&mut seen),
        other => seen.faults.push(format!("request {other:?}")),
    }
    let answer = if let Some(Does::Partial(rejected)) = does { R::partial(rejected) } else { Vec::new() };
    (protobuf, answer).into_response()
}
