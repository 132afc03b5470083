//! The words that people get for the vocabularies, and lists and replies as part of a sentence.

use super::answer::{HopClient, HopUpstream, RelayHop};
use crate::trace::json::{Reply, Report, Reported};
use crate::trace::{Act, Action, Actor, Cause, ReportKind, Stage, Told, ViaHow};

/// Longest reply text inside a sentence; the whole of it stands below.
const REPLY_CHARS: usize = 160;

/// The stage as the admin knows it from the dialogue.
pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "connect",
        Stage::Banner => "greeting",
        Stage::Ehlo => "EHLO",
        Stage::StartTls => "STARTTLS",
        Stage::Auth => "AUTH",
        Stage::MailFrom => "MAIL FROM",
        Stage::RcptTo => "RCPT TO",
        Stage::Data => "DATA",
        Stage::Body => "message text",
        Stage::EndOfData => "end of data",
        Stage::Quit => "QUIT",
        Stage::AfterAcceptance => "after acceptance",
    }
}

/// How a connection came to the proxy.
pub fn via(how: ViaHow) -> &'static str {
    match how {
        ViaHow::ProxyV1 => "PROXY header (version 1)",
        ViaHow::ProxyV2 => "PROXY header (version 2)",
        ViaHow::Redirect => "a REDIRECT rule",
        ViaHow::Tproxy => "a TPROXY rule",
    }
}

/// How an upstream was told who the client is.
pub fn told(told: Told) -> &'static str {
    match told {
        Told::ProxyV2 => "by a PROXY header (version 2)",
        Told::Xclient => "by XCLIENT",
        Told::Xforward => "by XFORWARD",
        Told::Received => "by a Received line",
    }
}

/// `550 5.1.1 No such user`, cut where it would drown the sentence.
pub fn reply(reply: &Reply) -> String {
    // Each line of a reply may repeat the enhanced code; once is enough.
    let again = reply.enhanced.map(|enhanced| enhanced.to_string());
    let lines = reply.lines.iter().enumerate().map(|(index, line)| match &again {
        Some(code) if index > 0 => line.strip_prefix(code.as_str()).unwrap_or(line).trim(),
        _ => line.trim(),
    });
    let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let whole = if text.is_empty() { reply.code.to_string() } else { format!("{} {text}", reply.code) };
    cut(&whole)
}

fn cut(whole: &str) -> String {
    match whole.char_indices().nth(REPLY_CHARS) {
        Some((cut, _)) => format!("{}…", whole.get(..cut).unwrap_or_default().trim_end()),
        None => whole.to_owned(),
    }
}

/// Code and enhanced code only: `550 5.1.1`.
pub fn code(reply: &Reply) -> String {
    match reply.enhanced {
        Some(enhanced) => format!("{} {enhanced}", reply.code),
        None => reply.code.to_string(),
    }
}

/// `a`, `a and b`, `a, b and c`, `a, b, c and 7 others`.
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    const SHOWN: usize = 3;
    let named = |items: &[S]| items.iter().map(|item| item.as_ref().to_owned()).collect::<Vec<_>>().join(", ");
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] if items.len() <= SHOWN => format!("{} and {}", named(first), last.as_ref()),
        [..] => {
            let others = items.len() - SHOWN + 1;
            format!("{} and {others} others", named(items.get(..SHOWN - 1).unwrap_or_default()))
        }
    }
}

/// `1 attempt`, `3 attempts`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The server on the other side of the proxy.
pub fn upstream(hop: &RelayHop) -> String {
    upstream_of(&hop.upstream)
}

pub fn upstream_of(upstream: &HopUpstream) -> String {
    match (&upstream.host, upstream.ip) {
        (Some(host), _) => host.clone(),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => format!("upstream \"{}\"", upstream.name),
    }
}

/// The mail server in front of the proxy: `mail.example.org [192.0.2.1]`.
pub fn client(hop: &RelayHop) -> String {
    client_of(&hop.client)
}

pub fn client_of(client: &HopClient) -> String {
    match &client.helo {
        Some(helo) if *helo != client.ip.to_string() => format!("{helo} [{}]", client.ip),
        _ => client.ip.to_string(),
    }
}

/// Where in the house something was decided, as part of "Stopped …".
pub fn place(by: Actor, hop: &RelayHop) -> String {
    match by {
        Actor::Upstream | Actor::Recipient => format!("at {}", upstream(hop)),
        Actor::Proxy => "at Relayscope itself".to_owned(),
        Actor::Client => format!("by the client {}", client(hop)),
        Actor::Network => format!("on the way to {}", upstream(hop)),
        Actor::Dns => format!("at DNS on the way to {}", upstream(hop)),
    }
}

/// The cause in a few words, as part of a sentence; `None` where there is nothing to be said.
pub fn cause(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsFailure => "DNS failed",
        Cause::DomainNotFound => "no such domain",
        Cause::ConnectionFailed => "connection failed",
        Cause::PortBlocked => "port blocked",
        Cause::DeliveryExpired => "retried until the queue gave up",
        Cause::TlsFailure => "TLS failed",
        Cause::EncryptionRequired => "TLS is required",
        Cause::AuthRequired => "a login is required",
        Cause::AuthFailed => "the login failed",
        Cause::AuthMechanismUnsupported => "no way to log in that both have",
        Cause::AccountLocked => "account locked",
        Cause::SenderNotAuthorized => "the account may not send as this sender",
        Cause::RelayDenied => "relaying denied",
        Cause::SendingLimitReached => "sending limit reached",
        Cause::RateLimited => "too much in too short a time",
        Cause::TooManyRecipients => "too many recipients",
        Cause::Greylisted => "greylisted",
        Cause::Blocklisted => "on a block list",
        Cause::PoorReputation => "poor reputation",
        Cause::ReverseDnsMissing => "no reverse DNS",
        Cause::HeloRejected => "EHLO name refused",
        Cause::SpfDkimDmarcFailure => "SPF, DKIM or DMARC failed",
        Cause::SenderRejected => "sender refused",
        Cause::RecipientUnknown => "no such mailbox",
        Cause::RecipientInactive => "mailbox disabled or moved",
        Cause::RecipientRestricted => "the recipient doesn't take mail from this sender",
        Cause::MailboxFull => "mailbox full",
        Cause::Suppressed => "on the provider's suppression list",
        Cause::MessageTooBig => "message too big",
        Cause::MalformedMessage => "malformed message",
        Cause::SpamDetected => "taken for spam",
        Cause::VirusDetected => "malware found",
        Cause::ContentRejected => "content refused",
        Cause::PolicyRejected => "refused by policy",
        Cause::MailLoop => "mail loop",
        Cause::ProtocolError => "protocol error",
        Cause::RemoteSystemError => "trouble on the other server",
        Cause::Unclassified => return None,
    })
}

/// Who must act, as the subject of a sentence.
pub fn act(act: Act) -> &'static str {
    match act {
        Act::Sender => "The sender",
        Act::LocalAdmin => "You, the local admin",
        Act::SmartHost => "The smart host's admin or support",
        Act::RecipientSide => "The recipient's side",
        Act::Network => "Whoever runs the network or DNS",
        Act::Nobody => "Nobody",
    }
}

/// Cause and reply together: "mailbox full (552 5.2.2 Quota exceeded)".
pub fn caused(of: Option<Cause>, said: &str) -> String {
    match of.and_then(cause) {
        Some(words) if said.is_empty() => words.to_owned(),
        Some(words) => format!("{words} ({said})"),
        None => said.to_owned(),
    }
}

/// What a report says: "failed for bob@example.org: mailbox full (5.2.2 Quota exceeded), by mx.example.org".
pub fn reported(report: &Report) -> String {
    if report.kind.0 == ReportKind::Complaint {
        return match report.recipients.first() {
            Some(first) => format!("{} complained about it", first.address),
            None => "a recipient complained about it".to_owned(),
        };
    }
    let each: Vec<String> = report.recipients.iter().map(reported_one).collect();
    match each.as_slice() {
        [] => "nothing of any recipient".to_owned(),
        [only] => only.clone(),
        [first, ..] => {
            format!("{first}, and on {}", count(report.recipients.len() - 1 + report.recipients_cut as usize, "other recipient"))
        }
    }
}

fn reported_one(it: &Reported) -> String {
    let action = match it.action.0 {
        Action::Failed => "failed",
        Action::Delayed => "delayed",
        Action::Delivered => "delivered",
        Action::Relayed => "passed on to a server that sends no reports",
        Action::Expanded => "passed on to the members of a list",
    };
    let why = caused(it.cause.map(|cause| cause.0), &diagnostic(it));
    let why = if why.is_empty() { why } else { format!(": {why}") };
    let by = it.remote_mta.as_ref().map(|host| format!(", by {host}")).unwrap_or_default();
    format!("{action} for {}{why}{by}", it.address)
}

/// A report's text without the reply code that it may begin with: that stands before it already.
pub fn behind_code(code: u16, text: &str) -> &str {
    let behind = text.trim().strip_prefix(code.to_string().as_str());
    behind.and_then(|rest| rest.strip_prefix([' ', '-'])).map_or(text, str::trim_start)
}

/// The codes and the text of a report on one recipient, as a reply.
fn diagnostic(it: &Reported) -> String {
    let lines = it.text.iter().map(|text| it.reply_code.map_or(text.as_str(), |code| behind_code(code, text)).to_owned()).collect();
    match (it.reply_code, it.status) {
        (Some(code), enhanced) => reply(&Reply { code, enhanced, lines }),
        (None, status) => {
            let text = it.text.clone().unwrap_or_default();
            let status = status.map(|status| status.to_string()).filter(|status| !text.contains(status.as_str()));
            cut(&[status.unwrap_or_default(), text].join(" ").trim().replace(['\r', '\n'], " "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_stay_short() {
        let names = ["a", "b", "c", "d", "e"];
        for (count, expected) in [(0, ""), (1, "a"), (2, "a and b"), (3, "a, b and c"), (4, "a, b and 2 others"), (5, "a, b and 3 others")]
        {
            assert_eq!(list(&names[..count]), expected);
        }
    }

    #[test]
    fn long_replies_are_cut() {
        let reply = |text: &str| super::reply(&Reply { code: 550, enhanced: None, lines: vec![text.to_owned()] });
        assert_eq!(reply("no"), "550 no");
        assert_eq!(reply(""), "550");
        let long = reply(&"ü".repeat(400));
        assert_eq!(long.chars().count(), REPLY_CHARS + 1);
    }
}
