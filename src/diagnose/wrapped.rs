//! Replies within replies: who quotes whom, and what the innermost said.
//!
//! Postfix, Exim, qmail, Exchange and the sending services report another server's reply in words of their own. What that server said decides;
//! their own words speak only where it says nothing.

use std::sync::LazyLock;

use regex::Regex;

use crate::smtp::Stage;

use super::normal::enhanced;

/// What was found within a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quoted<'t> {
    pub code: Option<u16>,
    pub enhanced: Option<(u8, u16, u16)>,
    pub text: &'t str,
    /// The host that is said to have spoken.
    pub host: Option<&'t str>,
    pub stage: Option<Stage>,
}

/// Words that lead over to another's reply.
static LEAD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:",
        r"\bsaid(?:\s*\(after [a-z ]+\))?:\s*|refused to talk to me:\s*|did not like our [a-z ]+:\s*",
        r"|remote server returned:?\s*(?:smtp error [#0-9]*;?\s*)?['\x22]?|server returned:?\s*(?:an )?(?:error)?:?\s*['\x22]?",
        r"|smtp error from remote (?:mail )?server[^:\n]{0,80}(?::<[^>\n]*>[^:\n]{0,40})?:\s*(?:host [^ ]+ ?(?:\[[0-9a-f.:]+\])?:\s*)?",
        r"|the other server returned was:\s*|response (?:from the remote server )?was:\s*|remote host said:\s*|remote protocol error:\s*",
        r"|following (?:error )?(?:message|response|error|reply):\s*\[?|failed with:\s*|(?:replied|responded|answered)(?: with)?:\s*['\x22]?",
        r"|delivery attempt(?:s)? failed:\s*|\bresponse\s*=\s*|\[?\{?led=|\bmessage=|<<<\s*|->\s*|bounced by destination server:?\s*|sent [a-z ]+ and received:?\s*",
        r"|(?:5\.3\.0 - )?other mail system problem\s*|failed\. smtp reply:?\s*|\bdiagnostic-code:\s*(?:smtp\s*;)?\s*|\bsmtp;\s*",
        r")"
    ))
    .ok()
});

/// A reply within: a code with, perhaps, an enhanced code.
static REPLY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^['\x22<\[(]*([245][0-7][0-9])(?:[- ]|$)['\x22#(]*\s*(?:#?([245]\.\d{1,3}\.\d{1,3}))?|^['\x22<\[(]*#?([245]\.\d{1,3}\.\d{1,3})\b",
    )
    .ok()
});

static HOST: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(?:\bhost |\bby (?:the server )?|\bserver |\bfrom |^)([a-z0-9][a-z0-9.-]*\.[a-z]{2,24})\.? ?(?:\[|\(|\.|,|:| said| refused)",
    )
    .ok()
});

/// Postfix's words for a question that it asked the sender's own server. What that server said is about the sender, and not why it is told here.
const SENDER_PROBES: &[&str] = &["sender address rejected: undeliverable address:", "sender address rejected: unverified address:"];

/// Postfix's last words: which command the reply was for.
const IN_REPLY_TO: &str = "(in reply to ";

/// The innermost reply that a text quotes, or the text itself without what was put around it.
pub(super) fn innermost(text: &str) -> Option<Quoted<'_>> {
    if let Some(refusal) = without_probe(text) {
        return innermost(refusal).or_else(|| Some(quoted(refusal, None, None)));
    }
    let (body, stage) = match text.rfind(IN_REPLY_TO).and_then(|at| Some((text.get(..at)?, text.get(at + IN_REPLY_TO.len()..)?))) {
        Some((body, command)) => (body.trim_end(), stage_of(command)),
        None => (text, None),
    };
    let stage = stage.or_else(|| said_after(body));
    let mut inner = None;
    if let Some(lead) = LEAD.as_ref() {
        inner = lead.find_iter(body).last().map(|found| (found.start(), found.end()));
    }
    let Some((start, end)) = inner else {
        return stage.map(|stage| quoted(body, None, Some(stage)));
    };
    let (before, inside) = (body.get(..start)?, body.get(end..)?.trim());
    if inside.len() < 4 {
        return stage.map(|stage| quoted(body, None, Some(stage)));
    }
    let led = body.get(..end).unwrap_or(before);
    let host = HOST.as_ref().and_then(|host| host.captures_iter(led).last()).and_then(|found| found.get(1)).map(|host| host.as_str());
    Some(quoted(inside, host, stage))
}

/// A refusal of the sender without the reply that a probe of its address got; `None` where none is quoted.
fn without_probe(text: &str) -> Option<&str> {
    let lower = text.to_ascii_lowercase();
    let end = SENDER_PROBES.iter().find_map(|probe| lower.find(probe).map(|at| at + probe.len()))?;
    let (refusal, answer) = text.split_at_checked(end)?;
    LEAD.as_ref().is_some_and(|lead| lead.is_match(answer)).then(|| refusal.trim_end_matches(':'))
}

fn quoted<'t>(text: &'t str, host: Option<&'t str>, stage: Option<Stage>) -> Quoted<'t> {
    let found = REPLY.as_ref().and_then(|reply| reply.captures(text));
    let (mut code, mut status) = (None, None);
    let mut rest = text;
    if let Some(found) = found {
        code = found.get(1).and_then(|code| code.as_str().parse().ok());
        status = found.get(2).or_else(|| found.get(3)).and_then(|status| enhanced(status.as_str()));
        rest = found.get(0).and_then(|whole| text.get(whole.end()..)).unwrap_or(text);
    }
    Quoted { code, enhanced: status, text: rest, host, stage }
}

/// A text without Postfix's last words: the command that they name is none that the reply speaks of.
pub(super) fn without_command(text: &str) -> &str {
    text.rfind(IN_REPLY_TO).and_then(|at| text.get(..at)).map_or(text, str::trim_end)
}

/// `RCPT TO command)`, `end of DATA command)`.
fn stage_of(command: &str) -> Option<Stage> {
    let command = command.to_ascii_lowercase();
    let is = |start: &str| command.starts_with(start);
    match () {
        () if is("mail from") => Some(Stage::MailFrom),
        () if is("rcpt to") => Some(Stage::RcptTo),
        () if is("end of data") || is("sending end of data") => Some(Stage::EndOfData),
        () if is("data") => Some(Stage::Data),
        () if is("ehlo") || is("helo") => Some(Stage::Ehlo),
        () if is("starttls") => Some(Stage::StartTls),
        () if is("auth") => Some(Stage::Auth),
        () => None,
    }
}

/// Exim's words: `SMTP error from remote mail server after RCPT TO:<…>`.
fn said_after(text: &str) -> Option<Stage> {
    let at = text.find("mail server after ")?;
    let rest = text.get(at + "mail server after ".len()..)?;
    match rest.strip_prefix("initial connection") {
        Some(_) => Some(Stage::Banner),
        None => stage_of(rest.strip_prefix("pipelined ").unwrap_or(rest)),
    }
}
