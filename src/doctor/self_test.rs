//! Attacks on our own listeners: ends of data that only careless servers take for one, and commands hidden behind STARTTLS.
//!
//! No message is ever ended: each attempt breaks off before a true end-of-data, so nothing is delivered.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::dialogue::{Trouble, in_words};
use super::door::Door;
use super::{Check, Section};
use crate::smtp::Stage;

/// How long a listener may take to fall for it.
const WAIT: Duration = Duration::from_secs(4);

/// Everything that some server somewhere has taken for `<CRLF>.<CRLF>`.
const ENDS: [(&str, &[u8]); 9] = [
    ("<LF>.<LF>", b"\n.\n"),
    ("<LF>.<CRLF>", b"\n.\r\n"),
    ("<CRLF>.<LF>", b"\r\n.\n"),
    ("<CR>.<CR>", b"\r.\r"),
    ("<CR>.<CRLF>", b"\r.\r\n"),
    ("<CRLF>.<CR>", b"\r\n.\r"),
    ("<LF>.<CR>", b"\n.\r"),
    ("<CR>.<LF>", b"\r.\n"),
    ("<CRLF>.<NUL><CRLF>", b"\r\n.\0\r\n"),
];

/// The listener under attack.
#[derive(Clone)]
pub struct SelfTest {
    pub listener: String,
    pub door: Door,
    /// An address that the listener takes mail for: without it there is no way to DATA.
    pub recipient: Option<String>,
    pub sender: String,
}

impl SelfTest {
    pub async fn run(&self) -> Section {
        // They are traced and watched for as anybody's: what an attacker could say to go unwatched, the doctor doesn't say either.
        let title =
            format!("listener {} attacked (anomalies may name this machine for it: smuggling_attempts, tls_injection)", self.listener);
        let mut section = Section::new(title);
        section.push(self.smuggling().await);
        section.push(self.injection().await);
        section
    }

    /// SMTP smuggling: whoever takes one of these for the end reads the rest as commands.
    async fn smuggling(&self) -> Check {
        let why = "a proxy and a server that disagree on where a message ends let an attacker send in any name (CVE-2023-51764 and kin)";
        let asked = format!("{} false ends of data at {}, a command behind each", ENDS.len(), self.door.address);
        let check = Check::asking("self_test.smuggling", asked, why);
        let Some(recipient) = &self.recipient else {
            return check.skipped("needs a recipient that the listener takes: `--rcpt ADDRESS` (nothing is sent to it)");
        };
        let began = Instant::now();
        let mut attempts = JoinSet::new();
        for (name, end) in ENDS {
            let (test, recipient) = (self.clone(), recipient.clone());
            attempts.spawn(async move { (name, test.smuggle(&recipient, end).await) });
        }
        let (mut fell, mut stopped, mut failed) = (Vec::new(), 0, Vec::new());
        while let Some(done) = attempts.join_next().await {
            match done {
                Ok((name, Ok(Some(answer)))) => fell.push(format!("{name}: {answer}")),
                Ok((_, Ok(None))) => stopped += 1,
                Ok((name, Err(trouble))) => failed.push(format!("{name}: it {trouble}")),
                Err(_) => {}
            }
        }
        fell.sort();
        failed.sort();
        let check = check.took(began.elapsed());
        if !fell.is_empty() {
            return check.fail(
                format!("taken for the end of the message: {}", fell.join("; ")),
                "The listener ends messages at what is no end: report it; and have the server behind refuse bare newlines (Postfix: \
                 `smtpd_forbid_bare_newline = normalize`).",
            );
        }
        match failed.first() {
            Some(first) if stopped == 0 => check.skipped(format!("no way to DATA: {first}")),
            Some(first) => check.ok(format!("none of {stopped} was taken for the end; {} couldn't be tried ({first})", failed.len())),
            None => check.ok(format!("none of {stopped} was taken for the end of the message")),
        }
    }

    /// What came back, if anything did. The connection is dropped with the message unfinished.
    async fn smuggle(&self, recipient: &str, end: &[u8]) -> Result<Option<String>, Trouble> {
        let (mut dialogue, _) = self.door.enter().await?;
        for (stage, command) in
            [(Stage::MailFrom, format!("MAIL FROM:<{}>", self.sender)), (Stage::RcptTo, format!("RCPT TO:<{recipient}>"))]
        {
            let reply = dialogue.say(stage, &command).await?;
            if reply.code / 100 != 2 {
                return Err(Trouble { stage, words: format!("answered {}", in_words(&reply)), reply: Some(reply) });
            }
        }
        dialogue.send(Stage::Data, b"DATA\r\n").await?;
        dialogue.expect(Stage::Data, 354).await?;
        let text = [b"Subject: self-test of relayscope doctor, never finished\r\n\r\nnothing", end, b"NOOP\r\n"].concat();
        dialogue.send(Stage::Body, &text).await?;
        let heard = dialogue.rest(WAIT).await;
        let heard = String::from_utf8_lossy(&heard);
        Ok((!heard.is_empty() && !is_refusal(&heard)).then(|| heard.trim().replace("\r\n", " / ")))
    }

    /// RFC 3207 §4.2: what stands behind STARTTLS in clear must not be answered within TLS.
    async fn injection(&self) -> Check {
        let why = "a command that somebody on the way puts behind STARTTLS must not be taken for the client's own (CVE-2011-0411)";
        let check = Check::asking("self_test.starttls_injection", format!("STARTTLS with NOOP behind it at {}", self.door.address), why);
        let began = Instant::now();
        let outcome = self.inject().await;
        let check = check.took(began.elapsed());
        match outcome {
            Ok(Injected::Refused(words)) => check.ok(format!("refused: {words}")),
            Ok(Injected::Dropped) => check.ok("the command was thrown away at the handshake"),
            Ok(Injected::NoTls) => check.skipped("the listener doesn't offer STARTTLS"),
            Ok(Injected::Answered(words)) => check.fail(
                format!("answered within TLS: {words}"),
                "The listener keeps what came in clear: report it, and use tls = \"implicit\".",
            ),
            Err(trouble) => check.skipped(format!("it {trouble}")),
        }
    }

    async fn inject(&self) -> Result<Injected, Trouble> {
        let (mut dialogue, offer) = self.door.enter_in_clear().await?;
        if !offer.extensions.starttls {
            return Ok(Injected::NoTls);
        }
        dialogue.send(Stage::StartTls, b"STARTTLS\r\nNOOP\r\n").await?;
        let reply = dialogue.reply(Stage::StartTls).await?;
        if reply.code != 220 {
            return Ok(Injected::Refused(in_words(&reply)));
        }
        let mut dialogue = match dialogue.secure(&self.door.client_tls, &self.door.host).await {
            Ok(dialogue) => dialogue,
            Err(trouble) => return Ok(Injected::Refused(format!("the handshake was not made: it {trouble}"))),
        };
        let heard = dialogue.rest(WAIT).await;
        match heard.is_empty() {
            true => Ok(Injected::Dropped),
            false => Ok(Injected::Answered(String::from_utf8_lossy(&heard).trim().to_owned())),
        }
    }
}

enum Injected {
    Refused(String),
    Dropped,
    NoTls,
    Answered(String),
}

/// Whether that is the guard at work: one refusal, which ends the message or the session. What is taken for the end of a message may be refused
/// as well; then the command behind it is answered too.
fn is_refusal(heard: &str) -> bool {
    let mut replies = heard.lines().filter(|line| line.as_bytes().get(3) != Some(&b'-'));
    let is_no = |line: &str| line.starts_with('5') || line.starts_with("421");
    replies.next().is_some_and(is_no) && replies.all(|line| line.starts_with("421"))
}

#[cfg(test)]
mod tests {
    use super::is_refusal;

    #[test]
    fn one_refusal_is_the_guard_and_an_answer_behind_it_is_not() {
        for guard in ["550 5.6.11 bare newline\r\n", "421 bye\r\n", "521-5.5.2 bare\r\n521 5.5.2 LF\r\n", "554 no\r\n421 closing\r\n"] {
            assert!(is_refusal(guard), "{guard:?}");
        }
        for taken in ["", "250 queued\r\n250 ok\r\n", "554 5.7.1 spam\r\n250 2.0.0 Ok\r\n", "550 no\r\n502 what\r\n"] {
            assert!(!is_refusal(taken), "{taken:?}");
        }
    }
}
