//! One connection to a mail server: a command and a reply at a time, each with a limit of time.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::net::connect::{ConnectError, connect};
use crate::net::intercept::{Manner, OwnTraffic, connect_as};
use crate::net::resolve::Tlsa;
use crate::net::tls::{ClientTls, TlsFacts};
use crate::relay::recorder::reply_of;
use crate::smtp::{Extensions, ReplyScanner, ReplyView, Stage};
use crate::trace::Reply;

/// Octets of one reply line, and lines of one reply.
const REPLY_LINE: usize = 4_096;
const REPLY_LINES: usize = 256;

trait Octets: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Octets for T {}

/// A conversation with a server. Dropping it closes the connection.
pub struct Dialogue {
    stream: Box<dyn Octets>,
    scanner: ReplyScanner,
    unread: Vec<u8>,
    pub peer: SocketAddr,
    /// For each single wait.
    pub patience: Duration,
    /// Of the handshake, if there was one.
    pub tls: Option<TlsFacts>,
}

/// Why a dialogue went no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub stage: Stage,
    /// What happened, in words that go behind the server's name: "refused it with 550 …", "closed the connection".
    pub words: String,
    /// What the server said, if it said no.
    pub reply: Option<Reply>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

/// What makes a certificate good enough to go on.
enum By<'a> {
    Anything { host: &'a str },
    Dane { base_domain: &'a str, names: &'a [&'a str], records: &'a [Tlsa] },
}

/// What a server said to EHLO.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// Keyword lines as they came, the first line apart.
    pub lines: Vec<String>,
    pub extensions: Extensions,
}

/// A reply in one line: "550 5.1.1 No such user / try again".
pub fn in_words(reply: &Reply) -> String {
    format!("{} {}", reply.code, reply.lines.join(" / ")).trim_end().to_owned()
}

impl Dialogue {
    /// Opens a connection. Nothing is read yet. `mark`: set on each packet, so that the packet filter lets it pass.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn open(peer: SocketAddr, mark: Option<u32>, patience: Duration) -> Result<Self, ConnectError> {
        let stream = match mark {
            None => connect(peer, patience).await?,
            Some(_) => connect_as(peer, Manner { source: None, mark }, &Arc::new(OwnTraffic::default()), patience).await?.0,
        };
        Ok(Self { stream: Box::new(stream), scanner: ReplyScanner::default(), unread: Vec::new(), peer, patience, tls: None })
    }

    /// The next reply, whatever its code.
    ///
    /// # Errors
    /// It doesn't come, or isn't one.
    pub async fn reply(&mut self, stage: Stage) -> Result<Reply, Trouble> {
        self.octets(stage).await.map(|octets| reply_of(&ReplyView::new(&octets)))
    }

    /// The next reply, if it has that code.
    ///
    /// # Errors
    /// It doesn't come, isn't one, or says something else.
    pub async fn expect(&mut self, stage: Stage, code: u16) -> Result<Reply, Trouble> {
        let reply = self.reply(stage).await?;
        if reply.code == code {
            return Ok(reply);
        }
        Err(Trouble { stage, words: format!("answered {}", in_words(&reply)), reply: Some(reply) })
    }

    /// A command, without its CRLF, and its reply.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn say(&mut self, stage: Stage, command: &str) -> Result<Reply, Trouble> {
        self.send(stage, format!("{command}\r\n").as_bytes()).await?;
        self.reply(stage).await
    }

    /// Octets as they are.
    ///
    /// # Errors
    /// The connection breaks.
    pub async fn send(&mut self, stage: Stage, octets: &[u8]) -> Result<(), Trouble> {
        let sending = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        match tokio::time::timeout(self.patience, sending).await {
            Ok(sent) => sent.map_err(|error| broken(stage, &error)),
            Err(_) => Err(self.silent(stage)),
        }
    }

    /// `verb` is EHLO or LHLO.
    ///
    /// # Errors
    /// It is refused, or the connection breaks.
    pub async fn greet(&mut self, verb: &str, name: &str) -> Result<Offer, Trouble> {
        let stage = Stage::Ehlo;
        self.send(stage, format!("{verb} {name}\r\n").as_bytes()).await?;
        let octets = self.octets(stage).await?;
        let view = ReplyView::new(&octets);
        let reply = reply_of(&view);
        if reply.code != 250 {
            return Err(Trouble { stage, words: format!("refused {verb} {name}: {}", in_words(&reply)), reply: Some(reply) });
        }
        Ok(Offer { extensions: Extensions::read(&view), lines: reply.lines.into_iter().skip(1).collect() })
    }

    /// Shakes hands; whatever the certificate is, what it is worth is in [`Dialogue::tls`].
    ///
    /// # Errors
    /// There is no TLS with this server.
    pub async fn secure(self, tls: &ClientTls, host: &str) -> Result<Self, Trouble> {
        self.handshake(tls, &By::Anything { host }).await
    }

    /// Shakes hands as [`ClientTls::handshake_dane`] does.
    ///
    /// # Errors
    /// There is no TLS with this server, or no record vouches for its certificate.
    pub async fn secure_by_dane(self, tls: &ClientTls, base_domain: &str, names: &[&str], records: &[Tlsa]) -> Result<Self, Trouble> {
        self.handshake(tls, &By::Dane { base_domain, names, records }).await
    }

    async fn handshake(self, tls: &ClientTls, by: &By<'_>) -> Result<Self, Trouble> {
        let trouble = |words| Trouble { stage: Stage::StartTls, words, reply: None };
        if !self.unread.is_empty() {
            // RFC 3207 §4.2, CVE-2021-22947.
            return Err(trouble("sent octets in clear behind its consent to TLS: somebody on the way may have put them there".to_owned()));
        }
        let Self { stream, peer, patience, .. } = self;
        let handshake = async {
            match by {
                By::Anything { host } => tls.handshake(stream, host, true).await,
                By::Dane { base_domain, names, records } => tls.handshake_dane(stream, base_domain, names, records).await,
            }
        };
        match tokio::time::timeout(patience, handshake).await {
            Ok(Ok((stream, facts))) => {
                let (scanner, unread) = (ReplyScanner::default(), Vec::new());
                Ok(Self { stream: Box::new(stream), scanner, unread, tls: Some(facts), peer, patience })
            }
            Ok(Err(error)) => Err(trouble(error.to_string())),
            Err(_) => Err(trouble(format!("made no TLS handshake within {}", seconds(patience)))),
        }
    }

    /// Says QUIT, and waits a little for its reply. What it says changes nothing.
    pub async fn quit(mut self) {
        self.patience = self.patience.min(Duration::from_secs(2));
        let _ = self.say(Stage::Quit, "QUIT").await;
    }

    /// What comes, until there are so many octets, or the peer closes or says no more.
    pub async fn at_least(&mut self, count: usize) -> Vec<u8> {
        let (mut heard, until) = (std::mem::take(&mut self.unread), Instant::now() + self.patience);
        while heard.len() < count {
            let mut buffer = [0; 512];
            let left = until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.stream.read(&mut buffer)).await {
                Ok(Ok(read)) if read > 0 => heard.extend_from_slice(buffer.get(..read).unwrap_or_default()),
                _ => break,
            }
        }
        heard
    }

    /// Whatever comes within `wait` until the peer closes: for what isn't asked for.
    pub async fn rest(&mut self, wait: Duration) -> Vec<u8> {
        let (mut heard, until) = (std::mem::take(&mut self.unread), Instant::now() + wait);
        while heard.len() < 64 * REPLY_LINE {
            let mut buffer = [0; 4_096];
            let left = until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.stream.read(&mut buffer)).await {
                Ok(Ok(count)) if count > 0 => heard.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                _ => break,
            }
        }
        heard
    }

    async fn octets(&mut self, stage: Stage) -> Result<Vec<u8>, Trouble> {
        let until = Instant::now() + self.patience;
        loop {
            let found = self.scanner.next(&self.unread, REPLY_LINE, REPLY_LINES);
            if let Some(length) = found.map_err(|error| Trouble { stage, words: format!("sent what is no reply: {error}"), reply: None })? {
                return Ok(self.unread.drain(..length.min(self.unread.len())).collect());
            }
            let mut buffer = [0; 4_096];
            let left = until.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.stream.read(&mut buffer)).await {
                Ok(Ok(0)) => return Err(Trouble { stage, words: "closed the connection".to_owned(), reply: None }),
                Ok(Ok(count)) => self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Ok(Err(error)) => return Err(broken(stage, &error)),
                Err(_) => return Err(self.silent(stage)),
            }
        }
    }

    fn silent(&self, stage: Stage) -> Trouble {
        Trouble { stage, words: format!("said nothing for {}", seconds(self.patience)), reply: None }
    }
}

fn broken(stage: Stage, error: &io::Error) -> Trouble {
    let words = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "broke the connection off".to_owned(),
        _ => format!("can't be heard any more: {error}"),
    };
    Trouble { stage, words, reply: None }
}

/// "5 s", "2.5 s".
pub fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}
