//! A collector of OTLP over gRPC (tonic's server, as in the tests) that decodes what it is sent, and keeps none.

use std::net::TcpStream;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tonic::service::Routes;
use tonic::{Request, Response, Status, async_trait};

/// Most octets of a message: a full batch.
const LONGEST: usize = 64 << 20;

struct Taken;

#[async_trait]
impl LogsService for Taken {
    async fn export(&self, _: Request<ExportLogsServiceRequest>) -> Result<Response<ExportLogsServiceResponse>, Status> {
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[async_trait]
impl TraceService for Taken {
    async fn export(&self, _: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

pub fn serve(stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        stream.set_nonblocking(true).unwrap();
        let stream = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
        let logs = LogsServiceServer::new(Taken).max_decoding_message_size(LONGEST);
        let routes = Routes::new(logs).add_service(TraceServiceServer::new(Taken).max_decoding_message_size(LONGEST));
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = connection.serve_connection(stream, TowerToHyperService::new(routes)).await;
    });
}
