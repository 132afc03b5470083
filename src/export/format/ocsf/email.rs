//! Email Activity (4009).

use super::{Class, is_address, valid};
use crate::export::format::view::{View, mailbox};
use crate::export::format::writer::Object;
use crate::trace::kinds::Direction;
use crate::trace::record::{Client, Transaction, Upstream};

/// Network Activity, Email Activity, MTA Relay.
pub const CLASS: Class = Class { category: 4, class: 4009, activity: 5 };

pub fn write(object: &mut Object<'_>, view: &View<'_>, it: &Transaction) {
    object.number("start_time", it.at / 1_000);
    object.number("end_time", it.at.saturating_add(it.duration_us) / 1_000);
    object.number("duration", it.duration_us / 1_000);
    let (id, name) = match it.direction {
        Direction::Inbound => (1u64, "Inbound"),
        Direction::Outbound => (2, "Outbound"),
    };
    object.number("direction_id", id);
    object.shown("direction", name);
    object.shown("protocol_name", "SMTP");
    object.shown("message_trace_uid", view.id());
    object.maybe("smtp_hello", it.client.helo.as_deref());
    object.maybe("banner", it.upstream.banner.as_deref());
    object.object("src_endpoint", |object| client(object, &it.client));
    object.object("dst_endpoint", |object| upstream(object, &it.upstream));
    object.object("email", |object| email(object, it));
    if let Some(signature) = it.message.signatures.first() {
        object.object("email_auth", |object| object.text("dkim_domain", &signature.domain));
    }
}

fn email(object: &mut Object<'_>, it: &Transaction) {
    let (envelope, message) = (&it.envelope, &it.message);
    object.shown("uid", it.id);
    object.maybe("message_uid", message.message_id.as_deref());
    object.maybe("subject", message.subject.as_deref());
    object.number("size", message.size.min(i64::MAX as u64));
    let header = message.from.as_deref().and_then(mailbox);
    let header = valid(object, header);
    let sender = valid(object, Some(&envelope.reverse_path));
    let most = object.bounds().text;
    let recipients: Vec<&str> =
        envelope.recipients.iter().map(|it| it.address.as_str()).filter(|it| it.len() <= most && is_address(it)).collect();
    match header.or(sender) {
        Some(from) => object.text("from", from),
        // One of `from` and `to` must be there: a message with neither is still a message, and has what it had.
        None if recipients.is_empty() => match envelope.reverse_path.as_str() {
            "" => object.text("from", "<>"),
            from => object.text("from", from),
        },
        None => {}
    }
    object.maybe("from_mailbox", message.from.as_deref());
    object.maybe("smtp_from", sender);
    object.texts("smtp_to", recipients.iter().copied());
    let to = message.to.as_deref().and_then(mailbox);
    match valid(object, to) {
        Some(to) => object.texts("to", [to]),
        None => object.texts("to", recipients.iter().copied()),
    }
    if let Some(to) = message.to.as_deref() {
        object.texts("to_mailboxes", [to]);
    }
}

pub fn client(object: &mut Object<'_>, it: &Client) {
    object.shown("ip", it.ip);
    object.number("port", it.port);
    object.maybe("hostname", it.helo.as_deref());
}

pub fn upstream(object: &mut Object<'_>, it: &Upstream) {
    object.maybe_shown("ip", it.ip);
    object.maybe_number("port", it.port);
    object.maybe("hostname", it.host.as_deref());
    object.text("svc_name", &it.name);
}
