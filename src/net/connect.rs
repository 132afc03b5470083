//! Opens TCP connections to the upstream, and readies accepted ones.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;

/// Why no connection came about.
#[derive(Debug, Error)]
pub enum ConnectError {
    #[error("{address} refused the connection (nothing listens there, or a firewall rejects it)")]
    Refused { address: SocketAddr },
    #[error("connecting to {address} timed out after {} s (host down, or a firewall drops the packets)", .after.as_secs_f64())]
    TimedOut { address: SocketAddr, after: Duration },
    #[error("no route to {address} (network down, or no {family} here)", family = if .address.is_ipv6() { "IPv6" } else { "IPv4" })]
    NoRoute { address: SocketAddr },
    #[error("{address} is unreachable (host down, or a router or firewall on the way forbids it)")]
    Unreachable { address: SocketAddr },
    #[error("{address} reset the connection at once")]
    Reset { address: SocketAddr },
    #[error("this process has no file descriptors left: raise LimitNOFILE (systemd) or `ulimit -n`")]
    OutOfDescriptors { source: io::Error },
    #[error("this machine has no local port left towards {address}: too many connections to it are open or in TIME_WAIT")]
    OutOfPorts { address: SocketAddr },
    #[error(
        "`{what}` needs CAP_NET_ADMIN (CAP_NET_RAW will do from Linux 5.17 on): give the service \
         `AmbientCapabilities=CAP_NET_ADMIN` (systemd), or switch it off"
    )]
    NotPermitted { what: &'static str },
    #[error("`{what}` works on Linux only")]
    LinuxOnly { what: &'static str },
    #[error("cannot connect to {address}: {source}")]
    Other { address: SocketAddr, source: io::Error },
}

const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

impl ConnectError {
    /// What went wrong with that peer.
    pub fn from_io(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { address },
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Self::NoRoute { address },
            // As well for an ICMP message "administratively prohibited", and for a firewall of this machine (EPERM).
            io::ErrorKind::HostUnreachable | io::ErrorKind::PermissionDenied => Self::Unreachable { address },
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset { address },
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Self::OutOfPorts { address },
            _ if matches!(source.raw_os_error(), Some(ENFILE | EMFILE)) => Self::OutOfDescriptors { source },
            _ => Self::Other { address, source },
        }
    }

    /// Whether the fault lies with this machine, so that another upstream host would fare no better.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::OutOfDescriptors { .. } | Self::NotPermitted { .. } | Self::LinuxOnly { .. })
    }
}

/// A connection with TCP_NODELAY set: a lock-step dialogue would otherwise lose 40 ms to delayed acknowledgements.
pub async fn connect(address: SocketAddr, timeout: Duration) -> Result<TcpStream, ConnectError> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
        .await
        .map_err(|_| ConnectError::TimedOut { address, after: timeout })?
        .map_err(|source| kernel_timeout_or(address, timeout, source))?;
    stream.set_nodelay(true).map_err(|source| ConnectError::from_io(address, source))?;
    Ok(stream)
}

/// The kernel's own time-out (no answer to SYN retries) reads like ours.
pub(super) fn kernel_timeout_or(address: SocketAddr, timeout: Duration, source: io::Error) -> ConnectError {
    match source.kind() {
        io::ErrorKind::TimedOut => ConnectError::TimedOut { address, after: timeout },
        _ => ConnectError::from_io(address, source),
    }
}

/// Readies a connection that a listener of [`super::listen`] accepted.
pub fn ready_accepted(stream: &TcpStream) -> io::Result<()> {
    // Linux hands TCP_NODELAY down from the listening socket; others don't promise it.
    if cfg!(target_os = "linux") { Ok(()) } else { stream.set_nodelay(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn address() -> SocketAddr {
        "192.0.2.7:25".parse().unwrap()
    }

    #[tokio::test]
    async fn connects_without_delay() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connect(listener.local_addr().unwrap(), LONG).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_refusal_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = listener.local_addr().unwrap();
        drop(listener);
        let error = connect(closed, LONG).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{closed} refused the connection (nothing listens there, or a firewall rejects it)"));
    }

    #[test]
    fn each_failure_has_its_words() {
        let cases = [
            (io::ErrorKind::NetworkUnreachable, "no route to 192.0.2.7:25 (network down, or no IPv4 here)"),
            (io::ErrorKind::HostUnreachable, "192.0.2.7:25 is unreachable (host down, or a router or firewall on the way forbids it)"),
            (io::ErrorKind::ConnectionReset, "192.0.2.7:25 reset the connection at once"),
            (io::ErrorKind::TimedOut, "connecting to 192.0.2.7:25 timed out after 30 s (host down, or a firewall drops the packets)"),
        ];
        for (kind, words) in cases {
            assert_eq!(kernel_timeout_or(address(), LONG, kind.into()).to_string(), words);
        }
        assert!(ConnectError::from_io(address(), io::Error::from_raw_os_error(EMFILE)).is_local());
    }
}
