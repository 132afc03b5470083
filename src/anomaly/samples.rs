//! Records to try detectors with: a plain mail or session, changed step by step.

use std::net::IpAddr;
use std::sync::Arc;

use crate::trace::*;

/// Monday, 2026-11-23 00:00 UTC.
pub const MONDAY: WallMicros = 1_795_392_000_000_000;

/// Ids that differ and follow from the number.
pub fn id(at: WallMicros, no: u64) -> RecordId {
    RecordId::from_parts(at / 1000, u128::from(no.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 8)
}

pub fn reply(code: u16, text: &str) -> Reply {
    let mut parts = text.split([' ', '.']).map_while(|it| it.parse::<u16>().ok());
    let enhanced = match (parts.next(), parts.next(), parts.next()) {
        (Some(class), Some(subject), Some(detail)) => Some((class as u8, subject, detail)),
        _ => None,
    };
    Reply { code, enhanced, lines: text.lines().map(str::to_owned).collect() }
}

pub fn client(ip: &str) -> Arc<Kept<Client>> {
    let ip = ip.parse().unwrap_or(IpAddr::from([192, 0, 2, 1]));
    Arc::new(Kept::new(Client { ip, port: 40_000, helo: Some("mail.sender.example".to_owned()), tls: None, auth: None, via: None }))
}

pub fn upstream(name: &str) -> Arc<Kept<Upstream>> {
    Arc::new(Kept::new(Upstream {
        name: name.to_owned(),
        host: Some(format!("{name}.example.net")),
        ip: Some(IpAddr::from([198, 51, 100, 25])),
        port: Some(587),
        banner: Some(format!("{name}.example.net ESMTP Postfix")),
        software: Some("Postfix".to_owned()),
        offered: ["PIPELINING", "SIZE 52428800", "8BITMIME", "STARTTLS"].map(str::to_owned).to_vec(),
        ..Upstream::default()
    }))
}

pub fn origin() -> Arc<Kept<Origin>> {
    let origin = Origin { node: "relay1".to_owned(), proxy_version: "0".to_owned(), config_digest: "0".to_owned() };
    Arc::new(origin.into())
}

pub fn recipient(address: &str) -> Recipient {
    Recipient {
        address: address.to_owned(),
        params: Vec::new(),
        orcpt: None,
        reply: None,
        stage: Stage::EndOfData,
        by: Actor::Upstream,
        state: State::Accepted,
        cause: None,
        act: None,
        rule: None,
    }
}

/// Mail from `a@our.example` to `b@x.example`, sent on from 10.0.0.12 through `main`, accepted.
pub fn mail(at: WallMicros, no: u64) -> Sample {
    let transaction = Transaction {
        id: id(at, no),
        session_id: id(at, no | 1 << 63),
        transaction_no: 1,
        origin: origin(),
        route_rule: None,
        at,
        duration_us: 0,
        listener: "submission".to_owned(),
        direction: Direction::Outbound,
        client: client("10.0.0.12"),
        upstream: upstream("main"),
        envelope: Envelope { reverse_path: "a@our.example".to_owned(), recipients: vec![recipient("b@x.example")], ..Envelope::default() },
        message: Message { message_id: Some(format!("{no}@our.example")), received_count: 1, size: 4_000, ..Message::default() },
        phases: Phases::default(),
        outcome: Outcome::of(State::Accepted, Stage::EndOfData, Actor::Upstream, Some(reply(250, "2.0.0 Ok: queued")), None),
        flags: Vec::new(),
        timeline: Timeline::default(),
    };
    Sample(transaction)
}

/// A transaction that is being made.
#[derive(Debug, Clone)]
pub struct Sample(pub Transaction);

impl Sample {
    pub fn record(self) -> Record {
        Record::Transaction(Box::new(self.0))
    }

    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Transaction)) -> Self {
        change(&mut self.0);
        self
    }

    #[must_use]
    pub fn client(self, ip: &str) -> Self {
        let client = client(ip);
        self.with(|it| it.client = client)
    }

    /// The client logs in.
    #[must_use]
    pub fn user(self, user: &str, outcome: &str) -> Self {
        let auth = Auth { mechanism: "PLAIN".to_owned(), user: Some(user.to_owned()), outcome: outcome.to_owned(), reply: None };
        self.with(|it| Arc::make_mut(&mut it.client).auth = Some(auth))
    }

    #[must_use]
    pub fn upstream(self, change: impl FnOnce(&mut Upstream)) -> Self {
        self.with(|it| {
            let kept: &mut Kept<Upstream> = Arc::make_mut(&mut it.upstream);
            change(kept);
        })
    }

    #[must_use]
    pub fn from(self, reverse_path: &str) -> Self {
        self.with(|it| it.envelope.reverse_path = reverse_path.to_owned())
    }

    #[must_use]
    pub fn to(self, addresses: &[&str]) -> Self {
        self.with(|it| it.envelope.recipients = addresses.iter().map(|address| recipient(address)).collect())
    }

    /// It comes in from the internet.
    #[must_use]
    pub fn inbound(self) -> Self {
        self.with(|it| {
            it.direction = Direction::Inbound;
            it.listener = "inbound".to_owned();
        })
    }

    /// Refused or deferred, all recipients alike, as a reply of the upstream at that stage. What was said to RCPT TO before stays.
    #[must_use]
    pub fn refused(self, stage: Stage, code: u16, text: &str, cause: Cause) -> Self {
        let state = if code >= 500 { State::Rejected } else { State::Deferred };
        self.with(|it| {
            it.outcome = Outcome {
                cause: Some(cause),
                act: Some(cause.act()),
                ..Outcome::of(state, stage, Actor::Upstream, Some(reply(code, text)), None)
            };
            for recipient in &mut it.envelope.recipients {
                (recipient.state, recipient.stage, recipient.cause) = (state, stage, Some(cause));
                recipient.reply = match stage {
                    Stage::RcptTo => Some(reply(code, text)),
                    Stage::Data | Stage::Body | Stage::EndOfData => Some(reply(250, "2.1.5 ok")),
                    _ => None,
                };
            }
        })
    }

    #[must_use]
    pub fn flag(self, flag: Flag) -> Self {
        self.with(|it| it.flags.push(flag))
    }
}

/// A session without any transaction, from 203.0.113.9.
pub fn session(at: WallMicros, no: u64) -> Session {
    let like = mail(at, no).0;
    Session {
        id: id(at, no),
        origin: like.origin,
        route_rule: None,
        at,
        duration_us: 0,
        listener: like.listener,
        direction: like.direction,
        client: client("203.0.113.9"),
        upstream: like.upstream,
        phases: Phases::default(),
        transactions: 0,
        outcome: None,
        ended: Ended { by: Actor::Client, stage: Stage::Ehlo, how: EndHow::Close, commands: 1, detail: None },
        flags: Vec::new(),
        timeline: Timeline::default(),
    }
}
