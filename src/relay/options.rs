//! What the relay engine and the proxy around it can be told. `config` fills these in; tests build them by hand.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::diagnose::Diagnosing;
use crate::route::{self, Table};
use crate::trace::{Direction, UpstreamKind};

/// A value that never shows itself: not in `Debug`, logs, errors or exports.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; each caller is a place to review.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]") // in debug builds too
    }
}

/// One `[[listener]]`.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    pub name: String,
    pub listen: Vec<SocketAddr>,
    pub direction: Direction,
    /// Name of the `[[upstream]]` that its sessions go to.
    pub upstream: String,
    pub tls: ClientTls,
    /// Certificate chain and key, PEM; self-signed ones are made where absent.
    pub certificate: Option<CertificateFiles>,
    /// Client networks that may relay. Default: loopback.
    pub allow: Vec<IpNet>,
    /// Offer AUTH to clients without TLS even off loopback.
    pub allow_plaintext_auth: bool,
    pub ehlo: Ehlo,
    /// Load balancers that begin each connection with a PROXY header; the client is whom it names.
    pub accept_proxy: Vec<IpNet>,
    /// Recipient domains that mail may come in for; empty: all that the upstream takes. Lower case; ".example.org" stands for all below.
    pub accept_domains: Vec<String>,
    pub intercept: Intercept,
}

/// The port of submissions: TLS begins with the first octet there (RFC 8314 §3.3).
pub const SUBMISSIONS: u16 = 465;

impl ListenerOptions {
    /// Whether clients of other machines come in here: to an address of its own, through a load balancer, or diverted.
    pub fn is_reachable(&self) -> bool {
        let beyond = self.listen.iter().any(|listen| !listen.ip().is_loopback());
        beyond || !self.accept_proxy.is_empty() || self.intercept != Intercept::Off
    }

    /// Whether it takes mail of any client for anywhere, because the server behind it by default decides that itself. In sessions that
    /// are passed through unread, `accept_domains` doesn't count.
    pub fn is_for_everybody(&self, by_default: &UpstreamOptions, unread: bool) -> bool {
        by_default.kind == UpstreamKind::Fixed && self.is_reachable() && (unread || self.accept_domains.is_empty())
    }
}

/// Where the answer to EHLO comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ehlo {
    /// From the upstream, which is connected before the client is greeted.
    Upstream,
    /// From the proxy: the upstream is chosen and connected at the first RCPT TO.
    Static,
}

/// Whether connections come here that were meant for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intercept {
    Off,
    /// Diverted by a REDIRECT rule: the kernel remembers the destination.
    Redirect,
    /// Diverted by a TPROXY rule: the socket's own address is the destination.
    Tproxy,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// TLS on the client leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTls {
    Off,
    Offered,
    Required,
    Implicit,
    /// Offered if the upstream offers it.
    Mirror,
    /// The client shakes hands with the upstream itself; the proxy passes the octets on unread.
    Passthrough,
}

/// One `[[upstream]]`: where mail goes to, with one policy.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    pub name: String,
    pub kind: UpstreamKind,
    pub protocol: Protocol,
    /// Most recipients of a message to an LMTP server; 452 4.5.3 beyond.
    pub lmtp_recipients: usize,
    /// In the order in which they are tried. Empty where the next hop isn't a list: `Mx`, `OriginalDestination`.
    pub hosts: Vec<SmartHost>,
    /// TLS towards hosts that aren't in a list.
    pub tls: UpstreamTls,
    /// Port of mail exchangers.
    pub port: u16,
    /// Networks where mail exchangers may be although the internet can't reach them: private, loopback, this machine itself.
    pub private_networks: Vec<IpNet>,
    /// How the upstream learns who the client is.
    pub tell_client: TellClient,
    /// Put a `Received` line before the message. Alters it.
    pub add_received: bool,
    /// Connect from the client's own address (`OriginalDestination`, `Fixed`; Linux).
    pub preserve_source: bool,
    /// Set on each packet to the hosts, so that the firewall's rules can tell it (Linux).
    pub mark: Option<u32>,
    /// Pause between probes of hosts that no session has used; `None`: none are made.
    pub probe: Option<Duration>,
    pub auth: Option<UpstreamAuth>,
    /// Send credentials (relayed or our own) without verified TLS.
    pub allow_plaintext_auth: bool,
    /// More trusted roots, PEM, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// EHLO keywords to hide from clients, beyond what the proxy itself must hide. Upper case.
    pub hide: Vec<String>,
    /// EHLO keywords to pass through that the proxy would hide as unknown to it. Upper case.
    pub pass: Vec<String>,
}

impl UpstreamOptions {
    /// Whether it is a server that decides by whom it has to do with, and hears that. Where the proxy logs in, it hears of one user alone.
    pub fn knows_its_clients(&self) -> bool {
        let told = matches!(self.tell_client, TellClient::Xclient | TellClient::ProxyV2);
        self.kind == UpstreamKind::Fixed && told && self.auth.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartHost {
    /// A name or an IP address.
    pub host: String,
    pub port: u16,
    pub tls: UpstreamTls,
}

/// TLS on the upstream leg. Default: `Implicit` on port 465, `Opportunistic` elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamTls {
    Off,
    /// STARTTLS where offered; an unverified certificate is accepted and recorded; a failed handshake is tried once more in clear.
    Opportunistic,
    /// TLS with any certificate, or no mail.
    Encrypt,
    /// STARTTLS with a verified certificate, or no mail.
    Required,
    /// As the destination's TLSA records say (RFC 7672), otherwise `Opportunistic`.
    Dane,
    /// As the destination's MTA-STS policy says (RFC 8461), otherwise `Opportunistic`.
    MtaSts,
    /// DANE where there are TLSA records, otherwise MTA-STS where there is a policy, otherwise `Opportunistic`.
    DaneOrMtaSts,
    /// TLS from the first octet, verified.
    Implicit,
}

/// What is spoken with the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    /// RFC 2033: LHLO, and a reply to end-of-data for each recipient.
    Lmtp,
}

/// How the upstream learns who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TellClient {
    Off,
    /// A PROXY v2 header before anything else.
    ProxyV2,
    /// XCLIENT, from upstreams that offer it to this proxy.
    Xclient,
    /// XFORWARD, likewise; for the upstream's log alone.
    Xforward,
}

/// How the proxy itself logs in to the smart host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAuth {
    /// `None`: the strongest that the upstream offers of CRAM-MD5, PLAIN, LOGIN.
    pub mechanism: Option<AuthMechanism>,
    pub user: String,
    /// Password, or the access token for XOAUTH2.
    pub secret: Secret<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMechanism {
    Plain,
    Login,
    CramMd5,
    XOAuth2,
}

/// What happens to CR or LF alone in a DATA body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareNewline {
    /// Refuse only what a lenient server could take for end-of-data.
    Guard,
    Reject,
    /// Make each a CRLF. Alters the message.
    Normalize,
}

/// What to do with mail when the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreFailure {
    Pass,
    Defer,
}

impl SessionOptions {
    /// Where a session goes, or a message once its envelope is known; the rule that says so, if one does.
    pub fn destination(
        &self,
        session: route::Session<'_>,
        envelope: Option<route::Envelope<'_>>,
    ) -> (Arc<UpstreamOptions>, Option<&route::Rule>) {
        let rule = self.routes.choose(session, envelope);
        let named = rule.and_then(|rule| self.upstreams.iter().find(|upstream| upstream.name == rule.upstream));
        (named.unwrap_or(&self.upstream).clone(), rule)
    }

    /// Whether TLS of a session is between client and upstream. `rule`: the one that chose its upstream, by name.
    pub fn passes_through(&self, rule: Option<&str>) -> bool {
        let chosen = rule.and_then(|name| self.routes.rules.iter().find(|rule| rule.name == name));
        self.listener.tls == ClientTls::Passthrough || chosen.is_some_and(|rule| rule.passthrough)
    }
}

/// `[limits]`: bounds on memory, time and connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open client sessions, whole process. 421 beyond.
    pub sessions: usize,
    /// Open client sessions from one address. 421 beyond.
    pub sessions_per_client: usize,
    /// A command line with CRLF (RFC 5321 §4.5.3.1.4 asks for 512 plus extensions).
    pub command_line: usize,
    /// An AUTH line with CRLF (RFC 4954 §4).
    pub auth_line: usize,
    /// One line of an upstream reply with CRLF.
    pub reply_line: usize,
    /// Lines of one upstream reply.
    pub reply_lines: usize,
    /// Octets of a message (0: no limit but the upstream's). Announced in SIZE.
    pub message_size: u64,
    /// Recipients of one transaction; 452 4.5.3 beyond.
    pub recipients: usize,
    /// Recipients kept in one record; beyond, counted.
    pub recorded_recipients: usize,
    /// Lines of a timeline kept in one record.
    pub timeline_lines: usize,
    /// Octets of one timeline line kept.
    pub timeline_line: usize,
    /// Header octets captured of a message.
    pub header_capture: usize,
    /// Octets of a delivery report captured to be read; 0: none are read. Nothing is captured of other messages.
    pub report_capture: usize,
    /// Errors (5xx replies of our own to commands) after which the session is closed with 421; 0: never.
    pub client_errors: u32,
    pub bare_newline: BareNewline,
    pub timeouts: Timeouts,
}

/// RFC 5321 §4.5.3.2, and what it leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    pub dns: Duration,
    /// TCP connect, for each address.
    pub connect: Duration,
    pub tls_handshake: Duration,
    /// The load balancer's PROXY header.
    pub proxy_header: Duration,
    /// Upstream's greeting.
    pub banner: Duration,
    /// Upstream's reply to EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT and others.
    pub reply: Duration,
    /// Upstream's 354 after DATA.
    pub data_reply: Duration,
    /// Client's next command.
    pub client_command: Duration,
    /// Client's next octets of a message.
    pub client_data: Duration,
    /// A write that makes no progress, either leg.
    pub write: Duration,
    /// Upstream's reply to end-of-data while the client stays.
    pub end_of_data: Duration,
    /// The same after the client has gone.
    pub late_reply: Duration,
    /// SIGTERM: how long transactions past end-of-data may take to finish.
    pub drain: Duration,
    /// How long a reply waits for its record ("pass").
    pub store_wait: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |m: u64| Duration::from_secs(60 * m);
        Self {
            dns: Duration::from_secs(10),
            connect: Duration::from_secs(30),
            tls_handshake: Duration::from_secs(30),
            proxy_header: Duration::from_secs(10),
            banner: minutes(5),
            reply: minutes(5),
            data_reply: minutes(2),
            client_command: minutes(6), // longer than the upstream's usual five: the upstream speaks first
            client_data: minutes(6),
            write: minutes(3),
            end_of_data: minutes(20),
            late_reply: minutes(10),
            drain: minutes(20),
            store_wait: Duration::from_secs(1),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            sessions_per_client: 1_000,
            command_line: 4_096,
            auth_line: 12_288,
            reply_line: 4_096,
            reply_lines: 256,
            message_size: 0,
            recipients: 10_000,
            recorded_recipients: 1_000,
            timeline_lines: 512,
            timeline_line: 512,
            header_capture: 65_536,
            report_capture: 65_536,
            client_errors: 100,
            bare_newline: BareNewline::Guard,
            timeouts: Timeouts::default(),
        }
    }
}

/// Everything a session needs to know, shared by all of a listener's sessions.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    pub listener: Arc<ListenerOptions>,
    /// Where sessions go that no rule of the table sends elsewhere.
    pub upstream: Arc<UpstreamOptions>,
    /// Where rules may send sessions or messages, `upstream` among them.
    pub upstreams: Arc<Vec<Arc<UpstreamOptions>>>,
    pub routes: Arc<Table>,
    pub limits: Arc<Limits>,
    pub on_store_failure: OnStoreFailure,
    pub diagnosing: Diagnosing,
    /// The name the proxy gives itself in replies of its own (greeting position, STARTTLS, QUIT).
    pub host_name: String,
}
