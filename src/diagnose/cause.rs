//! The closed list of causes, and what each is by nature.

use crate::vocabulary::vocabulary;

vocabulary! {
    /// Why a message, or one recipient of it, stopped. Stored by place: new ones are appended.
    Cause {
        /// A look-up that the delivery needs failed for the time being.
        DnsFailure = "dns_failure",
        /// The recipient's domain doesn't exist, or takes no mail.
        DomainNotFound = "domain_not_found",
        /// The next host could not be reached, or the connection broke.
        ConnectionFailed = "connection_failed",
        /// Somebody on the way lets no mail connections out, or in from this kind of network.
        PortBlocked = "port_blocked",
        /// Retried until the queue gave up; the cause proper lies in the attempts before.
        DeliveryExpired = "delivery_expired",
        /// TLS could not be set up, or not as a policy demands it.
        TlsFailure = "tls_failure",
        /// The server wants TLS first.
        EncryptionRequired = "encryption_required",
        /// The server wants a login first.
        AuthRequired = "auth_required",
        /// The login was refused, or could not be checked.
        AuthFailed = "auth_failed",
        /// No way to log in that both sides have.
        AuthMechanismUnsupported = "auth_mechanism_unsupported",
        /// The sending account is locked, suspended or not yet active.
        AccountLocked = "account_locked",
        /// The account may not send as this address or domain.
        SenderNotAuthorized = "sender_not_authorized",
        /// The server doesn't relay to there for this client.
        RelayDenied = "relay_denied",
        /// A quota of the sending account is used up.
        SendingLimitReached = "sending_limit_reached",
        /// Too much in too short a time.
        RateLimited = "rate_limited",
        /// More recipients than a transaction or message may have.
        TooManyRecipients = "too_many_recipients",
        /// Put off on purpose at first sight; a retry passes.
        Greylisted = "greylisted",
        /// The sending address or a domain stands on a block list.
        Blocklisted = "blocklisted",
        /// The receiver's own scoring of the sending address or domain is low.
        PoorReputation = "poor_reputation",
        /// The sending address has no host name in DNS, or one that doesn't lead back.
        ReverseDnsMissing = "reverse_dns_missing",
        /// The name in EHLO is not acceptable.
        HeloRejected = "helo_rejected",
        /// Sender authentication failed or is missing.
        SpfDkimDmarcFailure = "spf_dkim_dmarc_failure",
        /// The sender address is refused.
        SenderRejected = "sender_rejected",
        /// There is no such mailbox.
        RecipientUnknown = "recipient_unknown",
        /// The mailbox exists, and is disabled, expired or has moved.
        RecipientInactive = "recipient_inactive",
        /// The recipient takes mail from some senders only, or not from this one.
        RecipientRestricted = "recipient_restricted",
        /// The recipient's mailbox has no room.
        MailboxFull = "mailbox_full",
        /// The sending provider didn't try: the address is on its own list of addresses not to be tried.
        Suppressed = "suppressed",
        /// The message, or a part of it that is counted, is above a limit.
        MessageTooBig = "message_too_big",
        /// Header, MIME structure or line ends break a rule.
        MalformedMessage = "malformed_message",
        /// The content was judged to be spam or phishing.
        SpamDetected = "spam_detected",
        /// Malware was found.
        VirusDetected = "virus_detected",
        /// A kind of attachment or content is forbidden.
        ContentRejected = "content_rejected",
        /// Refused by a rule of the receiver that the reply does not name.
        PolicyRejected = "policy_rejected",
        /// Too many hops.
        MailLoop = "mail_loop",
        /// The dialogue was wrong: order, syntax, an option not supported.
        ProtocolError = "protocol_error",
        /// The other server has a trouble of its own.
        RemoteSystemError = "remote_system_error",
        /// The reply states no cause.
        Unclassified = "unclassified",
    }
}

vocabulary! {
    /// Who must act.
    Act {
        Sender = "sender",
        LocalAdmin = "local_admin",
        SmartHost = "smart_host",
        RecipientSide = "recipient_side",
        Network = "network",
        Nobody = "nobody",
    }
}

vocabulary! {
    /// Whether time alone heals it.
    Permanence {
        Transient = "transient",
        /// The same message will fail again.
        Permanent = "permanent",
        /// It will fail again until somebody changes something outside the message.
        UntilChanged = "until_changed",
        /// Either, as the reply code says.
        Mixed = "mixed",
        Unstated = "unstated",
    }
}

impl Cause {
    /// Who must act where no rule knows better.
    pub fn act(self) -> Act {
        match self {
            Self::DnsFailure | Self::ConnectionFailed => Act::Network,
            Self::DomainNotFound
            | Self::TooManyRecipients
            | Self::SenderRejected
            | Self::RecipientUnknown
            | Self::RecipientInactive
            | Self::MessageTooBig
            | Self::SpamDetected
            | Self::VirusDetected
            | Self::ContentRejected => Act::Sender,
            Self::PortBlocked
            | Self::DeliveryExpired
            | Self::TlsFailure
            | Self::EncryptionRequired
            | Self::AuthRequired
            | Self::AuthFailed
            | Self::AuthMechanismUnsupported
            | Self::AccountLocked
            | Self::SenderNotAuthorized
            | Self::RelayDenied
            | Self::SendingLimitReached
            | Self::RateLimited
            | Self::Blocklisted
            | Self::PoorReputation
            | Self::ReverseDnsMissing
            | Self::HeloRejected
            | Self::SpfDkimDmarcFailure
            | Self::Suppressed
            | Self::MalformedMessage
            | Self::MailLoop
            | Self::ProtocolError => Act::LocalAdmin,
            Self::Greylisted | Self::Unclassified => Act::Nobody,
            Self::RecipientRestricted | Self::MailboxFull | Self::PolicyRejected | Self::RemoteSystemError => Act::RecipientSide,
        }
    }

    pub fn permanence(self) -> Permanence {
        match self {
            Self::DnsFailure
            | Self::ConnectionFailed
            | Self::SendingLimitReached
            | Self::RateLimited
            | Self::Greylisted
            | Self::MailboxFull
            | Self::RemoteSystemError => Permanence::Transient,
            Self::DomainNotFound
            | Self::DeliveryExpired
            | Self::EncryptionRequired
            | Self::AuthRequired
            | Self::AuthMechanismUnsupported
            | Self::SenderNotAuthorized
            | Self::RelayDenied
            | Self::SenderRejected
            | Self::RecipientUnknown
            | Self::RecipientInactive
            | Self::RecipientRestricted
            | Self::MessageTooBig
            | Self::MalformedMessage
            | Self::SpamDetected
            | Self::VirusDetected
            | Self::ContentRejected
            | Self::MailLoop
            | Self::ProtocolError => Permanence::Permanent,
            Self::PortBlocked
            | Self::AccountLocked
            | Self::Blocklisted
            | Self::ReverseDnsMissing
            | Self::HeloRejected
            | Self::Suppressed => Permanence::UntilChanged,
            Self::TlsFailure
            | Self::AuthFailed
            | Self::TooManyRecipients
            | Self::PoorReputation
            | Self::SpfDkimDmarcFailure
            | Self::PolicyRejected => Permanence::Mixed,
            Self::Unclassified => Permanence::Unstated,
        }
    }
}
