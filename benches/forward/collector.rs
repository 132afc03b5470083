//! A collector of OTLP over gRPC that reads each call to its end, says that it took everything, and keeps none.

use std::convert::Infallible;
use std::net::TcpStream;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// A message without fields, in its gRPC frame: not compressed, no octets.
const NOTHING: &[u8] = &[0; 5];

pub fn serve(stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap(); // as real ones do
        let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(stream, service_fn(take)).await;
    });
}

async fn take(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame.map(Frame::into_data)?.ok();
    }
    let ended = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let answer = Full::new(Bytes::from_static(NOTHING)).with_trailers(async move { Some(Ok(ended)) });
    let mut response = Response::new(answer.boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}
