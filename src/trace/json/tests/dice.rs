//! Arbitrary records.

use std::net::IpAddr;
use std::sync::Arc;

use crate::trace::kinds::{
    AboutKind, Act, Action, Actor, Anomaly, AuditEvent, Cause, Circuit, Direction, Dnssec, EndHow, Flag, Flow, IncidentStep, Leg, LogEvent,
    LookupOutcome, ReportKind, Severity, Stage, State, Told, UpstreamKind, ViaHow,
};
use crate::trace::{self, RecordId, record};

/// Turns arbitrary octets into a record: every field drawn, every option sometimes absent.
pub struct Dice<'a>(pub &'a [u8]);

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
            cause: self.maybe(|dice| dice.of(Cause::ALL)),
            act: self.maybe(|dice| dice.of(Act::ALL)),
            advice: self.maybe(Self::text),
            rule: self.maybe(Self::text),
            rules_version: self.maybe(Self::text),
            upstream_queue_id: self.maybe(Self::text),
            detail: self.maybe(Self::text),
            provider: self.maybe(Self::text),
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
            provider: self.maybe(Self::text),
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
                cause: dice.maybe(|dice| dice.of(Cause::ALL)),
                act: dice.maybe(|dice| dice.of(Act::ALL)),
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
            report: self.maybe(|dice| Box::new(dice.report())),
            signatures: self.some(|dice| record::Signature { domain: dice.text(), selector: dice.text() }),
        }
    }

    fn amended(&mut self) -> record::AmendedRecipient {
        record::AmendedRecipient {
            place: self.number() as u32,
            cause: self.maybe(|dice| dice.of(Cause::ALL)),
            act: self.maybe(|dice| dice.of(Act::ALL)),
            rule: self.maybe(Self::text),
        }
    }

    fn report(&mut self) -> record::Report {
        record::Report {
            kind: self.of(ReportKind::ALL),
            format: self.text(),
            reporting_mta: self.maybe(Self::text),
            original_message_id: self.maybe(Self::text),
            original_subject: self.maybe(Self::text),
            original_from: self.maybe(Self::text),
            original_to: self.maybe(Self::text),
            envid: self.maybe(Self::text),
            queue_id: self.maybe(Self::text),
            arrival: self.maybe(Self::text),
            recipients: self.some(|dice| record::Reported {
                address: dice.text(),
                original: dice.maybe(Self::text),
                action: dice.of(Action::ALL),
                status: dice.maybe(|dice| (dice.octet(), dice.number() as u16, dice.number() as u16)),
                reply_code: dice.maybe(|dice| dice.number() as u16),
                text: dice.maybe(Self::text),
                remote_mta: dice.maybe(Self::text),
                last_attempt: dice.maybe(Self::text),
                will_retry_until: dice.maybe(Self::text),
                cause: dice.maybe(|dice| dice.of(Cause::ALL)),
                act: dice.maybe(|dice| dice.of(Act::ALL)),
                rule: dice.maybe(Self::text),
                provider: dice.maybe(Self::text),
            }),
            recipients_cut: self.number() as u32,
            cut: self.octet() > 7,
        }
    }

    fn log(&mut self) -> record::Log {
        record::Log {
            id: self.id(),
            at: self.number(),
            format: self.text(),
            host: self.maybe(Self::text),
            event: self.of(LogEvent::ALL),
            queue_id: self.maybe(Self::text),
            next_queue_id: self.maybe(Self::text),
            message_id: self.maybe(Self::text),
            reverse_path: self.maybe(Self::text),
            recipient: self.maybe(Self::text),
            original_recipient: self.maybe(Self::text),
            subject: self.maybe(Self::text),
            size: self.maybe(Self::number),
            client_host: self.maybe(Self::text),
            client_ip: self.maybe(Self::ip),
            relay_host: self.maybe(Self::text),
            relay_ip: self.maybe(Self::ip),
            relay_port: self.maybe(|dice| dice.number() as u16),
            delay_us: self.maybe(Self::number),
            reply: self.maybe(Self::reply),
            detail: self.maybe(Self::text),
            outcome: self.maybe(Self::outcome),
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

    pub fn timeline(&mut self) -> trace::Timeline {
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

    fn incident(&mut self) -> record::Incident {
        record::Incident {
            id: self.id(),
            incident: self.id(),
            step: self.of(IncidentStep::ALL),
            at: self.number(),
            origin: self.origin(),
            anomaly: self.of(Anomaly::ALL),
            severity: self.of(Severity::ALL),
            about: self.some(|dice| record::About { kind: dice.of(AboutKind::ALL), value: dice.text() }),
            summary: self.text(),
            arithmetic: self.text(),
            baseline: self.maybe(Self::text),
            cause: self.maybe(|dice| dice.of(Cause::ALL)),
            act: self.of(Act::ALL),
            advice: self.text(),
            since: self.number(),
            last: self.number(),
            count: self.number(),
            samples: self.some(Self::id),
            change: self.maybe(|dice| record::Change {
                what: dice.text(),
                before: dice.text(),
                after: dice.text(),
                last_before: dice.maybe(Self::number),
            }),
            part_of: self.maybe(Self::id),
            mute: self.maybe(|dice| record::Mute { who: dice.text(), until: dice.number() }),
            who: self.maybe(Self::text),
            note: self.maybe(Self::text),
        }
    }

    pub fn record(&mut self) -> trace::Record {
        match self.octet() % 8 {
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
                recipients: self.some(Self::amended),
                reported: self.some(Self::amended),
            })),
            3 => trace::Record::Gap(record::Gap {
                id: self.id(),
                from: self.number(),
                until: self.number(),
                records_lost: self.number(),
                why: self.text(),
            }),
            4 => trace::Record::Log(Box::new(self.log())),
            5 => trace::Record::Audit(Box::new(record::Audit {
                id: self.id(),
                at: self.number(),
                origin: self.origin(),
                event: self.of(AuditEvent::ALL),
                who: self.maybe(Self::text),
                since: self.maybe(Self::number),
                detail: self.maybe(Self::text),
            })),
            6 => trace::Record::Incident(Box::new(self.incident())),
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
                message: self.maybe(Self::message).map(Box::new),
            })),
        }
    }
}
