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
use crate::path::export::{Export, ExportError};

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
    let place = match Export::picks_out(&what) {
        true => Some(api.picking_out.clone().try_acquire_owned().map_err(|_| ApiError::BusyExporting)?),
        false => None,
    };
    let (pieces, waiting) = mpsc::channel(WAITING);
    let (traces, ending, asker) = (api.traces.clone(), api.ending.clone(), pieces.clone());
    // Whoever leaves takes the other end along.
    let begin = move || Export::begin(traces, &what, &|| !asker.is_closed() && !*ending.borrow());
    let (export, place) = off_thread(move || begin().map(|export| (export, place))).await?;
    // A slow reader holds up this thread and nobody else.
    tokio::task::spawn_blocking(move || {
        feed(export, &api, &pieces);
        drop(place);
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::new(Lines(waiting))).into_response())
}

fn feed(mut export: Export, api: &Api, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    // Where little matches, little is sent, and nothing else would tell that nobody reads.
    while !pieces.is_closed() {
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

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => error.into(),
            ExportError::TooMany { .. } => Self::TooLarge(error.to_string()),
            ExportError::Abandoned => Self::Unwritten(error.to_string()),
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::watch;

    use super::*;
    use crate::path::StoreTraces;
    use crate::store::{Options, Store};

    #[tokio::test]
    async fn exports_that_pick_out_come_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(dir.path())).unwrap().store;
        let (_ending, ends) = watch::channel(false);
        let api = Api::new(StoreTraces::new(store.clone(), true), ends);
        let ask = |q: &str| export(State(api.clone()), Ok(Query(Asked { q: q.to_owned() })));
        let other = api.picking_out.clone().try_acquire_owned().unwrap();
        assert!(matches!(ask("kind:transaction").await, Err(ApiError::BusyExporting)));
        for holds_nothing in ["", "since:2d"] {
            assert!(ask(holds_nothing).await.is_ok());
        }
        drop(other);
        let answer = ask("kind:transaction").await.unwrap().into_body().collect().await.unwrap();
        assert!(answer.to_bytes().is_empty());
        // The next one may begin.
        drop(api.picking_out.acquire().await.unwrap());
        store.close();
    }
}
