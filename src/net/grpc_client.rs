//! Single calls of gRPC on one server over one connection that is kept (HTTP/2), with TLS where its address says so. A message is octets here.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use thiserror::Error;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::body::Body;
use tonic::client::{Grpc, GrpcService};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;

use super::http_client::{ConnectError, HttpUrl};
use super::tls::ClientTls;

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum GrpcError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{host} broke HTTP/2: {source}")]
    Http { host: String, source: hyper::Error },
    #[error("{host} did not answer within {limit:?}")]
    TimedOut { host: String, limit: Duration },
    #[error("{host} ended the connection instead of an answer ({why}); if it does so always, gRPC isn't spoken there")]
    Lost { host: String, why: String },
    /// The server's word, or that of what stands before it.
    #[error("{}", .0.message())]
    Status(Box<Status>),
}

/// One server.
#[derive(Debug)]
pub struct GrpcClient {
    url: HttpUrl,
    tls: ClientTls,
    timeout: Duration,
    gzip: bool,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Body>,
    /// Ends with the connection.
    _driver: JoinSet<()>,
}

impl GrpcClient {
    /// Nothing is connected yet. `gzip`: messages are compressed.
    pub fn new(url: HttpUrl, tls: ClientTls, timeout: Duration, gzip: bool) -> Self {
        // Servers of gRPC want to be told that HTTP/2 is spoken.
        Self { url, tls: tls.with_alpn(&["h2"]), timeout, gzip, connection: None }
    }

    /// Calls a method ("/package.Service/Method") with one message and waits for the one that answers. On a connection that the server has
    /// closed meanwhile the call is made once more.
    ///
    /// # Errors
    /// There was no whole answer in time, or it is a refusal.
    pub async fn call(&mut self, method: &'static str, headers: &HeaderMap, message: Bytes) -> Result<Bytes, GrpcError> {
        let kept = self.connection.take();
        let limit = self.timeout;
        let called = tokio::time::timeout(limit, self.called(kept, method, headers, message)).await;
        called.unwrap_or_else(|_| Err(GrpcError::TimedOut { host: self.url.host().to_owned(), limit }))
    }

    async fn called(
        &mut self,
        kept: Option<Connection>,
        method: &'static str,
        headers: &HeaderMap,
        message: Bytes,
    ) -> Result<Bytes, GrpcError> {
        if let Some(kept) = kept.filter(|kept| !kept.sender.is_closed()) {
            match self.exchange(kept, method, headers, message.clone()).await {
                Err(GrpcError::Lost { .. } | GrpcError::Http { .. }) => {}
                answered => return answered,
            }
        }
        let fresh = self.connect().await?;
        self.exchange(fresh, method, headers, message).await
    }

    async fn exchange(&mut self, on: Connection, method: &'static str, headers: &HeaderMap, message: Bytes) -> Result<Bytes, GrpcError> {
        let mut sender = on.sender.clone();
        sender.ready().await.map_err(|source| GrpcError::Http { host: self.url.host().to_owned(), source })?;
        let mut grpc = Grpc::with_origin(Speaker(sender), self.url.origin());
        if self.gzip {
            grpc = grpc.send_compressed(CompressionEncoding::Gzip);
        }
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(headers.clone());
        let answered = grpc.unary(request, PathAndQuery::from_static(method), Octets).await;
        // What the server said has no error below it.
        if let Some(why) = answered.as_ref().err().and_then(innermost) {
            return Err(GrpcError::Lost { host: self.url.host().to_owned(), why });
        }
        if !on.sender.is_closed() {
            self.connection = Some(on);
        }
        answered.map(tonic::Response::into_inner).map_err(|status| GrpcError::Status(Box::new(status)))
    }

    async fn connect(&self) -> Result<Connection, GrpcError> {
        let stream = self.url.connect(&self.tls).await?;
        let broken = |source| GrpcError::Http { host: self.url.host().to_owned(), source };
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(broken)?;
        let mut driver = JoinSet::new();
        driver.spawn(async {
            let _ = connection.await; // what went wrong is told to whoever waits for the answer
        });
        Ok(Connection { sender, _driver: driver })
    }
}

/// A connection as tonic uses it.
struct Speaker(SendRequest<Body>);

impl GrpcService<Body> for Speaker {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(concat!("relayscope/", env!("CARGO_PKG_VERSION"))));
        Box::pin(self.0.send_request(request))
    }
}

/// Messages that are encoded already.
#[derive(Debug, Clone, Copy)]
struct Octets;

impl Codec for Octets {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Octets {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(message);
        Ok(())
    }
}

impl Decoder for Octets {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// The last of the errors below a status that no server has said.
fn innermost(status: &Status) -> Option<String> {
    let mut error = status.source()?;
    while let Some(below) = error.source() {
        error = below;
    }
    Some(error.to_string())
}

impl HttpUrl {
    fn origin(&self) -> Uri {
        let scheme = if self.is_tls() { "https" } else { "http" };
        Uri::builder().scheme(scheme).authority(self.authority()).path_and_query("/").build().unwrap_or_default()
    }
}
