//! Mailboxes that a reply names without their domain: `<spam>`, `virus... User unknown`, `unknown user: "billing"`. As an address's, their names
//! must decide nothing.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Where the name of a mailbox stands, each in a group of its own. Accents are folded before, and names in other scripts decide nothing anyhow.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i-u)<(?<angle>[0-9a-z_+-]{1,64})>",
        r"|^\s*(?<front>[0-9a-z_.+-]{1,64}?)\.\.\. (?:user|recipient|mailbox|address|addressee|no such|unknown)\b",
        r"|\b(?:user|recipient|mail ?box|account)(?: name)?(?: unknown)?:? ?['\x22](?<quoted>[0-9a-z_.+-]{1,64})['\x22]",
        r"|\b(?:(?:unknown|invalid|no such)(?: local| virtual)? (?:user|recipient|mail ?box|account)|(?:user|recipient|mail ?box) (?:unknown|not found)): ?(?<last>[0-9a-z_.+-]{1,64})\s*$",
    ))
    .ok()
});

/// What stands in angle brackets and is no mailbox: octets by name, and the variables of a syntax.
const NO_NAMES: &[&str] = &[
    "lf",
    "cr",
    "crlf",
    "nul",
    "null",
    "sp",
    "tab",
    "address",
    "addr",
    "domain",
    "hostname",
    "host",
    "user",
    "recipient",
    "sender",
    "mailbox",
    "name",
    "path",
    "size",
    "ip",
    "url",
    "id",
    "html",
    "br",
];

/// The line with a placeholder where such a name stood.
pub(super) fn without_names(line: &str) -> Cow<'_, str> {
    let Some(named) = NAMED.as_ref().filter(|_| line.contains(['<', '"', '\'', ':']) || line.contains("... ")) else {
        return Cow::Borrowed(line);
    };
    named.replace_all(line, |found: &Captures<'_>| {
        let whole = found.get(0).map_or(0..0, |it| it.range());
        if let Some(name) = found.name("angle") {
            let is_number = name.as_str().bytes().all(|octet| octet.is_ascii_digit());
            let is_none = is_number || NO_NAMES.iter().any(|it| name.as_str().eq_ignore_ascii_case(it));
            return if is_none { line.get(whole).unwrap_or_default().to_owned() } else { "<addr>".to_owned() };
        }
        let name = ["front", "quoted", "last"].iter().find_map(|group| found.name(group)).map_or(0..0, |it| it.range());
        let around = [line.get(whole.start..name.start), line.get(name.end..whole.end)].map(Option::unwrap_or_default);
        around.join("<addr>")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        assert_eq!(without_names(line), expected, "{line}");
    }

    #[test]
    fn a_name_without_a_domain_becomes_a_placeholder() {
        check("<spam>: Recipient address rejected", "<addr>: Recipient address rejected");
        check("<abuse-dmarc>... User unknown", "<addr>... User unknown");
        check("virus... User unknown", "<addr>... User unknown");
        check("unknown user: \"billing\"", "unknown user: \"<addr>\"");
        check("No such user: dmarc", "No such user: <addr>");
        check("Mailbox 'spam' not found", "Mailbox '<addr>' not found");
    }

    #[test]
    fn other_words_stay() {
        for line in [
            "message contains bare <LF>",
            "Syntax: RCPT TO:<address>",
            "<550> no",
            "Spam... go away",
            "No such user here",
            "Unknown user: full text at the link",
            "user's mailbox isn't here, it's full",
            "no such user - psmtp",
        ] {
            check(line, line);
        }
    }
}
