//! What is the proxy's own, so that an intercepted connection never ends where it came from.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::InterceptError;

/// Where the proxy listens, and its connections to intercepted destinations.
#[derive(Debug, Default)]
pub struct OwnTraffic {
    listening: Vec<SocketAddr>,
    outgoing: Mutex<HashSet<Ends>>,
}

/// Where a connection comes from and where it was meant to go: other connections may come from the same address.
type Ends = (SocketAddr, SocketAddr);

/// A connection of the proxy's own, known as such until this is dropped.
#[derive(Debug)]
pub struct Outgoing {
    traffic: Arc<OwnTraffic>,
    ends: Ends,
}

impl OwnTraffic {
    /// `listening`: every address that the proxy listens on, wildcards as they are.
    pub fn new(listening: Vec<SocketAddr>) -> Self {
        Self { listening, outgoing: Mutex::default() }
    }

    /// Refuses a connection from `client` to `destination` that the proxy made itself, or that would lead to it.
    pub fn check(&self, client: SocketAddr, destination: SocketAddr) -> Result<(), InterceptError> {
        if self.outgoing().contains(&(plain(client), plain(destination))) {
            return Err(InterceptError::Loop { destination });
        }
        let same_port = |own: &&SocketAddr| own.port() == destination.port();
        let mut own = self.listening.iter().filter(same_port).map(|own| own.ip());
        let leads_here = own.any(|own| own == destination.ip() || (own.is_unspecified() && is_of_this_machine(destination.ip())));
        if leads_here { Err(InterceptError::NotIntercepted { address: destination }) } else { Ok(()) }
    }

    /// Makes a connection to `remote` known. `connect` gives its local address; nothing is checked meanwhile, so that even a connection that comes
    /// back at once is recognized.
    pub(super) fn enlist<E>(self: &Arc<Self>, remote: SocketAddr, connect: impl FnOnce() -> Result<SocketAddr, E>) -> Result<Outgoing, E> {
        let mut outgoing = self.outgoing();
        let ends = (plain(connect()?), plain(remote));
        outgoing.insert(ends);
        Ok(Outgoing { traffic: self.clone(), ends })
    }

    fn outgoing(&self) -> MutexGuard<'_, HashSet<Ends>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.traffic.outgoing().remove(&self.ends);
    }
}

/// Without the scope and flow of IPv6, which the two ends see differently.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Only an address of this machine can be bound.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(listening: &[&str], destination: &str, passes: bool) {
        let own = OwnTraffic::new(listening.iter().map(|it| at(it)).collect());
        let outcome = own.check(at("192.0.2.7:4000"), at(destination));
        assert_eq!(outcome.is_ok(), passes, "{listening:?} {destination}: {outcome:?}");
    }

    #[test]
    fn what_leads_here_is_refused() {
        check(&["127.0.0.1:2525"], "127.0.0.1:2525", false);
        check(&["127.0.0.1:2525"], "127.0.0.1:25", true);
        check(&["127.0.0.1:2525"], "198.51.100.9:25", true);
        check(&["127.0.0.1:2525"], "198.51.100.9:2525", true);
        check(&["0.0.0.0:2525"], "127.0.0.3:2525", false);
        check(&["0.0.0.0:2525"], "198.51.100.9:2525", true);
        check(&["127.0.0.1:25", "0.0.0.0:2525"], "127.0.0.9:2525", false);
    }

    #[test]
    fn what_comes_from_here_is_refused() {
        let own = Arc::new(OwnTraffic::default());
        let destination = at("198.51.100.9:25");
        let outgoing = own.enlist(destination, || Ok::<_, ()>(at("192.0.2.1:40001"))).unwrap();
        assert!(matches!(own.check(at("192.0.2.1:40001"), destination), Err(InterceptError::Loop { .. })));
        assert!(matches!(own.check(at("[::ffff:192.0.2.1]:40001"), destination), Err(InterceptError::Loop { .. })));
        assert!(own.check(at("192.0.2.1:40002"), destination).is_ok());
        // A kept source address can be one that the client itself uses as well, towards another host.
        assert!(own.check(at("192.0.2.1:40001"), at("203.0.113.5:25")).is_ok());
        let to_another = own.enlist(at("203.0.113.5:25"), || Ok::<_, ()>(at("192.0.2.1:40001"))).unwrap();
        drop(to_another);
        assert!(own.check(at("192.0.2.1:40001"), destination).is_err(), "it is still there");
        drop(outgoing);
        assert!(own.check(at("192.0.2.1:40001"), destination).is_ok());
        assert_eq!(own.enlist(destination, || Err("refused")).unwrap_err(), "refused");
    }
}
