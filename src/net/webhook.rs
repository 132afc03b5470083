//! Posts JSON to an address of the administrator's choice, signed if there is a key.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ring::hmac;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::tls::{ClientTls, HandshakeError};

/// Octets of an answer that are read: nobody looks at them.
const ANSWER: usize = 64 << 10;

/// Where to post.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    pub url: WebhookUrl,
    /// For HMAC-SHA-256 of the body, sent as `X-Relayscope-Signature: sha256=…`.
    pub key: Option<hmac::Key>,
    /// Authorities for https.
    pub tls: ClientTls,
    /// A receiver that takes longer to answer has failed.
    pub timeout: Duration,
}

/// `http://host[:port]/path` or `https://…`, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl WebhookUrl {
    /// Reads it.
    ///
    /// # Errors
    /// Completes "webhook …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("is no URL: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("begins with neither https:// nor http://".to_owned()),
        };
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("has a user or password in it: use webhook_secret_file, and check the signature at the receiver".to_owned());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { host, port, tls, uri })
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

/// Why a post wasn't taken.
#[derive(Debug, Error)]
pub enum WebhookError {
    #[error("{host} can't be reached: {source}")]
    Connect { host: String, source: std::io::Error },
    #[error("TLS with {host} failed: {source}")]
    Tls { host: String, source: HandshakeError },
    #[error("{host} broke HTTP: {source}")]
    Http { host: String, source: hyper::Error },
    #[error("{host} answered {status}{}", advice(*status))]
    Status { host: String, status: StatusCode },
    #[error("{host} did not answer within {after:?}")]
    TimedOut { host: String, after: Duration },
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
            _ => true,
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
        let (host, after) = (self.options.url.host.clone(), self.options.timeout);
        tokio::time::timeout(after, self.posted(body)).await.unwrap_or(Err(WebhookError::TimedOut { host, after }))
    }

    async fn posted(&self, body: String) -> Result<(), WebhookError> {
        let url = &self.options.url;
        let host = || url.host.clone();
        let stream =
            TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|source| WebhookError::Connect { host: host(), source })?;
        if !url.tls {
            return self.exchange(stream, body).await;
        }
        let secured = self.options.tls.handshake(stream, &url.host, false).await;
        let (stream, _) = secured.map_err(|source| WebhookError::Tls { host: host(), source })?;
        self.exchange(stream, body).await
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, body: String) -> Result<(), WebhookError> {
        let url = &self.options.url;
        let broken = |source| WebhookError::Http { host: url.host.clone(), source };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut driver = JoinSet::new(); // ends with this function
        driver.spawn(connection);
        let signature = self.options.key.as_ref().map(|key| signature(key, body.as_bytes()));
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = hyper::Method::POST;
        let path = url.uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        let authority = url.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        headers.extend(HeaderValue::from_str(authority).ok().map(|value| (HOST, value)));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("relayscope/", env!("CARGO_PKG_VERSION"))));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(value) = signature.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert("x-relayscope-signature", value);
        }
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        // So that the receiver can end in order; what it says is of no use.
        let _ = Limited::new(response.into_body(), ANSWER).collect().await;
        if status.is_success() { Ok(()) } else { Err(WebhookError::Status { host: url.host.clone(), status }) }
    }
}

/// `sha256=` and 64 hex digits.
fn signature(key: &hmac::Key, body: &[u8]) -> String {
    let tag = hmac::sign(key, body);
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, octet| text + &format!("{octet:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let url = WebhookUrl::parse("https://hooks.example:8443/a?b=c").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.is_tls()), ("hooks.example", 8443, true));
        assert_eq!(WebhookUrl::parse("http://[::1]/").map(|url| (url.host, url.port)), Ok(("::1".to_owned(), 80)));
        for bad in ["", "hooks.example", "ftp://x/", "https://user:secret@x/", "https:///path"] {
            let error = WebhookUrl::parse(bad).unwrap_err();
            assert!(!error.contains("secret@"), "{error}");
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn bodies_are_signed() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(&key, b"what do ya want for nothing?"), expected);
    }
}
