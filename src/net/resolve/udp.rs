//! UDP sockets connected to the DNS server: a server that isn't there is noticed at once (ICMP), not after the time-out,
//! and the kernel drops whatever comes from elsewhere.

use std::future::Future;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hickory_resolver::net::runtime::{DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use socket2::SockRef;
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

/// hickory's runtime with these sockets in it.
#[derive(Clone, Default)]
pub(super) struct Runtime(TokioRuntimeProvider);

type Pending<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for Runtime {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Connected;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(&self, server: SocketAddr, local: Option<SocketAddr>, timeout: Option<Duration>) -> Pending<Self::Tcp> {
        self.0.connect_tcp(server, local, timeout)
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Pending<Self::Udp> {
        Box::pin(async move {
            let socket = UdpSocket::bind(local).await?;
            socket.connect(server).await?;
            Ok(Connected { socket, server })
        })
    }
}

pub(super) struct Connected {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Connected {
    /// tokio's own `recv` doesn't wake for an error that comes without data, which is what a refusal is.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = || (&*SockRef::from(&self.socket)).read(buffer);
        self.socket.async_io(Interest::READABLE | Interest::ERROR, read).await
    }
}

impl DnsUdpSocket for Connected {
    type Time = TokioTime;

    fn recv_from<'socket, 'buffer, 'both>(
        &'socket self,
        buffer: &'buffer mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<(usize, SocketAddr)>> + Send + 'both>>
    where
        'socket: 'both,
        'buffer: 'both,
    {
        Box::pin(async move { Ok((self.receive(buffer).await?, self.server)) })
    }

    fn poll_recv_from(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.socket.poll_recv(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), self.server)))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, octets: &[u8], _: SocketAddr) -> Poll<io::Result<usize>> {
        self.socket.poll_send(cx, octets)
    }
}
