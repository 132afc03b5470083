//! OpenTelemetry by OTLP/HTTP (protobuf): logs to `/v1/logs`, spans to `/v1/traces`, each batch a post of each.
//!
//! A receiver may take some and refuse others, and then says how many, not which; those are not sent again (OTLP, "Partial Success"). A batch
//! counts when both posts are taken; what one of them took already is left out of the next try.

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;

use super::http::{TIMEOUT, of, packed, refusal};
use super::{Failure, Taken};
use crate::export::batch::Batch;
use crate::export::format::otlp::{Signals, parts, resource, scope};
use crate::net::http_client::{Answer, HttpClient, HttpUrl};
use crate::net::tls::ClientTls;
use crate::store::Cursor;

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// `/v1/logs` and `/v1/traces` are added.
    pub url: HttpUrl,
    pub tls: ClientTls,
    /// Sent with each post; values may be secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub gzip: bool,
    pub signals: Signals,
    /// Name of this proxy.
    pub node: String,
}

/// A receiver of OTLP.
#[derive(Debug)]
pub struct Otlp {
    options: Options,
    client: HttpClient,
    resource: Vec<u8>,
    scope: Vec<u8>,
    pub at: Cursor,
    /// Logs before this place are taken, though their spans may not be.
    logs_at: Cursor,
    /// Events of the batch under way that were refused, which aren't told apart, and why.
    refused: Option<(u64, String)>,
}

/// `ExportLogsServiceRequest` and `ExportTraceServiceRequest` alike: what stands inside is encoded already.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfResource>,
}

/// `ResourceLogs` and `ResourceSpans`: on the wire, octets behind a length are what a message is.
#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(bytes = "vec", tag = "1")]
    resource: Vec<u8>,
    /// `ScopeLogs` or `ScopeSpans`.
    #[prost(bytes = "vec", tag = "2")]
    of_scope: Vec<u8>,
}

/// The beginning of `ScopeLogs` and of `ScopeSpans`; the items follow.
#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(bytes = "vec", tag = "1")]
    scope: Vec<u8>,
}

/// `google.rpc.Status`, which explains a refusal.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Otlp {
    pub fn new(options: Options, at: Cursor) -> Self {
        let client = HttpClient::new(options.url.clone(), options.tls.clone(), TIMEOUT);
        let (resource, scope) = (resource(&options.node), OfScope { scope: scope() }.encode_to_vec());
        Self { options, client, resource, scope, at, logs_at: at, refused: None }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let logs = batch.iter().filter(|(event, _)| event.after > self.logs_at).map(|(_, octets)| parts(octets).0);
        let (logs, events) = self.joined(logs);
        self.post("logs", logs, events).await?;
        self.logs_at = self.logs_at.max(batch.after);
        let (spans, events) = self.joined(batch.iter().map(|(_, octets)| parts(octets).1));
        self.post("traces", spans, events).await?;
        self.at = batch.after;
        let mut taken = Taken::default();
        match self.refused.take() {
            Some((_, why)) if batch.events().len() == 1 => taken.refused.push((0, why)),
            untold => taken.untold = untold,
        }
        Ok(taken)
    }

    /// The items of a scope behind what it begins with, and of how many events they are.
    fn joined<'o>(&self, items: impl Iterator<Item = &'o [u8]>) -> (Vec<u8>, u64) {
        let (mut of_scope, mut events) = (self.scope.clone(), 0);
        for item in items.filter(|item| !item.is_empty()) {
            of_scope.extend_from_slice(item);
            events += 1;
        }
        (of_scope, events)
    }

    /// Posts what is of so many events.
    async fn post(&mut self, signal: &str, of_scope: Vec<u8>, events: u64) -> Result<(), Failure> {
        if events == 0 {
            return Ok(());
        }
        let resources = vec![OfResource { resource: self.resource.clone(), of_scope }];
        // Only what is sent is kept while the answer is awaited.
        let request = Request { resources }.encode_to_vec();
        let mut headers: HeaderMap = self.options.headers.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let body = packed(request, self.options.gzip, &mut headers)?;
        let path = format!("{}/v1/{signal}", self.options.url.path().trim_end_matches('/'));
        let answer = self.client.post(&path, &headers, body).await.map_err(of)?;
        if !answer.status.is_success() {
            return refusal(&self.options.url, &in_words(answer));
        }
        // `ExportTraceServiceResponse` is the same on the wire.
        let said = ExportLogsServiceResponse::decode(answer.body).map_err(|_| {
            Failure::passing(format!("the answer of {} to {path} is none of an OTLP receiver's: look at the url", self.options.url))
        })?;
        let Some(partial) = said.partial_success else { return Ok(()) };
        let rejected = u64::try_from(partial.rejected_log_records).unwrap_or(0);
        if rejected > 0 {
            let message: String = partial.error_message.chars().filter(|c| !c.is_control()).take(200).collect();
            let why = format!("{} refused {rejected} of the {signal}: {message}", self.options.url);
            // Spans are several to an event.
            let rejected = rejected.min(events);
            self.refused = Some(match self.refused.take() {
                Some((before, other)) => (before.max(rejected), format!("{other}; {why}")),
                None => (rejected, why),
            });
        }
        Ok(())
    }

    /// Nothing up to `after` is for this receiver.
    pub fn pass(&mut self, after: Cursor) {
        self.at = after;
        self.logs_at = self.logs_at.max(after);
        self.refused = None;
    }

    pub fn restart(&mut self, at: Cursor) {
        (self.at, self.logs_at) = (at, at);
        self.refused = None;
    }
}

/// The answer with its `Status` as text, if it has one.
fn in_words(answer: Answer) -> Answer {
    match RpcStatus::decode(answer.body.clone()) {
        Ok(status) if !status.message.is_empty() => Answer { body: status.message.into(), ..answer },
        _ => answer,
    }
}
