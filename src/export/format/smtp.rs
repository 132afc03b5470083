//! The `smtp.*` object: what ECS and OCSF have no field for. The same in both (there in `unmapped`), documented in deploy/siem/smtp-fields.md.

use super::bounds::Part;
use super::view::{self, Dialogue, View, enhanced};
use super::writer::Object;
use crate::trace::json::{Enhanced, Time};
use crate::trace::record::{AmendedRecipient, Auth, Outcome, Phases, Recipient, Reply, Report, Tls, Upstream};
use crate::trace::{Amendment, Audit, Gap, Incident, Record, Session};

/// Writes the object, and what was left out of the event as its last field.
pub fn write(object: &mut Object<'_>, view: &View<'_>) {
    object.object("smtp", |smtp| {
        smtp.shown("kind", view.record.kind());
        if smtp.bounds().rest {
            facts(smtp, view);
        } else {
            smtp.lose(Part::Rest);
        }
        truncated(smtp);
    });
}

fn truncated(smtp: &mut Object<'_>) {
    let lost = smtp.lost();
    smtp.words("truncated", lost.words());
}

fn facts(smtp: &mut Object<'_>, view: &View<'_>) {
    if let Some(it) = view.dialogue() {
        dialogue(smtp, &it);
    }
    match view.record {
        Record::Session(it) => session(smtp, it),
        Record::Amendment(it) => amendment(smtp, it),
        Record::Incident(it) => incident(smtp, it),
        Record::Audit(it) => audit(smtp, it),
        Record::Gap(it) => gap(smtp, it),
        Record::Transaction(_) | Record::Mark(_) | Record::Log(_) => {}
    }
    if let Some(it) = view.outcome() {
        outcome(smtp, it);
    }
    smtp.words("flags", view.flags().iter().map(|flag| flag.word()));
    if let Some(it) = view.dialogue().filter(|it| view.context.timeline && !it.timeline.is_empty()) {
        timeline(smtp, &it);
    }
}

fn dialogue(smtp: &mut Object<'_>, it: &Dialogue<'_>) {
    smtp.shown("session_id", it.session_id);
    smtp.maybe_number("transaction_no", it.transaction_no);
    smtp.text("listener", it.listener);
    smtp.shown("direction", it.direction);
    smtp.maybe("route_rule", it.route_rule);
    smtp.object("client", |client| {
        client.maybe("helo", it.client.helo.as_deref());
        tls(client, it.client.tls.as_ref());
        auth(client, it.client.auth.as_ref());
    });
    smtp.object("upstream", |object| upstream(object, it.upstream));
    if let Some((envelope, message)) = it.mail {
        smtp.text("reverse_path", &envelope.reverse_path);
        smtp.maybe("envid", envelope.envid.as_deref());
        smtp.number("recipient_count", (envelope.recipients.len() as u64).saturating_add(envelope.recipients_cut.into()));
        smtp.objects("recipients", &envelope.recipients, recipient);
        smtp.number("size", message.size);
        smtp.maybe("header_from", message.from.as_deref());
        smtp.maybe("header_to", message.to.as_deref());
        smtp.maybe("client_queue_id", message.client_queue_id.as_deref());
        smtp.maybe_shown("body_digest", message.body_digest);
        if let Some(it) = &message.report {
            smtp.object("report", |object| report(object, it));
        }
    }
    smtp.object("phases", |object| phases(object, it.phases));
}

fn upstream(object: &mut Object<'_>, it: &Upstream) {
    object.text("name", &it.name);
    object.shown("kind", it.kind);
    object.maybe("software", it.software.as_deref());
    object.maybe("provider", it.provider.as_deref());
    object.maybe_number("mx_preference", it.mx_preference);
    tls(object, it.tls.as_ref());
    auth(object, it.auth.as_ref());
    if !object.bounds().detail {
        if it.tls_policy.is_some() || !it.tried.is_empty() {
            object.lose(Part::Detail);
        }
        return;
    }
    object.maybe("tls_policy", it.tls_policy.as_ref().map(|policy| policy.policy.as_str()));
    object.objects("tried", &it.tried, |object, it| {
        object.text("host", &it.host);
        object.maybe_shown("ip", it.ip);
        object.number("port", it.port);
        object.shown("stage", it.stage);
        object.text("error", &it.error);
    });
}

fn tls(object: &mut Object<'_>, tls: Option<&Tls>) {
    let Some(it) = tls else { return };
    object.object("tls", |object| {
        object.text("version", view::tls_version(it));
        object.text("cipher", &it.cipher);
        object.maybe("server_name", it.sni.as_deref());
        object.maybe("subject", it.subject.as_deref());
        object.maybe("issuer", it.issuer.as_deref());
        object.maybe_shown("not_after", it.expires_at.map(Time));
        if let Some(verified) = it.verified {
            object.truth("verified", verified);
        }
        object.maybe("why_not", it.why_not.as_deref());
    });
}

fn auth(object: &mut Object<'_>, auth: Option<&Auth>) {
    let Some(it) = auth else { return };
    object.object("auth", |object| {
        object.text("mechanism", &it.mechanism);
        object.maybe("user", it.user.as_deref());
        object.text("outcome", &it.outcome);
        reply(object, it.reply.as_ref());
    });
}

fn recipient(object: &mut Object<'_>, it: &Recipient) {
    object.text("address", &it.address);
    object.shown("state", it.state);
    object.shown("stage", it.stage);
    object.shown("by", it.by);
    reply(object, it.reply.as_ref());
    object.maybe_shown("cause", it.cause);
    object.maybe_shown("act", it.act);
    object.maybe("rule", it.rule.as_deref());
}

fn reply(object: &mut Object<'_>, reply: Option<&Reply>) {
    let Some(it) = reply else { return };
    object.object("reply", |object| {
        object.number("code", it.code);
        object.maybe_shown("enhanced", enhanced(it));
        object.texts("lines", it.lines.iter().map(String::as_str));
    });
}

fn outcome(smtp: &mut Object<'_>, it: &Outcome) {
    smtp.shown("state", it.state);
    smtp.shown("stage", it.stage);
    smtp.shown("by", it.by);
    reply(smtp, it.reply.as_ref());
    smtp.maybe_shown("cause", it.cause);
    smtp.maybe_shown("act", it.act);
    smtp.maybe("advice", it.advice.as_deref());
    smtp.maybe("rule", it.rule.as_deref());
    smtp.maybe("upstream_queue_id", it.upstream_queue_id.as_deref());
    smtp.maybe("detail", it.detail.as_deref());
    smtp.maybe("provider", it.provider.as_deref());
}

fn phases(object: &mut Object<'_>, it: &Phases) {
    let all = [
        ("dns_us", it.dns_us),
        ("connect_us", it.connect_us),
        ("banner_us", it.banner_us),
        ("tls_us", it.tls_us),
        ("auth_us", it.auth_us),
        ("mail_from_us", it.mail_from_us),
        ("rcpt_to_us", it.rcpt_to_us),
        ("data_us", it.data_us),
        ("body_us", it.body_us),
        ("end_of_data_us", it.end_of_data_us),
    ];
    for (name, took) in all {
        object.maybe_number(name, took);
    }
}

fn report(object: &mut Object<'_>, it: &Report) {
    object.shown("kind", it.kind);
    object.maybe("reporting_mta", it.reporting_mta.as_deref());
    object.maybe("original_message_id", it.original_message_id.as_deref());
    object.maybe("original_subject", it.original_subject.as_deref());
    if !object.bounds().detail {
        if !it.recipients.is_empty() {
            object.lose(Part::Detail);
        }
        return;
    }
    object.objects("recipients", &it.recipients, |object, it| {
        object.text("address", &it.address);
        object.shown("action", it.action);
        object.maybe_shown("status", it.status.map(Enhanced));
        object.maybe("text", it.text.as_deref());
        object.maybe_shown("cause", it.cause);
        object.maybe_shown("act", it.act);
    });
}

fn session(smtp: &mut Object<'_>, it: &Session) {
    smtp.number("transactions", it.transactions);
    smtp.object("ended", |object| {
        object.shown("how", it.ended.how);
        object.shown("stage", it.ended.stage);
        object.shown("by", it.ended.by);
        object.number("commands", it.ended.commands);
        object.maybe("detail", it.ended.detail.as_deref());
    });
}

fn amendment(smtp: &mut Object<'_>, it: &Amendment) {
    smtp.shown("amends", it.of);
    let place = |object: &mut Object<'_>, it: &AmendedRecipient| {
        object.number("place", it.place);
        object.maybe_shown("cause", it.cause);
        object.maybe_shown("act", it.act);
        object.maybe("rule", it.rule.as_deref());
    };
    smtp.objects("amended", &it.recipients, place);
}

fn incident(smtp: &mut Object<'_>, it: &Incident) {
    smtp.object("incident", |object| {
        object.shown("id", it.incident);
        object.shown("step", it.step);
        object.shown("anomaly", it.anomaly);
        object.shown("severity", it.severity);
        object.objects("about", &it.about, |object, it| {
            object.shown("kind", it.kind);
            object.text("value", &it.value);
        });
        object.text("summary", &it.summary);
        object.text("arithmetic", &it.arithmetic);
        object.maybe("baseline", it.baseline.as_deref());
        object.maybe_shown("cause", it.cause);
        object.shown("act", it.act);
        object.text("advice", &it.advice);
        object.time("since", it.since);
        object.time("last", it.last);
        object.number("count", it.count);
        let samples: Vec<String> = it.samples.iter().map(ToString::to_string).collect();
        object.texts("samples", samples.iter().map(String::as_str));
        if let Some(change) = &it.change {
            object.object("change", |object| {
                object.text("what", &change.what);
                object.text("before", &change.before);
                object.text("after", &change.after);
            });
        }
        object.maybe_shown("part_of", it.part_of);
        object.maybe_shown("muted_until", it.mute.as_ref().map(|mute| Time(mute.until)));
        object.maybe("who", it.who.as_deref());
        object.maybe("note", it.note.as_deref());
    });
}

fn audit(smtp: &mut Object<'_>, it: &Audit) {
    smtp.object("audit", |object| {
        object.shown("event", it.event);
        object.maybe("who", it.who.as_deref());
        object.maybe_shown("since", it.since.map(Time));
        object.maybe("detail", it.detail.as_deref());
        object.text("config_digest", &it.origin.config_digest);
    });
}

fn gap(smtp: &mut Object<'_>, it: &Gap) {
    smtp.object("gap", |object| {
        object.number("records_lost", it.records_lost);
        object.time("until", it.until);
        object.text("why", &it.why);
    });
}

/// "1234567 client in MAIL FROM:<a@x.example>".
fn timeline(smtp: &mut Object<'_>, it: &Dialogue<'_>) {
    if !smtp.bounds().timeline {
        return smtp.lose(Part::Timeline);
    }
    let lines: Vec<String> = it.timeline.lines().map(|line| format!("{} {} {} {}", line.t_us, line.leg, line.flow, line.text)).collect();
    smtp.texts("timeline", lines.iter().map(String::as_str));
}
