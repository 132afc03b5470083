//! A socket between two processes of one user that carries messages, and with a message a listening socket (unix(7), SCM_RIGHTS).

use std::fs;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
    sendmsg,
};
use socket2::{Domain, SockAddr, Socket, Type};

/// A descriptor is not for the children of this process.
#[cfg(target_os = "linux")]
const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const FLAGS: RecvFlags = RecvFlags::empty();
/// Octets of a message.
const LONGEST: usize = 4096;

/// One end of a connection.
#[derive(Debug)]
pub struct Channel {
    socket: Socket,
    /// The process at the other end when it was made.
    pub peer: u32,
}

/// Where channels are asked for. Whoever binds the same path next takes its place.
#[derive(Debug)]
pub struct Door {
    socket: Socket,
}

impl Door {
    /// Makes the socket at `path`, for this user alone; one that is there is replaced.
    ///
    /// # Errors
    /// It can't be made: the directory is read-only, the path is longer than 107 octets.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Bound under another name until its mode is right: nobody gets in between.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        socket.bind(&SockAddr::unix(&fresh)?)?;
        fs::set_permissions(&fresh, PermissionsExt::from_mode(0o600))?;
        socket.listen(4)?;
        fs::rename(&fresh, path)?;
        Ok(Self { socket })
    }

    /// Waits for the next channel. Other users' are closed: whoever gets our sockets gets our clients' mail.
    ///
    /// # Errors
    /// The door is of no use any more.
    pub fn wait(&self, patience: Duration) -> io::Result<Channel> {
        loop {
            let (socket, _) = self.socket.accept()?;
            match Channel::new(socket, patience) {
                Ok(channel) => return Ok(channel),
                Err(error) => tracing::warn!(%error, "somebody asked for the listening sockets and was refused"),
            }
        }
    }
}

impl Channel {
    /// Knocks at a door; `None` if there is none, or nobody behind it.
    ///
    /// # Errors
    /// Somebody is there, but of another user.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None)?;
        match socket.connect(&SockAddr::unix(path)?) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
            connected => connected?,
        }
        Self::new(socket, patience).map(Some)
    }

    /// `patience` is how long the other end may take for an answer.
    fn new(socket: Socket, patience: Duration) -> io::Result<Self> {
        let (peer, user) = peer_of(&socket)?;
        let own = rustix::process::geteuid().as_raw();
        if user != own {
            let why = format!("process {peer} runs as user {user}, this one as user {own}");
            return Err(io::Error::new(ErrorKind::PermissionDenied, why));
        }
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        Ok(Self { socket, peer })
    }

    /// Waits longer from now on.
    ///
    /// # Errors
    /// The operating system refuses it.
    pub fn be_patient(&self, patience: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(patience))
    }

    /// Sends a message, perhaps with a socket.
    ///
    /// # Errors
    /// The other end has gone, or doesn't read.
    pub fn send(&self, message: &[u8], socket: Option<&TcpListener>) -> io::Result<()> {
        let descriptors = socket.map(|socket| [socket.as_fd()]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(descriptors) = &descriptors {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let sent = sendmsg(&self.socket, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
        if sent == message.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
    }

    /// The next message, and its socket.
    ///
    /// # Errors
    /// The other end has gone, or takes too long.
    pub fn receive(&self) -> io::Result<(Vec<u8>, Option<TcpListener>)> {
        let mut octets = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(&self.socket, &mut [IoSliceMut::new(&mut octets)], &mut control, FLAGS)?;
        let mut socket = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                socket = descriptors.map(TcpListener::from).next();
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(ErrorKind::InvalidData, "a message or its descriptor was cut off: are there descriptors left?"));
        }
        if received.bytes == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        octets.truncate(received.bytes);
        Ok((octets, socket))
    }
}

/// Process and user at the other end (unix(7), SO_PEERCRED).
#[cfg(target_os = "linux")]
fn peer_of(socket: &Socket) -> io::Result<(u32, u32)> {
    let peer = rustix::net::sockopt::socket_peercred(socket)?;
    Ok((peer.pid.as_raw_pid().unsigned_abs(), peer.uid.as_raw()))
}

#[cfg(not(target_os = "linux"))]
fn peer_of(_socket: &Socket) -> io::Result<(u32, u32)> {
    Err(io::Error::new(ErrorKind::Unsupported, "sockets are passed on under Linux only"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_listening_socket_goes_through_with_its_waiting_connections() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("door");
        assert!(Channel::connect(&path, PATIENCE).unwrap().is_none());
        let door = Door::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = TcpStream::connect(address).unwrap();

        let asking = Channel::connect(&path, PATIENCE).unwrap().unwrap();
        let asked = door.wait(PATIENCE).unwrap();
        assert_eq!((asking.peer, asked.peer), (std::process::id(), std::process::id()));
        asking.send(b"please", None).unwrap();
        assert!(matches!(asked.receive().unwrap(), (words, None) if words == b"please"));
        asked.send(b"here", Some(&listener)).unwrap();
        drop(listener);
        let (words, passed) = asking.receive().unwrap();
        assert_eq!(words, b"here");
        let (_, peer) = passed.unwrap().accept().unwrap();
        assert_eq!(peer, waiting.local_addr().unwrap());
        drop(asked);
        assert_eq!(asking.receive().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_door_that_nobody_stands_behind_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("door");
        drop(Door::open(&path).unwrap());
        assert!(Channel::connect(&path, PATIENCE).unwrap().is_none());
        let _second = Door::open(&path).unwrap();
        assert!(Channel::connect(&path, PATIENCE).unwrap().is_some());
    }
}
