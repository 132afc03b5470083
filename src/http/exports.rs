//! `/api/v1/exports`: how forwarding stands, and (on `api.sock` only) sending again what a receiver has lost.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::api::{Api, parameters};
use super::error::ApiError;
use crate::export::{self, Order, Snapshot};
use crate::metrics::PUSHED;
use crate::path::when::{self, Edge};
use crate::trace::WallMicros;
use crate::trace::json::Time;

/// An export answers sooner, even while its receiver keeps it waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// One export as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    pub name: String,
    pub kind: String,
    /// Where to, without secrets.
    pub to: String,
    /// "idle" (nothing was sent yet), "sending" or "failing".
    pub state: String,
    /// Why the last attempt failed, and since when none has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Time>,
    /// Events sent, and their octets, since the process began.
    pub sent: u64,
    pub octets: u64,
    /// Records that weren't for this receiver.
    pub filtered: u64,
    /// Events that the receiver refused for good; the last reason.
    pub refused: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refusal: Option<String>,
    /// Records that retention removed before they were sent.
    pub expired: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Records that wait, and the age of the oldest of them.
    pub backlog: u64,
    pub lag_us: u64,
    /// Up to where the receiver has everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sent_at: Option<Time>,
}

impl From<Snapshot> for Export {
    fn from(it: Snapshot) -> Self {
        let (state, since, why) = match it.state {
            export::State::Idle => ("idle", None, None),
            export::State::Sending => ("sending", None, None),
            export::State::Failing { since, why } => ("failing", Some(since), Some(why)),
        };
        Self {
            name: it.name,
            kind: it.kind.to_owned(),
            to: it.to,
            state: state.to_owned(),
            why,
            failing_since: since.map(Time),
            sent: it.sent,
            octets: it.octets,
            filtered: it.filtered,
            refused: it.refused,
            last_refusal: it.last_refusal,
            expired: it.expired,
            failures: it.failures,
            backlog: it.backlog,
            lag_us: it.lag_us,
            place: it.at.map(|at| at.to_string()),
            last_sent_at: it.last_sent_at.map(Time),
        }
    }
}

/// Every export that runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exports {
    pub exports: Vec<Export>,
}

pub(super) async fn list(State(api): State<Api>) -> Json<Exports> {
    let exports = api.exports.borrow().iter().map(|handle| handle.status.snapshot().into()).collect();
    Json(Exports { exports })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    since: String,
}

/// What was ordered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Replayed {
    pub name: String,
    pub since: Time,
}

/// What is recorded later is sent anyway.
///
/// # Errors
/// The time lies ahead: in words.
pub fn not_to_come(since: WallMicros) -> Result<(), String> {
    let now = Timestamp::now().as_microsecond();
    if i64::try_from(since).is_ok_and(|since| since <= now) { Ok(()) } else { Err(format!("since: {} lies ahead", Time(since))) }
}

pub(super) async fn replay(
    State(api): State<Api>,
    Path(name): Path<String>,
    query: Result<Query<Replay>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let since = when::parse(&asked.since, Edge::Since, Timestamp::now(), &TimeZone::UTC);
    let since = since.map_err(|error| ApiError::BadRequest(format!("since: {error}")))?;
    not_to_come(since).map_err(ApiError::BadRequest)?;
    let named: Vec<export::Handle> = api.exports.borrow().iter().filter(|handle| handle.status.name == name).cloned().collect();
    let orders = match named.iter().find(|handle| handle.status.kind != PUSHED) {
        Some(handle) => handle.orders.clone(),
        None if named.is_empty() => return Err(ApiError::NotFound(format!("no export {name:?} runs"))),
        None => return Err(ApiError::BadRequest(format!("the export {name:?} sends metrics only, of which there are no earlier ones"))),
    };
    let ended = || ApiError::NotFound(format!("the export {name:?} has just ended"));
    let (done, written) = oneshot::channel();
    let ordered = async {
        orders.send(Order::Replay { since, done }).await.map_err(|_| ended())?;
        written.await.map_err(|_| ended())
    };
    let hangs = |_| {
        ApiError::Unwritten(format!(
            "the export {name:?} hasn't answered for {} s: it hangs, on its disk perhaps, and may still be set back when it has come back",
            PATIENCE.as_secs()
        ))
    };
    let since = tokio::time::timeout(PATIENCE, ordered)
        .await
        .map_err(hangs)??
        .map_err(|error| ApiError::Unwritten(format!("the place of {name:?} can't be written down: {error}")))?;
    Ok(Json(Replayed { name, since: Time(since) }).into_response())
}
