//! A mail client that says exactly what the test wants it to.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;
use super::message::Message;

pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// All lines with their codes, without the last CRLF.
    pub text: String,
}

impl Client {
    pub fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&to, PATIENCE).unwrap_or_else(|error| panic!("{to}: {error}")))
    }

    /// `None` if nobody listens.
    pub fn try_connect(to: SocketAddr) -> Option<Self> {
        TcpStream::connect_timeout(&to, PATIENCE).ok().map(Self::over)
    }

    /// Sends what the peer may not take any more, and reads its reply if there is one.
    pub fn exchange(&mut self, octets: impl AsRef<[u8]>) -> Option<Reply> {
        if self.try_send(octets) { self.reply() } else { None }
    }

    /// From an address of one's own on the loopback network.
    pub fn connect_from(from: IpAddr, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new() }
    }

    /// Greeted, and EHLO said: its reply.
    pub fn ready(to: SocketAddr) -> Self {
        let mut client = Self::connect(to);
        client.expect(220);
        client.command("EHLO client.example", 250);
        client
    }

    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
    }

    /// Sends what the peer may not want to have; whether it was taken.
    pub fn try_send(&mut self, octets: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(octets.as_ref()).is_ok()
    }

    #[track_caller]
    pub fn command(&mut self, line: &str, code: u16) -> Reply {
        self.send(format!("{line}\r\n"));
        self.expect(code)
    }

    #[track_caller]
    pub fn expect(&mut self, code: u16) -> Reply {
        let reply = self.reply().expect("a reply, not the end of the connection");
        assert_eq!(reply.code, code, "{}", reply.text);
        reply
    }

    /// The next whole reply; `None` if the connection ended before.
    pub fn reply(&mut self) -> Option<Reply> {
        let mut text = String::new();
        loop {
            let line = self.line()?;
            let line = line.trim_end_matches(['\r', '\n']);
            text.push_str(line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(Reply {
                    code: line.get(..3).and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("reply {line:?}")),
                    text,
                });
            }
            text.push('\n');
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets) {
                Ok(0) => return None,
                Ok(read) => self.unread.extend_from_slice(&octets[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return None,
                Err(error) => panic!("waiting for a reply: {error}; unread: {:?}", String::from_utf8_lossy(&self.unread)),
            }
        }
    }

    /// Everything until the peer closes.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        while let Some(line) = self.line() {
            text.push_str(&line);
        }
        text + &String::from_utf8_lossy(&self.unread)
    }

    /// MAIL, one RCPT, DATA: up to the 354.
    pub fn open_data(&mut self, message: &Message) {
        self.command(&format!("MAIL FROM:<{}>", message.reverse_path), 250);
        self.command(&format!("RCPT TO:<{}>", message.recipient), 250);
        self.command("DATA", 354);
    }

    /// A transaction with DATA up to end-of-data: the final reply is to come.
    pub fn hand_in(&mut self, message: &Message) {
        self.open_data(message);
        self.send(message.on_the_wire());
        self.send(b".\r\n");
    }

    /// The same, with the final reply.
    pub fn deliver(&mut self, message: &Message) -> Option<Reply> {
        self.hand_in(message);
        self.reply()
    }

    pub fn quit(mut self) {
        self.command("QUIT", 221);
        assert_eq!(self.rest(), "", "nothing comes after the reply to QUIT");
    }

    /// Closes with RST instead of FIN.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
