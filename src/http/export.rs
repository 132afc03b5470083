//! `/api/v1/store/export`: every record that matches, as NDJSON, in one answer that ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::api::{Api, off_thread, parameters, question};
use super::error::ApiError;
use crate::path::export::Export;

/// Pieces that wait for a reader.
const WAITING: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
}

pub(super) async fn export(State(api): State<Api>, query: Result<Query<Asked>, QueryRejection>) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let what = question(&asked.q, Timestamp::now())?;
    let traces = api.traces.clone();
    let export = off_thread(move || Export::begin(traces, &what)).await?;
    let (pieces, waiting) = mpsc::channel(WAITING);
    // A slow reader holds up this thread and nobody else.
    tokio::task::spawn_blocking(move || feed(export, &api, &pieces));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(Lines(waiting))).into_response())
}

fn feed(mut export: Export, api: &Api, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let piece = match export.next_lines() {
            _ if *api.ending.borrow() => Err(io::Error::other("the proxy is stopping")),
            Ok(None) => return,
            Ok(Some(lines)) if lines.is_empty() => continue,
            Ok(Some(lines)) => Ok(Bytes::from(lines)),
            Err(error) => {
                tracing::error!(%error, "an export was broken off");
                Err(io::Error::other(error.to_string()))
            }
        };
        let is_last = piece.is_err();
        if pieces.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}

/// A body that breaks off where the export does: half of one must not look whole.
struct Lines(mpsc::Receiver<io::Result<Bytes>>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(http_body::Frame::data)))
    }
}
