//! Strict servers of the kinds that take events over HTTP: what isn't as their manuals say is an error that the test sees.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use crate::support::packed::unpacked;

/// What a server does with the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Take,
    /// Answers that status, and takes nothing.
    Answer(u16),
    /// Answers 200, and never acknowledges (Splunk).
    Forget,
    /// Refuses these documents, by their place (Elasticsearch): with that status.
    Refuse {
        place: usize,
        status: u16,
    },
    /// Refuses every document with status 400, because the index is closed (Elasticsearch).
    Closed,
    /// Never answers.
    Hang,
}

#[derive(Default)]
pub struct Seen {
    pub events: Vec<Value>,
    /// What wasn't as it should be.
    pub faults: Vec<String>,
    pub requests: usize,
    pub headers: Vec<HeaderMap>,
    pub bodies: Vec<Vec<u8>>,
    does: VecDeque<Does>,
    always: Option<Does>,
    /// Splunk: acknowledgements, and how often they were asked for until true.
    acks: BTreeMap<u64, (bool, u32)>,
    waiting: BTreeMap<u64, Vec<Value>>,
    /// Elasticsearch: documents by id.
    documents: BTreeMap<String, Value>,
    /// Most events of one request that are taken (413 beyond).
    pub most: Option<usize>,
}

/// A server on a port of its own.
pub struct Web {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Seen>>,
    _runtime: tokio::runtime::Runtime,
}

type Shared = Arc<Mutex<Seen>>;

impl Web {
    pub fn start() -> Self {
        let seen = Shared::default();
        let router = Router::new()
            .route("/hook", post(hook))
            .route("/services/collector/event", post(collect))
            .route("/services/collector/ack", post(acknowledge))
            .route("/_bulk", post(bulk))
            .with_state(seen.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { hyper_serve(listener, router).await });
        Self { address, seen, _runtime: runtime }
    }

    /// What it does with the next requests, one after the other; then it takes them.
    pub fn next(&self, does: impl IntoIterator<Item = Does>) {
        self.seen.lock().unwrap().does.extend(does);
    }

    pub fn always(&self, does: Option<Does>) {
        self.seen.lock().unwrap().always = does;
    }

    pub fn take_at_most(&self, events: usize) {
        self.seen.lock().unwrap().most = Some(events);
    }

    /// Ids of the transactions that have arrived, in order.
    pub fn transactions(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let of = |event: &&Value| event["kind"] == "transaction";
        seen.events.iter().filter(of).filter_map(|event| Some(event["id"].as_str()?.to_owned())).collect()
    }

    pub fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests
    }

    #[track_caller]
    pub fn is_content(&self) {
        assert_eq!(self.seen.lock().unwrap().faults, Vec::<String>::new());
    }
}

async fn hyper_serve(listener: tokio::net::TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
        });
    }
}

/// What is to be done with this request; notes it.
fn begin(seen: &Shared, headers: &HeaderMap, body: &Bytes) -> Does {
    let mut seen = seen.lock().unwrap();
    seen.requests += 1;
    seen.headers.push(headers.clone());
    seen.bodies.push(body.to_vec());
    let next = seen.does.pop_front();
    next.or(seen.always).unwrap_or(Does::Take)
}

fn fault(seen: &Shared, what: String) {
    seen.lock().unwrap().faults.push(what);
}

async fn passing(does: Does) -> Option<Response> {
    match does {
        Does::Answer(status) => {
            let status = StatusCode::from_u16(status).unwrap();
            let headers = if status == StatusCode::TOO_MANY_REQUESTS { [("retry-after", "1")] } else { [("x-test", "1")] };
            Some((status, headers, "no \u{1b}[31mthanks").into_response())
        }
        Does::Hang => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            None
        }
        _ => None,
    }
}

async fn hook(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let does = begin(&seen, &headers, &body);
    if let Some(answer) = passing(does).await {
        return answer;
    }
    let plain = unpacked(headers.get("content-encoding").is_some_and(|it| it == "gzip"), &body);
    let events: Vec<Value> = match headers.get("content-type").and_then(|it| it.to_str().ok()) {
        Some("application/x-ndjson") => plain
            .split(|octet| *octet == b'\n')
            .filter(|line| !line.is_empty())
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect(),
        Some("application/json") => serde_json::from_slice(&plain).unwrap_or_default(),
        other => {
            fault(&seen, format!("content type {other:?}"));
            Vec::new()
        }
    };
    let mut seen = seen.lock().unwrap();
    if seen.most.is_some_and(|most| events.len() > most) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    if events.iter().any(|event| event["message"]["message_id"].as_str().is_some_and(|id| id.contains("poison"))) {
        return (StatusCode::BAD_REQUEST, "this event I can't take").into_response();
    }
    seen.events.extend(events);
    StatusCode::NO_CONTENT.into_response()
}

async fn collect(State(seen): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let does = begin(&seen, &headers, &body);
    if let Some(answer) = passing(does).await {
        return answer;
    }
    if headers.get("authorization").is_none_or(|it| it != "Splunk 0b1e-token") {
        return (StatusCode::FORBIDDEN, r#"{"text":"Invalid token","code":4}"#).into_response();
    }
    let channel = headers.get("x-splunk-request-channel").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if channel.len() != 36 || channel.split('-').map(str::len).collect::<Vec<_>>() != [8, 4, 4, 4, 12] {
        return (StatusCode::BAD_REQUEST, r#"{"text":"Data channel is missing","code":10}"#).into_response();
    }
    let mut events = Vec::new();
    for event in serde_json::Deserializer::from_slice(&body).into_iter::<Value>() {
        let Ok(event) = event else { return (StatusCode::BAD_REQUEST, r#"{"text":"Invalid data format","code":6}"#).into_response() };
        let is_whole =
            event["time"].is_f64() && event["host"].is_string() && event["source"].is_string() && event["sourcetype"].is_string();
        if !is_whole || event["event"].is_null() {
            fault(&seen, format!("an event lacks something: {event}"));
        }
        events.push(event["event"].clone());
    }
    let mut seen = seen.lock().unwrap();
    let number = seen.acks.len() as u64;
    seen.acks.insert(number, (does != Does::Forget, 0));
    seen.waiting.insert(number, events);
    axum::Json(json!({ "text": "Success", "code": 0, "ackId": number })).into_response()
}

/// Each acknowledgement is told once, after it was asked for twice; only then the events count as indexed.
async fn acknowledge(State(seen): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    if headers.get("authorization").is_none_or(|it| it != "Splunk 0b1e-token") || !query.unwrap_or_default().contains("channel=") {
        fault(&seen, "a question for acknowledgements without token or channel".to_owned());
    }
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let mut seen = seen.lock().unwrap();
    let mut answer = serde_json::Map::new();
    for number in asked["acks"].as_array().unwrap().iter().filter_map(Value::as_u64) {
        let indexed = match seen.acks.get_mut(&number) {
            Some((true, times)) if *times >= 1 => seen.waiting.contains_key(&number),
            Some((_, times)) => {
                *times += 1;
                false
            }
            None => false,
        };
        if indexed {
            let events = seen.waiting.remove(&number).unwrap_or_default();
            seen.events.extend(events);
        }
        answer.insert(number.to_string(), Value::Bool(indexed));
    }
    axum::Json(json!({ "acks": answer })).into_response()
}

async fn bulk(State(seen): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap, body: Bytes) -> Response {
    let does = begin(&seen, &headers, &body);
    if let Some(answer) = passing(does).await {
        return answer;
    }
    if headers.get("authorization").is_none_or(|it| it != "ApiKey a2V5") {
        return (StatusCode::UNAUTHORIZED, r#"{"error":"missing authentication credentials"}"#).into_response();
    }
    if !query.unwrap_or_default().starts_with("filter_path=errors,items") || !body.ends_with(b"\n") {
        fault(&seen, "a bulk request without its last newline, or without a filter".to_owned());
    }
    let lines: Vec<Value> =
        body.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_slice(line).unwrap()).collect();
    let (mut items, mut errors) = (Vec::new(), false);
    let mut seen = seen.lock().unwrap();
    for (place, pair) in lines.chunks(2).enumerate() {
        let [action, document] = pair else { panic!("an action without its document") };
        let (id, index) = (action["create"]["_id"].as_str().unwrap().to_owned(), action["create"]["_index"].as_str().unwrap());
        assert_eq!(index, "logs-relayscope-default");
        let status = match does {
            Does::Closed => 400,
            Does::Refuse { place: refused, status } if place == refused => status,
            _ if seen.documents.contains_key(&id) => 409,
            _ => 201,
        };
        errors |= status >= 300;
        if status == 201 {
            seen.documents.insert(id, document.clone());
            seen.events.push(document.clone());
            items.push(json!({ "create": { "status": 201 } }));
        } else {
            let kind = match does {
                Does::Closed => "index_closed_exception",
                _ if status == 400 => "document_parsing_exception",
                _ => "test_exception",
            };
            items.push(json!({ "create": { "status": status, "error": { "type": kind, "reason": "as the test wants it" } } }));
        }
    }
    axum::Json(json!({ "errors": errors, "items": items })).into_response()
}
