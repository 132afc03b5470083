//! Weeks of ordinary mail of a company with 300 people, hour by hour, always the same.

mod random;
pub mod score;
pub mod situation;
pub mod trial;
pub mod troubles;

use std::collections::BTreeMap;
use std::sync::Arc;

use random::Random;
use relayscope::diagnose::Cause;
use relayscope::smtp::Stage;
use relayscope::trace::{Actor, Auth, Client, EndHow, Flag, Kept, Outcome, Phases, Record, State, Tls, Transaction, Upstream, WallMicros};

use crate::samples::{self, MONDAY, Sample, mail};

pub const SECOND: WallMicros = 1_000_000;
pub const MINUTE: WallMicros = 60 * SECOND;
pub const HOUR: WallMicros = 60 * MINUTE;
pub const DAY: WallMicros = 24 * HOUR;

const PEOPLE: u64 = 300;
const MACHINES: u64 = 40;
/// Of mail that a shop sends around the clock.
pub const SHOP: &str = "10.0.0.12";
pub const NEWSLETTER: &str = "10.0.0.30";
const NEWSLETTER_SIZE: u64 = 4_000;

/// An ordinary week: office hours, evenings, nights, weekends.
fn office(at: WallMicros) -> u64 {
    let hour = at / HOUR % 24;
    let is_workday = (at - MONDAY) / DAY % 7 < 5;
    match (is_workday, hour) {
        (true, 9..=11 | 13..=16) => 100,
        (true, 8 | 12 | 17) => 60,
        (true, 7 | 18) => 25,
        (true, 19..=21) => 8,
        (false, 9..=20) => 6,
        _ => 1,
    }
}

/// Nobody works.
pub fn holiday(at: WallMicros) -> u64 {
    let day = (at - MONDAY) / DAY % 7;
    office(at + (6 - day) * DAY)
}

/// By a clock that was set forward.
pub fn an_hour_earlier(at: WallMicros) -> u64 {
    office(at + HOUR)
}

/// By a clock that was set back.
pub fn an_hour_later(at: WallMicros) -> u64 {
    office(at - HOUR)
}

/// Where mail is made.
#[derive(Clone)]
pub struct Traffic {
    /// How much of the busiest hour's mail there is, in percent.
    pub office: fn(WallMicros) -> u64,
    random: Random,
    no: u64,
    /// Retries and bounces that are due later.
    later: BTreeMap<(WallMicros, u64), Record>,
    people: Vec<Arc<Kept<Client>>>,
    machines: Vec<Arc<Kept<Client>>>,
    strangers: Vec<Arc<Kept<Client>>>,
    main: Arc<Kept<Upstream>>,
    behind: Arc<Kept<Upstream>>,
    like: Transaction,
    /// Transactions so far.
    pub transactions: u64,
}

fn tls(name: &str) -> Tls {
    Tls {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        subject: Some(format!("CN={name}")),
        issuer: Some("C=US, O=Authority, CN=R11".to_owned()),
        expires_at: Some(MONDAY + 94 * DAY),
        verified: Some(true),
        ..Tls::default()
    }
}

fn server(name: &str) -> Arc<Kept<Upstream>> {
    let mut upstream = samples::upstream(name);
    Arc::make_mut(&mut upstream).tls = Some(tls(&format!("{name}.example.net")));
    upstream
}

fn person(no: u64) -> Arc<Kept<Client>> {
    let mut client = samples::client(&format!("10.0.{}.{}", 1 + no / 200, 1 + no % 200));
    let auth = Auth { mechanism: "PLAIN".to_owned(), user: Some(format!("u{no}")), outcome: "succeeded".to_owned(), reply: None };
    Arc::make_mut(&mut client).auth = Some(auth);
    client
}

impl Traffic {
    pub fn new(seed: u64) -> Self {
        Self {
            office,
            random: Random(seed),
            no: 0,
            later: BTreeMap::new(),
            people: (0..PEOPLE).map(person).collect(),
            machines: (0..MACHINES).map(|no| samples::client(&format!("10.0.0.{}", 50 + no))).collect(),
            strangers: (0..3_000).map(|no| samples::client(&format!("198.18.{}.{}", no / 250, 1 + no % 250))).collect(),
            main: server("main"),
            behind: server("behind"),
            like: mail(MONDAY, 0).0,
            transactions: 0,
        }
    }

    /// How much mail from everywhere there is: it never sleeps.
    fn world(&self, at: WallMicros) -> u64 {
        40 + (self.office)(at) * 6 / 10
    }

    /// All records of one hour, in the order of their ends.
    pub fn hour(&mut self, from: WallMicros) -> Vec<Record> {
        let mut made = Vec::new();
        self.people(from, &mut made);
        self.machines(from, &mut made);
        self.newsletter(from, &mut made);
        self.inbound(from, &mut made);
        self.sessions(from, &mut made);
        let after = self.later.split_off(&(from + HOUR, 0));
        made.extend(std::mem::replace(&mut self.later, after).into_values());
        self.transactions += made.iter().filter(|it| matches!(it, Record::Transaction(_))).count() as u64;
        made.sort_by_cached_key(end);
        made
    }

    /// An accepted transaction at some time of that hour.
    fn plain(&mut self, from: WallMicros, client: &Arc<Kept<Client>>) -> Sample {
        self.no += 1;
        let at = from + self.random.below(HOUR);
        let wait = self.random.skewed(200_000);
        let mut it = self.like.clone();
        (it.id, it.session_id) = (samples::id(at, self.no), samples::id(at, self.no | 1 << 63));
        (it.at, it.duration_us) = (at, wait + 40_000);
        (it.client, it.upstream) = (client.clone(), self.main.clone());
        it.message.message_id = Some(format!("{}@our.example", self.no));
        it.phases = Phases {
            connect_us: Some(2_000 + self.random.skewed(4_000)),
            banner_us: Some(3_000 + self.random.skewed(4_000)),
            tls_us: Some(15_000 + self.random.skewed(9_000)),
            mail_from_us: Some(2_000 + self.random.skewed(2_000)),
            rcpt_to_us: Some(4_000 + self.random.skewed(4_000)),
            data_us: Some(1_000 + self.random.skewed(2_000)),
            body_us: Some(3_000),
            end_of_data_us: Some(wait),
            ..Phases::default()
        };
        Sample(it)
    }

    fn people(&mut self, from: WallMicros, made: &mut Vec<Record>) {
        for _ in 0..self.random.around(PEOPLE * 3 * (self.office)(from) / 100) {
            let no = self.random.below(PEOPLE);
            let client = self.people[no as usize].clone();
            let recipients = if self.random.below(40) == 0 { 5 + self.random.below(15) } else { 1 + self.random.below(8) / 6 };
            let to: Vec<String> = (0..recipients).map(|_| self.address()).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            let sample = self.plain(from, &client).from(&format!("u{no}@our.example")).to(&to);
            self.outwards(sample, made);
        }
    }

    fn address(&mut self) -> String {
        let no = self.random.below(2_000);
        format!("person{no}@d{}.example", no % 400)
    }

    fn machines(&mut self, from: WallMicros, made: &mut Vec<Record>) {
        for no in 0..MACHINES {
            let client = self.machines[no as usize].clone();
            let mean = (5 + no * 3 / 2) * (50 + self.world(from) / 2) / 100;
            for _ in 0..self.random.around(mean) {
                let sample = self.plain(from, &client).from(&format!("machine{no}@our.example"));
                let to = self.address();
                self.outwards(sample.to(&[&to]), made);
            }
        }
        let shop = samples::client(SHOP);
        for _ in 0..self.random.around(10 * self.world(from)) {
            let to = self.address();
            let sample = self.plain(from, &shop).from("shop@our.example").to(&[&to]);
            self.outwards(sample, made);
        }
    }

    /// Every night at two, give or take a quarter of an hour.
    fn newsletter(&mut self, from: WallMicros, made: &mut Vec<Record>) {
        if from / HOUR % 24 != 2 {
            return;
        }
        let client = samples::client(NEWSLETTER);
        let begin = from + self.random.below(15 * MINUTE);
        for no in 0..NEWSLETTER_SIZE {
            let (at, gone) = (begin + no * 600_000, self.random.below(100) == 0);
            let name = if gone { format!("gone{}", self.no) } else { format!("subscriber{no}") };
            let sample = self.plain(from, &client).from("news@our.example").to(&[&format!("{name}@d{}.example", no % 900)]);
            let sample = sample.with(|it| it.at = at);
            if gone && self.random.below(2) == 0 {
                let bounce = self.plain(from, &client).inbound().from("").to(&["news@our.example"]).flag(Flag::Report);
                let (client, upstream) = (self.strangers[no as usize % 3_000].clone(), self.behind.clone());
                let due = at + self.random.below(2 * HOUR);
                let bounce = bounce.with(|it| (it.client, it.upstream, it.at) = (client, upstream, due));
                self.later.insert((due, self.no), bounce.record());
            } else if gone {
                made.push(sample.refused(Stage::RcptTo, 550, "5.1.1 no such user", Cause::RecipientUnknown).record());
                continue;
            }
            self.outwards(sample, made);
        }
    }

    /// How mail fares that goes out.
    fn outwards(&mut self, sample: Sample, made: &mut Vec<Record>) {
        let full = |at: WallMicros, no: u64| {
            // Mailboxes that are full for some hours of a day.
            sample.clone().to(&[&format!("full{}@d1.example", (at / DAY * 3 + no) % 50)])
        };
        let hour = sample.0.at / HOUR % 24;
        let made_of = match self.random.below(1_000) {
            0..20 => {
                // Greylisted: the client comes again within a quarter of an hour.
                self.no += 1;
                let (due, no) = (sample.0.at + 5 * MINUTE + self.random.below(10 * MINUTE), self.no);
                let again = sample.clone().with(|it| (it.at, it.id) = (due, samples::id(due, no)));
                self.later.insert((due, no), again.record());
                sample.refused(Stage::RcptTo, 451, "4.7.1 Greylisted, please try again in 300 seconds", Cause::Greylisted)
            }
            20..26 => {
                let to = format!("nobody{}@d{}.example", self.no, self.no % 400);
                sample.to(&[&to]).refused(Stage::RcptTo, 550, "5.1.1 User unknown", Cause::RecipientUnknown)
            }
            26..29 => sample.refused(Stage::RcptTo, 450, "4.3.2 Try again later", Cause::RemoteSystemError),
            29..31 if (9..17).contains(&hour) => {
                full(sample.0.at, self.random.below(3)).refused(Stage::RcptTo, 452, "4.2.2 Mailbox full", Cause::MailboxFull)
            }
            31..33 => sample.refused(Stage::EndOfData, 550, "5.7.1 Message rejected by policy", Cause::PolicyRejected),
            33 => sample.refused(Stage::EndOfData, 554, "5.7.1 Spam message rejected", Cause::SpamDetected),
            _ => sample,
        };
        made.push(made_of.record());
    }

    fn inbound(&mut self, from: WallMicros, made: &mut Vec<Record>) {
        for _ in 0..self.random.around(20 * self.world(from)) {
            let stranger = self.random.below(3_000);
            let client = self.strangers[stranger as usize].clone();
            let to = format!("u{}@our.example", self.random.below(PEOPLE));
            let behind = self.behind.clone();
            let sample = self.plain(from, &client).inbound().from(&format!("s{stranger}@far{}.example", stranger % 700)).to(&[&to]);
            let sample = sample.with(|it| it.upstream = behind);
            let sample = match self.random.below(100) {
                0..6 => sample.refused(Stage::EndOfData, 550, "5.7.1 Spam message rejected", Cause::SpamDetected),
                6..9 => {
                    let to = format!("old{}@our.example", self.random.below(500));
                    sample.to(&[&to]).refused(Stage::RcptTo, 550, "5.1.1 User unknown", Cause::RecipientUnknown)
                }
                9..11 => sample.refused(Stage::RcptTo, 451, "4.7.1 Greylisted", Cause::Greylisted),
                _ => sample,
            };
            made.push(sample.record());
        }
    }

    fn sessions(&mut self, from: WallMicros, made: &mut Vec<Record>) {
        // Monitoring looks every minute whether the port is open; the proxy looks whether the upstream works.
        for minute in 0..60 {
            self.no += 1;
            let mut look = samples::session(from + minute * MINUTE, self.no);
            look.client = samples::client("10.0.0.5");
            look.ended.commands = 0;
            made.push(Record::Session(Box::new(look)));
            let mut probe = samples::session(from + minute * MINUTE + 30 * SECOND, self.no);
            (probe.upstream, probe.ended.how, probe.ended.by) = (self.main.clone(), EndHow::Quit, Actor::Proxy);
            probe.flags.push(Flag::Synthetic);
            made.push(Record::Session(Box::new(probe)));
        }
        // The internet looks, too: now and then, and from everywhere.
        for _ in 0..self.random.around(8) {
            self.no += 1;
            let at = from + self.random.below(HOUR);
            let mut scan = samples::session(at, self.no);
            scan.client = samples::client(&format!("203.0.113.{}", self.random.below(250)));
            scan.listener = "inbound".to_owned();
            match self.random.below(3) {
                0 => scan.flags.push(Flag::ForeignProtocol),
                1 => scan.ended.commands = 0,
                _ => {
                    (scan.ended.by, scan.ended.how, scan.ended.stage) = (Actor::Proxy, EndHow::Refused, Stage::Connect);
                    let reply = samples::reply(554, "relayscope: this client is not allowed to send mail here");
                    scan.outcome = Some(Outcome::of(State::Aborted, Stage::Connect, Actor::Proxy, Some(reply), None));
                }
            }
            made.push(Record::Session(Box::new(scan)));
        }
        // Somebody mistypes a password.
        if (8..18).contains(&(from / HOUR % 24)) && self.random.below(3) == 0 {
            self.no += 1;
            let at = from + self.random.below(HOUR);
            let mut session = samples::session(at, self.no);
            session.client = self.people[self.random.below(PEOPLE) as usize].clone();
            let reply = samples::reply(535, "5.7.8 Authentication failed");
            let client: &mut Kept<Client> = Arc::make_mut(&mut session.client);
            if let Some(auth) = &mut client.auth {
                (auth.outcome, auth.reply) = ("failed".to_owned(), Some(reply.clone()));
            }
            let outcome = Outcome::of(State::Aborted, Stage::Auth, Actor::Upstream, Some(reply), None);
            session.outcome = Some(Outcome { cause: Some(Cause::AuthFailed), ..outcome });
            (session.ended.stage, session.ended.how, session.upstream) = (Stage::Auth, EndHow::AuthFailure, self.main.clone());
            made.push(Record::Session(Box::new(session)));
        }
    }
}

/// When a record was made: at the end of what it tells of.
pub fn end(record: &Record) -> WallMicros {
    match record {
        Record::Transaction(it) => it.at + it.duration_us,
        Record::Session(it) => it.at + it.duration_us,
        Record::Gap(it) => it.until,
        Record::Audit(it) => it.at,
        Record::Amendment(it) => it.at,
        Record::Mark(it) => it.at,
        Record::Log(it) => it.at,
        Record::Incident(it) => it.at,
    }
}
