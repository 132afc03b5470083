//! What is answered on `api.sock` only: requests that make this process write files, as the user it runs as, and how
//! it was started.

use std::path::PathBuf;

use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::Deserialize;

use super::api::{Api, cursor, limited_router, off_thread, parameters, question, routes};
use super::error::ApiError;
use super::exports;
use super::incidents;
use super::intake;
use super::running;
use crate::path::reclassify;

/// Every route of [`super::router`], and those for whoever may open the socket.
pub fn local_router(api: Api) -> Router {
    let more = routes()
        .route("/api/v1/running", get(running::running))
        .route("/api/v1/store/backup", post(backup))
        .route("/api/v1/store/reclassify", post(reclassify_page))
        .route("/api/v1/exports/{name}/replay", post(exports::replay))
        .route("/api/v1/anomalies/{id}/mute", post(incidents::mute));
    limited_router(more, api.clone()).merge(intake::router(api))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    dir: PathBuf,
}

/// Answers when the backup is whole. It goes on if the asker leaves.
async fn backup(State(api): State<Api>, query: Result<Query<Backup>, QueryRejection>) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    tracing::info!(dir = %asked.dir.display(), "a backup of the trace store was asked for");
    match tokio::task::spawn_blocking(move || api.traces.store().backup(&asked.dir)).await {
        Ok(done) => Ok(Json(done?).into_response()),
        Err(error) => {
            tracing::error!(%error, "a backup failed");
            Err(ApiError::Broken)
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reclassify {
    #[serde(default)]
    q: String,
    cursor: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// A page of the records that match, by the rules in force.
async fn reclassify_page(State(api): State<Api>, query: Result<Query<Reclassify>, QueryRejection>) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let what = question(&asked.q, Timestamp::now())?;
    let before = cursor(asked.cursor.as_deref())?;
    let diagnosing = api.diagnosing.borrow().clone();
    let page = move || reclassify::step(&api.traces, &what, diagnosing.rules(), before, asked.dry_run);
    Ok(Json(off_thread(page).await?).into_response())
}
