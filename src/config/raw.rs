//! The file as it is written, with the defaults of each module filled in. The documentation of each option is its doc comment.

use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::addresses::{HostPort, Listen, Network};
pub use super::anomaly::Anomaly;
pub use super::diagnosis::Diagnose;
pub use super::doctor::Doctor;
pub use super::export::Export;
pub use super::raw_dns::Dns;
pub use super::raw_http::Http;
pub use super::raw_route::Route;
use super::staging::StagingPlace;
use super::units::{Interval, Octets};
use crate::relay::options as relay;
use crate::store::options as store;
use crate::trace;

/// A closed choice: the words of the file, and the option that each stands for.
macro_rules! choice {
    ($name:ident => $option:ty { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[schemars(inline)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant),+ }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }

        impl From<$name> for $option {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant),+ }
            }
        }

        impl From<$option> for $name {
            fn from(option: $option) -> Self {
                match option { $(<$option>::$variant => Self::$variant),+ }
            }
        }
    };
}

choice!(Direction => trace::Direction { Outbound = "outbound", Inbound = "inbound" });
choice!(ClientTls => relay::ClientTls {
    Off = "off", Offered = "offered", Required = "required", Implicit = "implicit", Mirror = "mirror", Passthrough = "passthrough",
});
choice!(UpstreamTls => relay::UpstreamTls {
    Off = "off", Opportunistic = "opportunistic", Encrypt = "encrypt", Required = "required", Implicit = "implicit", Dane = "dane",
    MtaSts = "mta-sts", DaneOrMtaSts = "dane-or-mta-sts",
});
choice!(UpstreamKind => trace::UpstreamKind {
    SmartHost = "smart_host", Mx = "mx", OriginalDestination = "original_destination", Fixed = "fixed",
});
choice!(Protocol => relay::Protocol { Smtp = "smtp", Lmtp = "lmtp" });
choice!(TellClient => relay::TellClient { Off = "off", ProxyV2 = "proxy_v2", Xclient = "xclient", Xforward = "xforward" });
choice!(Ehlo => relay::Ehlo { Upstream = "upstream", Static = "static" });
choice!(Intercept => relay::Intercept { Off = "off", Redirect = "redirect", Tproxy = "tproxy" });
choice!(AuthMechanism => relay::AuthMechanism {
    Plain = "PLAIN", Login = "LOGIN", CramMd5 = "CRAM-MD5", XOAuth2 = "XOAUTH2",
});
choice!(BareNewline => relay::BareNewline { Guard = "guard", Reject = "reject", Normalize = "normalize" });
choice!(OnStoreFailure => relay::OnStoreFailure { Pass = "pass", Defer = "defer" });
choice!(Durability => store::Durability { Written = "written", Synced = "synced" });
choice!(LogFormat => super::LogFormat { Auto = "auto", Text = "text", Json = "json", Journald = "journald" });
choice!(LogLevel => super::LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" });

pub(super) use choice;

/// Relayscope's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Relayscope configuration")]
pub struct Raw {
    /// Name of this proxy in each record. Default: the machine's host name.
    #[schemars(extend("maxLength" = 255))]
    pub node: Option<String>,
    /// The name the proxy gives itself in replies of its own and in its self-signed certificate. Default: the machine's host name.
    #[schemars(extend("maxLength" = 255))]
    pub host_name: Option<String>,
    /// Threads that serve sessions; 0: one for each two processors.
    #[schemars(range(max = 256))]
    pub workers: u32,
    /// Where self-signed certificates are kept. If it can't be written to, the store's directory is used.
    pub certificate_dir: PathBuf,
    pub log: Log,
    pub listener: Vec<Listener>,
    pub upstream: Vec<Upstream>,
    pub route: Vec<Route>,
    pub dns: Dns,
    pub diagnose: Diagnose,
    pub doctor: Doctor,
    pub anomaly: Anomaly,
    pub export: Vec<Export>,
    pub limits: Limits,
    pub store: Store,
    pub http: Http,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            node: None,
            host_name: None,
            workers: 0,
            certificate_dir: "certs".into(),
            log: Log::default(),
            listener: vec![Listener::default()],
            upstream: Vec::new(),
            route: Vec::new(),
            dns: Dns::default(),
            diagnose: Diagnose::default(),
            doctor: Doctor::default(),
            anomaly: Anomaly::default(),
            export: Vec::new(),
            limits: Limits::default(),
            store: Store::default(),
            http: Http::default(),
        }
    }
}

/// The log, on standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Log {
    /// The least important lines that are still written.
    pub level: LogLevel,
    pub format: LogFormat,
    /// What of single parts is written, whatever the level: "relayscope::store=debug,relayscope::proxy=trace".
    pub filter: Option<String>,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Auto, filter: None }
    }
}

/// Where clients connect, and who may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Listener {
    /// Its name in records, logs and metrics.
    pub name: String,
    /// Addresses and ports.
    pub listen: Vec<Listen>,
    /// Which way the mail goes that comes in here.
    pub direction: Direction,
    /// Name of the upstream that its sessions go to. Default: the only one.
    pub upstream: Option<String>,
    /// TLS towards clients.
    pub tls: ClientTls,
    /// Certificate chain, PEM, the server's own first. Default: a self-signed one.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, PEM, not readable by every user.
    pub key: Option<PathBuf>,
    /// Client networks that may relay.
    pub allow: Vec<Network>,
    /// Offer AUTH to clients without TLS, even off loopback.
    pub allow_plaintext_auth: bool,
    /// Where the answer to EHLO comes from. Default: "static" where mail goes to mail exchangers, "upstream" elsewhere.
    pub ehlo: Option<Ehlo>,
    /// Load balancers that begin each connection with a PROXY header.
    pub accept_proxy: Vec<Network>,
    /// Recipient domains that mail may come in for; empty: all that the upstream takes.
    pub accept_domains: Vec<String>,
    /// Take connections that a rule of the firewall diverts here.
    pub intercept: Intercept,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            name: "smtp".to_owned(),
            listen: vec![Listen((std::net::Ipv4Addr::LOCALHOST, 2525).into())],
            direction: Direction::Outbound,
            upstream: None,
            tls: ClientTls::Offered,
            certificate: None,
            key: None,
            allow: loopback().into_iter().map(Network).collect(),
            allow_plaintext_auth: false,
            ehlo: None,
            accept_proxy: Vec::new(),
            accept_domains: Vec::new(),
            intercept: Intercept::Off,
        }
    }
}

/// The client networks that may relay unless others are named.
fn loopback() -> [IpNet; 2] {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let four = ipnet::Ipv4Net::new(Ipv4Addr::new(127, 0, 0, 0), 8).unwrap_or_default();
    [four.into(), IpNet::from(std::net::IpAddr::from(Ipv6Addr::LOCALHOST))]
}

/// Where mail goes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Upstream {
    pub name: String,
    /// How the next hop is found.
    pub kind: UpstreamKind,
    /// In the order in which they are tried.
    pub hosts: Vec<HostPort>,
    /// TLS towards the hosts. Default: "implicit" on port 465, "opportunistic" on others.
    pub tls: Option<UpstreamTls>,
    /// Certificates to trust beside the system's, PEM: of an authority, or the host's own.
    pub ca_file: Option<PathBuf>,
    /// Send credentials without verified TLS.
    pub allow_plaintext_auth: bool,
    /// EHLO keywords to hide from clients, beyond what the proxy must hide itself.
    pub hide: Vec<String>,
    /// EHLO keywords to pass on that the proxy doesn't know and would hide.
    pub pass: Vec<String>,
    /// What is spoken with the hosts.
    pub protocol: Protocol,
    /// Most recipients of one message where LMTP is spoken.
    #[schemars(range(min = 1, max = 10_000))]
    pub lmtp_recipients: u32,
    /// Port of mail exchangers.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Networks where mail exchangers may be although the internet doesn't reach them.
    pub private_networks: Vec<Network>,
    /// How the hosts learn who the client is.
    pub tell_client: TellClient,
    /// Put a `Received` line before each message.
    pub add_received: bool,
    /// Connect to the host from the client's own address.
    pub preserve_source: bool,
    /// Set on each packet to the hosts, so that the firewall's rules can tell it.
    #[schemars(range(min = 1))]
    pub mark: Option<u32>,
    /// Pause between probes of the hosts; "0s": none.
    #[schemars(extend("x-duration" = ["0s", "1d"]))]
    pub probe: Interval,
    pub auth: Option<UpstreamAuth>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            name: "main".to_owned(),
            kind: UpstreamKind::SmartHost,
            hosts: Vec::new(),
            tls: None,
            ca_file: None,
            allow_plaintext_auth: false,
            hide: Vec::new(),
            pass: Vec::new(),
            protocol: Protocol::Smtp,
            lmtp_recipients: 1,
            port: 25,
            private_networks: Vec::new(),
            tell_client: TellClient::Off,
            add_received: false,
            preserve_source: false,
            mark: None,
            probe: Interval(std::time::Duration::ZERO),
            auth: None,
        }
    }
}

/// How the proxy itself logs in to the smart host, for servers that can't.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct UpstreamAuth {
    /// Default: the strongest that the smart host offers of CRAM-MD5, PLAIN, LOGIN.
    pub mechanism: Option<AuthMechanism>,
    pub user: String,
    /// File with the password (or the access token) in its only line, not readable by every user.
    pub password_file: Option<PathBuf>,
    /// Environment variable with the password (or the access token).
    pub password_env: Option<String>,
}

/// Bounds on memory, time and connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Limits {
    /// Open client sessions; 421 beyond.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sessions: u32,
    /// Open client sessions from one address; 421 beyond.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sessions_per_client: u32,
    /// A command line with its CRLF.
    #[schemars(extend("x-octets" = [512, 65_536]))]
    pub command_line: Octets,
    /// A line of an AUTH exchange with its CRLF.
    #[schemars(extend("x-octets" = [512, 1_048_576]))]
    pub auth_line: Octets,
    /// One line of an upstream's reply with its CRLF.
    #[schemars(extend("x-octets" = [512, 65_536]))]
    pub reply_line: Octets,
    /// Lines of one upstream reply.
    #[schemars(range(min = 16, max = 10_000))]
    pub reply_lines: u32,
    /// A message; announced in SIZE. 0: no limit but the upstream's.
    pub message_size: Octets,
    /// Recipients of one transaction; 452 beyond.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub recipients: u32,
    /// Recipients kept in one record; those beyond are counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub recorded_recipients: u32,
    /// Lines of dialogue kept in one record.
    #[schemars(range(max = 100_000))]
    pub timeline_lines: u32,
    /// Octets kept of one line of dialogue.
    #[schemars(extend("x-octets" = [64, 65_536]))]
    pub timeline_line: Octets,
    /// Header octets of a message that are read for the record.
    #[schemars(extend("x-octets" = [1_024, 16_777_216]))]
    pub header_capture: Octets,
    /// Octets of a delivery report captured to be read; 0: none.
    pub report_capture: Octets,
    /// 5xx replies of the proxy itself to a client, after which its session is closed; 0: never.
    #[schemars(range(max = 1_000_000))]
    pub client_errors: u32,
    /// CR or LF alone in a message sent with DATA.
    pub bare_newline: BareNewline,
    pub timeouts: Timeouts,
}

/// How long each step may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Timeouts {
    /// Finding the addresses of a host.
    #[schemars(extend("x-duration" = ["100ms", "5m"]))]
    pub dns: Interval,
    /// TCP connection, for each address.
    #[schemars(extend("x-duration" = ["100ms", "10m"]))]
    pub connect: Interval,
    /// A TLS handshake, either leg.
    #[schemars(extend("x-duration" = ["1s", "10m"]))]
    pub tls_handshake: Interval,
    /// The PROXY header of a listed load balancer.
    #[schemars(extend("x-duration" = ["100ms", "5m"]))]
    pub proxy_header: Interval,
    /// The upstream's greeting.
    #[schemars(extend("x-duration" = ["1s", "1h"]))]
    pub banner: Interval,
    /// The upstream's reply to EHLO, STARTTLS, AUTH, MAIL, RCPT and others.
    #[schemars(extend("x-duration" = ["1s", "1h"]))]
    pub reply: Interval,
    /// The upstream's 354 to DATA.
    #[schemars(extend("x-duration" = ["1s", "1h"]))]
    pub data_reply: Interval,
    /// The client's next command.
    #[schemars(extend("x-duration" = ["1s", "1d"]))]
    pub client_command: Interval,
    /// The client's next octets of a message.
    #[schemars(extend("x-duration" = ["1s", "1d"]))]
    pub client_data: Interval,
    /// A write that makes no progress, either leg.
    #[schemars(extend("x-duration" = ["1s", "1h"]))]
    pub write: Interval,
    /// The upstream's reply to end-of-data, while the client stays.
    #[schemars(extend("x-duration" = ["10s", "1d"]))]
    pub end_of_data: Interval,
    /// The same after the client has gone.
    #[schemars(extend("x-duration" = ["1s", "1d"]))]
    pub late_reply: Interval,
    /// After SIGTERM: for transactions past end-of-data to finish.
    #[schemars(extend("x-duration" = ["1s", "1d"]))]
    pub drain: Interval,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = relay::Limits::default();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let octets = |octets: usize| Octets(octets as u64);
        Self {
            sessions: count(limits.sessions),
            sessions_per_client: count(limits.sessions_per_client),
            command_line: octets(limits.command_line),
            auth_line: octets(limits.auth_line),
            reply_line: octets(limits.reply_line),
            reply_lines: count(limits.reply_lines),
            message_size: Octets(limits.message_size),
            recipients: count(limits.recipients),
            recorded_recipients: count(limits.recorded_recipients),
            timeline_lines: count(limits.timeline_lines),
            timeline_line: octets(limits.timeline_line),
            header_capture: octets(limits.header_capture),
            report_capture: octets(limits.report_capture),
            client_errors: limits.client_errors,
            bare_newline: limits.bare_newline.into(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let timeouts = relay::Timeouts::default();
        Self {
            dns: Interval(timeouts.dns),
            connect: Interval(timeouts.connect),
            tls_handshake: Interval(timeouts.tls_handshake),
            proxy_header: Interval(timeouts.proxy_header),
            banner: Interval(timeouts.banner),
            reply: Interval(timeouts.reply),
            data_reply: Interval(timeouts.data_reply),
            client_command: Interval(timeouts.client_command),
            client_data: Interval(timeouts.client_data),
            write: Interval(timeouts.write),
            end_of_data: Interval(timeouts.end_of_data),
            late_reply: Interval(timeouts.late_reply),
            drain: Interval(timeouts.drain),
        }
    }
}

/// Where traces are kept, how surely and how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Store {
    pub dir: PathBuf,
    /// When a record counts as stored.
    pub durability: Durability,
    /// Where records wait in memory for the journal: "auto", "off" or a directory.
    pub staging: StagingPlace,
    /// Mail while the store fails.
    pub on_store_failure: OnStoreFailure,
    /// How long a reply waits for its record at most.
    #[schemars(extend("x-duration" = ["10ms", "1m"]))]
    pub store_wait: Interval,
    /// Pause between writes to the disk itself.
    #[schemars(extend("x-duration" = ["1ms", "1m"]))]
    pub sync_every: Interval,
    /// Records that may wait for the writer.
    #[schemars(extend("x-octets" = [1_048_576, 4_294_967_296_u64]))]
    pub queue_size: Octets,
    /// A journal file is sealed at this size.
    #[schemars(extend("x-octets" = [1_048_576, 4_294_967_296_u64]))]
    pub segment_size: Octets,
    /// Memory for what is known of the index without reading it.
    #[schemars(extend("x-octets" = [8_388_608, 68_719_476_736_u64]))]
    pub cache_size: Octets,
    /// Days kept; 0: all.
    #[schemars(range(max = 36_500))]
    pub keep_days: u32,
    /// Days for which what failed is kept; 0: as long as everything else.
    #[schemars(range(max = 36_500))]
    pub keep_failures_days: u32,
    /// Days for which dialogues are kept; 0: as long as their records.
    #[schemars(range(max = 36_500))]
    pub keep_dialogues_days: u32,
    /// Octets kept: dialogues go first, then what went well, then whole days; 0: all.
    pub keep_size: Octets,
    /// Octets that the file system is to have free, made in the same way; 0: none.
    pub keep_free_size: Octets,
}

impl Default for Store {
    fn default() -> Self {
        let options = store::Options::new("relayscope-store");
        Self {
            dir: options.dir,
            durability: options.durability.into(),
            staging: StagingPlace::Auto,
            on_store_failure: OnStoreFailure::Pass,
            store_wait: Interval(relay::Timeouts::default().store_wait),
            sync_every: Interval(options.sync_every),
            queue_size: Octets(options.queue_octets as u64),
            segment_size: Octets(options.segment_octets),
            cache_size: Octets(options.cache_octets),
            keep_days: options.keep_days,
            keep_failures_days: options.keep_failures_days,
            keep_dialogues_days: options.keep_dialogues_days,
            keep_size: Octets(options.keep_octets),
            keep_free_size: Octets(options.keep_free_octets),
        }
    }
}
