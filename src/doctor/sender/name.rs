//! The name of an address: whether it has one, the name leads back, and it is a mail server's; and the name given in EHLO.

use std::net::IpAddr;

use super::super::check::Check;
use super::SenderOptions;
use super::generic::generic;
use crate::net::resolve::{HostAddresses, Kind, Lookup, Resolver, reverse_name};

/// Names of one address that are followed.
const MOST: usize = 5;

pub(super) async fn examine(resolver: &Resolver, options: &SenderOptions, address: IpAddr) -> Vec<Check> {
    let reverse = reverse_name(address);
    let (named, helo) = tokio::join!(resolver.look_up(&reverse, Kind::Ptr, options.patience), forward(resolver, options, &options.helo));
    let names = named.targets();
    let mut checks = vec![has_a_name(address, &named, &names, &options.helo)];
    let mut confirmed = None;
    for name in names.iter().take(MOST) {
        let found = resolver.public_addresses(name, options.patience).await;
        let check = leads_back(address, name, &found);
        if confirmed.is_none() && found.addresses.contains(&address) {
            confirmed = Some(name.clone());
        }
        checks.push(check);
    }
    if let Some(name) = confirmed.as_ref().or(names.first()) {
        checks.push(is_a_servers(address, name));
    }
    checks.push(introduces_itself(address, &options.helo, helo.as_ref(), confirmed.as_deref()));
    checks
}

async fn forward(resolver: &Resolver, options: &SenderOptions, helo: &str) -> Option<HostAddresses> {
    if helo.is_empty() || helo.starts_with('[') { None } else { Some(resolver.public_addresses(helo, options.patience).await) }
}

fn has_a_name(address: IpAddr, named: &Lookup, names: &[String], helo: &str) -> Check {
    let why = "many mail servers refuse mail from an address without a name in reverse DNS";
    let asked = format!("PTR of {address} ({})", reverse_name(address));
    let check = Check::asking("sender.ptr", asked, why).took(named.took);
    let wanted = if helo.contains('.') { helo } else { "mail.example.org" };
    let publish = format!(
        "Have whoever gave you the address (the hosting or Internet provider) set its PTR to `{wanted}.`; you can't do it in your own zone."
    );
    match named.failure() {
        Some(failure) if failure.is_denial() => check.fail(format!("it has no name: {failure}"), publish),
        Some(failure) => check.fail(
            format!("the look-up fails: {failure}"),
            "The servers of the reverse zone don't answer, which many receivers take for \"no name\": tell whoever gave you the address.",
        ),
        None if names.len() > 1 => {
            let fix = format!("One name is enough, and receivers look at one of them, anyone: {publish}");
            check.warn(format!("it has {} names: {}", names.len(), names.join(", ")), fix)
        }
        None => check.ok(names.join(", ")),
    }
}

fn leads_back(address: IpAddr, name: &str, found: &HostAddresses) -> Check {
    let why = "a name counts only if it leads back to the address (forward-confirmed reverse DNS); Gmail and others refuse without it";
    let check = Check::asking("sender.fcrdns", format!("addresses of {name}"), why);
    let check = check.took(found.lookups.iter().map(|lookup| lookup.took).max().unwrap_or_default());
    let kind = if address.is_ipv6() { "AAAA" } else { "A" };
    let publish = format!("Publish `{name}. IN {kind} {address}`, or have the PTR changed to a name that has that address.");
    match &found.failure {
        Some(failure) => check.fail(failure.to_string(), publish),
        None if found.addresses.contains(&address) => check.ok(format!("{address} is among them")),
        None => {
            let others: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
            check.fail(format!("they are {}, not {address}", others.join(", ")), publish)
        }
    }
}

fn is_a_servers(address: IpAddr, name: &str) -> Check {
    let why = "names that providers give to all addresses of a pool look like homes and infected computers, and are refused by many";
    let check = Check::asking("sender.ptr_generic", format!("{name} as the name of a mail server"), why);
    match generic(name, address) {
        Some(what) => check.warn(
            format!("it looks made by a program: {what}"),
            "Have the PTR set to the mail server's own name. If the provider doesn't do that for this address, send through its smart host.",
        ),
        None => check.ok("it looks like a name of its own"),
    }
}

fn introduces_itself(address: IpAddr, helo: &str, found: Option<&HostAddresses>, confirmed: Option<&str>) -> Check {
    let why = "the name given in EHLO should be the sender's own (RFC 5321 4.1.4): a name that doesn't exist is often refused, and SPF looks at it";
    let check = Check::asking("sender.helo", format!("EHLO {helo} from {address}"), why);
    let use_instead = match confirmed {
        Some(name) => format!("Set it to `{name}` (Postfix: `smtp_helo_name`, Exim: `helo_data`, Exchange: the send connector's FQDN)."),
        None => "Set it to the host's full name, with an address in DNS that is this one.".to_owned(),
    };
    if helo.is_empty() {
        return check.skipped("the name that it gives there isn't known");
    }
    let Some(found) = found else {
        return check.warn("an address in brackets instead of a name: allowed, and refused by many", use_instead);
    };
    if !helo.trim_end_matches('.').contains('.') {
        return check.fail(
            format!("{helo} is no full name: receivers with a strict rule (Postfix: reject_non_fqdn_helo_hostname) refuse it"),
            use_instead,
        );
    }
    match &found.failure {
        Some(failure) => check.fail(failure.to_string(), use_instead),
        None if found.addresses.contains(&address) => check.ok(if confirmed.is_some_and(|name| name.eq_ignore_ascii_case(helo)) {
            "its address is this one, and it is the name in reverse DNS".to_owned()
        } else {
            "its address is this one".to_owned()
        }),
        None => {
            let others: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
            check.warn(format!("its addresses are {}, not {address}", others.join(", ")), use_instead)
        }
    }
}
