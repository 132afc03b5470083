//! Incidents, Relayscope's own life, and holes in the trace.

use super::{Class, OTHER};
use crate::export::format::view::View;
use crate::export::format::writer::Object;
use crate::trace::kinds::{AuditEvent, IncidentStep, Severity};
use crate::trace::{Audit, Gap, Incident};

/// Application Activity, Application Error, General Error.
pub const GAP: Class = Class { category: 6, class: 6008, activity: 1 };

/// Findings, Detection Finding; Create, Update or Close.
pub fn incident_class(it: &Incident) -> Class {
    let activity = match it.step {
        IncidentStep::Opened => 1,
        IncidentStep::Changed | IncidentStep::Reopened | IncidentStep::Muted | IncidentStep::Unmuted => 2,
        IncidentStep::Resolved => 3,
    };
    Class { category: 2, class: 2004, activity }
}

pub fn incident(object: &mut Object<'_>, it: &Incident) {
    let (id, name) = match it.step {
        IncidentStep::Opened | IncidentStep::Reopened => (1u64, "New"),
        IncidentStep::Changed | IncidentStep::Unmuted => (2, "In Progress"),
        IncidentStep::Muted => (3, "Suppressed"),
        IncidentStep::Resolved => (4, "Resolved"),
    };
    object.number("status_id", id);
    object.shown("status", name);
    object.number("start_time", it.since / 1_000);
    object.number("end_time", it.last / 1_000);
    object.number("count", it.count.min(i32::MAX as u64));
    object.truth("is_alert", it.severity != Severity::Notice && it.step != IncidentStep::Resolved);
    object.maybe("comment", it.note.as_deref());
    object.object("finding_info", |object| {
        object.shown("uid", it.incident);
        object.text("title", &it.summary);
        object.text("desc", &it.arithmetic);
        object.words("types", [it.anomaly.word()]);
        object.number("created_time", it.incident.unix_ms());
        object.number("modified_time", it.at / 1_000);
        object.number("first_seen_time", it.since / 1_000);
        object.number("last_seen_time", it.last / 1_000);
        object.object("analytic", |object| {
            object.shown("name", it.anomaly);
            // Statistical.
            object.number("type_id", 3u64);
            object.shown("type", "Statistical");
        });
        object.objects("related_events", &it.samples, |object, id| object.shown("uid", id));
        object.number("related_events_count", it.samples.len() as u64);
    });
    object.objects("resources", &it.about, |object, it| {
        object.text("name", &it.value);
        object.shown("type", it.kind);
    });
    object.object("remediation", |object| object.text("desc", &it.advice));
}

pub fn audit_class(it: &Audit) -> Class {
    let activity = match it.event {
        AuditEvent::Started => 3,
        AuditEvent::Stopped | AuditEvent::Crashed => 4,
        AuditEvent::HandedOver => 5,
        AuditEvent::Reloaded => 8,
        AuditEvent::ReloadRefused
        | AuditEvent::ExportFailed
        | AuditEvent::ExportResumed
        | AuditEvent::ExportSkipped
        | AuditEvent::ExportReplayed => OTHER,
    };
    Class { category: 6, class: 6002, activity }
}

pub fn audit(object: &mut Object<'_>, view: &View<'_>, it: &Audit) {
    object.object("app", |object| {
        object.text("name", &view.context.product);
        object.text("vendor_name", &view.context.vendor);
        object.text("version", &it.origin.proxy_version);
        object.text("uid", &it.origin.node);
    });
    if let Some(since) = it.since {
        object.number("start_time", since / 1_000);
    }
}

pub fn gap(object: &mut Object<'_>, it: &Gap) {
    object.number("start_time", it.from / 1_000);
    object.number("end_time", it.until / 1_000);
    object.number("count", it.records_lost.min(i32::MAX as u64));
}
