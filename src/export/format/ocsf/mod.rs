//! OCSF 1.6.0: each kind of record as the class that fits it.
//!
//! | record | class | activity |
//! |---|---|---|
//! | transaction | Email Activity (4009) | MTA Relay (5), `message_trace_uid` is the trace id |
//! | session, login refused | Authentication (3002), where the user is known | Logon (1), failed |
//! | session, otherwise | Network Activity (4001) | Close, Reset, Fail, Refuse |
//! | incident | Detection Finding (2004) | Create, Update, Close |
//! | audit | Application Lifecycle (6002) | Start, Stop, Restart, Update, Other |
//! | gap | Application Error (6008) | General Error (1) |
//! | amendment | Base Event (0) | Other (99); `metadata.correlation_uid` is the record it speaks of |
//!
//! An amendment has no sender and no recipient, without which Email Activity is not valid: hence the base event. What the schema has no
//! attribute for is in `unmapped.smtp`. The activity Trace (4) would fit a query of a message's way; a record here is one relay of it.

mod email;
mod life;
mod session;

use super::bounds::{Bounds, Part};
use super::named::Went;
use super::smtp;
use super::view::View;
use super::writer::{self, Object};
use crate::trace::{Record, RecordId};

/// The version of the schema: the first that knows the activity MTA Relay.
pub const VERSION: &str = "1.6.0";

/// Category, class and activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    category: u64,
    class: u64,
    activity: u64,
}

pub fn write(out: &mut Vec<u8>, view: &View<'_>, bounds: Bounds) {
    // Without its attributes a class isn't valid.
    let class = if bounds.rest { class(view) } else { BASE };
    writer::object(out, bounds, |object| {
        object.number("activity_id", class.activity);
        if class.activity == OTHER {
            object.shown("activity_name", view.named.name);
        }
        object.number("category_uid", class.category);
        object.number("class_uid", class.class);
        object.number("type_uid", class.class * 100 + class.activity);
        object.number("severity_id", view.named.severity.ocsf());
        object.number("time", view.at() / 1_000);
        object.text("message", if bounds.rest { view.sentence } else { view.named.name });
        if class != BASE && !matches!(view.record, Record::Incident(_)) {
            status(object, view);
        }
        if bounds.rest {
            match view.record {
                Record::Transaction(it) => email::write(object, view, it),
                Record::Session(it) => session::write(object, view, it),
                Record::Incident(it) => life::incident(object, it),
                Record::Audit(it) => life::audit(object, view, it),
                Record::Gap(it) => life::gap(object, it),
                Record::Amendment(_) | Record::Mark(_) | Record::Log(_) => {}
            }
        }
        object.object("unmapped", |unmapped| smtp::write(unmapped, view));
        object.object("metadata", |object| metadata(object, view));
    });
}

/// An activity that the class has no number for: its name says what.
const OTHER: u64 = 99;
const BASE: Class = Class { category: 0, class: 0, activity: OTHER };

fn class(view: &View<'_>) -> Class {
    match view.record {
        Record::Transaction(_) => email::CLASS,
        Record::Session(it) => session::class(view, it),
        Record::Incident(it) => life::incident_class(it),
        Record::Audit(it) => life::audit_class(it),
        Record::Gap(_) => life::GAP,
        Record::Amendment(_) | Record::Mark(_) | Record::Log(_) => BASE,
    }
}

fn status(object: &mut Object<'_>, view: &View<'_>) {
    let (id, name) = match view.named.went {
        Went::Success => (1u64, "Success"),
        Went::Failure => (2, "Failure"),
        Went::Unknown => (0, "Unknown"),
    };
    object.number("status_id", id);
    object.shown("status", name);
    let Some(it) = view.outcome() else { return };
    object.maybe_shown("status_code", it.reply.as_ref().map(|reply| reply.code));
    match (it.cause, &it.detail) {
        (Some(cause), _) => object.shown("status_detail", cause),
        (None, Some(detail)) if object.bounds().rest => object.text("status_detail", detail),
        (None, _) => {}
    }
}

fn metadata(object: &mut Object<'_>, view: &View<'_>) {
    object.shown("version", VERSION);
    object.shown("uid", view.id());
    object.maybe_shown("correlation_uid", correlated(view.record));
    object.shown("event_code", view.named.msgid);
    object.shown("log_name", view.record.kind());
    object.text("log_provider", view.node());
    object.object("product", |product| {
        product.text("name", &view.context.product);
        product.text("vendor_name", &view.context.vendor);
        product.text("version", &view.context.version);
    });
    if !object.lost().is_empty() {
        object.truth("is_truncated", true);
    }
}

/// What other events this one belongs to: the session, the incident, the record that is amended.
fn correlated(record: &Record) -> Option<RecordId> {
    match record {
        Record::Transaction(it) => Some(it.session_id),
        Record::Session(it) => Some(it.id),
        Record::Amendment(it) => Some(it.of),
        Record::Incident(it) => Some(it.incident),
        Record::Mark(_) | Record::Log(_) | Record::Audit(_) | Record::Gap(_) => None,
    }
}

/// Whether the schema takes a text for an address (`email_t`): ASCII, and a domain with a dot.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&octet);
    let part = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    let (first, rest) = domain.split_once('.').unwrap_or((domain, ""));
    let whole = !local.is_empty() && !first.is_empty() && !rest.is_empty() && text.len() <= 320;
    whole && local.bytes().all(atom) && first.bytes().all(part) && rest.bytes().all(|octet| part(octet) || octet == b'.')
}

/// What is bounded away is said in `metadata.is_truncated`.
fn valid<'t>(object: &mut Object<'_>, text: Option<&'t str>) -> Option<&'t str> {
    text.filter(|text| {
        let short = text.len() <= object.bounds().text;
        if !short {
            object.lose(Part::Text);
        }
        short && is_address(text)
    })
}
