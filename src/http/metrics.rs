//! `/metrics` and `/readyz`: for those who watch over the proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::api::Api;
use super::error::ApiError;
use crate::metrics::{Format, Sources};
use crate::store::StoreStats;

/// A stalled disk costs a scrape the store's files, not all the rest.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a scrape stands on. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Telemetry {
    sources: Sources,
    /// The store's files are being looked at; on a stalled disk that may take for ever, and once is enough.
    looking: Arc<AtomicBool>,
}

impl Telemetry {
    pub fn new(sources: Sources) -> Self {
        Self { sources, looking: Arc::default() }
    }

    async fn store_stats(&self) -> Option<StoreStats> {
        if self.looking.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (store, looking) = (self.sources.store.clone(), self.looking.clone());
        let look = tokio::task::spawn_blocking(move || {
            let stats = store.stats();
            looking.store(false, Ordering::Release);
            stats
        });
        tokio::time::timeout(PATIENCE, look).await.ok()?.ok()?.ok()
    }
}

pub(super) async fn page(State(api): State<Api>, headers: HeaderMap) -> Result<Response, ApiError> {
    let telemetry = api.telemetry.ok_or_else(|| ApiError::NotFound("this process has no metrics".to_owned()))?;
    let accept: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::of_accept(&accept.join(","));
    let stats = telemetry.store_stats().await;
    match telemetry.sources.page(stats.as_ref()).text(format) {
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
