//! `/api/v1/live`: records as they are stored, as server-sent events.
//!
//! A slow reader slows only itself: it reads the journal at its own pace, and resumes after `Last-Event-ID` where it was.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::api::{Api, cursor, last_event_id, off_thread, parameters, question};
use super::error::ApiError;
use super::serve::ended;
use crate::path::What;
use crate::store::{Cursor, StoreError};
use crate::trace::json;

/// Records read from the journal at once, and octets of them.
const BATCH: usize = 256;
const BATCH_OCTETS: usize = 2 << 20;
/// Batches that wait for a reader.
const WAITING: usize = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Follow {
    #[serde(default)]
    q: String,
    cursor: Option<String>,
}

pub(super) async fn follow(
    State(api): State<Api>,
    headers: HeaderMap,
    query: Result<Query<Follow>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let what = question(&asked.q, Timestamp::now())?;
    // A store that isn't open says so here.
    let end = api.traces.store().end()?;
    let start = cursor(asked.cursor.as_deref().or(last_event_id(&headers)))?.unwrap_or(end);
    let (events, waiting) = mpsc::channel(WAITING);
    tokio::spawn(feed(api, what, start, events));
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(Events(waiting))).into_response())
}

/// Reads on as the journal grows, until the reader or the process goes.
async fn feed(api: Api, what: What, mut at: Cursor, events: mpsc::Sender<Bytes>) {
    let mut news = api.traces.store().notified();
    let mut ending = api.ending.clone();
    // The head of the answer goes out at once, so that the reader knows it is being served, and where to go on if it breaks off.
    if events.send(Bytes::from(format!("id: {at}\n: following\n\n"))).await.is_err() {
        return;
    }
    loop {
        // Where much is read that nobody asked for, nothing is sent: that the reader has gone shows here.
        if events.is_closed() || *ending.borrow() {
            return;
        }
        news.mark_unchanged();
        let (traces, question) = (api.traces.clone(), what.clone());
        let Ok((batch, next, full)) = off_thread(move || {
            let (records, next, full) = traces.store().follow_within(Some(at), BATCH, BATCH_OCTETS)?;
            let matching =
                records.into_iter().filter_map(|record| traces.follows(&question, record).transpose()).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, StoreError>((matching, next, full))
        })
        .await
        else {
            return;
        };
        at = next;
        if let Some(text) = events_of(&batch, at)
            && events.send(text).await.is_err()
        {
            return;
        }
        if full {
            continue;
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(api.ping) => {
                // A reader that has gone is only found out by writing to it.
                if events.send(Bytes::from_static(b": still here\n\n")).await.is_err() {
                    return;
                }
            }
            () = events.closed() => return,
            () = ended(&mut ending) => return,
        }
    }
}

/// The events of a batch; the last one says where to go on.
fn events_of(batch: &[json::Record], at: Cursor) -> Option<Bytes> {
    let mut text = String::new();
    for (index, record) in batch.iter().enumerate() {
        let json = serde_json::to_string(record).ok()?;
        if index + 1 == batch.len() {
            let _ = writeln!(text, "id: {at}");
        }
        let _ = write!(text, "event: record\ndata: {json}\n\n");
    }
    (!text.is_empty()).then(|| Bytes::from(text))
}

/// A body that is what comes through a channel.
struct Events(mpsc::Receiver<Bytes>);

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(http_body::Frame::data(bytes))))
    }
}
