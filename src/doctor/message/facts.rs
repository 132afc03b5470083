//! What a record says of how a message stopped.

use std::net::IpAddr;

use crate::diagnose::Cause;
use crate::net::resolve::not_global;
use crate::route::table::domain_of;
use crate::trace::json::{self, Outcome, Record, Reply, Time};
use crate::trace::{Act, Actor, Direction, Stage, State};

/// The facts that decide what to look at. Texts may hold what others sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    pub id: String,
    pub at: Time,
    pub state: State,
    pub stage: Stage,
    pub by: Actor,
    pub cause: Option<Cause>,
    pub act: Option<Act>,
    /// Name of the upstream in the configuration.
    pub upstream: Option<String>,
    pub recipient: Option<String>,
    /// Empty: the null sender.
    pub reverse_path: Option<String>,
    /// Of the reverse-path and of the header From, each once.
    pub sender_domains: Vec<String>,
    /// The reply that decided, or our own words.
    pub words: String,
    /// Octets, counted or as the client announced them.
    pub size: Option<u64>,
    /// What the upstream took at most then, as it announced (SIZE).
    pub limit: Option<u64>,
    /// Domain and selector of each DKIM signature.
    pub signatures: Vec<(String, String)>,
    /// Who brought it in from outside; `None`: it is mail of one's own on its way out, or a log that doesn't say.
    pub stranger: Option<Stranger>,
}

/// A client from outside: neither its address nor the sender's domain is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    pub ip: IpAddr,
    /// Empty: it gave none.
    pub helo: String,
}

impl Stopped {
    /// `None`: the record tells of no message and no connection.
    pub fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Transaction(it) => Some(transaction(it)),
            Record::Session(it) => {
                let outcome = it.outcome.as_ref()?;
                let words = words(outcome.reply.as_ref(), outcome.detail.as_deref().or(it.ended.detail.as_deref()));
                let stranger = stranger(it.direction.0, &it.client);
                Some(Self { upstream: named(&it.upstream.name), stranger, ..Self::from_outcome(it.id.to_string(), it.at, outcome, words) })
            }
            Record::Log(it) => {
                let outcome = it.outcome.as_ref()?;
                let words = words(outcome.reply.as_ref().or(it.reply.as_ref()), it.detail.as_deref());
                Some(Self {
                    recipient: it.recipient.clone(),
                    reverse_path: it.reverse_path.clone(),
                    sender_domains: domains([it.reverse_path.as_deref(), None]),
                    ..Self::from_outcome(it.id.to_string(), it.at, outcome, words)
                })
            }
            Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) | Record::Audit(_) | Record::Incident(_) => None,
        }
    }

    fn from_outcome(id: String, at: Time, outcome: &Outcome, words: String) -> Self {
        Self {
            id,
            at,
            state: outcome.state.0,
            stage: outcome.stage.0,
            by: outcome.by.0,
            cause: outcome.cause.map(|cause| cause.0),
            act: outcome.act.map(|act| act.0),
            upstream: None,
            recipient: None,
            reverse_path: None,
            sender_domains: Vec::new(),
            words,
            size: None,
            limit: None,
            signatures: Vec::new(),
            stranger: None,
        }
    }

    pub fn recipient_domain(&self) -> Option<String> {
        self.recipient.as_deref().map(domain_of).filter(|domain| !domain.is_empty())
    }

    /// Selectors that it was signed with for a domain.
    pub fn selectors_of(&self, domain: &str) -> Vec<String> {
        self.signatures.iter().filter(|(of, _)| of == domain).map(|(_, selector)| selector.clone()).collect()
    }

    /// Its size, where it was beyond the announced limit: only then a new limit decides anything.
    pub fn size_beyond_limit(&self) -> Option<u64> {
        let (size, limit) = (self.size?, self.limit?);
        (limit > 0 && size > limit).then_some(size)
    }

    /// The client's address, where others know it too: not that of a load balancer or a neighbour.
    pub fn strangers_address(&self) -> Option<IpAddr> {
        self.stranger.as_ref().map(|stranger| stranger.ip).filter(|ip| not_global(*ip).is_none())
    }

    /// Addresses of the internet that the reply names: as a rule the one that was found wanting.
    pub fn named_addresses(&self) -> Vec<IpAddr> {
        let words = self.words.split(|it: char| !(it.is_ascii_hexdigit() || matches!(it, '.' | ':')));
        let mut found: Vec<IpAddr> = words.filter_map(|word| word.trim_matches(['.', ':']).parse().ok()).collect();
        found.retain(|address| not_global(*address).is_none());
        found.dedup();
        found.truncate(2);
        found
    }
}

fn transaction(it: &json::Transaction) -> Stopped {
    // Where recipients fared differently, the first that failed.
    let failed = it.envelope.recipients.iter().find(|recipient| recipient.state.0 != State::Accepted);
    let decisive = failed.or(it.envelope.recipients.first());
    let reply = it.outcome.reply.as_ref().filter(|_| it.outcome.state.0 != State::Partial);
    let own = failed.and_then(|recipient| recipient.reply.as_ref());
    let words = words(reply.or(own), it.outcome.detail.as_deref());
    let stopped = Stopped::from_outcome(it.id.to_string(), it.at, &it.outcome, words);
    let partial = failed.filter(|_| stopped.state == State::Partial);
    Stopped {
        cause: partial.and_then(|recipient| recipient.cause).map(|cause| cause.0).or(stopped.cause),
        act: partial.and_then(|recipient| recipient.act).map(|act| act.0).or(stopped.act),
        stage: partial.map_or(stopped.stage, |recipient| recipient.stage.0),
        by: partial.map_or(stopped.by, |recipient| recipient.by.0),
        upstream: named(&it.upstream.name),
        recipient: decisive.map(|recipient| recipient.address.clone()),
        reverse_path: Some(it.envelope.reverse_path.clone()),
        sender_domains: domains([Some(&it.envelope.reverse_path), it.message.from.as_deref()]),
        size: Some(it.message.size).filter(|size| *size > 0).or(it.envelope.size_declared),
        limit: it.upstream.offered.iter().find_map(|line| announced(line)),
        signatures: it.message.signatures.iter().map(|it| (it.domain.clone(), it.selector.clone())).collect(),
        stranger: stranger(it.direction.0, &it.client),
        ..stopped
    }
}

fn stranger(direction: Direction, client: &json::Client) -> Option<Stranger> {
    let helo = client.helo.clone().unwrap_or_default();
    (direction == Direction::Inbound).then(|| Stranger { ip: client.ip.to_canonical(), helo })
}

/// The limit in a line of EHLO's answer: `SIZE 52428800`.
fn announced(line: &str) -> Option<u64> {
    let (keyword, limit) = line.split_once(' ')?;
    keyword.eq_ignore_ascii_case("SIZE").then(|| limit.trim().parse().ok())?
}

fn named(upstream: &str) -> Option<String> {
    Some(upstream.to_owned()).filter(|name| !name.is_empty())
}

fn words(reply: Option<&Reply>, detail: Option<&str>) -> String {
    match reply {
        Some(reply) => format!("{} {}", reply.code, reply.lines.join(" ")).trim_end().to_owned(),
        None => detail.unwrap_or_default().to_owned(),
    }
}

/// Of a path, and of a header field as it was sent: `Ann <ann@from.example>`.
fn domains(addresses: [Option<&str>; 2]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for address in addresses.into_iter().flatten() {
        let bare = address.rsplit_once('<').map_or(address, |(_, rest)| rest);
        let domain = domain_of(bare.split('>').next().unwrap_or_default().trim());
        let is_name = domain.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_'));
        if !domain.is_empty() && is_name && !found.contains(&domain) {
            found.push(domain);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_read_out_of_paths_and_header_fields() {
        assert_eq!(domains([Some("a@X.example"), Some("Ann <ann@y.example>")]), ["x.example", "y.example"]);
        assert_eq!(domains([Some(""), Some("\"a@b\" <ann@y.example> (x)")]), ["y.example"]);
        assert!(domains([Some("a@b c"), None]).is_empty());
    }

    #[test]
    fn only_what_was_beyond_the_limit_is_compared_with_another_limit() {
        assert_eq!([announced("SIZE 1000"), announced("size"), announced("8BITMIME")], [Some(1000), None, None]);
        let of = |size, limit| {
            let crate::trace::Record::Transaction(it) = crate::store::samples::transaction(7) else { unreachable!() };
            let mut it = Record::from(&crate::trace::Record::Transaction(it));
            let Record::Transaction(written) = &mut it else { unreachable!() };
            (written.message.size, written.envelope.size_declared) = (0, Some(size));
            written.upstream.offered = vec!["8BITMIME".to_owned(), format!("SIZE {limit}")];
            Stopped::of(&it).and_then(|stopped| stopped.size_beyond_limit())
        };
        assert_eq!([of(2_000, 1_000), of(500, 1_000), of(2_000, 0)], [Some(2_000), None, None]);
    }
}
