//! Ports for programs that can't take port 0 and say what they got.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, Socket, Type};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A port nobody listens on now. Below the range that the kernel gives to outgoing connections, spread by process id, so that
/// tests that run side by side hardly meet; who starts a server on it tries another if they did.
pub fn unused() -> u16 {
    let start = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed) * 7;
    let port = (start..).map(|at| 10_000 + (at % 20_000) as u16).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    port.unwrap()
}

/// A port that refuses connections until it is opened: bound, so that nobody else gets it, but not listening.
pub struct Refusing {
    socket: Socket,
    pub address: SocketAddr,
}

impl Refusing {
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, address }
    }

    pub fn open(self) -> TcpListener {
        self.socket.listen(64).unwrap();
        self.socket.into()
    }
}
