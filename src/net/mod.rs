//! Sockets: listen, connect, name resolution and TLS, with errors an administrator can act on.

pub mod connect;
pub mod listen;
pub mod proxy_header;
pub mod resolve;
pub mod tls;
