//! The messages of the matrix, and how they are handed to a server.

use std::net::SocketAddr;

use crate::support::client::{Client, Reply};
use crate::support::message::Message;

pub struct Mail {
    name: String,
    pub reverse_path: String,
    params: String,
    /// Address and parameters.
    recipients: Vec<(String, String)>,
    /// In the header.
    extra: String,
    /// With LF line ends.
    pub body: String,
}

impl Mail {
    /// From ann to bob; 7 bit, with lines that begin with dots.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            reverse_path: "ann@from.example".into(),
            params: String::new(),
            recipients: vec![("bob@to.example".into(), String::new())],
            extra: String::new(),
            body: format!("Text of {name}.\n.\n..two dots\n.dot  \n\n{}\n\nEnd.\n", "long line ".repeat(70)),
        }
    }

    pub fn eight_bit(name: &str) -> Self {
        let mime = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";
        Self {
            params: "BODY=8BITMIME".into(),
            extra: mime.into(),
            body: format!("Grüße von {name}: ½ + ¼\n.\n.Ärger\n"),
            ..Self::new(name)
        }
    }

    pub fn smtputf8(name: &str) -> Self {
        let mut mail = Self::eight_bit(name);
        mail.reverse_path = "jürgen@from.example".into();
        mail.params = "BODY=8BITMIME SMTPUTF8".into();
        mail.extra = format!("{}X-Sender: jürgen@from.example\r\n", mail.extra);
        mail
    }

    pub fn with(mut self, params: &str, recipients: &[(&str, &str)]) -> Self {
        self.params = params.to_owned();
        self.recipients = recipients.iter().map(|(address, params)| ((*address).to_owned(), (*params).to_owned())).collect();
        self
    }

    /// The Message-ID without its angle brackets.
    pub fn id(&self) -> String {
        format!("{}@msg.example", self.name)
    }

    /// What is in it, with CRLF line ends.
    pub fn message(&self) -> Message {
        let head = format!(
            "Message-ID: <{}>\r\nFrom: <ann@from.example>\r\nTo: <bob@to.example>\r\nDate: Mon, 23 Nov 2026 20:00:00 +0000\r\n\
             Subject: about {}\r\n{}\r\n",
            self.id(),
            self.name,
            self.extra
        );
        Message::of(&self.name, (head + &self.body.replace('\n', "\r\n")).into_bytes())
    }

    /// The same with LF line ends, as it stands in a mailbox.
    pub fn text(&self) -> String {
        String::from_utf8(self.message().octets).unwrap().replace("\r\n", "\n")
    }

    pub fn mail_from(&self) -> String {
        format!("MAIL FROM:<{}> {}", self.reverse_path, self.params).trim_end().to_owned()
    }

    pub fn rcpt_to(&self) -> impl Iterator<Item = String> {
        self.recipients.iter().map(|(address, params)| format!("RCPT TO:<{address}> {params}").trim_end().to_owned())
    }

    /// Hands it over, with all its recipients taken.
    #[track_caller]
    pub fn submit(&self, client: &mut Client) -> Reply {
        client.command(&self.mail_from(), 250);
        for command in self.rcpt_to() {
            client.command(&command, 250);
        }
        client.command("DATA", 354);
        client.send(self.message().on_the_wire());
        client.command(".", 250)
    }
}

/// What a server offers: EHLO keywords with their parameters gone, in upper case.
pub fn offered(server: SocketAddr) -> Vec<String> {
    let mut client = Client::connect(server);
    client.expect(220);
    let reply = client.command("EHLO client.example", 250);
    client.quit();
    keywords(&reply.text)
}

/// The keywords of an EHLO reply.
pub fn keywords(reply: &str) -> Vec<String> {
    let lines = reply.lines().skip(1).filter_map(|line| line.get(4..));
    lines.filter_map(|line| line.split([' ', '=']).next()).map(str::to_ascii_uppercase).collect()
}
