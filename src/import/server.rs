//! The readers of all servers as one.

use super::courier::Courier;
use super::domino::Domino;
use super::entry::Entry;
use super::exchange::Exchange;
use super::exim::Exim;
use super::facts::Verdict;
use super::format::Format;
use super::hmailserver::HMailServer;
use super::james::James;
use super::moment::Clock;
use super::postfix::Postfix;
use super::sendmail::Sendmail;
use super::syslog::{self, Message};

const NO_SYSLOG: Verdict = Verdict::Unreadable("no time, host and program as syslog writes them");

#[derive(Debug)]
pub enum Server {
    Postfix(Postfix),
    Exchange(Exchange),
    Exim(Exim),
    Sendmail(Sendmail),
    Courier(Courier),
    HMailServer(HMailServer),
    Domino(Domino),
    James(James),
}

impl Server {
    pub fn new(format: Format) -> Self {
        match format {
            Format::Postfix => Self::Postfix(Postfix::default()),
            Format::Exchange => Self::Exchange(Exchange::default()),
            Format::Exim => Self::Exim(Exim::default()),
            Format::Sendmail => Self::Sendmail(Sendmail::default()),
            Format::Courier => Self::Courier(Courier::default()),
            Format::HMailServer => Self::HMailServer(HMailServer::default()),
            Format::Domino => Self::Domino(Domino::default()),
            Format::James => Self::James(James::default()),
        }
    }

    /// Reads a line (of Exchange: a record).
    pub fn read(&mut self, text: &str, clock: &mut Clock, out: &mut Vec<Entry>) -> Verdict {
        match self {
            Self::Postfix(_) | Self::Sendmail(_) | Self::Courier(_) => match syslog::read(text, clock) {
                Some(message) => self.message(&message, clock, out),
                None => NO_SYSLOG,
            },
            // Its own file, or syslog.
            Self::Exim(exim) => match clock.iso(text) {
                Some((at, rest)) if !rest.trim_start().contains(" exim[") => exim.read(at, None, rest, out),
                _ => match syslog::read(text, clock) {
                    Some(message) => self.message(&message, clock, out),
                    None => Verdict::Unreadable("no time at its beginning"),
                },
            },
            Self::Exchange(exchange) => exchange.read(text, clock, out),
            Self::HMailServer(server) => server.read(text, clock, out),
            Self::Domino(domino) => domino.read(text, clock, out),
            Self::James(james) => james.read(text, clock, out),
        }
    }

    /// Reads what went through syslog or the journal.
    pub fn message(&mut self, message: &Message<'_>, clock: &mut Clock, out: &mut Vec<Entry>) -> Verdict {
        match self {
            Self::Postfix(postfix) => postfix.read(message, out),
            Self::Sendmail(sendmail) => sendmail.read(message, out),
            Self::Courier(courier) => courier.read(message, out),
            Self::Exim(exim) if message.program.starts_with("exim") => {
                // Exim may write its own time as well.
                let (at, rest) = clock.iso(&message.text).unwrap_or((message.at, &message.text));
                exim.read(at, message.host.as_deref(), rest, out)
            }
            _ => Verdict::Foreign,
        }
    }

    /// Queue ids that had to be forgotten.
    pub fn forgotten(&self) -> u64 {
        match self {
            Self::Postfix(it) => it.forgotten(),
            Self::Exim(it) => it.forgotten(),
            Self::Sendmail(it) => it.forgotten(),
            Self::Courier(it) => it.forgotten(),
            Self::HMailServer(it) => it.forgotten(),
            Self::Domino(it) => it.forgotten(),
            Self::James(it) => it.forgotten(),
            Self::Exchange(_) => 0,
        }
    }
}
