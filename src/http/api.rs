//! What can be asked: the routes, their parameters and their limits.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use super::doctor::{self, Practice};
use super::error::ApiError;
use super::export;
use super::exports;
use super::incidents;
use super::live;
use super::metrics;
use super::outside::Dns;
use super::running::Running;
use crate::diagnose::Diagnosing;
use crate::export::Handle;
use crate::metrics::{Scrape, Sources};
use crate::path::outside::Outside;
use crate::path::when::{self, Edge};
use crate::path::{Asked, ListRequest, Manner, StoreTraces, What, by_list, stats};
use crate::store::{Cursor, Health, StoreError};
use crate::trace::RecordId;
use crate::trace::json::Time;

/// What is answered at an address that leads nowhere; whatever else isn't found is named.
pub const NOTHING_HERE: &str = "nothing is here: /api/v1 lists what is";
/// Longest question, in octets.
const QUESTION: usize = 2_000;
/// Most messages of one `where`, and records of one page.
const MESSAGES: usize = 200;
const RECORDS: usize = 1_000;

/// What the routes stand on. Clones share it.
#[derive(Debug, Clone)]
pub struct Api {
    pub(super) traces: StoreTraces,
    /// Asked where nothing matches, by the configuration that holds.
    dns: watch::Receiver<Option<Dns>>,
    /// By which failures are diagnosed at present.
    pub(super) diagnosing: watch::Receiver<Diagnosing>,
    /// Turns true when the process ends: those who follow are let go.
    pub(super) ending: watch::Receiver<bool>,
    pub(super) ping: Duration,
    pub(super) practice: Option<Practice>,
    /// One export at a time that keeps in memory what it picks out.
    pub(super) picking_out: Arc<Semaphore>,
    pub(super) exports: watch::Receiver<Vec<Handle>>,
    pub(super) telemetry: Option<Scrape>,
    pub(super) running: watch::Receiver<Running>,
}

impl Api {
    pub fn new(traces: StoreTraces, ending: watch::Receiver<bool>) -> Self {
        Self {
            traces,
            dns: watch::channel(None).1,
            diagnosing: watch::channel(Diagnosing::default()).1,
            ending,
            ping: Duration::from_secs(15),
            practice: None,
            picking_out: Arc::new(Semaphore::new(1)),
            exports: watch::channel(Vec::new()).1,
            telemetry: None,
            running: watch::channel(Running::default()).1,
        }
    }

    /// Lets answers about what was never seen ask DNS.
    #[must_use]
    pub fn with_dns(self, dns: watch::Receiver<Option<Dns>>) -> Self {
        Self { dns, ..self }
    }

    /// Rules other than the built-in ones, as they are at any time.
    #[must_use]
    pub fn with_diagnosing(self, diagnosing: watch::Receiver<Diagnosing>) -> Self {
        Self { diagnosing, ..self }
    }

    /// Sinks as they run at any time.
    #[must_use]
    pub fn with_exports(self, exports: watch::Receiver<Vec<Handle>>) -> Self {
        Self { exports, ..self }
    }

    /// How this process was started, and where it listens at any time.
    #[must_use]
    pub fn with_running(self, running: watch::Receiver<Running>) -> Self {
        Self { running, ..self }
    }

    /// Lets numbers and readiness be asked for.
    #[must_use]
    pub fn with_telemetry(self, sources: Sources) -> Self {
        Self { telemetry: Some(Scrape::new(sources)), ..self }
    }

    /// Lets examinations be asked for.
    #[must_use]
    pub fn with_doctor(self, practice: Practice) -> Self {
        Self { practice: Some(practice), ..self }
    }
}

/// Every route that may be had over TCP as well: all of them only ask.
pub fn router(api: Api) -> Router {
    limited_router(routes(), api)
}

/// What may be asked, for whoever asks that; `deploy/api.md` says it in full.
const ROUTES: [&str; 14] = [
    "/api/v1/where?q=&limit=&dns=",
    "/api/v1/transactions?q=&limit=&cursor=&explain=",
    "/api/v1/transactions/{id}",
    "/api/v1/stats?q=&by=&over=&explain=",
    "/api/v1/anomalies?since=&anomaly=&limit=",
    "/api/v1/anomalies/{id}",
    "/api/v1/exports",
    "/api/v1/live?q=&cursor=",
    "/api/v1/store/stats",
    "/api/v1/store/export?q=",
    "/api/v1/doctor?target=&name=&rcpt=",
    "/healthz",
    "/readyz",
    "/metrics",
];

async fn index() -> Json<serde_json::Value> {
    Json(json!({"v": 1, "routes": ROUTES}))
}

pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/api/v1", get(index))
        .route("/api/v1/", get(index))
        .route("/api/v1/where", get(locate))
        .route("/api/v1/transactions", get(list))
        .route("/api/v1/transactions/{id}", get(record))
        .route("/api/v1/stats", get(count))
        .route("/api/v1/anomalies", get(incidents::list))
        .route("/api/v1/anomalies/{id}", get(incidents::course))
        .route("/api/v1/exports", get(exports::list))
        .route("/api/v1/live", get(live::follow))
        .route("/api/v1/store/stats", get(store_stats))
        .route("/api/v1/store/export", get(export::export))
        .route("/api/v1/doctor", get(doctor::examine))
        .route("/healthz", get(health))
        .route("/readyz", get(metrics::ready))
        .route("/metrics", get(metrics::page))
}

pub(super) fn limited_router(routes: Router<Api>, api: Api) -> Router {
    routes
        .fallback(|| async { ApiError::NotFound(NOTHING_HERE.to_owned()) })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .layer(middleware::from_fn(within_limits))
        .with_state(api)
}

/// Nothing here takes a body; answers about mail are not for caches.
async fn within_limits(request: Request, next: Next) -> Response {
    if has_body(request.headers()) {
        return ApiError::TooLarge("no request here has a body".to_owned()).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Locate {
    q: String,
    limit: Option<usize>,
    /// Whether DNS may be asked where nothing matches.
    #[serde(default = "yes")]
    dns: bool,
}

fn yes() -> bool {
    true
}

async fn locate(State(api): State<Api>, query: Result<Query<Locate>, QueryRejection>) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let now = Timestamp::now();
    let what = question(&asked.q, now)?;
    if what.is_empty() {
        return Err(ApiError::BadRequest("q is empty: what is looked for?".to_owned()));
    }
    let limit = limited("limit", asked.limit, 20, MESSAGES)?;
    answer(move || {
        let dns = if asked.dns { api.dns.borrow().clone() } else { None };
        let dns = dns.and_then(|dns| dns.look_ups());
        let outside = dns.as_ref().map(|dns| dns as &dyn Outside);
        api.traces.locate(&what, Manner { limit, now: micros(now), outside })
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    q: String,
    limit: Option<usize>,
    cursor: Option<String>,
    #[serde(default)]
    explain: bool,
}

async fn list(State(api): State<Api>, query: Result<Query<List>, QueryRejection>) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let what = question(&asked.q, Timestamp::now())?;
    if let Some(error) = what.not_for_lists() {
        return Err(ApiError::BadRequest(error.to_string()));
    }
    let limit = limited("limit", asked.limit, 50, RECORDS)?;
    let request = ListRequest { limit, before: cursor(asked.cursor.as_deref())?, explain: asked.explain };
    answer(move || api.traces.list(&what, request)).await
}

async fn record(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id: RecordId = id.parse().map_err(|error: crate::trace::id::NotAnId| ApiError::BadRequest(error.to_string()))?;
    match off_thread(move || api.traces.record(id)).await? {
        Some(record) => Ok(Json(record).into_response()),
        None => Err(ApiError::NotFound(format!("no record {id}"))),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    #[serde(default)]
    q: String,
    by: Option<String>,
    over: Option<String>,
    #[serde(default)]
    explain: bool,
}

async fn count(State(api): State<Api>, query: Result<Query<Count>, QueryRejection>) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let now = Timestamp::now();
    let what = question(&asked.q, now)?;
    let by = match &asked.by {
        Some(by) => by_list(by).map_err(ApiError::BadRequest)?,
        None => stats::USUAL.to_vec(),
    };
    let over = asked.over.as_deref().unwrap_or("24h");
    let since = when::parse(over, Edge::Since, now, &TimeZone::UTC).map_err(|error| ApiError::BadRequest(format!("over: {error}")))?;
    let until = micros(now);
    answer(move || stats::stats(&api.traces, &what, &Asked { by: &by, since, until, explain: asked.explain })).await
}

async fn store_stats(State(api): State<Api>) -> Result<Response, ApiError> {
    answer(move || api.traces.store_stats()).await
}

/// 200 while records are stored, 503 while they are lost.
async fn health(State(api): State<Api>) -> Response {
    match api.traces.store().health() {
        Health::Ok => Json(json!({"status": "ok"})).into_response(),
        Health::Failed { since, why, records_lost } => {
            let body = json!({"status": "failed", "what": "store", "since": Time(since), "why": why, "records_lost": records_lost});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

pub(super) fn parameters(rejection: QueryRejection) -> ApiError {
    ApiError::BadRequest(rejection.body_text())
}

pub(super) fn question(text: &str, now: Timestamp) -> Result<What, ApiError> {
    if text.len() > QUESTION {
        return Err(ApiError::TooLarge(format!("q is longer than {QUESTION} octets")));
    }
    Ok(What::parse(text, now, &TimeZone::UTC)?)
}

pub(super) fn cursor(text: Option<&str>) -> Result<Option<Cursor>, ApiError> {
    text.map(|text| text.parse::<Cursor>().map_err(|error| ApiError::BadRequest(error.to_string()))).transpose()
}

pub(super) fn limited(name: &str, asked: Option<usize>, usual: usize, most: usize) -> Result<usize, ApiError> {
    match asked {
        None => Ok(usual),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::BadRequest(format!("{name} is 1 to {most}"))),
    }
}

pub(super) fn micros(now: Timestamp) -> u64 {
    u64::try_from(now.as_microsecond()).unwrap_or_default()
}

/// The store reads files: never on a thread that serves sockets.
pub(super) async fn off_thread<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Send + 'static,
    ApiError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => {
            tracing::error!(%error, "an API request failed");
            Err(ApiError::Broken)
        }
    }
}

async fn answer<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<Response, ApiError> {
    Ok(Json(off_thread(work).await?).into_response())
}

/// The header in which a follower that was cut off says where.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}
