//! The clients: sessions that send as fast as they are answered, or at a given rate, and time each message.

use std::io::{self, BufRead};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

use super::message::Message;
use super::options::LoadOptions;
use super::peers::PROXY_HEADER;

/// Longer than this behind its time, and the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one run of the load generator found. Printed as one line of JSON.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    pub messages: u64,
    pub octets: u64,
    pub wall_s: f64,
    /// MAIL FROM to the final reply; from the connect on where each message has its own connection.
    pub p50_us: f64,
    pub p99_us: f64,
    pub error: Option<String>,
}

/// Opens the sessions, prints READY, waits for a line, sends, prints what was measured, waits for the end of its input.
pub fn run(options: LoadOptions) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = Rc::new(options);
    LocalSet::new().block_on(&runtime, async move {
        let opened = match tokio::time::timeout(PATIENCE, open(&options)).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return give_up(&format!("{error:#}")),
            Err(_) => return give_up("the sessions aren't open and warm after a minute"),
        };
        println!("READY");
        io::stdin().lock().read_line(&mut String::new())?;
        let limit = PATIENCE + Duration::from_secs_f64(options.seconds);
        let Ok(sent) = tokio::time::timeout(limit, send(opened)).await else {
            return give_up("messages without a reply a minute after the end");
        };
        let (measured, _sessions) = sent?;
        println!("{}", serde_json::to_string(&measured)?);
        // The sessions stay open until the orchestrator has looked.
        io::stdin().lock().read_line(&mut String::new())?;
        Ok(())
    })
}

/// In the place of READY or of the figures.
fn give_up(error: &str) -> Result<()> {
    println!("{}", serde_json::to_string(&Measured { error: Some(error.to_owned()), ..Measured::default() })?);
    Ok(())
}

async fn open(options: &Rc<LoadOptions>) -> Result<Vec<Session>> {
    let mut sessions = Vec::with_capacity(options.sessions);
    for number in 0..options.sessions {
        let mut session = Session::new(number, Rc::clone(options)).await?;
        for _ in 0..options.warm_up {
            session.message().await.context("in the warm-up")?;
        }
        sessions.push(session);
    }
    Ok(sessions)
}

async fn send(sessions: Vec<Session>) -> Result<(Measured, Vec<Session>)> {
    let start = Instant::now();
    let running: Vec<_> = sessions.into_iter().map(|session| spawn_local(session.send_from(start))).collect();
    let mut measured = Measured::default();
    let mut durations: Vec<u64> = Vec::new();
    let mut finished = Vec::with_capacity(running.len());
    for session in running {
        match session.await? {
            Ok(session) => {
                durations.extend(&session.durations_ns);
                finished.push(session);
            }
            Err(error) => measured.error = Some(format!("{error:#}")),
        }
    }
    measured.wall_s = start.elapsed().as_secs_f64();
    durations.sort_unstable();
    measured.messages = durations.len() as u64;
    measured.octets = measured.messages * finished.first().map_or(0, |session| session.message.size() as u64);
    measured.p50_us = percentile(&durations, 0.50);
    measured.p99_us = percentile(&durations, 0.99);
    Ok((measured, finished))
}

fn percentile(sorted_ns: &[u64], part: f64) -> f64 {
    let at = ((sorted_ns.len() as f64 * part) as usize).min(sorted_ns.len().saturating_sub(1));
    sorted_ns.get(at).map_or(0.0, |&ns| ns as f64 / 1_000.0)
}

struct Session {
    options: Rc<LoadOptions>,
    number: usize,
    stream: Option<TcpStream>,
    message: Message,
    sent: u64,
    durations_ns: Vec<u64>,
    mail: Vec<u8>,
    rcpt: Vec<u8>,
    replies: Vec<u8>,
}

impl Session {
    async fn new(number: usize, options: Rc<LoadOptions>) -> Result<Self> {
        let mut session = Self {
            number,
            stream: None,
            message: Message::new(number, options.size),
            sent: 0,
            durations_ns: Vec::new(),
            mail: format!("MAIL FROM:<sender{number}@client.example> SIZE={}\r\n", options.size).into_bytes(),
            rcpt: format!("RCPT TO:<rcpt{number}@sink.example>\r\n").into_bytes(),
            replies: vec![0; 2_048],
            options,
        };
        if session.options.reuse {
            session.stream = Some(session.connect().await?);
        }
        Ok(session)
    }

    async fn connect(&mut self) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.options.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        if self.options.proxy_header {
            stream.write_all(PROXY_HEADER).await?;
        }
        replies(&mut stream, &mut self.replies, b"2").await.context("greeting")?;
        stream.write_all(b"EHLO client.example\r\n").await?;
        replies(&mut stream, &mut self.replies, b"2").await.context("EHLO")?;
        Ok(stream)
    }

    /// Sends one message as the options want it.
    async fn message(&mut self) -> Result<()> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        self.transaction(&mut stream).await.with_context(|| format!("session {}, message {}", self.number, self.sent))?;
        if self.options.reuse {
            self.stream = Some(stream);
        } else {
            stream.write_all(b"QUIT\r\n").await?;
            replies(&mut stream, &mut self.replies, b"2").await.context("QUIT")?;
        }
        Ok(())
    }

    async fn transaction(&mut self, stream: &mut TcpStream) -> Result<()> {
        if self.options.pipelining {
            let group = [self.mail.as_slice(), &self.rcpt, b"DATA\r\n"].concat();
            stream.write_all(&group).await?;
            replies(stream, &mut self.replies, b"223").await.context("MAIL, RCPT, DATA")?;
        } else {
            stream.write_all(&self.mail).await?;
            replies(stream, &mut self.replies, b"2").await.context("MAIL")?;
            stream.write_all(&self.rcpt).await?;
            replies(stream, &mut self.replies, b"2").await.context("RCPT")?;
            stream.write_all(b"DATA\r\n").await?;
            replies(stream, &mut self.replies, b"3").await.context("DATA")?;
        }
        self.sent += 1;
        stream.write_all(self.message.numbered(self.sent)).await?;
        replies(stream, &mut self.replies, b"2").await.context("end of data")
    }

    async fn send_from(mut self, start: Instant) -> Result<Self> {
        let deadline = start + Duration::from_secs_f64(self.options.seconds);
        let between = if self.options.rate > 0.0 { self.options.sessions as f64 / self.options.rate } else { 0.0 };
        let mut sent = 0u64;
        while Instant::now() < deadline && (self.options.messages == 0 || sent < self.options.messages) {
            if between > 0.0 {
                // The sessions take their turns evenly.
                let due = (sent as f64 + self.number as f64 / self.options.sessions as f64) * between;
                tokio::time::sleep_until((start + Duration::from_secs_f64(due)).into()).await;
            }
            let begun = Instant::now();
            self.message().await?;
            self.durations_ns.push(u64::try_from(begun.elapsed().as_nanos())?);
            sent += 1;
        }
        Ok(self)
    }
}

/// Reads as many replies as `expected` has octets; each must begin with its octet.
async fn replies(stream: &mut TcpStream, buffer: &mut [u8], expected: &[u8]) -> Result<()> {
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).filter(|room| !room.is_empty()).context("endless reply")?;
        let read = stream.read(room).await?;
        if read == 0 {
            bail!("connection closed");
        }
        filled += read;
        let octets = &buffer[..filled];
        if !octets.ends_with(b"\r\n") {
            continue;
        }
        let mut wanted = expected.iter();
        for line in octets.split_inclusive(|&octet| octet == b'\n') {
            if line.get(3) == Some(&b'-') {
                continue;
            }
            if line.first() != wanted.next() {
                bail!("unexpected reply: {}", String::from_utf8_lossy(line).trim_end());
            }
        }
        if wanted.next().is_none() {
            return Ok(());
        }
    }
}

impl Measured {
    /// Reads the line that [`run`] printed.
    pub fn parse(line: &str) -> Result<Self> {
        serde_json::from_str(line).with_context(|| format!("the load generator said {line:?}"))
    }

    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.wall_s.max(1e-9)
    }
}
