//! The facts of a record as flat fields, and what each is called in CEF, LEEF and GELF.
//!
//! CEF has a closed dictionary: what it has a key for goes there, six texts and three numbers into its labelled slots, the rest under keys
//! with our name before them, as its guide wants it. LEEF's predefined keys are used where they mean the same; GELF's names follow
//! Graylog's own schema where it has one.

use std::fmt::{Display, Write};

use super::bounds::{Bounds, Part, Parts};
use super::view::{Dialogue, View, enhanced, tls_version};
use crate::trace::record::{Outcome, Tls};
use crate::trace::{AboutKind, Amendment, Audit, Gap, Incident, Record, Session, State};

/// How CEF has a fact: key, and most octets of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cef {
    Key(&'static str, usize),
    /// A slot for anything, with the label that says what.
    Slot(&'static str, &'static str, usize),
    /// Not at all.
    No,
}

/// A fact and its names. Where a format has none, the fact isn't in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub cef: Cef,
    pub leef: Option<&'static str>,
    pub gelf: Option<&'static str>,
}

const fn key(key: &'static str, most: usize) -> Cef {
    Cef::Key(key, most)
}

const fn ours(key: &'static str) -> Cef {
    Cef::Key(key, 1023)
}

macro_rules! fields {
    ($($name:ident = $cef:expr, $leef:expr, $gelf:expr;)+) => {
        $(pub const $name: Field = Field { cef: $cef, leef: $leef, gelf: $gelf };)+
        /// Every fact, by its name here.
        pub const ALL: &[(&str, Field)] = &[$((stringify!($name), $name)),+];
    };
}

fields! {
    ID = key("externalId", 40), Some("recordId"), Some("record_id");
    KIND = key("cat", 1023), None, Some("kind");
    CATEGORY = Cef::No, Some("cat"), None;
    NODE = key("dvchost", 100), Some("node"), None;
    DEVICE = key("deviceExternalId", 255), None, None;
    EVENT = Cef::No, None, Some("event_action");
    MESSAGE = key("msg", 1023), Some("msg"), None;
    WENT = key("outcome", 63), Some("outcome"), Some("event_outcome");
    END = key("end", 20), None, None;
    DURATION = Cef::No, Some("durationUs"), Some("duration_us");
    PROTOCOL = key("app", 31), Some("protocol"), None;
    TRANSPORT = key("proto", 31), Some("proto"), None;
    DIRECTION = Cef::No, Some("direction"), Some("direction");
    DIRECTION_NUMBER = key("deviceDirection", 1), None, None;
    LISTENER = key("deviceFacility", 1023), Some("listener"), Some("listener");
    ROUTE_RULE = ours("RelayscopeRouteRule"), Some("policy"), Some("route_rule");
    SESSION_ID = ours("RelayscopeSessionId"), Some("sessionId"), Some("session_id");
    SOURCE_IP = key("src", 45), Some("src"), Some("source_ip");
    SOURCE_PORT = key("spt", 5), Some("srcPort"), Some("source_port");
    SOURCE_NAME = key("shost", 1023), Some("helo"), Some("helo");
    DESTINATION_IP = key("dst", 45), Some("dst"), Some("destination_ip");
    DESTINATION_PORT = key("dpt", 5), Some("dstPort"), Some("destination_port");
    DESTINATION_NAME = key("dhost", 1023), Some("upstreamHost"), Some("destination_hostname");
    UPSTREAM = key("destinationServiceName", 1023), Some("upstream"), Some("upstream");
    PROVIDER = ours("RelayscopeProvider"), Some("provider"), Some("provider");
    USER = key("suid", 1023), Some("usrName"), Some("user_name");
    AUTH = ours("RelayscopeAuth"), Some("auth"), Some("auth");
    CLIENT_TLS = ours("RelayscopeClientTls"), Some("clientTls"), Some("client_tls");
    UPSTREAM_TLS = Cef::Slot("cs6", "upstreamTls", 4000), Some("upstreamTls"), Some("upstream_tls");
    SENDER = key("suser", 1023), Some("sender"), Some("email_sender");
    RECIPIENTS = key("duser", 1023), Some("recipients"), Some("email_recipients");
    RECIPIENT_COUNT = Cef::Slot("cn1", "recipientCount", 20), Some("recipientCount"), Some("email_recipient_count");
    REFUSED = ours("RelayscopeRefused"), Some("refused"), Some("email_refused");
    MESSAGE_ID = Cef::Slot("cs1", "messageId", 4000), Some("messageId"), Some("email_message_id");
    SUBJECT = Cef::Slot("cs2", "subject", 4000), Some("subject"), Some("email_subject");
    HEADER_FROM = ours("RelayscopeHeaderFrom"), Some("headerFrom"), Some("email_header_from");
    SIZE = Cef::Slot("cn2", "messageSize", 20), Some("messageSize"), Some("email_size");
    CLIENT_QUEUE_ID = ours("RelayscopeClientQueueId"), Some("clientQueueId"), Some("client_queue_id");
    UPSTREAM_QUEUE_ID = Cef::Slot("cs5", "upstreamQueueId", 4000), Some("upstreamQueueId"), Some("upstream_queue_id");
    STATE = key("act", 63), Some("state"), Some("state");
    SESSION_STATE = ours("RelayscopeState"), Some("state"), Some("state");
    STAGE = Cef::Slot("cs3", "stage", 4000), Some("stage"), Some("stage");
    BY = ours("RelayscopeDecidedBy"), Some("decidedBy"), Some("decided_by");
    CODE = Cef::Slot("cn3", "replyCode", 20), Some("replyCode"), Some("reply_code");
    ENHANCED = ours("RelayscopeEnhancedCode"), Some("enhancedCode"), Some("enhanced_code");
    REPLY = ours("RelayscopeReply"), Some("reply"), Some("reply");
    CAUSE = key("reason", 1023), Some("reason"), Some("cause");
    ACT = Cef::Slot("cs4", "whoMustAct", 4000), Some("whoMustAct"), Some("who_must_act");
    ADVICE = ours("RelayscopeAdvice"), Some("advice"), Some("advice");
    DETAIL = ours("RelayscopeDetail"), Some("detail"), Some("detail");
    FLAGS = ours("RelayscopeFlags"), Some("flags"), Some("flags");
    HOW = key("act", 63), Some("endedHow"), Some("ended_how");
    TRANSACTIONS = ours("RelayscopeTransactions"), Some("transactions"), Some("transactions");
    AMENDS = ours("RelayscopeAmends"), Some("amends"), Some("amends");
    INCIDENT = ours("RelayscopeIncidentId"), Some("incidentId"), Some("incident_id");
    STEP = key("act", 63), Some("step"), Some("incident_step");
    ANOMALY = ours("RelayscopeAnomaly"), Some("anomaly"), Some("anomaly");
    WEIGHT = ours("RelayscopeSeverity"), Some("severity"), Some("incident_severity");
    ABOUT = ours("RelayscopeAbout"), Some("about"), Some("about");
    SUMMARY = Cef::No, Some("summary"), Some("summary");
    ARITHMETIC = ours("RelayscopeArithmetic"), Some("arithmetic"), Some("arithmetic");
    BASELINE = ours("RelayscopeBaseline"), Some("baseline"), Some("baseline");
    START = key("start", 20), None, None;
    SINCE = Cef::No, Some("since"), Some("since");
    COUNT = key("cnt", 20), Some("eventCount"), Some("event_count");
    SAMPLES = ours("RelayscopeSamples"), Some("samples"), Some("samples");
    AUDIT_EVENT = key("act", 63), Some("auditEvent"), Some("audit_event");
    WHO = ours("RelayscopeWho"), Some("who"), Some("who");
    NOTE = ours("RelayscopeNote"), Some("note"), Some("note");
    LOST = key("cnt", 20), Some("recordsLost"), Some("records_lost");
    WHY = key("reason", 1023), Some("reason"), Some("why");
    TRUNCATED = ours("RelayscopeTruncated"), Some("truncated"), Some("truncated");
}

/// Where the fields go.
pub trait Fields {
    fn text(&mut self, field: Field, text: &str);
    /// What needs no escape: words, ids, addresses, numbers.
    fn shown(&mut self, field: Field, value: impl Display);
    fn number(&mut self, field: Field, number: u64);
    /// Items of a list, bounded and joined by commas.
    fn list<'t>(&mut self, field: Field, items: impl IntoIterator<Item = &'t str>);

    fn maybe(&mut self, field: Field, text: Option<&str>) {
        if let Some(text) = text {
            self.text(field, text);
        }
    }

    fn maybe_shown(&mut self, field: Field, value: Option<impl Display>) {
        if let Some(value) = value {
            self.shown(field, value);
        }
    }
}

/// Gives every fact of a record but its name, its time and its severity, which stand in the formats' headers.
pub fn facts(view: &View<'_>, to: &mut impl Fields) {
    to.shown(ID, view.id());
    to.shown(KIND, view.record.kind());
    to.shown(CATEGORY, category(view));
    to.text(NODE, view.node());
    to.text(DEVICE, view.node());
    to.shown(EVENT, view.named.msgid);
    to.shown(WENT, view.named.went.word());
    to.text(MESSAGE, view.sentence);
    if let Some(it) = view.dialogue() {
        dialogue(&it, to);
    }
    match view.record {
        Record::Transaction(it) => to.shown(STATE, it.outcome.state),
        Record::Session(it) => session(it, to),
        Record::Amendment(it) => amendment(it, to),
        Record::Incident(it) => incident(it, to),
        Record::Audit(it) => audit(it, to),
        Record::Gap(it) => gap(it, to),
        Record::Mark(_) | Record::Log(_) => {}
    }
    if let Some(it) = view.outcome() {
        outcome(it, to);
    }
    to.list(FLAGS, view.flags().iter().map(|flag| flag.word()));
}

/// What is left when nothing else fits.
pub fn bare(view: &View<'_>, to: &mut impl Fields) {
    to.shown(ID, view.id());
    to.shown(KIND, view.record.kind());
    to.shown(CATEGORY, category(view));
    to.shown(WENT, view.named.went.word());
}

/// Gives as much of a record as the bounds let through, and what was cut. `cut`: where the writer of the fields notes that.
pub fn within<F: Fields>(bounds: Bounds, view: &View<'_>, to: &mut F, cut: fn(&mut F) -> &mut Parts) {
    if bounds.rest {
        facts(view, to);
    } else {
        cut(to).add(Part::Rest);
        bare(view, to);
    }
    let parts = *cut(to);
    if !parts.is_empty() {
        to.shown(TRUNCATED, super::joined(parts));
    }
}

fn category(view: &View<'_>) -> &'static str {
    match view.record {
        Record::Incident(it) => it.anomaly.word(),
        record => record.kind().word(),
    }
}

fn dialogue(it: &Dialogue<'_>, to: &mut impl Fields) {
    to.shown(START, it.at / 1_000);
    to.shown(END, it.ended_us() / 1_000);
    to.number(DURATION, it.duration_us);
    to.shown(PROTOCOL, "SMTP");
    to.shown(TRANSPORT, "TCP");
    to.shown(DIRECTION, it.direction);
    to.number(DIRECTION_NUMBER, u64::from(it.direction == crate::trace::Direction::Outbound));
    to.text(LISTENER, it.listener);
    to.maybe(ROUTE_RULE, it.route_rule);
    to.shown(SESSION_ID, it.session_id);
    to.shown(SOURCE_IP, it.client.ip);
    to.number(SOURCE_PORT, it.client.port.into());
    to.maybe(SOURCE_NAME, it.client.helo.as_deref());
    to.maybe_shown(DESTINATION_IP, it.upstream.ip);
    if let Some(port) = it.upstream.port {
        to.number(DESTINATION_PORT, port.into());
    }
    to.maybe(DESTINATION_NAME, it.upstream.host.as_deref());
    to.text(UPSTREAM, &it.upstream.name);
    to.maybe(USER, it.user());
    if let Some(auth) = it.client.auth.as_ref().or(it.upstream.auth.as_ref()) {
        to.text(AUTH, &format!("{} {}", auth.mechanism, auth.outcome));
    }
    tls(CLIENT_TLS, it.client.tls.as_ref(), to);
    tls(UPSTREAM_TLS, it.upstream.tls.as_ref(), to);
    let Some((envelope, message)) = it.mail else { return };
    to.text(SENDER, if envelope.reverse_path.is_empty() { "<>" } else { &envelope.reverse_path });
    to.list(RECIPIENTS, envelope.recipients.iter().map(|it| it.address.as_str()));
    to.number(RECIPIENT_COUNT, (envelope.recipients.len() as u64).saturating_add(envelope.recipients_cut.into()));
    if it.outcome.is_some_and(|outcome| outcome.state == State::Partial) {
        // The list above may end before it comes to them.
        let refused = envelope.recipients.iter().filter(|it| it.state != State::Accepted);
        to.list(REFUSED, refused.map(|it| it.address.as_str()));
    }
    to.maybe(MESSAGE_ID, message.message_id.as_deref());
    to.maybe(SUBJECT, message.subject.as_deref());
    to.maybe(HEADER_FROM, message.from.as_deref());
    to.number(SIZE, message.size);
    to.maybe(CLIENT_QUEUE_ID, message.client_queue_id.as_deref());
}

/// "1.3 TLS_AES_256_GCM_SHA384 unverified: unknown issuer".
fn tls(field: Field, tls: Option<&Tls>, to: &mut impl Fields) {
    let Some(it) = tls else { return };
    let mut text = format!("{} {}", tls_version(it), it.cipher);
    let _ = match (it.verified, &it.why_not) {
        (Some(true), _) => write!(text, " verified"),
        (Some(false), Some(why)) => write!(text, " unverified: {why}"),
        (Some(false), None) => write!(text, " unverified"),
        (None, _) => Ok(()),
    };
    to.text(field, &text);
}

fn outcome(it: &Outcome, to: &mut impl Fields) {
    to.shown(STAGE, it.stage);
    to.shown(BY, it.by);
    if let Some(reply) = &it.reply {
        to.number(CODE, reply.code.into());
        to.maybe_shown(ENHANCED, enhanced(reply));
        match reply.lines.as_slice() {
            [only] => to.text(REPLY, only),
            lines => to.text(REPLY, &lines.join(" ")),
        }
    }
    to.maybe_shown(CAUSE, it.cause);
    to.maybe_shown(ACT, it.act);
    to.maybe(ADVICE, it.advice.as_deref());
    to.maybe(UPSTREAM_QUEUE_ID, it.upstream_queue_id.as_deref());
    to.maybe(DETAIL, it.detail.as_deref());
    to.maybe(PROVIDER, it.provider.as_deref());
}

fn session(it: &Session, to: &mut impl Fields) {
    to.shown(HOW, it.ended.how);
    to.number(TRANSACTIONS, it.transactions.into());
    match &it.outcome {
        Some(outcome) => to.shown(SESSION_STATE, outcome.state),
        None => {
            to.shown(STAGE, it.ended.stage);
            to.shown(BY, it.ended.by);
            to.maybe(DETAIL, it.ended.detail.as_deref());
        }
    }
}

fn amendment(it: &Amendment, to: &mut impl Fields) {
    to.shown(AMENDS, it.of);
    to.shown(STATE, it.outcome.state);
}

fn incident(it: &Incident, to: &mut impl Fields) {
    to.shown(START, it.since / 1_000);
    to.shown(END, it.last / 1_000);
    to.shown(INCIDENT, it.incident);
    to.shown(STEP, it.step);
    to.shown(ANOMALY, it.anomaly);
    to.shown(WEIGHT, it.severity);
    let mut about = String::new();
    for it in &it.about {
        let _ = write!(about, "{}{}={}", if about.is_empty() { "" } else { "; " }, it.kind, it.value);
    }
    to.text(ABOUT, &about);
    // What an incident is about has a field of its own where one is sure to mean the same.
    to.maybe(USER, it.about(AboutKind::User).next());
    to.maybe(UPSTREAM, it.about(AboutKind::Upstream).next());
    to.text(SUMMARY, &it.summary);
    to.text(ARITHMETIC, &it.arithmetic);
    to.maybe(BASELINE, it.baseline.as_deref());
    to.maybe_shown(CAUSE, it.cause);
    to.shown(ACT, it.act);
    to.text(ADVICE, &it.advice);
    to.shown(SINCE, crate::trace::json::Time(it.since));
    to.number(COUNT, it.count);
    let samples: Vec<String> = it.samples.iter().map(ToString::to_string).collect();
    to.list(SAMPLES, samples.iter().map(String::as_str));
    to.maybe(WHO, it.who.as_deref());
    to.maybe(NOTE, it.note.as_deref());
}

fn audit(it: &Audit, to: &mut impl Fields) {
    to.shown(AUDIT_EVENT, it.event);
    to.maybe(WHO, it.who.as_deref());
    to.maybe_shown(SINCE, it.since.map(crate::trace::json::Time));
    to.maybe(DETAIL, it.detail.as_deref());
}

fn gap(it: &Gap, to: &mut impl Fields) {
    to.shown(END, it.until / 1_000);
    to.number(LOST, it.records_lost);
    to.text(WHY, &it.why);
}
