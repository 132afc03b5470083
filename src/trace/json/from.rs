//! From the domain record to its public shape: references resolved, numbers named, empty things left out.

use super::mirrored::Shown;
use super::{
    Auth, Client, Dns, Ended, Enhanced, Envelope, Gap, Hidden, Id, Line, Mark, Message, Outcome, Phases, Recipient, Record, Reply, Session,
    Time, Tls, Transaction, Tried, Upstream, Version, Word,
};
use crate::trace::{RecordKind, Timeline, UpstreamKind, kinds::Flag, record};

impl From<&record::Record> for Record {
    fn from(record: &record::Record) -> Self {
        match record {
            record::Record::Transaction(it) => Self::Transaction(Box::new(it.as_ref().into())),
            record::Record::Session(it) => Self::Session(Box::new(it.as_ref().into())),
            record::Record::Amendment(it) => Self::Amendment(Box::new(it.as_ref().into())),
            record::Record::Gap(it) => Self::Gap(Box::new(it.into())),
            record::Record::Mark(it) => Self::Mark(Box::new(it.as_ref().into())),
            record::Record::Log(it) => Self::Log(Box::new(it.as_ref().into())),
            record::Record::Audit(it) => Self::Audit(Box::new(it.as_ref().into())),
            record::Record::Incident(it) => Self::Incident(Box::new(it.as_ref().into())),
        }
    }
}

impl From<&record::Transaction> for Transaction {
    fn from(it: &record::Transaction) -> Self {
        Self::of(it, (&**it.client).into(), (&**it.upstream).into())
    }
}

impl From<&record::Session> for Session {
    fn from(it: &record::Session) -> Self {
        Self::of(it, (&**it.client).into(), (&**it.upstream).into())
    }
}

impl<'a, C, U, S: From<&'a str>> Transaction<C, U, S> {
    /// With the client and the upstream as they are given.
    pub fn of(it: &'a record::Transaction, client: C, upstream: U) -> Self {
        Self {
            v: Version,
            id: Id(it.id),
            kind: Word(RecordKind::Transaction),
            session_id: Id(it.session_id),
            transaction_no: it.transaction_no,
            node: it.origin.node.as_str().into(),
            proxy_version: it.origin.proxy_version.as_str().into(),
            config_digest: it.origin.config_digest.as_str().into(),
            route_rule: text(&it.route_rule),
            at: Time(it.at),
            duration_us: it.duration_us,
            listener: it.listener.as_str().into(),
            direction: Word(it.direction),
            client,
            upstream,
            envelope: (&it.envelope).into(),
            message: (&it.message).into(),
            phases: (&it.phases).into(),
            outcome: (&it.outcome).into(),
            flags: flags(&it.flags),
            timeline: lines(&it.timeline),
            timeline_cut: it.timeline.cut,
            timeline_dropped: it.timeline.is_dropped(),
        }
    }
}

impl<'a, C, U, S: From<&'a str>> Session<C, U, S> {
    /// With the client and the upstream as they are given.
    pub fn of(it: &'a record::Session, client: C, upstream: U) -> Self {
        Self {
            v: Version,
            id: Id(it.id),
            kind: Word(RecordKind::Session),
            session_id: Id(it.id),
            node: it.origin.node.as_str().into(),
            proxy_version: it.origin.proxy_version.as_str().into(),
            config_digest: it.origin.config_digest.as_str().into(),
            route_rule: text(&it.route_rule),
            at: Time(it.at),
            duration_us: it.duration_us,
            listener: it.listener.as_str().into(),
            direction: Word(it.direction),
            client,
            upstream,
            phases: (&it.phases).into(),
            transactions: it.transactions,
            outcome: it.outcome.as_ref().map(Into::into),
            ended: (&it.ended).into(),
            flags: flags(&it.flags),
            timeline: lines(&it.timeline),
            timeline_cut: it.timeline.cut,
            timeline_dropped: it.timeline.is_dropped(),
        }
    }
}

impl From<&record::Gap> for Gap {
    fn from(it: &record::Gap) -> Self {
        Self {
            v: Version,
            id: Id(it.id),
            kind: Word(RecordKind::Gap),
            at: Time(it.from),
            until: Time(it.until),
            records_lost: it.records_lost,
            why: it.why.clone(),
        }
    }
}

impl From<&record::Mark> for Mark {
    fn from(it: &record::Mark) -> Self {
        Self {
            v: Version,
            id: Id(it.id),
            kind: Word(RecordKind::Mark),
            session_id: Id(it.session_id),
            transaction_no: it.transaction_no,
            node: it.origin.node.clone(),
            proxy_version: it.origin.proxy_version.clone(),
            config_digest: it.origin.config_digest.clone(),
            at: Time(it.at),
            listener: it.listener.clone(),
            direction: Word(it.direction),
            client: (&**it.client).into(),
            upstream: (&**it.upstream).into(),
            envelope: (&it.envelope).into(),
            message: it.message.as_deref().map(|message| Box::new(message.into())),
        }
    }
}

impl From<&record::Client> for Client {
    fn from(it: &record::Client) -> Self {
        Self {
            ip: it.ip,
            port: it.port,
            helo: it.helo.clone(),
            tls: it.tls.as_ref().map(Into::into),
            auth: it.auth.as_ref().map(Into::into),
            via: it.via.as_deref().map(Into::into),
        }
    }
}

impl From<&record::Upstream> for Upstream {
    fn from(it: &record::Upstream) -> Self {
        Self {
            name: it.name.clone(),
            host: it.host.clone(),
            ip: it.ip,
            port: it.port,
            mx_preference: it.mx_preference,
            banner: it.banner.clone(),
            software: it.software.clone(),
            offered: it.offered.clone(),
            hidden: it.hidden.iter().map(|it| Hidden { keyword: it.keyword.clone(), why: it.why.clone() }).collect(),
            tls: it.tls.as_ref().map(Into::into),
            auth: it.auth.as_ref().map(Into::into),
            tried: it.tried.iter().map(Into::into).collect(),
            dns: it.dns.as_ref().map(|it| Dns { name: it.name.clone(), addresses: it.addresses.clone() }),
            kind: (it.kind != UpstreamKind::SmartHost).then_some(Word(it.kind)),
            lookups: it.lookups.iter().map(Into::into).collect(),
            tls_policy: it.tls_policy.as_ref().map(Into::into),
            choice: it.choice.clone(),
            circuit: it.circuit.map(Word),
            told: it.told.map(Word),
            spliced: it.spliced.as_ref().map(Into::into),
            provider: it.provider.clone(),
        }
    }
}

impl From<&record::Tried> for Tried {
    fn from(it: &record::Tried) -> Self {
        Self { host: it.host.clone(), ip: it.ip, port: it.port, stage: Word(it.stage), error: it.error.clone(), at_us: it.at_us }
    }
}

impl From<&record::Tls> for Tls {
    fn from(it: &record::Tls) -> Self {
        Self {
            version: it.version.clone(),
            cipher: it.cipher.clone(),
            sni: it.sni.clone(),
            subject: it.subject.clone(),
            issuer: it.issuer.clone(),
            expires_at: it.expires_at.map(Time),
            verified: it.verified,
            why_not: it.why_not.clone(),
        }
    }
}

impl From<&record::Auth> for Auth {
    fn from(it: &record::Auth) -> Self {
        Self {
            mechanism: it.mechanism.clone(),
            user: it.user.clone(),
            outcome: it.outcome.clone(),
            reply: it.reply.as_ref().map(Into::into),
        }
    }
}

impl<'a, S: From<&'a str>> From<&'a record::Envelope> for Envelope<S> {
    fn from(it: &'a record::Envelope) -> Self {
        Self {
            reverse_path: it.reverse_path.as_str().into(),
            params: texts(&it.params),
            size_declared: it.size_declared,
            envid: text(&it.envid),
            reply: it.reply.as_ref().map(Into::into),
            recipients: it.recipients.iter().map(Into::into).collect(),
            recipients_cut: it.recipients_cut,
        }
    }
}

impl<'a, S: From<&'a str>> From<&'a record::Recipient> for Recipient<S> {
    fn from(it: &'a record::Recipient) -> Self {
        Self {
            address: it.address.as_str().into(),
            domain: it.address.rsplit_once('@').map(|(_, domain)| domain.into()),
            params: texts(&it.params),
            orcpt: text(&it.orcpt),
            reply: it.reply.as_ref().map(Into::into),
            stage: Word(it.stage),
            by: Word(it.by),
            state: Word(it.state),
            cause: it.cause.map(Word),
            act: it.act.map(Word),
            rule: text(&it.rule),
        }
    }
}

impl<'a, S: From<&'a str>> From<&'a record::Message> for Message<S> {
    fn from(it: &'a record::Message) -> Self {
        Self {
            message_id: text(&it.message_id),
            subject: text(&it.subject),
            from: text(&it.from),
            to: text(&it.to),
            date: text(&it.date),
            in_reply_to: text(&it.in_reply_to),
            auto_submitted: text(&it.auto_submitted),
            received_count: it.received_count,
            client_queue_id: text(&it.client_queue_id),
            size: it.size,
            header_digest: it.header_digest.map(|digest| digest.to_string()),
            body_digest: it.body_digest.map(|digest| digest.to_string()),
            bare_newlines: it.bare_newlines,
            report: it.report.as_deref().map(Into::into),
            signatures: Shown::shown(&it.signatures),
        }
    }
}

impl From<&record::Phases> for Phases {
    fn from(it: &record::Phases) -> Self {
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

impl<'a, S: From<&'a str>> From<&'a record::Reply> for Reply<S> {
    fn from(it: &'a record::Reply) -> Self {
        Self { code: it.code, enhanced: it.enhanced.map(Enhanced), lines: texts(&it.lines) }
    }
}

impl<'a, S: From<&'a str>> From<&'a record::Outcome> for Outcome<S> {
    fn from(it: &'a record::Outcome) -> Self {
        Self {
            state: Word(it.state),
            stage: Word(it.stage),
            by: Word(it.by),
            reply: it.reply.as_ref().map(Into::into),
            cause: it.cause.map(Word),
            act: it.act.map(Word),
            advice: text(&it.advice),
            rule: text(&it.rule),
            rules_version: text(&it.rules_version),
            upstream_queue_id: text(&it.upstream_queue_id),
            detail: text(&it.detail),
            provider: text(&it.provider),
        }
    }
}

impl<'a, S: From<&'a str>> From<&'a record::Ended> for Ended<S> {
    fn from(it: &'a record::Ended) -> Self {
        Self { by: Word(it.by), stage: Word(it.stage), how: Word(it.how), commands: it.commands, detail: text(&it.detail) }
    }
}

fn flags(flags: &[Flag]) -> Vec<Word<Flag>> {
    flags.iter().copied().map(Word).collect()
}

/// Outside the store every line stands for itself.
pub(super) fn lines<'a, S: From<&'a str>>(timeline: &'a Timeline) -> Vec<Line<S>> {
    timeline.lines().map(|line| Line { t_us: line.t_us, leg: Word(line.leg), dir: Word(line.flow), text: line.text.into() }).collect()
}

fn text<'a, S: From<&'a str>>(text: &'a Option<String>) -> Option<S> {
    text.as_deref().map(Into::into)
}

fn texts<'a, S: From<&'a str>>(texts: &'a [String]) -> Vec<S> {
    texts.iter().map(|text| text.as_str().into()).collect()
}
