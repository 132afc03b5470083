//! Ports for programs that can't take port 0 and say what they got.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Socket, Type};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Ports that are this process's until it ends.
static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port nobody listens on now. Below the range that the kernel gives to outgoing connections, and no other test's.
pub fn unused() -> u16 {
    let start = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed) * 7;
    let is_free = |port: &u16| take(*port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (start..).map(|at| 10_000 + (at % 20_000) as u16).find(is_free).unwrap()
}

/// By a lock that the kernel gives back when the process ends, however it ends.
fn take(port: u16) -> bool {
    let dir = std::env::temp_dir().join("relayscope-ports");
    let _ = std::fs::create_dir_all(&dir);
    let Ok(file) = File::create(dir.join(port.to_string())) else { return true };
    let is_mine = file.try_lock().is_ok();
    if is_mine {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
    is_mine
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
