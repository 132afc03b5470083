//! The demo's smart host: a small SMTP server that plays the script.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::script::{Behaviour, RECIPIENTS, SENDERS, behaviour};
use crate::smtp::{Command, EndOfData, Found, PathCommand, Verb, next_line};

/// What the smart host announces in SIZE, and refuses beyond.
const SIZE_LIMIT: u64 = 10 << 20;
const COMMAND_LINE: usize = 4_096;
const RECIPIENTS_LIMIT: usize = 100;
const SESSIONS: usize = 200;
/// Greylisted pairs that are remembered.
const GREYLISTED: usize = 10_000;
/// RFC 5321 §4.5.3.2.7.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// How the smart host plays the script.
#[derive(Debug, Clone)]
pub struct SmartHostOptions {
    /// How long the slow address lets the client wait.
    pub slow: Duration,
    /// First characters of its queue ids, so that those of two runs differ.
    pub queue_id_prefix: String,
}

impl Default for SmartHostOptions {
    fn default() -> Self {
        let now = jiff::Timestamp::now().as_second();
        Self { slow: Duration::from_secs(3), queue_id_prefix: format!("{:06X}", now & 0xff_ffff) }
    }
}

/// Serves until dropped; its sessions end with it.
///
/// # Errors
/// The listener fails for good.
pub async fn smart_host(listener: TcpListener, options: SmartHostOptions) -> io::Result<()> {
    let host = Arc::new(Host { options, queued: AtomicU64::new(0), greylisted: Mutex::default() });
    let mut sessions = JoinSet::new();
    loop {
        while sessions.len() >= SESSIONS {
            sessions.join_next().await;
        }
        while sessions.try_join_next().is_some() {}
        let (stream, _) = listener.accept().await?;
        // Without it replies would wait for the client's acknowledgements; it fails only on a dead connection.
        let _ = stream.set_nodelay(true);
        let host = Arc::clone(&host);
        // A client that goes away ends its own session and nothing else.
        sessions.spawn(async move { Session::new(stream, host).run().await });
    }
}

/// What all sessions share.
struct Host {
    options: SmartHostOptions,
    queued: AtomicU64,
    greylisted: Mutex<HashSet<(Vec<u8>, Vec<u8>)>>,
}

impl Host {
    fn queue_id(&self) -> String {
        format!("{}{:04X}", self.options.queue_id_prefix, self.queued.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Whether this sender writes to this recipient for the first time.
    fn is_new(&self, sender: &[u8], recipient: &[u8]) -> bool {
        let mut greylisted = self.greylisted.lock().unwrap_or_else(PoisonError::into_inner);
        greylisted.len() < GREYLISTED && greylisted.insert((sender.to_vec(), recipient.to_vec()))
    }
}

enum Place {
    Commands,
    Data(EndOfData),
    Chunk { left: u64, last: bool },
}

/// Whether the session goes on.
#[derive(PartialEq)]
enum Next {
    Stay,
    Close,
}

struct Session<S> {
    stream: S,
    host: Arc<Host>,
    place: Place,
    unread: Vec<u8>,
    replies: Vec<u8>,
    reverse_path: Option<Vec<u8>>,
    recipients: usize,
    /// The worst that the recipients have in store for the message.
    worst: Behaviour,
    size: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn new(stream: S, host: Arc<Host>) -> Self {
        let (unread, replies) = (Vec::new(), Vec::new());
        Self { stream, host, place: Place::Commands, unread, replies, reverse_path: None, recipients: 0, worst: Behaviour::Accept, size: 0 }
    }

    async fn run(mut self) -> io::Result<()> {
        self.stream.write_all(b"220 smarthost.demo.example ESMTP demo smart host\r\n").await?;
        let mut piece = vec![0; 16 << 10];
        loop {
            let read = match timeout(IDLE, self.stream.read(&mut piece)).await {
                Ok(read) => read?,
                Err(_) => return self.stream.write_all(b"421 4.4.2 smarthost.demo.example timeout exceeded\r\n").await,
            };
            if read == 0 {
                return Ok(());
            }
            self.unread.extend_from_slice(piece.get(..read).unwrap_or_default());
            let next = self.take_in().await?;
            self.stream.write_all(&self.replies).await?;
            self.replies.clear();
            if next == Next::Close {
                return self.stream.shutdown().await;
            }
        }
    }

    /// Deals with all that has been read.
    async fn take_in(&mut self) -> io::Result<Next> {
        loop {
            match &mut self.place {
                Place::Commands => match next_line(&self.unread, COMMAND_LINE) {
                    Ok(None) => return Ok(Next::Stay),
                    Ok(Some(length)) => {
                        let line: Vec<u8> = self.unread.drain(..length).collect();
                        if self.command(line.trim_ascii_end()) == Next::Close {
                            return Ok(Next::Close);
                        }
                    }
                    Err(error) => {
                        self.say(error.reply());
                        self.say("\r\n");
                        return Ok(Next::Close);
                    }
                },
                Place::Data(scanner) => {
                    if self.worst == Behaviour::DropInMessage && !self.unread.is_empty() {
                        return Ok(Next::Close);
                    }
                    let scan = scanner.scan(&self.unread);
                    self.size = self.size.saturating_add(scan.used as u64);
                    self.unread.drain(..scan.used);
                    match scan.found {
                        Found::More => {
                            self.unread.clear();
                            return Ok(Next::Stay);
                        }
                        Found::LooseDot => {
                            self.say("554 5.6.0 Bare newline around a dot\r\n");
                            return Ok(Next::Close);
                        }
                        Found::End => {
                            self.place = Place::Commands;
                            if self.end_of_message().await? == Next::Close {
                                return Ok(Next::Close);
                            }
                        }
                    }
                }
                Place::Chunk { left, last } => {
                    if self.worst == Behaviour::DropInMessage {
                        return Ok(Next::Close);
                    }
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(self.unread.len());
                    *left -= taken as u64;
                    let (done, last) = (*left == 0, *last);
                    self.size = self.size.saturating_add(taken as u64);
                    self.unread.drain(..taken);
                    if !done {
                        return Ok(Next::Stay);
                    }
                    self.place = Place::Commands;
                    if self.recipients == 0 {
                        self.say("503 5.5.1 Need RCPT before BDAT\r\n");
                    } else if !last {
                        self.say("250 2.0.0 Chunk taken\r\n");
                    } else if self.end_of_message().await? == Next::Close {
                        return Ok(Next::Close);
                    }
                }
            }
        }
    }

    fn say(&mut self, reply: &str) {
        self.replies.extend_from_slice(reply.as_bytes());
    }

    fn reset(&mut self) {
        self.reverse_path = None;
        self.recipients = 0;
        self.worst = Behaviour::Accept;
        self.size = 0;
    }

    fn command(&mut self, line: &[u8]) -> Next {
        let command = Command::parse(line);
        match command.verb {
            Verb::Ehlo => {
                self.reset();
                self.say(&format!(
                    "250-smarthost.demo.example\r\n250-PIPELINING\r\n250-SIZE {SIZE_LIMIT}\r\n250-ENHANCEDSTATUSCODES\r\n\
                     250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n"
                ));
            }
            Verb::Helo => {
                self.reset();
                self.say("250 smarthost.demo.example\r\n");
            }
            Verb::Mail => return self.mail(command.argument),
            Verb::Rcpt => return self.rcpt(command.argument),
            Verb::Data if self.recipients == 0 => self.say("503 5.5.1 Need RCPT before DATA\r\n"),
            Verb::Data => {
                self.place = Place::Data(EndOfData::default());
                self.say("354 End data with <CR><LF>.<CR><LF>\r\n");
            }
            Verb::Bdat => match command.chunk() {
                // Refused or not, the octets come (RFC 3030 §2).
                Some((left, last)) => self.place = Place::Chunk { left, last },
                None => {
                    self.say("501 5.5.4 Syntax: BDAT size [LAST]\r\n");
                    return Next::Close;
                }
            },
            Verb::Rset => {
                self.reset();
                self.say("250 2.0.0 Ok\r\n");
            }
            Verb::Noop => self.say("250 2.0.0 Ok\r\n"),
            Verb::Vrfy => self.say("252 2.0.0 Send some mail, I'll try my best\r\n"),
            Verb::Quit => {
                self.say("221 2.0.0 Bye\r\n");
                return Next::Close;
            }
            _ => self.say("502 5.5.2 Command not recognized\r\n"),
        }
        Next::Stay
    }

    fn mail(&mut self, argument: &[u8]) -> Next {
        let Some(path) = PathCommand::parse(argument, b"FROM:") else {
            self.say("501 5.5.4 Syntax: MAIL FROM:<address>\r\n");
            return Next::Stay;
        };
        let size = path.value("SIZE").and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
        if self.reverse_path.is_some() {
            self.say("503 5.5.1 Nested MAIL command\r\n");
        } else if size.is_some_and(|size| size > SIZE_LIMIT) {
            self.say("552 5.3.4 Message size exceeds fixed limit\r\n");
        } else if let Behaviour::Refuse(reply) = behaviour(SENDERS, path.address) {
            self.say(reply);
        } else {
            self.reverse_path = Some(path.address.to_vec());
            self.say("250 2.1.0 Ok\r\n");
        }
        Next::Stay
    }

    fn rcpt(&mut self, argument: &[u8]) -> Next {
        let Some(sender) = &self.reverse_path else {
            self.say("503 5.5.1 Need MAIL before RCPT\r\n");
            return Next::Stay;
        };
        let Some(path) = PathCommand::parse(argument, b"TO:").filter(|path| !path.address.is_empty()) else {
            self.say("501 5.5.4 Syntax: RCPT TO:<address>\r\n");
            return Next::Stay;
        };
        match behaviour(RECIPIENTS, path.address) {
            Behaviour::Refuse(reply) => self.say(reply),
            Behaviour::Close(reply) => {
                self.say(reply);
                return Next::Close;
            }
            Behaviour::Greylist(reply) if self.host.is_new(sender, path.address) => self.say(reply),
            _ if self.recipients >= RECIPIENTS_LIMIT => self.say("452 4.5.3 Too many recipients\r\n"),
            behaviour => {
                self.worst = self.worst.max(behaviour);
                self.recipients += 1;
                self.say("250 2.1.5 Ok\r\n");
            }
        }
        Next::Stay
    }

    async fn end_of_message(&mut self) -> io::Result<Next> {
        let (worst, size) = (self.worst, self.size);
        self.reset();
        match worst {
            Behaviour::DropAfterMessage => return Ok(Next::Close),
            Behaviour::RefuseMessage(reply) => self.say(reply),
            _ if size > SIZE_LIMIT => self.say("552 5.3.4 Message size exceeds fixed limit\r\n"),
            _ => {
                if worst == Behaviour::Slow {
                    sleep(self.host.options.slow).await;
                }
                let reply = format!("250 2.0.0 Ok: queued as {}\r\n", self.host.queue_id());
                self.say(&reply);
            }
        }
        Ok(Next::Stay)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn host() -> Arc<Host> {
        let options = SmartHostOptions { slow: Duration::ZERO, queue_id_prefix: "DEMO".into() };
        Arc::new(Host { options, queued: AtomicU64::new(0), greylisted: Mutex::default() })
    }

    /// Sends everything at once, and everything octet by octet; both times the server must say the same.
    #[track_caller]
    fn check(client: &str, server: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for size in [usize::MAX, 1] {
            let said = runtime.block_on(async {
                let (mut ours, theirs) = duplex(1 << 16);
                let session = async move { Session::new(theirs, host()).run().await };
                let talk = async move {
                    for piece in client.as_bytes().chunks(size.min(client.len())) {
                        // The server may have hung up, which is what some of these are about.
                        if ours.write_all(piece).await.is_err() {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                    let _ = ours.shutdown().await;
                    let mut said = Vec::new();
                    ours.read_to_end(&mut said).await.unwrap();
                    String::from_utf8(said).unwrap()
                };
                let (_, said) = tokio::join!(session, talk);
                said
            });
            let said: Vec<&str> = said.split("\r\n").skip(1).map(|line| line.get(..9).unwrap_or(line)).collect();
            assert_eq!(said.join("|").trim_end_matches('|'), server, "{client:?} in pieces of {size}");
        }
    }

    #[test]
    fn takes_mail() {
        check(
            "HELO a\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\nSubject: a\r\n\r\n..dot\r\n.\r\nNOOP\r\nQUIT\r\n",
            "250 smart|250 2.1.0|250 2.1.5|354 End d|250 2.0.0|250 2.0.0|221 2.0.0",
        );
        check(
            "MAIL FROM:<>\r\nRCPT TO:<b@y.example>\r\nBDAT 3\r\na\r\nBDAT 0 LAST\r\nQUIT\r\n",
            "250 2.1.0|250 2.1.5|250 2.0.0|250 2.0.0|221 2.0.0",
        );
    }

    #[test]
    fn refuses_by_script() {
        check(
            "MAIL FROM:<a@x>\r\nRCPT TO:<unknown@y>\r\nRCPT TO:<full@y>\r\nRCPT TO:<limit@y>\r\nDATA\r\n",
            "250 2.1.0|550 5.1.1|452 4.2.2|451 4.7.1|503 5.5.1",
        );
        check("MAIL FROM:<a@x>\r\nRCPT TO:<greylist@y>\r\nRCPT TO:<greylist@y>\r\n", "250 2.1.0|450 4.7.1|250 2.1.5");
        check("MAIL FROM:<busy@x>\r\nMAIL FROM:<stranger@x>\r\nMAIL FROM:<a@x> SIZE=99999999\r\n", "451 4.3.2|553 5.7.1|552 5.3.4");
        check(
            "MAIL FROM:<a@x>\r\nRCPT TO:<spam@y>\r\nRCPT TO:<slow@y>\r\nDATA\r\na\r\n.\r\nRSET\r\n",
            "250 2.1.0|250 2.1.5|250 2.1.5|354 End d|554 5.7.1|250 2.0.0",
        );
        check("MAIL FROM:<a@x>\r\nRCPT TO:<closing@y>\r\nRCPT TO:<b@y>\r\n", "250 2.1.0|421 4.3.2");
    }

    #[test]
    fn hangs_up_by_script() {
        check("MAIL FROM:<a@x>\r\nRCPT TO:<drop@y>\r\nDATA\r\na\r\n.\r\nNOOP\r\n", "250 2.1.0|250 2.1.5|354 End d");
        check("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nRCPT TO:<hangup@y>\r\nDATA\r\na\r\n.\r\n", "250 2.1.0|250 2.1.5|250 2.1.5|354 End d");
    }

    #[test]
    fn refuses_what_is_out_of_order() {
        check(
            "RCPT TO:<b@y>\r\nDATA\r\nMAIL TO:<b>\r\nMAIL FROM:<a@x>\r\nMAIL FROM:<a@x>\r\nRCPT TO:<>\r\n",
            "503 5.5.1|503 5.5.1|501 5.5.4|250 2.1.0|503 5.5.1|501 5.5.4",
        );
        check("NO\nOP\r\n", "500 5.5.2");
        check("BDAT 2 LAST\r\nxyNOOP\r\nBDAT x\r\n", "503 5.5.1|250 2.0.0|501 5.5.4");
    }
}
