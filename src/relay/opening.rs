//! From the accepted client to the greeting: smart hosts in order, until one of them greets.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::action::{Action, Connected, Failed, NextHop, Refusal, Wire};
use super::machine::{Expect, Machine};
use super::options::{TellClient, UpstreamTls};
use super::recorder::bounded;
use super::replies::OwnReply;
use crate::smtp::ReplyView;
use crate::trace::{Actor, EndHow, Flag, Leg, LookupOutcome, Stage, Told, Tried, UpstreamKind};

/// Why the host before was left.
#[derive(Debug, Clone)]
pub(super) struct LeftHost {
    pub stage: Stage,
    pub by: Actor,
    pub error: String,
    pub how: EndHow,
    /// The greeting it refused us with, as it came.
    pub banner: Option<Vec<u8>>,
    /// What a recipient is told if this was the last host; 451 4.4.1 otherwise.
    pub refusal: Option<Refusal>,
}

impl Machine {
    /// Connects to the next host of the list, or tells the client that there is none left.
    pub(super) fn try_next_host(&mut self, now: u64, left: Option<LeftHost>, wire: &mut dyn Wire) {
        self.waiting_since = now;
        if let Some(left) = &left {
            self.note_left(left);
            if self.out_of_patience(now) {
                self.hosts.clear();
            }
        }
        match (self.hosts.pop_front(), left) {
            (Some(hop), left) => {
                if left.is_some() {
                    self.recorder.flag(Flag::FailedOver);
                }
                self.connect_to(hop);
            }
            (None, Some(left)) => self.refuse_session(now, left, wire),
            (None, None) => {
                let error = "there is no host to try".to_owned();
                let left =
                    LeftHost { stage: Stage::Connect, by: Actor::Proxy, error, how: EndHow::ConnectFailure, banner: None, refusal: None };
                self.refuse_session(now, left, wire);
            }
        }
    }

    fn connect_to(&mut self, hop: NextHop) {
        // What was learnt of the host before holds no longer.
        (self.clear_forced, self.tls_broke, self.hop_failed) = (false, false, false);
        self.tls_policy = hop.tls;
        let upstream = self.recorder.upstream_mut();
        (upstream.host, upstream.port, upstream.ip) = (Some(hop.host.clone()), Some(hop.port), None);
        (upstream.mx_preference, upstream.choice, upstream.circuit) = (hop.mx_preference, hop.choice.clone(), hop.circuit);
        (upstream.tls_policy, upstream.tls) = (hop.policy.clone(), None);
        let tls = if self.passes { UpstreamTls::Off } else { hop.tls };
        self.actions.push_back(Action::Connect { hop: Box::new(NextHop { tls, ..hop.clone() }) });
        self.hop = Some(hop);
    }

    /// The connection asked for with [`Action::Connect`] stands.
    pub fn connected(&mut self, now: u64, connected: Connected, wire: &mut dyn Wire) {
        if self.ended {
            return;
        }
        let phases = self.recorder.phases_mut();
        phases.dns_us = connected.dns_us.or(phases.dns_us);
        phases.connect_us = Some(connected.connect_us);
        if let Some((_, took)) = &connected.tls {
            phases.tls_us = Some(*took);
        }
        let upstream = self.recorder.upstream_mut();
        upstream.ip = Some(connected.ip);
        upstream.port = Some(connected.port);
        upstream.dns = connected.dns.or(upstream.dns.take());
        upstream.tried.extend(connected.tried);
        upstream.lookups.extend(connected.lookups);
        if let Some((effective, policy)) = connected.policy {
            (self.tls_policy, upstream.tls_policy) = (effective, Some(policy));
        }
        self.upstream_tls = connected.tls.is_some();
        self.upstream_verified = connected.tls.as_ref().is_some_and(|(tls, _)| tls.verified == Some(true));
        upstream.tls = connected.tls.map(|(tls, _)| tls);
        upstream.told = (self.upstream.tell_client == TellClient::ProxyV2).then_some(Told::ProxyV2);
        self.upstream_open = true;
        self.upstream_unread = Vec::new();
        self.scanner = Default::default();
        (self.logged_in, self.told, self.forwarded) = (false, false, false);
        if self.splices_at_once() {
            return self.begin_splice(now, None, wire);
        }
        self.pending.push_front(super::machine::Pending { expect: Expect::Banner, sent_at: now });
    }

    /// The connection asked for with [`Action::Connect`] could not be had.
    pub fn connect_failed(&mut self, now: u64, failed: Failed, wire: &mut dyn Wire) {
        if self.ended {
            return;
        }
        // What the proxy itself can't do says nothing of the host.
        if failed.by != Actor::Proxy {
            self.host_failed(failed.stage, &failed.error);
        }
        let how = if failed.stage == Stage::StartTls { EndHow::TlsFailure } else { EndHow::ConnectFailure };
        let left = LeftHost { stage: failed.stage, by: failed.by, error: failed.error, how, banner: None, refusal: failed.refusal };
        let upstream = self.recorder.upstream_mut();
        upstream.tried.extend(failed.tried);
        upstream.lookups.extend(failed.lookups);
        self.flag_failure(left.refusal);
        if failed.last {
            self.hosts.clear();
        }
        if self.late.is_some() {
            self.negotiation = None;
        } else if self.negotiation.is_some() {
            // The client was greeted with this host's words: too late for another.
            return self.fail_negotiation(now, left.stage, left.by, &left.error.clone(), wire);
        }
        self.try_next_host(now, Some(left), wire);
    }

    /// Flags what went wrong besides a connection that didn't come about.
    pub(super) fn flag_failure(&mut self, refusal: Option<Refusal>) {
        let turned_down = self.late.as_ref().is_some_and(|late| late.turned_down.is_some());
        if refusal.is_some_and(|refusal| refusal.enhanced == (5, 4, 6)) && !turned_down {
            self.recorder.flag(Flag::LoopRefused);
        }
        if refusal.is_some_and(|refusal| refusal.enhanced == (4, 7, 5)) {
            self.recorder.flag(Flag::TlsPolicyFailed);
        }
        if self.recorder.upstream.lookups.iter().any(|lookup| lookup.outcome == LookupOutcome::Bogus) {
            self.recorder.flag(Flag::DnsBogus);
        }
    }

    /// The upstream's greeting.
    pub(super) fn banner(&mut self, now: u64, sent_at: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        let first = bounded(view.lines().next().unwrap_or_default(), 512);
        self.recorder.phases_mut().banner_us = Some(now.saturating_sub(sent_at));
        let upstream = self.recorder.upstream_mut();
        upstream.software = software(&first);
        upstream.banner = Some(first.clone());
        if is_masked(&first) {
            self.recorder.flag(Flag::MiddleboxSuspected);
        }
        self.recorder.recognise_upstream();
        if view.code() == 220 {
            if self.late.is_some() && self.negotiation.is_none() {
                self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
                return self.negotiate_late(now, wire);
            }
            if self.negotiation.is_some() {
                // Reconnected in clear after a failed handshake; the client has its greeting.
                self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
                return self.negotiate_from_start(now, wire);
            }
            self.relay_reply(now, view, wire);
            self.greeted = true;
            self.client_last = now;
            if self.draining {
                self.end_draining(now, wire);
            }
            return;
        }
        self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
        let error = format!("greeted with {} {first}", view.code());
        let banner = (view.class() >= 4).then(|| view.octets().to_vec());
        self.leave_host(
            now,
            LeftHost { stage: Stage::Banner, by: Actor::Upstream, error, how: EndHow::Refused, banner, refusal: None },
            wire,
        );
    }

    /// Drops the present host before its greeting was relayed, and goes to the next.
    pub(super) fn leave_host(&mut self, now: u64, left: LeftHost, wire: &mut dyn Wire) {
        self.host_failed(left.stage, &left.error);
        self.drop_upstream();
        self.pending.retain(|it| matches!(it.expect, Expect::Own(..)));
        if self.late.is_some() {
            self.negotiation = None;
        } else if self.negotiation.is_some() {
            return self.fail_negotiation(now, left.stage, left.by, &left.error.clone(), wire);
        }
        self.note_tried(now, left.stage, &left.error);
        self.try_next_host(now, Some(left), wire);
    }

    /// The next session tries another host first. An attempt counts once: what fails in clear behind TLS that failed is no second failure.
    pub(super) fn host_failed(&mut self, stage: Stage, error: &str) {
        if !std::mem::replace(&mut self.hop_failed, true) {
            self.actions.push_back(Action::HostFailed { stage, error: error.to_owned() });
        }
    }

    /// The connection to the present host came to nothing.
    pub(super) fn note_tried(&mut self, now: u64, stage: Stage, error: &str) {
        let tried = self.tried(now, stage, error);
        self.recorder.upstream_mut().tried.push(tried);
    }

    pub(super) fn tried(&self, now: u64, stage: Stage, error: &str) -> Tried {
        let upstream = &self.recorder.upstream;
        Tried {
            host: upstream.host.clone().unwrap_or_default(),
            ip: upstream.ip,
            port: upstream.port.unwrap_or_default(),
            stage,
            error: error.to_owned(),
            at_us: now,
        }
    }

    /// No smart host took the session: the client is told in the greeting's place.
    fn refuse_session(&mut self, now: u64, left: LeftHost, wire: &mut dyn Wire) {
        if self.late.is_some() {
            return self.unreachable(now, left, wire);
        }
        let how = left.how;
        if let Some(banner) = &left.banner {
            self.say(now, Leg::Client, banner, wire);
            let view = ReplyView::new(banner);
            let reply = super::recorder::reply_of(&view);
            return self.end_with(now, left.by, left.stage, how, Some(left.error), Some(reply), wire);
        }
        let own = OwnReply::greeting(421, &self.options.host_name, self.host_words(&left.error), self.recorder.trace_id());
        self.say(now, Leg::Client, &own.line(), wire);
        self.end_with(now, left.by, left.stage, how, Some(left.error), Some(own.record()), wire);
    }

    /// What the upstream is called where the admin reads of it.
    pub(super) fn peer(&self) -> &'static str {
        match self.upstream.kind {
            UpstreamKind::SmartHost => "smart host",
            UpstreamKind::Mx => "mail exchanger",
            UpstreamKind::OriginalDestination => "destination",
            UpstreamKind::Fixed => "mail server",
        }
    }

    /// "smart host smtp.example.net:587: connection refused". In front of a mail server anybody may ask: what stands behind is
    /// nobody's business there, and the trace id leads the admin to it.
    pub(super) fn host_words(&self, error: &str) -> String {
        match &self.hop {
            Some(_) if self.upstream.kind == UpstreamKind::Fixed => "the mail server behind can't take mail now".to_owned(),
            Some(hop) => format!("{} {}:{}: {error}", self.peer(), hop.host, hop.port),
            None => error.to_owned(),
        }
    }
}

/// Words of greetings, and what server says them.
static SOFTWARE: LazyLock<Vec<(Finder<'static>, &'static str)>> = LazyLock::new(|| {
    const KNOWN: &[(&str, &str)] = &[
        ("Postfix", "Postfix"),
        ("Exim", "Exim"),
        ("Sendmail", "Sendmail"),
        ("OpenSMTPD", "OpenSMTPD"),
        ("Microsoft ESMTP MAIL Service", "Microsoft Exchange"),
        ("gsmtp", "Gmail"),
        ("amazonaws.com", "Amazon SES"),
        ("Haraka", "Haraka"),
        ("Courier", "Courier"),
        ("hMailServer", "hMailServer"),
        ("Domino", "Domino"),
        ("MDaemon", "MDaemon"),
        ("Stalwart", "Stalwart"),
        ("JAMES", "James"),
    ];
    KNOWN.iter().map(|(word, name)| (Finder::new(word), *name)).collect()
});

/// What the greeting says the server is.
fn software(banner: &str) -> Option<String> {
    SOFTWARE.iter().find(|(word, _)| word.find(banner.as_bytes()).is_some()).map(|(_, name)| (*name).to_owned())
}

/// A middlebox that hides the greeting behind asterisks (Cisco's "fixup").
fn is_masked(banner: &str) -> bool {
    banner.len() > 8 && banner.bytes().filter(|octet| matches!(octet, b'*')).count() * 2 > banner.len()
}
