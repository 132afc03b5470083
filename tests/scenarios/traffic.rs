//! A mail server that sends, and tries again: small messages from several senders, whatever becomes of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::support::client::Client;
use crate::support::message::Message;

/// Sends one message; the last reply, empty if the connection was closed without one.
pub fn send(to: SocketAddr, name: &str, from: &str, recipient: &str) -> String {
    let Some(mut client) = Client::try_connect(to) else { return String::new() };
    let mut last = String::new();
    let mut step = |client: &mut Client, line: Option<&[u8]>, wanted: u16| -> bool {
        let reply = match line {
            Some(line) => client.exchange(line),
            None => client.reply(),
        };
        last = reply.as_ref().map_or_else(String::new, |it| it.text.clone());
        reply.is_some_and(|it| it.code == wanted)
    };
    let message = Message::named(name);
    let mut body = message.on_the_wire().into_owned();
    body.extend_from_slice(b".\r\n");
    let _ = step(&mut client, None, 220)
        && step(&mut client, Some(b"EHLO client.example\r\n"), 250)
        && step(&mut client, Some(format!("MAIL FROM:<{from}>\r\n").as_bytes()), 250)
        && step(&mut client, Some(format!("RCPT TO:<{recipient}>\r\n").as_bytes()), 250)
        && step(&mut client, Some(b"DATA\r\n"), 354)
        && step(&mut client, Some(&body), 250);
    let _ = client.try_send(b"QUIT\r\n");
    last
}

/// Messages sent on and on until it is dropped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Traffic {
    /// To these recipients in turn, from four senders of `from.example`, by so many connections at the same time.
    pub fn start(to: SocketAddr, recipients: &[&str], connections: usize, pause: Duration) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        for _ in 0..connections {
            let (stop, sent) = (stop.clone(), sent.clone());
            let recipients: Vec<String> = recipients.iter().map(|it| (*it).to_owned()).collect();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    let from = ["ann", "ben", "cleo", "dora"][number as usize % 4];
                    send(to, &format!("traffic{number}"), &format!("{from}@from.example"), &recipients[number as usize % recipients.len()]);
                    std::thread::sleep(pause); // not to wait for something: the pace of the mail
                }
            });
        }
        Self { stop, sent }
    }

    /// Waits until so many were tried.
    pub fn tried(&self, wanted: u64) {
        while self.sent.load(Ordering::Relaxed) < wanted {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
