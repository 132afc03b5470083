//! Records to try the store with: alike enough to real ones, and all different.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::trace::*;

/// 2026-11-23 12:00 UTC.
pub const NOON: WallMicros = 1_795_392_000_000_000 + 43_200_000_000;

pub fn id(no: u64) -> RecordId {
    RecordId::from_parts(NOON / 1000 + no, u128::from(no.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 8)
}

pub fn session_id(no: u64) -> RecordId {
    RecordId::from_parts(NOON / 1000 + no, u128::from(no.wrapping_mul(0xD1B5_4A32_D192_ED03)) << 8 | 1)
}

fn hex(no: u64, salt: u64) -> String {
    let mut state = no.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt;
    (0..4)
        .map(|_| {
            state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9).wrapping_add(0x94D0_49BB_1331_11EB);
            format!("{:016x}", state ^ (state >> 27))
        })
        .collect()
}

fn digest(no: u64, salt: u64) -> Digest {
    Digest(*blake3::hash(hex(no, salt).as_bytes()).as_bytes())
}

pub fn origin() -> Arc<Kept<Origin>> {
    let origin =
        Origin { node: "relay.example".to_owned(), proxy_version: "0.1.0".to_owned(), config_digest: "0123456789abcdef".to_owned() };
    Arc::new(origin.into())
}

pub fn reply(code: u16, enhanced: (u8, u16, u16), text: String) -> Reply {
    Reply { code, enhanced: Some(enhanced), lines: vec![text] }
}

/// A transaction whose fields all follow from its number.
pub fn plain(no: u64) -> Transaction {
    let local = ["alice", "bob", "carol", "dave", "erin"][(no % 5) as usize];
    let domain = format!("d{}.example", no % 97);
    let reverse_path = format!("{local}{}@sender.example", no % 1000);
    let forward_path = format!("user{no}@{domain}");
    let queue_id = &hex(no, 3)[..11];
    let (state, code, enhanced, text) = match no % 20 {
        7 => (State::Rejected, 550, (5, 1, 1), format!("5.1.1 <{forward_path}>: Recipient address rejected: User unknown")),
        13 => (State::Deferred, 451, (4, 7, 1), "4.7.1 Greylisted, please come back later".to_owned()),
        _ => (State::Accepted, 250, (2, 0, 0), format!("2.0.0 Ok: queued as {queue_id}")),
    };
    let accepted = state == State::Accepted;
    let stage = if accepted { Stage::EndOfData } else { Stage::RcptTo };
    let decided = reply(code, enhanced, text);
    let message_id = format!("20261123.{}.{no}@mail.sender.example", &hex(no, 1)[..16]);
    let said = [
        format!("MAIL FROM:<{reverse_path}> SIZE=4096 BODY=8BITMIME"),
        "250 2.1.0 Ok".to_owned(),
        format!("RCPT TO:<{forward_path}>"),
        format!("{} {}", code, decided.lines[0]),
        "DATA".to_owned(),
        "354 End data with <CR><LF>.<CR><LF>".to_owned(),
        format!("{} {}", code, decided.lines[0]),
    ];
    let mut timeline = Timeline::default();
    for (index, text) in said.iter().enumerate() {
        let from = if index % 2 == 0 { Leg::Client } else { Leg::Upstream };
        timeline.push_relayed(900 + index as u64 * 731 + no % 613, from, text);
    }
    Transaction {
        id: id(no),
        session_id: session_id(no / 3),
        transaction_no: (no % 3 + 1) as u32,
        origin: origin(),
        route_rule: None,
        at: NOON + no * 1000,
        duration_us: 20_000 + no % 7919,
        listener: "submission".to_owned(),
        direction: Direction::Outbound,
        client: Arc::new(Kept::new(Client {
            ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, (no % 200) as u8)),
            port: 30_000 + (no % 20_000) as u16,
            helo: Some("mail.sender.example".to_owned()),
            tls: None,
            auth: None,
            via: None,
        })),
        upstream: Arc::new(Kept::new(Upstream {
            name: "smart".to_owned(),
            host: Some("smtp.example.net".to_owned()),
            ip: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 25))),
            port: Some(587),
            banner: Some("smtp.example.net ESMTP Postfix".to_owned()),
            software: Some("Postfix".to_owned()),
            offered: ["PIPELINING", "SIZE 52428800", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING"]
                .map(str::to_owned)
                .to_vec(),
            ..Upstream::default()
        })),
        envelope: Envelope {
            reverse_path: reverse_path.clone(),
            params: vec!["SIZE=4096".to_owned(), "BODY=8BITMIME".to_owned()],
            size_declared: Some(4096),
            reply: Some(reply(250, (2, 1, 0), "2.1.0 Ok".to_owned())),
            recipients: vec![Recipient {
                address: forward_path.clone(),
                params: Vec::new(),
                orcpt: None,
                reply: Some(if accepted { reply(250, (2, 1, 5), "2.1.5 Ok".to_owned()) } else { decided.clone() }),
                stage,
                by: Actor::Upstream,
                state,
                cause: None,
                act: None,
                rule: None,
            }],
            ..Envelope::default()
        },
        message: Message {
            message_id: Some(message_id),
            subject: Some(format!("Invoice {no} from {local}")),
            from: Some(format!("{local} <{reverse_path}>")),
            to: Some(forward_path),
            date: Some("Mon, 23 Nov 2026 12:00:00 +0000".to_owned()),
            received_count: 1,
            client_queue_id: Some(hex(no, 2)[..10].to_owned()),
            size: 4096 + no % 512,
            header_digest: Some(digest(no, 4)),
            body_digest: Some(digest(no, 5)),
            ..Message::default()
        },
        phases: Phases {
            mail_from_us: Some(300 + no % 97),
            rcpt_to_us: Some(420 + no % 89),
            data_us: Some(210 + no % 83),
            body_us: Some(1_900 + no % 997),
            end_of_data_us: Some(9_000 + no % 3989),
            ..Phases::default()
        },
        outcome: Outcome {
            state,
            stage,
            by: Actor::Upstream,
            reply: Some(decided),
            cause: None,
            act: None,
            advice: None,
            rule: None,
            rules_version: None,
            upstream_queue_id: accepted.then(|| queue_id.to_owned()),
            detail: None,
            provider: None,
        },
        flags: Vec::new(),
        timeline,
    }
}

pub fn transaction(no: u64) -> Record {
    Record::Transaction(Box::new(plain(no)))
}

pub fn session(no: u64) -> Record {
    let like = plain(no);
    Record::Session(Box::new(Session {
        id: session_id(no),
        origin: like.origin,
        route_rule: None,
        at: like.at,
        duration_us: 5_000,
        listener: like.listener,
        direction: like.direction,
        client: Arc::new(Kept::new(Client { via: Some(Box::new(via())), ..(**like.client).clone() })),
        upstream: Arc::new(Kept::new(found_by_mx((**like.upstream).clone()))),
        phases: Phases::default(),
        transactions: 0,
        outcome: None,
        ended: Ended { by: Actor::Client, stage: Stage::Ehlo, how: EndHow::Reset, commands: 1, detail: None },
        flags: vec![Flag::EarlyTalker],
        timeline: Timeline::default(),
    }))
}

/// A client behind a load balancer.
fn via() -> Via {
    Via {
        how: ViaHow::ProxyV2,
        ip: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 250))),
        port: Some(41_000),
        destination: Some((Ipv4Addr::new(192, 0, 2, 25), 25).into()),
        unique_id: Some("4C:1".to_owned()),
        authority: Some("mx.example.org".to_owned()),
        tls: Some("TLSv1.3".to_owned()),
        more: 1,
    }
}

/// Everything that is learnt on the way to a mail exchanger, and a session that was passed through.
fn found_by_mx(upstream: Upstream) -> Upstream {
    Upstream {
        kind: UpstreamKind::Mx,
        mx_preference: Some(10),
        lookups: vec![Lookup {
            name: "example.net".to_owned(),
            query: "MX".to_owned(),
            outcome: LookupOutcome::Found,
            why: None,
            answers: vec![Answer { kind: "MX".to_owned(), ttl: 300, data: "10 smtp.example.net.".to_owned() }],
            answers_cut: 2,
            server: Some("127.0.0.1:53".to_owned()),
            dnssec: Some(Dnssec::Secure),
            at_us: 10,
            took_us: 900,
        }],
        tls_policy: Some(TlsPolicy {
            policy: "dane".to_owned(),
            source: "1 TLSA record(s) of smtp.example.net".to_owned(),
            verified_by: Some("DANE-EE 3 1 1".to_owned()),
        }),
        choice: Some("MX preference 10".to_owned()),
        circuit: Some(Circuit::HalfOpen),
        told: Some(Told::Xclient),
        spliced: Some(Spliced { client_octets: 4_096, upstream_octets: 512, starttls_at_us: Some(1_500), alpn: vec!["smtp".to_owned()] }),
        ..upstream
    }
}

/// The mark that precedes [`transaction`]`(no)`.
pub fn mark(no: u64) -> Record {
    let like = plain(no);
    Record::Mark(Box::new(Mark {
        id: like.id,
        session_id: like.session_id,
        transaction_no: like.transaction_no,
        origin: like.origin,
        at: like.at,
        listener: like.listener,
        direction: like.direction,
        client: like.client,
        upstream: like.upstream,
        envelope: like.envelope,
        message: None,
    }))
}

/// The late word that [`transaction`]`(of)` was accepted after all.
pub fn amendment(of: u64, no: u64, state: State) -> Record {
    let like = plain(of);
    Record::Amendment(Box::new(Amendment {
        id: id(no),
        of: like.id,
        at: NOON + no * 1000,
        outcome: Outcome { state, stage: Stage::AfterAcceptance, ..like.outcome },
        flags: vec![Flag::LateReply],
        recipients: Vec::new(),
        reported: Vec::new(),
    }))
}

pub fn gap(no: u64) -> Record {
    Record::Gap(Gap { id: id(no), from: NOON, until: NOON + 5, records_lost: 3, why: "disk full".to_owned() })
}

/// A report on transaction `of`, which passed as transaction `no`.
pub fn report(of: u64, no: u64) -> Record {
    let (original, mut passed) = (plain(of), plain(no));
    let recipient = original.envelope.recipients.first().map(|recipient| recipient.address.clone()).unwrap_or_default();
    passed.envelope.reverse_path = String::new();
    passed.flags.push(Flag::Report);
    passed.message.report = Some(Box::new(Report {
        kind: ReportKind::DeliveryStatus,
        format: "rfc3464".to_owned(),
        reporting_mta: Some("smtp.example.net".to_owned()),
        original_message_id: original.message.message_id,
        original_subject: original.message.subject,
        original_from: original.message.from,
        original_to: original.message.to,
        envid: None,
        queue_id: Some("4XyZ12".to_owned()),
        arrival: None,
        recipients: vec![Reported {
            address: recipient,
            original: None,
            action: Action::Failed,
            status: Some((5, 2, 2)),
            reply_code: Some(552),
            text: Some("552 5.2.2 mailbox is full".to_owned()),
            remote_mta: Some("mx.example.org".to_owned()),
            last_attempt: None,
            will_retry_until: None,
            cause: Some(Cause::MailboxFull),
            act: Some(Act::RecipientSide),
            rule: Some("text/mailbox-full".to_owned()),
            provider: None,
        }],
        recipients_cut: 0,
        cut: false,
    }));
    Record::Transaction(Box::new(passed))
}

/// A line of the log of the server behind transaction `of`.
pub fn log(of: u64, no: u64) -> Record {
    let like = plain(of);
    Record::Log(Box::new(Log {
        id: id(no),
        at: like.at + 1_000_000,
        format: "postfix".to_owned(),
        host: Some("smtp.example.net".to_owned()),
        event: LogEvent::Deferred,
        queue_id: like.outcome.upstream_queue_id.or_else(|| Some(format!("Q{no}"))),
        next_queue_id: None,
        message_id: like.message.message_id,
        reverse_path: Some(like.envelope.reverse_path),
        recipient: like.envelope.recipients.first().map(|recipient| recipient.address.clone()),
        original_recipient: None,
        subject: None,
        size: Some(like.message.size),
        client_host: Some("proxy.example".to_owned()),
        client_ip: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77))),
        relay_host: Some("mx.example.org".to_owned()),
        relay_ip: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 99))),
        relay_port: Some(25),
        delay_us: Some(1_500_000),
        reply: Some(reply(452, (4, 2, 2), "4.2.2 mailbox is full".to_owned())),
        detail: None,
        outcome: Some(Outcome {
            cause: Some(Cause::MailboxFull),
            act: Some(Act::RecipientSide),
            advice: Some("Tell the recipient by other means.".to_owned()),
            rule: Some("text/mailbox-full".to_owned()),
            rules_version: Some("1".to_owned()),
            ..Outcome::of(State::Deferred, Stage::RcptTo, Actor::Upstream, None, None)
        }),
    }))
}

pub fn audit(no: u64) -> Record {
    Record::Audit(Box::new(Audit {
        id: id(no),
        at: NOON + no * 1000,
        origin: plain(no).origin,
        event: AuditEvent::Started,
        who: None,
        since: None,
        detail: Some("started by hand".to_owned()),
    }))
}

pub fn incident(no: u64) -> Record {
    Record::Incident(Box::new(Incident {
        id: id(no),
        incident: id(no),
        step: IncidentStep::Opened,
        at: NOON + no * 1000,
        origin: plain(no).origin,
        anomaly: Anomaly::UpstreamDown,
        severity: Severity::Critical,
        about: vec![About { kind: AboutKind::Upstream, value: "main".to_owned() }],
        summary: "main takes no connections".to_owned(),
        arithmetic: "5 of 5 attempts failed in 10 min".to_owned(),
        baseline: None,
        cause: Some(Cause::ConnectionFailed),
        act: Act::Network,
        advice: "See whether it runs.".to_owned(),
        since: NOON,
        last: NOON + no * 1000,
        count: 5,
        samples: vec![id(1), id(2)],
        change: Some(Change {
            what: "MX".to_owned(),
            before: "10 mx1.example".to_owned(),
            after: "10 mx2.example".to_owned(),
            last_before: Some(NOON),
        }),
        part_of: None,
        mute: Some(Mute { who: "alice".to_owned(), until: NOON + 1 }),
        who: None,
        note: None,
    }))
}
