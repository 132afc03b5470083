//! The answer to the client's EHLO, made of the upstream's.

use super::action::Wire;
use super::machine::Machine;
use super::recorder::bounded;
use crate::smtp::ehlo::{OfferPolicy, offer};
use crate::smtp::{Extensions, ReplyView};
use crate::trace::{Flag, Flow, Hidden, Leg};

/// A keyword that a firewall has painted over, so that nobody takes it up: XXXXXXXA for STARTTLS (Cisco's SMTP inspection).
fn is_masked(keyword: &str) -> bool {
    let painted = keyword.trim_end_matches(|end: char| end.is_ascii_uppercase() && end != 'X');
    painted.len() >= 5 && painted.bytes().all(|octet| octet == b'X')
}

impl Machine {
    /// Takes note of what the upstream offers.
    pub(super) fn learn(&mut self, view: &ReplyView<'_>) {
        self.extensions = Extensions::read(view);
        let upstream = self.recorder.upstream_mut();
        upstream.offered = view.lines().skip(1).take(64).map(|line| bounded(line, 256)).collect();
        if upstream.software.is_none() && upstream.offered.iter().any(|line| line == "XVERP=Courier") {
            upstream.software = Some("Courier".to_owned()); // its greeting doesn't say
        }
        if upstream.offered.iter().any(|line| is_masked(line)) {
            self.recorder.flag(Flag::MiddleboxSuspected);
        }
    }

    /// Relays the upstream's EHLO reply, cut down to what can be carried.
    pub(super) fn answer_ehlo(&mut self, now: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        let options = self.options.clone();
        let policy = OfferPolicy {
            starttls: self.offers_starttls(),
            passed_through: self.passes,
            auth: self.auth_is_carried(),
            tls_terminated: self.upstream_tls || self.client_tls,
            requiretls: self.client_tls && self.upstream_verified,
            size: options.limits.message_size,
            recipients: self.lmtp_limit(),
            hide: &self.upstream.hide,
            pass: &self.upstream.pass,
        };
        let made = offer(view, &policy);
        self.introduced = true;
        self.ehlo_reply = self.offers_starttls().then(|| view.octets().into());
        self.offered_pipelining = made.pipelining;
        self.offered_chunking = made.chunking;
        self.offered_smtputf8 = made.smtputf8;
        self.offered_auth = made.auth;
        self.offered_requiretls = made.requiretls;
        let hidden =
            made.hidden.iter().take(64).map(|(line, why)| Hidden { keyword: bounded(line.as_bytes(), 256), why: (*why).to_owned() });
        self.recorder.upstream_mut().hidden = hidden.collect();
        self.say(now, Leg::Client, &made.octets, wire);
    }

    /// The client has begun TLS and says EHLO again, as it must; its server takes EHLO only once (OpenSMTPD), and still means its first answer.
    pub(super) fn ehlo_refused_again(&mut self, now: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        let Some(known) = self.ehlo_reply.take() else { return };
        self.recorder.line(now, Leg::Upstream, Flow::In, view.octets().trim_ascii_end());
        self.answer_ehlo(now, &ReplyView::new(&known), wire);
    }
}
