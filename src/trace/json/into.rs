//! From the public shape back to the domain record: what [`super::from`] wrote is what comes back.
//!
//! A line of the dialogue that passed from one leg to the other unchanged is two lines in JSON, and is kept once again here.

use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use super::mirrored::Shown;
use super::{
    Auth, Client, Dns, Ended, Envelope, Gap, Hidden, Line, Mark, Message, Outcome, Phases, Recipient, Record, Reply, Session, Tls,
    Transaction, Tried, Upstream, Word,
};
use crate::trace::digest::{Digest, NotADigest};
use crate::trace::kinds::{Flag, Flow};
use crate::trace::{Kept, Timeline, record};

/// The shape is right and a value isn't.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{field}: {error}")]
pub struct NoRecord {
    pub field: &'static str,
    pub error: NotADigest,
}

impl TryFrom<Record> for record::Record {
    type Error = NoRecord;

    fn try_from(it: Record) -> Result<Self, NoRecord> {
        Ok(match it {
            Record::Transaction(it) => Self::Transaction(Box::new((*it).try_into()?)),
            Record::Session(it) => Self::Session(Box::new((*it).into())),
            Record::Amendment(it) => Self::Amendment(Box::new((*it).into())),
            Record::Gap(it) => Self::Gap((*it).into()),
            Record::Mark(it) => Self::Mark(Box::new((*it).try_into()?)),
            Record::Log(it) => Self::Log(Box::new((*it).into())),
            Record::Audit(it) => Self::Audit(Box::new((*it).into())),
            Record::Incident(it) => Self::Incident(Box::new((*it).into())),
        })
    }
}

impl TryFrom<Transaction> for record::Transaction {
    type Error = NoRecord;

    fn try_from(it: Transaction) -> Result<Self, NoRecord> {
        Ok(Self {
            id: it.id.0,
            session_id: it.session_id.0,
            transaction_no: it.transaction_no,
            origin: origin(it.node, it.proxy_version, it.config_digest),
            route_rule: it.route_rule,
            at: it.at.0,
            duration_us: it.duration_us,
            listener: it.listener,
            direction: it.direction.0,
            client: kept(it.client.into()),
            upstream: kept(it.upstream.into()),
            envelope: it.envelope.into(),
            message: it.message.try_into()?,
            phases: it.phases.into(),
            outcome: it.outcome.into(),
            flags: flags(it.flags),
            timeline: timeline(&it.timeline, it.timeline_cut, it.timeline_dropped),
        })
    }
}

impl From<Session> for record::Session {
    fn from(it: Session) -> Self {
        Self {
            id: it.id.0,
            origin: origin(it.node, it.proxy_version, it.config_digest),
            route_rule: it.route_rule,
            at: it.at.0,
            duration_us: it.duration_us,
            listener: it.listener,
            direction: it.direction.0,
            client: kept(it.client.into()),
            upstream: kept(it.upstream.into()),
            phases: it.phases.into(),
            transactions: it.transactions,
            outcome: it.outcome.map(Into::into),
            ended: it.ended.into(),
            flags: flags(it.flags),
            timeline: timeline(&it.timeline, it.timeline_cut, it.timeline_dropped),
        }
    }
}

impl From<Gap> for record::Gap {
    fn from(it: Gap) -> Self {
        Self { id: it.id.0, from: it.at.0, until: it.until.0, records_lost: it.records_lost, why: it.why }
    }
}

impl TryFrom<Mark> for record::Mark {
    type Error = NoRecord;

    fn try_from(it: Mark) -> Result<Self, NoRecord> {
        Ok(Self {
            id: it.id.0,
            session_id: it.session_id.0,
            transaction_no: it.transaction_no,
            origin: origin(it.node, it.proxy_version, it.config_digest),
            at: it.at.0,
            listener: it.listener,
            direction: it.direction.0,
            client: kept(it.client.into()),
            upstream: kept(it.upstream.into()),
            envelope: it.envelope.into(),
            message: it.message.map(|message| (*message).try_into().map(Box::new)).transpose()?,
        })
    }
}

impl From<Client> for record::Client {
    fn from(it: Client) -> Self {
        Self {
            ip: it.ip,
            port: it.port,
            helo: it.helo,
            tls: it.tls.map(Into::into),
            auth: it.auth.map(Into::into),
            via: it.via.map(|via| Box::new(via.into())),
        }
    }
}

impl From<Upstream> for record::Upstream {
    fn from(it: Upstream) -> Self {
        Self {
            name: it.name,
            host: it.host,
            ip: it.ip,
            port: it.port,
            mx_preference: it.mx_preference,
            banner: it.banner,
            software: it.software,
            offered: it.offered,
            hidden: it.hidden.into_iter().map(|Hidden { keyword, why }| record::Hidden { keyword, why }).collect(),
            tls: it.tls.map(Into::into),
            auth: it.auth.map(Into::into),
            tried: it.tried.into_iter().map(Into::into).collect(),
            dns: it.dns.map(|Dns { name, addresses }: Dns| record::Dns { name, addresses }),
            kind: it.kind.map(|kind| kind.0).unwrap_or_default(),
            lookups: it.lookups.into_iter().map(Into::into).collect(),
            tls_policy: it.tls_policy.map(Into::into),
            choice: it.choice,
            circuit: it.circuit.map(|circuit| circuit.0),
            told: it.told.map(|told| told.0),
            spliced: it.spliced.map(Into::into),
            provider: it.provider,
        }
    }
}

impl From<Tried> for record::Tried {
    fn from(it: Tried) -> Self {
        let ip: Option<IpAddr> = it.ip;
        Self { host: it.host, ip, port: it.port, stage: it.stage.0, error: it.error, at_us: it.at_us }
    }
}

impl From<Tls> for record::Tls {
    fn from(it: Tls) -> Self {
        Self {
            version: it.version,
            cipher: it.cipher,
            sni: it.sni,
            subject: it.subject,
            issuer: it.issuer,
            expires_at: it.expires_at.map(|at| at.0),
            verified: it.verified,
            why_not: it.why_not,
        }
    }
}

impl From<Auth> for record::Auth {
    fn from(it: Auth) -> Self {
        Self { mechanism: it.mechanism, user: it.user, outcome: it.outcome, reply: it.reply.map(Into::into) }
    }
}

impl From<Envelope> for record::Envelope {
    fn from(it: Envelope) -> Self {
        Self {
            reverse_path: it.reverse_path,
            params: it.params,
            size_declared: it.size_declared,
            envid: it.envid,
            reply: it.reply.map(Into::into),
            recipients: it.recipients.into_iter().map(Into::into).collect(),
            recipients_cut: it.recipients_cut,
        }
    }
}

impl From<Recipient> for record::Recipient {
    /// The domain is part of the address.
    fn from(it: Recipient) -> Self {
        Self {
            address: it.address,
            params: it.params,
            orcpt: it.orcpt,
            reply: it.reply.map(Into::into),
            stage: it.stage.0,
            by: it.by.0,
            state: it.state.0,
            cause: it.cause.map(|it| it.0),
            act: it.act.map(|it| it.0),
            rule: it.rule,
        }
    }
}

impl TryFrom<Message> for record::Message {
    type Error = NoRecord;

    fn try_from(it: Message) -> Result<Self, NoRecord> {
        Ok(Self {
            message_id: it.message_id,
            subject: it.subject,
            from: it.from,
            to: it.to,
            date: it.date,
            in_reply_to: it.in_reply_to,
            auto_submitted: it.auto_submitted,
            received_count: it.received_count,
            client_queue_id: it.client_queue_id,
            size: it.size,
            header_digest: digest("message.header_digest", it.header_digest)?,
            body_digest: digest("message.body_digest", it.body_digest)?,
            bare_newlines: it.bare_newlines,
            report: it.report.map(|report| Box::new(report.into())),
            signatures: it.signatures.kept(),
        })
    }
}

impl From<Phases> for record::Phases {
    fn from(it: Phases) -> Self {
        Self {
            dns_us: it.dns_us,
            connect_us: it.connect_us,
            banner_us: it.banner_us,
            tls_us: it.tls_us,
            auth_us: it.auth_us,
            mail_from_us: it.mail_from_us,
            rcpt_to_us: it.rcpt_to_us,
            data_us: it.data_us,
            body_us: it.body_us,
            end_of_data_us: it.end_of_data_us,
        }
    }
}

impl From<Reply> for record::Reply {
    fn from(it: Reply) -> Self {
        Self { code: it.code, enhanced: it.enhanced.map(|it| it.0), lines: it.lines }
    }
}

impl From<Outcome> for record::Outcome {
    fn from(it: Outcome) -> Self {
        Self {
            state: it.state.0,
            stage: it.stage.0,
            by: it.by.0,
            reply: it.reply.map(Into::into),
            cause: it.cause.map(|it| it.0),
            act: it.act.map(|it| it.0),
            advice: it.advice,
            rule: it.rule,
            rules_version: it.rules_version,
            upstream_queue_id: it.upstream_queue_id,
            detail: it.detail,
            provider: it.provider,
        }
    }
}

impl From<Ended> for record::Ended {
    fn from(it: Ended) -> Self {
        Self { by: it.by.0, stage: it.stage.0, how: it.how.0, commands: it.commands, detail: it.detail }
    }
}

fn origin(node: String, proxy_version: String, config_digest: String) -> Arc<Kept<record::Origin>> {
    kept(record::Origin { node, proxy_version, config_digest })
}

fn kept<T>(value: T) -> Arc<Kept<T>> {
    Arc::new(Kept::new(value))
}

fn flags(flags: Vec<Word<Flag>>) -> Vec<Flag> {
    flags.into_iter().map(|flag| flag.0).collect()
}

fn digest(field: &'static str, text: Option<String>) -> Result<Option<Digest>, NoRecord> {
    text.map(|text| text.parse().map_err(|error| NoRecord { field, error })).transpose()
}

pub(super) fn timeline(lines: &[Line], cut: u32, dropped: bool) -> Timeline {
    let mut timeline = if dropped && lines.is_empty() { Timeline::dropped() } else { Timeline::default() };
    let mut rest = lines;
    while let Some((line, behind)) = rest.split_first() {
        let passed_on = |next: &&Line| {
            line.dir.0 == Flow::In
                && next.dir.0 == Flow::Out
                && next.leg.0 != line.leg.0
                && next.t_us == line.t_us
                && next.text == line.text
        };
        rest = match behind.first().filter(passed_on) {
            Some(_) => {
                timeline.push_relayed(line.t_us, line.leg.0, &line.text);
                behind.get(1..).unwrap_or_default()
            }
            None => {
                timeline.push(line.t_us, line.leg.0, line.dir.0, &line.text);
                behind
            }
        };
    }
    timeline.cut = cut;
    timeline
}
