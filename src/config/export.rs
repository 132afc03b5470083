//! `[[export]]` as it is written: where traces are forwarded to.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::raw::choice;
use super::units::{Interval, Octets};
use crate::export;
use crate::export::format::Format as EventFormat;
use crate::export::transport::{http, kafka, otlp, syslog};

/// What a sink runs by.
pub type ExportOptions = export::Options;

/// One receiver of traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Export {
    /// Its name in logs, metrics and commands. Its place in the journal is kept under this name.
    pub name: String,
    pub enabled: bool,
    pub kind: Kind,
    /// Where to; "file" has `path` instead.
    #[schemars(extend("maxLength" = 2048))]
    pub url: Option<String>,
    /// The file that lines are appended to, with kind = "file".
    pub path: Option<PathBuf>,
    /// Default: "json", with kind = "gelf" "gelf". With kind = "otlp" it is the body of the log records.
    pub format: Option<Format>,
    /// What is sent, in the language of `relayscope search`. Default: everything.
    #[schemars(extend("maxLength" = 2000))]
    pub include: Option<String>,
    /// What is not sent of that.
    #[schemars(extend("maxLength" = 2000))]
    pub exclude: Option<String>,
    /// Where an export begins that has no place yet.
    pub start: Start,
    /// Whether events have the dialogue.
    pub timeline: bool,
    /// Octets of one event. Default: "64 KiB", over UDP "2 KiB".
    pub max_event: Option<Octets>,
    /// Events that are sent together at most.
    #[schemars(range(min = 1, max = 10_000))]
    pub batch_events: u32,
    /// Octets of them. Default: "1 MiB", with kind = "kafka" "512 KiB".
    pub batch_size: Option<Octets>,
    /// How long an event waits for others. Default: "200ms" for syslog and files, "1s" for others.
    #[schemars(extend("x-duration" = ["0s", "5m"]))]
    pub linger: Option<Interval>,
    /// An outage of the receiver is recorded, and becomes an incident, when it lasts so long.
    pub report_after: Interval,
    /// Certificates to trust beside the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Certificate chain shown to the receiver, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM, not readable by every user.
    pub key: Option<PathBuf>,
    /// For Elasticsearch and OTLP with a password; without one the secret is an API key, or a bearer token. For Kafka's login.
    pub user: Option<String>,
    /// File with the token, API key, password, or the key that signs posts; not readable by every user.
    pub secret_file: Option<PathBuf>,
    /// Environment variable with the same.
    pub secret_env: Option<String>,
    /// With kind = "otlp": the header that has the secret, where the receiver wants it as it is.
    pub secret_header: Option<String>,
    /// With kind = "otlp".
    pub protocol: Protocol,
    /// With kind = "otlp": what is sent.
    pub signals: Vec<Signal>,
    /// With kind = "otlp": how often metrics are sent, if they are.
    #[schemars(extend("x-duration" = ["1s", "1h"]))]
    pub metrics_interval: Interval,
    /// Posts, or batches, are compressed.
    pub gzip: bool,
    /// With kind = "http": how events stand in a post.
    pub body: Body,
    /// With kind = "syslog" over TCP or TLS: how messages are told apart.
    pub framing: Framing,
    /// With kind = "syslog".
    pub facility: Facility,
    /// With kind = "syslog": APP-NAME.
    #[schemars(extend("maxLength" = 48))]
    pub app_name: String,
    /// With kind = "elasticsearch": index or data stream; with kind = "splunk": the index, default the token's.
    pub index: Option<String>,
    /// With kind = "splunk".
    pub source_type: String,
    /// With kind = "splunk": a batch counts only when the indexers have it. The token must have it switched on.
    pub acknowledgement: bool,
    /// With kind = "kafka": the topic.
    #[schemars(extend("maxLength" = 249))]
    pub topic: String,
    /// With kind = "kafka": the partition that all events go to, in order. Default: 0.
    #[schemars(range(max = 0x7fff_ffff))]
    pub partition: Option<u32>,
    /// With kind = "kafka": events go to all partitions, by their ids; order then holds within each only.
    pub spread: bool,
    /// With kind = "kafka" and `user`: how the password is shown to be known (SASL).
    pub mechanism: Mechanism,
    /// With kind = "file": a file of this size is turned over.
    pub rotate_size: Octets,
    /// With kind = "file": older files that are kept.
    #[schemars(range(max = 1000))]
    pub keep: u32,
    pub redact: Redact,
}

/// What the receiver must not see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Redact {
    /// Mail addresses, wherever they stand.
    pub addresses: Hide,
    pub subject: Hide,
    /// Addresses and HELO names of clients.
    pub clients: Hide,
    /// Names that logged in.
    pub users: Hide,
    pub message_ids: Hide,
}

impl Default for Redact {
    fn default() -> Self {
        Self { addresses: Hide::Keep, subject: Hide::Keep, clients: Hide::Keep, users: Hide::Keep, message_ids: Hide::Keep }
    }
}

choice!(Hide => export::Hide { Keep = "keep", Hashed = "hashed", Off = "off" });
choice!(Start => export::Start { Now = "now", Oldest = "oldest" });
choice!(Body => http::Body { Lines = "lines", Array = "array" });
choice!(Framing => syslog::Framing { OctetCounting = "octet_counting", Lf = "lf" });
choice!(Protocol => otlp::Protocol { Http = "http", Grpc = "grpc" });
choice!(Signal => otlp::Signal { Logs = "logs", Traces = "traces", Metrics = "metrics" });
choice!(Mechanism => kafka::Mechanism { Plain = "plain", ScramSha256 = "scram-sha-256", ScramSha512 = "scram-sha-512" });
choice!(Format => EventFormat { Json = "json", Cef = "cef", Leef = "leef", Ecs = "ecs", Ocsf = "ocsf", Gelf = "gelf" });

/// What is spoken with the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Kind {
    Syslog,
    Http,
    Splunk,
    Elasticsearch,
    Otlp,
    Gelf,
    Kafka,
    File,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Syslog => "syslog",
            Self::Http => "http",
            Self::Splunk => "splunk",
            Self::Elasticsearch => "elasticsearch",
            Self::Otlp => "otlp",
            Self::Gelf => "gelf",
            Self::Kafka => "kafka",
            Self::File => "file",
        }
    }
}

/// Facilities of RFC 5424 §6.2.1 that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Facility {
    User,
    Mail,
    Daemon,
    Auth,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

impl From<Facility> for syslog::Facility {
    fn from(it: Facility) -> Self {
        match it {
            Facility::User => Self::User,
            Facility::Mail => Self::Mail,
            Facility::Daemon => Self::Daemon,
            Facility::Auth => Self::Auth,
            Facility::Local0 => Self::Local0,
            Facility::Local1 => Self::Local1,
            Facility::Local2 => Self::Local2,
            Facility::Local3 => Self::Local3,
            Facility::Local4 => Self::Local4,
            Facility::Local5 => Self::Local5,
            Facility::Local6 => Self::Local6,
            Facility::Local7 => Self::Local7,
        }
    }
}

impl Default for Export {
    fn default() -> Self {
        Self {
            name: "siem".to_owned(),
            enabled: true,
            kind: Kind::Syslog,
            url: None,
            path: None,
            format: None,
            include: None,
            exclude: None,
            start: Start::Now,
            timeline: false,
            max_event: None,
            batch_events: 1_000,
            batch_size: None,
            linger: None,
            report_after: Interval(Duration::from_secs(60)),
            ca_file: None,
            certificate: None,
            key: None,
            user: None,
            secret_file: None,
            secret_env: None,
            secret_header: None,
            protocol: Protocol::Http,
            signals: vec![Signal::Logs, Signal::Traces],
            metrics_interval: Interval(Duration::from_secs(60)),
            gzip: false,
            body: Body::Lines,
            framing: Framing::OctetCounting,
            facility: Facility::Mail,
            app_name: "relayscope".to_owned(),
            index: None,
            source_type: "relayscope:json".to_owned(),
            acknowledgement: false,
            topic: "relayscope".to_owned(),
            partition: None,
            spread: false,
            mechanism: Mechanism::ScramSha512,
            rotate_size: Octets(100 << 20),
            keep: 10,
            redact: Redact::default(),
        }
    }
}
