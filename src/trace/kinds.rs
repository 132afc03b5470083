//! The closed vocabularies of a record. The variants' names in snake case are the public words.

pub use crate::diagnose::{Act, Cause};
pub use crate::message::report::{Action, ReportKind};
pub use crate::smtp::Stage;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// What a journal frame holds. The discriminant is the octet in the frame header; new kinds are appended.
    RecordKind {
        Transaction = "transaction",
        /// A session that ended without any transaction, or otherwise than by QUIT.
        Session = "session",
        /// Facts that came later, by the id of the record they amend.
        Amendment = "amendment",
        Incident = "incident",
        Audit = "audit",
        /// Records that could not be stored: how many, from when to when, why.
        Gap = "gap",
        Log = "log",
        /// A transaction is about to pass end-of-data; its record follows, unless the process dies.
        Mark = "mark",
    }
}

vocabulary! {
    /// How far a message, or one recipient of it, came.
    State {
        /// 2xx to end-of-data.
        Accepted = "accepted",
        /// 4xx.
        Deferred = "deferred",
        /// 5xx.
        Rejected = "rejected",
        /// Client or proxy gave up before end-of-data.
        Aborted = "aborted",
        /// In doubt: end-of-data left, no reply came.
        Unknown = "unknown",
        /// Transactions only: recipients fared differently.
        Partial = "partial",
    }
}

vocabulary! {
    /// Who decided.
    Actor {
        Client = "client",
        Proxy = "proxy",
        Dns = "dns",
        Network = "network",
        Upstream = "upstream",
        Recipient = "recipient",
    }
}

vocabulary! {
    Direction {
        Outbound = "outbound",
        Inbound = "inbound",
    }
}

vocabulary! {
    /// One of the two connections of a session.
    Leg {
        Client = "client",
        Upstream = "upstream",
    }
}

vocabulary! {
    /// Direction of octets as seen from the proxy.
    Flow {
        In = "in",
        Out = "out",
    }
}

vocabulary! {
    /// How a session ended.
    EndHow {
        Quit = "quit",
        /// An orderly close without QUIT.
        Close = "close",
        Reset = "reset",
        Timeout = "timeout",
        /// Refused before a session began: client network, connection limit, draining.
        Refused = "refused",
        /// The peer broke the protocol beyond what can be carried.
        Protocol = "protocol",
        TlsFailure = "tls_failure",
        AuthFailure = "auth_failure",
        ConnectFailure = "connect_failure",
        /// The proxy is shutting down.
        Shutdown = "shutdown",
        /// The proxy itself died; the record was made from what the journal held at the next start.
        Crash = "crash",
    }
}

vocabulary! {
    /// Peculiarities worth finding again.
    Flag {
        /// CR or LF alone in the message.
        BareNewline = "bare_newline",
        /// A lone dot between anything but CRLFs: an attempt at (or an accident like) SMTP smuggling.
        SmugglingGuard = "smuggling_guard",
        NulOctet = "nul_octet",
        /// End-of-data was sent upstream and no reply came.
        InDoubt = "in_doubt",
        /// The final reply came after the client had gone.
        LateReply = "late_reply",
        StarttlsMissing = "starttls_missing",
        ClearAfterTlsFailure = "clear_after_tls_failure",
        TlsUnverified = "tls_unverified",
        PlaintextAuth = "plaintext_auth",
        EarlyTalker = "early_talker",
        MalformedReply = "malformed_reply",
        SurplusReply = "surplus_reply",
        /// The upstream answered before the message had ended.
        EarlyReply = "early_reply",
        EightBitCommand = "eight_bit_command",
        LongLine = "long_line",
        ForeignProtocol = "foreign_protocol",
        SuspectedSecret = "suspected_secret",
        TimelineCut = "timeline_cut",
        RecipientsCut = "recipients_cut",
        HeaderCut = "header_cut",
        /// The reply was relayed before its record was stored (`on_store_failure = "pass"`).
        StoredLate = "stored_late",
        FailedOver = "failed_over",
        ClientHalfClosed = "client_half_closed",
        PipeliningWithoutOffer = "pipelining_without_offer",
        MiddleboxSuspected = "middlebox_suspected",
        /// Recipients were told to come in a transaction of their own, because another next hop serves them.
        Split = "split",
        /// A probe of the proxy's own, no client's session.
        Synthetic = "synthetic",
        /// The session was passed through encrypted and unread.
        PassedThrough = "passed_through",
        /// A client that may not tried to speak for another: a PROXY header, XCLIENT or XFORWARD.
        SpoofedClient = "spoofed_client",
        /// The next hop is this proxy, or an address that no mail exchanger of the internet has.
        LoopRefused = "loop_refused",
        /// DNS answered, and the answer doesn't validate (DNSSEC).
        DnsBogus = "dns_bogus",
        /// A TLS policy that the destination publishes (DANE, MTA-STS) was not met.
        TlsPolicyFailed = "tls_policy_failed",
        /// The message is a delivery report or a complaint, and says of another message what became of it.
        Report = "report",
        /// Octets came in clear behind STARTTLS, or behind the 220 to it, before the handshake.
        TlsInjection = "tls_injection",
    }
}

vocabulary! {
    /// How the upstream was found.
    #[derive(Default)]
    UpstreamKind {
        /// A list of hosts that take mail for everywhere.
        #[default]
        SmartHost = "smart_host",
        /// The mail exchangers of the recipient's domain.
        Mx = "mx",
        /// Where the client had connected to, before its connection was diverted.
        OriginalDestination = "original_destination",
        /// The mail server behind, for mail that comes in.
        Fixed = "fixed",
    }
}

vocabulary! {
    /// What became of a question to DNS.
    LookupOutcome {
        Found = "found",
        /// There is no such name.
        NoSuchName = "nxdomain",
        /// The name exists, without a record of that type.
        NoData = "nodata",
        ServerFailure = "servfail",
        Timeout = "timeout",
        /// The answer doesn't validate.
        Bogus = "bogus",
        /// Another failure, told in words.
        Failed = "failed",
    }
}

vocabulary! {
    /// What DNSSEC says of an answer (RFC 4035 §4.3).
    Dnssec {
        Secure = "secure",
        Insecure = "insecure",
        Bogus = "bogus",
        /// Nobody trusted has validated it.
        Unchecked = "unchecked",
    }
}

vocabulary! {
    /// Whether a host is used, by how it fared lately.
    Circuit {
        /// It works, or nobody knows otherwise.
        Closed = "closed",
        /// It failed too often: put last until its time is over.
        Open = "open",
        /// Its time is over: the next session tries it.
        HalfOpen = "half_open",
    }
}

vocabulary! {
    /// How an upstream was told who the client is.
    Told {
        ProxyV2 = "proxy_v2",
        Xclient = "xclient",
        Xforward = "xforward",
        /// A `Received` line in the message.
        Received = "received",
    }
}

vocabulary! {
    /// How a connection came to the proxy.
    ViaHow {
        ProxyV1 = "proxy_v1",
        ProxyV2 = "proxy_v2",
        Redirect = "redirect",
        Tproxy = "tproxy",
    }
}

vocabulary! {
    /// What a line of a server's log says.
    LogEvent {
        /// The server took the message.
        Received = "received",
        /// It stands in the queue.
        Queued = "queued",
        /// A program or a mailbox on the server handed it in.
        Submitted = "submitted",
        /// A next hop took it.
        Sent = "sent",
        /// It is in the mailbox.
        Delivered = "delivered",
        Deferred = "deferred",
        /// It will not be delivered, and the sender is told.
        Bounced = "bounced",
        /// The queue gave up.
        Expired = "expired",
        /// The server did not take it.
        Rejected = "rejected",
        /// It goes to another address.
        Redirected = "redirected",
        /// It goes to the members of a list.
        Expanded = "expanded",
        Quarantined = "quarantined",
        /// It was thrown away.
        Discarded = "discarded",
        /// A delivery report was sent about it.
        ReportSent = "report_sent",
        /// It left the queue.
        Removed = "removed",
    }
}

vocabulary! {
    /// Events in the life of the proxy.
    AuditEvent {
        /// It serves from now on.
        Started = "started",
        /// It ended as it was told to.
        Stopped = "stopped",
        /// Found at the next start: it ended without a word.
        Crashed = "crashed",
        /// Configuration and certificates were read anew.
        Reloaded = "reloaded",
        /// Another process took its place.
        HandedOver = "handed_over",
        /// A receiver of exports hasn't taken anything for a while; `who` is the export's name.
        ExportFailed = "export_failed",
        /// It takes again.
        ExportResumed = "export_resumed",
        /// Records that an export never sent, or that its receiver refused for good.
        ExportSkipped = "export_skipped",
        /// Somebody set an export back to an earlier time.
        ExportReplayed = "export_replayed",
        /// A changed configuration could not be used: the one before goes on.
        ReloadRefused = "reload_refused",
    }
}

vocabulary! {
    /// What goes wrong, by the detector's name for it.
    Anomaly {
        /// At this rate the quota is used up before its period ends.
        SendingLimitNear = "sending_limit_near",
        /// The provider refuses: the quota is used up.
        SendingLimitReached = "sending_limit_reached",
        /// The provider refuses: too much in too short a time.
        RateLimited = "rate_limited",
        /// Every login with the smart host's credential fails.
        AuthAllFail = "auth_all_fail",
        /// One account's logins fail.
        AuthAccountFails = "auth_account_fails",
        /// One client tries passwords.
        AuthGuessing = "auth_guessing",
        AccountLocked = "account_locked",
        AuthMechanismRefused = "auth_mechanism_refused",
        AuthInClear = "auth_in_clear",
        UpstreamDown = "upstream_down",
        UpstreamFlapping = "upstream_flapping",
        /// Slower than it usually is, by phase.
        UpstreamSlow = "upstream_slow",
        /// Many 421 in a short time.
        UpstreamClosing = "upstream_closing",
        ConnectionLimit = "connection_limit",
        /// The port for mail is blocked on the way.
        PortBlocked = "port_blocked",
        /// DNS doesn't answer, or fails.
        DnsFailing = "dns_failing",
        Blocklisted = "blocklisted",
        ReverseDnsRefused = "reverse_dns_refused",
        /// Refusals because of SPF, DKIM or DMARC.
        SenderAuthRefused = "sender_auth_refused",
        /// A destination refuses far more than usual.
        RejectRatio = "reject_ratio",
        SpamVerdicts = "spam_verdicts",
        /// Far more mail than usual at this hour.
        VolumeSpike = "volume_spike",
        /// No mail where there usually is some.
        Silence = "silence",
        MailLoop = "mail_loop",
        /// One client tries addresses.
        DirectoryHarvest = "directory_harvest",
        /// Many bounces to one sender.
        BounceWave = "bounce_wave",
        /// A message went out again after an outcome in doubt.
        Duplicates = "duplicates",
        /// Mail to one address fails again and again: there is no such mailbox.
        AddressUnknown = "address_unknown",
        /// A mailbox stays full.
        MailboxStaysFull = "mailbox_stays_full",
        /// A peer that had TLS has none, or a weaker one.
        TlsDowngrade = "tls_downgrade",
        /// Somebody on the way takes STARTTLS out.
        StarttlsStripped = "starttls_stripped",
        CertificateExpiring = "certificate_expiring",
        /// A peer's banner, software, keywords, size limit or certificate is another.
        PeerChanged = "peer_changed",
        DnsChanged = "dns_changed",
        /// Bare newlines around a lone dot.
        SmugglingAttempts = "smuggling_attempts",
        /// Commands behind STARTTLS, in clear.
        TlsInjection = "tls_injection",
        OpenRelayProbes = "open_relay_probes",
        /// Connections that are no mail: other protocols, probes, hasty visitors.
        Scanner = "scanner",
        /// The trace has holes.
        TracingGap = "tracing_gap",
        /// A receiver of exports takes nothing.
        ExportFailing = "export_failing",
        /// Records were left out of an export.
        ExportSkipping = "export_skipping",
    }
}

vocabulary! {
    /// How much it matters.
    Severity {
        /// Worth knowing.
        Notice = "notice",
        /// Mail will suffer, or some does.
        Warning = "warning",
        /// Mail doesn't flow, or somebody abuses the server.
        Critical = "critical",
    }
}

vocabulary! {
    /// What an entry of an incident says.
    IncidentStep {
        Opened = "opened",
        /// It grew, or became worse.
        Changed = "changed",
        /// It was resolved a short while ago, and is back.
        Reopened = "reopened",
        Resolved = "resolved",
        Muted = "muted",
        Unmuted = "unmuted",
    }
}

vocabulary! {
    /// What an incident concerns.
    AboutKind {
        /// Name of an upstream in the configuration.
        Upstream = "upstream",
        /// A next hop's name.
        Host = "host",
        Listener = "listener",
        /// IP address of a client.
        Client = "client",
        /// AUTH user.
        User = "user",
        /// Reverse-path.
        Sender = "sender",
        Recipient = "recipient",
        /// Domain of recipients or senders.
        Domain = "domain",
        Provider = "provider",
        /// A list of addresses: "zen.spamhaus.org".
        Blocklist = "blocklist",
        /// Phase of a session: "connect", "tls", "end_of_data", …
        Phase = "phase",
        /// Type of a DNS record: "MX", "SPF", …
        Dns = "dns",
        /// Period of a quota: "day", "hour".
        Period = "period",
        /// What of a peer: "banner", "certificate", …
        Part = "part",
        MessageId = "message_id",
        /// Name of an export in the configuration.
        Export = "export",
    }
}
