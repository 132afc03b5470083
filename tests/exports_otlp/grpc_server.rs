//! The same receiver over gRPC: tonic's server with the protocol's own services.

use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{MetricsService, MetricsServiceServer};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Code, Response, Status, async_trait};

use super::otlp_server::{Does, Receiver, Request, Shared};
use crate::support::certificates::Certificates;

#[derive(Clone)]
struct Services(Shared);

impl Services {
    fn routes(self) -> Routes {
        let gzip = CompressionEncoding::Gzip;
        Routes::new(LogsServiceServer::new(self.clone()).accept_compressed(gzip))
            .add_service(TraceServiceServer::new(self.clone()).accept_compressed(gzip))
            .add_service(MetricsServiceServer::new(self).accept_compressed(gzip))
    }

    fn receive<R: Request, A: Message + Default>(&self, request: tonic::Request<R>) -> Result<Response<A>, Status> {
        let mut seen = self.0.lock().unwrap();
        seen.headers.push(request.metadata().clone().into_headers());
        let does = seen.does.entry(R::OF).or_default().pop_front();
        match does {
            // google.rpc.Status with a RetryInfo of a second in its details.
            Some(Does::Answer(code)) => {
                let details = b"\x1a\x30\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x04\x0a\x02\x08\x01";
                return Err(Status::with_details(Code::from(i32::from(code)), "no thanks", details.to_vec().into()));
            }
            Some(Does::Garbage) => return Err(Status::unknown("\u{1b}[31m")),
            Some(Does::Partial(_)) | None => request.into_inner().take(&mut seen),
        }
        let answer = if let Some(Does::Partial(rejected)) = does { R::partial(rejected) } else { Vec::new() };
        Ok(Response::new(A::decode(&answer[..]).unwrap()))
    }
}

#[async_trait]
impl LogsService for Services {
    async fn export(&self, request: tonic::Request<ExportLogsServiceRequest>) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.receive(request)
    }
}

#[async_trait]
impl TraceService for Services {
    async fn export(&self, request: tonic::Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.receive(request)
    }
}

#[async_trait]
impl MetricsService for Services {
    async fn export(&self, request: tonic::Request<ExportMetricsServiceRequest>) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.receive(request)
    }
}

impl Receiver {
    pub fn grpc() -> Self {
        let this = Self::listening();
        let routes = Services(this.seen.clone()).routes();
        this.serve(move |stream| served(stream, routes.clone()));
        this
    }

    /// Over TLS; who doesn't say that it speaks HTTP/2 is sent away.
    pub fn grpc_over_tls(made: &Certificates) -> Self {
        let this = Self::listening();
        let (routes, acceptor) = (Services(this.seen.clone()).routes(), acceptor(&made.certificate, &made.key));
        this.serve(move |stream| {
            let (routes, acceptor) = (routes.clone(), acceptor.clone());
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    served(stream, routes).await;
                }
            }
        });
        this
    }
}

async fn served(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, routes: Routes) {
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = connection.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
}

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
