//! Syslog messages over TCP or TLS: nothing is acknowledged, so the trail tells how far to go back when the connection ends.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::syslog::{Framing, Header, Writer};
use super::trail::Trail;
use super::{Failure, FailureKind, Taken};
use crate::export::batch::Batch;
use crate::net::tls::ClientTls;
use crate::store::Cursor;

/// Connecting and shaking hands take no longer.
const CONNECT: Duration = Duration::from_secs(15);
/// A batch that isn't taken for so long isn't taken at all.
const STALLED: Duration = Duration::from_secs(60);
/// The receiver's own end is awaited so long, when this side ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// Between events to a receiver that closes in the middle of things.
const CAUTION: Duration = Duration::from_millis(100);

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    pub host: String,
    pub port: u16,
    pub tls: Option<ClientTls>,
    pub framing: Framing,
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "tls" } else { "tcp" };
        if self.host.contains(':') {
            return write!(f, "{scheme}://[{}]:{}", self.host, self.port);
        }
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Anything octets can be read from and written to.
trait Octets: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Octets for T {}

#[derive(Debug)]
struct Connection {
    reader: ReadHalf<Box<dyn Octets>>,
    writer: WriteHalf<Box<dyn Octets>>,
}

/// How a connection ended.
#[derive(Debug)]
enum Ended {
    /// The receiver closed in order.
    Closed,
    Lost(io::Error),
}

/// A receiver of syslog over a stream.
#[derive(Debug)]
pub struct Stream {
    options: Options,
    writer: Writer,
    trail: Trail,
    connection: Option<Connection>,
    /// Framed messages of the batch that is being sent.
    framed: Vec<u8>,
    /// Ends of connections since one last took two batches.
    ends: u32,
    batches: u32,
}

impl Stream {
    pub fn new(options: Options, header: Header, at: Cursor) -> Self {
        let (writer, trail) = (Writer::new(&header), Trail::starts_at(at));
        Self { options, writer, trail, connection: None, framed: Vec::new(), ends: 0, batches: 0 }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        self.framed.clear();
        for (event, octets) in batch.iter() {
            self.writer.frame(event, octets, self.options.framing, &mut self.framed).map_err(Failure::passing)?;
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let sent_at = Instant::now();
        let Connection { reader, writer } = &mut connection;
        let write = async {
            writer.write_all(&self.framed).await?;
            writer.flush().await
        };
        let done = tokio::select! {
            biased;
            ended = end_of(reader) => Err(ended),
            written = tokio::time::timeout(STALLED, write) => match written {
                Ok(written) => written.map_err(Ended::Lost),
                Err(_) => Err(Ended::Lost(io::Error::new(io::ErrorKind::TimedOut, format!("it takes nothing for {} s", STALLED.as_secs())))),
            },
        };
        // Whatever became of it, some of it may have arrived.
        self.trail.sent(batch.before, batch.after, self.framed.len() as u64, sent_at);
        if let Err(ended) = done {
            return Err(self.ended(ended));
        }
        if self.ends >= 3 && batch.events().len() == 1 {
            // A receiver that closes after each event: its end is awaited before the next one.
            if let Ok(ended) = tokio::time::timeout(CAUTION, end_of(&mut connection.reader)).await {
                return Err(self.ended(ended));
            }
        }
        self.batches = self.batches.saturating_add(1);
        if self.batches > 1 {
            self.ends = 0;
        }
        self.connection = Some(connection);
        Ok(Taken::default())
    }

    /// Where to go on when a connection has ended.
    fn ended(&mut self, ended: Ended) -> Failure {
        self.connection = None;
        self.ends = self.ends.saturating_add(1);
        self.batches = 0;
        let now = Instant::now();
        let (why, resume) = match ended {
            Ended::Closed => ("the receiver closed the connection".to_owned(), self.trail.after_close(now)),
            // One event at a time was closed upon: it is the receiver's habit, and what it has read it has read.
            Ended::Lost(error) if self.ends > 6 => (format!("the connection was lost: {error}"), self.trail.after_close(now)),
            Ended::Lost(error) => (format!("the connection was lost: {error}"), self.trail.after_reset(now)),
        };
        let kind = if self.ends >= 3 { FailureKind::CutOff } else { FailureKind::Passing };
        Failure { why, kind, retry_after: None, resume: Some(resume) }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let connecting = tokio::time::timeout(CONNECT, self.connected()).await;
        connecting.unwrap_or_else(|_| Err(Failure::passing(format!("no connection within {} s", CONNECT.as_secs()))))
    }

    async fn connected(&self) -> Result<Connection, Failure> {
        let Options { host, port, tls, .. } = &self.options;
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.map_err(|error| Failure::passing(format!("{} can't be reached: {error}", self.options)))?;
        let _ = stream.set_nodelay(true);
        let socket = SockRef::from(&stream);
        // A receiver that vanished is found out although it says nothing.
        let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(STALLED).with_interval(CONNECT));
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(STALLED));
        let stream: Box<dyn Octets> = match tls {
            None => Box::new(stream),
            Some(tls) => {
                let secured = tls.handshake(stream, host, false).await;
                Box::new(secured.map_err(|error| Failure::passing(format!("TLS with {} failed: {error}", self.options)))?.0)
            }
        };
        let (reader, writer) = tokio::io::split(stream);
        Ok(Connection { reader, writer })
    }

    pub async fn attend(&mut self) -> Failure {
        match &mut self.connection {
            Some(connection) => {
                let ended = end_of(&mut connection.reader).await;
                self.ended(ended)
            }
            None => std::future::pending().await,
        }
    }

    pub fn pass(&mut self, after: Cursor) {
        self.trail.sent(after, after, 0, Instant::now());
    }

    pub fn restart(&mut self, at: Cursor) {
        self.trail = Trail::starts_at(at);
    }

    pub fn safe(&self, now: Instant) -> Cursor {
        self.trail.safe(now)
    }

    /// Says that nothing more comes, and waits for the receiver's own end: then it has read everything.
    pub async fn finish(&mut self) {
        let Some(Connection { mut reader, mut writer }) = self.connection.take() else { return };
        let farewell = async {
            writer.shutdown().await?;
            match end_of(&mut reader).await {
                Ended::Closed => Ok(()),
                Ended::Lost(error) => Err(error),
            }
        };
        if let Ok(Ok(())) = tokio::time::timeout(FAREWELL, farewell).await {
            self.trail.all_read();
        }
    }
}

/// Reads what a receiver has no business to say, until it ends.
async fn end_of(reader: &mut ReadHalf<Box<dyn Octets>>) -> Ended {
    let mut octets = [0; 512];
    loop {
        match reader.read(&mut octets).await {
            Ok(0) => return Ended::Closed,
            Ok(_) => {}
            // A receiver that closes without TLS's own farewell has closed all the same: with octets unread, TCP would say so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ended::Closed,
            Err(error) => return Ended::Lost(error),
        }
    }
}
