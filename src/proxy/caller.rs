//! The session that wants a connection, under which address it gets one, and what is said of it first.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::context::Context;
use crate::net::connect::{ConnectError, connect};
use crate::net::intercept::{Manner, Outgoing, connect_as};
use crate::net::proxy_header::{encode, encode_local};
use crate::relay::options::{Intercept, TellClient, UpstreamOptions};
use crate::trace::RecordId;

#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    /// Absent for a probe of the proxy's own, which has nobody's address to keep.
    pub client: Option<SocketAddr>,
    /// The client, where it had connected to, and the session's id, for hosts that are told by a PROXY header. Absent likewise.
    pub introduction: Option<(SocketAddr, SocketAddr, RecordId)>,
    /// The session's start, the zero of its clock.
    pub began: Instant,
}

impl Caller {
    /// A connection on which a PROXY header has gone before anything else, where one is wanted.
    pub async fn connect(
        self,
        context: &Context,
        upstream: &UpstreamOptions,
        address: SocketAddr,
    ) -> Result<(TcpStream, Option<Outgoing>), ConnectError> {
        let (mut stream, outgoing) = self.reach(context, upstream, address).await?;
        if upstream.tell_client == TellClient::ProxyV2 {
            let header = match self.introduction {
                Some((client, destination, session)) => encode(client, destination, session.to_string().as_bytes()),
                None => encode_local(),
            };
            let limit = context.options.limits.timeouts.connect;
            let sent = tokio::time::timeout(limit, stream.write_all(&header)).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
            sent.map_err(|source| ConnectError::from_io(address, source))?;
        }
        Ok((stream, outgoing))
    }

    /// An ordinary connection, unless rules of the packet filter look at it.
    async fn reach(
        self,
        context: &Context,
        upstream: &UpstreamOptions,
        address: SocketAddr,
    ) -> Result<(TcpStream, Option<Outgoing>), ConnectError> {
        let limit = context.options.limits.timeouts.connect;
        let manner = Manner { source: self.client.filter(|_| upstream.preserve_source), mark: upstream.mark };
        if manner == Manner::default() && context.options.listener.intercept == Intercept::Off {
            return Ok((connect(address, limit).await?, None));
        }
        let (stream, outgoing) = connect_as(address, manner, &context.own, limit).await?;
        Ok((stream, Some(outgoing)))
    }
}
