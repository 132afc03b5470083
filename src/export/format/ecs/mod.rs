//! ECS 8.17: what Elastic's schema has a field for, and the rest in `smtp.*`.
//!
//! `source` and `client` are the client, `destination` and `server` the upstream, `observer` is Relayscope; `tls` is that of the upstream's
//! connection (both legs' stand in `smtp.client.tls` and `smtp.upstream.tls`). Recipients are the envelope's.

mod mail;

use super::bounds::Bounds;
use super::view::View;
use super::writer::{self, Object};
use super::{inert, smtp};
use crate::trace::kinds::{Anomaly, AuditEvent, EndHow, IncidentStep};
use crate::trace::{Incident, Record, Session};

/// The version of the schema.
pub const VERSION: &str = "8.17.0";

pub fn write(out: &mut Vec<u8>, view: &View<'_>, bounds: Bounds) {
    writer::object(out, bounds, |object| {
        object.time("@timestamp", view.at());
        object.object("ecs", |ecs| ecs.shown("version", VERSION));
        object.text("message", if bounds.rest { view.sentence } else { view.named.name });
        object.object("event", |object| event(object, view));
        object.object("log", |log| log.shown("level", view.named.severity.word()));
        let node = inert::cut(view.node(), 255);
        object.object("observer", |observer| {
            observer.text("name", node);
            observer.text("vendor", &view.context.vendor);
            observer.text("product", &view.context.product);
            observer.text("version", &view.context.version);
            observer.shown("type", "proxy");
        });
        if bounds.rest {
            object.object("host", |host| host.text("name", node));
            if let Some(it) = view.dialogue() {
                mail::write(object, view, &it);
            }
            rule(object, view);
        }
        // Last, because it says what was left out.
        smtp::write(object, view);
    });
}

fn event(event: &mut Object<'_>, view: &View<'_>) {
    event.shown("id", view.id());
    event.shown("kind", if matches!(view.record, Record::Incident(_)) { "alert" } else { "event" });
    let (category, kind) = categories(view.record);
    event.words("category", category.iter().copied());
    event.words("type", kind.iter().copied());
    event.shown("action", view.named.msgid);
    event.shown("outcome", view.named.went.word());
    event.shown("module", "relayscope");
    event.shown("provider", "relayscope");
    event.shown("dataset", format_args!("relayscope.{}", view.record.kind()));
    event.number("severity", view.named.severity.syslog());
    if let Some(it) = view.dialogue() {
        event.time("start", it.at);
        event.time("end", it.ended_us());
        // Nanoseconds.
        event.number("duration", it.duration_us.min(i64::MAX as u64 / 1_000) * 1_000);
    }
    match view.record {
        Record::Incident(it) => span(event, it),
        Record::Gap(it) => {
            event.time("start", it.from);
            event.time("end", it.until);
            if event.bounds().rest {
                event.text("reason", &it.why);
            }
        }
        _ => event.maybe_shown("reason", view.outcome().and_then(|it| it.cause)),
    }
}

fn span(event: &mut Object<'_>, it: &Incident) {
    event.time("start", it.since);
    event.time("end", it.last);
    event.shown("reason", it.anomaly);
}

/// Category and type, each of ECS's closed lists.
fn categories(record: &Record) -> (&'static [&'static str], &'static [&'static str]) {
    match record {
        Record::Transaction(_) | Record::Amendment(_) | Record::Mark(_) | Record::Log(_) => (&["email"], &["info"]),
        Record::Session(it) => session(it),
        Record::Incident(it) => match it.step {
            IncidentStep::Opened | IncidentStep::Reopened | IncidentStep::Changed | IncidentStep::Resolved => {
                (anomaly(it.anomaly), &["info"])
            }
            IncidentStep::Muted | IncidentStep::Unmuted => (&["configuration"], &["change"]),
        },
        Record::Audit(it) => match it.event {
            AuditEvent::Started => (&["process"], &["start"]),
            AuditEvent::Stopped | AuditEvent::Crashed => (&["process"], &["end"]),
            AuditEvent::HandedOver => (&["process"], &["change"]),
            AuditEvent::Reloaded | AuditEvent::ReloadRefused => (&["configuration"], &["change"]),
            AuditEvent::ExportFailed | AuditEvent::ExportSkipped | AuditEvent::ExportResumed => (&["process"], &["info"]),
            AuditEvent::ExportReplayed => (&["configuration"], &["change"]),
        },
        Record::Gap(_) => (&["process"], &["info"]),
    }
}

/// Whether somebody attacks, or what doesn't work.
fn anomaly(it: Anomaly) -> &'static [&'static str] {
    match it {
        Anomaly::AuthGuessing
        | Anomaly::AuthInClear
        | Anomaly::DirectoryHarvest
        | Anomaly::TlsDowngrade
        | Anomaly::StarttlsStripped
        | Anomaly::SmugglingAttempts
        | Anomaly::TlsInjection
        | Anomaly::OpenRelayProbes
        | Anomaly::Scanner => &["intrusion_detection"],
        Anomaly::AuthAllFail | Anomaly::AuthAccountFails | Anomaly::AccountLocked | Anomaly::AuthMechanismRefused => &["authentication"],
        Anomaly::UpstreamDown
        | Anomaly::UpstreamFlapping
        | Anomaly::UpstreamSlow
        | Anomaly::UpstreamClosing
        | Anomaly::ConnectionLimit
        | Anomaly::PortBlocked
        | Anomaly::DnsFailing
        | Anomaly::ExportFailing
        | Anomaly::ExportSkipping
        | Anomaly::CertificateExpiring
        | Anomaly::PeerChanged
        | Anomaly::DnsChanged => &["network"],
        Anomaly::SendingLimitNear
        | Anomaly::SendingLimitReached
        | Anomaly::RateLimited
        | Anomaly::Blocklisted
        | Anomaly::ReverseDnsRefused
        | Anomaly::SenderAuthRefused
        | Anomaly::RejectRatio
        | Anomaly::SpamVerdicts
        | Anomaly::VolumeSpike
        | Anomaly::Silence
        | Anomaly::MailLoop
        | Anomaly::BounceWave
        | Anomaly::Duplicates
        | Anomaly::AddressUnknown
        | Anomaly::MailboxStaysFull => &["email"],
        Anomaly::TracingGap => &["process"],
    }
}

fn session(it: &Session) -> (&'static [&'static str], &'static [&'static str]) {
    match it.ended.how {
        EndHow::AuthFailure => (&["authentication"], &["end"]),
        EndHow::Refused => (&["network"], &["connection", "denied"]),
        EndHow::Protocol => (&["network"], &["protocol", "end"]),
        EndHow::Quit
        | EndHow::Close
        | EndHow::Reset
        | EndHow::Timeout
        | EndHow::TlsFailure
        | EndHow::ConnectFailure
        | EndHow::Shutdown
        | EndHow::Crash => (&["network"], &["connection", "end"]),
    }
}

/// What judged.
fn rule(object: &mut Object<'_>, view: &View<'_>) {
    if let Record::Incident(it) = view.record {
        return object.object("rule", |rule| {
            rule.shown("name", it.anomaly);
            rule.text("description", &it.arithmetic);
        });
    }
    let Some(it) = view.outcome() else { return };
    object.object("rule", |rule| {
        rule.maybe("name", it.rule.as_deref());
        rule.maybe("version", it.rules_version.as_deref());
    });
}
