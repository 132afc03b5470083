//! A receiver of OTLP, whatever it is sent: logs, spans or metrics.
//!
//! It may take some and refuse others, and then says how many, not which; those are not sent again (OTLP, "Partial Success").

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;

use super::grpc::{self, RpcStatus};
use crate::export::format::otlp::{Signals, resource, scope};
use crate::export::transport::Failure;
use crate::export::transport::http::{TIMEOUT, of, packed, refusal};
use crate::export::transport::shown;
use crate::net::grpc_client::GrpcClient;
use crate::net::http_client::{Answer, HttpClient, HttpUrl};
use crate::net::tls::ClientTls;

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Over HTTP, `/v1/logs`, `/v1/traces` and `/v1/metrics` are added.
    pub url: HttpUrl,
    pub protocol: Protocol,
    pub tls: ClientTls,
    /// Sent with each post; values may be secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub gzip: bool,
    /// What is sent of records.
    pub signals: Signals,
    /// How often metrics are sent, if they are.
    pub metrics_every: Option<Duration>,
    /// Name of this proxy.
    pub node: String,
}

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Protobuf by HTTP/1.1.
    Http,
    Grpc,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Logs,
    Traces,
    Metrics,
}

impl Signal {
    /// Also the last part of its path.
    pub fn word(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// So many records, spans or points were refused for good, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub count: u64,
    pub why: String,
}

/// A receiver in use.
#[derive(Debug)]
pub struct Collector {
    options: Options,
    way: Way,
    resource: Vec<u8>,
    scope: Vec<u8>,
}

#[derive(Debug)]
enum Way {
    Http(HttpClient),
    Grpc(GrpcClient),
}

/// `ExportLogsServiceRequest`, and those of traces and metrics alike: what stands inside is encoded already.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfResource>,
}

/// `ResourceLogs`, `ResourceSpans` and `ResourceMetrics`: on the wire, octets behind a length are what a message is.
#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(bytes = "vec", tag = "1")]
    resource: Vec<u8>,
    /// `ScopeLogs`, `ScopeSpans` or `ScopeMetrics`.
    #[prost(bytes = "vec", tag = "2")]
    of_scope: Vec<u8>,
}

/// The beginning of `ScopeLogs`, `ScopeSpans` and `ScopeMetrics`; the items follow.
#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(bytes = "vec", tag = "1")]
    scope: Vec<u8>,
}

impl Collector {
    /// Nothing is connected yet.
    pub fn new(options: Options) -> Self {
        let (url, tls) = (options.url.clone(), options.tls.clone());
        let way = match options.protocol {
            Protocol::Http => Way::Http(HttpClient::new(url, tls, TIMEOUT)),
            Protocol::Grpc => Way::Grpc(GrpcClient::new(url, tls, TIMEOUT, options.gzip)),
        };
        let (resource, scope) = (resource(&options.node), OfScope { scope: scope() }.encode_to_vec());
        Self { options, way, resource, scope }
    }

    /// Sends items, each encoded as the field of its scope that it is: `log_records`, `spans` or `metrics`.
    ///
    /// # Errors
    /// They weren't taken.
    pub async fn send<'o>(&mut self, signal: Signal, items: impl Iterator<Item = &'o [u8]>) -> Result<Option<Rejected>, Failure> {
        let mut of_scope = self.scope.clone();
        items.for_each(|item| of_scope.extend_from_slice(item));
        let resources = vec![OfResource { resource: self.resource.clone(), of_scope }];
        // Only what is sent is kept while the answer is awaited.
        let request = Request { resources }.encode_to_vec();
        let answer = self.answer(signal, request).await?;
        // Those of traces and metrics are the same on the wire.
        let said = ExportLogsServiceResponse::decode(answer).map_err(|_| {
            let (url, signal) = (&self.options.url, signal.word());
            Failure::passing(format!("the answer of {url} to {signal} is none of an OTLP receiver's: look at the url"))
        })?;
        let partial = said.partial_success.unwrap_or_default();
        let count = u64::try_from(partial.rejected_log_records).unwrap_or(0);
        let message = shown(&partial.error_message);
        let why = || format!("{} refused {count} of the {}: {message}", self.options.url, signal.word());
        Ok((count > 0).then(|| Rejected { count, why: why() }))
    }

    async fn answer(&mut self, signal: Signal, request: Vec<u8>) -> Result<Bytes, Failure> {
        let url = &self.options.url;
        let mut headers: HeaderMap = self.options.headers.iter().cloned().collect();
        let client = match &mut self.way {
            Way::Http(client) => client,
            Way::Grpc(client) => {
                let answer = client.call(signal.method(), &headers, request.into()).await;
                return answer.map_err(|error| grpc::failure(url, error));
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let body = packed(request, self.options.gzip, &mut headers)?;
        let path = format!("{}/v1/{}", url.path().trim_end_matches('/'), signal.word());
        let answer = client.post(&path, &headers, body).await.map_err(of)?;
        refusal(url, &in_words(&answer))?;
        Ok(answer.body)
    }
}

/// The answer to a refused request with its `Status` as text, if it has one.
fn in_words(answer: &Answer) -> Answer {
    let said = RpcStatus::decode(answer.body.clone()).ok().filter(|status| !answer.status.is_success() && !status.message.is_empty());
    let body = said.map_or_else(|| answer.body.clone(), |status| status.message.into());
    Answer { status: answer.status, retry_after: answer.retry_after, body }
}
