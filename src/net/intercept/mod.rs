//! Interception: connections that the packet filter led here, and the address that they were meant for.
//!
//! REDIRECT rewrites the destination, and the kernel's connection tracking remembers the true one. TPROXY leaves it alone: the accepted
//! socket's own address is the true one. Linux only; elsewhere every function here says so.

mod outgoing;
mod own;
mod system;

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio::net::TcpStream;

pub use outgoing::{Manner, connect_as, rehearse};
pub use own::{Outgoing, OwnTraffic};
pub(super) use system::make_transparent;

/// How the packet filter leads connections here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interception {
    Redirect,
    Tproxy,
}

/// Why an accepted connection has no destination to go on to.
#[derive(Debug, Error)]
pub enum InterceptError {
    #[error(
        "the client connected to {address}, an address of the proxy itself: nothing was intercepted. Only the packet filter's rules may lead \
         connections to this listener; who shall connect to the proxy needs another one"
    )]
    NotIntercepted { address: SocketAddr },
    #[error(
        "the proxy's own connection to {destination} was intercepted and came back: let what the proxy sends pass in the rules \
         (by its `mark`, or by its user: `meta skuid`)"
    )]
    Loop { destination: SocketAddr },
    #[error(
        "the kernel doesn't know where this connection was meant to go: it was not redirected (`redirect` in a chain of type nat), \
         or not on this machine"
    )]
    NotTracked,
    #[error("interception works on Linux only")]
    NotHere,
    #[error("asking the kernel for the original destination: {source}")]
    Io { source: io::Error },
}

/// Where an accepted connection was meant to go, once it is sure that it doesn't end here again.
pub fn original_destination(stream: &TcpStream, how: Interception, own: &OwnTraffic) -> Result<SocketAddr, InterceptError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => InterceptError::NotTracked,
        io::ErrorKind::Unsupported => InterceptError::NotHere,
        _ => InterceptError::Io { source },
    };
    let destination = match how {
        Interception::Redirect => system::before_redirect(stream).map_err(failed)?,
        Interception::Tproxy => stream.local_addr().map_err(failed)?,
    };
    own.check(stream.peer_addr().map_err(failed)?, destination)?;
    Ok(destination)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_that_nobody_intercepted_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = OwnTraffic::new(vec![address]);
        let _client = TcpStream::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let error = original_destination(&accepted, Interception::Tproxy, &own).unwrap_err();
        assert!(matches!(error, InterceptError::NotIntercepted { address: it } if it == address), "{error}");
        // Without connection tracking in this namespace the kernel knows nothing; with it, it knows our own address.
        let error = original_destination(&accepted, Interception::Redirect, &own).unwrap_err();
        assert!(matches!(error, InterceptError::NotIntercepted { .. } | InterceptError::NotTracked | InterceptError::NotHere), "{error}");
    }
}
