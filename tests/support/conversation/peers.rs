//! A client and a smart host that know what they said and heard.

use std::collections::VecDeque;

use relayscope::trace::Leg;

use super::world::{ByHand, Input, World};

/// What the client waits for an answer to.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Command,
    Data,
    /// End of the message of this number.
    Message(usize),
}

/// A client that keeps to the protocol, and counts.
#[derive(Debug, Default)]
pub struct Client {
    pub asked: VecDeque<Asked>,
    heard: Vec<u8>,
    /// The messages that it ended, as on the wire, terminator excluded; and whether it heard 2xx to each.
    pub messages: Vec<(Vec<u8>, bool)>,
    pub may_send_body: bool,
    pub over: bool,
}

impl Client {
    pub fn hear(&mut self, octets: &[u8]) {
        self.heard.extend_from_slice(octets);
        while let Some((code, length)) = whole_reply(&self.heard) {
            self.heard.drain(..length);
            if self.over {
                continue;
            }
            if code == 421 {
                self.over = true;
                continue;
            }
            match self.asked.pop_front() {
                Some(Asked::Data) => self.may_send_body = code == 354,
                Some(Asked::Message(number)) => self.messages[number].1 = (200..300).contains(&code),
                Some(Asked::Command) | None => {}
            }
        }
    }
}

/// A smart host that takes what comes strictly by the RFC.
#[derive(Debug, Default)]
pub struct SmartHost {
    unread: Vec<u8>,
    in_body: bool,
    chunk: Option<(usize, bool)>,
    body: Vec<u8>,
    /// The messages whose end came, and whether it said 2xx to each.
    pub messages: Vec<(Vec<u8>, bool)>,
}

impl SmartHost {
    /// Takes octets; answers with what `choose` makes of each question.
    pub fn take(&mut self, octets: &[u8], mut choose: impl FnMut(Question) -> String) -> Vec<u8> {
        self.unread.extend_from_slice(octets);
        let mut answers = Vec::new();
        loop {
            if self.in_body {
                let framed = [&b"\r\n"[..], &self.unread].concat();
                let Some(end) = framed.windows(5).position(|window| window == b"\r\n.\r\n") else { break };
                let body: Vec<u8> = self.unread.drain(..end + 3).take(end).collect();
                self.in_body = false;
                let reply = choose(Question::Message);
                self.messages.push((body, reply.starts_with('2')));
                answers.extend(reply.into_bytes());
            } else if let Some((size, last)) = self.chunk {
                if self.unread.len() < size {
                    break;
                }
                self.body.extend(self.unread.drain(..size));
                self.chunk = None;
                let reply = choose(if last { Question::Message } else { Question::Command });
                if last {
                    self.messages.push((std::mem::take(&mut self.body), reply.starts_with('2')));
                }
                answers.extend(reply.into_bytes());
            } else {
                let Some(end) = self.unread.windows(2).position(|window| window == b"\r\n") else { break };
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                let line = String::from_utf8_lossy(&line).to_ascii_uppercase();
                if let Some(rest) = line.strip_prefix("BDAT ") {
                    let size = rest.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a size");
                    self.chunk = Some((size, rest.contains("LAST")));
                    continue;
                }
                let reply = match () {
                    () if line.starts_with("EHLO") => "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n".to_owned(),
                    () if line.starts_with("QUIT") => "221 bye\r\n".to_owned(),
                    () if line.starts_with("DATA") => choose(Question::Data),
                    () => choose(Question::Command),
                };
                self.in_body = line.starts_with("DATA") && reply.starts_with("354");
                answers.extend(reply.into_bytes());
            }
        }
        answers
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Question {
    Command,
    Data,
    Message,
}

/// Code and length of the first whole reply.
fn whole_reply(octets: &[u8]) -> Option<(u16, usize)> {
    let mut length = 0;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        if !line.ends_with(b"\n") {
            return None;
        }
        length += line.len();
        if line.get(3) != Some(&b'-') {
            return std::str::from_utf8(line.get(..3)?).ok()?.parse().ok().map(|code| (code, length));
        }
    }
    None
}

/// A session in which the upstream has said 220 to the client's STARTTLS, which is passed through.
pub fn passed_through() -> World {
    let options = super::script::parse("! listener tls passthrough").expect("options").options;
    let by_itself = ByHand { connect: false, store: false, mark: false, failures: false };
    let mut world = World::new(options, std::net::IpAddr::from([127, 0, 0, 1]), by_itself);
    world.start();
    for (leg, octets) in [
        (Leg::Upstream, "220 mx.example\r\n"),
        (Leg::Client, "EHLO client.example\r\n"),
        (Leg::Upstream, "250-mx.example\r\n250 STARTTLS\r\n"),
        (Leg::Client, "STARTTLS\r\n"),
        (Leg::Upstream, "220 go ahead\r\n"),
    ] {
        world.input(leg, Input::Octets(octets.into()));
    }
    (world.client_out, world.upstream_out) = Default::default();
    world
}
