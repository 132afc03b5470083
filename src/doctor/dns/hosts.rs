//! A visit to each mail host of a domain: does it answer, greet, offer TLS, and with which certificate. No mail is begun.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::check::Check;
use super::super::dialogue::{Dialogue, Offer, Trouble, in_words};
use super::super::upstream::certificate::{SOON, left, now_seconds};
use super::DomainOptions;
use super::exchangers::{Host, Mx};
use crate::net::connect::ConnectError;
use crate::net::resolve::{Dane, Dnssec, Resolver};
use crate::net::tls::TlsFacts;
use crate::smtp::Stage;
use crate::wording::in_shell;

/// Connections at the same time.
const AT_ONCE: usize = 8;
/// Addresses of one host that are visited: the best of each family.
const MOST_ADDRESSES: usize = 2;

/// What was seen of one address.
#[derive(Debug)]
pub(super) struct Visit {
    pub host: Host,
    pub address: IpAddr,
    pub checks: Vec<Check>,
    /// It took the connection.
    pub open: bool,
    /// Nothing came back, or a router's word that it is forbidden; not even a refusal of the host's own.
    pub blocked: bool,
    /// STARTTLS was offered; absent if it didn't come to that.
    pub starttls: Option<bool>,
    /// The certificate by the trusted authorities.
    pub tls: Option<TlsFacts>,
    /// What DANE asks of this host.
    pub dane: Dane,
    /// By DANE, where there are usable records: what vouched, or why none did.
    pub by_dane: Option<Result<String, String>>,
}

/// Visits all hosts at once, a few at a time.
pub(super) async fn visit(resolver: &Resolver, options: &DomainOptions, domain: &str, mx: &Mx) -> Vec<Visit> {
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    let mut place = 0;
    for host in &mx.hosts {
        for address in best(host, options) {
            let (resolver, options, domain, host, dnssec, turn) =
                (resolver.clone(), options.clone(), domain.to_owned(), host.clone(), mx.dnssec, Arc::clone(&turn));
            tasks.spawn(async move {
                let _turn = turn.acquire().await;
                (place, one(&resolver, &options, &domain, host, address, dnssec).await)
            });
            place += 1;
        }
    }
    let mut visits = tasks.join_all().await;
    visits.sort_by_key(|(place, _)| *place);
    visits.into_iter().map(|(_, visit)| visit).collect()
}

/// The first address of each family that may be visited.
fn best(host: &Host, options: &DomainOptions) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in &host.addresses.addresses {
        let known = found.iter().any(|it| it.is_ipv4() == address.is_ipv4());
        if !known && options.forbidden(*address).is_none() && found.len() < MOST_ADDRESSES {
            found.push(*address);
        }
    }
    found
}

async fn one(resolver: &Resolver, options: &DomainOptions, domain: &str, host: Host, address: IpAddr, mx: Dnssec) -> Visit {
    let dane = resolver.dane(mx, &host.addresses, options.smtp_port, options.patience).await.policy;
    let mut visit =
        Visit { host, address, checks: Vec::new(), open: false, blocked: false, starttls: None, tls: None, dane, by_dane: None };
    visit.talk(options).await;
    if let (Dane::Usable { base_domain, records }, Some(true)) = (&visit.dane, visit.starttls) {
        let names = [visit.host.addresses.host.as_str(), domain];
        let vouched = async {
            let mut dialogue = open(options, visit.at(options)).await.map_err(|error| error.to_string())?;
            greeted(&mut dialogue, options).await.map_err(|trouble| trouble.to_string())?;
            start_tls(&mut dialogue).await.map_err(|trouble| trouble.to_string())?;
            let secured = dialogue.secure_by_dane(&options.tls, base_domain, &names, records).await;
            let dialogue = secured.map_err(|trouble| trouble.to_string())?;
            let how = dialogue.tls.as_ref().and_then(|facts| facts.how.clone()).unwrap_or_default();
            dialogue.quit().await;
            Ok(how)
        };
        visit.by_dane = Some(vouched.await);
    }
    visit
}

async fn open(options: &DomainOptions, at: SocketAddr) -> Result<Dialogue, ConnectError> {
    let mut dialogue = Dialogue::open(at, options.mark, options.patience).await?;
    dialogue.patience = options.smtp_patience;
    Ok(dialogue)
}

async fn greeted(dialogue: &mut Dialogue, options: &DomainOptions) -> Result<Offer, Trouble> {
    dialogue.expect(Stage::Banner, 220).await?;
    dialogue.greet("EHLO", &options.helo).await
}

async fn start_tls(dialogue: &mut Dialogue) -> Result<(), Trouble> {
    dialogue.send(Stage::StartTls, b"STARTTLS\r\n").await?;
    dialogue.expect(Stage::StartTls, 220).await.map(drop)
}

impl Visit {
    fn at(&self, options: &DomainOptions) -> SocketAddr {
        SocketAddr::new(self.address, options.smtp_port)
    }

    fn place(&self) -> String {
        format!("{} [{}]", self.host.addresses.host, self.address)
    }

    async fn talk(&mut self, options: &DomainOptions) {
        let (began, at) = (Instant::now(), self.at(options));
        let asked = format!("{} port {} (preference {})", self.place(), at.port(), self.host.preference);
        let check = Check::asking("host.connect", asked, "mail is tried here, the lowest preference first");
        let mut dialogue = match open(options, at).await {
            Ok(dialogue) => dialogue,
            Err(error) => {
                self.blocked = matches!(error, ConnectError::TimedOut { .. } | ConnectError::Unreachable { .. });
                let check = self.closed(check.took(began.elapsed()), &error);
                return self.checks.push(check);
            }
        };
        self.open = true;
        self.checks.push(check.took(began.elapsed()).ok("it takes the connection"));
        let check = Check::asking(
            "host.greeting",
            format!("greeting and EHLO of {}", self.place()),
            "a server that greets with 4xx or 5xx takes no mail just now",
        );
        let began = Instant::now();
        let banner = match dialogue.expect(Stage::Banner, 220).await {
            Ok(banner) => in_words(&banner),
            Err(trouble) => {
                let check = self.refused(check.took(began.elapsed()), &trouble);
                self.checks.push(check);
                return dialogue.quit().await;
            }
        };
        let offer = match dialogue.greet("EHLO", &options.helo).await {
            Ok(offer) => offer,
            Err(trouble) => {
                let check = self.refused(check.took(began.elapsed()), &trouble);
                self.checks.push(check);
                return dialogue.quit().await;
            }
        };
        self.checks.push(check.took(began.elapsed()).ok(format!("{banner}; {}", offer.lines.join(", "))));
        self.starttls = Some(offer.extensions.starttls);
        self.secure(dialogue, options).await;
    }

    async fn secure(&mut self, mut dialogue: Dialogue, options: &DomainOptions) {
        let check =
            Check::asking("host.starttls", format!("STARTTLS at {}", self.place()), "without TLS everybody on the way can read the mail");
        let began = Instant::now();
        if self.starttls != Some(true) {
            let fix = "Switch TLS on at this host (Postfix: `smtpd_tls_security_level = may` with a certificate). If it is on, something between takes \
                       it out of the answer: compare with `openssl s_client -starttls smtp -connect HOST:25` from another network.";
            self.checks.push(check.warn("it is not offered: mail to it travels in clear", fix));
            return dialogue.quit().await;
        }
        let broken =
            "It offers STARTTLS and can't do it, so some senders give up and others send in clear: look at its certificate, key and log.";
        if let Err(trouble) = start_tls(&mut dialogue).await {
            self.checks.push(check.took(began.elapsed()).fail(format!("it {trouble}"), broken));
            return dialogue.quit().await;
        }
        let dialogue = match dialogue.secure(&options.tls, &self.host.addresses.host).await {
            Ok(dialogue) => dialogue,
            Err(trouble) => return self.checks.push(check.took(began.elapsed()).fail(format!("it {trouble}"), broken)),
        };
        if let Some(facts) = dialogue.tls.clone() {
            self.checks.push(check.took(began.elapsed()).ok(format!("{} with {}", facts.version, facts.cipher)));
            self.checks.push(self.certificate(&facts));
            self.tls = Some(facts);
        }
        dialogue.quit().await;
    }

    /// No connection.
    fn closed(&self, check: Check, error: &ConnectError) -> Check {
        if matches!(error, ConnectError::NoRoute { .. }) && self.address.is_ipv6() {
            return check.skipped(format!("{error}: it can't be seen from here"));
        }
        if matches!(error, ConnectError::NotPermitted { .. }) {
            return check.skipped(format!("{error}. The doctor connects as the proxy does: run it as root"));
        }
        if error.is_local() {
            return check.skipped(error.to_string());
        }
        if self.host.first {
            return check.fail(
                error.to_string(),
                "The most preferred host must answer: start its mail server, open port 25 in its firewall, or take the address out of DNS. Until then \
                 each sender waits for its time-out first, or the mail comes by a less preferred host.",
            );
        }
        check.warn(
            error.to_string(),
            "Is it meant to be so (some publish a last MX that never answers, against spam)? Then leave it. If it is a real backup, it is of no use \
             as it is.",
        )
    }

    fn refused(&self, check: Check, trouble: &Trouble) -> Check {
        let answer = format!("it {trouble}");
        if !self.host.first {
            return check
                .warn(answer, "A less preferred host may be so by design (against spam). If it is a real backup, look at its log.");
        }
        let class = trouble.reply.as_ref().map(|reply| reply.code / 100);
        check.fail(
            answer,
            match class {
                Some(4) => "It defers everybody, or just this machine: its reply says why (load, greylisting, reputation). Mail waits and is tried again.",
                Some(5) => {
                    "It refuses this machine, perhaps for its address (dynamic, on a blocklist, no name in reverse DNS): `relayscope doctor sender \
                     ADDRESS` looks at that."
                }
                _ => "Something takes the connections and doesn't speak SMTP: a load balancer without servers, a firewall, an overloaded host. Look at its log.",
            },
        )
    }

    fn certificate(&self, facts: &TlsFacts) -> Check {
        let why = "most senders take any certificate; those that go by MTA-STS or DANE, and partners with forced TLS, send nothing to one that is wrong";
        let check = Check::asking("host.certificate", format!("certificate of {}", self.place()), why);
        let subject = facts.subject.as_deref().unwrap_or("no subject");
        let issuer = facts.issuer.as_deref().unwrap_or("nobody named");
        let (days, left) = facts.expires_at_unix_us.map_or((i64::MAX, "no date".to_owned()), |at| left(at, now_seconds()));
        let whose = format!("{subject}, issued by {issuer}, {left}");
        match &facts.why_not {
            Some(why_not) => check.warn(
                format!("{whose}; not verified: {why_not}"),
                format!(
                    "Give the host a certificate of a public authority for the name {} (`certbot certonly -d {}`), with the intermediate \
                     certificates (fullchain.pem), and reload the mail server.",
                    self.host.addresses.host,
                    in_shell(&self.host.addresses.host)
                ),
            ),
            None if days < SOON => check.warn(
                format!("{whose}; verified"),
                "Renew it now and reload the mail server: from its last day on, senders that verify stop.",
            ),
            None => check.ok(format!("{whose}; verified ({})", facts.how.as_deref().unwrap_or("trusted"))),
        }
    }
}

/// Whether it isn't the hosts that are silent, but this network.
pub(super) fn port_25(visits: &[Visit], port: u16) -> Option<Check> {
    let machines: std::collections::BTreeSet<IpAddr> = visits.iter().filter(|visit| visit.blocked).map(|visit| visit.address).collect();
    if machines.is_empty() || visits.iter().any(|visit| visit.open) {
        return None;
    }
    let why = "many providers let nobody connect to port 25 of others but their own mail servers";
    let check = Check::asking("host.port25", format!("whether port {port} can be reached from here at all"), why);
    Some(check.warn(
        "not one host answered, and none refused: that looks like a firewall on this side",
        "Try `nc -vz -w 5 gmail-smtp-in.l.google.com 25` here: if that is silent too, your provider or firewall blocks port 25. Ask for it to be \
         opened, or send through a smart host on port 587.",
    ))
}
