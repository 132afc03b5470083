//! Goes on to where an intercepted connection was meant to go, under the client's own address if that is wanted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use super::{Outgoing, OwnTraffic, system};
use crate::net::connect::ConnectError;

/// How the proxy shows itself to the destination and to the packet filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// The client, whose IP address the connection comes from; its port doesn't count.
    pub source: Option<SocketAddr>,
    /// Set on each packet, so that the rules let it pass.
    pub mark: Option<u32>,
}

/// As [`crate::net::connect::connect`], and known to [`OwnTraffic`] as long as what is returned beside it.
pub async fn connect_as(
    address: SocketAddr,
    manner: Manner,
    own: &Arc<OwnTraffic>,
    timeout: Duration,
) -> Result<(TcpStream, Outgoing), ConnectError> {
    let fail = |source| ConnectError::from_io(address, source);
    let socket = prepared(address, manner)?;
    let outgoing = own.enlist(address, || {
        match socket.connect(&address.into()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && error.raw_os_error() != Some(EINPROGRESS) => {
                return Err(fail(error));
            }
            _ => {}
        }
        socket.local_addr().and_then(|it| it.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())).map_err(fail)
    })?;
    let stream = TcpStream::from_std(socket.into()).map_err(fail)?;
    match tokio::time::timeout(timeout, stream.writable()).await {
        Err(_) => return Err(ConnectError::TimedOut { address, after: timeout }),
        Ok(ready) => ready.map_err(fail)?,
    }
    match stream.take_error().map_err(fail)? {
        None => Ok((stream, outgoing)),
        Some(error) => Err(crate::net::connect::kernel_timeout_or(address, timeout, error)),
    }
}

/// Whether this process may connect like that at all; nothing is sent.
pub fn rehearse(manner: Manner) -> Result<(), ConnectError> {
    prepared(SocketAddr::from(([127, 0, 0, 1], 25)), manner).map(drop)
}

const EINPROGRESS: i32 = 115; // Linux, where alone this is used

/// A socket that is bound and marked as wanted, not yet connected.
fn prepared(address: SocketAddr, manner: Manner) -> Result<Socket, ConnectError> {
    let fail = |source| ConnectError::from_io(address, source);
    let permitted = |what: &'static str| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied => ConnectError::NotPermitted { what },
            io::ErrorKind::Unsupported => ConnectError::LinuxOnly { what },
            _ => ConnectError::from_io(address, source),
        }
    };
    let mut unfit = Vec::new();
    loop {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(fail)?;
        socket.set_nonblocking(true).map_err(fail)?;
        socket.set_tcp_nodelay(true).map_err(fail)?;
        if let Some(mark) = manner.mark {
            system::set_mark(&socket, mark).map_err(permitted("mark"))?;
        }
        let Some(client) = manner.source else { return Ok(socket) };
        system::make_transparent(&socket).map_err(permitted("preserve_source"))?;
        let mut source = client;
        source.set_port(0);
        socket.bind(&source.into()).map_err(fail)?;
        // The client's own port would make the same four numbers as the connection that was intercepted, and confuse connection tracking.
        let bound = socket.local_addr().map_err(fail)?.as_socket().map(|it| it.port());
        if bound != Some(client.port()) || unfit.len() > 3 {
            return Ok(socket);
        }
        unfit.push(socket); // kept, so that its port isn't given again
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_connection_is_known_as_our_own_before_it_is_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = Arc::new(OwnTraffic::default());
        let (stream, outgoing) = connect_as(address, Manner::default(), &own, LONG).await.unwrap();
        let (_, client) = listener.accept().unwrap();
        assert_eq!(client, stream.local_addr().unwrap());
        assert!(own.check(client, address).is_err());
        drop(outgoing);
        assert!(own.check(client, address).is_ok());
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn the_clients_address_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let manner = Manner { source: Some("127.0.0.77:9".parse().unwrap()), mark: None };
        match connect_as(listener.local_addr().unwrap(), manner, &Arc::default(), LONG).await {
            Ok(_) => assert_eq!(listener.accept().unwrap().1.ip().to_string(), "127.0.0.77"),
            Err(error) => assert!(matches!(error, ConnectError::NotPermitted { .. }), "{error}"), // not as root
        }
    }

    #[tokio::test]
    async fn a_refusal_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = connect_as(address, Manner::default(), &Arc::default(), LONG).await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error}");
    }
}
