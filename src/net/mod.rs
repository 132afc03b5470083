//! Sockets: listen, connect, intercept, name resolution and TLS, with errors an administrator can act on.

pub mod channel;
pub mod connect;
mod flight;
pub mod grpc_client;
pub mod http_client;
pub mod intercept;
pub mod listen;
pub mod mta_sts;
pub mod passed;
pub mod proxy_header;
pub mod resolve;
pub mod spf;
pub mod tls;
pub mod webhook;
