//! The PROXY protocol, versions 1 and 2: what a load balancer says of the client before the client's own octets.
//!
//! haproxy.org/download/3.0/doc/proxy-protocol.txt, called "the protocol text" here. Only a peer that is known to send a header may be
//! read with this: a stranger could claim to be anybody. The crate `ppp` reads lines and addresses; where a header ends, the reserved values,
//! the checksum and what is repeated are decided here, because it leaves them open.

mod decode;
mod encode;
mod error;
mod framing;
mod read;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

pub use encode::{encode, encode_local};
pub use error::HeaderError;
pub use framing::{Framing, LONGEST};
pub use read::read_header;

/// A whole header, as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub version: Version,
    pub subject: Subject,
    pub notes: Notes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// Whom the connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Client {
        source: SocketAddr,
        destination: SocketAddr,
    },
    /// The balancer speaks for itself, as in a health check: the connection's own endpoints count.
    Local,
    /// The balancer forwards for somebody whose address it can't tell: the connection's own endpoints count.
    Unknown,
    /// For a client of the balancer's Unix socket: the connection's own endpoints count.
    Unix,
}

/// What version 2 can add (its type-length-values). Texts are as the peer wrote them, hostile until shown otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    pub unique_id: Option<Vec<u8>>,
    pub authority: Option<String>,
    pub alpn: Option<String>,
    pub tls: Option<BalancerTls>,
    pub network_namespace: Option<String>,
    /// The header carried a checksum, and it was right.
    pub checksummed: bool,
    /// Types that are not defined, or not for everybody.
    pub unknown: usize,
}

/// TLS between the client and the balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BalancerTls {
    pub used: bool,
    pub client_certificate: bool,
    /// The client showed a certificate and the balancer found it good.
    pub client_verified: bool,
    pub version: Option<String>,
    pub cipher: Option<String>,
    pub common_name: Option<String>,
}

impl Header {
    /// The client that is spoken for, if one is.
    pub fn client(&self) -> Option<SocketAddr> {
        match self.subject {
            Subject::Client { source, .. } => Some(source),
            Subject::Local | Subject::Unknown | Subject::Unix => None,
        }
    }
}

impl Version {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}
