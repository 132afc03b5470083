//! Sessions: Authentication (3002) where a login was refused and the user is known, Network Activity (4001) otherwise.

use super::{Class, email};
use crate::export::format::view::{View, tls_version};
use crate::export::format::writer::Object;
use crate::trace::Session;
use crate::trace::kinds::{Direction, EndHow};

fn user<'a>(view: &View<'a>, it: &Session) -> Option<&'a str> {
    view.dialogue().and_then(|dialogue| dialogue.user()).filter(|_| it.ended.how == EndHow::AuthFailure)
}

pub fn class(view: &View<'_>, it: &Session) -> Class {
    if user(view, it).is_some() {
        return Class { category: 3, class: 3002, activity: 1 };
    }
    let activity = match it.ended.how {
        EndHow::Quit | EndHow::Close | EndHow::Shutdown => 2,
        EndHow::Reset => 3,
        EndHow::Timeout | EndHow::Protocol | EndHow::TlsFailure | EndHow::AuthFailure | EndHow::ConnectFailure | EndHow::Crash => 4,
        EndHow::Refused => 5,
    };
    Class { category: 4, class: 4001, activity }
}

pub fn write(object: &mut Object<'_>, view: &View<'_>, it: &Session) {
    object.number("start_time", it.at / 1_000);
    object.number("end_time", it.at.saturating_add(it.duration_us) / 1_000);
    object.number("duration", it.duration_us / 1_000);
    object.object("src_endpoint", |object| email::client(object, &it.client));
    object.object("dst_endpoint", |object| email::upstream(object, &it.upstream));
    match user(view, it) {
        Some(user) => login(object, it, user),
        None => connection(object, it),
    }
}

fn login(object: &mut Object<'_>, it: &Session, user: &str) {
    object.object("user", |object| object.text("name", user));
    object.object("service", |object| object.shown("name", "SMTP"));
    object.truth("is_remote", true);
    object.truth("is_cleartext", it.client.tls.is_none());
    if let Some(auth) = it.client.auth.as_ref().or(it.upstream.auth.as_ref()) {
        // SASL mechanisms have no number there.
        object.number("auth_protocol_id", 99u64);
        object.text("auth_protocol", &auth.mechanism);
    }
}

fn connection(object: &mut Object<'_>, it: &Session) {
    object.object("connection_info", |object| {
        object.number("direction_id", if it.direction == Direction::Inbound { 1u64 } else { 2 });
        object.shown("protocol_name", "tcp");
        object.number("protocol_num", 6u64);
    });
    object.shown("app_name", "smtp");
    if let Some(tls) = &it.client.tls {
        object.object("tls", |object| {
            object.text("version", tls_version(tls));
            object.text("cipher", &tls.cipher);
            object.maybe("sni", tls.sni.as_deref());
        });
    }
}
