//! Records of another server's log, handed in on `api.sock` as NDJSON: the one request with a body.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::api::Api;
use super::error::ApiError;
use crate::diagnose::Rules;
use crate::trace::diagnosis::diagnose;
use crate::trace::json::{self as shape, BadLine};
use crate::trace::{Record, RecordKind};

/// Where they are taken.
pub const INTAKE_PATH: &str = "/api/v1/store/records";
/// Records of one request at most, and its octets.
pub const INTAKE_RECORDS: usize = 1_000;
pub const INTAKE_OCTETS: usize = 4 << 20;
/// A request comes within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// The route, for whoever may open the socket.
pub(super) fn router(api: Api) -> Router {
    Router::new().route(INTAKE_PATH, post(take_in).fallback(|| async { ApiError::Method })).with_state(api)
}

/// Diagnoses them by the proxy's rules, and answers when they are in the journal: `{"added": 2, "known": 1}`.
async fn take_in(State(api): State<Api>, body: Body) -> Result<Json<Value>, ApiError> {
    let body = tokio::time::timeout(PATIENCE, to_bytes(body, INTAKE_OCTETS)).await.map_err(|_| ApiError::Slow)?;
    let body = body.map_err(|_| ApiError::TooLarge(format!("more than {INTAKE_OCTETS} octets, or broken off")))?;
    let done = tokio::task::spawn_blocking(move || {
        let mut records = records(&body)?;
        let own = api.rules.load();
        let rules = own.as_deref().unwrap_or_else(|| Rules::builtin());
        records.iter_mut().for_each(|record| diagnose(record, rules));
        Ok(api.traces.store().take_in(&records)?)
    });
    match done.await {
        Ok(taken) => taken.map(|taken| Json(json!({"added": taken.added, "known": taken.known}))),
        Err(error) => {
            tracing::error!(%error, "records that were handed in could not be taken");
            Err(ApiError::Broken)
        }
    }
}

fn records(body: &[u8]) -> Result<Vec<Record>, ApiError> {
    let mut records = Vec::new();
    for (index, line) in body.split(|&octet| octet == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        if records.len() == INTAKE_RECORDS {
            return Err(ApiError::TooLarge(format!("more than {INTAKE_RECORDS} records")));
        }
        let bad = |what: String| ApiError::BadRequest(format!("line {}: {what}", index + 1));
        let record = shape::read(line).map_err(|BadLine { what, .. }| bad(what))?;
        let record = Record::try_from(record).map_err(|error| bad(error.to_string()))?;
        // The proxy's own records are its own to make.
        if record.kind() != RecordKind::Log {
            return Err(bad(format!("records of kind {} are not taken here", record.kind())));
        }
        records.push(record);
    }
    Ok(records)
}
