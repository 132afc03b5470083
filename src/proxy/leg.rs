//! One connection of a session: its stream, in clear or TLS, and the octets that wait to be sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::net::intercept::Outgoing;

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    /// TLS with a client, the proxy being the server.
    Server(Box<server::TlsStream<TcpStream>>),
    /// TLS with an upstream.
    Client(Box<client::TlsStream<TcpStream>>),
}

impl Stream {
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Server(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Client(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Server(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Client(stream) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Server(stream) => Pin::new(stream).poll_flush(cx),
            Self::Client(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Server(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Client(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Stream {
    /// Sends all of it.
    pub async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = octets.get(sent..).filter(|rest| !rest.is_empty()) {
            sent += std::future::poll_fn(|cx| self.poll_write(cx, rest)).await?;
        }
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Reads what has come, at least one octet; 0: the peer has closed.
    pub async fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = ReadBuf::new(buffer);
        std::future::poll_fn(|cx| self.poll_read(cx, &mut read)).await?;
        Ok(read.filled().len())
    }
}

/// What becomes of a leg once everything gathered for it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterFlush {
    Nothing,
    StartTls,
    /// Its sending side is closed; it is still read.
    CloseSide,
    Close,
}

#[derive(Debug)]
pub(super) struct Leg {
    pub stream: Option<Stream>,
    pub after_flush: AfterFlush,
    unsent: Vec<u8>,
    sent: usize,
    needs_flush: bool,
    pub failed: bool,
    /// A write failed: the peer would take whatever came behind the hole for what goes on. It is read to its end, never written to.
    pub mute: bool,
    /// Where interception must know the connection again, as long as there is one.
    pub outgoing: Option<Outgoing>,
    /// Octets that the kernel has taken.
    pub written: u64,
}

/// From this size on, octets are written where they lie instead of being gathered first.
const DIRECT: usize = 8_192;

impl Leg {
    pub fn new(stream: Option<Stream>) -> Self {
        Self {
            stream,
            after_flush: AfterFlush::Nothing,
            unsent: Vec::new(),
            sent: 0,
            needs_flush: false,
            failed: false,
            mute: false,
            outgoing: None,
            written: 0,
        }
    }

    /// Nothing waits to be sent: the other leg may be read (back-pressure).
    pub fn is_clear(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Something is still to be done for the peer: octets to be sent, or the end to be said.
    pub fn is_busy(&self) -> bool {
        !self.is_clear() || (self.after_flush == AfterFlush::Close && self.stream.is_some())
    }

    /// Gathers octets; large pieces of a message go straight to the kernel if nothing is before them.
    pub fn gather(&mut self, octets: &[u8]) {
        if self.failed || self.mute {
            return;
        }
        let mut rest = octets;
        if rest.len() >= DIRECT
            && let Some(Stream::Plain(stream)) = &self.stream
        {
            if !self.unsent.is_empty() {
                self.unsent.extend_from_slice(rest);
                rest = b"";
                match stream.try_write(self.unsent.get(self.sent..).unwrap_or_default()) {
                    Ok(count) => {
                        self.written += count as u64;
                        self.advance(count);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => self.failed = true,
                }
            } else {
                match stream.try_write(rest) {
                    Ok(count) => {
                        self.written += count as u64;
                        rest = rest.get(count..).unwrap_or_default();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => self.failed = true,
                }
            }
        }
        self.unsent.extend_from_slice(rest);
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.unsent.len() {
            self.sent = 0;
            if self.unsent.capacity() > 4_096 {
                self.unsent = Vec::new(); // an idle session owns no large buffer
            } else {
                self.unsent.clear();
            }
        }
    }

    /// Sends what is gathered. Ready once all of it is with the kernel.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            self.unsent.clear();
            self.sent = 0;
            return Poll::Ready(Ok(()));
        };
        while self.sent < self.unsent.len() {
            match stream.poll_write(cx, self.unsent.get(self.sent..).unwrap_or_default()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.needs_flush = true;
                    self.sent += count;
                    self.written += count as u64;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.needs_flush {
            match stream.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.needs_flush = false,
                other => return other,
            }
        }
        if !self.unsent.is_empty() {
            self.advance(0);
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the sending side, all being sent. False: it isn't done yet.
    pub fn poll_close_side(&mut self, cx: &mut Context<'_>) -> bool {
        let closed = self.poll_shutdown(cx).is_ready();
        if closed {
            self.after_flush = AfterFlush::Nothing;
        }
        closed
    }

    /// Says the end to the peer; nobody is told where nothing may be written any more.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) if !self.mute => stream.poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Drops what waits to be sent, and whatever would be sent later; what the peer has said can still be read.
    pub fn silence(&mut self) {
        let (stream, outgoing) = (self.stream.take(), self.outgoing.take());
        *self = Self { mute: true, outgoing, ..Self::new(stream) };
    }

    /// Drops the connection and what waits for it.
    pub fn abort(&mut self) {
        *self = Self::new(None);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::net::intercept::{Manner, OwnTraffic, connect_as};

    #[tokio::test]
    async fn a_closed_leg_is_no_longer_the_proxys_own_traffic() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = Arc::new(OwnTraffic::default());
        let (stream, outgoing) = connect_as(address, Manner::default(), &own, Duration::from_secs(30)).await.unwrap();
        let local = stream.local_addr().unwrap();
        let mut leg = Leg::new(Some(Stream::Plain(stream)));
        leg.outgoing = Some(outgoing);
        assert!(own.check(local, address).is_err());
        leg.abort();
        assert!(own.check(local, address).is_ok());
    }

    #[tokio::test]
    async fn a_silenced_leg_is_read_and_never_written_to_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let mut leg = Leg::new(Some(Stream::Plain(stream)));
        leg.gather(b"before");
        leg.silence();
        leg.gather(b"behind");
        leg.gather(&[b'x'; DIRECT]);
        assert!(leg.is_clear());
        poll_fn(|cx| leg.poll_flush(cx)).await.unwrap();
        peer.write_all(b"221 bye").unwrap();
        let mut buffer = [0; 16];
        let count = leg.stream.as_mut().unwrap().receive(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"221 bye");
        leg.after_flush = AfterFlush::CloseSide;
        assert!(poll_fn(|cx| Poll::Ready(leg.poll_close_side(cx))).await);
        drop(leg);
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).unwrap();
        assert!(heard.is_empty(), "{heard:?}");
    }
}
