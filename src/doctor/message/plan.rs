//! What is worth examining for a message that stopped, by the cause that was found.

use std::net::IpAddr;

use super::Stopped;
use crate::diagnose::Cause;
use crate::trace::{Actor, Stage, State};

/// One examination, and why it may explain the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The upstream it went to; with its recipient asked for, if that may tell.
    Upstream { name: String, recipient: Option<String> },
    /// A domain in DNS and its mail hosts.
    Domain(String),
    /// An address that mail leaves from.
    Sender(IpAddr),
    /// The proxy itself.
    Own,
}

/// The examinations that can explain it, the likeliest first; empty: none can.
pub fn plan(stopped: &Stopped, sending_addresses: &[IpAddr]) -> Vec<Look> {
    if stopped.state == State::Accepted {
        return Vec::new();
    }
    let upstream = |recipient: bool| {
        let recipient = stopped.recipient.clone().filter(|_| recipient);
        stopped.upstream.clone().map(|name| Look::Upstream { name, recipient })
    };
    let their_domain = || stopped.recipient_domain().map(Look::Domain);
    let senders_domains = || stopped.sender_domains.iter().cloned().map(Look::Domain).collect::<Vec<_>>();
    let senders = || {
        let named = stopped.named_addresses();
        let addresses = match &stopped.stranger {
            _ if !named.is_empty() => named,
            Some(_) => stopped.strangers_address().into_iter().collect(),
            None => sending_addresses.to_vec(),
        };
        addresses.into_iter().map(Look::Sender).collect::<Vec<_>>()
    };
    let mut looks: Vec<Look> = match stopped.cause {
        Some(Cause::DnsFailure | Cause::DomainNotFound | Cause::MailLoop) => their_domain().into_iter().chain(upstream(false)).collect(),
        Some(
            Cause::PortBlocked
            | Cause::TlsFailure
            | Cause::EncryptionRequired
            | Cause::AuthRequired
            | Cause::AuthFailed
            | Cause::AuthMechanismUnsupported
            | Cause::AccountLocked
            | Cause::ProtocolError
            | Cause::RemoteSystemError
            | Cause::MessageTooBig,
        ) => upstream(false).into_iter().collect(),
        // A host that hangs up at a recipient does so when it is asked for again.
        Some(Cause::ConnectionFailed) => upstream(matches!(stopped.stage, Stage::MailFrom | Stage::RcptTo)).into_iter().collect(),
        Some(
            Cause::SenderNotAuthorized
            | Cause::RelayDenied
            | Cause::RecipientUnknown
            | Cause::RecipientInactive
            | Cause::RecipientRestricted
            | Cause::MailboxFull
            | Cause::Greylisted
            | Cause::RateLimited
            | Cause::SendingLimitReached
            | Cause::Suppressed,
        ) => upstream(true).into_iter().collect(),
        Some(Cause::Blocklisted | Cause::PoorReputation | Cause::ReverseDnsMissing | Cause::HeloRejected) => senders(),
        Some(Cause::SpfDkimDmarcFailure | Cause::SpamDetected | Cause::PolicyRejected | Cause::SenderRejected) => {
            senders_domains().into_iter().chain(senders()).collect()
        }
        Some(Cause::DeliveryExpired | Cause::Unclassified) | None => by_stage(stopped, upstream(false), their_domain()),
        Some(Cause::TooManyRecipients | Cause::MalformedMessage | Cause::VirusDetected | Cause::ContentRejected) => Vec::new(),
    };
    if stopped.by == Actor::Proxy {
        looks.push(Look::Own);
    }
    looks.dedup();
    looks
}

/// Nothing but the place where it stopped is known.
fn by_stage(stopped: &Stopped, upstream: Option<Look>, domain: Option<Look>) -> Vec<Look> {
    match (stopped.by, stopped.stage) {
        (Actor::Dns, _) => domain.into_iter().chain(upstream).collect(),
        (Actor::Client, _) => Vec::new(),
        (Actor::Network, _) | (_, Stage::Connect | Stage::Banner | Stage::Ehlo | Stage::StartTls | Stage::Auth) => {
            upstream.into_iter().collect()
        }
        _ => upstream.into_iter().chain(domain).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stranger;
    use super::*;
    use crate::trace::json::Time;

    fn stopped(cause: Option<Cause>, words: &str) -> Stopped {
        Stopped {
            id: "01".to_owned(),
            at: Time(0),
            state: State::Rejected,
            stage: Stage::RcptTo,
            by: Actor::Upstream,
            cause,
            act: None,
            upstream: Some("main".to_owned()),
            recipient: Some("bob@to.example".to_owned()),
            reverse_path: Some("ann@from.example".to_owned()),
            sender_domains: vec!["from.example".to_owned()],
            words: words.to_owned(),
            size: None,
            limit: None,
            signatures: Vec::new(),
            stranger: None,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_cause_has_its_examinations() {
        let own = [ip("8.8.4.4")];
        let upstream = |recipient: Option<&str>| Look::Upstream { name: "main".to_owned(), recipient: recipient.map(str::to_owned) };
        let domain = |name: &str| Look::Domain(name.to_owned());
        let of = |cause| plan(&stopped(Some(cause), "550 no"), &own);
        assert_eq!(of(Cause::ConnectionFailed), [upstream(Some("bob@to.example"))]);
        let unreached = Stopped { stage: Stage::Connect, ..stopped(Some(Cause::ConnectionFailed), "refused") };
        assert_eq!(plan(&unreached, &own), [upstream(None)]);
        assert_eq!(of(Cause::RecipientUnknown), [upstream(Some("bob@to.example"))]);
        assert_eq!(of(Cause::DomainNotFound), [domain("to.example"), upstream(None)]);
        assert_eq!(of(Cause::SpfDkimDmarcFailure), [domain("from.example"), Look::Sender(own[0])]);
        assert_eq!(of(Cause::Blocklisted), [Look::Sender(own[0])]);
        assert!(of(Cause::VirusDetected).is_empty());
        assert!(plan(&Stopped { state: State::Accepted, ..stopped(None, "250 ok") }, &own).is_empty());
    }

    #[test]
    fn what_strangers_bring_leads_to_them_and_not_to_us() {
        let of = |ip_of: &str| {
            let stranger = Some(Stranger { ip: ip(ip_of), helo: "mx.from.example".to_owned() });
            plan(&Stopped { stranger, ..stopped(Some(Cause::SpfDkimDmarcFailure), "550 5.7.23 SPF") }, &[ip("8.8.4.4")])
        };
        let domain = || Look::Domain("from.example".to_owned());
        assert_eq!(of("9.9.9.10"), [domain(), Look::Sender(ip("9.9.9.10"))]);
        assert_eq!(of("10.0.0.1"), [domain()]);
    }

    #[test]
    fn the_address_that_the_reply_names_is_the_one_to_look_at() {
        let words = "554 5.7.1 Service unavailable; Client host [9.9.9.10] blocked using zen.example; see 192.168.1.1";
        assert_eq!(plan(&stopped(Some(Cause::Blocklisted), words), &[]), [Look::Sender(ip("9.9.9.10"))]);
        let words = "550 5.7.25 [2a00:1450:4864:20::22] The IP address sending this message does not have a PTR record";
        assert_eq!(plan(&stopped(Some(Cause::ReverseDnsMissing), words), &[]), [Look::Sender(ip("2a00:1450:4864:20::22"))]);
    }

    #[test]
    fn what_the_proxy_said_itself_leads_to_the_proxy() {
        let own = Stopped { by: Actor::Proxy, cause: Some(Cause::RemoteSystemError), ..stopped(None, "451 4.3.0") };
        assert_eq!(plan(&own, &[]).last(), Some(&Look::Own));
    }
}
