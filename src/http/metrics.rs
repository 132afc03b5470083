//! `/metrics` and `/readyz`: for those who watch over the proxy.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::api::Api;
use super::error::ApiError;
use crate::metrics::Format;

pub(super) async fn page(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let telemetry = api.telemetry.ok_or_else(|| ApiError::NotFound("this process has no metrics".to_owned()))?;
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::of_accept(&accept.join(","));
    match telemetry.page().await.text(format) {
        Ok(text) => Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response()),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            Err(ApiError::Broken)
        }
    }
}

/// 200 while mail can be taken, 503 while not; why, and what else is wrong.
pub(super) async fn ready(State(api): State<Api>) -> Result<Response, ApiError> {
    let telemetry = api.telemetry.ok_or_else(|| ApiError::NotFound("this process serves no mail".to_owned()))?;
    let readiness = telemetry.sources.readiness();
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(readiness)).into_response())
}
