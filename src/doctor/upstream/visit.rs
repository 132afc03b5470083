//! One visit to a server: greeting, EHLO, TLS and its certificate, login, a recipient. Each step is a check; the first that fails ends it.

use std::net::SocketAddr;
use std::time::Instant;

use super::super::dialogue::{Dialogue, Offer, Trouble, in_words};
use super::super::{Check, Section, clock};
use super::probe::{self, Probe};
use super::{certificate, login};
use crate::diagnose::{Diagnosing, Facts};
use crate::net::proxy_header::encode_local;
use crate::net::tls::{ClientTls, TlsFacts};
use crate::relay::options::{UpstreamAuth, UpstreamTls};
use crate::smtp::Stage;
use crate::trace::Reply;

/// Who is visited, and how.
pub struct Visit<'a> {
    /// What the names of checks begin with: "upstream", "through".
    pub name: &'static str,
    /// As it is shown: "smtp.example.net:587 (192.0.2.1)".
    pub place: String,
    /// The name that the certificate must be for.
    pub host: &'a str,
    pub address: SocketAddr,
    /// Ours, for EHLO.
    pub host_name: &'a str,
    pub lmtp: bool,
    pub mark: Option<u32>,
    /// Begin with a PROXY v2 header that speaks for nobody.
    pub proxy_header: bool,
    pub tls: UpstreamTls,
    pub client_tls: &'a ClientTls,
    /// Say what the certificate is worth, and the clock: not of our own listener.
    pub certificate: bool,
    pub auth: Option<&'a UpstreamAuth>,
    pub allow_plaintext_auth: bool,
    pub probe: &'a Probe,
    pub diagnosing: &'a Diagnosing,
    /// The next hop's names stand in the configuration: what is said of them in DNS says nothing of a recipient's domain.
    pub hosts_are_listed: bool,
    pub patience: std::time::Duration,
}

/// What was seen, for a comparison.
#[derive(Debug, Default)]
pub struct Seen {
    pub banner: Option<String>,
    /// The last answer to EHLO.
    pub offer: Option<Offer>,
    pub tls: Option<TlsFacts>,
    pub logged_in: bool,
    /// Refused for good: what is put off or breaks says nothing of the password.
    pub login_refused: bool,
    /// A test message was taken, or may have been.
    pub message_sent: bool,
    /// The answer to RCPT TO, or whatever came in its place.
    pub rcpt: Option<Reply>,
    /// µs from the first octet of TCP to the last answer to EHLO.
    pub ready_us: Option<u64>,
}

impl Visit<'_> {
    /// Makes the visit. Its checks go into `section`.
    pub async fn make(&self, section: &mut Section) -> Seen {
        let mut seen = Seen::default();
        let began = Instant::now();
        let Some(mut dialogue) = self.open(section, &mut seen).await else { return seen };
        let Some(offer) = self.ehlo(&mut dialogue, section, "ehlo").await else { return seen };
        seen.offer = Some(offer.clone());
        let Some((mut dialogue, offer)) = self.start_tls(dialogue, offer, section, &mut seen).await else { return seen };
        seen.ready_us = u64::try_from(began.elapsed().as_micros()).ok();
        if let Some(auth) = self.auth {
            let (made, refused) = login::log_in(self, auth, &mut dialogue, &offer.extensions).await;
            seen.logged_in = made.verdict == super::super::Verdict::Ok;
            seen.login_refused = refused;
            section.push(made);
            if !seen.logged_in {
                dialogue.quit().await;
                return seen;
            }
        }
        probe::ask(self, &mut dialogue, section, &mut seen).await;
        dialogue.quit().await;
        seen
    }

    /// TCP, TLS where it comes first, and the greeting.
    async fn open(&self, section: &mut Section, seen: &mut Seen) -> Option<Dialogue> {
        let why = "the greeting says which server this is, and whether it takes mail at all just now";
        let check = self.asking("banner", format!("greeting of {}", self.place), why);
        let began = Instant::now();
        let mut dialogue = match Dialogue::open(self.address, self.mark, self.patience).await {
            Ok(dialogue) => dialogue,
            Err(error) => {
                let fix = "It answered a moment ago: it limits connections, or is just going down. Ask again in a minute.";
                section.push(check.took(began.elapsed()).fail(error.to_string(), fix));
                return None;
            }
        };
        if self.proxy_header
            && let Err(trouble) = dialogue.send(Stage::Connect, &encode_local()).await
        {
            section.push(self.failed(check, &trouble, began));
            return None;
        }
        if self.tls == UpstreamTls::Implicit {
            let tls = self.asking("tls", format!("TLS handshake with {} from the first octet", self.place), TLS_WHY);
            match dialogue.secure(self.client_tls, self.host).await {
                Ok(secured) => dialogue = secured,
                Err(trouble) => {
                    let fix = "Port 465 speaks TLS from the first octet, 587 and 25 begin in clear: write `tls = \"required\"` for those, or the \
                               right port. Otherwise the server's TLS is broken: tell its operator.";
                    section.push(tls.took(began.elapsed()).fail(format!("it {trouble}"), fix));
                    return None;
                }
            }
            self.judge_tls(tls.took(began.elapsed()), &dialogue, section, seen);
        }
        match dialogue.expect(Stage::Banner, 220).await {
            Ok(reply) => {
                let banner = reply.lines.first().cloned().unwrap_or_default();
                section.push(check.took(began.elapsed()).ok(in_words(&reply)));
                if self.certificate {
                    section.checks.extend(clock::against(&banner, &self.place, certificate::now_seconds()));
                }
                seen.banner = Some(banner);
                Some(dialogue)
            }
            Err(trouble) => {
                section.push(self.failed(check, &trouble, began));
                None
            }
        }
    }

    async fn ehlo(&self, dialogue: &mut Dialogue, section: &mut Section, name: &str) -> Option<Offer> {
        let verb = if self.lmtp { "LHLO" } else { "EHLO" };
        let why = "what the server offers decides what clients can do: size, TLS, logins, international addresses";
        let after = if name == "ehlo" { "" } else { " within TLS" };
        let check = self.asking(name, format!("{verb} {} at {}{after}", self.host_name, self.place), why);
        let began = Instant::now();
        match dialogue.greet(verb, self.host_name).await {
            Ok(offer) => {
                let offered = if offer.lines.is_empty() { "no extension at all".to_owned() } else { offer.lines.join(", ") };
                section.push(check.took(began.elapsed()).ok(offered));
                Some(offer)
            }
            Err(trouble) => {
                section.push(self.failed(check, &trouble, began));
                None
            }
        }
    }

    /// STARTTLS where it is offered and wanted, and EHLO again behind it.
    async fn start_tls(&self, mut dialogue: Dialogue, offer: Offer, section: &mut Section, seen: &mut Seen) -> Option<(Dialogue, Offer)> {
        if matches!(self.tls, UpstreamTls::Implicit | UpstreamTls::Off) {
            return Some((dialogue, offer));
        }
        let needed = matches!(self.tls, UpstreamTls::Required | UpstreamTls::Encrypt);
        let check = self.asking("tls", format!("STARTTLS at {}", self.place), TLS_WHY);
        if !offer.extensions.starttls {
            let answer = "STARTTLS is not offered: mail travels in clear";
            let fix = "Switch TLS on at the server. If it has always offered it, somebody on the way takes it out of EHLO's answer (some \
                       firewalls \"inspect\" SMTP, e.g. Cisco's `fixup`): compare with EHLO from another network.";
            section.push(match (needed, self.certificate) {
                (true, _) => check.fail(answer, format!("This upstream is configured never to send in clear, so no mail passes. {fix}")),
                (false, true) => check.warn(answer, fix),
                (false, false) => check.ok("not offered here: see `tls` of the listener"),
            });
            return if needed { None } else { Some((dialogue, offer)) };
        }
        let began = Instant::now();
        if let Err(trouble) = start(&mut dialogue).await {
            section.push(self.failed(check, &trouble, began));
            return None;
        }
        let mut dialogue = match dialogue.secure(self.client_tls, self.host).await {
            Ok(secured) => secured,
            Err(trouble) => {
                let fix = "The server offers STARTTLS and can't do it: its certificate or key is missing or unreadable, or it speaks nothing \
                           newer than TLS 1.1. Its log says which; `openssl s_client -starttls smtp -connect HOST:PORT` shows the same from here.";
                section.push(check.took(began.elapsed()).fail(format!("it {trouble}"), fix));
                return None;
            }
        };
        self.judge_tls(check.took(began.elapsed()), &dialogue, section, seen);
        let again = self.ehlo(&mut dialogue, section, "ehlo_in_tls").await?;
        seen.offer = Some(again.clone());
        Some((dialogue, again))
    }

    fn judge_tls(&self, check: Check, dialogue: &Dialogue, section: &mut Section, seen: &mut Seen) {
        let Some(facts) = &dialogue.tls else { return };
        section.push(check.ok(format!("{} with {}", facts.version, facts.cipher)));
        if self.certificate {
            section.push(certificate::check(self, facts));
        }
        seen.tls = Some(facts.clone());
    }

    /// A check of this visit.
    pub fn asking(&self, name: &str, asked: String, why: &str) -> Check {
        Check::asking(&format!("{}.{name}", self.name), asked, why)
    }

    /// A step that failed, with the diagnosis of what the server said.
    pub fn failed(&self, check: Check, trouble: &Trouble, began: Instant) -> Check {
        let fix = match &trouble.reply {
            Some(reply) => self.diagnosis(trouble.stage, reply),
            None => silence(trouble).to_owned(),
        };
        check.took(began.elapsed()).fail(format!("it {trouble}"), fix)
    }

    /// What a refusal means and what to do: "auth_failed (local_admin): …".
    pub fn diagnosis(&self, stage: Stage, reply: &Reply) -> String {
        let text = reply.lines.join("\n");
        let facts = Facts {
            stage: Some(stage),
            code: Some(reply.code),
            enhanced: reply.enhanced,
            text: &text,
            host: Some(self.host).filter(|host| host.parse::<std::net::IpAddr>().is_err()),
            banner: None,
        };
        let verdict = self.diagnosing.rules().classify(&facts);
        let verdict = if self.hosts_are_listed && is_of_next_hop(stage, &text) { verdict.of_configured_host() } else { verdict };
        format!("Cause {} (to act: {}). {}", verdict.cause, verdict.act, verdict.advice)
    }
}

/// Whether the proxy itself says why its next hop can't be reached: any other reply may be the upstream's, and speak of a recipient's domain.
fn is_of_next_hop(stage: Stage, text: &str) -> bool {
    text.contains("relayscope: smart host ") || (matches!(stage, Stage::Connect | Stage::Banner) && text.contains(" relayscope: "))
}

const TLS_WHY: &str = "without TLS everybody on the way can read the mail, and passwords with it";

async fn start(dialogue: &mut Dialogue) -> Result<(), Trouble> {
    dialogue.send(Stage::StartTls, b"STARTTLS\r\n").await?;
    dialogue.expect(Stage::StartTls, 220).await.map(drop)
}

/// What it may mean that no reply came.
fn silence(trouble: &Trouble) -> &'static str {
    match trouble.stage {
        Stage::Connect | Stage::Banner => {
            "TCP is open and no greeting came: something stands before the server that takes connections without it (a load balancer whose \
             server is down, a firewall's SMTP inspection, port 465 spoken to in clear), or it is overloaded or delays unknown clients. Look \
             at its log and load."
        }
        Stage::Ehlo => {
            "It greets and doesn't answer EHLO: overloaded, or a look-up of this machine's name takes it too long. Look at its log."
        }
        _ => "The connection broke in the midst of the dialogue: look at the server's log at this minute.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_that_an_upstream_speaks_of_is_no_name_in_the_configuration() {
        let client_tls = ClientTls::new(None).unwrap();
        let visit = Visit {
            name: "through",
            place: "listener in (127.0.0.1:25)".to_owned(),
            host: "127.0.0.1",
            address: SocketAddr::from(([127, 0, 0, 1], 25)),
            host_name: "relay.example",
            lmtp: false,
            mark: None,
            proxy_header: false,
            tls: UpstreamTls::Off,
            client_tls: &client_tls,
            certificate: false,
            auth: None,
            allow_plaintext_auth: false,
            probe: &Probe::default(),
            diagnosing: &Diagnosing::default(),
            hosts_are_listed: true,
            patience: std::time::Duration::ZERO,
        };
        const OURS: &str = "(to act: local_admin). The host's name in the configuration";
        for (stage, code, text, is_ours) in [
            (Stage::Banner, 421, "relay.example relayscope: smart host main.example:25: no such name in DNS: main.example (trace x)", true),
            (Stage::Banner, 421, "relay.example relayscope: no such name in DNS: main.example (trace x)", true),
            (Stage::MailFrom, 451, "4.4.1 relayscope: smart host main.example:25: no such name in DNS: main.example (trace x)", true),
            (Stage::RcptTo, 550, "5.1.2 y.example takes no mail (null MX)", false),
            (Stage::RcptTo, 550, "5.1.2 relayscope: y.example takes no mail (null MX) (trace x)", false),
        ] {
            let told = visit.diagnosis(stage, &Reply { code, enhanced: None, lines: vec![text.to_owned()] });
            assert_eq!(told.contains(OURS), is_ours, "{text}: {told}");
        }
    }
}
