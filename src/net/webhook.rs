//! Posts JSON to an address of the administrator's choice, signed if there is a key.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use ring::hmac;
use thiserror::Error;

use super::http_client::{HttpClient, HttpError, HttpUrl};
use super::tls::ClientTls;

/// Where to post.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    pub url: HttpUrl,
    /// For HMAC-SHA-256 of the body, sent as `X-Relayscope-Signature: sha256=…`.
    pub key: Option<hmac::Key>,
    /// Authorities for https.
    pub tls: ClientTls,
    /// A receiver that takes longer to answer has failed.
    pub timeout: Duration,
}

/// Why a post wasn't taken.
#[derive(Debug, Error)]
pub enum WebhookError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{host} answered {status}{}", advice(*status))]
    Status { host: String, status: StatusCode },
}

/// What the administrator can do about an answer that stays the same.
fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=399 => ": redirects aren't followed, so name the address that it leads to in `webhook`",
        401 | 403 => ": it wants credentials, or doesn't believe the signature (webhook_secret_file)",
        404 | 410 => ": there is no receiver at this address (any more)",
        _ => "",
    }
}

impl WebhookError {
    /// Whether the same may be taken later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429),
            Self::Http(_) => true,
        }
    }
}

/// A receiver.
#[derive(Debug)]
pub struct Webhook {
    options: WebhookOptions,
}

impl Webhook {
    pub fn new(options: WebhookOptions) -> Self {
        Self { options }
    }

    /// Posts a body of JSON and waits until it is taken.
    ///
    /// # Errors
    /// It wasn't, and why.
    pub async fn post(&self, body: String) -> Result<(), WebhookError> {
        let WebhookOptions { url, key, tls, timeout } = &self.options;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(key) = key {
            headers.insert(SIGNATURE, signature(key, body.as_bytes()));
        }
        let mut client = HttpClient::new(url.clone(), tls.clone(), *timeout);
        let answer = client.post(url.path(), &headers, Bytes::from(body)).await?;
        if answer.status.is_success() { Ok(()) } else { Err(WebhookError::Status { host: url.host().to_owned(), status: answer.status }) }
    }
}

/// The header that a signature stands in.
pub const SIGNATURE: &str = "x-relayscope-signature";

/// `sha256=` and 64 hex digits.
pub fn signature(key: &hmac::Key, body: &[u8]) -> HeaderValue {
    let tag = hmac::sign(key, body);
    let text = tag.as_ref().iter().fold("sha256=".to_owned(), |text, octet| text + &format!("{octet:02x}"));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn bodies_are_signed() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(&key, b"what do ya want for nothing?"), expected);
    }
}
