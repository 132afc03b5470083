//! The routing table: conditions on session and envelope, and the upstream that a match leads to.

use std::net::IpAddr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use ipnet::IpNet;
use thiserror::Error;

/// What is known of a session at its door.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    pub listener: &'a str,
    pub client: IpAddr,
}

/// What is known of a message at its first RCPT TO: both paths, unless it is only asked about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Envelope<'a> {
    /// Without angle brackets; empty for the null sender.
    pub reverse_path: Option<&'a str>,
    /// Without angle brackets.
    pub forward_path: Option<&'a str>,
    /// SIZE as declared at MAIL FROM, octets.
    pub size: Option<u64>,
}

/// One `[[route]]`. A list that is empty matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    pub listeners: Vec<String>,
    pub clients: Vec<IpNet>,
    /// Addresses, `@example.org`, `@.example.org` (all below), or `<>` for the null sender. Lower case.
    pub reverse_paths: Vec<String>,
    /// `example.org` or `.example.org` (all below). Lower case.
    pub recipient_domains: Vec<String>,
    /// Matches messages declared larger than this, octets.
    pub larger_than: Option<u64>,
    /// Name of the upstream.
    pub upstream: String,
    /// Pass the session through unread.
    pub passthrough: bool,
}

/// Why a rule does not match: the first condition that fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Miss {
    #[error("the listener is {listener:?}, the rule is for {}", list(.wanted))]
    Listener { listener: String, wanted: Vec<String> },
    #[error("the client {client} is in none of {}", list(.wanted))]
    Client { client: IpAddr, wanted: Vec<String> },
    #[error("the reverse-path <{reverse_path}> is none of {}", list(.wanted))]
    ReversePath { reverse_path: String, wanted: Vec<String> },
    #[error("the recipient's domain {domain:?} is none of {}", list(.wanted))]
    RecipientDomain { domain: String, wanted: Vec<String> },
    #[error("the message is declared with {size} octets, the rule is for more than {larger_than}")]
    Size { size: u64, larger_than: u64 },
    #[error("the client doesn't declare a size, the rule is for more than {larger_than} octets")]
    NoSize { larger_than: u64 },
    #[error("it looks at the envelope, which isn't known yet")]
    NeedsEnvelope,
    /// All else matches.
    #[error("it looks at the {what}, which isn't known")]
    NotKnown { what: &'static str },
}

fn list(wanted: &[String]) -> String {
    wanted.join(", ")
}

/// A rule, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Considered<'a> {
    pub rule: &'a Rule,
    pub outcome: Result<(), Miss>,
}

impl Rule {
    /// Whether it looks at what is only known after MAIL FROM and RCPT TO.
    pub fn needs_envelope(&self) -> bool {
        !self.reverse_paths.is_empty() || !self.recipient_domains.is_empty() || self.larger_than.is_some()
    }

    /// Whether it matches, or the first condition that fails. Without an envelope, rules that need one don't match.
    ///
    /// # Errors
    /// The condition that fails.
    pub fn matches(&self, session: Session<'_>, envelope: Option<Envelope<'_>>) -> Result<(), Miss> {
        let client = session.client.to_canonical();
        if !self.listeners.is_empty() && !self.listeners.iter().any(|listener| listener == session.listener) {
            return Err(Miss::Listener { listener: session.listener.to_owned(), wanted: self.listeners.clone() });
        }
        if !self.clients.is_empty() && !self.clients.iter().any(|network| network.contains(&client)) {
            return Err(Miss::Client { client, wanted: self.clients.iter().map(ToString::to_string).collect() });
        }
        if !self.needs_envelope() {
            return Ok(());
        }
        let Some(envelope) = envelope else { return Err(Miss::NeedsEnvelope) };
        self.matches_envelope(envelope)
    }

    fn matches_envelope(&self, envelope: Envelope<'_>) -> Result<(), Miss> {
        let mut not_known = None;
        if !self.reverse_paths.is_empty() {
            match envelope.reverse_path.map(compared_path) {
                None => not_known = Some("reverse-path"),
                Some(reverse_path) if self.reverse_paths.iter().any(|pattern| takes_path(pattern, &reverse_path)) => {}
                Some(reverse_path) => return Err(Miss::ReversePath { reverse_path, wanted: self.reverse_paths.clone() }),
            }
        }
        if !self.recipient_domains.is_empty() {
            match envelope.forward_path.map(domain_of) {
                None => not_known = not_known.or(Some("recipient")),
                Some(domain) if self.recipient_domains.iter().any(|pattern| takes_domain(pattern, &domain)) => {}
                Some(domain) => return Err(Miss::RecipientDomain { domain, wanted: self.recipient_domains.clone() }),
            }
        }
        match (self.larger_than, envelope.size) {
            (Some(larger_than), None) => Err(Miss::NoSize { larger_than }),
            (Some(larger_than), Some(size)) if size <= larger_than => Err(Miss::Size { size, larger_than }),
            _ => not_known.map_or(Ok(()), |what| Err(Miss::NotKnown { what })),
        }
    }
}

/// The rules in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub rules: Vec<Rule>,
}

impl Table {
    /// The first rule that matches.
    pub fn choose(&self, session: Session<'_>, envelope: Option<Envelope<'_>>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.matches(session, envelope).is_ok())
    }

    /// Every rule up to the one that matches, with the condition that each of those before it fails.
    pub fn explain<'a>(&'a self, session: Session<'_>, envelope: Option<Envelope<'_>>) -> Vec<Considered<'a>> {
        let mut considered = Vec::new();
        for rule in &self.rules {
            let outcome = rule.matches(session, envelope);
            let matched = outcome.is_ok();
            considered.push(Considered { rule, outcome });
            if matched {
                break;
            }
        }
        considered
    }
}

/// The domain of a path as domains are compared; empty if it has none. Source routes are read past (RFC 5321 §4.1.2).
pub fn domain_of(path: &str) -> String {
    compared(path.rsplit_once('@').map_or("", |(_, domain)| domain))
}

/// A domain, or a pattern of domains, as it is compared: lower case, U-labels as A-labels (RFC 5891), without a final dot. What only resembles
/// a U-label (other widths, characters that nobody sees) stays as it is: the server behind need not take it for the same.
pub fn compared(domain: &str) -> String {
    let lower = domain.trim_end_matches('.').to_lowercase();
    if lower.is_ascii() {
        return lower;
    }
    let (dot, name) = lower.strip_prefix('.').map_or(("", &*lower), |name| (".", name));
    let idna = Uts46::new();
    let ascii = idna.to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify).ok();
    let is_itself = |ascii: &str| idna.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::Check).0 == name;
    ascii.filter(|ascii| is_itself(ascii)).map_or_else(|| lower.clone(), |ascii| format!("{dot}{ascii}"))
}

/// A pattern of reverse-paths as it is compared.
pub fn compared_path(path: &str) -> String {
    match path.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{}", local.to_lowercase(), compared(domain)),
        None => path.to_lowercase(),
    }
}

/// Whether a domain is the pattern's, both [`compared`]: `example.org`, or `.example.org` for all below it.
pub fn takes_domain(pattern: &str, domain: &str) -> bool {
    match pattern.strip_prefix('.') {
        Some(parent) => domain.strip_suffix(parent).is_some_and(|below| below.ends_with('.') && below.len() > 1),
        None => domain == pattern,
    }
}

fn takes_path(pattern: &str, path: &str) -> bool {
    match (pattern, pattern.strip_prefix('@')) {
        ("<>", _) => path.is_empty(),
        (_, Some(domain)) => !path.is_empty() && takes_domain(domain, &domain_of(path)),
        (address, None) => path == address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Envelope<'_> =
        Envelope { reverse_path: Some("Ann@From.Example"), forward_path: Some("bob@sub.to.example"), size: Some(1_000) };

    fn session() -> Session<'static> {
        Session { listener: "out", client: "10.1.2.3".parse().unwrap() }
    }

    #[track_caller]
    fn check(rule: Rule, matches: bool) {
        assert_eq!(rule.matches(session(), Some(ANN)).is_ok(), matches, "{rule:?}");
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn u_labels_are_compared_as_a_labels_and_what_only_resembles_them_is_not() {
        for (written, same) in [
            ("BÜCHER.example.", "xn--bcher-kva.example"),
            (".bücher.example", ".xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("our.example\u{200b}", "our.example\u{200b}"),
            ("\u{ff4f}ur.example", "\u{ff4f}ur.example"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("", ""),
        ] {
            assert_eq!(compared(written), same, "{written:?}");
        }
        assert_eq!(compared_path("Ann@BÜCHER.example"), "ann@xn--bcher-kva.example");
        assert!(takes_domain(&compared(".bücher.example"), &domain_of("bob@mail.xn--bcher-kva.example")));
    }

    #[test]
    fn each_condition_must_hold() {
        check(Rule::default(), true);
        check(Rule { listeners: words(&["in", "out"]), ..Rule::default() }, true);
        check(Rule { listeners: words(&["in"]), ..Rule::default() }, false);
        check(Rule { clients: vec!["10.0.0.0/8".parse().unwrap()], ..Rule::default() }, true);
        check(Rule { clients: vec!["192.0.2.0/24".parse().unwrap()], ..Rule::default() }, false);
        check(Rule { larger_than: Some(999), ..Rule::default() }, true);
        check(Rule { larger_than: Some(1_000), ..Rule::default() }, false);
        check(Rule { listeners: words(&["out"]), larger_than: Some(1_000), ..Rule::default() }, false);
    }

    #[test]
    fn paths_and_domains_are_compared_without_case() {
        for (pattern, matches) in [
            ("ann@from.example", true),
            ("@from.example", true),
            ("@.from.example", false),
            ("@.example", true),
            ("<>", false),
            ("ann", false),
        ] {
            check(Rule { reverse_paths: words(&[pattern]), ..Rule::default() }, matches);
        }
        for (pattern, matches) in [("sub.to.example", true), ("to.example", false), (".to.example", true), (".sub.to.example", false)] {
            check(Rule { recipient_domains: words(&[pattern]), ..Rule::default() }, matches);
        }
    }

    #[test]
    fn the_null_sender_has_a_pattern_of_its_own() {
        let bounce = Envelope { reverse_path: Some(""), ..ANN };
        let rule = |pattern| Rule { reverse_paths: words(&[pattern]), ..Rule::default() };
        assert!(rule("<>").matches(session(), Some(bounce)).is_ok());
        assert!(rule("@from.example").matches(session(), Some(bounce)).is_err());
    }

    #[test]
    fn a_path_that_is_not_known_is_not_the_null_sender() {
        let bounces = Rule { reverse_paths: words(&["<>"]), ..Rule::default() };
        let told = |rule: &Rule, envelope| rule.matches(session(), Some(envelope)).map_err(|miss| miss.to_string());
        let nobody = Envelope { reverse_path: None, ..ANN };
        assert_eq!(told(&bounces, nobody), Err("it looks at the reverse-path, which isn't known".to_owned()));
        let to = Rule { recipient_domains: words(&["sub.to.example"]), ..Rule::default() };
        assert_eq!(told(&to, nobody), Ok(()));
        let nowhere = Envelope { forward_path: None, ..ANN };
        assert_eq!(told(&to, nowhere), Err("it looks at the recipient, which isn't known".to_owned()));
        // What is known decides first, and counts without the rest.
        let large = Rule { larger_than: Some(1_000), ..bounces };
        assert!(told(&large, nobody).unwrap_err().starts_with("the message is declared with 1000 octets"));
        assert_eq!(told(&Rule { larger_than: Some(999), ..Rule::default() }, Envelope { size: ANN.size, ..Envelope::default() }), Ok(()));
    }

    #[test]
    fn without_an_envelope_only_the_door_counts() {
        let by_door = Rule { name: "door".into(), clients: vec!["10.0.0.0/8".parse().unwrap()], ..Rule::default() };
        let by_domain = Rule { name: "domain".into(), recipient_domains: words(&["sub.to.example"]), ..Rule::default() };
        let table = Table { rules: vec![by_domain, by_door] };
        assert_eq!(table.choose(session(), None).unwrap().name, "door");
        assert_eq!(table.choose(session(), Some(ANN)).unwrap().name, "domain");
    }

    #[test]
    fn it_says_why_a_rule_was_passed_over() {
        let partner = Rule { name: "partner".into(), recipient_domains: words(&["partner.example"]), ..Rule::default() };
        let table = Table { rules: vec![partner, Rule { name: "rest".into(), ..Rule::default() }, Rule::default()] };
        let told: Vec<_> = table
            .explain(session(), Some(ANN))
            .iter()
            .map(|it| format!("{}: {}", it.rule.name, it.outcome.as_ref().map_or_else(ToString::to_string, |()| "matches".into())))
            .collect();
        assert_eq!(told, ["partner: the recipient's domain \"sub.to.example\" is none of partner.example", "rest: matches"]);
    }
}
