//! Reads an SPF record term by term (RFC 7208 4.6, 5, 6, 12), and says of each that isn't right where it is and why.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::macros::MacroString;

/// What a mechanism that matches says of the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// How a sender may be known. Without a domain, the record's own counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    All,
    Include(MacroString),
    A(Option<MacroString>, Lengths),
    Mx(Option<MacroString>, Lengths),
    Ptr(Option<MacroString>),
    Ip(IpNet),
    Exists(MacroString),
}

impl Mechanism {
    /// Whether it counts against the ten look-ups (RFC 7208 4.6.4).
    pub fn asks(&self) -> bool {
        !matches!(self, Self::All | Self::Ip(_))
    }
}

/// One word of a record behind `v=spf1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    Directive(Qualifier, Mechanism),
    Redirect(MacroString),
    Explanation,
    /// Passed over (RFC 7208 6): who doesn't know it does without.
    UnknownModifier,
}

/// Prefix lengths behind `a` and `mx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    pub v4: u8,
    pub v6: u8,
}

impl Default for Lengths {
    fn default() -> Self {
        Self { v4: 32, v6: 128 }
    }
}

impl Lengths {
    /// The network of that length around an address.
    pub fn network(self, address: IpAddr) -> Option<IpNet> {
        match address {
            IpAddr::V4(it) => Ipv4Net::new(it, self.v4).ok().map(IpNet::V4),
            IpAddr::V6(it) => Ipv6Net::new(it, self.v6).ok().map(IpNet::V6),
        }
    }

    /// `/24`, `/24//64`, `//64`.
    fn read(text: &str) -> Result<Self, String> {
        let (v4, v6) = text.split_once("//").map_or((text, None), |(v4, v6)| (v4, Some(v6)));
        let all = Self::default();
        let v4 = match v4.strip_prefix('/') {
            Some(length) => prefix_length(length, 32)?,
            None => all.v4,
        };
        Ok(Self { v4, v6: v6.map_or(Ok(all.v6), |length| prefix_length(length, 128))? })
    }
}

fn prefix_length(text: &str, most: u8) -> Result<u8, String> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let length = text.parse::<u8>().ok().filter(|length| is_number && *length <= most);
    length.ok_or_else(|| format!("{text:?} is no prefix length from 0 to {most}"))
}

/// Why a term makes the whole record void (permerror).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub why: String,
}

/// A term, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Octets from the record's start.
    pub at: usize,
    /// As it is written; hostile.
    pub text: String,
    pub term: Result<Term, Flaw>,
}

/// Whether a TXT record is meant for SPF (RFC 7208 4.5).
pub fn is_record(text: &[u8]) -> bool {
    let version = text.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"v=spf1"));
    version && matches!(text.get(6), None | Some(b' '))
}

/// The terms of a record behind its version.
pub fn terms(text: &str) -> Vec<Placed> {
    let mut found: Vec<Placed> = Vec::new();
    let (mut redirects, mut explanations) = (0, 0);
    let mut at = 0;
    for word in text.split(' ') {
        let (start, is_version) = (at, at == 0);
        at += word.len() + 1;
        if word.is_empty() || is_version {
            continue;
        }
        let mut term = term(word).map_err(|why| Flaw { why });
        let count = match &term {
            Ok(Term::Redirect(_)) => Some(&mut redirects),
            Ok(Term::Explanation) => Some(&mut explanations),
            _ => None,
        };
        if let Some(count) = count {
            *count += 1;
            if *count > 1 {
                term = Err(Flaw { why: "it may stand in a record once only".to_owned() });
            }
        }
        found.push(Placed { at: start, text: word.to_owned(), term });
    }
    found
}

fn term(word: &str) -> Result<Term, String> {
    if let Some(odd) = word.chars().find(|it| !it.is_ascii_graphic()) {
        return Err(match odd {
            '\t' => "it holds a tab: terms are parted by spaces".to_owned(),
            '“' | '”' | '‘' | '’' => "it holds a curly quotation mark, from a word processor".to_owned(),
            odd => format!("it holds the character {odd:?}, and only printable ASCII may be there"),
        });
    }
    let name_end = word.find([':', '=', '/']).unwrap_or(word.len());
    let (name, rest) = word.split_at_checked(name_end).unwrap_or((word, ""));
    if let Some(value) = rest.strip_prefix('=') {
        return modifier(name, value);
    }
    let (qualifier, name) = match name.split_at_checked(1) {
        Some(("+", name)) => (Qualifier::Pass, name),
        Some(("-", name)) => (Qualifier::Fail, name),
        Some(("~", name)) => (Qualifier::SoftFail, name),
        Some(("?", name)) => (Qualifier::Neutral, name),
        _ => (Qualifier::Pass, name),
    };
    mechanism(name, rest).map(|mechanism| Term::Directive(qualifier, mechanism))
}

fn modifier(name: &str, value: &str) -> Result<Term, String> {
    let is_name = name.starts_with(|it: char| it.is_ascii_alphabetic())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'));
    match name.to_ascii_lowercase().as_str() {
        "redirect" => MacroString::domain(value).map(Term::Redirect),
        "exp" => MacroString::domain(value).map(|_| Term::Explanation),
        known @ ("include" | "a" | "mx" | "ptr" | "ip4" | "ip6" | "exists") => {
            Err(format!("{known} takes a colon, not \"=\": {known}:{value}"))
        }
        "v" => Err("a second version: two records were put together into one".to_owned()),
        _ if is_name => Ok(Term::UnknownModifier),
        _ => Err("it is neither a mechanism nor a modifier".to_owned()),
    }
}

fn mechanism(name: &str, rest: &str) -> Result<Mechanism, String> {
    let value = rest.strip_prefix(':');
    let needed = || value.ok_or_else(|| format!("{name} takes a value behind a colon"));
    let nothing = |mechanism| if rest.is_empty() { Ok(mechanism) } else { Err(format!("nothing may stand behind {name}")) };
    match name.to_ascii_lowercase().as_str() {
        "all" => nothing(Mechanism::All),
        "include" => MacroString::domain(needed()?).map(Mechanism::Include),
        "exists" => MacroString::domain(needed()?).map(Mechanism::Exists),
        "a" => hosts(rest).map(|(domain, lengths)| Mechanism::A(domain, lengths)),
        "mx" => hosts(rest).map(|(domain, lengths)| Mechanism::Mx(domain, lengths)),
        "ptr" if rest.is_empty() => Ok(Mechanism::Ptr(None)),
        "ptr" => MacroString::domain(needed()?).map(|domain| Mechanism::Ptr(Some(domain))),
        "ip4" => ip4(needed()?),
        "ip6" => ip6(needed()?),
        "" => Err("a mechanism's name is missing".to_owned()),
        other if other.parse::<IpAddr>().is_ok() => {
            Err(format!("an address needs \"ip4:\" or \"ip6:\" before it: ip4:{word}", word = name))
        }
        other if other.contains('.') => {
            Err(format!("no such mechanism: a host needs \"a:\" before it, a domain's record \"include:\" ({other})"))
        }
        other => Err(format!("there is no mechanism {other:?}")),
    }
}

/// What stands behind `a` and `mx`: a domain, lengths, both or nothing.
fn hosts(rest: &str) -> Result<(Option<MacroString>, Lengths), String> {
    // A slash within a macro is a delimiter, not the start of a length.
    let behind_macros = rest.rfind('}').unwrap_or_default();
    let slash = rest.get(behind_macros..).and_then(|behind| behind.find('/')).map_or(rest.len(), |at| behind_macros + at);
    let (domain, lengths) = rest.split_at_checked(slash).unwrap_or((rest, ""));
    let domain = domain.strip_prefix(':').map(MacroString::domain).transpose()?;
    Ok((domain, Lengths::read(lengths)?))
}

fn ip4(value: &str) -> Result<Mechanism, String> {
    let (address, length) = value.split_once('/').map_or((value, None), |(address, length)| (address, Some(length)));
    let parsed = address.parse::<Ipv4Addr>().map_err(|_| match address.parse::<Ipv6Addr>() {
        Ok(_) => format!("{address} is an IPv6 address: write ip6:"),
        Err(_) => format!("{address:?} is no IPv4 address"),
    })?;
    let length = length.map_or(Ok(32), |length| prefix_length(length, 32))?;
    let network = Ipv4Net::new(parsed, length).map_err(|_| format!("{value:?} is no network"))?;
    Ok(Mechanism::Ip(network.trunc().into()))
}

fn ip6(value: &str) -> Result<Mechanism, String> {
    let (address, length) = value.split_once('/').map_or((value, None), |(address, length)| (address, Some(length)));
    let parsed = address.parse::<Ipv6Addr>().map_err(|_| match address.parse::<Ipv4Addr>() {
        Ok(_) => format!("{address} is an IPv4 address: write ip4:"),
        Err(_) => format!("{address:?} is no IPv6 address"),
    })?;
    let length = length.map_or(Ok(128), |length| prefix_length(length, 128))?;
    let network = Ipv6Net::new(parsed, length).map_err(|_| format!("{value:?} is no network"))?;
    Ok(Mechanism::Ip(network.trunc().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Term> {
        terms(text).into_iter().map(|it| it.term.unwrap_or_else(|flaw| panic!("{}: {}", it.text, flaw.why))).collect()
    }

    #[test]
    fn a_record_is_read() {
        let domain = |text| MacroString::domain(text).unwrap();
        let expected = vec![
            Term::Directive(Qualifier::Pass, Mechanism::Ip("192.0.2.0/24".parse().unwrap())),
            Term::Directive(Qualifier::Fail, Mechanism::Ip("2001:db8::1/128".parse().unwrap())),
            Term::Directive(Qualifier::Pass, Mechanism::A(None, Lengths::default())),
            Term::Directive(Qualifier::SoftFail, Mechanism::A(Some(domain("out.example.net")), Lengths { v4: 28, v6: 64 })),
            Term::Directive(Qualifier::Neutral, Mechanism::Mx(None, Lengths { v4: 32, v6: 64 })),
            Term::Directive(Qualifier::Pass, Mechanism::Include(domain("_spf.example.org"))),
            Term::Directive(Qualifier::Pass, Mechanism::Exists(domain("%{ir}.sbl.%{d/}"))),
            Term::Directive(Qualifier::Pass, Mechanism::Ptr(None)),
            Term::Explanation,
            Term::UnknownModifier,
            Term::Redirect(domain("other.example")),
            Term::Directive(Qualifier::Fail, Mechanism::All),
        ];
        let text = "V=SPF1 ip4:192.0.2.7/24 -IP6:2001:db8::1 a  ~a:out.example.net/28//64 ?mx//64 include:_spf.example.org \
                    exists:%{ir}.sbl.%{d/} ptr exp=why.example.org future=thing redirect=other.example -all ";
        assert_eq!(read(text), expected);
        assert_eq!(read("v=spf1"), vec![]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, at, word) in [
            ("v=spf1 ip4:192.0.2 -all", 7, "no IPv4 address"),
            ("v=spf1 a ip4:192.0.2.1/33", 9, "prefix length"),
            ("v=spf1 ip4:192.0.2.1/08", 7, "prefix length"),
            ("v=spf1 ip4:2001:db8::1", 7, "write ip6:"),
            ("v=spf1 ip6:192.0.2.1", 7, "write ip4:"),
            ("v=spf1 include=_spf.example.org", 7, "takes a colon"),
            ("v=spf1 192.0.2.1 -all", 7, "ip4:192.0.2.1"),
            ("v=spf1 mail.example.org -all", 7, "a host needs \"a:\""),
            ("v=spf1 include: -all", 7, "missing"),
            ("v=spf1 include -all", 7, "behind a colon"),
            ("v=spf1 -al", 7, "no mechanism \"al\""),
            ("v=spf1 all: -all", 7, "nothing may stand"),
            ("v=spf1 mx/ -all", 7, "prefix length"),
            ("v=spf1 -all v=spf1 a -all", 12, "second version"),
            ("v=spf1 redirect=a.example redirect=b.example", 26, "once only"),
            ("v=spf1\u{a0}-all", 0, ""),
            ("v=spf1 a\t-all", 7, "tab"),
            ("v=spf1 “-all”", 7, "curly"),
            ("v=spf1 - all", 7, "name is missing"),
        ] {
            let wrong: Vec<_> = terms(text).into_iter().filter_map(|it| Some((it.at, it.term.err()?.why))).collect();
            match wrong.first() {
                Some((found, why)) => assert!(*found == at && why.contains(word), "{text}: {at} {why}"),
                None => assert!(word.is_empty(), "{text} has nothing wrong"),
            }
        }
    }

    #[test]
    fn records_of_others_are_left_alone() {
        for (text, is) in [
            ("v=spf1", true),
            ("v=SPF1 -all", true),
            ("v=spf10 -all", false),
            ("v=spf1\t-all", false),
            (" v=spf1 -all", false),
            ("spf2.0/pra", false),
        ] {
            assert_eq!(is_record(text.as_bytes()), is, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "v=spf1 ([a-z0-9:=/.%{}~?+-]{0,12} ){0,8}|\\PC{0,80}") {
            for placed in terms(&text) {
                proptest::prop_assert_eq!(text.get(placed.at..placed.at + placed.text.len()), Some(placed.text.as_str()));
            }
        }
    }
}
