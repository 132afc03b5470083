//! Examines a domain: the resolver that is asked, where its mail goes, who vouches for its mail, and what its policies ask for.
//!
//! Everything is asked at the same time where that is harmless, and nothing for longer than [`DomainOptions::limit`].

mod authority;
mod delegation;
mod dkim;
mod dmarc;
mod exchangers;
mod hosts;
mod options;
mod policies;
pub(super) mod servers;
pub(super) mod spf;
mod tags;

use std::time::Duration;

pub use options::{Canaries, DomainOptions};

use self::exchangers::Mx;
use super::check::Check;
use super::limit::Limit;
use super::report::{Report, Section};
use crate::net::resolve::{Dane, Destination, Resolver, destination};

/// Examines `domain`. Never takes longer than [`DomainOptions::limit`]: what isn't done by then is said to be so.
pub async fn examine_domain(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Report {
    let target = format!("dns {domain}");
    let name = match destination(domain) {
        Ok(Destination::Domain(name)) => name,
        Ok(Destination::Literal(address)) => {
            let answer = format!("{address} is an address: there is nothing in DNS to look at but its name");
            return refused(target, domain, answer, &format!("Ask for the sender instead: `relayscope doctor sender {address}`."));
        }
        Err(error) => return refused(target, domain, error.to_string(), "Give the part behind the @ of a mail address."),
    };
    let limit = Limit::of(options.limit);
    let mail = async {
        let (checks, mx) = exchangers::examine(resolver, options, &name).await;
        let mx_section = Section { title: "Where mail goes (MX)".to_owned(), checks };
        (mx_section, mx.no_such_domain, hosts_and_policies(resolver, options, &name, &mx, limit).await)
    };
    let (servers, mail, authority, spf, dkim, dmarc) = tokio::join!(
        limit.section("Name servers that are asked", servers::examine(resolver, options, &name)),
        tokio::time::timeout(limit.left(), Box::pin(mail)),
        limit.section("Authoritative servers", authority::examine(resolver, options, &name)),
        limit.section("SPF", spf::examine(resolver, options, &name)),
        limit.section("DKIM", dkim::examine(resolver, options, &name)),
        limit.section("DMARC", dmarc::examine(resolver, options, &name)),
    );
    let (mx, no_such_domain, visits) = mail.unwrap_or_else(|_| {
        let title = "Where mail goes (MX)";
        (Section { title: title.to_owned(), checks: vec![limit.too_late(title)] }, false, Vec::new())
    });
    // Without DNS, or a domain, the rest would say the same again in other words, or take silence for absence.
    if servers::all_silent(&servers) {
        return Report::of(target, vec![servers, left_out(&name, "no DNS server answers")]);
    }
    if no_such_domain {
        return Report::of(target, vec![servers, mx, left_out(&name, "there is no such domain")]);
    }
    let mut sections = vec![servers, authority, mx];
    sections.extend(visits);
    sections.extend([spf, dkim, dmarc]);
    Report::of(target, sections)
}

fn left_out(domain: &str, why: &str) -> Section {
    let mut section = Section::new("Everything else");
    let asked = format!("mail hosts, name servers, SPF, DKIM, DMARC and TLS policies of {domain}");
    section.push(Check::asking("dns.domain", asked, "what is wrong above comes first").skipped(format!("{why}: nothing can be said")));
    section
}

/// What depends on where the mail goes.
async fn hosts_and_policies(resolver: &Resolver, options: &DomainOptions, domain: &str, mx: &Mx, limit: Limit) -> Vec<Section> {
    // A little earlier than everything, so that what was seen until then is shown.
    let left = limit.left().saturating_sub(Duration::from_millis(500));
    let (visits, sts) = tokio::join!(
        tokio::time::timeout(left, hosts::visit(resolver, options, domain, mx)),
        tokio::time::timeout(left, Box::pin(policies::mta_sts(resolver, options, domain))),
    );
    let mut seen = Section::new("Mail hosts");
    let visits = match visits {
        Ok(visits) => {
            seen.checks.extend(visits.iter().flat_map(|visit| visit.checks.clone()));
            seen.checks.extend(hosts::port_25(&visits, options.smtp_port));
            visits
        }
        Err(_) => {
            seen.push(limit.too_late("Mail hosts"));
            Vec::new()
        }
    };
    let mut asked = Section::new("What the domain asks of TLS");
    let mut wanted = visits.iter().any(|visit| matches!(visit.dane, Dane::Usable { .. }));
    match sts {
        Ok(found) => {
            wanted |= found.answer.policy().is_some();
            asked.checks.extend(policies::judge_mta_sts(domain, &found, mx, &visits));
        }
        Err(_) => asked.push(limit.too_late("MTA-STS")),
    }
    let rest = async {
        let (reports, dane) =
            tokio::join!(policies::tls_reports(resolver, options, domain, wanted), policies::dane(resolver, options, mx, &visits));
        std::iter::once(reports).chain(dane).collect::<Vec<_>>()
    };
    match tokio::time::timeout(limit.left().saturating_sub(Duration::from_millis(100)), rest).await {
        Ok(checks) => asked.checks.extend(checks),
        Err(_) => asked.push(limit.too_late("DANE and TLS-RPT")),
    }
    [seen, asked].into_iter().filter(|section| !section.checks.is_empty()).collect()
}

fn refused(target: String, domain: &str, answer: String, fix: &str) -> Report {
    let mut section = Section::new("Domain");
    section.push(Check::asking("dns.domain", format!("{domain:?} as a domain"), "mail is sent to domains").fail(answer, fix));
    Report::of(target, vec![section])
}

/// "3 hosts", "1 host".
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
