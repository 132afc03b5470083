//! Asks blocklists for an address and for domains, as their operators want it: each once, a few at a time, only living ones, and none is
//! believed that lists everything or nothing.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::check::Check;
use super::super::dns::servers::public;
use super::SenderOptions;
use super::lists::{List, Meaning, Subject, Weight, known};
use crate::net::resolve::{Failure, Kind, Lookup, Resolver, reverse_name};

/// Lists that are asked at the same time.
const AT_ONCE: usize = 6;
/// Domains that are looked for.
const MOST_DOMAINS: usize = 5;
/// Octets of a list's own words.
const MOST_WORDS: usize = 200;

const WHY: &str = "mail servers that ask this list refuse mail of whom it lists, or count it against them";

pub(super) async fn examine(resolver: &Resolver, options: &SenderOptions, address: IpAddr) -> Vec<Check> {
    let (lists, mut checks) = asked(options, address);
    if is_inner(address) {
        let check = Check::asking("sender.blocklist", format!("{address} at blocklists"), WHY);
        checks.push(check.skipped("it is an inner address, which no list knows: ask for the public one that the mail leaves from"));
        return checks;
    }
    let whose =
        resolver.servers().iter().map(|server| public(server.ip())).collect::<Option<Vec<_>>>().and_then(|all| all.first().copied());
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for (place, list) in lists.into_iter().enumerate() {
        let subjects: Vec<String> = match list.subject {
            Subject::Ip => vec![address.to_string()],
            Subject::Domain => options.domains.iter().take(MOST_DOMAINS).cloned().collect(),
        };
        let (resolver, patience, turn) = (resolver.clone(), options.patience, Arc::clone(&turn));
        tasks.spawn(async move {
            let _turn = turn.acquire().await;
            let mut checks = Vec::new();
            for subject in subjects {
                let (check, is_silent) = one(&resolver, patience, &list, &subject, whose).await;
                checks.push(check);
                // A list that doesn't answer for one doesn't for the others, and what other lists said would come too late.
                if is_silent {
                    break;
                }
            }
            (place, checks)
        });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    checks.extend(found.into_iter().flat_map(|(_, checks)| checks));
    checks
}

/// The lists to ask, and what is to be said of those that were named and aren't.
fn asked(options: &SenderOptions, address: IpAddr) -> (Vec<List>, Vec<Check>) {
    let mut lists: Vec<List> = known().lists.clone();
    let mut checks = Vec::new();
    for zone in &options.more_lists {
        if let Some(dead) = known().dead(zone) {
            let check = Check::asking("sender.blocklist", format!("{address} at {zone}"), WHY);
            checks.push(check.warn(
                format!("{} has been closed since {}: it isn't asked", dead.name, dead.since),
                "Take it out of `doctor.blocklists`, and of every mail server's configuration: a closed list may answer \"listed\" for everybody.",
            ));
        } else if !lists.iter().any(|list| list.is_called(zone)) {
            lists.push(List::named(zone));
        }
    }
    let off = |list: &List| options.lists_off.iter().any(|name| list.is_called(name));
    lists.retain(|list| !off(list) && (list.subject == Subject::Domain || address.is_ipv4() || list.ipv6));
    (lists, checks)
}

fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(it) => {
            let shared = matches!(it.octets(), [100, 64..=127, ..]);
            it.is_private() || it.is_loopback() || it.is_link_local() || it.is_unspecified() || shared
        }
        IpAddr::V6(it) => it.is_loopback() || it.is_unspecified() || it.is_unique_local() || it.is_unicast_link_local(),
    }
}

/// Where a list keeps what it says of a subject (RFC 5782 2.1, 2.4).
fn question(list: &List, subject: &str) -> String {
    let Ok(address) = subject.parse::<IpAddr>() else { return format!("{}.{}", subject.trim_end_matches('.'), list.zone) };
    let reverse = reverse_name(address);
    let bare = reverse.strip_suffix(".in-addr.arpa").or(reverse.strip_suffix(".ip6.arpa")).unwrap_or(&reverse);
    format!("{bare}.{}", list.zone)
}

/// Asks a list of one subject. Also: whether it was silent.
async fn one(resolver: &Resolver, patience: std::time::Duration, list: &List, subject: &str, whose: Option<&str>) -> (Check, bool) {
    let name = question(list, subject);
    let check = Check::asking("sender.blocklist", format!("{subject} at {} ({name})", list.name), WHY);
    if let Some(whose) = whose.filter(|_| !list.public) {
        return (check.skipped(format!("not asked: it doesn't answer public resolvers, and the resolver here is {whose}'s")), false);
    }
    let (must, must_not) = list.test_points();
    let look = async |name: &str| resolver.look_up(name, Kind::A, patience).await;
    let (answer, must, must_not) = tokio::join!(look(&name), look(&must), look(&must_not));
    let check = check.took(answer.took);
    if let Some(unusable) = [&answer, &must].into_iter().find_map(|it| it.failure().filter(|failure| !failure.is_denial())) {
        return (check.skipped(silent(unusable)), true);
    }
    (judged(resolver, patience, list, &name, check, [answer, must, must_not]).await, false)
}

/// What the answer is worth, by those to the list's test points.
async fn judged(
    resolver: &Resolver,
    patience: std::time::Duration,
    list: &List,
    name: &str,
    check: Check,
    [answer, must, must_not]: [Lookup; 3],
) -> Check {
    let refused = [&answer, &must, &must_not].into_iter().find_map(|it| match list.meaning(&it.addresses()) {
        Meaning::Refused(why) => Some(why),
        _ => None,
    });
    if let Some(why) = refused {
        return check.skipped(format!("no answer, but {why}. That is no listing"));
    }
    let strange = [&answer, &must, &must_not].into_iter().find_map(|it| match list.meaning(&it.addresses()) {
        Meaning::Strange(address) => Some(address),
        _ => None,
    });
    if let Some(address) = strange {
        return check.skipped(format!(
            "it answers {address}, as no blocklist does: the zone belongs to somebody else by now. No server should ask it"
        ));
    }
    if !must_not.addresses().is_empty() {
        return check.skipped(
            "the list is broken: it lists what no list may list (its test point, RFC 5782), so it isn't believed. No server should ask it",
        );
    }
    if must.addresses().is_empty() {
        return check.skipped("the list is broken, closed, or doesn't answer this resolver: its own test point isn't listed (RFC 5782)");
    }
    let answers = answer.addresses();
    let Meaning::Listed(reasons) = list.meaning(&answers) else { return check.ok("not listed") };
    if answers.is_empty() {
        return check.ok("not listed");
    }
    let words = words(resolver, patience, name).await;
    let note = list.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    let said = format!("listed{note}: {}{words}", reasons.join("; "));
    let fix = fix(list);
    if list.weight == Weight::Heavy { check.fail(said, fix) } else { check.warn(said, fix) }
}

fn silent(failure: &Failure) -> String {
    format!("{failure}: nothing can be said")
}

/// Why, in the list's own words. Hostile.
async fn words(resolver: &Resolver, patience: std::time::Duration, name: &str) -> String {
    let lookup = resolver.look_up(name, Kind::Txt, patience).await;
    let text = lookup.texts().into_iter().next().map(|text| String::from_utf8_lossy(&text).chars().take(MOST_WORDS).collect::<String>());
    text.map(|text| format!("; it says: {text}")).unwrap_or_default()
}

fn fix(list: &List) -> String {
    let first = "Find and stop the cause first (a hijacked account or web form, an infected machine behind the same address, old recipient lists): who asks for \
                 removal too early is listed again, and longer.";
    match (list.see.is_empty(), list.delist.is_empty()) {
        (true, _) => format!("{first} Then ask whoever runs {} for removal.", list.zone),
        (false, true) => format!("{first} Look it up at {}.", list.see),
        (false, false) => format!("{first} Look it up at {}; removal: {}.", list.see, list.delist),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_reversed_addresses_before_the_zone() {
        let list = List::named("bl.example");
        assert_eq!(question(&list, "198.51.100.7"), "7.100.51.198.bl.example");
        let nibbles = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example";
        assert_eq!(question(&list, "2001:db8::25"), nibbles);
        assert_eq!(question(&list, "spam.example"), "spam.example.bl.example");
    }

    #[test]
    fn closed_and_switched_off_lists_are_not_asked() {
        let options = SenderOptions {
            more_lists: vec!["dnsbl.sorbs.net".to_owned(), "bl.example".to_owned(), "ZEN.spamhaus.org".to_owned()],
            lists_off: vec!["spamcop".to_owned(), "psbl.surriel.com".to_owned()],
            ..SenderOptions::default()
        };
        let (lists, checks) = asked(&options, "198.51.100.7".parse().unwrap());
        assert!(checks.len() == 1 && checks[0].answer.contains("June 2024"), "{checks:?}");
        let zones: Vec<&str> = lists.iter().map(|list| list.zone.as_str()).collect();
        assert!(zones.contains(&"bl.example") && !zones.contains(&"psbl.surriel.com") && !zones.contains(&"bl.spamcop.net"));
        assert_eq!(zones.iter().filter(|zone| **zone == "zen.spamhaus.org").count(), 1);
        let (six, _) = asked(&options, "2001:db8::25".parse().unwrap());
        assert!(six.len() < lists.len() && six.iter().all(|list| list.subject == Subject::Domain || list.ipv6));
    }
}
