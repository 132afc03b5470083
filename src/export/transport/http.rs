//! JSON to any HTTP server: a batch is one post, signed if there is a key.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use super::{Failure, FailureKind, Taken, shown};
use crate::export::batch::Batch;
use crate::net::http_client::{Answer, HttpClient, HttpError, HttpUrl};
use crate::net::tls::ClientTls;
use crate::net::webhook::{SIGNATURE, signature};
use crate::store::Cursor;

/// A server that doesn't answer for so long has failed.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    pub url: HttpUrl,
    pub tls: ClientTls,
    /// For HMAC-SHA-256 of the body as it is sent.
    pub key: Option<hmac::Key>,
    /// Sent with each post; values may be secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Body,
    /// Whether each event is a post of its own, as GELF wants it.
    pub single: bool,
    pub gzip: bool,
}

/// How the events of a batch stand in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// One a line: `application/x-ndjson`.
    Lines,
    /// `[…]`: `application/json`.
    Array,
}

/// A receiver over HTTP.
#[derive(Debug)]
pub struct Http {
    options: Options,
    client: HttpClient,
    pub at: Cursor,
}

impl Http {
    pub fn new(options: Options, at: Cursor) -> Self {
        let client = HttpClient::new(options.url.clone(), options.tls.clone(), TIMEOUT);
        Self { options, client, at }
    }

    /// Events that are sent together.
    pub fn most(&self) -> usize {
        if self.options.single { 1 } else { usize::MAX }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let mut body = Vec::with_capacity(batch.len() + batch.events().len() + 2);
        let (open, between, close, content): (&[u8], u8, &[u8], _) = match self.options.body {
            _ if self.options.single => (b"", b' ', b"", "application/json"),
            Body::Lines => (b"", b'\n', b"\n", "application/x-ndjson"),
            Body::Array => (b"[", b',', b"]", "application/json"),
        };
        body.extend_from_slice(open);
        for (number, (_, octets)) in batch.iter().enumerate() {
            if number > 0 {
                body.push(between);
            }
            body.extend_from_slice(octets);
        }
        body.extend_from_slice(close);
        let mut headers: HeaderMap = self.options.headers.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        let body = packed(body, self.options.gzip, &mut headers)?;
        if let Some(key) = &self.options.key {
            headers.insert(SIGNATURE, signature(key, &body));
        }
        let path = self.options.url.path().to_owned();
        let answer = self.client.post(&path, &headers, body).await.map_err(of)?;
        refusal(&self.options.url.server(), &answer)?;
        self.at = batch.after;
        Ok(Taken::default())
    }
}

/// The body as it is sent.
pub(super) fn packed(body: Vec<u8>, gzip: bool, headers: &mut HeaderMap) -> Result<Bytes, Failure> {
    if !gzip {
        return Ok(Bytes::from(body));
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(&body).map_err(Failure::passing)?;
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(Bytes::from(encoder.finish().map_err(Failure::passing)?))
}

pub(super) fn of(error: HttpError) -> Failure {
    Failure::passing(error)
}

/// What a status other than success means for the batch.
pub(super) fn refusal(url: &impl std::fmt::Display, answer: &Answer) -> Result<(), Failure> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let said = shown(&String::from_utf8_lossy(&answer.body));
    let why = format!("{url} answered {status}{}{said}", if said.is_empty() { "" } else { ": " });
    let kind = match status {
        // Something is wrong with the body, or one event of it.
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => FailureKind::TooMuch,
        // With the credential, the address, or the server: the events are not to blame.
        _ => FailureKind::Passing,
    };
    Err(Failure { why, kind, retry_after: answer.retry_after, resume: None, taken: 0 })
}
