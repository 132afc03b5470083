//! A server of one's own behind the proxy learns who the client is: XCLIENT, after which it takes the session for the client's, and XFORWARD,
//! for its log. (A PROXY header has gone before the engine hears of the connection.)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::action::Wire;
use super::machine::{Expect, Machine};
use super::negotiation::Step;
use super::opening::LeftHost;
use super::options::TellClient;
use super::recorder::reply_of;
use crate::smtp::ReplyView;
use crate::smtp::path::encode_xtext;
use crate::trace::{Actor, EndHow, Flow, Leg, RecordId, Stage, Told};

/// What is not known, in XCLIENT's and XFORWARD's own words.
const UNAVAILABLE: &str = "[UNAVAILABLE]";

/// Octets of an encoded EHLO name: more is no name (RFC 1035 §2.3.4), and all attributes fit into one line of 512.
const LONGEST_NAME: usize = 255;

impl Machine {
    /// For a PROXY header: the client, where it had connected to, and the session's id.
    pub fn introduction(&self) -> (SocketAddr, SocketAddr, RecordId) {
        let client = SocketAddr::new(self.recorder.client.ip, self.recorder.client.port);
        let nowhere = SocketAddr::new(if client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }, 0);
        (client, self.recorder.destination().unwrap_or(nowhere), self.recorder.session_id())
    }

    /// The upstream would take the client for the proxy: nothing of the client's may go up yet.
    pub(super) fn is_untold(&self) -> bool {
        self.upstream.tell_client == TellClient::Xclient && !self.told
    }

    /// EHLO is answered and TLS settled on the upstream leg: XCLIENT where it is wanted, then the proxy's own login.
    pub(super) fn tell_then_log_in(&mut self, now: u64, wire: &mut dyn Wire) {
        if !self.is_untold() {
            return self.log_in_or_finish(now, wire);
        }
        if !self.extensions.xclient.iter().any(|name| name == "ADDR") {
            let error = match self.extensions.xclient.is_empty() {
                true => {
                    "doesn't offer XCLIENT to this proxy, and would take its clients for the proxy (Postfix: smtpd_authorized_xclient_hosts)"
                }
                false => "offers XCLIENT without ADDR, and would take its clients for the proxy",
            };
            return self.fail_negotiation(now, Stage::Ehlo, Actor::Upstream, error, wire);
        }
        let line = self.told_line("XCLIENT", &self.extensions.xclient, None);
        self.step(Step::Xclient);
        self.say(now, Leg::Upstream, line.as_bytes(), wire);
        self.expect(now, Expect::Negotiation);
    }

    /// The reply to XCLIENT. With 220 the server starts over, and EHLO must be said again. `surplus`: octets have come behind it.
    pub(super) fn xclient_reply(&mut self, now: u64, view: &ReplyView<'_>, surplus: bool, wire: &mut dyn Wire) {
        let words = || format!("{} {}", view.code(), super::negotiation::first_line(view));
        match view.code() {
            220 if surplus => {
                self.fail_negotiation(now, Stage::Ehlo, Actor::Upstream, "sent octets behind its 220 to XCLIENT", wire);
            }
            220 => {
                self.told = true;
                self.recorder.upstream_mut().told = Some(Told::Xclient);
                self.negotiate_from_start(now, wire);
            }
            // The command isn't understood or isn't ours to use: the client has no part in it, and may come again.
            500..=504 | 550 => {
                let error = format!("refused XCLIENT: {}", words());
                self.fail_negotiation(now, Stage::Ehlo, Actor::Upstream, &error, wire);
            }
            // The server starts over, and this is what it greets that client with.
            400.. => self.turned_away(now, view, &format!("turned the client away: {}", words()), wire),
            _ => {
                let error = format!("answered XCLIENT with {}", words());
                self.fail_negotiation(now, Stage::Ehlo, Actor::Upstream, &error, wire);
            }
        }
    }

    /// The upstream's word on the client, as it came.
    fn turned_away(&mut self, now: u64, view: &ReplyView<'_>, error: &str, wire: &mut dyn Wire) {
        let error = error.to_owned();
        if self.late.is_some() {
            let (stage, banner) = (Stage::Banner, Some(view.octets().to_vec()));
            return self.leave_host(now, LeftHost { stage, by: Actor::Upstream, error, how: EndHow::Refused, banner, refusal: None }, wire);
        }
        self.negotiation = None;
        self.say(now, Leg::Client, view.octets(), wire);
        self.end_with(now, Actor::Upstream, Stage::Ehlo, EndHow::Refused, Some(error), Some(reply_of(view)), wire);
    }

    /// XFORWARD before the MAIL FROM that comes next, where it is wanted. False: its reply must come first.
    pub(super) fn forward_client(&mut self, now: u64, wire: &mut dyn Wire) -> bool {
        let wanted = self.upstream.tell_client == TellClient::Xforward && !std::mem::take(&mut self.forwarded);
        if !wanted || (self.pending.is_empty() && self.scanner.in_reply()) {
            return true; // part of a surplus reply: the command behind finds it, too
        }
        if self.extensions.xforward.is_empty() {
            if !std::mem::replace(&mut self.told, true) {
                let words = "(no XFORWARD: it is not offered to this proxy)".as_bytes();
                self.recorder.line(now, Leg::Upstream, Flow::In, words);
            }
            return true;
        }
        // The transaction has no id before its MAIL FROM is answered, but where the proxy answers that itself.
        let ident = if self.late.is_some() { self.recorder.trace_id() } else { self.recorder.session_id() };
        let line = self.told_line("XFORWARD", &self.extensions.xforward, Some(ident));
        self.say(now, Leg::Upstream, line.as_bytes(), wire);
        self.expect(now, Expect::Xforward);
        self.forwarded = !self.extensions.pipelining;
        self.extensions.pipelining
    }

    /// The reply to XFORWARD: whatever it is, the mail goes on.
    pub(super) fn xforward_reply(&mut self, now: u64, view: &ReplyView<'_>) {
        self.recorder.line(now, Leg::Upstream, Flow::In, view.octets().trim_ascii_end());
        self.recorder.upstream_mut().told = (view.class() == 2).then_some(Told::Xforward);
    }

    /// The command with those attributes that the upstream understands and the proxy knows. LOGIN isn't among them: who logs in does so
    /// at the upstream itself.
    fn told_line(&self, command: &str, offered: &[String], ident: Option<RecordId>) -> String {
        let client = &self.recorder.client;
        let destination = self.recorder.destination();
        let mut line = command.to_owned();
        for name in offered {
            let value = match name.as_str() {
                "NAME" => UNAVAILABLE.to_owned(), // nobody has looked it up
                "ADDR" => address(client.ip),
                "PORT" => client.port.to_string(),
                "PROTO" => if self.said_helo { "SMTP" } else { "ESMTP" }.to_owned(),
                "HELO" => {
                    let name = encode_xtext(client.helo.as_deref().unwrap_or_default().as_bytes());
                    if (1..=LONGEST_NAME).contains(&name.len()) { name } else { UNAVAILABLE.to_owned() }
                }
                "DESTADDR" => destination.map_or_else(|| UNAVAILABLE.to_owned(), |it| address(it.ip())),
                "DESTPORT" => destination.map_or_else(|| UNAVAILABLE.to_owned(), |it| it.port().to_string()),
                "IDENT" => match ident {
                    Some(ident) => ident.to_string(),
                    None => continue,
                },
                "SOURCE" => "REMOTE".to_owned(),
                _ => continue,
            };
            line.push_str(&format!(" {name}={value}"));
        }
        line + "\r\n"
    }
}

fn address(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("IPV6:{ip}"),
    }
}
