//! The server behind an inbound listener: does it take mail for its own domains, and for nobody else's.
//!
//! Each attempt ends at RCPT TO with RSET: nothing is ever sent.

use std::net::IpAddr;
use std::time::Instant;

use super::dialogue::{Dialogue, Trouble, in_words};
use super::door::Door;
use super::{Check, Section};
use crate::smtp::Stage;
use crate::trace::Reply;

/// Domains that belong to nobody who could want mail (RFC 2606), and not to the server behind.
const FOREIGN: &str = "relay-test.example.com";
const SENDER: &str = "doctor@sender-test.example.net";

/// Attempts in a row without an answer, after which no more are made.
const ENOUGH: usize = 2;

/// The server ends the session: what it would say to the command isn't known.
const CLOSING: u16 = 421;
/// Authentication, or TLS, is wanted before anything else (RFC 4954 §6).
const LOGIN_FIRST: u16 = 530;

/// Which way the attempts come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// From this machine straight to the server: it may trust us more than it should.
    Direct,
    /// Through a listener of the proxy, as the internet comes in.
    Listener { name: String },
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
    /// In sessions the server hears of each client, and decides by that.
    pub knows_its_clients: bool,
    /// Whether it relays for strangers was found out already, by attempts in the name of one.
    pub decided_directly: bool,
    /// `tell_client` is set, so that there is no need to advise it.
    pub tell_client: bool,
}

/// One attempt to have mail relayed.
struct Attempt {
    words: &'static str,
    reverse_path: String,
    forward_path: String,
    /// Acceptance proves it. Otherwise the server may have taken an odd name for a mailbox of its own.
    proves: bool,
}

/// What became of an attempt.
enum Outcome {
    Answered(Reply),
    /// Nor was it answered when it was made again.
    Broken(Trouble),
    NotMade,
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
        let title = match (&self.way, self.door.introduction.client()) {
            (Way::Direct, None) => format!("{}: does it relay for this machine", self.place),
            (Way::Direct, Some(client)) => format!("{}: does it relay for a stranger ({client})", self.place),
            (Way::Listener { name }, _) => format!("listener {name}: does it relay for anybody"),
        };
        let mut section = Section::new(title);
        let began = Instant::now();
        let dialogue = match self.door.enter().await {
            Ok((dialogue, _)) => dialogue,
            Err(trouble) => {
                section.push(self.closed(&trouble, began));
                return section;
            }
        };
        let mut asking = Asking { door: &self.door, dialogue: Some(dialogue), lost: 0 };
        let mut postmaster = None;
        if let Some(local) = self.local_domain {
            // The null sender, which no look-up of the sender's domain puts off.
            let reply = asking.ask("", &format!("postmaster@{local}")).await;
            section.push(self.postmaster(local, &reply, began));
            postmaster = Some(reply);
        }
        let mut tried = Vec::new();
        for attempt in attempts(self.local_domain) {
            let outcome = match asking.lost {
                // Each takes its time, and what follows would only say it again.
                ENOUGH.. => Outcome::NotMade,
                _ => asking.ask(&attempt.reverse_path, &attempt.forward_path).await.map_or_else(Outcome::Broken, Outcome::Answered),
            };
            tried.push((attempt, outcome));
        }
        if let Some(dialogue) = asking.dialogue {
            dialogue.quit().await;
        }
        section.push(self.verdict(&tried, postmaster.as_ref(), began));
        section
    }

    /// It can't be entered: for a listener that may be as it should.
    fn closed(&self, trouble: &Trouble, began: Instant) -> Check {
        let why = "a service that doesn't answer takes no mail";
        let check = self.asking("open", format!("greeting and EHLO of {}", self.place), why).took(began.elapsed());
        match (&self.way, self.door.introduction.client()) {
            (Way::Listener { .. }, None) if trouble.words.contains("not allowed") => {
                check.skipped("this machine isn't in `allow` of the listener: strangers are refused at the door")
            }
            (Way::Listener { .. }, Some(client)) if trouble.words.contains("not allowed") => {
                check.skipped(format!("{client} isn't in `allow` of the listener: strangers are refused at the door"))
            }
            (Way::Listener { .. }, _) => check.fail(format!("it {trouble}"), "Is relayscope running, with this configuration?"),
            (Way::Direct, Some(client)) if trouble.words.contains("XCLIENT") => check.fail(
                format!("told of a client at {client}, it {trouble}"),
                "Let the server take XCLIENT from this machine (Postfix: `smtpd_authorized_xclient_hosts`): where it takes none from the proxy, \
                 no mail passes.",
            ),
            (Way::Direct, Some(client)) if trouble.reply.is_some() => {
                check.skipped(format!("told of a client at {client}, it {trouble}: whether it relays for others isn't known"))
            }
            (Way::Direct, _) => {
                let fix = "Start the mail service behind, or look at its log for why it refuses this machine.";
                check.fail(format!("it {trouble}"), fix)
            }
        }
    }

    fn asking(&self, name: &str, asked: String, why: &str) -> Check {
        let way = if self.way == Way::Direct { "behind" } else { "listener" };
        Check::asking(&format!("{way}.{name}"), asked, why)
    }

    fn postmaster(&self, local: &str, reply: &Result<Reply, Trouble>, began: Instant) -> Check {
        let why = "a server that refuses its own postmaster takes nobody's mail, or breaks RFC 5321 §4.5.1";
        let check = self.asking("postmaster", format!("RCPT TO:<postmaster@{local}> at {}", self.place), why).took(began.elapsed());
        match reply {
            Ok(reply) if reply.code / 100 == 2 => check.ok(in_words(reply)),
            Ok(reply) if reply.code / 100 == 4 => check.skipped(format!("put off, which decides nothing: {}", in_words(reply))),
            Ok(reply) => match self.door.introduction.client() {
                Some(client) => {
                    check.skipped(format!("refused in the name of {client}, which may be for what that client is: {}", in_words(reply)))
                }
                None => check.warn(
                    in_words(reply),
                    format!(
                        "Give {local} a postmaster address. If {local} isn't a domain of this server, name one in `accept_domains` or [doctor]."
                    ),
                ),
            },
            Err(trouble) => check.warn(format!("it {trouble}"), "Look at the server's log."),
        }
    }

    fn verdict(&self, tried: &[(Attempt, Outcome)], postmaster: Option<&Result<Reply, Trouble>>, began: Instant) -> Check {
        let why = "an open relay is found within hours, sends spam within days, and is on every blocklist after that";
        let made = tried.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::NotMade)).count();
        let asked = format!("{made} ways to have {} relay to a foreign domain, each ended at RCPT TO", self.place);
        let check = self.asking("open_relay", asked, why).took(began.elapsed());
        let taken: Vec<(&Attempt, &Reply)> = tried
            .iter()
            .filter_map(|(attempt, outcome)| match outcome {
                Outcome::Answered(reply) if reply.code / 100 == 2 => Some((attempt, reply)),
                _ => None,
            })
            .collect();
        if taken.is_empty() {
            let without =
                if self.local_domain.is_none() { "; those that need a domain of its own were left out (`accept_domains`)" } else { "" };
            let own_taken = matches!(postmaster, Some(Ok(reply)) if reply.code / 100 == 2);
            return match self.door.introduction.client() {
                Some(client) if !own_taken => check.skipped(proves_nothing(client, postmaster)),
                _ => nothing_taken(check, tried, without, own_taken),
            };
        }
        let shown: Vec<String> = taken
            .iter()
            .map(|(attempt, reply)| {
                format!("{}: MAIL FROM:<{}> RCPT TO:<{}> -> {}", attempt.words, attempt.reverse_path, attempt.forward_path, in_words(reply))
            })
            .collect();
        let answer = format!("accepted {}", shown.join("; "));
        if taken.iter().any(|(attempt, _)| attempt.proves) {
            return self.relays(check, answer);
        }
        check.warn(
            answer,
            "It may take the odd name for a mailbox of its own (a catch-all), or read it as another server's: send one such message to an \
             address of yours and see. In Postfix `allow_percent_hack = no`, `swap_bangpath = no` and a real recipient list end it.",
        )
    }

    /// What was accepted proves that it relays, for whom it was told that we are.
    fn relays(&self, check: Check, answer: String) -> Check {
        let stranger = self.door.introduction.client();
        match (&self.way, stranger) {
            (Way::Listener { .. }, _) if self.guarded => check.fail(
                answer,
                "The listener let a foreign domain through although `accept_domains` is set: report it, and narrow `allow` meanwhile.",
            ),
            (Way::Listener { .. }, None) if self.decided_directly => check.skipped(format!(
                "this machine's own address is trusted by the server behind, which is told of each client: of others that says nothing (the \
                 attempts made directly, in a stranger's name, do). It {answer}"
            )),
            (Way::Listener { .. }, None) if self.knows_its_clients => check.warn(
                answer,
                "The server behind is told of each client, and may trust this machine's own address alone: whether it relays for others is not \
                 decided, by the attempts made directly neither. Set `accept_domains` on the listener, or try from a machine outside.",
            ),
            (Way::Listener { .. }, _) if self.tell_client => check.fail(
                answer,
                "The listener is an open relay for whoever may connect: set `accept_domains` on it, narrow `allow`, or see to it that the server \
                 relays for nobody by what the proxy tells it (its login, its clients' addresses).",
            ),
            (Way::Listener { .. }, _) => check.fail(
                answer,
                "The listener is an open relay for whoever may connect: set `accept_domains` on it, narrow `allow`, or let the server know its \
                 clients (`tell_client`).",
            ),
            (Way::Direct, Some(_)) if self.guarded => check.warn(
                answer,
                "The server relays for strangers; only the proxy's `accept_domains` stands between it and the internet. Have it relay for its \
                 own networks and logins alone (Postfix: `smtpd_relay_restrictions`, `mynetworks`).",
            ),
            (Way::Direct, Some(_)) => check.fail(
                answer,
                "The server relays for strangers, so for everybody who comes through the proxy: have it relay for its own networks and logins \
                 alone (Postfix: `smtpd_relay_restrictions`, `mynetworks`), and set `accept_domains` on the listener.",
            ),
            (Way::Direct, None) if self.guarded => check.warn(
                answer,
                "The server relays for this machine; only the proxy's `accept_domains` stands between it and the internet. Take this machine out \
                 of its trusted networks (Postfix: `mynetworks`; Exchange: the receive connector's remote IP ranges).",
            ),
            (Way::Direct, None) => check.fail(
                answer,
                "The server relays for this machine, so for everybody who comes through the proxy: take this machine out of its trusted networks \
                 (Postfix: `mynetworks`; Exchange: the receive connector's remote IP ranges), and set `accept_domains` on the listener.",
            ),
        }
    }
}

/// A dialogue in which one recipient after the other is asked for, on a new connection where the last one was lost.
struct Asking<'a> {
    door: &'a Door,
    dialogue: Option<Dialogue>,
    /// Attempts in a row that had no answer.
    lost: usize,
}

impl Asking<'_> {
    /// The answer to RCPT TO, or to MAIL FROM where that is refused. What broke is tried once more, on a connection of its own: some
    /// servers end the session after a few refusals.
    async fn ask(&mut self, reverse_path: &str, forward_path: &str) -> Result<Reply, Trouble> {
        let answer = match self.once(reverse_path, forward_path).await {
            Ok(reply) if reply.code == CLOSING => self.once(reverse_path, forward_path).await.or(Ok(reply)),
            Err(_) => self.once(reverse_path, forward_path).await,
            answered => answered,
        };
        self.lost = if answer.is_err() { self.lost + 1 } else { 0 };
        answer
    }

    async fn once(&mut self, reverse_path: &str, forward_path: &str) -> Result<Reply, Trouble> {
        let mut dialogue = match self.dialogue.take() {
            Some(dialogue) => dialogue,
            None => self.door.enter().await?.0,
        };
        let mut reply = dialogue.say(Stage::MailFrom, &format!("MAIL FROM:<{reverse_path}>")).await?;
        if reply.code / 100 == 2 {
            reply = dialogue.say(Stage::RcptTo, &format!("RCPT TO:<{forward_path}>")).await?;
        }
        // The answer has come, whatever becomes of the connection.
        if reply.code != CLOSING && dialogue.say(Stage::RcptTo, "RSET").await.is_ok_and(|reply| reply.code / 100 == 2) {
            self.dialogue = Some(dialogue);
        }
        Ok(reply)
    }
}

/// A stranger may be refused for other reasons than relaying (no name, a blocklist), whoever it writes to.
fn proves_nothing(client: IpAddr, postmaster: Option<&Result<Reply, Trouble>>) -> String {
    let why = match postmaster {
        Some(Ok(reply)) => format!("its own postmaster isn't taken from {client} either: {}", in_words(reply)),
        Some(Err(trouble)) => format!("asked by {client} for its own postmaster, it {trouble}"),
        None => format!("{client} may be refused whatever it asks for. Name a domain of the server in `accept_domains` or [doctor]"),
    };
    format!("nothing was accepted, which doesn't tell that it relays for nobody: {why}")
}

/// Nothing was accepted. That it doesn't relay is known only if each attempt that would prove it was refused for good.
/// `own_taken`: mail for its own postmaster is, so that no refusal is of the session as a whole.
fn nothing_taken(check: Check, tried: &[(Attempt, Outcome)], without: &str, own_taken: bool) -> Check {
    let for_good = |reply: &Reply| reply.code / 100 == 5 && (own_taken || reply.code != LOGIN_FIRST);
    let (mut refused, mut open, mut logins): (Vec<&Reply>, Vec<String>, usize) = (Vec::new(), Vec::new(), 0);
    for (attempt, outcome) in tried {
        let why = match outcome {
            Outcome::Answered(reply) if for_good(reply) => {
                refused.push(reply);
                continue;
            }
            Outcome::Answered(reply) if reply.code == LOGIN_FIRST => {
                logins += 1;
                format!("it wants TLS or a login first: {}", in_words(reply))
            }
            Outcome::Answered(reply) => format!("put off: {}", in_words(reply)),
            Outcome::Broken(trouble) => format!("it {trouble}"),
            Outcome::NotMade => "not tried any more".to_owned(),
        };
        open.push(format!("{} ({why})", attempt.words));
    }
    let first = refused.first().map(|reply| format!(": {}", in_words(reply))).unwrap_or_default();
    let all = tried.len();
    if open.is_empty() {
        return check.ok(format!("all refused ({all} of {all}){without}{first}"));
    }
    if logins == all {
        return check.skipped(format!(
            "all refused ({all} of {all}){without}. It wants TLS or a login first: what it does behind that isn't known"
        ));
    }
    let answer = format!("{} of {all} refused{without}{first}. Not decided: {}", refused.len(), open.join("; "));
    let was_refused = |outcome: &Outcome| matches!(outcome, Outcome::Answered(reply) if for_good(reply));
    // Where look-ups of the sender's domain fail, which is nobody's, it is put off for ever: the other senders decide.
    let mut others = tried.iter().filter(|(attempt, _)| attempt.proves && attempt.reverse_path != SENDER);
    let others_refused = others.all(|(_, outcome)| was_refused(outcome));
    let was_put_off = |outcome: &Outcome| matches!(outcome, Outcome::Answered(reply) if reply.code / 100 == 4 && reply.code != CLOSING);
    let proven = |(attempt, outcome): &(Attempt, Outcome)| {
        !attempt.proves || was_refused(outcome) || (others_refused && attempt.reverse_path == SENDER && was_put_off(outcome))
    };
    match tried.iter().all(proven) {
        true => check.ok(answer),
        // A login will be wanted then as well.
        false if open.len() == logins => check.skipped(answer),
        false => check.skipped(format!("{answer}. Ask again later")),
    }
}

#[cfg(test)]
mod tests;
