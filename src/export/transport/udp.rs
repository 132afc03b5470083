//! Syslog over UDP (RFC 5426), one event a datagram, and GELF over UDP; nobody knows whether it arrives.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::{UdpSocket, lookup_host};

use super::gelf::Chunker;
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

impl Options {
    /// Sends one datagram; `false` if it is too big. `previous` is where the batch before began.
    async fn send(&self, previous: Cursor, socket: &UdpSocket, datagram: &[u8]) -> Result<bool, Failure> {
        match socket.send(datagram).await {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) => Ok(false),
            Err(error) => {
                // ICMP answers to datagrams that were sent before.
                let why = format!("{self} can't be reached: {error}");
                Err(Failure { resume: Some(previous), ..Failure::passing(why) })
            }
        }
    }
}

/// What an event becomes.
#[derive(Debug)]
enum Form {
    Syslog(Writer),
    Gelf(Chunker),
}

/// A receiver of datagrams.
#[derive(Debug)]
pub struct Udp {
    options: Options,
    form: Form,
    socket: Option<UdpSocket>,
    pub at: Cursor,
    /// Where the batch before began: a refusal is heard of too late.
    previous: Cursor,
}

impl Udp {
    pub fn syslog(options: Options, header: &Header, at: Cursor) -> Self {
        Self { options, form: Form::Syslog(Writer::new(header)), socket: None, at, previous: at }
    }

    pub fn gelf(options: Options, gzip: bool, at: Cursor) -> Self {
        Self { options, form: Form::Gelf(Chunker::new(gzip)), socket: None, at, previous: at }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.open().await?,
        };
        // What doesn't fit is the event's own fault, however many follow each other.
        let mut taken = Taken { nothing: Some(false), ..Taken::default() };
        for (number, (event, octets)) in batch.iter().enumerate() {
            let too_big = |octets: usize, what: &str| (number, format!("{octets} octets don't fit into {what}: lower max_event"));
            match &mut self.form {
                Form::Syslog(writer) => {
                    let message = writer.message(event, octets).map_err(Failure::passing)?;
                    if !self.options.send(self.previous, &socket, message).await? {
                        taken.refused.push(too_big(message.len(), "a datagram"));
                    }
                }
                Form::Gelf(chunker) => match chunker.datagrams(event.meta.id, octets).map_err(Failure::passing)? {
                    None => taken.refused.push(too_big(octets.len(), "128 chunks")),
                    Some(datagrams) => {
                        for datagram in datagrams {
                            if !self.options.send(self.previous, &socket, &datagram).await? {
                                taken.refused.push(too_big(datagram.len(), "a datagram"));
                                break;
                            }
                        }
                    }
                },
            }
        }
        self.socket = Some(socket);
        (self.previous, self.at) = (batch.before, batch.after);
        Ok(taken)
    }

    /// Begins at another place. What an old socket has heard of older datagrams doesn't count any more.
    pub fn restart(&mut self, at: Cursor) {
        (self.at, self.previous, self.socket) = (at, at, None);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::format::{Context, Encoder, Format};
    use crate::trace::{Gap, Record, RecordId};

    fn batch(number: u32) -> Batch {
        let at = |number: u32| -> Cursor { format!("2026-11-27.{number}").parse().unwrap() };
        let gap = Gap { id: RecordId::from_parts(1, 1), from: 1, until: 2, records_lost: 1, why: "a test".to_owned() };
        let (mut batch, mut encoder) = (Batch::new(at(number)), Encoder::new(Format::Gelf, Context::new("node")));
        batch.add(at(number + 1), |out| encoder.encode(&Record::Gap(gap), out));
        batch
    }

    #[tokio::test]
    async fn what_was_heard_of_older_datagrams_doesnt_undo_a_replay() {
        // Nobody listens at first: the answer comes back to the socket that sent.
        let there = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = there.local_addr().unwrap().port();
        drop(there);
        let options = Options { host: "127.0.0.1".to_owned(), port };
        let mut udp = Udp::gelf(options, false, "2026-11-27.5".parse().unwrap());
        udp.send(&batch(5)).await.unwrap();
        let there = std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
        udp.restart("2026-11-27.0".parse().unwrap());
        udp.send(&batch(0)).await.unwrap();
        let mut octets = [0; 2_048];
        assert!(there.recv(&mut octets).unwrap() > 0);
    }

    #[tokio::test]
    async fn what_no_datagram_holds_is_no_refusal_of_the_receiver() {
        let there = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let options = Options { host: "127.0.0.1".to_owned(), port: there.local_addr().unwrap().port() };
        let mut udp = Udp::gelf(options, false, "2026-11-27.0".parse().unwrap());
        let (small, mut big) = (batch(0), Batch::new("2026-11-27.1".parse().unwrap()));
        let meta = small.events().first().map(|event| event.meta);
        big.add("2026-11-27.2".parse().unwrap(), |out| {
            out.resize(2 << 20, b'x');
            meta
        });
        let taken = udp.send(&big).await.unwrap();
        assert_eq!((taken.refused(), taken.is_nothing(1)), (1, false));
    }
}
