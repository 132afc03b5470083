//! What an event is called, and how much it matters: the same in every format.

use crate::trace::kinds::{AuditEvent, EndHow, IncidentStep, Severity as Weight, State};
use crate::trace::{Incident, Outcome, Record, Session};

/// How much an event matters: syslog's severity (RFC 5424 §6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Severity {
    Critical = 2,
    Error = 3,
    Warning = 4,
    Notice = 5,
    Informational = 6,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Critical, Self::Error, Self::Warning, Self::Notice, Self::Informational];

    /// 0 to 7, 0 being the worst.
    pub fn syslog(self) -> u8 {
        self as u8
    }

    /// 0 to 10, 10 being the worst: CEF's and LEEF's scale.
    pub fn of_ten(self) -> u8 {
        match self {
            Self::Critical => 10,
            Self::Error => 8,
            Self::Warning => 6,
            Self::Notice => 4,
            Self::Informational => 2,
        }
    }

    /// OCSF's `severity_id`.
    pub fn ocsf(self) -> u8 {
        match self {
            Self::Critical => 5,
            Self::Error => 4,
            Self::Warning => 3,
            Self::Notice => 2,
            Self::Informational => 1,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Informational => "informational",
        }
    }
}

/// How it went, in the one word that every SIEM asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    Success,
    Failure,
    Unknown,
}

impl Went {
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        }
    }
}

/// Name and weight of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Stable, for rules and syslog's MSGID: "transaction.rejected".
    pub msgid: &'static str,
    /// For people.
    pub name: &'static str,
    pub severity: Severity,
    pub went: Went,
}

impl Named {
    fn new(msgid: &'static str, name: &'static str, severity: Severity, went: Went) -> Self {
        Self { msgid, name, severity, went }
    }
}

/// `None`: records of this kind are not forwarded. Marks are half a transaction, and logs are another server's, which has them already.
pub fn named(record: &Record) -> Option<Named> {
    Some(match record {
        Record::Transaction(it) => transaction(it.outcome.state),
        Record::Session(it) => session(it),
        Record::Amendment(it) => amendment(&it.outcome),
        Record::Incident(it) => incident(it),
        Record::Audit(it) => audit(it.event),
        Record::Gap(_) => Named::new("gap", "Records were not stored", Severity::Error, Went::Failure),
        Record::Mark(_) | Record::Log(_) => return None,
    })
}

fn transaction(state: State) -> Named {
    use Severity::{Informational, Notice, Warning};
    match state {
        State::Accepted => Named::new("transaction.accepted", "Message accepted", Informational, Went::Success),
        State::Deferred => Named::new("transaction.deferred", "Message deferred", Notice, Went::Failure),
        State::Rejected => Named::new("transaction.rejected", "Message rejected", Warning, Went::Failure),
        State::Aborted => Named::new("transaction.aborted", "Message given up", Notice, Went::Failure),
        State::Unknown => Named::new("transaction.unknown", "Message in doubt", Warning, Went::Unknown),
        State::Partial => Named::new("transaction.partial", "Message accepted for some recipients", Warning, Went::Failure),
    }
}

fn amendment(outcome: &Outcome) -> Named {
    let Named { severity, went, .. } = transaction(outcome.state);
    Named::new("amendment", "Record amended", severity, went)
}

fn session(it: &Session) -> Named {
    use Severity::{Error, Informational, Notice, Warning};
    let failed = it.outcome.as_ref().is_some_and(|outcome| outcome.state != State::Accepted);
    let quiet = if failed { (Notice, Went::Failure) } else { (Informational, Went::Success) };
    let (msgid, name, (severity, went)) = match it.ended.how {
        EndHow::Quit => ("session.quit", "Session ended by QUIT", quiet),
        EndHow::Close => ("session.close", "Session closed without QUIT", quiet),
        EndHow::Shutdown => ("session.shutdown", "Session ended by shutdown", quiet),
        EndHow::Reset => ("session.reset", "Session reset", (Notice, Went::Failure)),
        EndHow::Timeout => ("session.timeout", "Session timed out", (Notice, Went::Failure)),
        EndHow::Refused => ("session.refused", "Session refused", (Warning, Went::Failure)),
        EndHow::Protocol => ("session.protocol", "Session broke the protocol", (Warning, Went::Failure)),
        EndHow::TlsFailure => ("session.tls_failure", "TLS failed", (Warning, Went::Failure)),
        EndHow::AuthFailure => ("session.auth_failure", "Login failed", (Warning, Went::Failure)),
        EndHow::ConnectFailure => ("session.connect_failure", "Upstream not reached", (Warning, Went::Failure)),
        EndHow::Crash => ("session.crash", "Session lost in a crash", (Error, Went::Unknown)),
    };
    Named::new(msgid, name, severity, went)
}

fn incident(it: &Incident) -> Named {
    let weight = match it.severity {
        Weight::Notice => Severity::Notice,
        Weight::Warning => Severity::Warning,
        Weight::Critical => Severity::Critical,
    };
    let (msgid, name, severity, went) = match it.step {
        IncidentStep::Opened => ("incident.opened", "Incident opened", weight, Went::Failure),
        IncidentStep::Changed => ("incident.changed", "Incident changed", weight, Went::Failure),
        IncidentStep::Reopened => ("incident.reopened", "Incident reopened", weight, Went::Failure),
        IncidentStep::Resolved => ("incident.resolved", "Incident resolved", Severity::Notice, Went::Success),
        IncidentStep::Muted => ("incident.muted", "Incident muted", Severity::Notice, Went::Unknown),
        IncidentStep::Unmuted => ("incident.unmuted", "Incident no longer muted", Severity::Notice, Went::Unknown),
    };
    Named::new(msgid, name, severity, went)
}

fn audit(event: AuditEvent) -> Named {
    use Severity::{Error, Notice};
    match event {
        AuditEvent::Started => Named::new("audit.started", "Relayscope started", Notice, Went::Success),
        AuditEvent::Stopped => Named::new("audit.stopped", "Relayscope stopped", Notice, Went::Success),
        AuditEvent::Crashed => Named::new("audit.crashed", "Relayscope had ended without a word", Error, Went::Failure),
        AuditEvent::Reloaded => Named::new("audit.reloaded", "Configuration read anew", Notice, Went::Success),
        AuditEvent::ReloadRefused => Named::new("audit.reload_refused", "A changed configuration was refused", Error, Went::Failure),
        AuditEvent::ExportFailed => Named::new("audit.export_failed", "An export isn't taken", Error, Went::Failure),
        AuditEvent::ExportResumed => Named::new("audit.export_resumed", "An export is taken again", Notice, Went::Success),
        AuditEvent::ExportSkipped => Named::new("audit.export_skipped", "Records were left out of an export", Error, Went::Failure),
        AuditEvent::ExportReplayed => Named::new("audit.export_replayed", "An export was set back", Notice, Went::Success),
        AuditEvent::HandedOver => Named::new("audit.handed_over", "Another process took over", Notice, Went::Success),
    }
}
