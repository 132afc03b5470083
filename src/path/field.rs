//! What can be asked for by name: `field:value` as a term.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::answer::PathState;
use super::bounds;
use super::lex::Word;
use super::nearest::nearest_word;
use super::what::NotUnderstood;
use crate::store::{Term, TextField, TlsIs};
use crate::trace::digest::NotADigest;
use crate::trace::{Act, Actor, Anomaly, Cause, Flag, Leg, LogEvent, RecordId, RecordKind, Stage, State};

/// What can be asked for by name.
const FIELDS: &[&str] = &[
    "id",
    "session",
    "message-id",
    "queue",
    "from",
    "to",
    "address",
    "domain",
    "subject",
    "digest",
    "client",
    "helo",
    "auth-user",
    "listener",
    "upstream",
    "code",
    "state",
    "ever",
    "stage",
    "flag",
    "kind",
    "by",
    "act",
    "cause",
    "rule",
    "provider",
    "event",
    "incident",
    "anomaly",
    "enhanced",
    "reply",
    "tls",
    "client-tls",
    "size",
    "duration",
    "since",
    "until",
];

/// Whether it begins as a term does: `since:2d`, `from:`.
pub fn is_term(word: &str) -> bool {
    word.split_once(':').is_some_and(|(name, _)| is_field(name))
}

/// Whether something can be asked for by that name.
pub fn is_field(name: &str) -> bool {
    FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name))
}

/// Whether its values are sometimes written with spaces.
pub fn may_have_spaces(name: &str) -> bool {
    ["subject", "reply", "message-id", "since", "until", "listener", "upstream", "auth-user"]
        .iter()
        .any(|field| field.eq_ignore_ascii_case(name))
}

/// Reads the value of a field.
///
/// # Errors
/// There is no such field, or it can't have that value: with the column.
pub fn term(column: usize, field: &str, word: &Word) -> Result<Term, NotUnderstood> {
    let value = word.value.as_str();
    let wrong = |message: String| NotUnderstood { column: word.value_column, message };
    if word.has_star {
        return pattern(field, value).map_err(wrong);
    }
    let text = value.to_owned();
    let ip = || IpAddr::from_str(value.trim_matches(['[', ']']));
    let id = || RecordId::from_str(value).map_err(|error| wrong(error.to_string()));
    Ok(match field {
        "id" => Term::Id(id()?),
        "session" => Term::Session(id()?),
        "message-id" => Term::MessageId(has_words(value).map_err(wrong)?),
        "queue" => Term::QueueId(text),
        "from" => Term::From(if value == "<>" { String::new() } else { text }),
        "to" => Term::To(text),
        "address" => Term::Address(text),
        "domain" => Term::Domain(value.trim_start_matches('@').to_owned()),
        "subject" => Term::Subject(has_words(value).map_err(wrong)?),
        "reply" => Term::Reply(has_words(value).map_err(wrong)?),
        "digest" => Term::BodyDigest(value.parse().map_err(|error: NotADigest| wrong(error.to_string()))?),
        "client" => match (ip(), IpNet::from_str(value)) {
            (Ok(ip), _) => Term::ClientIp(ip),
            (_, Ok(net)) => Term::ClientNet(canonical(net)),
            _ => return Err(wrong(format!("{value:?} is not an IP address or network such as 192.0.2.1 or 192.0.2.0/24"))),
        },
        "helo" => Term::Helo(text),
        "auth-user" => Term::AuthUser(text),
        "listener" => Term::Listener(text),
        "upstream" => match (ip(), IpNet::from_str(value)) {
            (Ok(ip), _) => Term::UpstreamNet(ip.to_canonical().into()),
            (_, Ok(net)) => Term::UpstreamNet(canonical(net)),
            _ => Term::Upstream(text),
        },
        "code" => match value.parse() {
            Ok(code @ 100..=599) => Term::Code(code),
            _ => return Err(wrong(format!("{value:?} is not a reply code such as 550"))),
        },
        "state" => {
            if PathState::of_path(value).is_some() {
                let message = format!("state:{value} is for the whole question; write it outside of \"or\", \"not\" and parentheses");
                return Err(NotUnderstood { column, message });
            }
            let word = one_of("state", value, PathState::ALL, PathState::word).map_err(wrong)?.word();
            Term::State(one_of("state", word, State::ALL, State::word).map_err(wrong)?)
        }
        "ever" => Term::Ever(one_of("state", value, State::ALL, State::word).map_err(wrong)?),
        "stage" => Term::Stage(one_of("stage", value, Stage::ALL, Stage::word).map_err(wrong)?),
        "flag" => Term::Flag(one_of("flag", value, Flag::ALL, Flag::word).map_err(wrong)?),
        // Reports are messages like others, and carry a flag.
        "kind" if value.eq_ignore_ascii_case("report") => Term::Flag(Flag::Report),
        "event" => Term::Event(one_of("event of a log", value, LogEvent::ALL, LogEvent::word).map_err(wrong)?),
        "incident" => Term::Incident(id()?),
        "anomaly" => Term::Anomaly(one_of("anomaly", value, Anomaly::ALL, Anomaly::word).map_err(wrong)?),
        "kind" => Term::Kind(one_of("kind", value, RecordKind::ALL, RecordKind::word).map_err(wrong)?),
        "by" => Term::By(one_of("party", value, Actor::ALL, Actor::word).map_err(wrong)?),
        "act" => Term::Act(one_of("party", value, Act::ALL, Act::word).map_err(wrong)?),
        "cause" => Term::Cause(one_of("cause", value, Cause::ALL, Cause::word).map_err(wrong)?.word().to_owned()),
        "rule" => Term::Rule(text),
        "provider" => Term::Provider(text),
        "enhanced" => match value.split('.').all(|part| part.parse::<u16>().is_ok()) {
            true => Term::Enhanced(text),
            false => return Err(wrong(format!("{value:?} is not an enhanced status code such as 5.1.1 or 5.7"))),
        },
        "tls" => Term::Tls(Leg::Upstream, tls(value).map_err(wrong)?),
        "client-tls" => Term::Tls(Leg::Client, tls(value).map_err(wrong)?),
        "size" => {
            Term::Size(bounds::size(value).ok_or_else(|| wrong(format!("{value:?} is not a bound such as >10M, <4k or 10k..1M (octets)")))?)
        }
        "duration" => {
            Term::Duration(bounds::duration(value).ok_or_else(|| wrong(format!("{value:?} is not a bound such as >10s, <50ms or 1s..5s")))?)
        }
        unknown => {
            let hint = meant(unknown).map(|near| format!("; did you mean {near}:?")).unwrap_or_default();
            let message = format!("no field is called {unknown:?}{hint} (quote it if it is a word of a subject: \"{unknown}:{value}\")");
            return Err(NotUnderstood { column, message });
        }
    })
}

/// What others call a field: mail servers, their logs, other tools.
const SYNONYMS: [(&str, &[&str]); 18] = [
    ("to", &["rcpt", "rcpt-to", "rcpts", "recipient", "recipients", "receiver", "envelope-to", "dest", "destination"]),
    ("from", &["mail", "mail-from", "sender", "envelope-from", "return-path", "reverse-path", "envelope"]),
    ("client", &["ip", "addr", "client-ip", "remote", "remote-ip", "peer", "src", "source", "host", "sender-ip"]),
    ("state", &["status", "result", "outcome", "verdict"]),
    ("message-id", &["msgid", "msg-id", "mid", "messageid", "message"]),
    ("queue", &["qid", "queueid", "queue-id", "postfix-id"]),
    ("domain", &["dom", "domains", "rcpt-domain", "recipient-domain", "sender-domain"]),
    ("subject", &["subj", "title"]),
    ("upstream", &["server", "smarthost", "smart-host", "relay", "mx", "next-hop", "backend"]),
    ("helo", &["ehlo", "helo-name"]),
    ("auth-user", &["user", "username", "login", "auth", "sasl", "sasl-username", "account"]),
    ("reply", &["text", "error", "response", "diagnostic"]),
    ("cause", &["reason", "why"]),
    ("enhanced", &["dsn", "esc"]),
    ("code", &["smtp-code", "reply-code"]),
    ("since", &["after", "start", "begin"]),
    ("until", &["before", "end", "till"]),
    ("address", &["email", "mailbox"]),
];

/// The field that was meant by a name that is none.
fn meant(unknown: &str) -> Option<&'static str> {
    let name = unknown.replace('_', "-");
    let known = FIELDS.iter().copied().find(|field| *field == name);
    let other = || SYNONYMS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(field, _)| *field);
    known.or_else(other).or_else(|| nearest_word(unknown, FIELDS))
}

/// Fields that can be asked for by a part of their values.
fn text_field(field: &str) -> Option<TextField> {
    Some(match field {
        "address" => TextField::Address,
        "from" => TextField::From,
        "to" => TextField::To,
        "domain" => TextField::Domain,
        "message-id" => TextField::MessageId,
        "queue" => TextField::QueueId,
        "subject" => TextField::Subject,
        "reply" => TextField::Reply,
        "helo" => TextField::Helo,
        "auth-user" => TextField::AuthUser,
        "upstream" => TextField::Upstream,
        "listener" => TextField::Listener,
        "cause" => TextField::Cause,
        "rule" => TextField::Rule,
        "provider" => TextField::Provider,
        _ => return None,
    })
}

/// A value with stars in it.
fn pattern(field: &str, value: &str) -> Result<Term, String> {
    let Some(of) = text_field(field) else {
        return Err(match field {
            "client" => format!("{field}: takes no *; write a network: 192.0.2.0/24"),
            "enhanced" => "enhanced: takes no *; its beginning will do: 5.7".to_owned(),
            "size" | "duration" => format!("{field}: takes no *; write bounds: >1, <2, 1..2"),
            known if is_field(known) => format!("{field}: takes no *"),
            unknown => {
                let hint = meant(unknown).map(|near| format!("; did you mean {near}:?")).unwrap_or_default();
                format!("no field is called {unknown:?}{hint} (quote it if it is a word of a subject)")
            }
        });
    };
    with_star(of, value)
}

/// `inv*`, `*oice`, `in*ce`.
///
/// # Errors
/// A pattern of several words.
pub fn with_star(of: TextField, value: &str) -> Result<Term, String> {
    let is_words = matches!(of, TextField::MessageId | TextField::Subject | TextField::Reply);
    let value = if of == TextField::Domain { value.trim_start_matches('@') } else { value };
    if let Some(beginning) = value.strip_suffix('*').filter(|beginning| !beginning.is_empty() && !beginning.contains('*')) {
        return Ok(Term::Begins(of, if is_words { has_words(beginning)? } else { beginning.to_owned() }));
    }
    match is_words && value.contains(|c: char| !c.is_alphanumeric() && c != '*') {
        true => Err(format!("{value:?}: a pattern is for one word; only the last of several may end with *")),
        false => Ok(Term::Like(of, value.to_owned())),
    }
}

/// A network of IPv4 that is written as one of IPv6 (`::ffff:192.0.2.0/120`): records have its addresses as IPv4.
pub fn canonical(net: IpNet) -> IpNet {
    let of_v4 = |net: ipnet::Ipv6Net| Some((net.network().to_ipv4_mapped()?, net.prefix_len().checked_sub(96)?));
    let IpNet::V6(mapped) = net else { return net };
    of_v4(mapped).and_then(|(address, length)| IpNet::new(address.into(), length).ok()).unwrap_or(net)
}

/// A value in which there is something to look for.
fn has_words(value: &str) -> Result<String, String> {
    match value.chars().any(char::is_alphanumeric) {
        true => Ok(value.to_owned()),
        false => Err(format!("{value:?} has neither letter nor digit to look for")),
    }
}

fn tls(value: &str) -> Result<TlsIs, String> {
    Ok(match value.to_ascii_lowercase().as_str() {
        "none" | "no" => TlsIs::None,
        "any" | "yes" => TlsIs::Any,
        "verified" => TlsIs::Verified,
        "unverified" => TlsIs::Unverified,
        version if version.starts_with("tlsv1") => TlsIs::Version(value.to_owned()),
        _ => return Err(format!("{value:?} is not one of: none, any, verified, unverified, TLSv1.2, TLSv1.3")),
    })
}

fn one_of<T: Copy>(field: &str, value: &str, all: &[T], word: fn(T) -> &'static str) -> Result<T, String> {
    all.iter().copied().find(|&one| word(one).eq_ignore_ascii_case(value)).ok_or_else(|| {
        let words: Vec<&str> = all.iter().copied().map(word).collect();
        let hint = nearest_word(value, &words).map_or(".".to_owned(), |near| format!("; did you mean {near}?"));
        format!("{value:?} is not a {field}{hint} One of: {}", words.join(" "))
    })
}
