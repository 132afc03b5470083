//! A small HTTP client for the API: over `api.sock`, or over loopback TCP with the token.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;

use crate::http::NOTHING_HERE;

/// An answer longer than this is no answer.
const ANSWER: usize = 256 << 20;
/// The server gives a question up after some seconds; this is for one that hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);

/// Where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Unix(PathBuf),
    /// Host and port, as in the URL.
    Tcp(String),
}

impl Place {
    /// Reads `http://127.0.0.1:8025` or `unix:/path`.
    pub fn parse(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        match url.strip_prefix("http://") {
            Some(rest) => {
                let host = rest.trim_end_matches('/');
                let is_plain = !host.is_empty() && !host.contains(['/', '?', '#', '@']) && !host.contains(char::is_whitespace);
                let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                match (is_plain, has_port) {
                    (true, true) => Ok(Self::Tcp(host.to_owned())),
                    (true, false) => Ok(Self::Tcp(format!("{host}:80"))),
                    (false, _) => Err(format!("{url:?} is more than http://HOST:PORT")),
                }
            }
            None => Err(format!("{url:?} is neither http://HOST:PORT nor unix:/path/to/api.sock")),
        }
    }

    /// The host, if it is another machine.
    pub fn beyond(&self) -> Option<&str> {
        let Self::Tcp(place) = self else { return None };
        let host = place.rsplit_once(':').map_or(&**place, |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        let is_here = host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback());
        (!is_here).then_some(host)
    }
}

#[derive(Debug)]
pub struct Client {
    place: Place,
    token: Option<String>,
    runtime: Runtime,
}

impl Client {
    pub fn new(place: Place, token: Option<String>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime could not be started")?;
        Ok(Self { place, token, runtime })
    }

    /// The JSON at a path, or `None` for 404.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Option<T>> {
        self.got(path, query, &[StatusCode::OK])
    }

    /// As [`Client::get`], of what is said in the same words whether it is well or not.
    pub fn get_either<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        self.got(path, &[], &[StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE])
    }

    fn got<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)], answers: &[StatusCode]) -> anyhow::Result<Option<T>> {
        self.runtime.block_on(async {
            let asked = async {
                let response = self.send(Method::GET, path, query).await?;
                let status = response.status();
                let body = Limited::new(response.into_body(), ANSWER).collect().await.map_err(|error| anyhow!(error))?.to_bytes();
                match status {
                    status if answers.contains(&status) => {
                        Ok(Some(serde_json::from_slice(&body).context("the API's answer can't be read: is it another version?")?))
                    }
                    StatusCode::NOT_FOUND => Ok(None),
                    other => bail!("{}", refusal(other, &body)),
                }
            };
            tokio::time::timeout(PATIENCE, asked).await.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))?
        })
    }

    /// Has something done, however long it takes.
    pub fn post<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Answered<T>> {
        self.runtime.block_on(self.posted(path, query, Bytes::new()))
    }

    /// Hands something in.
    pub fn put_in<T: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> anyhow::Result<Answered<T>> {
        self.runtime.block_on(async {
            let posted = self.posted(path, &[], body.into());
            tokio::time::timeout(PATIENCE, posted).await.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()))?
        })
    }

    async fn posted<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)], body: Bytes) -> anyhow::Result<Answered<T>> {
        let response = self.send_with(Method::POST, path, query, body).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER).collect().await.map_err(|error| anyhow!(error))?.to_bytes();
        match status {
            StatusCode::OK => {
                Ok(Answered::Done(serde_json::from_slice(&body).context("the API's answer can't be read: is it another version?")?))
            }
            StatusCode::CONFLICT | StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Ok(Answered::Refused(refusal(status, &body))),
            StatusCode::NOT_FOUND => Ok(said(&body).filter(|why| why != NOTHING_HERE).map_or(Answered::Unknown, Answered::NotFound)),
            StatusCode::METHOD_NOT_ALLOWED => Ok(Answered::Unknown),
            other => bail!("{}", refusal(other, &body)),
        }
    }

    /// Whatever comes from a path, piece by piece; an error if it doesn't come to its end.
    pub fn stream(&self, path: &str, query: &[(&str, &str)], each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            let response = self.send(Method::GET, path, query).await?;
            let status = response.status();
            let mut body = response.into_body();
            if status != StatusCode::OK {
                let body = Limited::new(body, ANSWER).collect().await.map_err(|error| anyhow!(error))?.to_bytes();
                bail!("{}", refusal(status, &body));
            }
            while let Some(frame) = body.frame().await {
                if let Ok(octets) = frame.context("the proxy broke the answer off: see its log")?.into_data() {
                    each(&octets)?;
                }
            }
            Ok(())
        })
    }

    /// A stream of events at a path.
    pub fn follow(self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Events> {
        let response = self.runtime.block_on(async {
            let response = self.send(Method::GET, path, query).await?;
            if response.status() == StatusCode::OK {
                return Ok(response);
            }
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER).collect().await.map_err(|error| anyhow!(error))?.to_bytes();
            bail!("{}", refusal(status, &body))
        })?;
        Ok(Events { client: self, body: response.into_body(), unread: Vec::new(), last_id: None, is_marked: false, is_alive: false })
    }

    async fn send(&self, method: Method, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Response<Incoming>> {
        self.send_with(method, path, query, Bytes::new()).await
    }

    async fn send_with(&self, method: Method, path: &str, query: &[(&str, &str)], body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let uri = format!("{path}{}", encoded(query));
        let host = match &self.place {
            Place::Unix(_) => "localhost",
            Place::Tcp(host) => host,
        };
        let mut request = Request::builder().method(method).uri(uri).header(hyper::header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(hyper::header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).context("the question can't be sent")?;
        match &self.place {
            Place::Unix(path) => exchange(connect_unix(path).await?, request).await,
            Place::Tcp(host) => {
                let connected = tokio::time::timeout(CONNECT, TcpStream::connect(host)).await;
                let stream = connected.map_err(|_| anyhow!("no connection within {} s", CONNECT.as_secs()));
                exchange(stream.and_then(|stream| Ok(stream?)).with_context(|| format!("http://{host}"))?, request).await
            }
        }
    }
}

async fn connect_unix(path: &Path) -> anyhow::Result<UnixStream> {
    UnixStream::connect(path).await.with_context(|| path.display().to_string())
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.context("the API does not speak HTTP")?;
    tokio::spawn(connection);
    sender.send_request(request).await.context("the API broke the connection off")
}

/// Why, as the API says it.
fn said(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|body| body.get("error")?.as_str().map(str::to_owned))
}

fn refusal(status: StatusCode, body: &[u8]) -> String {
    let error = said(body).unwrap_or_else(|| format!("the API answered {status}"));
    match status {
        StatusCode::UNAUTHORIZED => format!("{error}: name it with --token-file, or in $RELAYSCOPE_TOKEN"),
        _ => error,
    }
}

/// What came of a request to do something.
#[derive(Debug)]
pub enum Answered<T> {
    Done(T),
    /// It can't be done as it was asked for.
    Refused(String),
    /// What it is about isn't there.
    NotFound(String),
    /// Not at this address, or not by this version.
    Unknown,
}

/// Events as they come.
#[derive(Debug)]
pub struct Events {
    client: Client,
    body: Incoming,
    unread: Vec<u8>,
    /// The id of the last event that had one: where to go on.
    pub last_id: Option<String>,
    /// The last event that came had an id.
    pub is_marked: bool,
    /// Something has come.
    pub is_alive: bool,
}

impl Events {
    /// The data of the next event, or `None` at the end of the stream.
    pub fn next_data(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.unread.drain(..end + 2).collect();
                let event = String::from_utf8_lossy(&event).into_owned();
                self.is_alive = true;
                self.is_marked = false;
                if let Some(id) = event.lines().find_map(|line| line.strip_prefix("id:")) {
                    self.last_id = Some(id.trim_start().to_owned());
                    self.is_marked = true;
                }
                let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
                if !data.is_empty() {
                    return Ok(Some(data.join("\n")));
                }
            }
            if self.unread.len() > ANSWER {
                bail!("an event without end");
            }
            match self.client.runtime.block_on(self.body.frame()) {
                Some(frame) => {
                    if let Ok(octets) = frame.context("the connection to the API broke")?.into_data() {
                        self.unread.extend_from_slice(&octets);
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

/// Takes the lines that are whole off what has come of a stream: its pieces end anywhere, within a letter too.
pub fn whole_lines(unread: &mut Vec<u8>) -> Vec<u8> {
    let whole = unread.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
    unread.drain(..whole).collect()
}

/// `?a=b&c=d`, percent-encoded.
fn encoded(query: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in query {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for octet in value.bytes() {
            match octet {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(octet)),
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        assert_eq!(Place::parse("http://127.0.0.1:8025/"), Ok(Place::Tcp("127.0.0.1:8025".into())));
        assert_eq!(Place::parse("http://localhost"), Ok(Place::Tcp("localhost:80".into())));
        assert_eq!(Place::parse("unix:/run/api.sock"), Ok(Place::Unix("/run/api.sock".into())));
        assert_eq!(Place::parse("unix:///run/api.sock"), Ok(Place::Unix("/run/api.sock".into())));
        for url in ["https://127.0.0.1", "ftp://x", "http://", "http://a/b", "http://u:p@h:1", ""] {
            assert!(Place::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn questions_are_encoded() {
        assert_eq!(encoded(&[("q", "<a+b@c> \"ü\""), ("limit", "3")]), "?q=%3Ca%2Bb%40c%3E%20%22%C3%BC%22&limit=3");
        assert_eq!(encoded(&[]), "");
    }
}
