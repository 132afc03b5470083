//! Made-up records that tell stories: one morning, 2026-11-23, of a mail server behind Relayscope.
#![allow(dead_code)]

pub mod golden;
pub mod told;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use relayscope::http::{self, Api, Guard, Token};
use relayscope::path::StoreTraces;
use relayscope::path::answer::Hole;
use relayscope::store::{Field, Options, Page, PageRequest, Query, Store, Tally};
use relayscope::trace::*;
use tokio::sync::watch;

/// 2026-11-23T00:00:00Z.
pub const MIDNIGHT: WallMicros = 1_795_392_000_000_000;

/// `10:02:11` or `10:02:11.123456` of that day.
pub fn at(clock: &str) -> WallMicros {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let seconds = whole.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
    MIDNIGHT + seconds * 1_000_000 + format!("{fraction:0<6}").parse::<u64>().unwrap()
}

pub fn reply(text: &str) -> Reply {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let enhanced = rest.split(' ').next().and_then(|word| {
        let mut parts = word.split('.').map(|part| part.parse::<u16>());
        match (parts.next()?, parts.next()?, parts.next()?, parts.next()) {
            (Ok(class), Ok(subject), Ok(detail), None) => Some((class as u8, subject, detail)),
            _ => None,
        }
    });
    Reply { code: code.parse().unwrap(), enhanced, lines: rest.split('\n').map(str::to_owned).collect() }
}

fn digest(number: usize) -> Digest {
    format!("{number:064x}").parse().unwrap()
}

pub fn origin() -> Arc<Kept<Origin>> {
    Arc::new(Origin { node: "relay1".into(), proxy_version: "0.1.0".into(), config_digest: "9f2c4e1ab8d07733".into() }.into())
}

pub fn client() -> Client {
    Client {
        ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
        port: 41_822,
        helo: Some("mail.example.com".into()),
        tls: None,
        auth: None,
        via: None,
    }
}

pub fn upstream() -> Upstream {
    Upstream {
        name: "smart".into(),
        host: Some("smtp.example.net".into()),
        ip: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 25))),
        port: Some(587),
        banner: Some("smtp.example.net ESMTP Postfix".into()),
        software: Some("Postfix".into()),
        offered: ["PIPELINING", "SIZE 52428800", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME"].map(str::to_owned).to_vec(),
        hidden: vec![Hidden { keyword: "XCLIENT".into(), why: "not carried".into() }],
        tls: Some(Tls {
            version: "TLSv1.3".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            sni: Some("smtp.example.net".into()),
            subject: Some("CN=smtp.example.net".into()),
            issuer: Some("CN=Example CA".into()),
            expires_at: Some(MIDNIGHT + 40 * 86_400_000_000),
            verified: Some(true),
            why_not: None,
        }),
        ..Upstream::default()
    }
}

/// How one transaction went, told in replies.
pub struct Tale {
    pub transaction: Transaction,
}

impl Tale {
    /// A transaction that began then; the number makes ids and digests its own.
    pub fn new(number: u64, clock: &str, from: &str) -> Self {
        let at = at(clock);
        let id = RecordId::from_parts(at / 1000, u128::from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let outcome = Outcome {
            state: State::Aborted,
            stage: Stage::MailFrom,
            by: Actor::Client,
            reply: None,
            cause: None,
            act: None,
            advice: None,
            rule: None,
            rules_version: None,
            upstream_queue_id: None,
            detail: None,
            provider: None,
        };
        let transaction = Transaction {
            id,
            session_id: RecordId::from_parts(at / 1000 - 30, u128::from(number.wrapping_mul(0xD1B5_4A32_D192_ED03))),
            transaction_no: 1,
            origin: origin(),
            route_rule: None,
            at,
            duration_us: 48_210,
            listener: "submission".into(),
            direction: Direction::Outbound,
            client: Arc::new(client().into()),
            upstream: Arc::new(upstream().into()),
            envelope: Envelope { reverse_path: from.into(), reply: Some(reply("250 2.1.0 Ok")), ..Envelope::default() },
            message: Message::default(),
            phases: Phases {
                connect_us: Some(1_210),
                banner_us: Some(2_480),
                tls_us: Some(9_040),
                mail_from_us: Some(640),
                rcpt_to_us: Some(2_950),
                ..Phases::default()
            },
            outcome,
            flags: Vec::new(),
            timeline: Timeline::default(),
        };
        let mut tale = Self { transaction };
        tale.said(30_100, &format!("MAIL FROM:<{from}>"), "250 2.1.0 Ok");
        tale
    }

    fn said(&mut self, t_us: u64, command: &str, reply: &str) {
        let timeline = &mut self.transaction.timeline;
        timeline.push(t_us, Leg::Client, Flow::In, command);
        timeline.push(t_us + 42, Leg::Upstream, Flow::Out, command);
        timeline.push(t_us + 612, Leg::Upstream, Flow::In, reply);
        timeline.push(t_us + 640, Leg::Client, Flow::Out, reply);
    }

    /// A recipient and the reply to its RCPT TO.
    pub fn to(mut self, address: &str, text: &str) -> Self {
        let reply = reply(text);
        let state = match reply.code {
            200..300 => State::Aborted,
            400..500 => State::Deferred,
            _ => State::Rejected,
        };
        let t_us = 31_000 + 1_000 * self.transaction.envelope.recipients.len() as u64;
        self.said(t_us, &format!("RCPT TO:<{address}>"), text);
        self.transaction.envelope.recipients.push(Recipient {
            address: address.into(),
            params: Vec::new(),
            orcpt: None,
            reply: Some(reply),
            stage: Stage::RcptTo,
            by: Actor::Upstream,
            state,
            cause: None,
            act: None,
            rule: None,
        });
        self
    }

    /// The header was seen.
    pub fn header(mut self, message_id: &str, subject: &str) -> Self {
        let transaction = &mut self.transaction;
        transaction.message = Message {
            message_id: Some(message_id.into()),
            subject: Some(subject.into()),
            from: Some(format!("Alice <{}>", transaction.envelope.reverse_path)),
            to: transaction.envelope.recipients.first().map(|recipient| recipient.address.clone()),
            date: Some("Mon, 23 Nov 2026 10:02:10 +0000".into()),
            received_count: 1,
            client_queue_id: Some("3C1A2200D7".into()),
            size: 4_312,
            header_digest: Some(digest(message_id.len())),
            body_digest: Some(digest(0x00b0_d1e5 + message_id.len() + subject.len())),
            ..Message::default()
        };
        transaction.phases.data_us = Some(580);
        transaction.phases.body_us = Some(1_330);
        self.said(40_000, "DATA", "354 End data with <CR><LF>.<CR><LF>");
        self
    }

    /// All were refused or deferred before DATA: the last recipient's reply decided.
    pub fn ends_at_rcpt(mut self) -> Self {
        let transaction = &mut self.transaction;
        if let Some(last) = transaction.envelope.recipients.last() {
            transaction.outcome.state = last.state;
            transaction.outcome.reply = last.reply.clone();
        }
        transaction.outcome.stage = Stage::RcptTo;
        transaction.outcome.by = Actor::Upstream;
        self
    }

    /// The reply to end-of-data, for those that RCPT TO had let through.
    pub fn end_of_data(mut self, text: &str, queue_id: Option<&str>) -> Self {
        let transaction = &mut self.transaction;
        let reply = reply(text);
        let state = match reply.code {
            200..300 => State::Accepted,
            400..500 => State::Deferred,
            _ => State::Rejected,
        };
        settle(transaction, state, Stage::EndOfData, Actor::Upstream);
        transaction.phases.end_of_data_us = Some(12_400);
        transaction.outcome.reply = Some(reply);
        transaction.outcome.upstream_queue_id = queue_id.map(str::to_owned);
        transaction.timeline.push(65_700, Leg::Upstream, Flow::In, text);
        transaction.timeline.push(65_731, Leg::Client, Flow::Out, text);
        self
    }

    /// It broke off, in our words.
    pub fn breaks(mut self, state: State, stage: Stage, by: Actor, detail: &str) -> Self {
        let transaction = &mut self.transaction;
        settle(transaction, state, stage, by);
        transaction.outcome.detail = Some(detail.into());
        if stage == Stage::Body {
            transaction.message.body_digest = None;
            transaction.message.size = 12_345;
        }
        self
    }

    pub fn flag(mut self, flag: Flag) -> Self {
        self.transaction.flags.push(flag);
        self
    }

    pub fn with(mut self, change: impl FnOnce(&mut Transaction)) -> Self {
        change(&mut self.transaction);
        self
    }

    pub fn record(self) -> Record {
        Record::Transaction(Box::new(self.transaction))
    }
}

fn settle(transaction: &mut Transaction, state: State, stage: Stage, by: Actor) {
    let mut differ = false;
    for recipient in &mut transaction.envelope.recipients {
        if recipient.state == State::Aborted {
            (recipient.state, recipient.stage, recipient.by) = (state, stage, by);
        } else {
            differ = true;
        }
    }
    transaction.outcome.state = if differ { State::Partial } else { state };
    (transaction.outcome.stage, transaction.outcome.by) = (stage, by);
}

/// A session that was greeted with 421 because the smart host was down.
pub fn refused_session(number: u64, clock: &str) -> Record {
    let at = at(clock);
    let text = "4.4.1 relayscope: smart host refused the connection (trace 01KAR3)";
    let mut timeline = Timeline::default();
    timeline.push(2_200, Leg::Client, Flow::Out, &format!("421 {text}"));
    Record::Session(Box::new(Session {
        id: RecordId::from_parts(at / 1000, u128::from(number.wrapping_mul(0xA24B_AED4_963E_E407))),
        origin: origin(),
        route_rule: None,
        at,
        duration_us: 2_310,
        listener: "submission".into(),
        direction: Direction::Outbound,
        client: Arc::new(Client { helo: None, ..client() }.into()),
        upstream: Arc::new(Kept::new(Upstream {
            name: "smart".into(),
            host: Some("smtp.example.net".into()),
            tried: vec![Tried {
                host: "smtp.example.net".into(),
                ip: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 25))),
                port: 587,
                stage: Stage::Connect,
                error: "connection refused".into(),
                at_us: 1_900,
            }],
            ..Upstream::default()
        })),
        phases: Phases { connect_us: Some(1_200), ..Phases::default() },
        transactions: 0,
        outcome: Some(Outcome {
            state: State::Deferred,
            stage: Stage::Connect,
            by: Actor::Network,
            reply: Some(Reply { code: 421, enhanced: None, lines: vec![text.into()] }),
            cause: None,
            act: None,
            advice: None,
            rule: None,
            rules_version: None,
            upstream_queue_id: None,
            detail: Some("smtp.example.net:587 refused the connection".into()),
            provider: None,
        }),
        ended: Ended { by: Actor::Proxy, stage: Stage::Connect, how: EndHow::ConnectFailure, commands: 0, detail: None },
        flags: Vec::new(),
        timeline,
    }))
}

pub fn gap(from: &str, until: &str, records_lost: u64) -> Record {
    let (from, until) = (at(from), at(until));
    Record::Gap(Gap { id: RecordId::from_parts(until / 1000, 7), from, until, records_lost, why: "No space left on device".into() })
}

pub fn audit(event: AuditEvent, clock: &str, since: Option<&str>) -> Record {
    let at = at(clock);
    let id = RecordId::from_parts(at / 1000, 9 + event as u128);
    Record::Audit(Box::new(Audit { id, at, origin: origin(), event, who: None, since: since.map(self::at), detail: None }))
}

const OK: &str = "250 2.1.5 Ok";

/// The whole morning.
pub fn morning() -> Vec<Record> {
    let mut records = vec![
        // Accepted, all three.
        Tale::new(1, "10:02:11.100", "alice@example.com")
            .to("bob@example.org", OK)
            .to("carol@example.org", OK)
            .to("dave@example.org", OK)
            .header("accepted.1@mail.example.com", "Minutes of Monday")
            .end_of_data("250 2.0.0 Ok: queued as 4F1C21A0B7", Some("4F1C21A0B7"))
            .record(),
        // Refused at RCPT TO.
        Tale::new(2, "10:03:40", "alice@example.com")
            .to("nobody@example.org", "550 5.1.1 <nobody@example.org>: Recipient address rejected: User unknown")
            .ends_at_rcpt()
            .record(),
        // One of three refused, the others accepted.
        Tale::new(3, "10:05:02", "alice@example.com")
            .to("bob@example.org", OK)
            .to("dvae@example.org", "550 5.1.1 No such user")
            .to("carol@example.org", OK)
            .header("partly.3@mail.example.com", "Offer 2026-118")
            .end_of_data("250 2.0.0 Ok: queued as 5A2D33B1C8", Some("5A2D33B1C8"))
            .record(),
        // Refused as a whole, after the message was read.
        Tale::new(4, "10:06:30", "newsletter@example.com")
            .to("erin@example.org", OK)
            .header("spam.4@mail.example.com", "Grand offer")
            .end_of_data("554 5.7.1 Message rejected as spam by content scanner\n5.7.1 see https://smtp.example.net/why", None)
            .record(),
        // The client went away in the message.
        Tale::new(8, "10:20:05", "alice@example.com")
            .to("frank@example.org", OK)
            .header("dropped.8@mail.example.com", "Large plan")
            .breaks(State::Aborted, Stage::Body, Actor::Client, "client closed the connection in the message")
            .record(),
        // No reply to end-of-data.
        Tale::new(9, "10:25:00", "alice@example.com")
            .to("grace@example.org", OK)
            .header("doubt.9@mail.example.com", "Contract")
            .breaks(State::Unknown, Stage::EndOfData, Actor::Network, "the connection to the upstream broke after end-of-data")
            .flag(Flag::InDoubt)
            .with(|transaction| transaction.duration_us = 21_000_000)
            .record(),
        // In doubt, then accepted: maybe twice.
        Tale::new(10, "10:30:00", "alice@example.com")
            .to("heidi@example.org", OK)
            .header("twice.10@mail.example.com", "Reminder")
            .breaks(State::Unknown, Stage::EndOfData, Actor::Network, "the connection to the upstream broke after end-of-data")
            .flag(Flag::InDoubt)
            .record(),
        Tale::new(11, "10:35:00", "alice@example.com")
            .to("heidi@example.org", OK)
            .header("twice.10@mail.example.com", "Reminder")
            .end_of_data("250 2.0.0 Ok: queued as 6B3E44C2D9", Some("6B3E44C2D9"))
            .record(),
        // The same Message-ID used by two programs for two messages.
        Tale::new(12, "10:40:00", "app1@example.com")
            .to("ivan@example.org", OK)
            .header("1@localhost", "Report A")
            .end_of_data("250 2.0.0 Ok: queued as 7C4F55D3EA", Some("7C4F55D3EA"))
            .record(),
        Tale::new(13, "10:41:00", "app2@example.com")
            .to("ivan@example.org", OK)
            .header("1@localhost", "Report number B")
            .end_of_data("250 2.0.0 Ok: queued as 8D5066E4FB", Some("8D5066E4FB"))
            .record(),
        refused_session(14, "09:55:00"),
        refused_session(15, "09:56:00"),
        gap("09:00:00", "09:10:00", 12),
    ];
    records.extend(greylisted(3, false));
    records.extend(refused_by_proxy());
    records.sort_by_key(Record::id);
    records
}

/// Deferred at RCPT TO, twice without a header; the third time it passes if `at_last`.
pub fn greylisted(attempts: u64, at_last: bool) -> Vec<Record> {
    let clocks = ["10:10:00", "10:15:00", "10:45:00"];
    let attempt = |number: u64| Tale::new(5 + 100 * number, clocks[number as usize], "alice@example.com");
    (0..attempts)
        .map(|number| match at_last && number + 1 == attempts {
            true => attempt(number)
                .to("judy@example.org", OK)
                .header("greylisted.5@mail.example.com", "Patience")
                .end_of_data("250 2.0.0 Ok: queued as 9E6177F50C", Some("9E6177F50C"))
                .record(),
            false => attempt(number)
                .to(
                    "judy@example.org",
                    "450 4.2.0 <judy@example.org>: Recipient address rejected: Greylisted, see http://postgrey.example/",
                )
                .ends_at_rcpt()
                .record(),
        })
        .collect()
}

/// The smart host went away between two transactions of a session.
fn refused_by_proxy() -> Vec<Record> {
    let mut tale = Tale::new(20, "10:50:00", "alice@example.com");
    let refusal = reply("451 4.4.1 relayscope: smart host closed the connection (trace 01KAR4)");
    tale.transaction.envelope.reply = Some(refusal.clone());
    tale.transaction.outcome.state = State::Deferred;
    tale.transaction.outcome.stage = Stage::MailFrom;
    tale.transaction.outcome.by = Actor::Network;
    tale.transaction.outcome.reply = Some(refusal);
    tale.transaction.outcome.detail = Some("smtp.example.net closed the connection between two messages".into());
    vec![tale.record()]
}

/// Records in memory that answer like a store.
pub struct Shelf {
    pub records: Vec<Record>,
    pub running: bool,
}

impl relayscope::path::Traces for Shelf {
    type Error = std::convert::Infallible;

    fn query(&self, query: &Query, page: &PageRequest) -> Result<Page, Self::Error> {
        let mut records: Vec<Record> = self.records.iter().filter(|record| query.matches(record)).cloned().collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.id()));
        // Its cursors count what has been answered.
        let passed = page.before.map_or(0, |before| before.to_string().rsplit('.').next().unwrap().parse().unwrap());
        let end = passed + page.limit;
        let next = (records.len() > end).then(|| format!("2026-11-23.{end}").parse().unwrap());
        let records = records.into_iter().skip(passed).take(page.limit).collect();
        Ok(Page { records, next, ..Page::default() })
    }

    fn tally(&self, _: &Query, _: &[Field]) -> Result<Tally, Self::Error> {
        // These stories are told, not counted.
        Ok(Tally::default())
    }

    fn reach(&self) -> Result<Option<(WallMicros, WallMicros)>, Self::Error> {
        let times = || self.records.iter().map(|record| record.id().unix_ms() * 1000);
        Ok(times().min().zip(times().max()))
    }

    fn is_running(&self) -> bool {
        self.running
    }

    fn hole_now(&self) -> Option<Hole> {
        None
    }
}

/// An incident that begins and is last seen then; its id is made of the number.
pub fn incident(number: u64, anomaly: Anomaly, since: &str, last: &str, about: &[(AboutKind, &str)]) -> Incident {
    let (since, last) = (at(since), at(last));
    let id = RecordId::from_parts(since / 1000, u128::from(number));
    Incident {
        id,
        incident: id,
        step: IncidentStep::Opened,
        at: last,
        origin: origin(),
        anomaly,
        severity: Severity::Warning,
        about: about.iter().map(|(kind, value)| About { kind: *kind, value: (*value).into() }).collect(),
        summary: format!("Trouble number {number}"),
        arithmetic: "3 of 3".into(),
        baseline: None,
        cause: None,
        act: Act::LocalAdmin,
        advice: "See to it.".into(),
        since,
        last,
        count: 312,
        samples: Vec::new(),
        change: None,
        part_of: None,
        mute: None,
        who: None,
        note: None,
    }
}

/// A store in `dir` that holds the whole morning, written.
pub fn store(dir: &std::path::Path) -> Store {
    let mut options = Options::new(dir);
    options.keep_days = 0;
    let store = Store::open(options).unwrap().store;
    let appender = store.appender();
    let tickets: Vec<_> = morning().iter().map(|record| appender.append(record).unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for ticket in tickets {
        runtime.block_on(std::future::poll_fn(|cx| appender.poll_stored(ticket, cx))).unwrap();
    }
    store
}

/// A store served as a running proxy does it, on a thread of its own.
pub struct Proxy {
    pub store: Store,
    pub tcp: std::net::SocketAddr,
    ending: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    pub fn start(dir: &std::path::Path, token: bool) -> Self {
        Self::serve(store(dir), dir, token)
    }

    /// A store that is open already.
    pub fn serve(store: Store, dir: &std::path::Path, token: bool) -> Self {
        let token = token.then(|| Token::of_store(dir).unwrap());
        let (ending, ends) = watch::channel(false);
        let (say, told) = std::sync::mpsc::channel();
        let (dir, served) = (dir.to_owned(), store.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let api = Api::new(StoreTraces::new(served, true), ends.clone());
                let unix = http::bind_unix(&dir).await.unwrap();
                let tcp = http::bind_tcp("127.0.0.1:0".parse().unwrap()).await.unwrap();
                say.send(tcp.local_addr().unwrap()).unwrap();
                let over_tcp = http::serve_tcp(tcp, http::router(api.clone()), Guard::new(token), ends.clone());
                tokio::join!(http::serve_unix(unix, http::local_router(api), ends.clone()), over_tcp);
            });
        });
        Self { store, tcp: told.recv().unwrap(), ending, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.tcp)
    }

    /// Ends the serving; the store stays open.
    pub fn end(&mut self) {
        self.ending.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub fn stop(mut self) {
        self.end();
        self.store.close();
    }
}
