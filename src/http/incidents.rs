//! `/api/v1/anomalies`: incidents as they stand, one with its course, and (on `api.sock` only) muting one.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::api::{Api, limited, micros, off_thread, parameters};
use super::error::ApiError;
use crate::path::incidents::{self, Asked, MuteError};
use crate::path::when::{self, Edge};
use crate::trace::{Anomaly, RecordId};

/// Incidents of one answer at most.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// Those that ended since then as well: a time, or a span such as 24h.
    since: Option<String>,
    anomaly: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(State(api): State<Api>, query: Result<Query<List>, QueryRejection>) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let since = asked.since.as_deref().map(|text| when::parse(text, Edge::Since, Timestamp::now(), &TimeZone::UTC)).transpose();
    let word = |word: &str| Anomaly::from_word(word).ok_or_else(|| ApiError::BadRequest(format!("anomaly: {word:?} is none")));
    let asked = Asked {
        ended_since: since.map_err(|error| ApiError::BadRequest(format!("since: {error}")))?,
        anomaly: asked.anomaly.as_deref().map(word).transpose()?,
        limit: limited("limit", asked.limit, 100, MOST)?,
    };
    Ok(Json(off_thread(move || incidents::list(api.traces.store(), &asked)).await?).into_response())
}

fn id_of(text: &str) -> Result<RecordId, ApiError> {
    text.parse().map_err(|error: crate::trace::id::NotAnId| ApiError::BadRequest(error.to_string()))
}

pub(super) async fn course(State(api): State<Api>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let id = id_of(&id)?;
    match off_thread(move || incidents::course(api.traces.store(), id)).await? {
        Some(course) => Ok(Json(course).into_response()),
        None => Err(ApiError::NotFound(format!("no incident {id}"))),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MuteAsked {
    /// A time, or a span from now; absent: not muted any longer.
    until: Option<String>,
    who: String,
    note: Option<String>,
}

/// Longest name and note.
const TEXT: usize = 500;

pub(super) async fn mute(
    State(api): State<Api>,
    Path(id): Path<String>,
    query: Result<Query<MuteAsked>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let id = id_of(&id)?;
    if asked.who.len() > TEXT || asked.note.as_ref().is_some_and(|note| note.len() > TEXT) {
        return Err(ApiError::TooLarge(format!("who and note are at most {TEXT} octets")));
    }
    let until = asked.until.as_deref().map(|text| until(text, Timestamp::now())).transpose().map_err(ApiError::BadRequest)?;
    let muted = off_thread(move || {
        incidents::mute(api.traces.store(), id, until.unwrap_or_default(), &asked.who, asked.note).map_err(ApiError::from)
    });
    Ok(Json(muted.await?).into_response())
}

/// "2d" is two days from now.
fn until(text: &str, now: Timestamp) -> Result<u64, String> {
    when::ahead(text, now, &TimeZone::UTC).map_err(|error| format!("until: {error}")).map(|at| at.max(micros(now)))
}

impl From<MuteError> for ApiError {
    fn from(error: MuteError) -> Self {
        match error {
            MuteError::Unknown(_) => Self::NotFound(error.to_string()),
            MuteError::Over(_) => Self::BadRequest(error.to_string()),
            MuteError::Store(error) => error.into(),
            MuteError::Append(error) => error.into(),
        }
    }
}
