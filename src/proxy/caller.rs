//! The session that wants a connection, and under which address it gets one.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::TcpStream;

use super::context::Context;
use crate::net::connect::{ConnectError, connect};
use crate::net::intercept::{Manner, Outgoing, connect_as};
use crate::relay::options::{Intercept, UpstreamOptions};

#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    /// Absent for a probe of the proxy's own, which has nobody's address to keep.
    pub client: Option<SocketAddr>,
    /// The session's start, the zero of its clock.
    pub began: Instant,
}

impl Caller {
    /// An ordinary connection, unless rules of the packet filter look at it.
    pub async fn connect(
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
