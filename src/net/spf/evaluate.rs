//! `check_host()` (RFC 7208 4): whether a domain's record lets an address send, with the reason and what it cost.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use super::macros::{Facts, MacroString};
use super::record::{Lengths, Mechanism, Qualifier, Term, is_record, terms};
use super::{MOST_LOOKUPS, MOST_NAMES, MOST_VOID};
use crate::net::resolve::{Failure, Kind, Lookup, Resolver, reverse_name};

/// RFC 7208 2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    None,
    Neutral,
    Pass,
    Fail,
    SoftFail,
    TempError,
    PermError,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// Who sends.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    pub ip: IpAddr,
    /// The reverse-path; for a null one, "postmaster@" and the EHLO name.
    pub sender: &'a str,
    pub helo: &'a str,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    pub outcome: Outcome,
    /// What decided, in words that go behind "because". Terms in it are hostile.
    pub why: String,
    /// Terms that asked DNS; the record itself is free.
    pub lookups: usize,
    /// Look-ups of terms that found nothing.
    pub void: usize,
}

/// Evaluates the record of `domain` (A-labels) for a sender. `patience` is for each question to DNS.
pub async fn evaluate(resolver: &Resolver, domain: &str, identity: &Identity<'_>, patience: Duration) -> Evaluation {
    let ip = identity.ip.to_canonical();
    let mut walk = Walk { resolver, identity: Identity { ip, ..*identity }, patience, lookups: 0, void: 0, why: String::new() };
    let outcome = match walk.record(domain.to_owned()).await {
        Ok(outcome) => outcome,
        Err(stop) => stop,
    };
    Evaluation { outcome, why: walk.why, lookups: walk.lookups, void: walk.void }
}

struct Walk<'a> {
    resolver: &'a Resolver,
    identity: Identity<'a>,
    patience: Duration,
    lookups: usize,
    void: usize,
    /// Of the last decision.
    why: String,
}

/// `Err` ends everything: TempError or PermError.
type Step<T> = Result<T, Outcome>;
type Pending<'s, T> = Pin<Box<dyn Future<Output = Step<T>> + Send + 's>>;

impl Walk<'_> {
    /// The outcome for one domain's record.
    fn record(&mut self, domain: String) -> Pending<'_, Outcome> {
        Box::pin(async move {
            let lookup = self.resolver.look_up(&domain, Kind::Txt, self.patience).await;
            match lookup.failure() {
                Some(failure) if failure.is_temporary() => return self.broken(&domain, failure),
                _ => {}
            }
            let found: Vec<Vec<u8>> = lookup.texts().into_iter().filter(|text| is_record(text)).collect();
            let text = match found.as_slice() {
                [] => {
                    self.why = format!("{domain} has no SPF record");
                    return Ok(Outcome::None);
                }
                [text] => String::from_utf8_lossy(text).into_owned(),
                several => {
                    self.why = format!("{domain} has {} SPF records; one is allowed", several.len());
                    return Err(Outcome::PermError);
                }
            };
            let terms = terms(&text);
            if let Some((term, flaw)) = terms.iter().find_map(|it| Some((it, it.term.as_ref().err()?))) {
                self.why = format!("`{}` (octet {}) in the record of {domain}: {}", term.text, term.at, flaw.why);
                return Err(Outcome::PermError);
            }
            let mut redirect = None;
            for placed in &terms {
                if let Ok(Term::Redirect(target)) = &placed.term {
                    redirect = Some(target);
                }
                let Ok(Term::Directive(qualifier, mechanism)) = &placed.term else { continue };
                if self.matches(mechanism, &domain, &placed.text).await? {
                    self.why = format!("`{}` in the record of {domain} matches", placed.text);
                    return Ok(result(*qualifier));
                }
            }
            let Some(target) = redirect else {
                self.why = format!("nothing in the record of {domain} matches");
                return Ok(Outcome::Neutral);
            };
            let target = self.expanded(target, &domain);
            self.spend(&format!("redirect={target}"), &domain)?;
            match self.record(target).await? {
                Outcome::None => Err(Outcome::PermError),
                outcome => Ok(outcome),
            }
        })
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str, text: &str) -> Step<bool> {
        if mechanism.asks() {
            self.spend(text, domain)?;
        }
        let of =
            |walk: &Self, target: &Option<MacroString>| target.as_ref().map_or_else(|| domain.to_owned(), |it| walk.expanded(it, domain));
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip(network) => Ok(network.contains(&self.identity.ip)),
            Mechanism::Include(target) => {
                let target = self.expanded(target, domain);
                match self.record(target).await? {
                    Outcome::Pass => Ok(true),
                    Outcome::None => Err(Outcome::PermError),
                    _ => Ok(false),
                }
            }
            Mechanism::A(target, lengths) => self.is_address_of(&of(self, target), *lengths).await,
            Mechanism::Mx(target, lengths) => self.is_exchanger_of(&of(self, target), *lengths, text).await,
            Mechanism::Exists(target) => {
                let lookup = self.asked(&self.expanded(target, domain), Kind::A).await?;
                Ok(!lookup.addresses().is_empty())
            }
            Mechanism::Ptr(target) => Ok(self.is_named_below(&of(self, target)).await),
        }
    }

    async fn is_address_of(&mut self, host: &str, lengths: Lengths) -> Step<bool> {
        let lookup = self.asked(host, self.family()).await?;
        let (ip, addresses) = (self.identity.ip, lookup.addresses());
        Ok(addresses.into_iter().filter_map(|address| lengths.network(address)).any(|network| network.contains(&ip)))
    }

    async fn is_exchanger_of(&mut self, domain: &str, lengths: Lengths, text: &str) -> Step<bool> {
        let hosts = self.asked(domain, Kind::Mx).await?.exchanges();
        if hosts.len() > MOST_NAMES {
            self.why = format!("`{text}`: {domain} has {} mail exchangers, more than {MOST_NAMES}", hosts.len());
            return Err(Outcome::PermError);
        }
        for (_, host) in hosts.iter().filter(|(_, host)| !host.is_empty()) {
            if self.is_address_of(host, lengths).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RFC 7208 5.5: names that lead back to the address, and end in the target. Failures count as no match.
    async fn is_named_below(&mut self, target: &str) -> bool {
        let below = format!(".{}", target.to_ascii_lowercase());
        let names = self.resolver.look_up(&reverse_name(self.identity.ip), Kind::Ptr, self.patience).await.targets();
        for name in names.into_iter().take(MOST_NAMES).filter(|name| name.eq_ignore_ascii_case(target) || name.ends_with(&below)) {
            let addresses = self.resolver.look_up(&name, self.family(), self.patience).await.addresses();
            if addresses.contains(&self.identity.ip) {
                return true;
            }
        }
        false
    }

    /// A question of a term; one that finds nothing is counted.
    async fn asked(&mut self, name: &str, kind: Kind) -> Step<Lookup> {
        let lookup = self.resolver.look_up(name, kind, self.patience).await;
        match lookup.failure() {
            None => {}
            Some(failure) if failure.is_denial() || matches!(failure, Failure::NotAName { .. }) => {
                self.void += 1;
                if self.void > MOST_VOID {
                    self.why = format!("more than {MOST_VOID} look-ups found nothing; the last was {kind} of {name}");
                    return Err(Outcome::PermError);
                }
            }
            Some(failure) => {
                let failure = failure.clone();
                self.broken(name, &failure)?;
            }
        }
        Ok(lookup)
    }

    fn broken(&mut self, name: &str, failure: &Failure) -> Step<Outcome> {
        self.why = format!("{name} can't be looked up: {failure}");
        Err(Outcome::TempError)
    }

    fn spend(&mut self, term: &str, domain: &str) -> Step<()> {
        self.lookups += 1;
        if self.lookups <= MOST_LOOKUPS {
            return Ok(());
        }
        self.why = format!("more than {MOST_LOOKUPS} look-ups are needed; the one too many is `{term}` in the record of {domain}");
        Err(Outcome::PermError)
    }

    fn expanded(&self, name: &MacroString, domain: &str) -> String {
        let Identity { ip, sender, helo } = self.identity;
        name.expand(&Facts { ip, sender, helo, domain })
    }

    fn family(&self) -> Kind {
        if self.identity.ip.is_ipv4() { Kind::A } else { Kind::Aaaa }
    }
}

fn result(qualifier: Qualifier) -> Outcome {
    match qualifier {
        Qualifier::Pass => Outcome::Pass,
        Qualifier::Fail => Outcome::Fail,
        Qualifier::SoftFail => Outcome::SoftFail,
        Qualifier::Neutral => Outcome::Neutral,
    }
}
