//! Sockets: listen, connect, name resolution and TLS, with errors an administrator can act on.

pub mod connect;
mod flight;
pub mod listen;
pub mod resolve;
pub mod tls;
