//! Listening sockets that somebody else made: the service manager (sd_listen_fds(3)), or the process that runs already.
//!
//! They are never bound again: an address keeps its queue of connections while those who serve it change.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::SockRef;
use thiserror::Error;

/// A listening socket, and where it listens.
#[derive(Debug)]
pub struct Passed {
    pub address: SocketAddr,
    /// Of the listener that it is meant for, as far as whoever passed it on knows.
    pub name: String,
    socket: TcpListener,
}

/// Why a descriptor is of no use.
#[derive(Debug, Error)]
pub enum NotPassed {
    #[error(
        "descriptor {number} ({name:?}) of the service manager is no TCP socket: relayscope takes only `ListenStream=` with an address and a port"
    )]
    NoTcp { number: usize, name: String },
    #[error("descriptor {number} ({name:?}) of the service manager does not listen: `Accept=` must be `no` in its .socket unit")]
    NotListening { number: usize, name: String },
    #[error("a listening socket can't be used: {0}")]
    Io(#[from] io::Error),
}

impl Passed {
    /// Makes a socket ours: its connections are taken without waiting, and answered without delay.
    ///
    /// # Errors
    /// It isn't a TCP socket.
    pub fn new(name: String, socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        SockRef::from(&socket).set_tcp_nodelay(true)?;
        Ok(Self { address: socket.local_addr()?, name, socket })
    }
}

/// Takes the sockets that the service manager passed to this process. To be called once, before there are threads: the environment
/// variables that name them are removed, so that no child takes them for its own.
pub fn from_service_manager() -> Vec<Result<Passed, NotPassed>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    let count = descriptors.len();
    let take = |number| {
        let name = names.next().unwrap_or_default().to_owned();
        match descriptors.take_tcp_listener(number) {
            Ok(Some(socket)) if !SockRef::from(&socket).is_listener().unwrap_or(true) => {
                Err(NotPassed::NotListening { number: number + 3, name })
            }
            Ok(Some(socket)) => Ok(Passed::new(name, socket)?),
            Ok(None) | Err(_) => Err(NotPassed::NoTcp { number: number + 3, name }),
        }
    };
    (0..count).map(take).collect()
}

/// Takes out of `passed` what listens at that address for that listener. A port 0 is whichever was picked under the listener's name.
pub fn take(passed: &mut Vec<Passed>, name: &str, address: SocketAddr) -> Vec<TcpListener> {
    let is_meant = |it: &Passed| {
        let same_port = it.address.port() == address.port() || (address.port() == 0 && it.name == name);
        it.address.ip() == address.ip() && same_port
    };
    let Some(at) = passed.iter().find(|it| is_meant(it)).map(|it| it.address) else { return Vec::new() };
    passed.extract_if(.., |it| it.address == at).map(|it| it.socket).collect()
}

/// Gives each worker its sockets of one address: each socket to one worker at least (connections wait in each), and each worker one at
/// least.
///
/// # Errors
/// Descriptors have run out.
pub fn spread(sockets: &[TcpListener], workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let workers = workers.max(1);
    let mut shares: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    for (worker, socket) in (0..workers).cycle().zip(sockets.iter().cycle()).take(workers.max(sockets.len())) {
        if let Some(share) = shares.get_mut(worker) {
            share.push(socket.try_clone()?);
        }
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listen::bind_workers;

    fn passed(name: &str, sockets: usize) -> (SocketAddr, Vec<Passed>) {
        let sockets = bind_workers("127.0.0.1:0".parse().unwrap(), sockets).unwrap();
        let passed: Vec<_> = sockets.into_iter().map(|socket| Passed::new(name.to_owned(), socket).unwrap()).collect();
        (passed[0].address, passed)
    }

    #[test]
    fn sockets_are_found_by_their_address() {
        let (address, mut all) = passed("smtp", 2);
        let (other, more) = passed("smtp", 1);
        all.extend(more);
        assert!(take(&mut all, "smtp", "127.0.0.2:25".parse().unwrap()).is_empty());
        // Whatever it is called.
        assert_eq!(take(&mut all, "anything", address).len(), 2);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].address, other);
    }

    #[test]
    fn a_port_that_is_any_is_found_by_the_name() {
        let (address, mut all) = passed("smtp", 2);
        let any = "127.0.0.1:0".parse().unwrap();
        assert!(take(&mut all, "submission", any).is_empty());
        assert!(take(&mut all, "smtp", "127.0.0.2:0".parse().unwrap()).is_empty());
        let taken = take(&mut all, "smtp", any);
        assert_eq!(taken.iter().map(|it| it.local_addr().unwrap()).collect::<Vec<_>>(), [address, address]);
    }

    #[test]
    fn every_socket_is_served_and_every_worker_serves() {
        let (_, all) = passed("smtp", 3);
        let sockets: Vec<_> = all.into_iter().map(|it| it.socket).collect();
        #[track_caller]
        fn check(sockets: &[TcpListener], workers: usize, expected: &[usize]) {
            let shares: Vec<_> = spread(sockets, workers).unwrap().iter().map(Vec::len).collect();
            assert_eq!(shares, expected);
        }
        check(&sockets, 3, &[1, 1, 1]);
        check(&sockets, 2, &[2, 1]);
        check(&sockets, 1, &[3]);
        check(&sockets[..1], 4, &[1, 1, 1, 1]);
        check(&sockets[..2], 5, &[1, 1, 1, 1, 1]);
        check(&sockets, 0, &[3]);
        check(&[], 2, &[0, 0]);
    }
}
