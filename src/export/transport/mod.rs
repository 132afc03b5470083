//! Ways to a receiver. Each takes a batch and says what became of it; from where to go on after a failure is each one's own knowledge.

mod doubt;
pub mod elasticsearch;
pub mod file;
pub mod gelf;
pub mod http;
pub mod kafka;
pub mod otlp;
pub mod splunk;
pub mod stream;
pub mod syslog;
mod trail;
pub mod udp;

use std::time::{Duration, Instant};

use super::batch::Batch;
use crate::store::Cursor;

/// What a receiver says, as far as it is repeated.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Where a sink sends to, and how.
#[derive(Debug, Clone)]
pub enum Target {
    /// RFC 5424 over TCP or TLS.
    Syslog {
        to: stream::Options,
        header: syslog::Header,
    },
    /// RFC 5424, one event a datagram.
    SyslogUdp {
        to: udp::Options,
        header: syslog::Header,
    },
    /// GELF over TCP or TLS.
    Gelf(stream::Options),
    /// GELF, in chunks if need be.
    GelfUdp {
        to: udp::Options,
        gzip: bool,
    },
    GelfHttp(http::Options),
    Http(http::Options),
    Splunk(splunk::Options),
    Elasticsearch(elasticsearch::Options),
    Otlp(otlp::Options),
    Kafka(kafka::Options),
    File(file::Options),
}

impl Target {
    /// As it stands in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Syslog { .. } | Self::SyslogUdp { .. } => "syslog",
            Self::Gelf(_) | Self::GelfUdp { .. } | Self::GelfHttp(_) => "gelf",
            Self::Http(_) => "http",
            Self::Splunk(_) => "splunk",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::Otlp(_) => "otlp",
            Self::Kafka(_) => "kafka",
            Self::File(_) => "file",
        }
    }

    /// Where to, without secrets.
    pub fn to(&self) -> String {
        match self {
            Self::Syslog { to, .. } | Self::Gelf(to) => to.to_string(),
            Self::SyslogUdp { to, .. } | Self::GelfUdp { to, .. } => to.to_string(),
            // Many a service has its token in the path.
            Self::Http(it) | Self::GelfHttp(it) => it.url.server(),
            Self::Splunk(it) => it.url.to_string(),
            Self::Elasticsearch(it) => it.url.to_string(),
            Self::Otlp(it) => it.url.to_string(),
            Self::Kafka(it) => it.to_string(),
            Self::File(it) => it.path.display().to_string(),
        }
    }
}

/// What became of a batch that was sent.
#[derive(Debug, Default)]
pub struct Taken {
    /// Events that the receiver will never take, by their place in the batch, and why.
    pub refused: Vec<(usize, String)>,
    /// So many others are refused too, the receiver doesn't say which, and why.
    pub untold: Option<(u64, String)>,
    /// Whether nothing was taken, or nothing of one kind, where the count of refused events doesn't tell.
    pub nothing: Option<bool>,
}

impl Taken {
    /// How many events were refused.
    pub fn refused(&self) -> u64 {
        self.refused.len() as u64 + self.untold.as_ref().map_or(0, |(events, _)| *events)
    }

    /// Whether nothing was taken of a batch of so many events.
    pub fn is_nothing(&self, events: u64) -> bool {
        self.nothing.unwrap_or(self.refused() >= events)
    }
}

/// Why a batch wasn't taken.
#[derive(Debug)]
pub struct Failure {
    pub why: String,
    pub kind: FailureKind,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Where to go on; without one, with the same batch.
    pub resume: Option<Cursor>,
    /// So many events, the first of the batch, were taken all the same, up to `resume`.
    pub taken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The same may be taken later.
    Passing,
    /// Smaller batches may be taken; of a single event, that it never will be.
    TooMuch,
}

impl Failure {
    pub fn passing(why: impl ToString) -> Self {
        Self { why: why.to_string(), kind: FailureKind::Passing, retry_after: None, resume: None, taken: 0 }
    }
}

/// A way to a receiver, in use.
#[derive(Debug)]
pub enum Transport {
    Stream(Box<stream::Stream>),
    Udp(udp::Udp),
    Http(Box<http::Http>),
    Splunk(Box<splunk::Splunk>),
    Elasticsearch(Box<elasticsearch::Elasticsearch>),
    Otlp(Box<otlp::Otlp>),
    Kafka(Box<kafka::Kafka>),
    File(file::File),
}

impl Transport {
    /// Nothing is connected yet. Everything before `at` is the receiver's.
    pub fn new(target: &Target, at: Cursor) -> Self {
        match target {
            Target::Syslog { to, header } => Self::Stream(Box::new(stream::Stream::new(to.clone(), Some(header.clone()), at))),
            Target::SyslogUdp { to, header } => Self::Udp(udp::Udp::syslog(to.clone(), header, at)),
            Target::Gelf(to) => Self::Stream(Box::new(stream::Stream::new(to.clone(), None, at))),
            Target::GelfUdp { to, gzip } => Self::Udp(udp::Udp::gelf(to.clone(), *gzip, at)),
            Target::Http(options) | Target::GelfHttp(options) => Self::Http(Box::new(http::Http::new(options.clone(), at))),
            Target::Splunk(options) => Self::Splunk(Box::new(splunk::Splunk::new(options.clone(), at))),
            Target::Elasticsearch(options) => Self::Elasticsearch(Box::new(elasticsearch::Elasticsearch::new(options.clone(), at))),
            Target::Otlp(options) => Self::Otlp(Box::new(otlp::Otlp::new(options.clone(), at))),
            Target::Kafka(options) => Self::Kafka(Box::new(kafka::Kafka::new(options.clone(), at))),
            Target::File(options) => Self::File(file::File::new(options.clone(), at)),
        }
    }

    /// Sends a batch, which follows on what was sent before.
    ///
    /// # Errors
    /// It wasn't taken, or not wholly, and from where to go on.
    pub async fn send(&mut self, batch: &Batch) -> Result<Taken, Failure> {
        match self {
            Self::Stream(it) => it.send(batch).await,
            Self::Udp(it) => it.send(batch).await,
            Self::Http(it) => it.send(batch).await,
            Self::Splunk(it) => it.send(batch).await,
            Self::Elasticsearch(it) => it.send(batch).await,
            Self::Otlp(it) => it.send(batch).await,
            Self::Kafka(it) => it.send(batch).await,
            Self::File(it) => it.send(batch),
        }
    }

    /// Events that it can send together.
    pub fn most(&self) -> usize {
        match self {
            Self::Stream(it) => it.most(),
            Self::Http(it) => it.most(),
            _ => usize::MAX,
        }
    }

    /// Octets of events that it is best given at a time.
    pub fn most_octets(&self) -> usize {
        match self {
            Self::Stream(_) => stream::HANDFUL,
            _ => usize::MAX,
        }
    }

    /// Nothing of the journal up to `after` is for this receiver.
    pub fn pass(&mut self, after: Cursor) {
        match self {
            Self::Stream(it) => it.pass(after),
            Self::Splunk(it) => it.pass(after),
            Self::Otlp(it) => it.pass(after),
            Self::Udp(it) => it.at = after,
            Self::Http(it) => it.at = after,
            Self::Elasticsearch(it) => it.at = after,
            Self::Kafka(it) => it.go_to(after),
            Self::File(it) => it.pass(after),
        }
    }

    /// What was sent last, or could not be, is sent once more from there on.
    pub fn again(&mut self, before: Cursor) {
        match self {
            Self::Otlp(it) => it.again(before),
            _ => self.restart(before),
        }
    }

    /// Begins at another place.
    pub fn restart(&mut self, at: Cursor) {
        match self {
            Self::Stream(it) => it.restart(at),
            Self::Udp(it) => it.restart(at),
            Self::Splunk(it) => it.restart(at),
            Self::Otlp(it) => it.restart(at),
            _ => self.pass(at),
        }
    }

    /// Returns when there is something to look after although nothing is to be sent: the receiver went away, or [`Transport::look_after`]
    /// is due (`Ok`). May be given up at any time.
    ///
    /// # Errors
    /// The receiver went away.
    pub async fn attend(&mut self) -> Result<(), Failure> {
        match self {
            Self::Stream(it) => Err(it.attend().await),
            Self::Splunk(it) => {
                it.attend().await;
                Ok(())
            }
            Self::Udp(_) | Self::Http(_) | Self::Elasticsearch(_) | Self::Otlp(_) | Self::Kafka(_) | Self::File(_) => {
                std::future::pending().await
            }
        }
    }

    /// Asks the receiver what it has of what was sent.
    ///
    /// # Errors
    /// It can't be asked, or has lost some: then from where to go on.
    pub async fn look_after(&mut self) -> Result<(), Failure> {
        match self {
            Self::Splunk(it) => it.ask().await,
            Self::Stream(_) | Self::Udp(_) | Self::Http(_) | Self::Elasticsearch(_) | Self::Otlp(_) | Self::Kafka(_) | Self::File(_) => {
                Ok(())
            }
        }
    }

    /// Whether what it took last may not be received: that it took something is no sign that the receiver doesn't fail.
    pub fn is_doubtful(&self) -> bool {
        match self {
            Self::Splunk(it) => it.is_acknowledging(),
            Self::Stream(it) => it.is_doubtful(),
            Self::Udp(_) | Self::Http(_) | Self::Elasticsearch(_) | Self::Otlp(_) | Self::Kafka(_) | Self::File(_) => false,
        }
    }

    /// Makes sure of what was handed on, before it is asked how far the receiver is.
    pub fn settle(&mut self) {
        if let Self::File(it) = self {
            it.settle();
        }
    }

    /// Up to where the receiver has everything.
    pub fn safe(&self, now: Instant) -> Cursor {
        match self {
            Self::Stream(it) => it.safe(now),
            Self::Splunk(it) => it.acknowledged(),
            Self::Udp(it) => it.at,
            Self::Http(it) => it.at,
            Self::Elasticsearch(it) => it.at,
            Self::Otlp(it) => it.at,
            Self::Kafka(it) => it.at,
            Self::File(it) => it.safe(),
        }
    }

    /// Ends in order, as far as that is soon done.
    pub async fn finish(&mut self) {
        match self {
            Self::Stream(it) => it.finish().await,
            Self::Splunk(it) => it.finish().await,
            Self::Udp(_) | Self::Http(_) | Self::Elasticsearch(_) | Self::Otlp(_) | Self::Kafka(_) | Self::File(_) => {}
        }
    }
}
