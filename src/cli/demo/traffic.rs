//! Sends the demo's messages, as the programs of an office would.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::sample::{Ending, SAMPLES, Sample};
use crate::smtp::{ReplyScanner, ReplyView};

/// Messages above this many octets are sent in two pieces.
const LARGE: usize = 65_536;
const PAUSE: Duration = Duration::from_millis(250);

/// Longer than the smart host's slow address takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message that was sent, or tried.
#[derive(Debug, Clone)]
pub struct Sent {
    /// What it shows: "partly rejected: …".
    pub shows: &'static str,
    /// Without angle brackets.
    pub message_id: String,
    /// The queue id that its `Received` field says the client gave it.
    pub client_queue_id: String,
    pub from: &'static str,
    pub to: &'static [&'static str],
    pub subject: &'static str,
    pub attempts: u32,
    /// What the client saw last: a reply, or how the connection ended.
    pub answer: String,
    pub came_to: CameTo,
}

/// How much of a message the proxy got to see: what it can be asked for by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameTo {
    Sender,
    Recipients,
    Text,
}

impl Sent {
    /// What finds this message. One that was refused before its text has no Message-ID in the trace.
    pub fn question(&self) -> String {
        match self.came_to {
            CameTo::Text => self.message_id.clone(),
            CameTo::Recipients => format!("from:{} to:{}", self.from, self.to.first().copied().unwrap_or_default()),
            CameTo::Sender => format!("from:{}", self.from),
        }
    }
}

/// Sends every sample message through the proxy, one after another. What goes wrong is part of the demo: it stands in `answer`.
pub async fn sample_traffic(proxy: SocketAddr) -> Vec<Sent> {
    let now = jiff::Timestamp::now();
    let stamp = now.as_second();
    let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
    let mut all = Vec::with_capacity(SAMPLES.len());
    for (number, sample) in SAMPLES.iter().enumerate() {
        let message_id = format!("{}.{stamp}@shop.example", sample.name);
        let client_queue_id = format!("{:06X}C{number:03X}", stamp & 0xff_ffff);
        let message = sample.message(&message_id, &date, &client_queue_id);
        let mut attempts = 0;
        let mut came_to = CameTo::Sender;
        let answer = loop {
            attempts += 1;
            let answer = send(proxy, sample, &message, &mut came_to).await.unwrap_or_else(|error| format!("{error:#}"));
            if sample.ending != Ending::TryAgain || attempts == 2 || !answer.starts_with('4') {
                break answer;
            }
        };
        let (shows, from, to, subject) = (sample.shows, sample.from, sample.to, sample.subject_text);
        all.push(Sent { shows, message_id, client_queue_id, from, to, subject, attempts, answer, came_to });
    }
    all
}

/// The reply that decided, and how far it came until then.
async fn send(proxy: SocketAddr, sample: &Sample, message: &str, came_to: &mut CameTo) -> Result<String> {
    let mut client = Client::connect(proxy).await?;
    client.ask("", "greeting").await?;
    client.ask("EHLO mail.shop.example\r\n", "EHLO").await?;
    let mail = client.ask(&format!("MAIL FROM:<{}> SIZE={}\r\n", sample.from, message.len()), "MAIL FROM").await?;
    if !mail.starts_with('2') {
        return client.quit(mail).await;
    }
    *came_to = CameTo::Recipients;
    let mut accepted = 0;
    let mut last = String::new();
    for to in sample.to {
        let reply = client.ask(&format!("RCPT TO:<{to}>\r\n"), "RCPT TO").await?;
        if reply.starts_with('2') {
            accepted += 1;
        } else {
            last = reply;
        }
    }
    if accepted == 0 {
        return client.quit(last).await;
    }
    let data = client.ask("DATA\r\n", "DATA").await?;
    if !data.starts_with('3') {
        return client.quit(data).await;
    }
    *came_to = CameTo::Text;
    if sample.ending == Ending::GoneInMessage {
        let text = message.find("\r\n\r\n").map_or(0, |at| at + 4);
        let half = text + (message.len() - text) / 2;
        client.stream.write_all(message.as_bytes().get(..half).unwrap_or_default()).await?;
        return Ok("the client closed the connection in the middle of the message".to_owned());
    }
    // A network is slower than this machine's memory: whoever hangs up in the message must get to see its beginning first.
    let (beginning, rest) = message.split_at(message.floor_char_boundary(LARGE));
    if !rest.is_empty() {
        client.stream.write_all(beginning.as_bytes()).await?;
        tokio::time::sleep(PAUSE).await;
    }
    let answer = client.ask(if rest.is_empty() { message } else { rest }, "the message").await?;
    client.quit(answer).await
}

struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    async fn connect(proxy: SocketAddr) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(proxy)).await.context("no connection in time")??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Sends, and returns the reply's last line.
    async fn ask(&mut self, octets: &str, stage: &str) -> Result<String> {
        // The other side may have hung up and still have left its reason.
        let written = self.stream.write_all(octets.as_bytes()).await;
        let reply = timeout(PATIENCE, self.reply()).await.with_context(|| format!("no reply to {stage} in time"))?;
        match (reply, written) {
            (Ok(reply), _) => Ok(reply),
            (Err(error), _) => Err(error.context(format!("after {stage}"))),
        }
    }

    async fn reply(&mut self) -> Result<String> {
        let mut scanner = ReplyScanner::default();
        loop {
            if let Some(length) = scanner.next(&self.unread, 4_096, 256)? {
                let reply: Vec<u8> = self.unread.drain(..length).collect();
                let view = ReplyView::new(&reply);
                let text = view.lines().last().map(String::from_utf8_lossy).unwrap_or_default();
                return Ok(format!("{} {text}", view.code()));
            }
            let mut piece = [0; 4_096];
            let read = self.stream.read(&mut piece).await?;
            if read == 0 {
                bail!("the connection was closed");
            }
            self.unread.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }

    async fn quit(mut self, answer: String) -> Result<String> {
        // The mail's fate is known; a lost farewell changes nothing.
        let _ = self.ask("QUIT\r\n", "QUIT").await;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::{SmartHostOptions, smart_host};
    use super::*;

    #[test]
    fn each_sample_shows_what_it_says() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sent = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let options = SmartHostOptions { slow: Duration::ZERO, ..SmartHostOptions::default() };
            let host = tokio::spawn(smart_host(listener, options));
            let sent = sample_traffic(address).await;
            host.abort();
            sent
        });
        let told: Vec<(&str, u32)> = sent.iter().map(|sent| (sent.answer.get(..9).unwrap_or(&sent.answer), sent.attempts)).collect();
        let expected = [
            ("250 2.0.0", 1),
            ("250 2.0.0", 1),
            ("550 5.1.1", 1),
            ("452 4.2.2", 1),
            ("451 4.7.1", 1),
            ("250 2.0.0", 2),
            ("554 5.7.1", 1),
            ("after the", 1),
            ("after the", 1),
            ("the clien", 1),
            ("553 5.7.1", 1),
            ("250 2.0.0", 1),
            ("250 2.0.0", 1),
        ];
        assert_eq!(told, expected);
    }
}
