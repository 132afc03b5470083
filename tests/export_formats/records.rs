//! The records whose events are kept as golden files: one of each kind that is forwarded, and one that is hostile throughout.

use std::sync::Arc;

use relayscope::diagnose::{Act, Cause};
use relayscope::export::format::named;
use relayscope::trace::kinds::{
    AboutKind, Actor, Anomaly, AuditEvent, Direction, EndHow, Flag, Flow, IncidentStep, Leg, Severity, Stage, State, UpstreamKind,
};
use relayscope::trace::record::{
    About, Amendment, Audit, Auth, Client, Ended, Envelope, Gap, Hidden, Incident, Message, Origin, Outcome, Phases, Recipient, Record,
    Reply, Session, Signature, Tls, Transaction, Tried, Upstream, WallMicros,
};
use relayscope::trace::{Digest, Kept, RecordId, Timeline};

use super::dice::Dice;

/// 2026-11-23T10:02:11.042817Z.
pub const AT: WallMicros = 1_795_428_131_042_817;

pub fn id(number: u128) -> RecordId {
    RecordId::from_parts(AT / 1_000, 0x5ca1_ab1e_0000 + number)
}

/// Name and record, in the order of the golden files.
pub fn all() -> Vec<(&'static str, Record)> {
    vec![
        ("accepted", accepted().into_record()),
        ("deferred", deferred().into_record()),
        ("rejected", rejected().into_record()),
        ("partial", partial().into_record()),
        ("auth_failure", Record::Session(Box::new(auth_failure()))),
        ("refused", Record::Session(Box::new(refused()))),
        ("incident_opened", Record::Incident(Box::new(incident()))),
        ("incident_resolved", Record::Incident(Box::new(resolved()))),
        ("audit", Record::Audit(Box::new(audit()))),
        ("gap", Record::Gap(gap())),
        ("amendment", Record::Amendment(Box::new(amendment()))),
        ("hostile", hostile().into_record()),
    ]
}

/// Records drawn at random, always the same ones, of the kinds that are forwarded.
pub fn drawn(count: u64) -> impl Iterator<Item = Record> {
    let record = |seed: u64| {
        let mut octets = [0; 3_000];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut octets);
        Dice(&octets).record()
    };
    (0..count).map(record).filter(|record| named(record).is_some())
}

pub trait IntoRecord {
    fn into_record(self) -> Record;
}

impl IntoRecord for Transaction {
    fn into_record(self) -> Record {
        Record::Transaction(Box::new(self))
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub fn origin() -> Arc<Kept<Origin>> {
    let (node, proxy_version) = ("relay1.corp.example".to_owned(), "0.1.0".to_owned());
    Arc::new(Origin { node, proxy_version, config_digest: "9f86d081884c7d65".to_owned() }.into())
}

fn tls(name: &str, verified: Option<bool>) -> Tls {
    Tls {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        sni: some(name),
        subject: verified.map(|_| format!("CN={name}")),
        issuer: verified.map(|_| "CN=Example Issuing CA 3,O=Example Trust".to_owned()),
        expires_at: verified.map(|_| 1_803_859_200_000_000),
        verified,
        why_not: None,
    }
}

pub fn client() -> Client {
    Client {
        ip: "192.0.2.25".parse().unwrap(),
        port: 49_152,
        helo: some("mail.corp.example"),
        tls: Some(tls("relay1.corp.example", None)),
        auth: None,
        via: None,
    }
}

pub fn upstream() -> Upstream {
    Upstream {
        name: "provider".to_owned(),
        host: some("smtp.provider.example"),
        ip: "198.51.100.7".parse().ok(),
        port: Some(587),
        banner: some("smtp.provider.example ESMTP Postfix"),
        software: some("Postfix"),
        offered: ["PIPELINING", "SIZE 52428800", "STARTTLS", "8BITMIME", "DSN"].map(str::to_owned).to_vec(),
        hidden: vec![Hidden { keyword: "XCLIENT".to_owned(), why: "not for clients".to_owned() }],
        tls: Some(tls("smtp.provider.example", Some(true))),
        kind: UpstreamKind::SmartHost,
        ..Upstream::default()
    }
}

pub fn reply(code: u16, enhanced: (u8, u16, u16), line: &str) -> Reply {
    Reply { code, enhanced: Some(enhanced), lines: vec![line.to_owned()] }
}

pub fn recipient(address: &str, state: State, reply: Reply) -> Recipient {
    let refused = state != State::Accepted;
    Recipient {
        address: address.to_owned(),
        params: Vec::new(),
        orcpt: None,
        reply: Some(reply),
        stage: if refused { Stage::RcptTo } else { Stage::EndOfData },
        by: Actor::Upstream,
        state,
        cause: refused.then_some(Cause::RecipientUnknown),
        act: refused.then_some(Act::Sender),
        rule: refused.then(|| "unknown-user".to_owned()),
    }
}

fn timeline(last: &str) -> Timeline {
    let mut timeline = Timeline::default();
    timeline.push(101, Leg::Upstream, Flow::In, "220 smtp.provider.example ESMTP Postfix");
    timeline.push_relayed(2_204, Leg::Client, "MAIL FROM:<anna@corp.example> SIZE=4711");
    timeline.push_relayed(3_190, Leg::Upstream, "250 2.1.0 Ok");
    timeline.push_relayed(40_277, Leg::Upstream, last);
    timeline
}

pub fn accepted() -> Transaction {
    let ok = reply(250, (2, 0, 0), "2.0.0 Ok: queued as 4dXq1r2Zz9z3gVd");
    let mut outcome = Outcome::of(State::Accepted, Stage::EndOfData, Actor::Upstream, Some(ok.clone()), None);
    outcome.upstream_queue_id = some("4dXq1r2Zz9z3gVd");
    Transaction {
        id: id(1),
        session_id: id(0),
        transaction_no: 1,
        origin: origin(),
        route_rule: some("default"),
        at: AT,
        duration_us: 41_982,
        listener: "smtp".to_owned(),
        direction: Direction::Outbound,
        client: Arc::new(client().into()),
        upstream: Arc::new(upstream().into()),
        envelope: Envelope {
            reverse_path: "anna@corp.example".to_owned(),
            params: vec!["SIZE=4711".to_owned()],
            size_declared: Some(4_711),
            envid: None,
            reply: Some(reply(250, (2, 1, 0), "2.1.0 Ok")),
            recipients: vec![recipient("bob@customer.example", State::Accepted, reply(250, (2, 1, 5), "2.1.5 Ok"))],
            recipients_cut: 0,
        },
        message: Message {
            message_id: some("20261123100210.4711@corp.example"),
            subject: some("Rechnung Nr. 4711 für November"),
            from: some("Anna Müller <anna@corp.example>"),
            to: some("Bob <bob@customer.example>"),
            date: some("Mon, 23 Nov 2026 10:02:10 +0000"),
            received_count: 1,
            client_queue_id: some("9B1C24A0F3"),
            size: 4_711,
            header_digest: Some(Digest([0x11; 32])),
            body_digest: Some(Digest([0xa7; 32])),
            signatures: vec![Signature { domain: "corp.example".to_owned(), selector: "s2026".to_owned() }],
            ..Message::default()
        },
        phases: Phases {
            connect_us: Some(812),
            banner_us: Some(1_044),
            tls_us: Some(6_310),
            mail_from_us: Some(986),
            rcpt_to_us: Some(1_203),
            data_us: Some(1_121),
            body_us: Some(3_310),
            end_of_data_us: Some(29_750),
            ..Phases::default()
        },
        outcome,
        flags: Vec::new(),
        timeline: timeline("250 2.0.0 Ok: queued as 4dXq1r2Zz9z3gVd"),
    }
}

fn diagnosed(state: State, stage: Stage, reply: Reply, cause: Cause, act: Act, advice: &str) -> Outcome {
    Outcome {
        cause: Some(cause),
        act: Some(act),
        advice: some(advice),
        rule: some("text-rule-1"),
        rules_version: some("7"),
        provider: some("example_provider"),
        ..Outcome::of(state, stage, Actor::Upstream, Some(reply), None)
    }
}

fn before_data() -> Phases {
    Phases { data_us: None, body_us: None, end_of_data_us: None, ..accepted().phases }
}

pub fn deferred() -> Transaction {
    let later = reply(451, (4, 7, 1), "4.7.1 <bob@customer.example>: Greylisted, try again in 300 seconds");
    let mut it = accepted();
    it.id = id(2);
    it.outcome =
        diagnosed(State::Deferred, Stage::RcptTo, later.clone(), Cause::Greylisted, Act::Nobody, "Wait: the server tries again by itself.");
    it.envelope.recipients = vec![Recipient {
        cause: Some(Cause::Greylisted),
        act: Some(Act::Nobody),
        rule: some("text-rule-1"),
        ..recipient("bob@customer.example", State::Deferred, later)
    }];
    (it.message, it.phases) = (Message::default(), before_data());
    it.timeline = timeline("451 4.7.1 <bob@customer.example>: Greylisted, try again in 300 seconds");
    it
}

pub fn rejected() -> Transaction {
    let no = reply(550, (5, 1, 1), "5.1.1 <bbo@customer.example>: Recipient address rejected: User unknown");
    let mut it = accepted();
    it.id = id(3);
    it.outcome = diagnosed(
        State::Rejected,
        Stage::RcptTo,
        no.clone(),
        Cause::RecipientUnknown,
        Act::Sender,
        "Check the address: the domain is right, the mailbox doesn't exist.",
    );
    it.envelope.recipients = vec![recipient("bbo@customer.example", State::Rejected, no)];
    (it.message, it.phases) = (Message::default(), before_data());
    it.flags = vec![Flag::FailedOver];
    let tried = Tried {
        host: "smtp-a.provider.example".to_owned(),
        ip: "2001:db8::7".parse().ok(),
        port: 587,
        stage: Stage::Connect,
        error: "connection refused".to_owned(),
        at_us: 310,
    };
    it.upstream = Arc::new(Upstream { tried: vec![tried], ip: "2001:db8::8".parse().ok(), ..upstream() }.into());
    it.timeline = timeline("550 5.1.1 <bbo@customer.example>: Recipient address rejected: User unknown");
    it
}

/// Of 120 recipients every fourth is refused; 30 more didn't fit into the record.
pub fn partial() -> Transaction {
    let mut it = accepted();
    it.id = id(4);
    it.outcome = diagnosed(
        State::Partial,
        Stage::EndOfData,
        reply(250, (2, 0, 0), "2.0.0 Ok: queued as 4dXq1s7Yy8y2fUc"),
        Cause::RecipientUnknown,
        Act::Sender,
        "Check the addresses that were refused.",
    );
    it.outcome.upstream_queue_id = some("4dXq1s7Yy8y2fUc");
    it.envelope.recipients = (0..120)
        .map(|number| match number % 4 {
            0 => recipient(
                &format!("gone{number}@customer.example"),
                State::Rejected,
                reply(550, (5, 1, 1), "5.1.1 User unknown in virtual mailbox table"),
            ),
            _ => recipient(&format!("member{number}@customer.example"), State::Accepted, reply(250, (2, 1, 5), "2.1.5 Ok")),
        })
        .collect();
    it.envelope.recipients_cut = 30;
    it.flags = vec![Flag::RecipientsCut];
    it
}

pub fn auth_failure() -> Session {
    let no = reply(535, (5, 7, 8), "5.7.8 Error: authentication failed");
    let auth = Auth { mechanism: "PLAIN".to_owned(), user: some("CORP\\anna"), outcome: "failed".to_owned(), reply: Some(no.clone()) };
    Session {
        id: id(5),
        origin: origin(),
        route_rule: None,
        at: AT,
        duration_us: 1_203_400,
        listener: "submission".to_owned(),
        direction: Direction::Outbound,
        client: Arc::new(Client { auth: Some(auth), ip: "2001:db8:25::1".parse().unwrap(), ..client() }.into()),
        upstream: Arc::new(upstream().into()),
        phases: Phases { connect_us: Some(790), auth_us: Some(3_120), ..Phases::default() },
        transactions: 0,
        outcome: Some(diagnosed(
            State::Rejected,
            Stage::Auth,
            no,
            Cause::AuthFailed,
            Act::Sender,
            "Check the user name and the password that the client has stored.",
        )),
        ended: Ended { by: Actor::Client, stage: Stage::Auth, how: EndHow::AuthFailure, commands: 4, detail: None },
        flags: Vec::new(),
        timeline: timeline("535 5.7.8 Error: authentication failed"),
    }
}

/// Nothing is known but where it came from.
pub fn refused() -> Session {
    Session {
        id: id(6),
        route_rule: None,
        duration_us: 220,
        client: Arc::new(Client { ip: "203.0.113.99".parse().unwrap(), port: 6_000, helo: None, tls: None, auth: None, via: None }.into()),
        upstream: Arc::new(Upstream { name: "provider".to_owned(), ..Upstream::default() }.into()),
        phases: Phases::default(),
        outcome: None,
        ended: Ended {
            by: Actor::Proxy,
            stage: Stage::Connect,
            how: EndHow::Refused,
            commands: 0,
            detail: some("203.0.113.99 is not in the listener's allow list"),
        },
        timeline: Timeline::default(),
        ..auth_failure()
    }
}

pub fn incident() -> Incident {
    let about = |kind, value: &str| About { kind, value: value.to_owned() };
    Incident {
        id: id(7),
        incident: id(7),
        step: IncidentStep::Opened,
        at: AT,
        origin: origin(),
        anomaly: Anomaly::AuthAllFail,
        severity: Severity::Critical,
        about: vec![about(AboutKind::Upstream, "provider"), about(AboutKind::User, "relay@corp.example")],
        summary: "every login at provider as relay@corp.example fails since 09:58".to_owned(),
        arithmetic: "14 of 14 logins in 4 min failed; opened at 5 of 5".to_owned(),
        baseline: some("no failed login in 7 days"),
        cause: Some(Cause::AuthFailed),
        act: Act::LocalAdmin,
        advice: "The password that Relayscope has for this smart host is no longer right: set the new one.".to_owned(),
        since: AT - 240_000_000,
        last: AT - 1_000_000,
        count: 14,
        samples: vec![id(5), id(3)],
        change: None,
        part_of: None,
        mute: None,
        who: None,
        note: None,
    }
}

pub fn resolved() -> Incident {
    Incident {
        id: id(8),
        step: IncidentStep::Resolved,
        at: AT + 1_800_000_000,
        who: some("anna"),
        note: some("password renewed, ticket 4711"),
        ..incident()
    }
}

pub fn audit() -> Audit {
    Audit {
        id: id(9),
        at: AT,
        origin: origin(),
        event: AuditEvent::Reloaded,
        who: some("SIGHUP"),
        since: None,
        detail: some("1 listener added"),
    }
}

pub fn gap() -> Gap {
    Gap { id: id(10), from: AT, until: AT + 3_250_000, records_lost: 42, why: "the disk is full (/var/lib/relayscope)".to_owned() }
}

pub fn amendment() -> Amendment {
    Amendment {
        id: id(11),
        of: id(1),
        at: AT + 60_000_000,
        outcome: diagnosed(
            State::Rejected,
            Stage::AfterAcceptance,
            reply(552, (5, 2, 2), "5.2.2 Over quota"),
            Cause::MailboxFull,
            Act::RecipientSide,
            "The recipient has to make room.",
        ),
        flags: vec![Flag::LateReply],
        recipients: Vec::new(),
        reported: Vec::new(),
    }
}

/// What an attacker may write where.
pub const TRAPS: &str =
    "a|b=c\\d\"e'f]g \r\nCEF:0|x|y|1|2|3|4|act=no\r\n\t\u{1b}[2J\0\u{7f}\u{85}\u{202e}\u{2028}\u{feff}\u{fffd}ü😀 src=1.2.3.4 \\";

pub fn hostile() -> Transaction {
    let traps = || TRAPS.to_owned();
    let mut it = rejected();
    it.id = id(12);
    it.client = Arc::new(
        Client {
            helo: Some(traps()),
            auth: Some(Auth { mechanism: traps(), user: Some(traps()), outcome: "failed".to_owned(), reply: None }),
            ..client()
        }
        .into(),
    );
    it.upstream = Arc::new(Upstream { host: Some(traps()), banner: Some(traps()), software: Some(traps()), ..upstream() }.into());
    it.envelope.reverse_path = traps();
    it.envelope.recipients = ["\\", "=|\"", TRAPS, "x\u{202e}@customer.example"]
        .map(|address| recipient(address, State::Rejected, reply(550, (5, 0, 0), TRAPS)))
        .to_vec();
    it.message =
        Message { message_id: Some(traps()), subject: Some(traps()), from: Some(traps()), to: Some(traps()), ..Message::default() };
    it.outcome.reply = Some(Reply { code: 550, enhanced: None, lines: vec![traps(), "\\".to_owned()] });
    it.outcome.upstream_queue_id = Some(traps());
    it.listener = traps();
    it
}
