//! Which failures an anomaly can explain, by what it is: a mailbox that is full has nothing to do with TLS that is missing.

use super::answer::RelayHop;
use crate::trace::{Actor, Anomaly, Cause, Stage};

/// Refusals and breaks where TLS is wanted, and missing or broken. Without TLS a server offers no login.
const TLS: &[Cause] = &[Cause::TlsFailure, Cause::EncryptionRequired, Cause::AuthRequired, Cause::AuthMechanismUnsupported];
const LOGIN: &[Cause] = &[
    Cause::AuthRequired,
    Cause::AuthFailed,
    Cause::AuthMechanismUnsupported,
    Cause::AccountLocked,
    Cause::SenderNotAuthorized,
    Cause::RelayDenied,
    Cause::EncryptionRequired,
];
const QUOTA: &[Cause] = &[Cause::SendingLimitReached, Cause::RateLimited, Cause::TooManyRecipients, Cause::AccountLocked];
/// What a host that is too slow comes to.
const DELAY: &[Cause] = &[Cause::ConnectionFailed, Cause::RemoteSystemError, Cause::RateLimited, Cause::DeliveryExpired];
/// What is of one mailbox, or of one message's text: no other message's trouble brings it about.
const OF_ITS_OWN: &[Cause] = &[
    Cause::DomainNotFound,
    Cause::RecipientUnknown,
    Cause::RecipientInactive,
    Cause::RecipientRestricted,
    Cause::MailboxFull,
    Cause::Suppressed,
    Cause::MessageTooBig,
    Cause::MalformedMessage,
    Cause::VirusDetected,
];

/// What an anomaly can explain.
enum Scope {
    Any,
    /// Failures of these causes only.
    Only(&'static [Cause]),
    /// All but those of these causes.
    AllBut(&'static [Cause]),
}

fn scope(anomaly: Anomaly) -> Scope {
    use Anomaly::*;
    match anomaly {
        TlsDowngrade | StarttlsStripped => Scope::Only(TLS),
        CertificateExpiring => Scope::Only(&[Cause::TlsFailure]),
        AuthAllFail | AuthAccountFails | AccountLocked | AuthMechanismRefused => Scope::Only(LOGIN),
        SendingLimitNear | SendingLimitReached | RateLimited => Scope::Only(QUOTA),
        UpstreamSlow => Scope::Only(DELAY),
        MailLoop => Scope::Only(&[Cause::MailLoop, Cause::DeliveryExpired, Cause::RateLimited, Cause::SendingLimitReached]),
        AddressUnknown => Scope::Only(&[
            Cause::RecipientUnknown,
            Cause::RecipientInactive,
            Cause::DomainNotFound,
            Cause::Suppressed,
            Cause::PolicyRejected,
        ]),
        MailboxStaysFull => Scope::Only(&[Cause::MailboxFull, Cause::RecipientInactive, Cause::RemoteSystemError, Cause::DeliveryExpired]),
        // Another size limit, or another list of mailboxes behind it.
        PeerChanged => Scope::AllBut(&[Cause::RecipientInactive, Cause::RecipientRestricted, Cause::MailboxFull, Cause::Suppressed]),
        Blocklisted | ReverseDnsRefused | SenderAuthRefused | SpamVerdicts | VolumeSpike | Silence | UpstreamClosing | ConnectionLimit => {
            Scope::AllBut(OF_ITS_OWN)
        }
        // Whether the host was reached at all, which DNS entry changed, and what concerns its examples alone, is looked at by itself.
        UpstreamDown | UpstreamFlapping | PortBlocked | DnsFailing | DnsChanged | RejectRatio | BounceWave | AuthGuessing | AuthInClear
        | DirectoryHarvest | Duplicates | SmugglingAttempts | TlsInjection | OpenRelayProbes | Scanner | TracingGap | ExportFailing
        | ExportSkipping => Scope::Any,
    }
}

/// Whether its examples are failures that it counts: what it names has failed by it. Others name what they noticed something at.
pub(super) fn counts_failures(anomaly: Anomaly) -> bool {
    use Anomaly::*;
    !matches!(
        anomaly,
        TlsDowngrade
            | StarttlsStripped
            | CertificateExpiring
            | PeerChanged
            | DnsChanged
            | UpstreamSlow
            | SendingLimitNear
            | VolumeSpike
            | Silence
    )
}

/// Whether it can have brought about one of the failures: attempts, and the causes known of them and of their recipients.
pub(super) fn can_explain<'a>(anomaly: Anomaly, attempts: impl Iterator<Item = &'a RelayHop>, causes: impl Iterator<Item = Cause>) -> bool {
    let mut causes = causes.peekable();
    let is_known = causes.peek().is_some();
    let by_cause = match scope(anomaly) {
        Scope::Any => return true,
        Scope::Only(these) => causes.any(|cause| these.contains(&cause)),
        Scope::AllBut(these) => causes.any(|cause| !these.contains(&cause)),
    };
    let mut attempts = attempts.peekable();
    let of_tls = matches!(anomaly, Anomaly::TlsDowngrade | Anomaly::StarttlsStripped | Anomaly::CertificateExpiring);
    let by_course = |hop: &RelayHop| match anomaly {
        _ if of_tls => hop.stage.0 == Stage::StartTls,
        Anomaly::UpstreamSlow => hop.by.0 == Actor::Client || hop.reply.is_none(),
        Anomaly::UpstreamClosing | Anomaly::ConnectionLimit => hop.reply.as_ref().is_some_and(|reply| reply.code == 421),
        _ => false,
    };
    // Of what no cause is known, all can be true but what its stage speaks against.
    by_cause || attempts.any(by_course) || !is_known && !of_tls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(anomaly: Anomaly, cause: Cause, expected: bool) {
        assert_eq!(can_explain(anomaly, std::iter::empty(), std::iter::once(cause)), expected, "{anomaly}: {cause}");
    }

    #[test]
    fn an_anomaly_explains_what_can_come_of_it() {
        for anomaly in [Anomaly::TlsDowngrade, Anomaly::StarttlsStripped] {
            check(anomaly, Cause::TlsFailure, true);
            check(anomaly, Cause::EncryptionRequired, true);
            check(anomaly, Cause::MailboxFull, false);
            check(anomaly, Cause::Greylisted, false);
        }
        check(Anomaly::CertificateExpiring, Cause::RecipientUnknown, false);
        check(Anomaly::UpstreamSlow, Cause::ConnectionFailed, true);
        check(Anomaly::UpstreamSlow, Cause::MailboxFull, false);
        check(Anomaly::SendingLimitNear, Cause::SendingLimitReached, true);
        check(Anomaly::SendingLimitNear, Cause::Greylisted, false);
        check(Anomaly::PeerChanged, Cause::MessageTooBig, true);
        check(Anomaly::PeerChanged, Cause::MailboxFull, false);
        check(Anomaly::VolumeSpike, Cause::Greylisted, true);
        check(Anomaly::VolumeSpike, Cause::MailboxFull, false);
        check(Anomaly::MailboxStaysFull, Cause::MailboxFull, true);
        check(Anomaly::RejectRatio, Cause::MailboxFull, true);
    }

    #[test]
    fn of_an_unknown_cause_all_but_tls_can_be_why() {
        let unknown = |anomaly| can_explain(anomaly, std::iter::empty(), std::iter::empty());
        assert!(unknown(Anomaly::UpstreamSlow) && unknown(Anomaly::VolumeSpike));
        assert!(!unknown(Anomaly::StarttlsStripped), "it would have stopped at STARTTLS");
    }
}
