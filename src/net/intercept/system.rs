//! The socket options that interception needs. They exist on Linux only.

use std::io;
use std::net::SocketAddr;

use socket2::Socket;
use tokio::net::TcpStream;

/// What a REDIRECT rule rewrote. `NotFound` if nothing is known of the connection.
#[cfg(target_os = "linux")]
pub(super) fn before_redirect(stream: &TcpStream) -> io::Result<SocketAddr> {
    let socket = socket2::SockRef::from(stream);
    let found = if stream.local_addr()?.is_ipv6() { socket.original_dst_v6()? } else { socket.original_dst_v4()? };
    found.as_socket().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Lets a socket have an address that isn't this machine's.
#[cfg(target_os = "linux")]
pub(crate) fn make_transparent(socket: &Socket) -> io::Result<()> {
    // One bit of the socket for both families: IPV6_TRANSPARENT sets the same, and IPv6 sockets take IP_TRANSPARENT.
    socket.set_ip_transparent_v4(true)
}

/// Marks each packet of the socket, so that rules can tell it.
#[cfg(target_os = "linux")]
pub(super) fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn before_redirect(_: &TcpStream) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn make_transparent(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
