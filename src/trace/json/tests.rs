//! Any record becomes JSON that the schema in the repository accepts, that has no null, and that reads back as itself.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::{Record, Time, schema};
use crate::trace::kinds::{
    Act, Actor, Circuit, Direction, Dnssec, EndHow, Flag, Flow, Leg, LookupOutcome, Stage, State, Told, UpstreamKind, ViaHow,
};
use crate::trace::{self, RecordId, record};

/// Turns arbitrary octets into a record: every field drawn, every option sometimes absent.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn octet(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        let width = self.octet() % 9;
        (0..width).fold(0, |number, _| number << 8 | u64::from(self.octet()))
    }

    fn text(&mut self) -> String {
        const ODD: [&str; 10] = ["", "\u{1b}[2J", "\r\n", "\u{202e}", "a@b.example", "\"", "\\", "ü", "\0", "\u{10ffff}"];
        (0..self.octet() % 4).map(|_| ODD[usize::from(self.octet()) % ODD.len()]).collect()
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.octet()) % all.len()]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.octet() % 2 == 1).then(|| make(self))
    }

    fn some<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.octet() % 4).map(|_| make(self)).collect()
    }

    fn id(&mut self) -> RecordId {
        RecordId::from_parts(self.number(), u128::from(self.number()))
    }

    fn ip(&mut self) -> IpAddr {
        let bits = self.number();
        if bits.is_multiple_of(2) { IpAddr::V4((bits as u32).into()) } else { IpAddr::V6(u128::from(bits).into()) }
    }

    fn reply(&mut self) -> record::Reply {
        record::Reply {
            code: self.number() as u16,
            enhanced: self.maybe(|dice| (dice.octet(), dice.number() as u16, dice.number() as u16)),
            lines: self.some(Self::text),
        }
    }

    fn outcome(&mut self) -> record::Outcome {
        record::Outcome {
            state: self.of(State::ALL),
            stage: self.of(Stage::ALL),
            by: self.of(Actor::ALL),
            reply: self.maybe(Self::reply),
            cause: self.maybe(Self::text),
            act: self.maybe(|dice| dice.of(Act::ALL)),
            advice: self.maybe(Self::text),
            rule: self.maybe(Self::text),
            rules_version: self.maybe(Self::text),
            upstream_queue_id: self.maybe(Self::text),
            detail: self.maybe(Self::text),
        }
    }

    fn tls(&mut self) -> record::Tls {
        record::Tls {
            version: self.text(),
            cipher: self.text(),
            sni: self.maybe(Self::text),
            subject: self.maybe(Self::text),
            issuer: self.maybe(Self::text),
            expires_at: self.maybe(Self::number),
            verified: self.maybe(|dice| dice.octet() > 7),
            why_not: self.maybe(Self::text),
        }
    }

    fn auth(&mut self) -> record::Auth {
        record::Auth { mechanism: self.text(), user: self.maybe(Self::text), outcome: self.text(), reply: self.maybe(Self::reply) }
    }

    fn client(&mut self) -> record::Client {
        record::Client {
            ip: self.ip(),
            port: self.number() as u16,
            helo: self.maybe(Self::text),
            tls: self.maybe(Self::tls),
            auth: self.maybe(Self::auth),
            via: self.maybe(|dice| {
                Box::new(record::Via {
                    how: dice.of(ViaHow::ALL),
                    ip: dice.maybe(Self::ip),
                    port: dice.maybe(|dice| dice.number() as u16),
                    destination: dice.maybe(|dice| (dice.ip(), dice.number() as u16).into()),
                    unique_id: dice.maybe(Self::text),
                    authority: dice.maybe(Self::text),
                    tls: dice.maybe(Self::text),
                    more: dice.number() as u32,
                })
            }),
        }
    }

    fn upstream(&mut self) -> record::Upstream {
        record::Upstream {
            name: self.text(),
            host: self.maybe(Self::text),
            ip: self.maybe(Self::ip),
            port: self.maybe(|dice| dice.number() as u16),
            mx_preference: self.maybe(|dice| dice.number() as u16),
            banner: self.maybe(Self::text),
            software: self.maybe(Self::text),
            offered: self.some(Self::text),
            hidden: self.some(|dice| record::Hidden { keyword: dice.text(), why: dice.text() }),
            tls: self.maybe(Self::tls),
            auth: self.maybe(Self::auth),
            tried: self.some(|dice| record::Tried {
                host: dice.text(),
                ip: dice.maybe(Self::ip),
                port: dice.number() as u16,
                stage: dice.of(Stage::ALL),
                error: dice.text(),
                at_us: dice.number(),
            }),
            dns: self.maybe(|dice| record::Dns { name: dice.text(), addresses: dice.some(Self::ip) }),
            kind: self.of(UpstreamKind::ALL),
            lookups: self.some(|dice| record::Lookup {
                name: dice.text(),
                query: dice.text(),
                outcome: dice.of(LookupOutcome::ALL),
                why: dice.maybe(Self::text),
                answers: dice.some(|dice| record::Answer { kind: dice.text(), ttl: dice.number() as u32, data: dice.text() }),
                answers_cut: dice.number() as u32,
                server: dice.maybe(Self::text),
                dnssec: dice.maybe(|dice| dice.of(Dnssec::ALL)),
                at_us: dice.number(),
                took_us: dice.number(),
            }),
            tls_policy: self.maybe(|dice| record::TlsPolicy {
                policy: dice.text(),
                source: dice.text(),
                verified_by: dice.maybe(Self::text),
            }),
            choice: self.maybe(Self::text),
            circuit: self.maybe(|dice| dice.of(Circuit::ALL)),
            told: self.maybe(|dice| dice.of(Told::ALL)),
            spliced: self.maybe(|dice| record::Spliced {
                client_octets: dice.number(),
                upstream_octets: dice.number(),
                starttls_at_us: dice.maybe(Self::number),
                alpn: dice.some(Self::text),
            }),
        }
    }

    fn envelope(&mut self) -> record::Envelope {
        record::Envelope {
            reverse_path: self.text(),
            params: self.some(Self::text),
            size_declared: self.maybe(Self::number),
            envid: self.maybe(Self::text),
            reply: self.maybe(Self::reply),
            recipients: self.some(|dice| record::Recipient {
                address: dice.text(),
                params: dice.some(Self::text),
                orcpt: dice.maybe(Self::text),
                reply: dice.maybe(Self::reply),
                stage: dice.of(Stage::ALL),
                by: dice.of(Actor::ALL),
                state: dice.of(State::ALL),
                cause: dice.maybe(Self::text),
                rule: dice.maybe(Self::text),
            }),
            recipients_cut: self.number() as u32,
        }
    }

    fn message(&mut self) -> record::Message {
        record::Message {
            message_id: self.maybe(Self::text),
            subject: self.maybe(Self::text),
            from: self.maybe(Self::text),
            to: self.maybe(Self::text),
            date: self.maybe(Self::text),
            in_reply_to: self.maybe(Self::text),
            auto_submitted: self.maybe(Self::text),
            received_count: self.number() as u32,
            client_queue_id: self.maybe(Self::text),
            size: self.number(),
            header_digest: self.maybe(Self::digest),
            body_digest: self.maybe(Self::digest),
            bare_newlines: self.number() as u32,
        }
    }

    fn phases(&mut self) -> record::Phases {
        record::Phases {
            dns_us: self.maybe(Self::number),
            connect_us: self.maybe(Self::number),
            banner_us: self.maybe(Self::number),
            tls_us: self.maybe(Self::number),
            auth_us: self.maybe(Self::number),
            mail_from_us: self.maybe(Self::number),
            rcpt_to_us: self.maybe(Self::number),
            data_us: self.maybe(Self::number),
            body_us: self.maybe(Self::number),
            end_of_data_us: self.maybe(Self::number),
        }
    }

    fn digest(&mut self) -> trace::Digest {
        trace::Digest(std::array::from_fn(|_| self.octet()))
    }

    fn timeline(&mut self) -> trace::Timeline {
        let mut timeline = trace::Timeline::default();
        for _ in 0..self.octet() % 4 {
            let (t_us, leg, text) = (self.number(), self.of(Leg::ALL), self.text());
            match self.octet() % 2 {
                0 => timeline.push(t_us, leg, self.of(Flow::ALL), &text),
                _ => timeline.push_relayed(t_us, leg, &text),
            }
        }
        timeline.cut = self.number() as u32;
        timeline
    }

    fn origin(&mut self) -> Arc<trace::Kept<record::Origin>> {
        Arc::new(record::Origin { node: self.text(), proxy_version: self.text(), config_digest: self.text() }.into())
    }

    fn record(&mut self) -> trace::Record {
        match self.octet() % 5 {
            0 => trace::Record::Transaction(Box::new(record::Transaction {
                id: self.id(),
                session_id: self.id(),
                transaction_no: self.number() as u32,
                origin: self.origin(),
                route_rule: self.maybe(Self::text),
                at: self.number(),
                duration_us: self.number(),
                listener: self.text(),
                direction: self.of(Direction::ALL),
                client: Arc::new(self.client().into()),
                upstream: Arc::new(self.upstream().into()),
                envelope: self.envelope(),
                message: self.message(),
                phases: self.phases(),
                outcome: self.outcome(),
                flags: self.some(|dice| dice.of(Flag::ALL)),
                timeline: self.timeline(),
            })),
            1 => trace::Record::Session(Box::new(record::Session {
                id: self.id(),
                origin: self.origin(),
                route_rule: self.maybe(Self::text),
                at: self.number(),
                duration_us: self.number(),
                listener: self.text(),
                direction: self.of(Direction::ALL),
                client: Arc::new(self.client().into()),
                upstream: Arc::new(self.upstream().into()),
                phases: self.phases(),
                transactions: self.number() as u32,
                outcome: self.maybe(Self::outcome),
                ended: record::Ended {
                    by: self.of(Actor::ALL),
                    stage: self.of(Stage::ALL),
                    how: self.of(EndHow::ALL),
                    commands: self.number() as u32,
                    detail: self.maybe(Self::text),
                },
                flags: self.some(|dice| dice.of(Flag::ALL)),
                timeline: self.timeline(),
            })),
            2 => trace::Record::Amendment(Box::new(record::Amendment {
                id: self.id(),
                of: self.id(),
                at: self.number(),
                outcome: self.outcome(),
                flags: self.some(|dice| dice.of(Flag::ALL)),
            })),
            3 => trace::Record::Gap(record::Gap {
                id: self.id(),
                from: self.number(),
                until: self.number(),
                records_lost: self.number(),
                why: self.text(),
            }),
            _ => trace::Record::Mark(Box::new(record::Mark {
                id: self.id(),
                session_id: self.id(),
                transaction_no: self.number() as u32,
                origin: self.origin(),
                at: self.number(),
                listener: self.text(),
                direction: self.of(Direction::ALL),
                client: Arc::new(self.client().into()),
                upstream: Arc::new(self.upstream().into()),
                envelope: self.envelope(),
            })),
        }
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(values) => values.values().any(has_null),
        _ => false,
    }
}

fn schema_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/record.schema.json")
}

/// `RELAYSCOPE_BLESS=1 cargo test` writes the file anew.
#[test]
fn schema_in_the_repository_is_current() {
    let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("RELAYSCOPE_BLESS").is_some() {
        std::fs::write(schema_file(), &current).unwrap();
    }
    let written = std::fs::read_to_string(schema_file()).unwrap();
    assert!(written == current, "config/record.schema.json is not what the types say: run RELAYSCOPE_BLESS=1 cargo test schema");
}

#[test]
fn schema_refuses_what_is_not_a_record() {
    let validator = jsonschema::validator_for(schema().as_value()).unwrap();
    let good = Record::from(&Dice(&[3]).record());
    let good = serde_json::to_value(good).unwrap();
    assert!(validator.is_valid(&good), "{good}");
    for (field, wrong) in [("v", 2.into()), ("kind", "transaction".into()), ("at", "yesterday".into()), ("why", Value::Null)] {
        let mut bad = good.clone();
        bad[field] = wrong;
        assert!(!validator.is_valid(&bad), "{field}: {bad}");
    }
}

#[test]
fn codes_are_numbers_and_times_have_six_digits() {
    let reply = record::Reply { code: 550, enhanced: Some((5, 1, 1)), lines: vec!["5.1.1 no".into()] };
    assert_eq!(serde_json::to_string(&super::Reply::from(&reply)).unwrap(), r#"{"code":550,"enhanced":"5.1.1","lines":["5.1.1 no"]}"#);
    assert_eq!(Time(1_763_892_131_000_000).to_string(), "2025-11-23T10:02:11.000000Z");
    assert_eq!(Time(u64::MAX).to_string(), "9999-12-30T22:00:00.999999Z");
}

proptest! {
    #[test]
    fn any_record_validates_and_reads_back(octets in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        static VALIDATOR: std::sync::LazyLock<jsonschema::Validator> =
            std::sync::LazyLock::new(|| jsonschema::validator_for(schema().as_value()).unwrap());
        let record = Record::from(&Dice(&octets).record());
        let value = serde_json::to_value(&record).unwrap();
        if let Some(error) = VALIDATOR.iter_errors(&value).next() {
            prop_assert!(false, "{error} at {} in {value}", error.instance_path());
        }
        prop_assert!(!has_null(&value));
        let back: Record = serde_json::from_value(value.clone()).unwrap();
        prop_assert_eq!(serde_json::to_value(&back).unwrap(), value);
    }

    /// The one thing that JSON can't say is a moment after the year 9999.
    #[test]
    fn any_record_comes_back_from_its_json(octets in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let before = Dice(&octets).record();
        let json = serde_json::to_string(&Record::from(&before)).unwrap();
        let after = trace::Record::try_from(super::read(json.as_bytes()).unwrap()).unwrap();
        prop_assert_eq!(kept_once(after), kept_once(before));
    }
}

/// Lines of the dialogue that stand for two are the same as the two.
fn kept_once(mut record: trace::Record) -> trace::Record {
    let again = |timeline: &mut trace::Timeline| *timeline = super::into::timeline(&super::from::lines(timeline), timeline.cut);
    let year_9999 = |at: &mut u64| *at = (*at).min(253_402_207_200_999_999);
    let tls = |it: &mut Option<record::Tls>| it.iter_mut().filter_map(|it| it.expires_at.as_mut()).for_each(year_9999);
    match &mut record {
        trace::Record::Transaction(it) => {
            again(&mut it.timeline);
            year_9999(&mut it.at);
            tls(&mut Arc::make_mut(&mut it.client).tls);
            tls(&mut Arc::make_mut(&mut it.upstream).tls);
        }
        trace::Record::Session(it) => {
            again(&mut it.timeline);
            year_9999(&mut it.at);
            tls(&mut Arc::make_mut(&mut it.client).tls);
            tls(&mut Arc::make_mut(&mut it.upstream).tls);
        }
        trace::Record::Amendment(it) => year_9999(&mut it.at),
        trace::Record::Gap(it) => [&mut it.from, &mut it.until].into_iter().for_each(year_9999),
        trace::Record::Mark(it) => {
            year_9999(&mut it.at);
            tls(&mut Arc::make_mut(&mut it.client).tls);
            tls(&mut Arc::make_mut(&mut it.upstream).tls);
        }
    }
    record
}
