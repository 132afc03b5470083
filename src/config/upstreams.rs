//! `[[upstream]]`: from what is written to options, refusing what can't work or would leak credentials.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::addresses::HostPort;
use super::problem::Findings;
use super::raw::{self, Raw};
use super::secret;
use crate::net::tls::ClientTls;
use crate::relay::options::{SUBMISSIONS, SmartHost, UpstreamAuth, UpstreamOptions, UpstreamTls};
use crate::smtp::ehlo::never_carried;
use crate::smtp::exchange;
use crate::trace;

const SMTP: u16 = 25;

/// Every upstream's options. What can't be made into options is left out, and found.
pub(super) fn upstreams(raw: &mut Raw, findings: &mut Findings) -> Vec<Arc<UpstreamOptions>> {
    if raw.upstream.is_empty() && !findings.is_broken("upstream") {
        findings.refuse(
            "",
            "no smart host to relay to: give one with --smart-host HOST:PORT, or in the file:\n    [[upstream]]\n    hosts = [\"smtp.example.net:587\"]",
        );
    }
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for (number, upstream) in raw.upstream.iter_mut().enumerate() {
        let path = format!("upstream.{number}");
        let label = format!("upstream {:?}", upstream.name);
        check_name(&upstream.name, &label, &format!("{path}.name"), findings);
        if !names.insert(upstream.name.clone()) && !findings.is_broken(&format!("{path}.name")) {
            findings.refuse(&format!("{path}.name"), format!("{label}: another upstream has this name: give each its own with `name`"));
        }
        let mut one = One { path, label, findings };
        found.push(Arc::new(one.options(upstream)));
    }
    found
}

/// Names stand in records, logs, metrics and queries.
pub(super) fn check_name(name: &str, label: &str, path: &str, findings: &mut Findings) {
    let fit = name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'));
    if !fit || name.len() > 64 {
        findings.refuse(path, format!("{label}: a name has up to 64 letters, digits, \"-\", \"_\" or \".\""));
    }
}

/// One upstream under examination.
struct One<'a> {
    path: String,
    label: String,
    findings: &'a mut Findings,
}

impl One<'_> {
    fn options(&mut self, upstream: &mut raw::Upstream) -> UpstreamOptions {
        let kind = trace::UpstreamKind::from(upstream.kind);
        self.kind(kind, upstream);
        let hosts: Vec<SmartHost> = (0..).zip(&upstream.hosts).map(|(number, host)| self.smart_host(number, host, upstream.tls)).collect();
        if let [first, rest @ ..] = hosts.as_slice()
            && rest.iter().all(|host| host.tls == first.tls)
        {
            upstream.tls = Some(first.tls.into()); // what is effective, for `config show`
        }
        self.ca_file(upstream, &hosts);
        let in_clear = hosts.iter().any(|host| host.tls == UpstreamTls::Off);
        if upstream.allow_plaintext_auth {
            self.warn("allow_plaintext_auth", "allow_plaintext_auth = true lets passwords travel where others can read them");
        } else if in_clear && upstream.auth.is_some() {
            self.refuse(
                "tls",
                "tls = \"off\" would send the password of [upstream.auth] in clear: write tls = \"required\" (or \"implicit\" with port 465), \
                 or allow_plaintext_auth = true if the network between is your own",
            );
        }
        let hide = self.keywords("hide", &upstream.hide);
        let pass = self.keywords("pass", &upstream.pass);
        if let Some(both) = hide.iter().find(|keyword| pass.contains(keyword)) {
            self.refuse("pass", &format!("{both} stands in both hide and pass: remove it from one"));
        }
        for (number, keyword) in pass.iter().enumerate() {
            let is_exchanges = exchange::is_verb(keyword.as_bytes());
            let why = never_carried(keyword).or_else(|| exchange::why_hidden(keyword).filter(|_| is_exchanges));
            if let Some(why) = why {
                self.refuse(
                    &format!("pass.{number}"),
                    &format!("pass: {keyword} can't be offered, its command is always refused ({why}): remove it"),
                );
            }
        }
        UpstreamOptions {
            name: upstream.name.clone(),
            kind,
            protocol: upstream.protocol.into(),
            lmtp_recipients: upstream.lmtp_recipients.max(1) as usize,
            hosts,
            tls: upstream.tls.map_or(UpstreamTls::Opportunistic, Into::into),
            port: upstream.port,
            private_networks: upstream.private_networks.iter().map(|network| network.0).collect(),
            tell_client: upstream.tell_client.into(),
            add_received: upstream.add_received,
            preserve_source: upstream.preserve_source,
            mark: upstream.mark,
            probe: Some(upstream.probe.0).filter(|pause| !pause.is_zero()),
            auth: upstream.auth.as_ref().and_then(|auth| self.auth(auth)),
            allow_plaintext_auth: upstream.allow_plaintext_auth,
            ca_file: upstream.ca_file.clone(),
            hide,
            pass,
        }
    }

    /// What goes with that kind of upstream, and what doesn't.
    fn kind(&mut self, kind: trace::UpstreamKind, upstream: &mut raw::Upstream) {
        use trace::UpstreamKind as Kind;
        let word = upstream.kind;
        let listed = matches!(kind, Kind::SmartHost | Kind::Fixed);
        if listed && upstream.hosts.is_empty() && self.is_good("hosts") {
            self.refuse("hosts", "has no hosts: write hosts = [\"smtp.example.net:587\"]");
        }
        for (number, host) in upstream.hosts.iter().enumerate() {
            let is_same = |other: &HostPort| other.port == host.port && other.host.eq_ignore_ascii_case(&host.host);
            if upstream.hosts.iter().take(number).any(is_same) {
                self.refuse(&format!("hosts.{number}"), &format!("{host} stands in hosts twice: remove one of them"));
            }
        }
        if !listed && !upstream.hosts.is_empty() {
            self.refuse("hosts", &format!("hosts and kind = \"{word}\" exclude each other: the next hop is found by itself"));
        }
        if !listed && upstream.auth.is_some() {
            self.refuse(
                "auth",
                &format!("a password goes to hosts that are named: [upstream.auth] needs kind = \"smart_host\", not \"{word}\""),
            );
        }
        let tls = upstream.tls.map(UpstreamTls::from);
        if kind != Kind::Mx && matches!(tls, Some(UpstreamTls::Dane | UpstreamTls::MtaSts | UpstreamTls::DaneOrMtaSts)) {
            self.refuse("tls", "this TLS policy is published by recipient domains: it needs kind = \"mx\"");
        }
        if !listed && tls == Some(UpstreamTls::Implicit) {
            self.refuse("tls", &format!("tls = \"implicit\" can't work with kind = \"{word}\": mail exchangers begin in clear"));
        }
        if !listed {
            upstream.tls.get_or_insert(raw::UpstreamTls::Opportunistic);
        }
        if kind == Kind::Mx && upstream.port == SUBMISSIONS {
            self.refuse("port", "port = 465 can't work with kind = \"mx\": mail exchangers begin in clear; leave it at 25");
        }
        if kind != Kind::Mx && self.is_given("port") {
            self.warn(
                "port",
                "port is of use with kind = \"mx\" alone: write the port behind the host, hosts = [\"smtp.example.net:587\"]",
            );
        }
        if upstream.protocol != raw::Protocol::Lmtp && self.is_given("lmtp_recipients") {
            self.warn("lmtp_recipients", "lmtp_recipients is of use with protocol = \"lmtp\" alone");
        }
        if kind != Kind::Mx && !upstream.private_networks.is_empty() {
            self.warn("private_networks", "private_networks is of use with kind = \"mx\" alone");
        }
        if upstream.preserve_source && !matches!(kind, Kind::OriginalDestination | Kind::Fixed) {
            self.refuse("preserve_source", "preserve_source needs a host that sends its answers back through this machine: kind = \"original_destination\" or \"fixed\"");
        }
        if upstream.tell_client != raw::TellClient::Off && kind != Kind::Fixed {
            self.refuse("tell_client", "tell_client is for a server of your own behind the proxy: kind = \"fixed\"");
        }
        if upstream.protocol == raw::Protocol::Lmtp && kind != Kind::Fixed {
            self.refuse("protocol", "protocol = \"lmtp\" is for a mail store of your own: kind = \"fixed\"");
        }
        if upstream.protocol == raw::Protocol::Lmtp && upstream.lmtp_recipients > 1 {
            self.warn(
                "lmtp_recipients",
                "with several recipients a message, one reply stands for all: a message that some got and others not is refused or deferred \
                 as a whole, and those who have it may get it again",
            );
        }
        if !upstream.probe.0.is_zero() && !listed {
            self.refuse("probe", &format!("probe needs hosts that are named, not kind = \"{word}\""));
        }
    }

    fn smart_host(&mut self, number: usize, host: &HostPort, tls: Option<raw::UpstreamTls>) -> SmartHost {
        let from_first_octet = host.port == SUBMISSIONS;
        let tls = match tls.map(UpstreamTls::from) {
            None | Some(UpstreamTls::Required) if from_first_octet => UpstreamTls::Implicit,
            None => UpstreamTls::Opportunistic,
            Some(UpstreamTls::Implicit) if host.port == SMTP => {
                self.refuse(
                    "tls",
                    &format!("tls = \"implicit\" can't work with {host}: port 25 begins in clear; write tls = \"required\", or port 465"),
                );
                UpstreamTls::Implicit
            }
            Some(tls @ (UpstreamTls::Off | UpstreamTls::Opportunistic | UpstreamTls::Encrypt)) if from_first_octet => {
                let word = raw::UpstreamTls::from(tls);
                self.refuse("tls", &format!("tls = \"{word}\" can't work with {host}: port 465 speaks TLS from the first octet; write tls = \"implicit\", or port 587"));
                tls
            }
            Some(tls) => tls,
        };
        if host.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified()) {
            self.refuse(&format!("hosts.{number}"), &format!("{host} is no address to connect to: name the smart host"));
        }
        SmartHost { host: host.host.clone(), port: host.port, tls }
    }

    fn ca_file(&mut self, upstream: &raw::Upstream, hosts: &[SmartHost]) {
        let Some(path) = &upstream.ca_file else { return };
        if let Err(error) = ClientTls::only(path) {
            self.refuse("ca_file", &error.to_string());
        }
        if hosts.iter().all(|host| host.tls == UpstreamTls::Off) && !hosts.is_empty() {
            self.warn("ca_file", "ca_file is of no use with tls = \"off\"");
        }
    }

    fn auth(&mut self, auth: &raw::UpstreamAuth) -> Option<UpstreamAuth> {
        if auth.user.is_empty() && self.is_good("auth.user") {
            self.refuse_in_auth("auth.user", "user is missing: write the name that the smart host knows");
        }
        let secret = match (&auth.password_file, &auth.password_env) {
            (Some(_), Some(_)) => {
                self.refuse_in_auth("auth.password_env", "password_file and password_env are both set: remove one");
                return None;
            }
            (Some(path), None) => secret::from_file(path).map_err(|why| ("auth.password_file", format!("password_file: {why}"))),
            (None, Some(name)) => secret::from_environment(name).map_err(|why| ("auth.password_env", format!("password_env {why}"))),
            (None, None) => {
                if self.is_good("auth.password_file") && self.is_good("auth.password_env") {
                    self.refuse_in_auth(
                        "auth",
                        "has no password: write password_file = \"/etc/relayscope/smart-host.password\" (mode 0600 or 0640), or password_env",
                    );
                }
                return None;
            }
        };
        match secret {
            Ok(secret) => Some(UpstreamAuth { mechanism: auth.mechanism.map(Into::into), user: auth.user.clone(), secret }),
            Err((option, why)) => {
                self.refuse_in_auth(option, &why);
                None
            }
        }
    }

    /// RFC 5321 4.1.1.1: letters, digits and hyphens. Upper case, for comparison.
    fn keywords(&mut self, option: &str, words: &[String]) -> Vec<String> {
        for (number, word) in words.iter().enumerate() {
            let fit = word.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') && !word.starts_with('-');
            if !fit {
                self.refuse(
                    &format!("{option}.{number}"),
                    &format!("{option}: {word:?} is not an EHLO keyword: write it alone, without parameters"),
                );
            }
        }
        words.iter().map(|word| word.to_ascii_uppercase()).collect()
    }

    fn is_given(&self, option: &str) -> bool {
        self.findings.places.is_given(&format!("{}.{option}", self.path))
    }

    /// Whether nothing wrong was found with this option so far: what is written badly is not missing.
    fn is_good(&self, option: &str) -> bool {
        !self.findings.is_broken(&format!("{}.{option}", self.path))
    }

    fn refuse(&mut self, option: &str, text: &str) {
        self.findings.refuse(&format!("{}.{option}", self.path), format!("{}: {text}", self.label));
    }

    fn refuse_in_auth(&mut self, option: &str, text: &str) {
        self.findings.refuse(&format!("{}.{option}", self.path), format!("{} auth: {text}", self.label));
    }

    fn warn(&mut self, option: &str, text: &str) {
        self.findings.warn(&format!("{}.{option}", self.path), format!("{}: {text}", self.label));
    }
}
