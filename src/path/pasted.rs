//! Finds what to ask for in a text that was pasted: a whole delivery report, a block of header fields, a reply, a line of a log.

use std::borrow::Cow;

use super::lex::written;
use crate::message::report::{self, Report};
use crate::message::{received_queue_id, upstream_queue_id};
use crate::trace::RecordId;

/// Octets of a pasted text that are looked at.
pub const MOST_OCTETS: usize = 512 * 1024;
/// Clues that are followed.
const MOST_CLUES: usize = 16;
/// Longest id: what RFC 5322 §2.1.1 allows for a line.
const LONGEST: usize = 998;

/// Something to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clue {
    /// In the grammar of questions.
    pub question: String,
    /// "the original's Message-ID", …
    pub what: &'static str,
}

/// What can be asked for, the strongest first.
pub fn clues(octets: &[u8]) -> Vec<Clue> {
    let octets = octets.get(..MOST_OCTETS).unwrap_or(octets);
    let text = String::from_utf8_lossy(octets);
    let report = report::read(octets);
    let found = Found::in_text(&text);
    let mut clues = Clues(Vec::new());
    for id in &found.trace_ids {
        clues.add(id.clone(), "a trace id");
    }
    // Perhaps it isn't one: what else it can be is asked for next.
    if let Some(address) = named_address(&text) {
        clues.add(format!("address:{}", written(address, false)), "an address");
        clues.message_id(address, "a Message-ID");
    }
    if let Some(report) = &report {
        of_report(&mut clues, report);
    } else {
        found.message_ids.iter().for_each(|id| clues.message_id(id, "its Message-ID"));
    }
    found.queue_ids.iter().for_each(|id| clues.queue(id, "a queue id"));
    found.references.iter().rev().for_each(|id| clues.message_id(id, "a Message-ID that it refers to"));
    found.message_ids.iter().for_each(|id| clues.message_id(id, "the report's own Message-ID"));
    let recipients: Vec<&str> = match &report {
        Some(report) => report.recipients.iter().map(|it| it.original.as_deref().unwrap_or(&it.address)).collect(),
        None => found.recipients.iter().map(String::as_str).collect(),
    };
    let sender = found.sender.as_deref().or(report.as_ref().and_then(|it| it.original_from.as_deref()).and_then(address_in));
    for recipient in recipients.iter().take(3) {
        if let Some(sender) = sender {
            clues.add(format!("to:{} from:{}", written(recipient, false), written(sender, false)), "recipient and sender");
        }
    }
    recipients.iter().take(3).for_each(|recipient| clues.add(format!("to:{}", written(recipient, false)), "a recipient"));
    clues.0
}

fn of_report(clues: &mut Clues, report: &Report) {
    report.original_message_id.iter().for_each(|id| clues.message_id(id, "the original's Message-ID"));
    report.queue_id.iter().for_each(|id| clues.queue(id, "the queue id at the reporting server"));
    report.envid.iter().for_each(|id| clues.queue(id, "the ENVID"));
}

/// Whether what stands on a command line is a piece of something else: of a log, of a reply, of a header.
pub fn looks_pasted(text: &str) -> bool {
    const SIGNS: [&str; 7] = ["]: ", "to=<", "from=<", "message-id=<", "msgid=<", "queued as ", "(trace "];
    let text = text.trim();
    SIGNS.iter().any(|sign| text.contains(sign)) || named_address(text).is_some()
}

/// `bob@example.org` of `"Bob" <bob@example.org>`, where there is nothing else.
fn named_address(text: &str) -> Option<&str> {
    let (name, address) = text.trim().strip_suffix('>')?.rsplit_once('<')?;
    let is_name = name.ends_with(char::is_whitespace) && !name.trim().is_empty() && !name.contains([':', '<', '\n']);
    let is_address = address.contains('@') && !address.contains(char::is_whitespace) && address.len() <= LONGEST;
    (is_name && is_address).then_some(address)
}

struct Clues(Vec<Clue>);

impl Clues {
    fn add(&mut self, question: String, what: &'static str) {
        if self.0.len() < MOST_CLUES && !self.0.iter().any(|known| known.question == question) {
            self.0.push(Clue { question, what });
        }
    }

    fn message_id(&mut self, id: &str, what: &'static str) {
        let bare = id.trim().trim_start_matches('<').trim_end_matches('>');
        if !bare.is_empty() && bare.len() <= LONGEST && !bare.contains(char::is_whitespace) {
            self.add(format!("message-id:{}", written(&format!("<{bare}>"), false)), what);
        }
    }

    fn queue(&mut self, id: &str, what: &'static str) {
        let id = id.trim();
        if !id.is_empty() && id.len() <= LONGEST {
            self.add(format!("queue:{}", written(id, false)), what);
        }
    }
}

/// What lies in the text, whatever it is.
#[derive(Debug, Default)]
struct Found {
    trace_ids: Vec<String>,
    message_ids: Vec<String>,
    queue_ids: Vec<String>,
    references: Vec<String>,
    recipients: Vec<String>,
    sender: Option<String>,
}

impl Found {
    fn in_text(text: &str) -> Self {
        let mut found = Self::default();
        for line in unfolded(text) {
            match line.split_once(':').filter(|(name, _)| is_field_name(name)) {
                Some((name, value)) => found.field(&name.to_ascii_lowercase(), value.trim()),
                None => found.words(&line),
            }
        }
        // A bare id or reply, with nothing around it that says what it is.
        let is_alone =
            found.message_ids.is_empty() && found.queue_ids.is_empty() && found.references.is_empty() && found.recipients.is_empty();
        if is_alone {
            let named = in_brackets(text).filter(|id| id.contains('@')).map(str::to_owned).take(MOST_CLUES);
            found.message_ids.extend(named);
            // A reply names the recipient in the same way.
            let is_reply = |line: &str| line.get(..3).is_some_and(|code| code.parse::<u16>().is_ok()) || line.contains(" said: ");
            if text.lines().any(|line| is_reply(line.trim_start())) {
                found.recipients.clone_from(&found.message_ids);
            }
        }
        found
    }

    /// What mail servers' logs name: `]: 4F1C21A0B7: to=<bob@example.org>, …` of Postfix and Sendmail, and Exim's ids.
    fn log_line(&mut self, line: &str) {
        let is_id =
            |id: &&str| (6..=24).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric()) && id.contains(is_digit);
        let behind_process = line.split_once("]: ").and_then(|(_, rest)| rest.split_once(": ")).map(|(id, _)| id);
        self.queue_ids.extend(behind_process.filter(is_id).map(str::to_owned));
        let exim = line.split_whitespace().take(5).find(|word| is_exim_id(word));
        self.queue_ids.extend(exim.map(str::to_owned));
        let said = |key: &str| {
            let (_, rest) = line.split_once(key).filter(|(before, _)| before.is_empty() || before.ends_with([' ', ',']))?;
            rest.split_once('>').map(|(value, _)| value).filter(|value| !value.is_empty() && value.len() <= LONGEST)
        };
        self.message_ids.extend(["message-id=<", "msgid=<"].into_iter().find_map(said).map(str::to_owned));
        self.recipients.extend(said("to=<").map(str::to_owned));
        self.sender = said("from=<").map(str::to_owned).or(self.sender.take());
    }

    fn field(&mut self, name: &str, value: &str) {
        let address = || address_in(value.rsplit_once(';').map_or(value, |(_, address)| address)).map(str::to_owned);
        match name {
            "message-id" | "resent-message-id" | "original-message-id" | "x-original-message-id" => {
                self.message_ids.extend(value.split_whitespace().next().map(str::to_owned));
            }
            "references" | "in-reply-to" => self.references.extend(in_brackets(value).map(str::to_owned)),
            "received" => self.queue_ids.extend(received_queue_id(value.as_bytes())),
            "x-postfix-queue-id" | "x-queue-id" | "original-envelope-id" | "queue-id" => self.queue_ids.push(value.to_owned()),
            "final-recipient" | "original-recipient" | "x-failed-recipients" | "x-actual-recipient" | "to" | "x-original-to" => {
                self.recipients.extend(address());
            }
            "return-path" | "x-postfix-sender" => self.sender = address().or(self.sender.take()),
            "from" => self.sender = self.sender.take().or_else(address),
            _ => {}
        }
        self.words(value);
    }

    /// Ids that say by themselves, or by the words around them, what they are.
    fn words(&mut self, line: &str) {
        for word in line.split(|c: char| !c.is_ascii_alphanumeric()) {
            if word.len() == 26 && word.parse::<RecordId>().is_ok() && self.trace_ids.len() < MOST_CLUES {
                self.trace_ids.push(word.to_owned());
            }
        }
        self.log_line(line);
        let reply = line.trim();
        let behind_code = reply.get(3..).filter(|_| reply.starts_with('2')).unwrap_or(reply);
        self.queue_ids.extend(upstream_queue_id(250, &[behind_code.trim_start_matches(['-', ' '])]).map(|it| it.id));
    }
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// `1tG8xY-0004bC-2f`, or with eleven and four characters since Exim 4.97.
fn is_exim_id(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    matches!(lengths.as_slice(), [6, 6, 2] | [6, 11, 4]) && parts.iter().all(|part| part.bytes().all(|octet| octet.is_ascii_alphanumeric()))
}

/// Lines with what continues them; marks of quoting and of indenting are taken away.
fn unfolded(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let mut lines = text.lines().map(unquoted).peekable();
    std::iter::from_fn(move || {
        let first = lines.next()?;
        let mut whole = Cow::Borrowed(if begins_field(first) { first.trim_start() } else { first });
        while whole.contains(':') && whole.len() < 16 * LONGEST {
            let goes_on = |next: &&str| next.starts_with([' ', '\t']) && !next.trim().is_empty() && !begins_field(next);
            let Some(next) = lines.next_if(goes_on) else { break };
            whole = Cow::Owned(format!("{whole} {}", next.trim()));
        }
        Some(whole)
    })
}

/// Without `> ` before it.
fn unquoted(line: &str) -> &str {
    let bare = line.trim_start_matches(['>', '|']);
    if bare.len() < line.len() { bare.strip_prefix(' ').unwrap_or(bare) } else { line }
}

/// Fields that were indented as a whole begin with a blank all the same.
fn begins_field(line: &str) -> bool {
    const PLAIN: [&str; 8] = ["received", "references", "from", "to", "cc", "subject", "date", "sender"];
    let name = line.trim_start().split_once(':').map(|(name, _)| name).filter(|name| is_field_name(name));
    name.is_some_and(|name| name.contains('-') || PLAIN.iter().any(|plain| name.eq_ignore_ascii_case(plain)))
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.len() < 64 && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

fn in_brackets(text: &str) -> impl Iterator<Item = &str> {
    text.split('<')
        .skip(1)
        .filter_map(|rest| rest.split_once('>'))
        .map(|(id, _)| id)
        .filter(|id| !id.is_empty() && id.len() <= LONGEST && !id.contains(char::is_whitespace))
}

/// `bob@example.org` of `Bob <bob@example.org>`.
fn address_in(value: &str) -> Option<&str> {
    let inner = in_brackets(value).next().unwrap_or_else(|| value.split([',', ' ']).find(|word| word.contains('@')).unwrap_or_default());
    let inner = inner.trim_matches(|c: char| !c.is_alphanumeric());
    (inner.contains('@') && inner.len() <= LONGEST).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = clues(text.as_bytes()).into_iter().map(|clue| clue.question).collect();
        assert_eq!(found, expected, "{text}");
        for question in found {
            let now = jiff::Timestamp::UNIX_EPOCH;
            crate::path::What::parse(&question, now, &jiff::tz::TimeZone::UTC).unwrap();
        }
    }

    #[test]
    fn a_report_gives_the_ids_of_the_message_that_it_is_about() {
        let report = "From: MAILER-DAEMON@smtp.example.net\r\nTo: alice@example.com\r\nSubject: Undelivered Mail Returned to Sender\r\n\
            Message-ID: <report.1@smtp.example.net>\r\nMIME-Version: 1.0\r\n\
            Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
            --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; smtp.example.net\r\nX-Postfix-Queue-ID: 4F1C21A0B7\r\n\r\n\
            Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.2.2\r\n\r\n\
            --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <accepted.1@mail.example.com>\r\nFrom: alice@example.com\r\n\
            To: bob@example.org\r\n\r\n--b--\r\n";
        let found = clues(report.as_bytes());
        assert_eq!(found[0], Clue { question: "message-id:<accepted.1@mail.example.com>".into(), what: "the original's Message-ID" });
        assert!(found.iter().any(|clue| clue.question == "queue:4F1C21A0B7"), "{found:?}");
        let own = found.iter().position(|clue| clue.question.contains("report.1")).unwrap();
        assert!(own > 1, "the report's own id comes last: {found:?}");
    }

    #[test]
    fn header_fields_are_read_folded_and_quoted() {
        check(
            "> Received: from a.example (a.example [192.0.2.1])\n>  by smtp.example.net (Postfix) with ESMTP id 4F1C21A0B7\n>  for <bob@example.org>; Mon\n\
             > Message-ID:\n>  <accepted.1@mail.example.com>\n> References: <old.1@x.example> <old.2@x.example>\n> To: Bob <bob@example.org>\n\
             > From: \"Alice\" <alice@example.com>\n",
            &[
                "message-id:<accepted.1@mail.example.com>",
                "queue:4F1C21A0B7",
                "message-id:<old.2@x.example>",
                "message-id:<old.1@x.example>",
                "to:bob@example.org from:alice@example.com",
                "to:bob@example.org",
            ],
        );
    }

    #[test]
    fn replies_and_bare_ids_are_clues() {
        check("451 4.4.1 relayscope: try again later (trace 01KAR3J1Q6W8Y0Z2A4B6C8D0E2)", &["01KAR3J1Q6W8Y0Z2A4B6C8D0E2"]);
        check("250 2.0.0 Ok: queued as 4F1C21A0B7", &["queue:4F1C21A0B7"]);
        check("please look for <accepted.1@mail.example.com>, thanks", &["message-id:<accepted.1@mail.example.com>"]);
        check(
            "550 5.1.1 <bob@example.org>: Recipient address rejected: User unknown",
            &["message-id:<bob@example.org>", "to:bob@example.org"],
        );
        check("nothing to see here", &[]);
        check("", &[]);
    }

    #[test]
    fn a_name_with_its_address_is_an_address() {
        let both = ["address:bob@example.org", "message-id:<bob@example.org>"];
        check("\"Bob\" <bob@example.org>", &both);
        check("Bob B. <bob@example.org>\n", &both);
        // Whatever stands before it, it may be an id.
        check("Message-ID <a.1@x.example>", &["address:a.1@x.example", "message-id:<a.1@x.example>"]);
        check("to=<bob@example.org>", &["to:bob@example.org"]);
        check("queued as 4F1C21A0B7", &["queue:4F1C21A0B7"]);
        let is_pasted = ["\"Bob\" <bob@example.org>", "to=<bob@example.org>", "queued as 4F1", "mx postfix/smtp[1]: 4F1: removed"];
        assert!(is_pasted.iter().all(|text| looks_pasted(text)));
        let asked =
            ["<a.1@x.example>", "bob@example.org", "to:<bob@x.example>", "from:a to:<b@x.example>", "Invoice 4711", "subject:\"a b\""];
        assert!(!asked.iter().any(|text| looks_pasted(text)));
    }

    #[test]
    fn lines_of_logs_give_their_queue_ids_first() {
        check(
            "Nov 27 15:50:01 mx postfix/smtp[4711]: 09A0D9C001: to=<alice@demo.example>, relay=127.0.0.1[127.0.0.1]:2525, delay=0.2, \
             status=sent (250 2.0.0 Ok: queued as 4F1C21A0B7)",
            &["queue:09A0D9C001", "queue:4F1C21A0B7", "to:alice@demo.example"],
        );
        check(
            "2026-11-27T15:50:01.123456+00:00 mx postfix/cleanup[12]: 4dXq1r2Zz9z3gVd: message-id=<a.1@mail.example>",
            &["message-id:<a.1@mail.example>", "queue:4dXq1r2Zz9z3gVd"],
        );
        check(
            "Nov 27 15:50:01 mx sm-mta[99]: 5ARFo1xY000123: from=<anna@x.example>, size=512, msgid=<b.2@x.example>, proto=ESMTP",
            &["message-id:<b.2@x.example>", "queue:5ARFo1xY000123"],
        );
        check("2026-11-27 15:50:01 1tG8xY-0004bC-2f => bob@y.example R=smarthost T=remote_smtp", &["queue:1tG8xY-0004bC-2f"]);
        check("Nov 27 15:50:01 mx systemd[1]: Started: to work", &[]);
    }

    #[test]
    fn hostile_texts_are_bounded() {
        let many: String = (0..5_000).map(|number| format!("Message-ID: <{number}@x.example>\n")).collect();
        assert_eq!(clues(many.as_bytes()).len(), MOST_CLUES);
        clues(&vec![b'<'; MOST_OCTETS + 10]);
        clues("x:\n ".repeat(100_000).as_bytes());
        clues(&[0xff; 4096]);
    }
}
