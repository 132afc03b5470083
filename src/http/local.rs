//! What is answered on `api.sock` only: requests that make this process write files, as the user it runs as.

use std::path::PathBuf;

use axum::Json;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;

use super::api::{Api, limited_router, parameters, routes};
use super::error::ApiError;
use super::intake;

/// Every route of [`super::router`], and those for whoever may open the socket.
pub fn local_router(api: Api) -> Router {
    let intake = intake::router(api.clone());
    limited_router(routes().route("/api/v1/store/backup", post(backup)), api).merge(intake)
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
