//! Syslog over UDP (RFC 5426): one event a datagram, and nobody knows whether it arrives.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::{UdpSocket, lookup_host};

use super::syslog::{Header, Writer};
use super::{Failure, Taken};
use crate::export::batch::Batch;
use crate::store::Cursor;

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "udp://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "udp://{}:{}", self.host, self.port)
        }
    }
}

/// A receiver of datagrams.
#[derive(Debug)]
pub struct Udp {
    options: Options,
    writer: Writer,
    socket: Option<UdpSocket>,
    pub at: Cursor,
    /// Where the batch before began: a refusal is heard of too late.
    previous: Cursor,
}

impl Udp {
    pub fn new(options: Options, header: Header, at: Cursor) -> Self {
        Self { options, writer: Writer::new(&header), socket: None, at, previous: at }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.open().await?,
        };
        let mut taken = Taken::default();
        for (number, (event, octets)) in batch.iter().enumerate() {
            let message = self.writer.message(event, octets).map_err(Failure::passing)?;
            match socket.send(message).await {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => {
                    taken.refused.push((number, format!("{} octets don't fit into a datagram: lower max_event", message.len())));
                }
                Err(error) => {
                    // ICMP answers to datagrams that were sent before.
                    let why = format!("{} can't be reached: {error}", self.options);
                    return Err(Failure { resume: Some(self.previous), ..Failure::passing(why) });
                }
            }
        }
        self.socket = Some(socket);
        (self.previous, self.at) = (batch.before, batch.after);
        Ok(taken)
    }

    async fn open(&self) -> Result<UdpSocket, Failure> {
        let Options { host, port } = &self.options;
        let failed = |error| Failure::passing(format!("{} can't be reached: {error}", self.options));
        let address = lookup_host((host.as_str(), *port)).await.map_err(failed)?.next();
        let address = address.ok_or_else(|| Failure::passing(format!("{host} has no address")))?;
        let from =
            if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { std::net::SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)) };
        let socket = UdpSocket::bind(from).await.map_err(failed)?;
        socket.connect(address).await.map_err(failed)?;
        Ok(socket)
    }
}
