//! What a record can be found by: its terms.
//!
//! A term is its kind, one octet, and what is looked for: folded text, an address, or a hash of what nobody looks for by its beginning.
//! Terms are sorted in the index, so that a beginning, a network or all values of a kind are neighbours there.

use std::net::IpAddr;

use crate::store::text;
use crate::trace::{
    Amendment, Auth, Cause, Client, Digest, Envelope, Log, Outcome, Record, RecordId, RecordKind, Reply, Report, State, Tls, Upstream,
};

/// Kinds of terms. Their numbers stand in the index: a change needs a new version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TermKind {
    Id = 1,
    Session = 2,
    BodyDigest = 3,
    /// The id of the record that an amendment amends.
    Amends = 4,
    MessageIdWord = 5,
    QueueId = 6,
    FromLocal = 7,
    FromDomain = 8,
    ToLocal = 9,
    ToDomain = 10,
    /// Of the header From, where it is another than the reverse-path.
    HeaderLocal = 11,
    HeaderDomain = 12,
    ClientIp = 13,
    UpstreamIp = 14,
    Helo = 15,
    AuthUser = 16,
    /// In the configuration.
    UpstreamName = 17,
    /// Its name in the configuration where no host is known.
    UpstreamHost = 18,
    Listener = 19,
    /// Of the record. Every record that can be found has one.
    Kind = 20,
    /// Of the whole; the next is of a recipient, where it is another.
    State = 21,
    RecipientState = 22,
    /// Before an amendment.
    EarlierState = 23,
    Stage = 24,
    RecipientStage = 25,
    By = 26,
    RecipientBy = 27,
    Act = 28,
    Cause = 29,
    RecipientCause = 30,
    Code = 31,
    RecipientCode = 32,
    /// With a dot at the end: `5.7.` is the beginning of `5.7.1.`, not of `5.71.0.`.
    Enhanced = 33,
    RecipientEnhanced = 34,
    ReplyWord = 35,
    SubjectWord = 36,
    Flag = 37,
    UpstreamTls = 38,
    ClientTls = 39,
    Rule = 40,
    /// Of the upstream, of the reply, of a report's diagnostic.
    Provider = 41,
    /// What a line of a log says.
    Event = 42,
    /// A hash of the Message-ID that a report speaks of.
    ReportedMessageId = 43,
    /// Queue id or ENVID that a report speaks of.
    ReportedQueueId = 44,
    ReportedLocal = 45,
    ReportedDomain = 46,
    /// The id of the incident that an entry belongs to.
    Incident = 47,
    Anomaly = 48,
}

/// Octets of a term after its kind; what is longer is cut, and found by its beginning.
const LONGEST: usize = 96;

/// Words of a leg's TLS.
pub const TLS_NONE: &str = "none";
pub const TLS_ANY: &str = "any";
pub const TLS_VERIFIED: &str = "verified";
pub const TLS_UNVERIFIED: &str = "unverified";

/// The terms of one record. The space is used again for the next.
#[derive(Debug, Default)]
pub struct Terms {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

/// A term as it stands in the index.
pub fn of_text(kind: TermKind, text: &str) -> Vec<u8> {
    let mut term = vec![kind as u8];
    text::fold(text, &mut term);
    term.truncate(1 + LONGEST);
    term
}

pub fn of_octets(kind: TermKind, octets: &[u8]) -> Vec<u8> {
    [&[kind as u8], octets].concat()
}

pub fn of_id(kind: TermKind, id: RecordId) -> Vec<u8> {
    of_octets(kind, &id_octets(id))
}

pub fn of_ip(kind: TermKind, ip: IpAddr) -> Vec<u8> {
    of_octets(kind, &text::address_octets(ip))
}

/// Of the Message-ID, without angle brackets, that a report speaks of.
pub fn of_message_id(id: &str) -> Vec<u8> {
    of_octets(TermKind::ReportedMessageId, &message_id_octets(id))
}

pub fn of_digest(digest: &Digest) -> Vec<u8> {
    of_octets(TermKind::BodyDigest, digest_octets(digest))
}

/// Enough of a hash that a second record by chance is rare; it is checked against the record anyway.
fn id_octets(id: RecordId) -> [u8; 6] {
    let hash = text::hash(id.as_u128().to_le_bytes().into_iter()).to_be_bytes();
    [hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]]
}

fn message_id_octets(id: &str) -> [u8; 6] {
    let hash = text::hash(text::folded(id).into_iter()).to_be_bytes();
    [hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]]
}

fn digest_octets(digest: &Digest) -> &[u8] {
    &digest.0[..6]
}

/// Whether a term of that text was cut: its records must be looked at.
pub fn is_cut(term: &[u8]) -> bool {
    term.len() > LONGEST
}

/// The first term that doesn't begin with `beginning`, if there is any.
pub fn after(beginning: &[u8]) -> Option<Vec<u8>> {
    let last = beginning.iter().rposition(|&octet| octet < u8::MAX)?;
    let mut after = beginning.get(..=last)?.to_vec();
    after.iter_mut().next_back().into_iter().for_each(|octet| *octet += 1);
    Some(after)
}

impl Terms {
    pub fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, &end)| self.octets.get(start..end))
    }

    fn text(&mut self, kind: TermKind, text: &str) {
        let start = self.octets.len();
        self.octets.push(kind as u8);
        text::fold(text, &mut self.octets);
        self.octets.truncate(start + 1 + LONGEST);
        self.ends.push(self.octets.len());
    }

    fn some(&mut self, kind: TermKind, text: Option<&str>) {
        text.into_iter().for_each(|text| self.text(kind, text));
    }

    fn octets(&mut self, kind: TermKind, octets: &[u8]) {
        self.octets.push(kind as u8);
        self.octets.extend_from_slice(octets);
        self.ends.push(self.octets.len());
    }

    fn id(&mut self, kind: TermKind, id: RecordId) {
        self.octets(kind, &id_octets(id));
    }

    fn words(&mut self, kind: TermKind, text: &str) {
        text::tokens(text).for_each(|word| self.text(kind, word));
    }

    fn code(&mut self, kind: TermKind, code: u16) {
        let digits = [code / 100 % 10, code / 10 % 10, code % 10].map(|digit| b'0' + digit as u8);
        self.octets(kind, &digits);
    }

    /// Adds the terms of a record. Marks have none: they are no search results.
    pub fn add(&mut self, record: &Record) {
        if record.kind() == RecordKind::Mark {
            return;
        }
        self.id(TermKind::Id, record.id());
        self.facts(record);
    }

    /// Adds the terms under which an amendment stands for the record that it amends, which was in `earlier` states.
    pub fn add_amended(&mut self, amendment: &Amendment, folded: Option<&Record>, earlier: &[State]) {
        match folded {
            // The record's own id leads to the record itself.
            Some(folded) => self.facts(folded),
            None => self.outcome(&amendment.outcome),
        }
        self.id(TermKind::Id, amendment.id);
        self.id(TermKind::Amends, amendment.of);
        earlier.iter().for_each(|state| self.text(TermKind::EarlierState, state.word()));
    }

    fn facts(&mut self, record: &Record) {
        self.text(TermKind::Kind, record.kind().word());
        match record {
            Record::Transaction(it) => {
                self.id(TermKind::Session, it.session_id);
                self.text(TermKind::Listener, &it.listener);
                self.client(&it.client);
                self.upstream(&it.upstream);
                self.envelope(&it.envelope, &it.outcome);
                self.outcome(&it.outcome);
                it.flags.iter().for_each(|flag| self.text(TermKind::Flag, flag.word()));
                let message = &it.message;
                message.message_id.iter().for_each(|id| self.words(TermKind::MessageIdWord, id));
                message.subject.iter().for_each(|subject| self.words(TermKind::SubjectWord, subject));
                if let Some(address) = message.from.as_deref().map(text::address_in)
                    && !text::same(address, &it.envelope.reverse_path)
                {
                    self.address(TermKind::HeaderLocal, TermKind::HeaderDomain, address);
                }
                self.some(TermKind::QueueId, message.client_queue_id.as_deref());
                self.some(TermKind::QueueId, it.envelope.envid.as_deref());
                message.report.iter().for_each(|report| self.report(report));
                message.body_digest.iter().for_each(|digest| self.octets(TermKind::BodyDigest, digest_octets(digest)));
            }
            Record::Session(it) => {
                self.id(TermKind::Session, it.id);
                self.text(TermKind::Listener, &it.listener);
                self.client(&it.client);
                self.upstream(&it.upstream);
                it.outcome.iter().for_each(|outcome| self.outcome(outcome));
                self.text(TermKind::RecipientStage, it.ended.stage.word());
                self.text(TermKind::RecipientBy, it.ended.by.word());
                it.flags.iter().for_each(|flag| self.text(TermKind::Flag, flag.word()));
            }
            Record::Log(it) => self.log(it),
            // Found as what they are only, never by an address: they tell of mail, and are none.
            Record::Incident(it) => {
                self.id(TermKind::Incident, it.incident);
                self.text(TermKind::Anomaly, it.anomaly.word());
            }
            Record::Audit(_) | Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) => {}
        }
    }

    fn log(&mut self, it: &Log) {
        self.text(TermKind::Event, it.event.word());
        for id in [&it.queue_id, &it.next_queue_id] {
            self.some(TermKind::QueueId, id.as_deref());
        }
        it.message_id.iter().for_each(|id| self.words(TermKind::MessageIdWord, id));
        it.subject.iter().for_each(|subject| self.words(TermKind::SubjectWord, subject));
        it.reverse_path.iter().for_each(|address| self.address(TermKind::FromLocal, TermKind::FromDomain, address));
        for address in [&it.recipient, &it.original_recipient].into_iter().flatten() {
            self.address(TermKind::ToLocal, TermKind::ToDomain, address);
        }
        it.client_ip.iter().for_each(|&ip| self.octets(TermKind::ClientIp, &text::address_octets(ip)));
        it.relay_ip.iter().for_each(|&ip| self.octets(TermKind::UpstreamIp, &text::address_octets(ip)));
        self.some(TermKind::UpstreamHost, it.relay_host.as_deref());
        it.outcome.iter().for_each(|outcome| self.outcome(outcome));
        if it.outcome.as_ref().is_none_or(|outcome| outcome.reply.is_none()) {
            it.reply.iter().for_each(|reply| self.reply(TermKind::Code, TermKind::Enhanced, reply));
        }
    }

    fn report(&mut self, it: &Report) {
        it.original_message_id.iter().for_each(|id| self.octets(TermKind::ReportedMessageId, &message_id_octets(id)));
        for id in [&it.queue_id, &it.envid] {
            self.some(TermKind::ReportedQueueId, id.as_deref());
        }
        for recipient in &it.recipients {
            for address in std::iter::once(&recipient.address).chain(&recipient.original) {
                self.address(TermKind::ReportedLocal, TermKind::ReportedDomain, address);
            }
            self.some(TermKind::RecipientCause, recipient.cause.map(Cause::word));
            self.some(TermKind::Rule, recipient.rule.as_deref());
            self.some(TermKind::Provider, recipient.provider.as_deref());
        }
    }

    fn client(&mut self, client: &Client) {
        self.octets(TermKind::ClientIp, &text::address_octets(client.ip));
        self.some(TermKind::Helo, client.helo.as_deref());
        self.auth(client.auth.as_ref());
        self.tls(TermKind::ClientTls, client.tls.as_ref());
    }

    fn upstream(&mut self, upstream: &Upstream) {
        self.text(TermKind::UpstreamName, &upstream.name);
        self.text(TermKind::UpstreamHost, upstream.host.as_deref().unwrap_or(&upstream.name));
        upstream.ip.iter().for_each(|&ip| self.octets(TermKind::UpstreamIp, &text::address_octets(ip)));
        self.some(TermKind::Provider, upstream.provider.as_deref());
        self.auth(upstream.auth.as_ref());
        self.tls(TermKind::UpstreamTls, upstream.tls.as_ref());
    }

    fn auth(&mut self, auth: Option<&Auth>) {
        self.some(TermKind::AuthUser, auth.and_then(|auth| auth.user.as_deref()));
    }

    fn tls(&mut self, kind: TermKind, tls: Option<&Tls>) {
        let Some(tls) = tls else { return self.text(kind, TLS_NONE) };
        self.text(kind, TLS_ANY);
        self.text(kind, &tls.version);
        match tls.verified {
            Some(true) => self.text(kind, TLS_VERIFIED),
            Some(false) => self.text(kind, TLS_UNVERIFIED),
            None => {}
        }
    }

    fn envelope(&mut self, envelope: &Envelope, whole: &Outcome) {
        self.address(TermKind::FromLocal, TermKind::FromDomain, &envelope.reverse_path);
        for recipient in &envelope.recipients {
            self.address(TermKind::ToLocal, TermKind::ToDomain, &recipient.address);
            if recipient.state != whole.state {
                self.text(TermKind::RecipientState, recipient.state.word());
            }
            if recipient.stage != whole.stage {
                self.text(TermKind::RecipientStage, recipient.stage.word());
            }
            if recipient.rule != whole.rule {
                self.some(TermKind::Rule, recipient.rule.as_deref());
            }
            if recipient.by != whole.by {
                self.text(TermKind::RecipientBy, recipient.by.word());
            }
            if recipient.cause != whole.cause {
                self.some(TermKind::RecipientCause, recipient.cause.map(Cause::word));
            }
            if let Some(reply) = recipient.reply.as_ref().filter(|&reply| Some(reply) != whole.reply.as_ref()) {
                self.reply(TermKind::RecipientCode, TermKind::RecipientEnhanced, reply);
            }
        }
    }

    fn address(&mut self, local: TermKind, domain: TermKind, address: &str) {
        let (local_part, domain_part) = text::split_address(address);
        self.text(local, local_part);
        self.some(domain, domain_part);
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.text(TermKind::State, outcome.state.word());
        self.text(TermKind::Stage, outcome.stage.word());
        self.text(TermKind::By, outcome.by.word());
        self.some(TermKind::Act, outcome.act.map(|act| act.word()));
        self.some(TermKind::Cause, outcome.cause.map(Cause::word));
        self.some(TermKind::Rule, outcome.rule.as_deref());
        self.some(TermKind::Provider, outcome.provider.as_deref());
        outcome.reply.iter().for_each(|reply| self.reply(TermKind::Code, TermKind::Enhanced, reply));
        self.some(TermKind::QueueId, outcome.upstream_queue_id.as_deref());
    }

    fn reply(&mut self, code: TermKind, enhanced: TermKind, reply: &Reply) {
        self.code(code, reply.code);
        if let Some((class, subject, detail)) = reply.enhanced {
            self.text(enhanced, &format!("{class}.{subject}.{detail}."));
        }
        reply.lines.iter().for_each(|line| self.words(TermKind::ReplyWord, line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    #[test]
    fn the_terms_of_a_record_are_those_that_are_asked_for() {
        let mut terms = Terms::default();
        terms.add(&samples::transaction(7));
        let found: Vec<_> = terms.iter().map(<[u8]>::to_vec).collect();
        for wanted in [
            of_id(TermKind::Id, samples::id(7)),
            of_text(TermKind::ToLocal, "USER7"),
            of_text(TermKind::ToDomain, "d7.example"),
            of_text(TermKind::Enhanced, "5.1.1."),
            of_text(TermKind::Code, "550"),
            of_text(TermKind::SubjectWord, "INVOICE"),
            of_ip(TermKind::ClientIp, "::ffff:192.0.2.7".parse().unwrap()),
            of_text(TermKind::UpstreamTls, TLS_NONE),
        ] {
            assert!(found.contains(&wanted), "{wanted:?}");
        }
        terms.clear();
        terms.add(&samples::mark(7));
        assert_eq!(terms.iter().count(), 0);
    }

    #[test]
    fn the_end_of_a_beginning() {
        assert_eq!(after(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after(&[5, 255, 255]), Some(vec![6]));
        assert_eq!(after(&[255]), None);
        assert!(is_cut(&of_text(TermKind::Helo, &"x".repeat(500))) && !is_cut(&of_text(TermKind::Helo, "x")));
    }
}
