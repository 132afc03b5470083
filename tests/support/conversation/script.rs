//! The script language: one conversation a file.
//!
//! ```text
//! # why this conversation matters
//! ! upstream tls required            options, before the first event; see `option`
//! C: EHLO client.example\r\n         octets of the client; lines that follow each other are one segment, a blank line parts them
//! S: 250 ok\r\n                      octets of the upstream
//! * client resets                    anything else that happens; see `event`
//! >C: 250 ok\r\n                     what must have come out to the client since the last event, no more and no less
//! >S: EHLO client.example\r\n        and to the upstream
//! >S! dropped                        signs of a leg: closed, side closed, dropped, tls, connect mx2.example
//! = transaction state=accepted       the records, in order and all of them; see `facts`
//! ```
//! Shorthands for what isn't the point: `* hello KEYWORD, …`, `* mail [FROM [TO …]]`, `* data`, `* message`, `* quit`.
//! In what goes to the client, `(trace *)` stands for any trace id.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use relayscope::relay::options::{
    AuthMechanism, BareNewline, ClientTls, Ehlo, Intercept, Limits, ListenerOptions, OnStoreFailure, Protocol, Secret, SessionOptions,
    SmartHost, TellClient, UpstreamAuth, UpstreamOptions, UpstreamTls,
};
use relayscope::route::{Rule, Table};
use relayscope::trace::{Direction, Leg, UpstreamKind};

use super::facts::Fact;
use super::show::unescape;
use super::world::{ByHand, Sign};

#[derive(Debug, Clone)]
pub enum Event {
    Start,
    Octets(Leg, Vec<u8>),
    HostsFound(Vec<String>),
    HostsNotFound {
        code: u16,
        enhanced: (u8, u16, u16),
        error: String,
    },
    Connected {
        tls: Option<bool>,
    },
    ConnectFails(String),
    /// The host is this machine: it is not connected to, nor those behind it.
    ConnectLoops(String),
    Closes(Leg),
    Cuts(Leg),
    Resets(Leg),
    ClientLost,
    TlsEstablished {
        leg: Leg,
        verified: bool,
    },
    TlsFails(Leg, String),
    Passes(Duration),
    Stored(bool),
    MarkStored(bool),
    StoreDown(bool),
    QuotasLifted,
    /// The quota of that upstream is used up, for everybody, for one user or for one sender.
    Exhausted {
        upstream: String,
        user: Option<String>,
        sender: Option<String>,
    },
    Drain,
    ShutDown,
}

#[derive(Debug, Clone)]
pub struct Step {
    /// Line of the script, from 1.
    pub line: usize,
    /// The last source line of the event.
    pub last_line: usize,
    pub source: Vec<String>,
    pub event: Event,
    pub client: Vec<Sign>,
    pub upstream: Vec<Sign>,
    pub shorthand: bool,
}

#[derive(Debug, Clone)]
pub struct Script {
    pub options: Arc<SessionOptions>,
    pub client_ip: IpAddr,
    pub by_hand: ByHand,
    pub refuse: Option<(u16, String)>,
    /// Only as written: where a cut is the point, others change the story.
    pub whole_only: bool,
    pub secrets: Vec<String>,
    pub steps: Vec<Step>,
    pub facts: Vec<Fact>,
}

/// What the options lines make, before it is shared.
struct Making {
    listener: ListenerOptions,
    upstream: UpstreamOptions,
    others: Vec<UpstreamOptions>,
    rules: Vec<Rule>,
    limits: Limits,
    on_store_failure: OnStoreFailure,
    script: Script,
    /// The event lines that the next one may join.
    joins: bool,
}

pub fn parse(text: &str) -> Result<Script, String> {
    let mut making = Making::new();
    for (at, line) in text.lines().enumerate() {
        making.line(at + 1, line, false).map_err(|error| format!("line {}: {error}\n    {line}", at + 1))?;
    }
    let mut script = making.script;
    let upstream = Arc::new(making.upstream);
    let session = SessionOptions {
        listener: Arc::new(making.listener),
        upstreams: Arc::new(std::iter::once(upstream.clone()).chain(making.others.into_iter().map(Arc::new)).collect()),
        routes: Arc::new(Table { rules: making.rules }),
        upstream,
        limits: Arc::new(making.limits),
        on_store_failure: making.on_store_failure,
        diagnosing: Default::default(),
        host_name: "proxy.example".into(),
    };
    script.options = Arc::new(session);
    Ok(script)
}

/// The options of a script that says nothing about them.
pub fn plain_options() -> SessionOptions {
    match parse("") {
        Ok(script) => Arc::unwrap_or_clone(script.options),
        Err(error) => unreachable!("{error}"),
    }
}

fn default_listener() -> ListenerOptions {
    ListenerOptions {
        name: "mail".into(),
        listen: Vec::new(),
        direction: Direction::Outbound,
        upstream: "smart".into(),
        tls: ClientTls::Off,
        certificate: None,
        allow: Vec::new(),
        allow_plaintext_auth: false,
        ehlo: Ehlo::Upstream,
        accept_proxy: Vec::new(),
        accept_domains: Vec::new(),
        intercept: Intercept::Off,
    }
}

impl Making {
    fn new() -> Self {
        let upstream = UpstreamOptions {
            name: "smart".into(),
            kind: UpstreamKind::SmartHost,
            protocol: Protocol::Smtp,
            lmtp_recipients: 1,
            tls: UpstreamTls::Off,
            port: 25,
            private_networks: Vec::new(),
            tell_client: TellClient::Off,
            add_received: false,
            preserve_source: false,
            mark: None,
            probe: None,
            hosts: vec![SmartHost { host: "mx.example".into(), port: 25, tls: UpstreamTls::Off }],
            auth: None,
            allow_plaintext_auth: false,
            ca_file: None,
            hide: Vec::new(),
            pass: Vec::new(),
        };
        let options = SessionOptions {
            listener: Arc::new(default_listener()),
            upstream: Arc::new(upstream.clone()),
            upstreams: Arc::default(),
            routes: Arc::default(),
            limits: Arc::default(),
            on_store_failure: OnStoreFailure::Pass,
            diagnosing: Default::default(),
            host_name: "proxy.example".into(),
        };
        let start = Step {
            line: 0,
            last_line: 0,
            source: vec!["(start)".into()],
            event: Event::Start,
            client: Vec::new(),
            upstream: Vec::new(),
            shorthand: false,
        };
        let script = Script {
            options: Arc::new(options),
            client_ip: IpAddr::from([127, 0, 0, 1]),
            by_hand: ByHand { connect: false, store: false, mark: false, failures: false },
            refuse: None,
            whole_only: false,
            secrets: Vec::new(),
            steps: vec![start],
            facts: Vec::new(),
        };
        Self {
            listener: default_listener(),
            upstream,
            others: Vec::new(),
            rules: Vec::new(),
            limits: Limits::default(),
            on_store_failure: OnStoreFailure::Pass,
            script,
            joins: false,
        }
    }

    fn line(&mut self, number: usize, line: &str, shorthand: bool) -> Result<(), String> {
        let joins = std::mem::take(&mut self.joins);
        let line = line.trim_end();
        let (head, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        match head {
            _ if line.is_empty() || line.starts_with('#') => Ok(()),
            "! " => self.option(rest),
            "C:" | "S:" => {
                let leg = if head == "C:" { Leg::Client } else { Leg::Upstream };
                let octets = unescape(rest.strip_prefix(' ').unwrap_or(rest))?;
                self.joins = true;
                if joins
                    && let Some(step) = self.script.steps.last_mut()
                    && let Event::Octets(before, all) = &mut step.event
                    && *before == leg
                {
                    all.extend(octets);
                    step.last_line = number;
                    step.source.push(line.to_owned());
                    return Ok(());
                }
                self.step(number, line, Event::Octets(leg, octets), shorthand);
                Ok(())
            }
            "* " => match self.shorthand(rest) {
                Some(lines) => {
                    for made in lines {
                        self.line(number, &made, true)?;
                    }
                    self.joins = false;
                    Ok(())
                }
                None => {
                    let event = event(rest)?;
                    self.step(number, line, event, shorthand);
                    Ok(())
                }
            },
            ">C" | ">S" => self.expectation(head == ">C", rest),
            "= " => {
                self.script.facts.push(Fact::parse(number, rest)?);
                Ok(())
            }
            _ => Err("a line begins with #, !, C:, S:, *, >C:, >S:, >C!, >S! or =".into()),
        }
    }

    fn step(&mut self, line: usize, source: &str, event: Event, shorthand: bool) {
        let source = vec![source.to_owned()];
        self.script.steps.push(Step { line, last_line: line, source, event, client: Vec::new(), upstream: Vec::new(), shorthand });
    }

    fn expectation(&mut self, client: bool, rest: &str) -> Result<(), String> {
        let Some(step) = self.script.steps.last_mut() else { return Ok(()) };
        let signs = if client { &mut step.client } else { &mut step.upstream };
        if let Some(text) = rest.strip_prefix(':') {
            let octets = unescape(text.strip_prefix(' ').unwrap_or(text))?;
            match signs.last_mut() {
                Some(Sign::Octets(before)) => before.extend(octets),
                _ => signs.push(Sign::Octets(octets)),
            }
            return Ok(());
        }
        let word = rest.strip_prefix('!').ok_or("expected `:` or `!`")?.trim();
        signs.push(match word {
            "closed" => Sign::Closed,
            "side closed" => Sign::SideClosed,
            "dropped" => Sign::Dropped,
            "tls" => Sign::Tls,
            "host failed" => Sign::HostFailed,
            "host serves" => Sign::HostServes,
            _ => match word.split_once(' ') {
                Some(("connect", host)) => Sign::Connect(host.to_owned()),
                Some(("find", domain)) => Sign::Find(domain.to_owned()),
                _ => return Err("signs are: closed, side closed, dropped, tls, host failed, host serves, connect HOST, find DOMAIN".into()),
            },
        });
        Ok(())
    }

    /// The lines that a shorthand stands for.
    fn shorthand(&self, words: &str) -> Option<Vec<String>> {
        let (name, rest) = words.split_once(' ').unwrap_or((words, ""));
        let exchange = |command: &str, reply: &str| {
            vec![format!("C: {command}\\r\\n"), format!(">S: {command}\\r\\n"), format!("S: {reply}\\r\\n"), format!(">C: {reply}\\r\\n")]
        };
        Some(match name {
            "hello" => {
                let mut lines = vec!["S: 220 mx.example ESMTP\\r\\n".to_owned(), ">C: 220 mx.example ESMTP\\r\\n".to_owned()];
                let keywords: Vec<_> = rest.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
                let reply = match keywords.split_last() {
                    None => "250 mx.example".to_owned(),
                    Some((last, others)) => {
                        let others: String = others.iter().map(|keyword| format!("250-{keyword}\\r\\n")).collect();
                        format!("250-mx.example\\r\\n{others}250 {last}")
                    }
                };
                lines.extend(exchange("EHLO client.example", &reply));
                lines
            }
            "mail" => {
                let mut paths = rest.split_whitespace();
                let mut lines = exchange(&format!("MAIL FROM:<{}>", paths.next().unwrap_or("ann@x.example")), "250 2.1.0 ok");
                let mut recipients: Vec<_> = paths.collect();
                if recipients.is_empty() {
                    recipients.push("bob@y.example");
                }
                lines.extend(recipients.iter().flat_map(|path| exchange(&format!("RCPT TO:<{path}>"), "250 2.1.5 ok")));
                lines
            }
            "data" => exchange("DATA", "354 go ahead"),
            "message" => {
                let mut lines = exchange("DATA", "354 go ahead");
                let mut end = exchange("Message-ID: <1@x.example>\\r\\n\\r\\nhi\\r\\n.", "250 2.0.0 Ok: queued as 4AbcD12345z");
                lines.append(&mut end);
                lines
            }
            "quit" => {
                let mut lines = exchange("QUIT", "221 2.0.0 bye");
                lines.extend([">C! closed".to_owned(), ">S! closed".to_owned()]);
                lines
            }
            _ => return None,
        })
    }

    fn option(&mut self, words: &str) -> Result<(), String> {
        let all: Vec<_> = words.split_whitespace().collect();
        match all.as_slice() {
            ["client", ip] => self.script.client_ip = ip.parse().map_err(|_| "no IP address")?,
            ["hosts", hosts @ ..] => {
                let tls = self.upstream.hosts.first().map_or(UpstreamTls::Off, |host| host.tls);
                self.upstream.hosts = hosts.iter().map(|host| SmartHost { host: (*host).to_owned(), port: 25, tls }).collect();
            }
            ["upstream", "tls", policy] => {
                let tls = match *policy {
                    "off" => UpstreamTls::Off,
                    "opportunistic" => UpstreamTls::Opportunistic,
                    "encrypt" => UpstreamTls::Encrypt,
                    "required" => UpstreamTls::Required,
                    "implicit" => UpstreamTls::Implicit,
                    _ => return Err("off, opportunistic, required or implicit".into()),
                };
                self.upstream.tls = tls;
                self.upstream.hosts.iter_mut().for_each(|host| host.tls = tls);
            }
            ["listener", "tls", policy] => {
                self.listener.tls = match *policy {
                    "off" => ClientTls::Off,
                    "offered" => ClientTls::Offered,
                    "required" => ClientTls::Required,
                    "implicit" => ClientTls::Implicit,
                    "mirror" => ClientTls::Mirror,
                    "passthrough" => ClientTls::Passthrough,
                    _ => return Err("off, offered, required, implicit, mirror or passthrough".into()),
                }
            }
            ["fixed"] => self.upstream.kind = UpstreamKind::Fixed,
            ["tell", "client", how] => {
                let ways = [("xclient", TellClient::Xclient), ("xforward", TellClient::Xforward), ("proxy_v2", TellClient::ProxyV2)];
                let (_, way) = ways.iter().find(|(word, _)| word == how).ok_or("xclient, xforward or proxy_v2")?;
                (self.upstream.kind, self.upstream.tell_client) = (UpstreamKind::Fixed, *way);
            }
            ["lmtp", rest @ ..] => {
                (self.upstream.kind, self.upstream.protocol) = (UpstreamKind::Fixed, Protocol::Lmtp);
                if let [most] = rest {
                    self.upstream.lmtp_recipients = most.parse().map_err(|_| "no number")?;
                }
            }
            ["add", "received"] => self.upstream.add_received = true,
            ["static"] => self.listener.ehlo = Ehlo::Static,
            ["mx"] => {
                self.listener.ehlo = Ehlo::Static;
                self.upstream.kind = UpstreamKind::Mx;
                self.upstream.hosts.clear();
            }
            ["accept", "domains", domains @ ..] => self.listener.accept_domains = domains.iter().map(|it| (*it).to_owned()).collect(),
            ["rule", name, "domain", domain, host] => {
                let hosts = vec![SmartHost { host: (*host).to_owned(), port: 25, tls: UpstreamTls::Off }];
                let upstream = UpstreamOptions { name: (*name).to_owned(), kind: UpstreamKind::SmartHost, hosts, ..self.upstream.clone() };
                let (name, recipient_domains) = ((*name).to_owned(), vec![(*domain).to_owned()]);
                self.rules.push(Rule { upstream: name.clone(), name, recipient_domains, ..Rule::default() });
                self.others.push(upstream);
            }
            ["rule", name, "passes", client] => {
                let clients = vec![client.parse().map_err(|_| "no network")?];
                let (name, upstream) = ((*name).to_owned(), self.upstream.name.clone());
                self.rules.push(Rule { name, clients, upstream, passthrough: true, ..Rule::default() });
            }
            ["login", mechanism, user, secret] => {
                let mechanism = match *mechanism {
                    "any" => None,
                    "plain" => Some(AuthMechanism::Plain),
                    "login" => Some(AuthMechanism::Login),
                    "cram-md5" => Some(AuthMechanism::CramMd5),
                    "xoauth2" => Some(AuthMechanism::XOAuth2),
                    _ => return Err("any, plain, login, cram-md5 or xoauth2".into()),
                };
                let (user, secret) = ((*user).to_owned(), Secret::new((*secret).to_owned()));
                self.upstream.auth = Some(UpstreamAuth { mechanism, user, secret });
            }
            ["allow", "plaintext", "auth", "upstream"] => self.upstream.allow_plaintext_auth = true,
            ["allow", "plaintext", "auth", "client"] => self.listener.allow_plaintext_auth = true,
            ["hide", keyword] => self.upstream.hide.push((*keyword).to_owned()),
            ["pass", keyword] => self.upstream.pass.push((*keyword).to_owned()),
            ["bare", "newline", policy] => {
                self.limits.bare_newline = match *policy {
                    "guard" => BareNewline::Guard,
                    "reject" => BareNewline::Reject,
                    "normalize" => BareNewline::Normalize,
                    _ => return Err("guard, reject or normalize".into()),
                }
            }
            ["on", "store", "failure", "defer"] => self.on_store_failure = OnStoreFailure::Defer,
            ["by", "hand", what @ ..] => {
                for what in what {
                    match *what {
                        "connect" => self.script.by_hand.connect = true,
                        "store" => self.script.by_hand.store = true,
                        "mark" => self.script.by_hand.mark = true,
                        "failures" => self.script.by_hand.failures = true,
                        _ => return Err("connect, store, mark or failures".into()),
                    }
                }
            }
            ["replay", "whole"] => self.script.whole_only = true,
            ["secret", secret] => self.script.secrets.push((*secret).to_owned()),
            ["refuse", code, ..] => {
                let code = code.parse().map_err(|_| "no code")?;
                let words = all.get(2..).unwrap_or_default().join(" ");
                self.script.refuse = Some((code, words));
            }
            ["limit", name, value] => {
                let value: usize = value.parse().map_err(|_| "no number")?;
                let limits = &mut self.limits;
                match *name {
                    "command_line" => limits.command_line = value,
                    "auth_line" => limits.auth_line = value,
                    "reply_line" => limits.reply_line = value,
                    "reply_lines" => limits.reply_lines = value,
                    "message_size" => limits.message_size = value as u64,
                    "recipients" => limits.recipients = value,
                    "recorded_recipients" => limits.recorded_recipients = value,
                    "timeline_lines" => limits.timeline_lines = value,
                    "report_capture" => limits.report_capture = value,
                    "header_capture" => limits.header_capture = value,
                    "client_errors" => limits.client_errors = value as u32,
                    _ => return Err("no such limit".into()),
                }
            }
            _ => return Err("no such option".into()),
        }
        Ok(())
    }
}

/// What happens besides octets.
fn event(words: &str) -> Result<Event, String> {
    let (head, tail) = words.split_once(": ").unwrap_or((words, ""));
    let all: Vec<_> = head.split_whitespace().collect();
    let leg = |word: &str| match word {
        "client" => Ok(Leg::Client),
        "upstream" => Ok(Leg::Upstream),
        _ => Err("client or upstream"),
    };
    Ok(match all.as_slice() {
        ["hosts", hosts @ ..] => Event::HostsFound(hosts.iter().map(|it| (*it).to_owned()).collect()),
        ["no", "hosts", code, enhanced] => {
            let parts: Vec<u16> = enhanced.split('.').map_while(|part| part.parse().ok()).collect();
            let [class, subject, detail] = parts[..] else { return Err("no hosts CODE ENHANCED: words".into()) };
            let code = code.parse().map_err(|_| "no code")?;
            Event::HostsNotFound { code, enhanced: (class as u8, subject, detail), error: tail.to_owned() }
        }
        ["connected"] => Event::Connected { tls: None },
        ["connected", "tls", verified] => Event::Connected { tls: Some(*verified == "verified") },
        ["connect", "fails"] => Event::ConnectFails(tail.to_owned()),
        ["connect", "loops"] => Event::ConnectLoops(tail.to_owned()),
        ["client", "lost"] => Event::ClientLost,
        [who, "closes"] => Event::Closes(leg(who)?),
        [who, "cuts"] => Event::Cuts(leg(who)?),
        [who, "resets"] => Event::Resets(leg(who)?),
        [who, "tls", "fails"] => Event::TlsFails(leg(who)?, tail.to_owned()),
        [who, "tls", verified @ ("verified" | "unverified")] => Event::TlsEstablished { leg: leg(who)?, verified: *verified == "verified" },
        ["stored"] => Event::Stored(true),
        ["store", "fails"] => Event::Stored(false),
        ["mark", "stored"] => Event::MarkStored(true),
        ["mark", "fails"] => Event::MarkStored(false),
        ["store", "down"] => Event::StoreDown(true),
        ["store", "up"] => Event::StoreDown(false),
        ["quota", "of", upstream, "used", "up"] => Event::Exhausted { upstream: (*upstream).to_owned(), user: None, sender: None },
        ["quota", "of", upstream, "used", "up", "for", user] => {
            Event::Exhausted { upstream: (*upstream).to_owned(), user: Some((*user).to_owned()), sender: None }
        }
        ["quota", "of", upstream, "used", "up", "by", sender] => {
            Event::Exhausted { upstream: (*upstream).to_owned(), user: None, sender: Some((*sender).to_owned()) }
        }
        ["quotas", "lifted"] => Event::QuotasLifted,
        ["drain"] => Event::Drain,
        ["shut", "down"] => Event::ShutDown,
        [amount, "pass" | "passes"] => {
            let digits = amount.trim_end_matches(|it: char| !it.is_ascii_digit());
            let number: u64 = digits.parse().map_err(|_| "no time")?;
            Event::Passes(match amount.strip_prefix(digits) {
                Some("us") => Duration::from_micros(number),
                Some("ms") => Duration::from_millis(number),
                Some("s") => Duration::from_secs(number),
                Some("min") => Duration::from_secs(60 * number),
                _ => return Err("us, ms, s or min".into()),
            })
        }
        _ => return Err("no such event".into()),
    })
}
