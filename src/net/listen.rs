//! Binds listening sockets, one per worker on the same address.
//!
//! The workers share an address through SO_REUSEPORT, which would also let a second proxy of the same user bind it and
//! silently take half of the sessions. So the address is first tried without that option: if anyone holds it, that fails.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;

use super::intercept::make_transparent;

/// Connections that may wait for `accept`, per worker (the kernel caps it at `net.core.somaxconn`).
pub const BACKLOG: i32 = 4096;

/// Why an address can't be listened on.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("{address} is in use by another program: stop it (`ss -ltnp 'sport = :{port}'` shows which), or listen elsewhere", port = .address.port())]
    InUse { address: SocketAddr },
    #[error(
        "{address}: no permission to listen on a port below 1024: give the service `AmbientCapabilities=CAP_NET_BIND_SERVICE` \
         (systemd), or run `setcap cap_net_bind_service=+ep` on the program, or use a port above 1023"
    )]
    LowPort { address: SocketAddr },
    #[error("{ip} is not an address of this machine: `ip address` lists those that are", ip = .address.ip())]
    NotOurs { address: SocketAddr },
    #[error("{address}: this machine has no {family} (switched off in the kernel?): remove this address", family = if .address.is_ipv6() { "IPv6" } else { "IPv4" })]
    NoFamily { address: SocketAddr },
    #[error(
        "{address}: no permission for a transparent socket (`intercept = \"tproxy\"`): give the service \
         `AmbientCapabilities=CAP_NET_ADMIN` (systemd), or use `intercept = \"redirect\"`"
    )]
    NotTransparent { address: SocketAddr },
    #[error("{address}: `intercept` works on Linux only")]
    LinuxOnly { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Other { address: SocketAddr, source: io::Error },
}

impl BindError {
    fn from_io(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied if address.port() != 0 && address.port() < 1024 => Self::LowPort { address },
            io::ErrorKind::AddrNotAvailable => Self::NotOurs { address },
            io::ErrorKind::Unsupported => Self::NoFamily { address },
            _ if source.raw_os_error() == Some(EAFNOSUPPORT) => Self::NoFamily { address },
            _ => Self::Other { address, source },
        }
    }
}

const EAFNOSUPPORT: i32 = 97; // Linux; elsewhere the system's own words are shown

/// Lets sockets that listen take what a TPROXY rule leads to them: connections to any address.
pub fn open_to_tproxy(listeners: &[TcpListener], address: SocketAddr) -> Result<(), BindError> {
    listeners.iter().try_for_each(|listener| make_transparent(&SockRef::from(listener))).map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => BindError::NotTransparent { address },
        io::ErrorKind::Unsupported => BindError::LinuxOnly { address },
        _ => BindError::from_io(address, source),
    })
}

/// `workers` listening sockets on one address, non-blocking. With port 0 the first picks a port and the others share it.
pub fn bind_workers(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, BindError> {
    let fail = |source| BindError::from_io(address, source);
    if address.port() != 0 {
        // Dropped at once: a bound socket without SO_REUSEPORT would keep our own from binding.
        bound(address, false).map_err(fail)?;
    }
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(workers.max(1));
    let mut shared = address;
    for _ in 0..workers.max(1) {
        let socket = bound(shared, true).map_err(fail)?;
        socket.listen(BACKLOG).map_err(fail)?;
        let listener = TcpListener::from(socket);
        shared = listener.local_addr().map_err(fail)?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // connections in TIME_WAIT must not stop a restart
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // `[::]:25` beside `0.0.0.0:25` must work, and an allow-list must see IPv4 as IPv4
    }
    socket.set_tcp_nodelay(true)?; // Linux: inherited by each accepted connection, without a call of its own
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    const ANY_PORT: &str = "127.0.0.1:0";

    #[test]
    fn workers_share_the_port_that_the_first_picked() {
        let listeners = bind_workers(ANY_PORT.parse().unwrap(), 3).unwrap();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports[0] != 0 && ports.iter().all(|&port| port == ports[0]), "{ports:?}");
    }

    #[test]
    fn accepted_connections_send_without_delay() {
        let listeners = bind_workers(ANY_PORT.parse().unwrap(), 1).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let _client = TcpStream::connect(address).unwrap();
        listeners[0].set_nonblocking(false).unwrap();
        let (accepted, _) = listeners[0].accept().unwrap();
        #[cfg(target_os = "linux")]
        assert!(accepted.nodelay().unwrap());
        let _ = accepted;
    }

    #[test]
    fn an_address_that_another_proxy_shares_is_refused() {
        let first = bind_workers(ANY_PORT.parse().unwrap(), 2).unwrap();
        let address = first[0].local_addr().unwrap();
        let error = bind_workers(address, 2).unwrap_err();
        let port = address.port();
        assert_eq!(
            error.to_string(),
            format!("{address} is in use by another program: stop it (`ss -ltnp 'sport = :{port}'` shows which), or listen elsewhere")
        );
        drop(first);
        bind_workers(address, 2).unwrap();
    }

    #[test]
    fn a_foreign_address_is_named_as_such() {
        let error = bind_workers("192.0.2.1:2525".parse().unwrap(), 1).unwrap_err();
        assert_eq!(error.to_string(), "192.0.2.1 is not an address of this machine: `ip address` lists those that are");
    }

    #[test]
    fn a_low_port_without_permission_says_how_to_get_it() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = BindError::from_io("127.0.0.1:25".parse().unwrap(), denied);
        assert!(error.to_string().contains("CAP_NET_BIND_SERVICE"), "{error}");
    }

    #[test]
    fn a_transparent_socket_needs_a_right() {
        let listeners = bind_workers(ANY_PORT.parse().unwrap(), 2).unwrap();
        match open_to_tproxy(&listeners, listeners[0].local_addr().unwrap()) {
            #[cfg(target_os = "linux")]
            Ok(()) => assert!(listeners.iter().all(|it| SockRef::from(it).ip_transparent_v4().unwrap())),
            #[cfg(not(target_os = "linux"))]
            Ok(()) => unreachable!(),
            Err(BindError::NotTransparent { .. }) => {} // not as root
            Err(error) => assert!(matches!(error, BindError::LinuxOnly { .. }), "{error}"),
        }
    }

    #[test]
    fn both_wildcards_can_be_listened_on_at_once() {
        let Ok(six) = bind_workers("[::]:0".parse().unwrap(), 1) else { return }; // no IPv6 here
        let port = six[0].local_addr().unwrap().port();
        bind_workers(format!("0.0.0.0:{port}").parse().unwrap(), 1).unwrap();
    }
}
