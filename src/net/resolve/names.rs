//! What stands behind the @: a domain, in A-labels, or an address literal.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::rr::Name;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use thiserror::Error;

/// Where mail for a domain part goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// In A-labels and lower case, without final dot.
    Domain(String),
    /// `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 4.1.3).
    Literal(IpAddr),
}

/// Why a domain part leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{domain:?} is not a mail domain: {why}")]
pub struct NotADomain {
    pub domain: String,
    pub why: String,
}

/// Reads the domain part of a forward-path; U-labels are converted as UTS 46 says (RFC 6531 3.2, RFC 5891 5).
pub fn destination(domain: &str) -> Result<Destination, NotADomain> {
    let fail = |why: &str| NotADomain { domain: shown(domain), why: why.to_owned() };
    if let Some(rest) = domain.strip_prefix('[') {
        let inner = rest.strip_suffix(']').ok_or_else(|| fail("the address literal has no end"))?;
        return literal(inner).map(Destination::Literal).map_err(fail);
    }
    let ascii = to_ascii(domain).map_err(|why| fail(&why))?;
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
    flaw(ascii).map_or_else(|| Ok(Destination::Domain(ascii.to_ascii_lowercase())), |why| Err(fail(why)))
}

fn literal(inner: &str) -> Result<IpAddr, &'static str> {
    match inner.split_once(':') {
        None => inner.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| "not an IPv4 address in the brackets"),
        Some((tag, address)) if tag.eq_ignore_ascii_case("ipv6") => {
            address.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| "not an IPv6 address behind \"IPv6:\"")
        }
        Some(_) if inner.parse::<Ipv6Addr>().is_ok() => Err("an IPv6 address literal begins with \"IPv6:\""),
        Some(_) => Err("a kind of address literal that is not known"),
    }
}

/// The name with each label in ASCII.
pub(super) fn to_ascii(name: &str) -> Result<Cow<'_, str>, String> {
    if name.is_ascii() {
        return Ok(Cow::Borrowed(name));
    }
    Uts46::new()
        .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::VerifyAllowRootDot)
        .map_err(|_| "it can't be written in DNS (IDNA)".to_owned())
}

/// What is wrong with an ASCII name for a mail domain or host (RFC 1123 2.1; underscores are seen, and harmless).
fn flaw(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > 253 {
        return Some("it is longer than 253 octets");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Some("it has an empty label");
        }
        if label.len() > 63 {
            return Some("a label is longer than 63 octets");
        }
        if !label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_')) {
            return Some("a label has other characters than letters, digits and hyphens");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("a label begins or ends with a hyphen");
        }
    }
    if name.parse::<Ipv4Addr>().is_ok() || name.rsplit('.').next().is_some_and(|last| last.bytes().all(|it| it.is_ascii_digit())) {
        return Some("it is an address (or ends in a number), not a name");
    }
    None
}

/// The host that an MX record names, or why it is none.
pub(super) fn exchange(name: &Name) -> Result<String, &'static str> {
    let ascii = name.to_ascii();
    let bare = ascii.strip_suffix('.').unwrap_or(&ascii);
    if let Some(why) = flaw(bare) {
        return Err(why);
    }
    let host = bare.to_ascii_lowercase();
    if host == "localhost" || host.ends_with(".localhost") {
        return Err("it is the name of this machine (RFC 6761 6.3)");
    }
    Ok(host)
}

/// Hostile text for an error message.
fn shown(text: &str) -> String {
    text.chars().take(260).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(domain: &str, expected: Result<&str, &str>) {
        let found = destination(domain);
        match (&found, expected) {
            (Ok(Destination::Domain(name)), Ok(wanted)) => assert_eq!(name, wanted),
            (Ok(Destination::Literal(address)), Ok(wanted)) => assert_eq!(address.to_string(), wanted),
            (Err(error), Err(wanted)) => assert_eq!(error.why, wanted, "{domain}"),
            _ => panic!("{domain}: {found:?}"),
        }
    }

    #[test]
    fn domains_become_a_labels() {
        check("Example.ORG", Ok("example.org"));
        check("example.org.", Ok("example.org"));
        check("bücher.example", Ok("xn--bcher-kva.example"));
        check("BÜCHER.example", Ok("xn--bcher-kva.example"));
        check("例え。テスト", Ok("xn--r8jz45g.xn--zckzah"));
        check("xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check("_dmarc.under_score.example", Ok("_dmarc.under_score.example"));
    }

    #[test]
    fn literals_are_addresses() {
        check("[192.0.2.1]", Ok("192.0.2.1"));
        check("[IPv6:2001:db8::1]", Ok("2001:db8::1"));
        check("[ipv6:::ffff:192.0.2.1]", Ok("::ffff:192.0.2.1"));
        check("[2001:db8::1]", Err("an IPv6 address literal begins with \"IPv6:\""));
        check("[192.0.2]", Err("not an IPv4 address in the brackets"));
        check("[IPv6:192.0.2.1]", Err("not an IPv6 address behind \"IPv6:\""));
        check("[x400:c=de]", Err("a kind of address literal that is not known"));
        check("[192.0.2.1", Err("the address literal has no end"));
    }

    #[test]
    fn what_is_no_domain_says_why() {
        check("", Err("it is empty"));
        check(".", Err("it is empty"));
        check("a..example", Err("it has an empty label"));
        check("-a.example", Err("a label begins or ends with a hyphen"));
        check("a b.example", Err("a label has other characters than letters, digits and hyphens"));
        check("192.0.2.1", Err("it is an address (or ends in a number), not a name"));
        check(&format!("{}.example", "a".repeat(64)), Err("a label is longer than 63 octets"));
        check(&"a.".repeat(140), Err("it is longer than 253 octets"));
        check("a\u{200d}\u{2028}.example", Err("it can't be written in DNS (IDNA)"));
    }

    #[test]
    fn an_exchange_must_be_a_host_elsewhere() {
        let of = |name: &str| exchange(&Name::from_labels(name.split_terminator('.').map(str::as_bytes)).unwrap());
        assert_eq!(of("MX1.a.example."), Ok("mx1.a.example".to_owned()));
        assert!(of("localhost.").is_err());
        assert!(of("a.localhost.").is_err());
        assert!(of("192.0.2.1.").is_err());
        assert!(of("bad label.example.").is_err());
    }
}
