//! Whether a record has what a term asks for.

use super::facts::Facts;
use super::query::{Term, TextField, TlsIs};
use super::text;
use crate::trace::{Record, State, Tls};

impl Term {
    /// `earlier`: states that the record was in before something became known later.
    pub(super) fn matches(&self, record: &Record, earlier: &[State]) -> bool {
        let facts = Facts::of(record);
        match self {
            Self::All(terms) => terms.iter().all(|term| term.matches(record, earlier)),
            Self::Any(terms) => terms.iter().any(|term| term.matches(record, earlier)),
            Self::Not(term) => !term.matches(record, earlier),
            Self::Ever(state) => earlier.contains(state) || facts.states().any(|known| known == *state),
            Self::Kind(kind) => record.kind() == *kind,
            Self::Id(id) => record.id() == *id,
            of_facts => of_facts.holds(&facts),
        }
    }

    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::MessageId(wanted) => facts.message_id().is_some_and(|id| match is_exact(wanted) {
                true => text::same(id, text::bare(wanted)),
                false => text::contains_words(id, wanted),
            }),
            Self::QueueId(id) => facts.queue_ids().any(|known| text::same(known, id)),
            Self::Address(address) => facts.addresses().any(|known| is_address(known, address)),
            Self::From(address) => facts.reverse_path().is_some_and(|known| is_address(known, address)),
            Self::To(address) => facts.recipients().any(|known| is_address(known, address)),
            Self::Domain(domain) => facts.domains().any(|known| text::same(known, domain)),
            Self::ClientIp(ip) => facts.client_ip().is_some_and(|known| known.to_canonical() == ip.to_canonical()),
            Self::ClientNet(net) => facts.client_ip().is_some_and(|known| net.contains(&known.to_canonical())),
            Self::UpstreamNet(net) => facts.upstream_ip().is_some_and(|ip| net.contains(&ip.to_canonical())),
            Self::State(state) => facts.states().any(|known| known == *state),
            Self::Stage(stage) => facts.stages().any(|known| known == *stage),
            Self::By(actor) => facts.actors().any(|known| known == *actor),
            Self::Act(act) => facts.outcome.is_some_and(|outcome| outcome.act == Some(*act)),
            Self::Cause(cause) => facts.causes().any(|known| text::same(known.word(), cause)),
            Self::Rule(rule) => facts.rules().any(|known| text::same(known, rule)),
            Self::Provider(provider) => facts.providers().any(|known| text::same(known, provider)),
            Self::Incident(id) => facts.incident().is_some_and(|it| it.incident == *id),
            Self::Anomaly(anomaly) => facts.incident().is_some_and(|it| it.anomaly == *anomaly),
            Self::Event(event) => facts.log_event() == Some(*event),
            Self::ReportOf(id) => {
                facts.report().and_then(|it| it.original_message_id.as_deref()).is_some_and(|known| text::same(known, text::bare(id)))
            }
            Self::ReportOfQueueId(id) => facts.reported_queue_ids().any(|known| text::same(known, id)),
            Self::ReportTo(address) => facts.reported_addresses().any(|known| is_address(known, address)),
            Self::Flag(flag) => facts.flags.contains(flag),
            Self::Upstream(upstream) => facts.upstreams().any(|known| text::same(known, upstream)),
            Self::Listener(listener) => facts.listener.is_some_and(|known| text::same(known, listener)),
            Self::Code(code) => facts.replies().any(|reply| reply.code == *code),
            Self::Enhanced(wanted) => facts.replies().filter_map(|reply| reply.enhanced).any(|(class, subject, detail)| {
                let code = format!("{class}.{subject}.{detail}");
                code.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
            Self::Reply(words) => facts.reply_lines().any(|line| text::contains_words(line, words)),
            Self::Subject(words) => facts.subject().is_some_and(|subject| text::has_words(subject, words)),
            Self::Session(id) => facts.session == Some(*id),
            Self::AuthUser(user) => facts.auth_users().any(|known| text::same(known, user)),
            Self::Helo(helo) => facts.helo().is_some_and(|known| text::same(known, helo)),
            Self::BodyDigest(digest) => facts.body_digest() == Some(*digest),
            Self::Tls(leg, is) => facts.has_peer() && is.admits(facts.tls(*leg)),
            Self::Size(range) => facts.size().is_some_and(|size| range.contains(&size)),
            Self::Duration(range) => facts.duration_us().is_some_and(|duration| range.contains(&duration)),
            Self::Begins(field, beginning) => begins(facts, *field, beginning),
            Self::Like(field, pattern) => is_like(facts, *field, pattern),
            Self::All(_) | Self::Any(_) | Self::Not(_) | Self::Ever(_) | Self::Kind(_) | Self::Id(_) => false,
        }
    }
}

impl TlsIs {
    fn admits(&self, tls: Option<&Tls>) -> bool {
        match (self, tls) {
            (Self::None, tls) => tls.is_none(),
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Verified, Some(tls)) => tls.verified == Some(true),
            (Self::Unverified, Some(tls)) => tls.verified == Some(false),
            (Self::Version(version), Some(tls)) => text::same(&tls.version, version),
        }
    }
}

impl TextField {
    /// Whether it is asked for by its words.
    pub(super) fn is_words(self) -> bool {
        matches!(self, Self::MessageId | Self::Subject | Self::Reply)
    }

    pub(super) fn is_address(self) -> bool {
        matches!(self, Self::Address | Self::From | Self::To)
    }
}

fn any_value(facts: &Facts<'_>, field: TextField, fits: &dyn Fn(&str) -> bool) -> bool {
    match field {
        TextField::Address => facts.addresses().any(fits),
        TextField::From => facts.reverse_path().is_some_and(fits),
        TextField::To => facts.recipients().any(fits),
        TextField::Domain => facts.domains().any(fits),
        TextField::MessageId => facts.message_id().is_some_and(fits),
        TextField::QueueId => facts.queue_ids().any(fits),
        TextField::Subject => facts.subject().is_some_and(fits),
        TextField::Reply => facts.reply_lines().any(fits),
        TextField::Helo => facts.helo().is_some_and(fits),
        TextField::AuthUser => facts.auth_users().any(fits),
        TextField::Upstream => facts.upstreams().any(fits),
        TextField::Listener => facts.listener.is_some_and(fits),
        TextField::Cause => facts.causes().any(|cause| fits(cause.word())),
        TextField::Rule => facts.rules().any(fits),
        TextField::Provider => facts.providers().any(fits),
    }
}

fn begins(facts: &Facts<'_>, field: TextField, beginning: &str) -> bool {
    match field {
        TextField::Subject => {
            let wanted: Vec<&str> = text::tokens(beginning).collect();
            let Some((last, whole)) = wanted.split_last() else { return false };
            any_value(facts, field, &|subject| {
                let has = |fits: &dyn Fn(&str) -> bool| text::tokens(subject).any(fits);
                whole.iter().all(|wanted| has(&|word| text::same(word, wanted))) && has(&|word| text::begins(word, last))
            })
        }
        field if field.is_words() => {
            let wanted: Vec<&str> = text::tokens(beginning).collect();
            let Some((last, whole)) = wanted.split_last() else { return false };
            any_value(facts, field, &|value| {
                let words: Vec<&str> = text::tokens(value).collect();
                words.windows(wanted.len()).any(|window| match window.split_last() {
                    Some((end, before)) => {
                        before.iter().zip(whole).all(|(word, wanted)| text::same(word, wanted)) && text::begins(end, last)
                    }
                    None => false,
                })
            })
        }
        field if field.is_address() => {
            let wanted = text::split_address(text::bare(beginning));
            any_value(facts, field, &|known| match (text::split_address(known), wanted) {
                ((_, Some(domain)), ("", Some(wanted))) => text::begins(domain, wanted),
                ((local_part, Some(domain)), (of, Some(wanted))) => text::same(local_part, of) && text::begins(domain, wanted),
                ((_, None), (_, Some(_))) => false,
                ((local_part, _), (wanted, None)) => text::begins(local_part, wanted),
            })
        }
        field => any_value(facts, field, &|known| text::begins(known, beginning)),
    }
}

fn is_like(facts: &Facts<'_>, field: TextField, pattern: &str) -> bool {
    let pattern = text::folded(pattern);
    let fits = |value: &str| fits(&text::folded(value), &pattern);
    match field.is_words() {
        true => any_value(facts, field, &|value| text::tokens(value).any(fits)),
        false => any_value(facts, field, &fits),
    }
}

/// Whether `*` in the pattern can stand for something so that it is the value.
fn fits(value: &[u8], pattern: &[u8]) -> bool {
    let pieces: Vec<&[u8]> = pattern.split(|&octet| octet == b'*').collect();
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return false };
    if pieces.len() == 1 {
        return value == *first;
    }
    let Some(rest) = value.strip_prefix(*first) else { return false };
    let Some(mut rest) = rest.strip_suffix(*last) else { return false };
    let between = pieces.get(1..pieces.len() - 1).unwrap_or_default();
    between.iter().all(|piece| match memchr::memmem::find(rest, piece) {
        Some(at) => {
            rest = rest.get(at + piece.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

pub(super) fn is_exact(message_id: &str) -> bool {
    let id = message_id.trim();
    id.starts_with('<') && id.ends_with('>')
}

/// `a@b`, `@b` or `a`.
fn is_address(known: &str, wanted: &str) -> bool {
    let wanted = text::bare(wanted);
    let (local_part, domain) = text::split_address(known);
    match wanted.strip_prefix('@') {
        Some(wanted) => domain.is_some_and(|domain| text::same(domain, wanted)),
        None if wanted.is_empty() || wanted.contains('@') => text::same(known, wanted),
        None => text::same(local_part, wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;
    use crate::trace::Leg;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, value, expected) in [
            ("*oice*", "invoice", true),
            ("in*ce", "invoice", true),
            ("in*in", "in", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("abc", "abcd", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(value.as_bytes(), pattern.as_bytes()), expected, "{pattern} {value}");
        }
    }

    #[track_caller]
    fn check(term: &Term, expected: bool) {
        assert_eq!(term.matches(&samples::transaction(7), &[]), expected, "{term:?}");
    }

    #[test]
    fn parts_of_values_are_found() {
        // carol7@sender.example to user7@d7.example, "Invoice 7 from carol", 550 5.1.1 … User unknown
        use TextField::{Address, Domain, Helo, MessageId, Reply, Subject, To};
        let text = |text: &str| text.to_owned();
        check(&Term::Begins(To, text("use")), true);
        check(&Term::Begins(To, text("ser")), false);
        check(&Term::Begins(To, text("user7@d7.ex")), true);
        check(&Term::Begins(To, text("user@d7.ex")), false);
        check(&Term::Begins(To, text("@d7.")), true);
        check(&Term::Begins(Address, text("CAR")), true);
        check(&Term::Begins(Domain, text("sender")), true);
        check(&Term::Begins(Subject, text("7 in")), true);
        check(&Term::Begins(Subject, text("nvoice")), false);
        check(&Term::Like(Subject, text("*voi*")), true);
        check(&Term::Like(To, text("*7.example")), true);
        check(&Term::Like(Helo, text("mail.*.example")), true);
        check(&Term::Begins(MessageId, text("mail.send")), true);
        check(&Term::Reply(text("recipient address rej")), true);
        check(&Term::Reply(text("address recipient")), false);
        check(&Term::Begins(Reply, text("user un")), true);
        check(&Term::Enhanced(text("5.1")), true);
        check(&Term::Enhanced(text("5.11")), false);
    }

    #[test]
    fn terms_are_tied() {
        let (yes, no) = (Term::Code(550), Term::Code(250));
        check(&Term::All(vec![yes.clone(), yes.clone()]), true);
        check(&Term::All(vec![yes.clone(), no.clone()]), false);
        check(&Term::Any(vec![no.clone(), yes.clone()]), true);
        check(&Term::Any(vec![no.clone()]), false);
        check(&Term::Not(Box::new(no)), true);
        check(&Term::Size(4096..=5000), true);
        check(&Term::Duration(0..=10), false);
        check(&Term::ClientNet("192.0.2.0/29".parse().unwrap()), true);
        check(&Term::UpstreamNet("198.51.100.0/25".parse().unwrap()), true);
        check(&Term::ClientNet("192.0.2.8/29".parse().unwrap()), false);
        check(&Term::Tls(Leg::Upstream, TlsIs::None), true);
    }
}
