//! The words that people get for the vocabularies, and lists and replies as part of a sentence.

use super::answer::{Hop, HopClient};
use crate::trace::json::Reply;
use crate::trace::{Actor, Stage, Told, ViaHow};

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
    match whole.char_indices().nth(REPLY_CHARS) {
        Some((cut, _)) => format!("{}…", whole.get(..cut).unwrap_or_default().trim_end()),
        None => whole,
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
pub fn upstream(hop: &Hop) -> String {
    match (&hop.upstream.host, hop.upstream.ip) {
        (Some(host), _) => host.clone(),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => format!("upstream \"{}\"", hop.upstream.name),
    }
}

/// The mail server in front of the proxy: `mail.example.org [192.0.2.1]`.
pub fn client(hop: &Hop) -> String {
    client_of(&hop.client)
}

pub fn client_of(client: &HopClient) -> String {
    match &client.helo {
        Some(helo) if *helo != client.ip.to_string() => format!("{helo} [{}]", client.ip),
        _ => client.ip.to_string(),
    }
}

/// Where in the house something was decided, as part of "Stopped …".
pub fn place(hop: &Hop) -> String {
    match hop.by.0 {
        Actor::Upstream | Actor::Recipient => format!("at {}", upstream(hop)),
        Actor::Proxy => "at Relayscope itself".to_owned(),
        Actor::Client => format!("by the client {}", client(hop)),
        Actor::Network => format!("on the way to {}", upstream(hop)),
        Actor::Dns => format!("at DNS on the way to {}", upstream(hop)),
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
