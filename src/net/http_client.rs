//! Posts to one HTTP server over one connection that is kept (HTTP/1.1), with TLS where its address says so.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::tls::{ClientTls, HandshakeError};

/// Octets of an answer that are read; what is longer counts as broken.
const ANSWER: usize = 8 << 20;

/// `http://host[:port]/path` or `https://…`, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl HttpUrl {
    /// Reads it.
    ///
    /// # Errors
    /// Completes "url …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("is no URL: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("begins with neither https:// nor http://".to_owned()),
        };
        let authority = uri.authority().ok_or("names no host")?;
        if authority.as_str().contains('@') {
            return Err("has a user or password in it: secrets belong in files of their own".to_owned());
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        if port == 0 {
            return Err("names port 0, where nobody listens".to_owned());
        }
        Ok(Self { host, port, tls, uri })
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, `/` where there is none.
    pub fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Scheme, host and port: what can be shown of a URL whose path may be a secret.
    pub fn server(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }

    pub fn has_query(&self) -> bool {
        self.uri.query().is_some()
    }

    /// Whether it names a server only, so that the usual path is meant.
    pub fn is_bare(&self) -> bool {
        matches!(self.uri.path_and_query().map(|path| path.as_str()), None | Some("" | "/"))
    }
}

impl std::fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A query may hold a token.
        write!(f, "{}{}", self.server(), self.uri.path())
    }
}

impl HttpUrl {
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map(|authority| authority.as_str()).unwrap_or_default()
    }
}

/// Octets both ways, in clear or not.
pub(super) trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Octets for T {}

/// Why there is no connection to a server.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error("{host} can't be reached: {source}")]
    Connect { host: String, source: io::Error },
    #[error("TLS with {host} failed: {source}")]
    Tls { host: String, source: HandshakeError },
}

impl HttpUrl {
    /// Connects to the server that it names, with TLS where it says so. Sets no time limit.
    ///
    /// # Errors
    /// It can't be reached, or the handshake failed.
    pub(super) async fn connect(&self, tls: &ClientTls) -> Result<Box<dyn Octets>, ConnectError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|source| ConnectError::Connect { host: self.host.clone(), source })?;
        // A body's last segment must not wait for the acknowledgement of the one before it.
        let _ = stream.set_nodelay(true);
        if !self.tls {
            return Ok(Box::new(stream));
        }
        let secured = tls.handshake(stream, &self.host, false).await;
        let (stream, _) = secured.map_err(|source| ConnectError::Tls { host: self.host.clone(), source })?;
        Ok(Box::new(stream))
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{host} broke HTTP: {source}")]
    Http { host: String, source: hyper::Error },
    #[error("the answer of {host} is broken: {why}")]
    Answer { host: String, why: String },
    #[error("{host} did not answer within {limit:?}")]
    TimedOut { host: String, limit: Duration },
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

/// One server.
#[derive(Debug)]
pub struct HttpClient {
    url: HttpUrl,
    tls: ClientTls,
    timeout: Duration,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Ends with the connection.
    _driver: JoinSet<()>,
}

impl HttpClient {
    pub fn new(url: HttpUrl, tls: ClientTls, timeout: Duration) -> Self {
        Self { url, tls, timeout, connection: None }
    }

    pub fn url(&self) -> &HttpUrl {
        &self.url
    }

    /// Posts to that path (with query) and waits for the answer, whatever its status. A connection that the server has closed meanwhile is
    /// made anew, and the request sent once more.
    ///
    /// # Errors
    /// There was no whole answer in time.
    pub async fn post(&mut self, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Answer, HttpError> {
        let kept = self.connection.take();
        let limit = self.timeout;
        let answered = tokio::time::timeout(limit, self.posted(kept, path, headers, body)).await;
        answered.unwrap_or_else(|_| Err(HttpError::TimedOut { host: self.url.host.clone(), limit }))
    }

    async fn posted(&mut self, kept: Option<Connection>, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Answer, HttpError> {
        if let Some(kept) = kept
            && let Ok(answer) = self.exchange(kept, path, headers, body.clone()).await
        {
            return Ok(answer);
        }
        let fresh = self.connect().await?;
        self.exchange(fresh, path, headers, body).await
    }

    async fn exchange(&mut self, mut on: Connection, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Answer, HttpError> {
        let host = || self.url.host.clone();
        let broken = |source| HttpError::Http { host: host(), source };
        on.sender.ready().await.map_err(broken)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.parse().unwrap_or_default();
        *request.headers_mut() = headers.clone();
        request.headers_mut().extend(HeaderValue::from_str(self.url.authority()).ok().map(|value| (HOST, value)));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(concat!("relayscope/", env!("CARGO_PKG_VERSION"))));
        let response = on.sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        let body = body.map_err(|error| HttpError::Answer { host: host(), why: error.to_string() })?.to_bytes();
        if !on.sender.is_closed() {
            self.connection = Some(on);
        }
        Ok(Answer { status, retry_after, body })
    }

    async fn connect(&self) -> Result<Connection, HttpError> {
        let stream = self.url.connect(&self.tls).await?;
        let broken = |source| HttpError::Http { host: self.url.host.clone(), source };
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut driver = JoinSet::new();
        driver.spawn(async {
            let _ = connection.await; // what went wrong is told to whoever waits for the answer
        });
        Ok(Connection { sender, _driver: driver })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let url = HttpUrl::parse("https://hooks.example:8443/a?b=c").unwrap();
        assert_eq!((url.host(), url.port(), url.is_tls(), url.path(), url.is_bare()), ("hooks.example", 8443, true, "/a?b=c", false));
        assert_eq!((url.to_string().as_str(), url.server().as_str()), ("https://hooks.example:8443/a", "https://hooks.example:8443"));
        let bare = HttpUrl::parse("http://[::1]").unwrap();
        assert_eq!((bare.host(), bare.port(), bare.path(), bare.is_bare()), ("::1", 80, "/", true));
        for bad in ["", "hooks.example", "ftp://x/", "https://user:secret@x/", "https:///path", "http://x:0/"] {
            let error = HttpUrl::parse(bad).unwrap_err();
            assert!(!error.contains("secret@"), "{error}");
        }
    }
}
