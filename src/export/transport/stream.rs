//! Syslog and GELF messages over TCP or TLS: nothing is acknowledged, so the trail tells how far to go back when the connection ends.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::doubt::{Doubt, Life, STEADY};
use super::syslog::{Framing, Header, Writer};
use super::trail::Trail;
use super::{Failure, Taken, gelf};
use crate::export::batch::Batch;
use crate::net::tls::ClientTls;
use crate::store::Cursor;

/// Octets of events sent at a time: they are made, framed, encrypted and handed to the kernel while they are in the processor's cache.
pub(super) const HANDFUL: usize = 64 << 10;
/// Connecting and shaking hands take no longer.
const CONNECT: Duration = Duration::from_secs(15);
/// A batch that isn't taken for so long isn't taken at all.
const STALLED: Duration = Duration::from_secs(60);
/// The receiver's own end is awaited so long, when this side ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// The end of a receiver that may want a connection for each event is awaited so long before the next one.
const CAUTION: Duration = Duration::from_millis(100);

/// Where to.
#[derive(Debug, Clone)]
pub struct Options {
    pub host: String,
    pub port: u16,
    pub tls: Option<ClientTls>,
    /// Syslog's; GELF has one of its own.
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
pub(super) trait Octets: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Octets for T {}

#[derive(Debug)]
struct Connection {
    reader: ReadHalf<Box<dyn Octets>>,
    writer: WriteHalf<Box<dyn Octets>>,
}

/// When what happened on a connection.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// Where it began in the journal.
    began: Cursor,
    connected: Instant,
    /// When the last that was sent on it was sent; first when that could begin.
    sent: Instant,
}

/// How a connection ended.
#[derive(Debug)]
enum Ended {
    /// The receiver closed in order.
    Closed,
    Lost(io::Error),
}

/// A receiver of messages over a stream.
#[derive(Debug)]
pub struct Stream {
    options: Options,
    /// Of syslog's messages; without one, events are GELF.
    writer: Option<Writer>,
    trail: Trail,
    connection: Option<Connection>,
    /// Framed messages of the batch that is being sent.
    framed: Vec<u8>,
    doubt: Doubt,
    times: Times,
    /// A batch is under way; still so at the end if it was cut off.
    is_sending: bool,
}

impl Stream {
    pub fn new(options: Options, header: Option<Header>, at: Cursor) -> Self {
        let (writer, trail, now) = (header.as_ref().map(Writer::new), Trail::starts_at(at), Instant::now());
        let times = Times { began: at, connected: now, sent: now };
        Self { options, writer, trail, connection: None, framed: Vec::new(), doubt: Doubt::default(), times, is_sending: false }
    }

    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        self.framed.clear();
        for (event, octets) in batch.iter() {
            match &mut self.writer {
                Some(writer) => writer.frame(event, octets, self.options.framing, &mut self.framed).map_err(Failure::passing)?,
                None => gelf::frame(octets, &mut self.framed),
            }
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = self.connect().await?;
                let now = Instant::now();
                self.times = Times { began: batch.before, connected: now, sent: now };
                self.watched(connection, batch.before).await?
            }
        };
        self.is_sending = true;
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
        self.is_sending = false;
        // Whatever became of it, some of it may have arrived; and a receiver that was slow to take it hasn't had it for long.
        self.trail.sent(batch.before, batch.after, self.framed.len() as u64, Instant::now());
        if let Err(ended) = done {
            return Err(self.ended(ended));
        }
        self.times.sent = Instant::now();
        if self.doubt.is_often() && self.times.connected.elapsed() < STEADY {
            // Its end is awaited before the next event. When it comes in order, all that was sent has been read.
            match tokio::time::timeout(CAUTION, end_of(&mut connection.reader)).await {
                Ok(Ended::Closed) => return self.closed_after(batch),
                Ok(ended) => return Err(self.ended(ended)),
                Err(_) => {}
            }
        }
        self.connection = Some(connection);
        Ok(Taken::default())
    }

    /// A new connection to a receiver whose connections soon ended, once it has lasted longer than they did.
    async fn watched(&mut self, mut connection: Connection, before: Cursor) -> Result<Connection, Failure> {
        let Some(watch) = self.doubt.watch() else { return Ok(connection) };
        let Ok(ended) = tokio::time::timeout(watch, end_of(&mut connection.reader)).await else {
            self.doubt.passed(watch);
            self.times.sent = Instant::now();
            return Ok(connection);
        };
        let resume = self.doubt.ended_in_silence(before, self.times.connected.elapsed());
        self.trail.unread_from(resume);
        let how = match ended {
            Ended::Closed => "closes connections".to_owned(),
            Ended::Lost(error) => format!("breaks connections ({error})"),
        };
        let why = format!("{} {how} before anything is sent: is there a balancer or tunnel with no receiver behind it?", self.options);
        Err(Failure { resume: Some(resume), ..Failure::passing(why) })
    }

    /// The receiver ended the connection right after a batch.
    fn closed_after(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        if let Some(resume) = self.doubt.ended(self.life()) {
            return Err(self.unread_from(resume));
        }
        self.trail.all_read();
        self.doubt.go_to(batch.after);
        self.warn_of_age();
        if self.doubt.tells() {
            tracing::warn!(
                to = %self.options,
                "the receiver closes the connection after each event; were it a balancer that has nobody to pass events on to, they would be lost"
            );
        }
        Ok(Taken::default())
    }

    fn warn_of_age(&mut self) {
        if self.doubt.tells_age()
            && let Some(age) = self.doubt.age()
        {
            tracing::error!(to = %self.options, "{}", ends_at(age));
        }
    }

    fn life(&self) -> Life {
        let Times { began, connected, sent } = self.times;
        Life { began, lasted: connected.elapsed(), idle: sent.elapsed() }
    }

    fn unread_from(&mut self, resume: Cursor) -> Failure {
        self.trail.unread_from(resume);
        let why = format!("the receiver closed the connection after {} ms", self.times.connected.elapsed().as_millis());
        Failure { resume: Some(resume), ..Failure::passing(why) }
    }

    /// Events that are sent together.
    pub fn most(&self) -> usize {
        let is_young = self.connection.is_none() || self.times.connected.elapsed() < STEADY;
        if self.doubt.is_often() && is_young { 1 } else { usize::MAX }
    }

    /// Where to go on when a connection has ended.
    fn ended(&mut self, ended: Ended) -> Failure {
        self.connection = None;
        let (now, life) = (Instant::now(), self.life());
        let (why, resume) = match ended {
            Ended::Closed => match self.doubt.ended(life) {
                Some(resume) => return self.unread_from(resume),
                None => {
                    self.warn_of_age();
                    let why = match self.doubt.age() {
                        Some(age) => ends_at(age),
                        None => "the receiver closed the connection".to_owned(),
                    };
                    (why, self.trail.after_close(now))
                }
            },
            Ended::Lost(error) => {
                let (unread, resume) = (self.doubt.lost(life), self.trail.after_reset(now));
                (format!("the connection was lost: {error}"), unread.unwrap_or(resume))
            }
        };
        self.trail.goes_on_at(resume);
        self.doubt.go_to(resume);
        Failure { resume: Some(resume), ..Failure::passing(why) }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let connecting = tokio::time::timeout(CONNECT, self.connected()).await;
        connecting.unwrap_or_else(|_| Err(Failure::passing(format!("no connection within {} s", CONNECT.as_secs()))))
    }

    async fn connected(&self) -> Result<Connection, Failure> {
        let Options { host, port, tls, .. } = &self.options;
        let stream = open(host, *port, tls.as_ref(), &self.options.to_string()).await.map_err(Failure::passing)?;
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
        self.times.began = at;
        self.doubt.go_to(at);
    }

    /// Whether it isn't known that the receiver reads anything.
    pub fn is_doubtful(&self) -> bool {
        self.doubt.unread().is_some() && (self.connection.is_none() || self.times.connected.elapsed() < STEADY)
    }

    pub fn safe(&self, now: Instant) -> Cursor {
        if self.connection.is_some() && self.times.connected.elapsed() < STEADY {
            // Were it to end now, it would be doubted.
            return self.doubt.unread().unwrap_or(self.times.began);
        }
        let unread = self.doubt.unread().filter(|_| self.connection.is_none());
        unread.unwrap_or_else(|| self.trail.safe(now))
    }

    /// Says that nothing more comes, and waits for the receiver's own end: then it has read everything. Of one that doesn't end nobody knows
    /// what it has read, so that what kernels may hold is sent again.
    pub async fn finish(&mut self) {
        let Some(Connection { mut reader, mut writer }) = self.connection.take() else {
            if self.is_sending {
                self.trail.after_reset(Instant::now());
            }
            return;
        };
        let is_doubtful = self.doubt.unread().is_some() && self.times.connected.elapsed() < STEADY;
        let farewell = async {
            writer.shutdown().await?;
            match end_of(&mut reader).await {
                Ended::Closed => Ok(()),
                Ended::Lost(error) => Err(error),
            }
        };
        match tokio::time::timeout(FAREWELL, farewell).await {
            Ok(Ok(())) if !is_doubtful => self.trail.all_read(),
            _ => drop(self.trail.after_reset(Instant::now())),
        }
    }
}

/// What is to be known of a receiver that is believed although nobody may be there.
fn ends_at(age: Duration) -> String {
    let age = age.as_millis();
    format!(
        "the receiver ends each connection after about {age} ms, whatever is sent on it; it is sent to all the same, and were it a balancer with nobody behind it, events are being lost"
    )
}

/// Connects to what is shown as `shown`, and shakes hands if that is wanted. Sets no time limit. `Err` says what went wrong.
pub(super) async fn open(host: &str, port: u16, tls: Option<&ClientTls>, shown: &str) -> Result<Box<dyn Octets>, String> {
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| format!("{shown} can't be reached: {error}"))?;
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(&stream);
    // A receiver that vanished is found out although it says nothing.
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(STALLED).with_interval(CONNECT));
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(STALLED));
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let secured = tls.handshake(stream, host, false).await;
            Ok(Box::new(secured.map_err(|error| format!("TLS with {shown} failed: {error}"))?.0))
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
