//! `relayscope route`: which rule of the routing table a message would match, and why, without sending it.

use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::failure::{Failure, Status};
use super::run::Source;
use super::running::{self, Effective};
use super::screen::{print, show_json, visible};
use crate::config::Loaded;
use crate::relay::options::{Ehlo, SessionOptions};
use crate::route::table::domain_of;
use crate::route::{Envelope, Session};
use crate::trace::UpstreamKind;

/// What is known of the message.
const QUESTION: &str =
    "from=ADDRESS to=ADDRESS size=1M client=IP listener=NAME, in any order; what is missing is not known, without size= none is declared";

#[derive(Debug, Args)]
pub struct Route {
    /// The message: from=a@x.example to=b@y.example size=1M client=192.0.2.7 listener=smtp
    #[arg(value_name = "TERM", required = true)]
    terms: Vec<String>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: Box<Source>,
}

#[derive(Debug, Default)]
struct Question {
    from: Option<String>,
    to: Option<String>,
    size: Option<u64>,
    client: Option<IpAddr>,
    listener: Option<String>,
}

/// The answer, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Answer {
    listener: String,
    client: IpAddr,
    upstream: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    passthrough: bool,
    /// The domain whose mail exchangers are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    hosts: Vec<String>,
    considered: Vec<Considered>,
    /// Whether the client is in the listener's `allow`: others are refused with 554 at the door.
    allowed: bool,
    /// Why the recipient is refused with 550 5.7.1 (`accept_domains`).
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Considered {
    rule: String,
    matches: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
}

impl Route {
    pub fn run(self) -> ExitCode {
        let question = match Question::read(&self.terms) {
            Ok(question) => question,
            Err(why) => return usage(&why),
        };
        let store = running::store_of(self.source.store.as_deref(), self.source.config.as_deref());
        let effective = match Effective::of((*self.source).clone(), store) {
            Ok(effective) => effective,
            Err(failure) => return failure.report(),
        };
        let loaded = match effective.source.load() {
            Ok(loaded) => loaded,
            Err(exit) => return exit,
        };
        effective.say(&loaded);
        let session = match listener(&loaded, question.listener.as_deref()) {
            Ok(session) => session,
            Err(why) => return usage(&why),
        };
        let answer = answer(session, &question);
        let shown = match self.json {
            true => show_json(&answer),
            false => print(&words(session, &question, &answer)).map_err(Into::into),
        };
        match shown {
            Ok(()) => Status::Done.into(),
            Err(error) => Failure::failed(error).report(),
        }
    }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("relayscope: {}\nA message is told as {QUESTION}", visible(why));
    Status::Usage.into()
}

impl Question {
    fn read(terms: &[String]) -> Result<Self, String> {
        let mut question = Self::default();
        for term in terms.iter().flat_map(|terms| terms.split_whitespace()) {
            let Some((name, value)) = term.split_once('=') else { return Err(format!("{term:?} is no name=value")) };
            let bare = value.trim_start_matches('<').trim_end_matches('>').to_owned();
            match name {
                "from" => question.from = Some(bare),
                // By which of several the upstream is chosen, the first that is taken, the table alone doesn't say.
                "to" if question.to.is_some() => return Err("to= is given twice: ask for one recipient at a time".to_owned()),
                "to" => question.to = Some(bare),
                "size" => question.size = Some(octets(value)?),
                "client" => question.client = Some(address(value)?),
                "listener" => question.listener = Some(value.to_owned()),
                _ => return Err(format!("{name:?} is not known")),
            }
        }
        Ok(question)
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope { reverse_path: self.from.as_deref(), forward_path: self.to.as_deref(), size: self.size }
    }
}

/// As the door sees it: IPv4 behind a socket for both families is IPv4.
fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map(|address: IpAddr| address.to_canonical()).map_err(|_| format!("client={text:?} is no IP address"))
}

/// `1M`, `10MB`, `64 KiB` without the blank, `5000`.
fn octets(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|it: char| !it.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default().to_ascii_lowercase();
    let factor = match unit.trim_end_matches('b') {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        _ => return Err(format!("size={text:?} is no size: write for example 1M or 64KiB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("size={text:?} is no size: write for example 1M or 64KiB"))?;
    number.checked_mul(factor).ok_or_else(|| format!("size={text:?} is too much"))
}

fn listener<'a>(loaded: &'a Loaded, wanted: Option<&str>) -> Result<&'a SessionOptions, String> {
    let names = || loaded.sessions.iter().map(|session| session.listener.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = match wanted {
        Some(wanted) => loaded.sessions.iter().find(|session| session.listener.name == wanted),
        None => loaded.sessions.first(),
    };
    found.map(AsRef::as_ref).ok_or_else(|| format!("listener={:?} does not exist: there is {}", wanted.unwrap_or_default(), names()))
}

fn answer(session: &SessionOptions, question: &Question) -> Answer {
    let listener = &session.listener;
    let client = question.client.or_else(|| listener.allow.iter().find_map(|network| network.hosts().next()));
    let client = client.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
    let door = Session { listener: &listener.name, client };
    // Where EHLO comes from the upstream, nothing of the envelope is known when it is chosen.
    let envelope = (listener.ehlo == Ehlo::Static).then(|| question.envelope());
    let (upstream, rule) = session.destination(door, envelope);
    let considered = session.routes.explain(door, envelope).into_iter().map(|it| Considered {
        rule: it.rule.name.clone(),
        matches: it.outcome.is_ok(),
        why_not: it.outcome.err().map(|miss| miss.to_string()),
    });
    Answer {
        listener: listener.name.clone(),
        client,
        upstream: upstream.name.clone(),
        kind: upstream.kind.word(),
        rule: rule.map(|rule| rule.name.clone()),
        passthrough: rule.is_some_and(|rule| rule.passthrough),
        domain: question.to.as_deref().filter(|_| upstream.kind == UpstreamKind::Mx).map(domain_of),
        hosts: upstream.hosts.iter().map(|host| format!("{}:{}", host.host, host.port)).collect(),
        considered: considered.collect(),
        allowed: listener.allow.iter().any(|network| network.contains(&client)),
        refused: question.to.as_deref().and_then(|to| listener.refuses(to)),
    }
}

fn words(session: &SessionOptions, question: &Question, answer: &Answer) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let assumed = if question.client.is_none() { " (assumed)" } else { "" };
    let _ = writeln!(text, "Listener \"{}\", client {}{assumed}", answer.listener, answer.client);
    for it in &answer.considered {
        let outcome = it.why_not.as_ref().map_or("matches".to_owned(), |why| format!("no: {why}"));
        let _ = writeln!(text, "  route \"{}\": {}", it.rule, visible(&outcome));
    }
    let by = match &answer.rule {
        Some(rule) => format!("route \"{rule}\""),
        None if answer.considered.is_empty() => "there are no routes; the listener's own upstream".to_owned(),
        None => "no route matches; the listener's own upstream".to_owned(),
    };
    let goes = match (&answer.domain, answer.hosts.as_slice()) {
        (Some(domain), _) if domain.is_empty() => "no recipient domain: refused with 550 5.1.3".to_owned(),
        (Some(domain), _) => format!("the mail exchangers of {}", visible(domain)),
        (None, []) if answer.kind == UpstreamKind::Mx.word() => "the mail exchangers of the recipient's domain (give to=)".to_owned(),
        (None, []) => "where the client had connected to".to_owned(),
        (None, hosts) => hosts.join(", "),
    };
    let passed = if answer.passthrough { ", passed through unread once TLS begins" } else { "" };
    let _ = writeln!(text, "=> upstream \"{}\" ({}): {goes}{passed}", answer.upstream, by);
    let ignores = session.listener.ehlo == Ehlo::Upstream && (question.from.is_some() || question.to.is_some() || question.size.is_some());
    if ignores {
        let _ = writeln!(
            text,
            "The upstream is chosen before the envelope is known here: from, to and size count only with ehlo = \"static\"."
        );
    }
    if let Some(refused) = answer.refused {
        let _ = writeln!(text, "The recipient is refused with 550 5.7.1 (`accept_domains`): {refused}.");
    }
    if !answer.allowed {
        let _ = writeln!(text, "This client is not in the listener's `allow`: it is refused with 554 at the door.");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, expected) in [("5000", 5_000), ("1M", 1_000_000), ("10MB", 10_000_000), ("64KiB", 65_536), ("0", 0)] {
            assert_eq!(octets(text), Ok(expected), "{text}");
        }
        for text in ["", "M", "1X", "-1", "99999999999G"] {
            assert!(octets(text).is_err(), "{text}");
        }
    }

    #[test]
    fn questions_come_in_one_word_or_several() {
        let one = Question::read(&["from=<ann@x.example> to=bob@y.example size=1M".to_owned()]).unwrap();
        let several = Question::read(&["to=bob@y.example", "size=1M", "from=ann@x.example"].map(str::to_owned)).unwrap();
        for question in [one, several] {
            assert_eq!(question.from.as_deref(), Some("ann@x.example"));
            assert_eq!(question.envelope().forward_path, Some("bob@y.example"));
            assert_eq!(question.size, Some(1_000_000));
        }
        assert_eq!(Question::read(&["from=<>".to_owned()]).unwrap().from.as_deref(), Some(""));
        // Who isn't given is not the null sender, and a size counts without a recipient.
        let sized = Question::read(&["size=1M".to_owned()]).unwrap();
        let envelope = sized.envelope();
        assert_eq!((envelope.reverse_path, envelope.forward_path, envelope.size), (None, None, Some(1_000_000)));
        assert!(Question::read(&["colour=red".to_owned()]).is_err());
        assert!(Question::read(&["bob".to_owned()]).is_err());
        assert!(Question::read(&["to=bob@y.example to=cleo@z.example".to_owned()]).unwrap_err().contains("given twice"));
    }
}
