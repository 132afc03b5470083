//! What ECS says of a message and of the two connections that it came by.

use std::net::IpAddr;

use crate::export::format::inert;
use crate::export::format::view::{self, Dialogue, View};
use crate::export::format::writer::Object;
use crate::trace::json::Time;
use crate::trace::record::{Envelope, Message, Tls};

pub fn write(object: &mut Object<'_>, view: &View<'_>, it: &Dialogue<'_>) {
    for name in ["source", "client"] {
        object.object(name, |object| peer(object, Some(it.client.ip), Some(it.client.port), it.client.helo.as_deref()));
    }
    for name in ["destination", "server"] {
        object.object(name, |object| peer(object, it.upstream.ip, it.upstream.port, it.upstream.host.as_deref()));
    }
    object.object("network", |network| {
        network.shown("protocol", "smtp");
        network.shown("transport", "tcp");
        network.shown("direction", it.direction);
    });
    if let Some(tls) = &it.upstream.tls {
        object.object("tls", |object| self::tls(object, tls));
    }
    if let Some(user) = it.user() {
        object.object("user", |object| object.text("name", user));
    }
    if let Some((envelope, message)) = it.mail {
        object.object("email", |object| email(object, view, it, (envelope, message)));
    }
    object.object("related", |object| related(object, it));
}

fn peer(object: &mut Object<'_>, ip: Option<IpAddr>, port: Option<u16>, name: Option<&str>) {
    object.maybe_shown("ip", ip);
    object.maybe_number("port", port);
    object.maybe("domain", name);
}

fn tls(object: &mut Object<'_>, it: &Tls) {
    object.truth("established", true);
    object.text("version", view::tls_version(it));
    object.shown("version_protocol", "tls");
    object.text("cipher", &it.cipher);
    if let Some(name) = &it.sni {
        object.object("client", |client| client.text("server_name", name));
    }
    object.object("server", |server| {
        server.maybe("subject", it.subject.as_deref());
        server.maybe("issuer", it.issuer.as_deref());
        server.maybe_shown("not_after", it.expires_at.map(Time));
    });
}

fn email(object: &mut Object<'_>, view: &View<'_>, it: &Dialogue<'_>, (envelope, message): (&Envelope, &Message)) {
    object.shown("local_id", view.id());
    object.shown("direction", it.direction);
    object.maybe("message_id", message.message_id.as_deref());
    object.maybe("subject", message.subject.as_deref());
    if let Some(from) = message.from.as_deref() {
        // The address alone where there is one to be seen.
        object.object("from", |object| object.texts("address", [view::mailbox(from).unwrap_or(from)]));
    }
    if !envelope.reverse_path.is_empty() {
        object.object("sender", |object| object.text("address", &envelope.reverse_path));
    }
    object.object("to", |object| object.texts("address", envelope.recipients.iter().map(|it| it.address.as_str())));
}

/// Everything that one might search for, whatever it was.
fn related(object: &mut Object<'_>, it: &Dialogue<'_>) {
    let mut addresses = [0; 2].map(|_| String::new());
    for (text, ip) in addresses.iter_mut().zip([Some(it.client.ip), it.upstream.ip.filter(|ip| *ip != it.client.ip)]) {
        if let Some(ip) = ip {
            *text = ip.to_string();
        }
    }
    object.texts("ip", addresses.iter().map(String::as_str).filter(|it| !it.is_empty()));
    object.texts("hosts", [&it.client.helo, &it.upstream.host].into_iter().flatten().map(String::as_str));
    let sender = it.mail.map(|(envelope, _)| envelope.reverse_path.as_str()).filter(|sender| !sender.is_empty());
    let recipients = it.mail.into_iter().flat_map(|(envelope, _)| &envelope.recipients).map(|it| it.address.as_str());
    object.texts("user", it.user().into_iter().chain(sender).chain(recipients).map(|it| inert::cut(it, 1_024)));
    if let Some(digest) = it.mail.and_then(|(_, message)| message.body_digest) {
        object.texts("hash", [digest.to_string().as_str()]);
    }
}
