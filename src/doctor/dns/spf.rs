//! The SPF record of a domain: whether it is there once, can be read, stays within its limits, and lets the right ones send.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::check::Check;
use super::{DomainOptions, counted};
use crate::net::resolve::Resolver;
use crate::net::spf::{Evaluation, Identity, MOST_LOOKUPS, MOST_VOID, Outcome, Problem, Survey, evaluate, survey};

/// Look-ups from which it is worth saying that there is hardly room.
const MANY: usize = 9;
/// Senders whose result is looked at.
const MOST_SENDERS: usize = 10;

pub(super) async fn examine(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Vec<Check> {
    let began = Instant::now();
    let found = survey(resolver, domain, options.patience).await;
    let took = began.elapsed();
    let mut checks = vec![record(domain, &found).took(took)];
    if found.visited.is_empty() {
        return checks;
    }
    checks.extend(found.problems.iter().filter_map(|problem| said(domain, problem)));
    checks.push(lookups(domain, &found));
    checks.extend(void(domain, &found));
    for address in options.senders.iter().take(MOST_SENDERS) {
        checks.push(sender(resolver, domain, *address, &options.helo, options.patience).await);
    }
    checks
}

fn record(domain: &str, found: &Survey) -> Check {
    let why = "receivers look in it for the hosts that may send for the domain; without it, mail is likelier taken for forged";
    let check = Check::asking("spf.record", format!("TXT of {domain}"), why);
    for problem in &found.problems {
        match problem {
            Problem::Several { domain: of, count } if of == domain => {
                return check.fail(
                    format!("there are {count} SPF records; one is allowed, and receivers take none of them (permerror)"),
                    "Put the terms of all into one record behind one `v=spf1`, and delete the others.",
                );
            }
            Problem::Dns { domain: of, failure } if of == domain => {
                return check.fail(
                    format!("it can't be looked up: {failure}"),
                    "Receivers can't either, and defer mail of the domain: its name servers must be put right.",
                );
            }
            Problem::NoRecord { domain: of, by: None } if of == domain => {
                return check.warn(
                    "there is none",
                    format!(
                        "Publish `{domain}. IN TXT \"v=spf1 mx ~all\"` with your senders instead of `mx` (`ip4:ADDRESS`, `include:` of the smart \
                         host's record); for a domain that sends nothing: `\"v=spf1 -all\"`."
                    ),
                );
            }
            _ => {}
        }
    }
    check.ok(found.visited.first().map(|it| it.text.clone()).unwrap_or_default())
}

/// A problem as a check; those of the record itself as a whole are said by [`record`].
fn said(top: &str, problem: &Problem) -> Option<Check> {
    let broken = "a record with an error counts as broken altogether (permerror), wherever the error is";
    let term = |name: &str, term: &str, domain: &str, why| Check::asking(name, format!("`{term}` in the SPF record of {domain}"), why);
    let whose = |domain: &str| {
        if domain == top { String::new() } else { format!(" It is not your record: tell the owner of {domain}, or take the include out.") }
    };
    Some(match problem {
        Problem::Syntax { domain, term: text, at, why } => term("spf.syntax", text, domain, broken)
            .fail(format!("wrong at octet {at}: {why}"), format!("Correct this term.{}", whose(domain))),
        Problem::NoRecord { by: Some(by), domain } => Check::asking("spf.include", format!("the SPF record of {domain}, for {by}"), broken)
            .fail("there is none", "Take this term out, or correct the name in it: the provider's documentation has the right one."),
        Problem::Several { domain, count } if domain != top => Check::asking("spf.include", format!("the SPF record of {domain}"), broken)
            .fail(format!("there are {count} of them, one is allowed"), format!("One must go.{}", whose(domain))),
        Problem::Dns { domain, failure } if domain != top => {
            Check::asking("spf.include", format!("what the SPF record names: {domain}"), "receivers that can't look it up defer the mail")
                .fail(failure.to_string(), format!("Take it out if it is not needed any more.{}", whose(domain)))
        }
        Problem::Loop { domain, term: text } => {
            term("spf.loop", text, domain, broken).fail("it leads back to a record that led here: without end", "Take this term out.")
        }
        Problem::TooManyHosts { domain, term: text, count } => term("spf.hosts", text, domain, broken)
            .fail(format!("it leads to {count} hosts, and 10 are allowed"), "Write their addresses instead (`ip4:`, `ip6:`)."),
        Problem::PassAll { domain, term: text } => {
            term("spf.all", text, domain, "a record that lets everybody send protects nobody, and is taken for a spammer's").fail(
                "everybody on the internet may send as this domain",
                format!("End the record with `~all` or `-all`.{}", whose(domain)),
            )
        }
        Problem::NoAll { domain } => {
            Check::asking("spf.all", format!("the end of the SPF record of {domain}"), "without an end it says nothing of strangers")
                .warn("there is neither `all` nor `redirect=`: strangers are \"neutral\"", "Add ` ~all` (or ` -all`) at its end.")
        }
        Problem::NeutralAll { domain } => {
            Check::asking("spf.all", format!("the end of the SPF record of {domain}"), "it is meant to say who is a stranger").warn(
                "`?all`: strangers are \"neutral\", as if there were no record",
                "Replace it by `~all`, and by `-all` once all senders are listed.",
            )
        }
        Problem::Ptr { domain, term: text } => {
            term("spf.ptr", text, domain, "RFC 7208 5.5: it is slow, unreliable, and not to be used; some receivers pass over it")
                .warn("the `ptr` mechanism", format!("Write `ip4:`, `ip6:`, `a:` or `mx` instead.{}", whose(domain)))
        }
        Problem::Unreachable { domain, term: text } => term("spf.unreachable", text, domain, "what stands behind `all` is never looked at")
            .warn("it stands behind `all` (or is a `redirect=` beside it)", "Put it before `all`, or take it out."),
        Problem::Endless => Check::asking("spf.lookups", format!("the SPF record of {top}"), broken)
            .fail("it leads to so many others that they weren't all followed", "Take out what isn't needed any more."),
        _ => return None,
    })
}

fn lookups(domain: &str, found: &Survey) -> Check {
    let why = "receivers stop at 10 look-ups and take the record for broken (permerror, RFC 7208 4.6.4)";
    let check = Check::asking("spf.lookups", format!("look-ups that the SPF record of {domain} needs"), why);
    let parts: Vec<String> = found.costs.iter().map(|cost| format!("`{}` {}", cost.term, cost.lookups)).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let answer = format!("{} of {MOST_LOOKUPS}{parts}", found.lookups);
    let fix = "Take out services that don't send for you any more; write `ip4:`/`ip6:` for hosts whose addresses stay; let services with an include \
               of their own send from a subdomain with a record of its own.";
    match found.lookups {
        0..MANY => check.ok(answer),
        MANY..=MOST_LOOKUPS => check.warn(format!("{answer}: the next change of an included record may break it"), fix),
        _ => check.fail(answer, fix),
    }
}

fn void(domain: &str, found: &Survey) -> Option<Check> {
    if found.void.is_empty() {
        return None;
    }
    let why = "receivers allow two look-ups that find nothing, and take the record for broken at the third (RFC 7208 4.6.4)";
    let check = Check::asking("spf.void", format!("names in the SPF record of {domain} that lead nowhere"), why);
    let shown: Vec<&str> = found.void.iter().take(5).map(String::as_str).collect();
    let answer = format!("{}: {}", counted(found.void.len(), "name", "names"), shown.join("; "));
    let fix = "Take these terms out, or publish the missing records.";
    Some(if found.void.len() > MOST_VOID { check.fail(answer, fix) } else { check.warn(answer, fix) })
}

/// Whether the domain's record lets this address send.
pub(in crate::doctor) async fn sender(resolver: &Resolver, domain: &str, address: IpAddr, helo: &str, patience: Duration) -> Check {
    let why = "mail of a domain from an address that its SPF record doesn't name is refused, or goes to the spam folder";
    let check = Check::asking("spf.sender", format!("SPF of {domain} for mail from {address}"), why);
    let began = Instant::now();
    let reverse_path = format!("postmaster@{domain}");
    let result = evaluate(resolver, domain, &Identity { ip: address, sender: &reverse_path, helo }, patience).await;
    let check = check.took(began.elapsed());
    let Evaluation { outcome, why, lookups, .. } = &result;
    let answer = format!("{}: {why} ({})", outcome.as_str(), counted(*lookups, "look-up", "look-ups"));
    let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
    let add = format!(
        "Add `{kind}:{address}` to the record of {domain}, before `all`; if the mail should leave through another host, see why it doesn't."
    );
    match outcome {
        Outcome::Pass => check.ok(answer),
        Outcome::Fail | Outcome::SoftFail => check.fail(answer, add),
        Outcome::Neutral | Outcome::None => check.warn(answer, add),
        Outcome::PermError => check.fail(answer, "Receivers find the record broken too: correct it first."),
        Outcome::TempError => check.fail(answer, "Receivers defer the mail until this name can be looked up."),
    }
}
