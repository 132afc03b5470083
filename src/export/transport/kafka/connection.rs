//! A connection to one broker: opened, versions agreed on, logged in, and each question with its time limit.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use rskafka::SaslError;
use rskafka::client::{Credentials, SaslConfig};
use rskafka::messenger::{Messenger, RequestError, SyncVersionsError};
use rskafka::protocol::error::Error as Code;
use rskafka::protocol::frame::{ReadError, WriteError};
use rskafka::protocol::messages::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, ProduceRequest, ReadVersionedType, RequestBody, WriteVersionedType,
};
use rskafka::protocol::primitives::{Boolean, String_};
use tokio::io::BufStream;

use super::super::stream::{Octets, open};
use super::{Login, Mechanism, Options, words};

/// Connecting, shaking hands and logging in take no longer.
const CONNECT: Duration = Duration::from_secs(15);
/// A broker that doesn't answer for so long has failed.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What a broker may say at once: of the largest cluster's brokers and one topic it is far less.
const LONGEST: usize = 4 << 20;

/// What stands between an event and its partition.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection ended, or said nothing any more.
    Lost(String),
    /// There was no connection, or no login.
    Refused(String),
    /// A broker said no.
    Said {
        code: Code,
        partition: Option<i32>,
    },
    /// Nobody leads that partition.
    Unled(i32),
    NoPartition {
        partition: i32,
        partitions: i32,
    },
    /// What no broker says.
    Odd(String),
}

impl Trouble {
    /// Whether it may come of what was known of the cluster, not of how it is.
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Unled(_) => true,
            Self::Said { code, .. } => words::is_stale(*code),
            Self::Refused(_) | Self::NoPartition { .. } | Self::Odd(_) => false,
        }
    }
}

/// What a broker said of the records it was sent.
#[derive(Debug)]
pub(super) struct Answer {
    /// By partition: `None` is a yes.
    pub said: BTreeMap<i32, Option<Code>>,
    /// So long it wants to be left alone.
    pub pause: Option<Duration>,
}

/// A broker that takes questions.
#[derive(Debug)]
pub(super) struct Connection {
    messenger: Messenger<BufStream<Box<dyn Octets>>>,
    shown: String,
}

/// `host:port`, of an IPv6 address with brackets.
pub(super) fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Connection {
    pub async fn open(options: &Options, host: &str, port: u16) -> Result<Self, Trouble> {
        let shown = shown(host, port);
        let opening = Self::opened(options, host, port, &shown);
        let late = || Trouble::Refused(format!("{shown}: no connection, or no answer of a Kafka broker, within {} s", CONNECT.as_secs()));
        tokio::time::timeout(CONNECT, opening).await.unwrap_or_else(|_| Err(late()))
    }

    async fn opened(options: &Options, host: &str, port: u16, shown: &str) -> Result<Self, Trouble> {
        let stream = open(host, port, options.tls.as_ref(), shown).await.map_err(Trouble::Refused)?;
        let mut messenger = Messenger::new(BufStream::new(stream), LONGEST, Arc::from("relayscope"));
        if let Err(error) = messenger.sync_versions().await {
            let why = match &error {
                SyncVersionsError::RequestError(error) => in_words(error),
                other => other.to_string(),
            };
            let hint = if options.tls.is_none() { "; if that port wants TLS, write tls:// in `url`" } else { "" };
            return Err(Trouble::Refused(format!("{shown} doesn't answer as a Kafka broker: {why}{hint}")));
        }
        if let Some(login) = &options.login {
            let logged_in = messenger.do_sasl(login.config()).await;
            logged_in.map_err(|error| Trouble::Refused(format!("login at {shown} failed: {}", login.said(&error))))?;
        }
        Ok(Self { messenger, shown: shown.to_owned() })
    }

    /// Brokers, and of the topic who leads its partitions. A topic that isn't there is not made.
    pub async fn metadata(&self, topic: &str, has_login: bool) -> Result<MetadataResponse, Trouble> {
        let topics = Some(vec![MetadataRequestTopic { name: String_(topic.to_owned()) }]);
        let asked = self.ask(MetadataRequest { topics, allow_auto_topic_creation: Some(Boolean(false)) }).await;
        asked.map_err(|trouble| match trouble {
            Trouble::Lost(why) if !has_login => Trouble::Lost(format!("{why}; if it wants a login, write `user` and `secret_file`")),
            other => other,
        })
    }

    pub async fn produce(&self, request: ProduceRequest) -> Result<Answer, Trouble> {
        let answer = self.ask(request).await?;
        let said = answer.responses.iter().flat_map(|topic| &topic.partition_responses).map(|it| (it.index.0, it.error)).collect();
        let pause = answer.throttle_time_ms.and_then(|it| u64::try_from(it.0).ok()).filter(|it| *it > 0).map(Duration::from_millis);
        Ok(Answer { said, pause })
    }

    async fn ask<R>(&self, request: R) -> Result<R::ResponseBody, Trouble>
    where
        R: RequestBody + Send + WriteVersionedType<Vec<u8>>,
        R::ResponseBody: ReadVersionedType<Cursor<Vec<u8>>>,
    {
        match tokio::time::timeout(TIMEOUT, self.messenger.request(request)).await {
            Err(_) => Err(Trouble::Refused(format!("{} hasn't answered for {} s", self.shown, TIMEOUT.as_secs()))),
            Ok(Err(error)) if is_lost(&error) => Err(Trouble::Lost(format!("{}: {}", self.shown, in_words(&error)))),
            Ok(Err(error)) => Err(Trouble::Odd(format!("{}: {}", self.shown, in_words(&error)))),
            Ok(Ok(answer)) => Ok(answer),
        }
    }
}

impl Login {
    fn config(&self) -> SaslConfig {
        let credentials = Credentials::new(self.user.clone(), self.password.0.clone());
        match self.mechanism {
            Mechanism::Plain => SaslConfig::Plain(credentials),
            Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
            Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
        }
    }

    fn said(&self, error: &SaslError) -> String {
        match error {
            SaslError::ApiError(code) => words::of(*code, Some(&self.user)),
            SaslError::UnsupportedSaslMechanism => words::of(Code::UnsupportedSaslMechanism, None),
            SaslError::RequestError(error) => in_words(error),
            other => other.to_string(),
        }
    }
}

fn is_lost(error: &RequestError) -> bool {
    matches!(
        error,
        RequestError::Poisoned(_)
            | RequestError::IO(_)
            | RequestError::ReadFramedMessageError(ReadError::IO(_))
            | RequestError::WriteMessageError(WriteError::IO(_))
    )
}

/// The error below the errors.
fn in_words(error: &RequestError) -> String {
    match error {
        RequestError::Poisoned(inner) => in_words(inner),
        RequestError::IO(error)
        | RequestError::ReadFramedMessageError(ReadError::IO(error))
        | RequestError::WriteMessageError(WriteError::IO(error)) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => format!("the connection was lost: {error}"),
        },
        RequestError::NoVersionMatch { api_key } => format!("it knows no version of {api_key:?} that Relayscope speaks"),
        other => other.to_string(),
    }
}
