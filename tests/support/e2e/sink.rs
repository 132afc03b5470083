//! A smart host of our own: keeps what it took to the octet, and misbehaves on demand.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Contents longer than this are kept as digests only.
const KEPT: usize = 1 << 20;

/// What the sink does to those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything.
    Take,
    /// Speaks no SMTP.
    Garbage,
    /// Closes after its 354.
    CloseInData,
    /// Takes the message, and closes instead of the final reply.
    CloseAfterDot,
    /// Takes the message, and replies only once released.
    Hold,
}

/// A message whose end the sink has seen.
#[derive(Debug, Clone)]
pub struct Taken {
    pub reverse_path: String,
    pub recipients: Vec<String>,
    /// As on the wire: still dot-stuffed if it came with DATA.
    pub wire_octets: usize,
    pub wire_digest: String,
    /// As meant: dot-stuffing removed.
    pub content_octets: usize,
    pub content_digest: String,
    /// Empty if it was too long to keep.
    pub content: Vec<u8>,
    pub queue_id: String,
}

pub struct Sink {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    manner: Manner,
    taken: VecDeque<Taken>,
    connections: usize,
    /// Connections that wait for a release now.
    held: usize,
    closing: bool,
}

/// Sinks on addresses of their own that share a port.
pub fn on_addresses<const N: usize>(addresses: [&str; N]) -> ([Sink; N], u16) {
    'port: loop {
        let port = super::ports::unused();
        let mut listeners = Vec::new();
        for address in addresses {
            let Ok(listener) = TcpListener::bind((address, port)) else { continue 'port };
            listeners.push(listener);
        }
        let mut made = listeners.into_iter().map(|listener| Sink::on(listener, Manner::Take));
        return (std::array::from_fn(|_| made.next().unwrap()), port);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait_until(&self, what: &str, mut reached: impl FnMut(&State) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state();
        while !reached(&state) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}: not within {PATIENCE:?}");
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Sink {
    pub fn start(manner: Manner) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), manner)
    }

    pub fn on(listener: TcpListener, manner: Manner) -> Self {
        let state = State { manner, taken: VecDeque::new(), connections: 0, held: 0, closing: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let address = listener.local_addr().unwrap();
        let ours = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut state = ours.state();
                if state.closing {
                    return;
                }
                state.connections += 1;
                drop(state);
                ours.changed.notify_all();
                let shared = ours.clone();
                std::thread::spawn(move || drop(Visit::new(stream, shared).and_then(|mut visit| visit.serve())));
            }
        });
        Self { address, shared }
    }

    /// From the next message on.
    pub fn set(&self, manner: Manner) {
        self.shared.state().manner = manner;
        self.shared.changed.notify_all();
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.shared.state().taken.iter().cloned().collect()
    }

    /// Waits until it has taken that many messages.
    pub fn wait_taken(&self, wanted: usize) {
        self.shared.wait_until("messages at the sink", |state| state.taken.len() >= wanted);
    }

    /// Waits until that many connections wait for their final reply.
    pub fn wait_held(&self, wanted: usize) {
        self.shared.wait_until("held replies at the sink", |state| state.held >= wanted);
    }

    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)); // wakes the accepting thread
    }
}

/// One connection.
struct Visit {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
    shared: Arc<Shared>,
}

type Outcome = std::io::Result<()>;

#[derive(Default)]
struct Transaction {
    reverse_path: String,
    recipients: Vec<String>,
    chunks: Content,
}

#[derive(Default)]
struct Content {
    wire: blake3::Hasher,
    plain: blake3::Hasher,
    wire_octets: usize,
    plain_octets: usize,
    kept: Vec<u8>,
}

impl Content {
    fn add(&mut self, wire: &[u8], plain: &[u8]) {
        self.wire.update(wire);
        self.plain.update(plain);
        self.wire_octets += wire.len();
        self.plain_octets += plain.len();
        if self.plain_octets <= KEPT {
            self.kept.extend_from_slice(plain);
        } else {
            self.kept.clear();
        }
    }
}

impl Visit {
    fn new(stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::with_capacity(256 * 1024, stream.try_clone()?), stream, shared })
    }

    fn manner(&self) -> Manner {
        self.shared.state().manner
    }

    fn say(&mut self, text: &str) -> Outcome {
        self.stream.write_all(format!("{text}\r\n").as_bytes())
    }

    fn serve(&mut self) -> Outcome {
        if self.manner() == Manner::Garbage {
            return self.stream.write_all(b"\x00\xff\x13HELLO WORLD 220\n\nnonsense\r\n");
        }
        self.say("220 sink.example ESMTP")?;
        let mut transaction = Transaction::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, rest) = text.split_once(' ').unwrap_or((&text, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.say("250-sink.example\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-AUTH PLAIN LOGIN CRAM-MD5\r\n250 ENHANCEDSTATUSCODES")?,
                "HELO" | "NOOP" => self.say("250 2.0.0 ok")?,
                "MAIL" => {
                    transaction = Transaction { reverse_path: path_in(rest), ..Transaction::default() };
                    self.say("250 2.1.0 ok")?;
                }
                "RCPT" => {
                    transaction.recipients.push(path_in(rest));
                    self.say("250 2.1.5 ok")?;
                }
                "DATA" => {
                    self.say("354 go on")?;
                    if self.manner() == Manner::CloseInData {
                        return Ok(());
                    }
                    self.read_data(&mut transaction.chunks)?;
                    self.finish(std::mem::take(&mut transaction))?;
                }
                "BDAT" => {
                    let mut arguments = rest.split(' ');
                    let octets = arguments.next().and_then(|it| it.parse().ok()).unwrap_or(0);
                    self.read_chunk(octets, &mut transaction.chunks)?;
                    match arguments.next() {
                        Some(_) => self.finish(std::mem::take(&mut transaction))?,
                        None => self.say("250 2.0.0 chunk ok")?,
                    }
                }
                "RSET" => {
                    transaction = Transaction::default();
                    self.say("250 2.0.0 ok")?;
                }
                "QUIT" => return self.say("221 2.0.0 bye"),
                "AUTH" => self.refuse_login(rest)?,
                // As a careless server does: with the client's own words in its log-worthy reply.
                _ => self.say(&format!("500 5.5.2 unknown command: {text}"))?,
            }
        }
    }

    /// Asks for all that the mechanism has, and refuses it, echoing what it was given.
    fn refuse_login(&mut self, arguments: &str) -> Outcome {
        let (mechanism, initial) = arguments.split_once(' ').unwrap_or((arguments, ""));
        let prompts: &[&str] = match (mechanism.to_ascii_uppercase().as_str(), initial) {
            ("PLAIN", "") => &["334 "],
            ("PLAIN", _) => &[],
            ("LOGIN", "") => &["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"],
            ("LOGIN", _) => &["334 UGFzc3dvcmQ6"],
            _ => &["334 PDEyMy40NTZAc2luay5leGFtcGxlPg=="],
        };
        let mut given = vec![initial.to_owned()];
        for prompt in prompts {
            self.say(prompt)?;
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            if line.trim_end() == "*" {
                return self.say("501 5.7.0 cancelled");
            }
            given.push(line.trim_end().to_owned());
        }
        self.say(&format!("535 5.7.8 wrong: {}", given.join(" ")))
    }

    /// Up to the line that holds a dot alone; only CRLF ends a line.
    fn read_data(&mut self, content: &mut Content) -> Outcome {
        let mut line = Vec::new();
        let mut at_line_start = true;
        loop {
            line.clear();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if at_line_start && line == b".\r\n" {
                return Ok(());
            }
            let stuffed = at_line_start && line.starts_with(b".");
            content.add(&line, &line[usize::from(stuffed)..]);
            at_line_start = line.ends_with(b"\r\n");
        }
    }

    fn read_chunk(&mut self, mut left: usize, content: &mut Content) -> Outcome {
        let mut octets = vec![0; 64 * 1024];
        while left > 0 {
            let want = left.min(octets.len());
            self.reader.read_exact(&mut octets[..want])?;
            content.add(&octets[..want], &octets[..want]);
            left -= want;
        }
        Ok(())
    }

    /// The message is whole: kept, then acknowledged as the manner has it.
    fn finish(&mut self, transaction: Transaction) -> Outcome {
        let shared = self.shared.clone();
        let mut state = shared.state();
        let queue_id = format!("SINK{:06}", state.taken.len());
        let content = transaction.chunks;
        state.taken.push_back(Taken {
            reverse_path: transaction.reverse_path,
            recipients: transaction.recipients,
            wire_octets: content.wire_octets,
            wire_digest: content.wire.finalize().to_hex().to_string(),
            content_octets: content.plain_octets,
            content_digest: content.plain.finalize().to_hex().to_string(),
            content: content.kept,
            queue_id: queue_id.clone(),
        });
        let manner = state.manner;
        shared.changed.notify_all();
        if manner == Manner::CloseAfterDot {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        if manner == Manner::Hold {
            state.held += 1;
            shared.changed.notify_all();
            while state.manner == Manner::Hold && !state.closing {
                state = shared.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            state.held -= 1;
        }
        drop(state);
        self.say(&format!("250 2.0.0 Ok: queued as {queue_id}"))
    }
}

fn path_in(arguments: &str) -> String {
    arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_owned()).unwrap_or_default()
}
