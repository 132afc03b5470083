//! How the index is asked for what a query wants.

use std::net::Ipv4Addr;

use ipnet::IpNet;

use super::index::columns::Column;
use super::index::lookup::Lookup;
use super::index::terms::{self, TermKind};
use super::matching::is_exact;
use super::query::{Query, Term, TextField, TlsIs};
use super::text;
use crate::trace::Leg;

/// A query as questions to the index. Each is answered with at least the records that fit; exactly those where it says so.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    All(Vec<Plan>),
    Any(Vec<Plan>),
    Not(Box<Plan>),
    Find(Find),
    /// The index knows nothing of it: each record must be looked at.
    Unknown,
}

/// Records that have any of these.
#[derive(Debug, Clone)]
pub(super) struct Find {
    pub lookups: Vec<Lookup>,
    /// Whether nothing but what fits is found.
    pub exact: bool,
    /// Its place among all, for what is told of it.
    pub number: usize,
}

/// Makes a plan, and says of each of its finds what it looks for.
#[derive(Debug, Default)]
pub(super) struct Planner {
    pub said: Vec<String>,
}

impl Planner {
    pub fn plan(&mut self, query: &Query) -> Plan {
        all(query.all.iter().map(|term| self.term(term)).collect())
    }

    fn find(&mut self, said: String, lookups: Vec<Lookup>) -> Plan {
        let exact = lookups.iter().all(|lookup| match lookup {
            Lookup::Term(term) => !terms::is_cut(term),
            Lookup::Terms(from, _) => !terms::is_cut(from),
            Lookup::Having(..) | Lookup::Number(..) => true,
        });
        self.find_so(said, lookups, exact)
    }

    fn find_so(&mut self, said: String, lookups: Vec<Lookup>, exact: bool) -> Plan {
        let number = self.said.len();
        self.said.push(said);
        Plan::Find(Find { lookups, exact, number })
    }

    fn texts(&mut self, kinds: &[TermKind], value: &str) -> Plan {
        let lookups = kinds.iter().map(|&kind| Lookup::Term(terms::of_text(kind, value))).collect();
        self.find(format!("{} = {value:?}", name(kinds)), lookups)
    }

    fn beginnings(&mut self, kinds: &[TermKind], value: &str) -> Plan {
        let lookups = kinds.iter().map(|&kind| Lookup::beginning(terms::of_text(kind, value))).collect();
        self.find(format!("{} = {value:?}*", name(kinds)), lookups)
    }

    fn having(&mut self, kinds: &[TermKind], part: &str) -> Plan {
        let folded = text::folded(part);
        let lookups = kinds.iter().map(|&kind| Lookup::Having(kind, folded.clone())).collect();
        self.find(format!("{} = *{part:?}* (all of them gone through)", name(kinds)), lookups)
    }

    /// As [`Planner::find`], of what the records must be looked at for in any case.
    fn inexact(&mut self, said: String, lookup: Lookup) -> Plan {
        self.find_so(said, vec![lookup], false)
    }

    fn term(&mut self, term: &Term) -> Plan {
        use TermKind as Is;
        match term {
            Term::All(terms) => all(terms.iter().map(|term| self.term(term)).collect()),
            Term::Any(terms) => Plan::Any(terms.iter().map(|term| self.term(term)).collect()),
            Term::Not(term) => Plan::Not(Box::new(self.term(term))),
            Term::MessageId(id) if is_exact(id) => unsure(self.words(Is::MessageIdWord, text::bare(id), Last::Whole)),
            Term::MessageId(part) => self.in_a_row(Is::MessageIdWord, part, Last::MayGoOn),
            Term::Reply(part) => self.in_a_row(Is::ReplyWord, part, Last::MayGoOn),
            Term::Subject(words) => self.words(Is::SubjectWord, words, Last::MayGoOn),
            Term::Begins(TextField::Subject, words) => self.words(Is::SubjectWord, words, Last::GoesOn),
            Term::Begins(TextField::MessageId, part) => self.in_a_row(Is::MessageIdWord, part, Last::GoesOn),
            Term::Begins(TextField::Reply, part) => self.in_a_row(Is::ReplyWord, part, Last::GoesOn),
            Term::QueueId(id) => self.texts(&[Is::QueueId], id),
            Term::Address(address) => Plan::Any(ADDRESSES.iter().map(|&of| self.address(of, address, false)).collect()),
            Term::From(address) => self.address(FROM, address, false),
            Term::To(address) => self.address(TO, address, false),
            Term::Begins(TextField::Address, part) => Plan::Any(ADDRESSES.iter().map(|&of| self.address(of, part, true)).collect()),
            Term::Begins(TextField::From, part) => self.address(FROM, part, true),
            Term::Begins(TextField::To, part) => self.address(TO, part, true),
            Term::Domain(domain) => self.texts(&DOMAINS, domain),
            Term::ClientIp(ip) => self.find(format!("client = {ip}"), vec![Lookup::Term(terms::of_ip(Is::ClientIp, *ip))]),
            Term::ClientNet(net) => self.net(Is::ClientIp, net),
            Term::UpstreamNet(net) => self.net(Is::UpstreamIp, net),
            Term::State(state) => self.texts(&[Is::State, Is::RecipientState], state.word()),
            Term::Ever(state) => self.texts(&[Is::State, Is::RecipientState, Is::EarlierState], state.word()),
            Term::Stage(stage) => self.texts(&[Is::Stage, Is::RecipientStage], stage.word()),
            Term::By(actor) => self.texts(&[Is::By, Is::RecipientBy], actor.word()),
            Term::Act(act) => self.texts(&[Is::Act], act.word()),
            Term::Cause(cause) => self.texts(&[Is::Cause, Is::RecipientCause], cause),
            Term::Rule(rule) => self.texts(&[Is::Rule], rule),
            Term::Provider(provider) => self.texts(&[Is::Provider], provider),
            Term::Event(event) => self.texts(&[Is::Event], event.word()),
            Term::ReportOf(id) => self.inexact("Message-ID of the original".to_owned(), Lookup::Term(terms::of_message_id(text::bare(id)))),
            Term::ReportOfQueueId(id) => self.texts(&[Is::ReportedQueueId], id),
            Term::ReportTo(address) => self.address(REPORTED, address, false),
            Term::Flag(flag) => self.texts(&[Is::Flag], flag.word()),
            Term::Kind(kind) => self.texts(&[Is::Kind], kind.word()),
            Term::Upstream(name) => self.texts(&[Is::UpstreamName, Is::UpstreamHost], name),
            Term::Listener(name) => self.texts(&[Is::Listener], name),
            Term::Code(code) => self.texts(&[Is::Code, Is::RecipientCode], &format!("{code:03}")),
            Term::Enhanced(code) => self.beginnings(&[Is::Enhanced, Is::RecipientEnhanced], &format!("{code}.")),
            Term::Session(id) => self.inexact(format!("session = {id}"), Lookup::Term(terms::of_id(Is::Session, *id))),
            Term::Incident(id) => self.inexact(format!("incident = {id}"), Lookup::Term(terms::of_id(Is::Incident, *id))),
            Term::Anomaly(anomaly) => self.texts(&[Is::Anomaly], anomaly.word()),
            // Where it was amended, its newest amendment stands for it.
            Term::Id(id) => {
                self.find_so(format!("id = {id}"), [Is::Id, Is::Amends].map(|kind| Lookup::Term(terms::of_id(kind, *id))).to_vec(), false)
            }
            Term::BodyDigest(digest) => self.inexact("digest of the message".to_owned(), Lookup::Term(terms::of_digest(digest))),
            Term::AuthUser(user) => self.texts(&[Is::AuthUser], user),
            Term::Helo(helo) => self.texts(&[Is::Helo], helo),
            Term::Tls(leg, is) => {
                let kind = if *leg == Leg::Client { Is::ClientTls } else { Is::UpstreamTls };
                self.texts(&[kind], word_of(is))
            }
            Term::Size(range) => self.find(format!("size in {range:?} octets"), vec![Lookup::Number(Column::Size, range.clone())]),
            Term::Duration(range) => self.find(format!("duration in {range:?} µs"), vec![Lookup::Number(Column::Duration, range.clone())]),
            Term::Begins(field, part) => match kinds(*field) {
                [] => Plan::Unknown,
                kinds => self.beginnings(kinds, part),
            },
            Term::Like(field, pattern) => self.like(*field, pattern),
        }
    }

    /// All words of a text.
    fn words(&mut self, kind: TermKind, value: &str, last: Last) -> Plan {
        let words: Vec<&str> = text::tokens(value).collect();
        let end = words.len();
        // Nothing to look for is found nowhere.
        if words.is_empty() {
            return Plan::Any(Vec::new());
        }
        let goes_on = |word: &str| last == Last::GoesOn || (last == Last::MayGoOn && text::is_fragment(word));
        let of = |(at, word): (usize, &&str)| match at + 1 == end && goes_on(word) {
            true => self.beginnings(&[kind], word),
            false => self.texts(&[kind], word),
        };
        all(words.iter().enumerate().map(of).collect())
    }

    fn in_a_row(&mut self, kind: TermKind, value: &str, last: Last) -> Plan {
        let is_one = text::tokens(value).nth(1).is_none();
        let plan = self.words(kind, value, last);
        if is_one { plan } else { unsure(plan) }
    }

    /// `a@b`, `@b`, `a`, or the beginning of one of them.
    fn address(&mut self, of: AddressKinds, value: &str, begun: bool) -> Plan {
        let (local_part, domain) = text::split_address(text::bare(value));
        let mut part =
            |kind: TermKind, value: &str, begun: bool| if begun { self.beginnings(&[kind], value) } else { self.texts(&[kind], value) };
        match (local_part, domain) {
            ("", Some(domain)) => part(of.domain, domain, begun),
            (local_part, None) => part(of.local, local_part, begun),
            (local_part, Some(domain)) => {
                let both = all(vec![part(of.local, local_part, false), part(of.domain, domain, begun)]);
                // The two may belong to different recipients.
                if of.several { unsure(both) } else { both }
            }
        }
    }

    fn net(&mut self, kind: TermKind, net: &IpNet) -> Plan {
        let (first, last) = match net {
            IpNet::V4(net) => (net.network().into(), net.broadcast().into()),
            IpNet::V6(net) => (net.network().into(), net.broadcast().into()),
        };
        let after = terms::after(&terms::of_ip(kind, last));
        let (said, lookup) = (format!("{} in {net}", name(&[kind])), Lookup::Terms(terms::of_ip(kind, first), after));
        // The terms of IPv4 addresses lie in a network of IPv6, and they don't.
        match matches!(net, IpNet::V6(net) if net.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())) {
            true => self.inexact(said, lookup),
            false => self.find(said, vec![lookup]),
        }
    }

    /// Each piece between the stars narrows it down; the records are looked at for the rest.
    fn like(&mut self, field: TextField, pattern: &str) -> Plan {
        let kinds: &[TermKind] = match field {
            TextField::MessageId => &[TermKind::MessageIdWord],
            TextField::Subject => &[TermKind::SubjectWord],
            TextField::Reply => &[TermKind::ReplyWord],
            TextField::From => &[TermKind::FromLocal, TermKind::FromDomain],
            TextField::To => &[TermKind::ToLocal, TermKind::ToDomain],
            TextField::Address => &ADDRESS_PARTS,
            other => self::kinds(other),
        };
        let pieces = pattern.split('*').flat_map(|piece| piece.split('@')).filter(|piece| !piece.is_empty());
        let pieces: Vec<Plan> = pieces.map(|piece| self.having(kinds, piece)).collect();
        if pieces.is_empty() { Plan::Unknown } else { unsure(all(pieces)) }
    }
}

/// How the last of some words is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Whole,
    /// If it is long enough.
    MayGoOn,
    GoesOn,
}

#[derive(Debug, Clone, Copy)]
struct AddressKinds {
    local: TermKind,
    domain: TermKind,
    several: bool,
}

const FROM: AddressKinds = AddressKinds { local: TermKind::FromLocal, domain: TermKind::FromDomain, several: false };
const TO: AddressKinds = AddressKinds { local: TermKind::ToLocal, domain: TermKind::ToDomain, several: true };
const HEADER: AddressKinds = AddressKinds { local: TermKind::HeaderLocal, domain: TermKind::HeaderDomain, several: false };
const REPORTED: AddressKinds = AddressKinds { local: TermKind::ReportedLocal, domain: TermKind::ReportedDomain, several: true };
const ADDRESSES: [AddressKinds; 3] = [FROM, TO, HEADER];
const DOMAINS: [TermKind; 2] = [TermKind::FromDomain, TermKind::ToDomain];
const ADDRESS_PARTS: [TermKind; 6] = [FROM.local, FROM.domain, TO.local, TO.domain, HEADER.local, HEADER.domain];

/// The same, with its records to be looked at.
fn unsure(plan: Plan) -> Plan {
    all(vec![plan, Plan::Unknown])
}

/// All of them at one level, so that the rarest of all can be taken first.
fn all(plans: Vec<Plan>) -> Plan {
    let flat = |plan| match plan {
        Plan::All(plans) => plans,
        other => vec![other],
    };
    Plan::All(plans.into_iter().flat_map(flat).collect())
}

fn word_of(is: &TlsIs) -> &str {
    match is {
        TlsIs::None => terms::TLS_NONE,
        TlsIs::Any => terms::TLS_ANY,
        TlsIs::Verified => terms::TLS_VERIFIED,
        TlsIs::Unverified => terms::TLS_UNVERIFIED,
        TlsIs::Version(version) => version,
    }
}

/// Under what the values of a field stand whole.
fn kinds(field: TextField) -> &'static [TermKind] {
    match field {
        TextField::Domain => &DOMAINS,
        TextField::QueueId => &[TermKind::QueueId],
        TextField::Helo => &[TermKind::Helo],
        TextField::AuthUser => &[TermKind::AuthUser],
        TextField::Upstream => &[TermKind::UpstreamName, TermKind::UpstreamHost],
        TextField::Listener => &[TermKind::Listener],
        TextField::Cause => &[TermKind::Cause, TermKind::RecipientCause],
        TextField::Rule => &[TermKind::Rule],
        TextField::Provider => &[TermKind::Provider],
        TextField::Address | TextField::From | TextField::To | TextField::MessageId | TextField::Subject | TextField::Reply => &[],
    }
}

/// What a find is called when it is told of.
fn name(kinds: &[TermKind]) -> &'static str {
    use TermKind as Is;
    match kinds {
        [Is::FromDomain, Is::ToDomain] => "domain",
        [Is::FromLocal, Is::FromDomain] => "part of the reverse-path",
        [Is::ToLocal, Is::ToDomain] => "part of a recipient",
        [Is::FromLocal, ..] if kinds.len() > 2 => "part of an address",
        [first, ..] => match first {
            Is::Id => "id",
            Is::Session => "session",
            Is::BodyDigest => "digest",
            Is::Amends => "amended record",
            Is::MessageIdWord => "word of the Message-ID",
            Is::QueueId => "queue id",
            Is::FromLocal => "local part of the reverse-path",
            Is::FromDomain => "domain of the reverse-path",
            Is::ToLocal => "local part of a recipient",
            Is::ToDomain => "domain of a recipient",
            Is::HeaderLocal => "local part of the header From",
            Is::HeaderDomain => "domain of the header From",
            Is::ClientIp => "client",
            Is::UpstreamIp => "address of the upstream",
            Is::Helo => "helo",
            Is::AuthUser => "auth-user",
            Is::UpstreamName | Is::UpstreamHost => "upstream",
            Is::Listener => "listener",
            Is::Kind => "kind",
            Is::State | Is::RecipientState | Is::EarlierState => "state",
            Is::Stage | Is::RecipientStage => "stage",
            Is::By | Is::RecipientBy => "by",
            Is::Act => "act",
            Is::Cause | Is::RecipientCause => "cause",
            Is::Code | Is::RecipientCode => "code",
            Is::Enhanced | Is::RecipientEnhanced => "enhanced",
            Is::ReplyWord => "word of a reply",
            Is::SubjectWord => "word of the subject",
            Is::Flag => "flag",
            Is::UpstreamTls => "tls",
            Is::ClientTls => "client-tls",
            Is::Rule => "rule",
            Is::Provider => "provider",
            Is::Incident => "incident",
            Is::Anomaly => "anomaly",
            Is::Event => "event",
            Is::ReportedMessageId => "Message-ID of the original",
            Is::ReportedQueueId => "queue id of the original",
            Is::ReportedLocal => "local part of a reported recipient",
            Is::ReportedDomain => "domain of a reported recipient",
        },
        [] => "nothing",
    }
}
