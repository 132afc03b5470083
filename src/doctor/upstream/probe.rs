//! A recipient that is asked for without sending anything, and a message that is sent if somebody asks for that.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::super::dialogue::{Dialogue, Trouble, in_words};
use super::super::{Check, Section};
use super::visit::{Seen, Visit};
use crate::smtp::Stage;
use crate::trace::RecordId;

/// What is asked for beyond the connection itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// Asked for with RCPT TO; nothing is sent.
    pub rcpt: Option<String>,
    /// A test message goes there.
    pub send: Option<String>,
    /// The reverse-path of both.
    pub from: String,
    /// Octets of a message that may be too big.
    pub size: Option<u64>,
}

/// Whether a text can go into a path as it is (RFC 5321 §4.1.2, in the narrow sense: no quotes, no blanks).
///
/// # Errors
/// Says why not.
pub fn address(text: &str) -> Result<String, String> {
    let bare = text.trim().trim_start_matches('<').trim_end_matches('>');
    let Some((local, domain)) = bare.rsplit_once('@') else { return Err(format!("{text:?} is no address: write name@example.org")) };
    let odd = |it: char| it.is_control() || it.is_whitespace() || matches!(it, '<' | '>' | '"' | '\\' | ',' | ';');
    match local.is_empty() || domain.is_empty() || bare.len() > 320 || bare.contains(odd) {
        true => Err(format!("{text:?} is no address: write name@example.org")),
        false => Ok(bare.to_owned()),
    }
}

/// Asks as the probe says. Whatever is asked, the dialogue is left without a transaction.
pub(super) async fn ask(visit: &Visit<'_>, dialogue: &mut Dialogue, section: &mut Section, seen: &mut Seen) {
    if let Some(size) = visit.probe.size {
        let limit = seen.offer.as_ref().and_then(|offer| offer.extensions.size);
        let why = "a server refuses at once what is bigger than it announces";
        let check = visit.asking("size", format!("whether {size} octets are within SIZE of {}", visit.place), why);
        section.push(fits(check, size, limit));
    }
    if let Some(recipient) = &visit.probe.rcpt {
        let why = "whether the server takes mail for somebody shows before any message does";
        let check = visit.asking("rcpt", format!("MAIL FROM:<{}>, RCPT TO:<{recipient}> at {}", visit.probe.from, visit.place), why);
        let began = Instant::now();
        match envelope(dialogue, &visit.probe.from, recipient).await {
            Ok(reply) => {
                let check = check.took(began.elapsed());
                section.push(match reply.code / 100 {
                    2 => check.ok(format!("{}; nothing was sent", in_words(&reply))),
                    4 => check.warn(in_words(&reply), visit.diagnosis(Stage::RcptTo, &reply)),
                    _ => check.fail(in_words(&reply), visit.diagnosis(Stage::RcptTo, &reply)),
                });
                seen.rcpt = Some(reply);
                let _ = dialogue.say(Stage::RcptTo, "RSET").await;
            }
            Err(trouble) => {
                let failed = visit.failed(check, &trouble, began);
                let from = if trouble.stage == Stage::MailFrom { " It was the sender: `--from` names another." } else { "" };
                let fix = failed.fix.clone().map(|fix| format!("{fix}{from}"));
                section.push(Check { fix, ..failed });
                seen.rcpt = trouble.reply;
                if dialogue.say(Stage::RcptTo, "RSET").await.is_err() {
                    return;
                }
            }
        }
    }
    if let Some(recipient) = &visit.probe.send {
        seen.message_sent = send(visit, dialogue, section, recipient).await;
    }
}

/// `limit`: as announced; 0: none (RFC 1870 §4).
fn fits(check: Check, size: u64, limit: Option<u64>) -> Check {
    match limit.filter(|limit| *limit > 0) {
        None => check.skipped("no limit is announced: it shows with the message alone"),
        Some(limit) if size > limit => check.fail(
            format!("it takes {limit} octets at most"),
            "Send it smaller or by other means, or have the server's operator raise the limit (Postfix: `message_size_limit`).",
        ),
        Some(limit) => check.ok(format!("it takes {limit} octets")),
    }
}

async fn envelope(dialogue: &mut Dialogue, from: &str, recipient: &str) -> Result<crate::trace::Reply, Trouble> {
    let reply = dialogue.say(Stage::MailFrom, &format!("MAIL FROM:<{from}>")).await?;
    if reply.code / 100 != 2 {
        return Err(Trouble { stage: Stage::MailFrom, words: format!("answered {}", in_words(&reply)), reply: Some(reply) });
    }
    dialogue.say(Stage::RcptTo, &format!("RCPT TO:<{recipient}>")).await
}

/// Whether it was taken; true as well where no answer to its end came.
async fn send(visit: &Visit<'_>, dialogue: &mut Dialogue, section: &mut Section, recipient: &str) -> bool {
    let why = "only a message that arrives proves the whole way";
    let check = visit.asking("message", format!("a test message to {recipient} by {}", visit.place), why);
    let began = Instant::now();
    let sent = async {
        let reply = envelope(dialogue, &visit.probe.from, recipient).await?;
        if reply.code / 100 != 2 {
            return Ok((Stage::RcptTo, reply, None));
        }
        let reply = dialogue.say(Stage::Data, "DATA").await?;
        if reply.code != 354 {
            return Ok((Stage::Data, reply, None));
        }
        let (id, text) = message(visit, recipient);
        dialogue.send(Stage::Body, text.as_bytes()).await?;
        // Slow on purpose at many servers: scanning happens here.
        dialogue.patience *= 6;
        let reply = dialogue.reply(Stage::EndOfData).await?;
        Ok((Stage::EndOfData, reply, Some(id)))
    };
    let outcome: Result<_, Trouble> = sent.await;
    let check = check.took(began.elapsed());
    let is_sent = match &outcome {
        Ok((_, reply, id)) => id.is_some() && reply.code / 100 == 2,
        Err(trouble) => trouble.stage == Stage::EndOfData,
    };
    section.push(match outcome {
        Ok((_, reply, Some(id))) if reply.code / 100 == 2 => check.ok(format!("taken: {}; Message-ID <{id}>", in_words(&reply))),
        Ok((stage, reply, _)) => check.fail(format!("at {stage}: {}", in_words(&reply)), visit.diagnosis(stage, &reply)),
        Err(trouble) => visit.failed(check, &trouble, began),
    });
    is_sent
}

/// The message with its end, and its id. Short, plain, and it says what it is.
fn message(visit: &Visit<'_>, recipient: &str) -> (String, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let random = ulid::Ulid::generate().random();
    let id = RecordId::from_parts(u64::try_from(now.as_millis()).unwrap_or_default(), random);
    let id = format!("doctor.{id}@{}", visit.host_name);
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
    let way = if visit.name == "through" { "through the proxy" } else { "directly" };
    let text = format!(
        "Date: {date}\r\nFrom: <{from}>\r\nTo: <{recipient}>\r\nMessage-ID: <{id}>\r\nSubject: Relayscope test message, sent {way}\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         This is a test message of `relayscope doctor` on {host}.\r\n\
         It was sent {way}, by way of {place}.\r\n\
         Nobody needs to answer it.\r\n.\r\n",
        from = visit.probe.from,
        host = visit.host_name,
        place = visit.place,
    );
    (id, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fits_a_path_is_an_address() {
        assert_eq!(address("<bob@to.example>").as_deref(), Ok("bob@to.example"));
        for text in
            ["bob", "@to.example", "bob@", "a b@to.example", "bob@to.example>\r\nDATA", "\"a@b\"@c.example", "a@b.example,c@d.example"]
        {
            assert!(address(text).is_err(), "{text:?}");
        }
    }
}
