//! The server behind an inbound listener: does it take mail for its own domains, and for nobody else's.
//!
//! Each attempt ends at RCPT TO with RSET: nothing is ever sent.

use std::time::Instant;

use super::dialogue::{Dialogue, Trouble, in_words};
use super::door::Door;
use super::{Check, Section};
use crate::smtp::Stage;
use crate::trace::Reply;

/// Domains that belong to nobody who could want mail (RFC 2606), and not to the server behind.
const FOREIGN: &str = "relay-test.example.com";
const SENDER: &str = "doctor@sender-test.example.net";

/// Which way the attempts come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// From this machine straight to the server: it may trust us more than it should.
    Direct,
    /// Through a listener of the proxy, as the internet comes in.
    Listener {
        name: String,
        /// The listener takes mail for certain domains alone.
        guarded: bool,
    },
}

/// Where to try.
#[derive(Clone)]
pub struct Behind<'a> {
    pub way: Way,
    pub door: Door,
    pub place: String,
    /// A domain that the server takes mail for; without it, half of the attempts can't be made.
    pub local_domain: Option<&'a str>,
    /// Something stands before the server that takes mail for certain domains alone: a server that relays is not open then.
    pub guarded: bool,
}

/// One attempt to have mail relayed.
struct Attempt {
    words: &'static str,
    reverse_path: String,
    forward_path: String,
    /// Acceptance proves it. Otherwise the server may have taken an odd name for a mailbox of its own.
    proves: bool,
}

fn attempts(local: Option<&str>) -> Vec<Attempt> {
    let attempt = |words, reverse_path: &str, forward_path: String, proves| Attempt {
        words,
        reverse_path: reverse_path.to_owned(),
        forward_path,
        proves,
    };
    let mut all = vec![
        attempt("from a stranger to a stranger", SENDER, format!("doctor@{FOREIGN}"), true),
        attempt("from the null sender to a stranger", "", format!("doctor@{FOREIGN}"), true),
        attempt("by a name without domain", SENDER, format!("doctor%{FOREIGN}"), false),
    ];
    let Some(local) = local else { return all };
    all.extend([
        attempt("in the name of a local sender", &format!("doctor@{local}"), format!("doctor@{FOREIGN}"), true),
        attempt("with a percent sign", SENDER, format!("doctor%{FOREIGN}@{local}"), false),
        attempt("with a quoted address", SENDER, format!("\"doctor@{FOREIGN}\"@{local}"), false),
        attempt("with an exclamation mark", SENDER, format!("{FOREIGN}!doctor@{local}"), false),
        attempt("with a source route", SENDER, format!("@{local}:doctor@{FOREIGN}"), true),
    ]);
    all
}

impl Behind<'_> {
    /// Whether it is an open relay, and whether it takes mail for its own postmaster.
    pub async fn examine(&self) -> Section {
        let title = match &self.way {
            Way::Direct => format!("{}: does it relay for this machine", self.place),
            Way::Listener { name, .. } => format!("listener {name}: does it relay for anybody"),
        };
        let mut section = Section::new(title);
        let began = Instant::now();
        let mut dialogue = match self.door.enter().await {
            Ok((dialogue, _)) => dialogue,
            Err(trouble) => {
                section.push(self.closed(&trouble, began));
                return section;
            }
        };
        if let Some(local) = self.local_domain {
            let reply = self.attempt(&mut dialogue, SENDER, &format!("postmaster@{local}")).await;
            section.push(self.postmaster(local, reply, began));
        }
        let mut taken = Vec::new();
        let (mut made, mut refusals, mut broken) = (0, Vec::new(), None);
        let all = attempts(self.local_domain);
        for attempt in &all {
            match self.attempt(&mut dialogue, &attempt.reverse_path, &attempt.forward_path).await {
                Ok(reply) if reply.code / 100 == 2 => taken.push((attempt, reply)),
                Ok(reply) => refusals.push((attempt, reply)),
                // Some servers end the session after a few of these; that is a refusal too. The rest gets a connection of its own.
                Err(trouble) => match self.door.enter().await {
                    Ok((again, _)) => dialogue = again,
                    Err(_) => {
                        broken = Some(trouble);
                        break;
                    }
                },
            }
            made += 1;
        }
        dialogue.quit().await;
        section.push(self.verdict(&taken, &refusals, made, all.len(), broken, began));
        section
    }

    /// It can't be entered: for a listener that may be as it should.
    fn closed(&self, trouble: &Trouble, began: Instant) -> Check {
        let why = "a service that doesn't answer takes no mail";
        let check = self.asking("open", format!("greeting and EHLO of {}", self.place), why).took(began.elapsed());
        match &self.way {
            Way::Listener { .. } if trouble.words.contains("not allowed") => {
                check.skipped("this machine isn't in `allow` of the listener: strangers are refused at the door")
            }
            Way::Listener { .. } => check.fail(format!("it {trouble}"), "Is relayscope running, with this configuration?"),
            Way::Direct => {
                let fix = "Start the mail service behind, or look at its log for why it refuses this machine.";
                check.fail(format!("it {trouble}"), fix)
            }
        }
    }

    /// The answer to RCPT TO, or to MAIL FROM where that is refused.
    async fn attempt(&self, dialogue: &mut Dialogue, reverse_path: &str, forward_path: &str) -> Result<Reply, Trouble> {
        let mut reply = dialogue.say(Stage::MailFrom, &format!("MAIL FROM:<{reverse_path}>")).await?;
        if reply.code / 100 == 2 {
            reply = dialogue.say(Stage::RcptTo, &format!("RCPT TO:<{forward_path}>")).await?;
        }
        dialogue.say(Stage::RcptTo, "RSET").await?;
        Ok(reply)
    }

    fn asking(&self, name: &str, asked: String, why: &str) -> Check {
        let way = if self.way == Way::Direct { "behind" } else { "listener" };
        Check::asking(&format!("{way}.{name}"), asked, why)
    }

    fn postmaster(&self, local: &str, reply: Result<Reply, Trouble>, began: Instant) -> Check {
        let why = "a server that refuses its own postmaster takes nobody's mail, or breaks RFC 5321 §4.5.1";
        let check = self.asking("postmaster", format!("RCPT TO:<postmaster@{local}> at {}", self.place), why).took(began.elapsed());
        match reply {
            Ok(reply) if reply.code / 100 == 2 => check.ok(in_words(&reply)),
            Ok(reply) => check.warn(
                in_words(&reply),
                format!(
                    "Give {local} a postmaster address. If {local} isn't a domain of this server, name one in `accept_domains` or [doctor]."
                ),
            ),
            Err(trouble) => check.warn(format!("it {trouble}"), "Look at the server's log."),
        }
    }

    fn verdict(
        &self,
        taken: &[(&Attempt, Reply)],
        refusals: &[(&Attempt, Reply)],
        made: usize,
        all: usize,
        broken: Option<Trouble>,
        began: Instant,
    ) -> Check {
        let why = "an open relay is found within hours, sends spam within days, and is on every blocklist after that";
        let asked = format!("{made} ways to have {} relay to a foreign domain, each ended at RCPT TO", self.place);
        let check = self.asking("open_relay", asked, why).took(began.elapsed());
        if taken.is_empty() {
            let without =
                if self.local_domain.is_none() { "; those that need a domain of its own were left out (`accept_domains`)" } else { "" };
            return match broken {
                Some(trouble) if made == 0 => check.skipped(format!("the connection broke at the first: it {trouble}")),
                _ => refused(check, refusals, &format!("all refused ({made} of {all}){without}")),
            };
        }
        let shown: Vec<String> = taken
            .iter()
            .map(|(attempt, reply)| {
                format!("{}: MAIL FROM:<{}> RCPT TO:<{}> -> {}", attempt.words, attempt.reverse_path, attempt.forward_path, in_words(reply))
            })
            .collect();
        let answer = format!("accepted {}", shown.join("; "));
        let proven = taken.iter().any(|(attempt, _)| attempt.proves);
        match (&self.way, proven) {
            (_, false) => check.warn(
                answer,
                "It may take the odd name for a mailbox of its own (a catch-all), or read it as another server's: send one such message to an \
                 address of yours and see. In Postfix `allow_percent_hack = no`, `swap_bangpath = no` and a real recipient list end it.",
            ),
            (Way::Listener { guarded: false, .. }, true) => check.fail(
                answer,
                "The listener is an open relay for whoever may connect: set `accept_domains` on it, narrow `allow`, or let the server know its \
                 clients (`tell_client`).",
            ),
            (Way::Listener { .. }, true) => check.fail(answer, "The listener let a foreign domain through although `accept_domains` is set: report it, and narrow `allow` meanwhile."),
            (Way::Direct, true) if self.guarded => check.warn(
                answer,
                "The server relays for this machine; only the proxy's `accept_domains` stands between it and the internet. Take this machine out \
                 of its trusted networks (Postfix: `mynetworks`; Exchange: the receive connector's remote IP ranges).",
            ),
            (Way::Direct, true) => check.fail(
                answer,
                "The server relays for this machine, so for everybody who comes through the proxy: take this machine out of its trusted networks \
                 (Postfix: `mynetworks`; Exchange: the receive connector's remote IP ranges), and set `accept_domains` on the listener.",
            ),
        }
    }
}

/// All was refused: unless for a reason that has nothing to do with relaying, or for the moment alone.
fn refused(check: Check, refusals: &[(&Attempt, Reply)], words: &str) -> Check {
    let first = refusals.first().map(|(_, reply)| in_words(reply)).unwrap_or_default();
    let answer = format!("{words}: {first}").trim_end_matches(": ").to_owned();
    if !refusals.is_empty() && refusals.iter().all(|(_, reply)| reply.code == 530) {
        return check.skipped(format!("{answer}. It wants TLS or a login first: what it does behind that isn't known"));
    }
    let (put_off, refused): (Vec<_>, Vec<_>) =
        refusals.iter().filter(|(attempt, _)| attempt.proves).partition(|(_, reply)| reply.code / 100 == 4 || reply.code == 530);
    match (put_off.is_empty(), refused.is_empty()) {
        (true, _) => check.ok(answer),
        (false, true) => check.skipped(format!("{answer}. What would prove it was put off, which decides nothing: ask again later")),
        (false, false) => {
            let words: Vec<&str> = put_off.iter().map(|(attempt, _)| attempt.words).collect();
            check.ok(format!("{answer}. Put off, so not decided: {}", words.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn what_is_put_off_is_no_refusal_to_relay() {
        let judged = |codes: [u16; 3]| {
            let all = attempts(None);
            let refusals: Vec<_> =
                all.iter().zip(codes).map(|(attempt, code)| (attempt, Reply { code, enhanced: None, lines: Vec::new() })).collect();
            let check = refused(Check::asking("behind.open_relay", "", ""), &refusals, "all refused (3 of 3)");
            (check.verdict, check.answer)
        };
        assert_eq!(judged([554, 554, 550]), (Verdict::Ok, "all refused (3 of 3): 554".to_owned()));
        assert!(judged([530, 530, 530]).1.contains("It wants TLS or a login first"));
        for codes in [[451, 451, 451], [450, 530, 451], [451, 451, 550]] {
            let (verdict, answer) = judged(codes);
            assert!(verdict == Verdict::Skipped && answer.contains("ask again later"), "{codes:?}: {answer}");
        }
        let (verdict, answer) = judged([554, 451, 550]);
        assert!(verdict == Verdict::Ok && answer.ends_with("not decided: from the null sender to a stranger"), "{answer}");
    }
}
