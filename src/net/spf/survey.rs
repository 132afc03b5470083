//! Looks at all that a domain's record leads to, whoever sends: the records that it includes, what they cost, what is wrong with them.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::macros::MacroString;
use super::record::{Mechanism, Placed, Qualifier, Term, is_record, terms};
use super::{MOST_NAMES, evaluate::Outcome};
use crate::net::resolve::{Failure, Kind, Resolver};

/// Terms that are followed at most: who has more of them than this has far too many anyway.
const MOST_FOLLOWED: usize = 40;
const DEEPEST: usize = 12;

/// All that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The record itself first, then those that it leads to, in the order in which they are come by.
    pub visited: Vec<Visited>,
    /// Terms that ask DNS if none matches before: what the worst sender costs.
    pub lookups: usize,
    /// The same by term of the record itself.
    pub costs: Vec<Cost>,
    /// Look-ups that find nothing: term and record.
    pub void: Vec<String>,
    pub problems: Vec<Problem>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visited {
    pub domain: String,
    /// Hostile.
    pub text: String,
    /// 0 for the record itself.
    pub depth: usize,
}

/// A term of the record itself, and the look-ups that it comes to with all that is behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    pub term: String,
    pub lookups: usize,
}

/// What is wrong. `domain` is the one whose record it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The domain itself has none, or `by` leads to one that has none (permerror).
    NoRecord {
        domain: String,
        by: Option<String>,
    },
    Several {
        domain: String,
        count: usize,
    },
    Syntax {
        domain: String,
        term: String,
        at: usize,
        why: String,
    },
    Dns {
        domain: String,
        failure: Failure,
    },
    /// Everybody may send.
    PassAll {
        domain: String,
        term: String,
    },
    /// Nothing is said of those that don't match.
    NoAll {
        domain: String,
    },
    NeutralAll {
        domain: String,
    },
    Ptr {
        domain: String,
        term: String,
    },
    /// Never come to, behind `all`.
    Unreachable {
        domain: String,
        term: String,
    },
    TooManyHosts {
        domain: String,
        term: String,
        count: usize,
    },
    Loop {
        domain: String,
        term: String,
    },
    /// More terms than are followed.
    Endless,
}

/// Surveys the record of `domain` (A-labels). `patience` is for each question to DNS.
pub async fn survey(resolver: &Resolver, domain: &str, patience: Duration) -> Survey {
    let mut walk = Walk { resolver, patience, found: Survey::default(), path: Vec::new() };
    walk.record(domain.to_owned(), None).await;
    walk.found
}

struct Walk<'a> {
    resolver: &'a Resolver,
    patience: Duration,
    found: Survey,
    /// Domains between the record itself and the one that is looked at.
    path: Vec<String>,
}

type Pending<'s> = Pin<Box<dyn Future<Output = Outcome> + Send + 's>>;

impl Walk<'_> {
    /// `by`: the term that leads here. The outcome is `Pass` if everybody may send by it, `None` if there is no record.
    fn record(&mut self, domain: String, by: Option<String>) -> Pending<'_> {
        Box::pin(async move {
            let lookup = self.resolver.look_up(&domain, Kind::Txt, self.patience).await;
            if let Some(failure) = lookup.failure().filter(|failure| failure.is_temporary()) {
                self.found.problems.push(Problem::Dns { domain, failure: failure.clone() });
                return Outcome::TempError;
            }
            let texts: Vec<Vec<u8>> = lookup.texts().into_iter().filter(|text| is_record(text)).collect();
            if texts.len() > 1 {
                self.found.problems.push(Problem::Several { domain: domain.clone(), count: texts.len() });
            }
            let Some(text) = texts.first().map(|text| String::from_utf8_lossy(text).into_owned()) else {
                self.found.problems.push(Problem::NoRecord { domain, by });
                return Outcome::None;
            };
            let terms = terms(&text);
            self.found.visited.push(Visited { domain: domain.clone(), text, depth: self.path.len() });
            self.path.push(domain.clone());
            let outcome = self.terms(&domain, &terms).await;
            self.path.pop();
            outcome
        })
    }

    async fn terms(&mut self, domain: &str, terms: &[Placed]) -> Outcome {
        let is_top = self.path.len() == 1;
        let (mut redirect, mut end) = (None, None);
        for placed in terms {
            let own = || (domain.to_owned(), placed.text.clone());
            let before = self.found.lookups;
            match &placed.term {
                Err(flaw) => {
                    let (domain, term) = own();
                    self.found.problems.push(Problem::Syntax { domain, term, at: placed.at, why: flaw.why.clone() });
                }
                Ok(Term::Directive(..)) if end.is_some() => {
                    let (domain, term) = own();
                    self.found.problems.push(Problem::Unreachable { domain, term });
                }
                Ok(Term::Directive(qualifier, mechanism)) => {
                    let everybody = self.directive(*qualifier, mechanism, domain, &placed.text).await;
                    if everybody {
                        let (domain, term) = own();
                        self.found.problems.push(Problem::PassAll { domain, term });
                    }
                    if *mechanism == Mechanism::All {
                        end = Some(*qualifier);
                    }
                }
                Ok(Term::Redirect(target)) => redirect = Some((placed, target)),
                Ok(Term::Explanation | Term::UnknownModifier) => {}
            }
            self.cost(is_top, placed, before);
        }
        let before = self.found.lookups;
        match (end, redirect) {
            (Some(_), Some((placed, _))) => {
                self.found.problems.push(Problem::Unreachable { domain: domain.to_owned(), term: placed.text.clone() });
            }
            (None, Some((placed, target))) => {
                let outcome = self.follow(target, domain, &placed.text).await;
                self.cost(is_top, placed, before);
                return outcome;
            }
            (None, None) if is_top => self.found.problems.push(Problem::NoAll { domain: domain.to_owned() }),
            (Some(Qualifier::Neutral), None) if is_top => self.found.problems.push(Problem::NeutralAll { domain: domain.to_owned() }),
            _ => {}
        }
        if end == Some(Qualifier::Pass) { Outcome::Pass } else { Outcome::Neutral }
    }

    fn cost(&mut self, is_top: bool, placed: &Placed, before: usize) {
        let lookups = self.found.lookups - before;
        if is_top && lookups > 0 {
            self.found.costs.push(Cost { term: placed.text.clone(), lookups });
        }
    }

    /// Whether it lets everybody pass.
    async fn directive(&mut self, qualifier: Qualifier, mechanism: &Mechanism, domain: &str, text: &str) -> bool {
        let passes = qualifier == Qualifier::Pass;
        let of = |target: &Option<MacroString>| target.as_ref().map_or(Some(domain.to_owned()), |it| it.literal().map(str::to_owned));
        match mechanism {
            Mechanism::All => return passes,
            Mechanism::Ip(network) => return passes && network.prefix_len() == 0,
            Mechanism::Include(target) => return self.follow(target, domain, text).await == Outcome::Pass && passes,
            Mechanism::Exists(_) => self.found.lookups += 1,
            Mechanism::Ptr(_) => {
                self.found.lookups += 1;
                self.found.problems.push(Problem::Ptr { domain: domain.to_owned(), term: text.to_owned() });
            }
            Mechanism::A(target, _) => {
                self.found.lookups += 1;
                if let Some(host) = of(target) {
                    self.addresses(&host, domain, text).await;
                }
            }
            Mechanism::Mx(target, _) => {
                self.found.lookups += 1;
                if let Some(target) = of(target) {
                    self.exchangers(&target, domain, text).await;
                }
            }
        }
        false
    }

    async fn follow(&mut self, target: &MacroString, domain: &str, text: &str) -> Outcome {
        self.found.lookups += 1;
        let Some(target) = target.literal().map(str::to_ascii_lowercase) else { return Outcome::Neutral };
        let (domain, term) = (domain.to_owned(), text.to_owned());
        if self.path.iter().any(|before| before.eq_ignore_ascii_case(&target)) {
            self.found.problems.push(Problem::Loop { domain, term });
            return Outcome::PermError;
        }
        if self.found.lookups > MOST_FOLLOWED || self.path.len() >= DEEPEST {
            if !self.found.problems.contains(&Problem::Endless) {
                self.found.problems.push(Problem::Endless);
            }
            return Outcome::PermError;
        }
        self.record(target, Some(format!("`{term}` of {domain}"))).await
    }

    async fn addresses(&mut self, host: &str, domain: &str, text: &str) {
        let found = self.resolver.public_addresses(host, self.patience).await;
        match found.failure {
            Some(error) if !error.is_temporary() => self.found.void.push(format!("`{text}` of {domain} ({error})")),
            Some(_) => {
                let failure = found.lookups.iter().find_map(|lookup| lookup.failure().filter(|it| !it.is_denial()).cloned());
                self.found.problems.extend(failure.map(|failure| Problem::Dns { domain: host.to_owned(), failure }));
            }
            None => {}
        }
    }

    async fn exchangers(&mut self, target: &str, domain: &str, text: &str) {
        let lookup = self.resolver.look_up(target, Kind::Mx, self.patience).await;
        let hosts = lookup.exchanges();
        match lookup.failure() {
            Some(failure) if failure.is_denial() => self.found.void.push(format!("`{text}` of {domain} (no MX record)")),
            Some(failure) => self.found.problems.push(Problem::Dns { domain: target.to_owned(), failure: failure.clone() }),
            None => {}
        }
        if hosts.len() > MOST_NAMES {
            let (domain, term) = (domain.to_owned(), text.to_owned());
            self.found.problems.push(Problem::TooManyHosts { domain, term, count: hosts.len() });
            return;
        }
        for (_, host) in hosts.iter().filter(|(_, host)| !host.is_empty()) {
            self.addresses(host, domain, text).await;
        }
    }
}
