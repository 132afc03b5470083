//! The DMARC policy that holds for a domain (RFC 7489, and the walk up the tree of its successor): one, readable, and its reports can arrive.

use super::super::check::Check;
use super::DomainOptions;
use super::tags::{Tags, described};
use crate::net::resolve::{ExchangerOptions, Failure, Kind, Lookup, Resolver};
use crate::smtp::{are_related, is_within};

/// Labels of the first parent that is asked where a name has many (DMARCbis 4.10).
const MOST_LABELS: usize = 8;
/// Destinations of reports that are looked at.
const MOST_DESTINATIONS: usize = 5;

pub(super) async fn examine(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Vec<Check> {
    let why = "it says what receivers do with mail that fails SPF and DKIM; large providers refuse bulk mail of domains without it";
    let own = look_up(resolver, options, domain).await;
    let check = Check::asking("dmarc.record", format!("TXT of _dmarc.{domain}"), why).took(own.took);
    let publish = format!(
        "Publish `_dmarc.{domain}. IN TXT \"v=DMARC1; p=none; rua=mailto:dmarc@{domain}\"` and read the reports before you make it stricter."
    );
    let records = policies(&own);
    let mut checks = Vec::new();
    match (own.failure(), records.as_slice()) {
        (Some(failure), _) if !failure.is_denial() => {
            return vec![
                check.fail(failure.to_string(), "The domain's name servers must be put right: receivers can't look it up either."),
            ];
        }
        (_, [text]) => {
            checks.push(judged(check, text));
            checks.extend(destinations(resolver, options, domain, text).await);
        }
        (_, []) => match inherited(resolver, options, domain).await {
            Err((parent, failure)) => {
                let answer = format!("none of its own, and whether {parent} has one can't be looked up: {failure}");
                checks.push(
                    check.warn(answer, format!("The name servers of {parent} must be put right: receivers can't look it up either.")),
                );
            }
            Ok(Some((parent, texts))) => checks.push(of_parent(check, &parent, &texts)),
            Ok(None) => {
                let near = own
                    .texts()
                    .iter()
                    .map(|text| String::from_utf8_lossy(text).into_owned())
                    .find(|text| text.to_ascii_lowercase().contains("dmarc"));
                let answer = match near {
                    Some(text) => format!("there is none; this looks like one and doesn't begin with v=DMARC1: {}", described(&text)),
                    None => "there is none, nor one of a parent domain".to_owned(),
                };
                checks.push(check.warn(answer, publish));
            }
        },
        (_, several) => {
            checks.push(check.fail(format!("there are {} records: receivers take none of them", several.len()), "Delete all but one."))
        }
    }
    checks
}

async fn look_up(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Lookup {
    resolver.look_up(&format!("_dmarc.{domain}"), Kind::Txt, options.patience).await
}

fn policies(lookup: &Lookup) -> Vec<String> {
    let texts = lookup.texts().into_iter().map(|text| String::from_utf8_lossy(&text).into_owned());
    texts.filter(|text| Tags::read(text).first().is_some_and(|tag| tag.name == "v" && tag.value == "DMARC1")).collect()
}

/// The records of the organisational domain, and which it is: that with the fewest labels, unless one of them says otherwise (DMARCbis 4.10).
/// Top-level domains are asked too: some have a record (psd=y).
///
/// # Errors
/// One of them can't be looked up.
async fn inherited(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Result<Option<(String, Vec<String>)>, (String, Failure)> {
    let mut found = None;
    for parent in parents(domain) {
        let lookup = look_up(resolver, options, &parent).await;
        if let Some(failure) = lookup.failure().filter(|failure| failure.is_temporary()) {
            return Err((parent, failure.clone()));
        }
        let records = policies(&lookup);
        let Some(first) = records.first() else { continue };
        let psd = Tags::read(first).value("psd").map(str::to_ascii_lowercase);
        match psd.as_deref() {
            // A registry's: it holds only where nobody below it has one.
            Some("y") => return Ok(found.or(Some((parent, records)))),
            Some("n") => return Ok(Some((parent, records))),
            _ => found = Some((parent, records)),
        }
    }
    Ok(found)
}

/// The organisational domain of a domain, which the walk begins at (DMARCbis 4.10.2); `None` where a part of it can't be looked up.
async fn organisational(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Option<String> {
    let (mut found, mut below) = (None, None);
    for name in std::iter::once(domain.to_owned()).chain(parents(domain)) {
        let lookup = look_up(resolver, options, &name).await;
        if lookup.failure().is_some_and(Failure::is_temporary) {
            return None;
        }
        if let Some(first) = policies(&lookup).first() {
            match (Tags::read(first).value("psd").map(str::to_ascii_lowercase).as_deref(), below) {
                (Some("n"), _) => return Some(name),
                // A registry's: its customers are the domains right below it.
                (Some("y"), Some(below)) => return Some(below),
                _ => found = Some(name.clone()),
            }
        }
        below = Some(name);
    }
    found.or_else(|| Some(domain.to_owned()))
}

/// What a parent's records mean for the domain.
fn of_parent(check: Check, parent: &str, texts: &[String]) -> Check {
    let [text] = texts else {
        let answer = format!("none of its own, and {parent} has {} records: receivers take none of them", texts.len());
        return check.fail(answer, format!("Delete all but one of {parent}."));
    };
    let shown = described(text);
    if let Some(flaw) = flaw(text) {
        let answer = format!("none of its own, and in that of {parent} {flaw}: {shown}");
        return check.fail(answer, format!("Correct the record of {parent}; until then receivers act as if there were none."));
    }
    let tags = Tags::read(text);
    let policy = tags.value("sp").or(tags.value("p")).unwrap_or("none");
    check.ok(format!("none of its own; that of {parent} holds, with {policy} for subdomains: {shown}"))
}

fn parents(domain: &str) -> Vec<String> {
    let labels: Vec<&str> = domain.split('.').collect();
    let first = if labels.len() > MOST_LABELS { labels.len() - (MOST_LABELS - 1) } else { 1 };
    (first..labels.len()).filter_map(|at| labels.get(at..)).map(|rest| rest.join(".")).collect()
}

fn judged(check: Check, text: &str) -> Check {
    let shown = described(text);
    match (flaw(text), passed_over(text)) {
        (Some(flaw), _) => check.fail(format!("{flaw}: {shown}"), "Correct the record; until then receivers act as if there were none."),
        (None, Some(flaw)) => {
            check.warn(format!("{flaw}: {shown}"), "Correct the tag: receivers pass over it, and keep to the rest of the record.")
        }
        (None, None) => {
            let tags = Tags::read(text);
            let policy = tags.value("p").unwrap_or("none").to_ascii_lowercase();
            let reports = tags.value("rua").is_some();
            match (policy.as_str(), reports) {
                ("none", false) => check.warn(
                    format!("p=none without rua=: it asks for nothing, and nobody tells you of anything: {shown}"),
                    "Add `rua=mailto:ADDRESS` for reports, and make it `p=quarantine` once they show that all your mail passes.",
                ),
                ("none", true) => check.ok(format!("p=none, failures are only reported: {shown}")),
                _ => check.ok(shown),
            }
        }
    }
}

/// What makes receivers pass over the whole record, if anything.
fn flaw(text: &str) -> Option<String> {
    let tags = Tags::read(text);
    if let Some(flaw) = tags.flaw {
        return Some(flaw);
    }
    if tags.value("p").is_none() {
        return Some("the tag p= is missing".to_owned());
    }
    policy(&tags, "p").or(policy(&tags, "sp"))
}

fn policy(tags: &Tags, name: &str) -> Option<String> {
    let value = tags.value(name)?;
    let known = matches!(value.to_ascii_lowercase().as_str(), "none" | "quarantine" | "reject");
    (!known).then(|| format!("{name}={} is none of none, quarantine, reject", described(value)))
}

/// A tag that receivers take for not written (RFC 7489 6.3, 6.6.3), if there is one.
fn passed_over(text: &str) -> Option<String> {
    let tags = Tags::read(text);
    let mode = |name: &str| {
        let value = tags.value(name)?;
        (!matches!(value.to_ascii_lowercase().as_str(), "r" | "s")).then(|| format!("{name}={} is neither r nor s", described(value)))
    };
    let percent = tags.value("pct").filter(|value| !value.parse::<u8>().is_ok_and(|percent| percent <= 100));
    let percent = percent.map(|value| format!("pct={} is no number from 0 to 100", described(value)));
    let reports = ["rua", "ruf"].into_iter().find_map(|name| {
        let bad = tags
            .value(name)?
            .split(',')
            .map(str::trim)
            .find(|uri| address(uri).is_none() && !uri.to_ascii_lowercase().starts_with("https:"))?;
        Some(format!("{name}={} is no address: it begins with mailto:", described(bad)))
    });
    policy(&tags, "np").or(mode("adkim")).or(mode("aspf")).or(percent).or(reports)
}

/// The address of a `mailto:` URI; a size limit behind `!` is passed over (RFC 7489 6.2).
fn address(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let address = rest.split(['!', '?']).next()?;
    let (local, domain) = address.rsplit_once('@')?;
    let bare = !address.contains(|it: char| it.is_whitespace());
    (scheme.eq_ignore_ascii_case("mailto") && bare && !local.is_empty() && domain.contains('.')).then_some(address)
}

/// Whether reports arrive: the domains that they go to must agree (RFC 7489 7.1), and take mail.
async fn destinations(resolver: &Resolver, options: &DomainOptions, domain: &str, text: &str) -> Vec<Check> {
    let tags = Tags::read(text);
    let both = [tags.value("rua"), tags.value("ruf")];
    let mut domains: Vec<String> = Vec::new();
    for uri in both.into_iter().flatten().flat_map(|list| list.split(',')) {
        let found = address(uri.trim()).and_then(|address| address.rsplit_once('@')).map(|(_, domain)| domain.to_ascii_lowercase());
        domains.extend(found.filter(|found| !domains.contains(found)));
    }
    let mut checks = Vec::new();
    for destination in domains.iter().take(MOST_DESTINATIONS) {
        checks.extend(authorised(resolver, options, domain, destination).await);
        checks.extend(takes_mail(resolver, options, destination).await);
    }
    checks
}

/// Such domains need nobody's consent (RFC 7489 7.1).
async fn of_one_organisation(resolver: &Resolver, options: &DomainOptions, domain: &str, destination: &str) -> bool {
    let Some(ours) = organisational(resolver, options, domain).await else { return false };
    // It is above both, or there is no need to ask for the other.
    is_within(destination, &ours) && organisational(resolver, options, destination).await.is_some_and(|theirs| theirs == ours)
}

async fn authorised(resolver: &Resolver, options: &DomainOptions, domain: &str, destination: &str) -> Option<Check> {
    if are_related(domain, destination) || of_one_organisation(resolver, options, domain, destination).await {
        return None;
    }
    let name = format!("{domain}._report._dmarc.{destination}");
    let lookup = resolver.look_up(&name, Kind::Txt, options.patience).await;
    let why = "reports go to another domain only if that says that it wants them (RFC 7489 7.1)";
    let check = Check::asking("dmarc.reports", format!("TXT of {name}"), why).took(lookup.took);
    let agreed = !policies(&lookup).is_empty();
    Some(match lookup.failure() {
        _ if agreed => check.ok(format!("{destination} takes reports about {domain}")),
        Some(failure) if !failure.is_denial() => check.warn(failure.to_string(), format!("The name servers of {destination} must be put right.")),
        _ => check.warn(
            format!("{destination} doesn't say that it takes reports about {domain}: most receivers send none"),
            format!("Have `{name}. IN TXT \"v=DMARC1\"` published in the zone of {destination} (report services tell how), or use an address of {domain}."),
        ),
    })
}

async fn takes_mail(resolver: &Resolver, options: &DomainOptions, destination: &str) -> Option<Check> {
    let asking = ExchangerOptions { timeout: options.patience, ..ExchangerOptions::default() };
    let error = resolver.mail_exchangers(destination, &asking).await.outcome.err().filter(|error| !error.is_temporary())?;
    let check = Check::asking(
        "dmarc.reports",
        format!("MX of {destination}, where reports go"),
        "reports that can't be delivered tell nobody anything",
    );
    Some(check.warn(error.to_string(), "Correct the address in rua= or ruf=."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_judged() {
        for text in [
            "v=DMARC1; p=none",
            "v=DMARC1;p=reject;sp=quarantine;adkim=s;aspf=r;pct=100;rua=mailto:a@b.example,mailto:c@d.example!10m;ruf=mailto:e@f.example",
            "v=DMARC1; p=QUARANTINE; fo=1; ri=86400; np=reject; t=y",
        ] {
            assert_eq!((flaw(text), passed_over(text)), (None, None), "{text}");
        }
        for (text, words) in [
            ("v=DMARC1; sp=none", "the tag p= is missing"),
            ("v=DMARC1; p=deny", "p=deny is none of"),
            ("v=DMARC1; p=none; sp=off", "sp=off is none of"),
            ("v=DMARC1; p=none, rua", "p=none, rua is none of"),
        ] {
            let found = flaw(text).unwrap_or_default();
            assert!(found.starts_with(words), "{text}: {found}");
        }
        // The policy holds all the same.
        for (text, words) in [
            ("v=DMARC1; p=none; adkim=strict", "adkim=strict is neither"),
            ("v=DMARC1; p=none; pct=150", "pct=150 is no number"),
            ("v=DMARC1; p=none; rua=a@b.example", "rua=a@b.example is no address"),
            ("v=DMARC1; p=none; rua=mailto:a@b.example mailto:c@d", "rua=mailto:a@b.example mailto:c@d is no address"),
            ("v=DMARC1; p=reject; np=off", "np=off is none of"),
        ] {
            assert_eq!(flaw(text), None, "{text}");
            let found = passed_over(text).unwrap_or_default();
            assert!(found.starts_with(words), "{text}: {found}");
        }
    }

    #[test]
    fn what_a_parent_has_is_judged_as_well() {
        let check = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            format!("{:?}", of_parent(Check::asking("dmarc.record", "TXT", "why"), "example.org", &texts))
        };
        assert!(check(&["v=DMARC1; p=reject; sp=none"]).contains("with none for subdomains"));
        assert!(check(&["v=DMARC1; p=rejct"]).contains("in that of example.org p=rejct is none of"));
        assert!(check(&["v=DMARC1; p=reject", "v=DMARC1; p=none"]).contains("example.org has 2 records"));
    }

    #[test]
    fn the_tree_is_walked_upwards() {
        assert_eq!(parents("a.b.example"), ["b.example", "example"]);
        assert_eq!(parents("example"), Vec::<String>::new());
        let long = "a.b.c.d.e.f.g.h.i.example";
        assert_eq!(parents(long).first().map(String::as_str), Some("d.e.f.g.h.i.example"));
    }
}
